"""Files of places and of suspects, for a field campaign and for a second look."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from assessment.labels.collect import LABEL
from assessment.labels.suggest import Suggested
from assessment.labels.suspects import Suspect
from gee_pipeline.errors import InputError
from gee_pipeline.files import atomic_path, write_bytes
from training.samples.samples import Samples

if TYPE_CHECKING:
    import geopandas

VISIT_FILE: Final = "places_to_visit.gpkg"
"""Name of the file in a run's folder."""


def require_none_there(path: Path) -> None:
    """Refuse to write places over others, whose labels may have been filled in.

    Raises:
        InputError: There is a file.
    """
    if path.exists():
        raise InputError(
            f"{path} is there already, and labels that were filled in would be lost. Move it away, or choose "
            "another --out."
        )


def places_of(found: Suggested) -> geopandas.GeoDataFrame:
    """Points in EPSG:4326 with an empty column for the label, and what the map says there.

    Args:
        found: The places.
    """
    import geopandas

    columns: dict[str, Any] = {
        "id": range(1, len(found.pixels) + 1),
        LABEL: [""] * len(found.pixels),
        "mapped": found.classes,
        "confidence": found.pixels["confidence"].astype(int),
        "clear": found.pixels["clear"].astype(int),
        "doubt": found.doubt.round(4),
        "note": [""] * len(found.pixels),
    }
    places = geopandas.points_from_xy(found.lon.round(7), found.lat.round(7))
    return geopandas.GeoDataFrame(columns, geometry=places, crs="EPSG:4326")


def write_places(path: Path, found: Suggested) -> None:
    """Write the places as a GeoPackage, atomically.

    Args:
        path: The file.
        found: The places.
    """
    frame = places_of(found)
    with atomic_path(path) as whole, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of the ending that a file has until it is whole
        frame.to_file(whole, driver="GPKG", layer="places_to_visit")


def write_suspects(path: Path, suspects: Sequence[Suspect], samples: Samples) -> None:
    """Write suspects as CSV, with the places of the samples where they have some.

    Args:
        path: The file; one that is there is replaced.
        suspects: In their order.
        samples: What they are of.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("sample", "lon", "lat", "label", "likelier", "own_probability", "other_probability"))
    for one in suspects:
        lon, lat = (
            "" if axis is None else round(float(axis[one.sample]), 6) for axis in (samples.lon, samples.lat)
        )
        rows.writerow((one.sample, lon, lat, one.label, one.likelier, round(one.own, 4), round(one.other, 4)))
    write_bytes(path, text.getvalue().encode())
