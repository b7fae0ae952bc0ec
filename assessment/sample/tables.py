"""Tables that people filled in: CSV of any separator, or a vector file; everything is text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import listed
from assessment.sample.layer import read_layer
from assessment.sample.text_table import decimal, read_csv
from gee_pipeline.errors import InputError

VECTORS: Final = (".gpkg", ".geojson", ".json", ".shp")
"""Endings of vector files, in small letters."""

PLACE: Final = ("lon", "lat")
"""Columns of longitude and latitude, degrees."""

Row = Mapping[str, str]
"""One row by column, outer blanks removed; an empty text where there is nothing."""


@dataclass
class Faults:
    """What is wrong with the input, all of it before anything is said or written."""

    texts: list[str] = field(default_factory=list)
    """One clause each."""

    def add(self, ids: Sequence[str], text: str) -> None:
        """Note what is wrong with some units; nothing where there are none.

        Args:
            ids: Names of the units.
            text: What is wrong, with `{ids}` where they are named and `{n}` for their number.
        """
        if ids:
            self.texts.append(text.replace("{n}", f"{len(ids):,}").replace("{ids}", listed(ids)))

    def refuse(self, way_out: str) -> None:
        """Raise everything that was noted.

        Args:
            way_out: What to do about it, one sentence.

        Raises:
            InputError: Something was noted.
        """
        if len(self.texts) == 1:
            raise InputError(f"{self.texts[0]}. {way_out}")
        if self.texts:
            numbered = "; ".join(f"({n}) {text}" for n, text in enumerate(self.texts, start=1))
            raise InputError(f"{len(self.texts)} things are wrong: {numbered}. {way_out}")


def read_table(path: Path) -> list[Row]:
    """The rows of a table; those of a vector file have their places in `lon` and `lat`, degrees.

    Args:
        path: CSV in UTF-8 separated by commas, semicolons or tabs; or GeoPackage, GeoJSON, Shapefile.

    Raises:
        InputError: It cannot be read, is empty, or has one column name twice.
    """
    rows: Sequence[Row] = _vector_rows(path) if path.suffix.lower() in VECTORS else read_csv(path)
    if not rows:
        raise InputError(f"{path} has no rows. Give a table with one row for each point.")
    return list(rows)


def _vector_rows(path: Path) -> list[Row]:
    import geopandas

    frame = read_layer(path, "points")
    table = _with_places(frame) if isinstance(frame, geopandas.GeoDataFrame) else frame
    return [{str(name): text_of(value) for name, value in row.items()} for row in table.to_dict("records")]


def text_of(value: Any) -> str:
    """A value as people would write it: whole numbers without decimals, also where a gap made them floats."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _with_places(frame: Any) -> Any:
    """The columns of a vector layer, with the places of its geometries in place of columns that say some."""
    table = frame.drop(columns=frame.geometry.name)
    if frame.crs is None:
        return table
    table = table.drop(columns=[name for name in table.columns if str(name).lower() in PLACE])
    points = frame.geometry.representative_point().to_crs("EPSG:4326")
    return table.assign(lon=points.x, lat=points.y)


def column(rows: Sequence[Row], wanted: str | None, usual: Sequence[str], owner: Path, option: str) -> str:
    """The name of a column: the one that is asked for, else the first of the usual ones that is there.

    Args:
        rows: The table.
        wanted: What the user named.
        usual: Names in small letters that it may have.
        owner: The file, for the message.
        option: Option that names it.

    Raises:
        InputError: There is no such column.
    """
    names = list(rows[0])
    found = [wanted] if wanted in names else []
    if wanted is None:
        found = [name for one in usual for name in names if name.lower() == one]
    if not found:
        raise InputError(
            f"{owner} has no column {wanted or ' or '.join(usual)}; it has {listed(names)}. Name it "
            f"with {option}."
        )
    return found[0]


def read_places(
    rows: Sequence[Row], ids: Sequence[str], owner: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude `(row,)` of a table, degrees in EPSG:4326, with a decimal point or comma.

    Args:
        rows: The table.
        ids: What messages call each row.
        owner: The file, for the message.

    Raises:
        InputError: It lacks one of them, or rows have none; all of them are named.
    """
    usual = ("lon", "longitude", "x"), ("lat", "latitude", "y")
    east, north = (column(rows, None, names, owner, "a heading") for names in usual)
    return _degrees(rows, ids, east, 180), _degrees(rows, ids, north, 90)


def read_points(path: Path) -> Any:
    """A table with `lon` and `lat` as a GeoDataFrame in EPSG:4326, its columns as texts.

    Args:
        path: CSV in UTF-8.

    Raises:
        InputError: It cannot be read, is empty, or has rows without a place.
    """
    import geopandas

    rows = read_table(path)
    lon, lat = read_places(rows, [f"row {number}" for number in range(1, len(rows) + 1)], path)
    return geopandas.GeoDataFrame(rows, geometry=geopandas.points_from_xy(lon, lat), crs="EPSG:4326")


def _degrees(rows: Sequence[Row], ids: Sequence[str], name: str, most: float) -> NDArray[np.float64]:
    faults, odd, beyond, out = Faults(), [], [], np.full(len(rows), np.nan)
    for place, row in enumerate(rows):
        try:
            out[place] = decimal(row[name])
        except ValueError:
            odd.append(f"{ids[place]} ({row[name] or 'empty'})")
            continue
        if not abs(out[place]) <= most:
            beyond.append(f"{ids[place]} ({row[name]})")
    faults.add(odd, f"{name} is no number of degrees at {{ids}}")
    faults.add(beyond, f"{name} lies beyond {most:g} degrees at {{ids}}")
    faults.refuse("Correct them; other coordinates than degrees come as GeoPackage, which names their CRS.")
    return out
