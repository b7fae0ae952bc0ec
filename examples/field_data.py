"""Field data of a simulated place, as people have them: visited points, and parcels with declared crops.

What grows where is read from the truth of the simulation. Some declarations are false, and the file does not
say which.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import geopandas
import numpy as np
import pandas as pd
import rasterio
import shapely
from rasterio.features import shapes

from gee_pipeline.bands import PIXEL_SIZE

VISITS: Final = "field_visits.csv"
PARCELS: Final = "parcels.gpkg"

LEAST_AREA: Final = 1_000.0
"""Square metres below which a piece of land is no parcel."""

EDGE: Final = 1.5 * PIXEL_SIZE
"""Metres from the border of a parcel within which nobody stands: pixels there are mixed."""


def read_parcels(truth: Path) -> geopandas.GeoDataFrame:
    """The fields of a simulated place: `parcel`, a number from 1, and `crop`, what grows there.

    Args:
        truth: Class codes that `examples.simulated_scenes` wrote, with the names of the classes in its tags.
    """
    with rasterio.open(truth) as file:
        codes, crs = file.read(1), file.crs
        outlines = list(shapes(codes, codes > 0, 4, file.transform))
        names = _names(file)
    crops = [names[int(code)] for _, code in outlines]
    places = [shapely.geometry.shape(outline) for outline, _ in outlines]
    frame = geopandas.GeoDataFrame({"crop": crops}, geometry=places, crs=crs)
    frame = frame[frame.area > LEAST_AREA].reset_index(drop=True)
    frame.insert(0, "parcel", frame.index + 1)
    return frame


def crops_at(truth: Path, places: geopandas.GeoDataFrame, *, between: str = "other") -> list[str]:
    """What somebody finds who visits some places.

    Args:
        truth: As for `read_parcels`.
        places: Points, in any CRS.
        between: What lies between the fields.
    """
    with rasterio.open(truth) as file:
        points = places.geometry.to_crs(file.crs)
        codes = [int(value[0]) for value in file.sample(zip(points.x, points.y, strict=True))]
        return [_names(file).get(code, between) for code in codes]


def write_parcels(path: Path, truth: Path, false: float = 0.08, seed: int = 1) -> None:
    """Write parcels with declared crops, of which some are false.

    Args:
        path: GeoPackage with the columns `parcel` and `declared`.
        truth: As for `read_parcels`.
        false: Share of the declarations that name another crop.
        seed: Chooses these.
    """
    frame, rng = read_parcels(truth), np.random.default_rng([seed, 1])
    names = sorted(frame["crop"].unique())
    declared = frame["crop"].to_numpy(copy=True)
    for row in rng.permutation(len(frame))[: round(false * len(frame))]:
        declared[row] = rng.choice([name for name in names if name != declared[row]])
    frame.assign(declared=declared).drop(columns="crop").to_file(path, driver="GPKG")


def write_visits(
    path: Path,
    truth: Path,
    *,
    each: int = 6,
    without: geopandas.GeoDataFrame | None = None,
    seed: int = 1,
) -> None:
    """Write a table of visited points: `parcel`, `lon`, `lat` in degrees, `crop`.

    Args:
        path: CSV file.
        truth: As for `read_parcels`.
        each: Points in a parcel, away from its border; small parcels have none.
        without: Points; parcels with one of them are not visited.
        seed: Chooses the places.
    """
    parcels = read_parcels(truth)
    if without is not None:
        known = parcels.sjoin(without.to_crs(parcels.crs)[["geometry"]])["parcel"]
        parcels = parcels[~parcels["parcel"].isin(known)]
    inner = parcels.set_geometry(parcels.buffer(-EDGE))
    inner = inner[~inner.is_empty]
    drawn = inner.sample_points(each, rng=np.random.default_rng([seed, 2])).to_crs("EPSG:4326")
    points = drawn.explode(ignore_index=False)
    table = pd.DataFrame(
        {
            "parcel": inner.loc[points.index, "parcel"],
            "lon": points.x.round(6),
            "lat": points.y.round(6),
            "crop": inner.loc[points.index, "crop"],
        }
    )
    table.to_csv(path, index=False)


def read_visits(path: Path) -> geopandas.GeoDataFrame:
    """A table of visited points with their places in EPSG:4326.

    Args:
        path: CSV file with the columns `lon` and `lat`.
    """
    table = pd.read_csv(path)
    places = geopandas.points_from_xy(table["lon"], table["lat"], crs="EPSG:4326")
    return geopandas.GeoDataFrame(table, geometry=places)


def _names(truth: rasterio.DatasetReader) -> dict[int, str]:
    """Names of the codes, from the tags of the file."""
    return {int(text): name for name, text in truth.tags().items() if text.isdecimal()}
