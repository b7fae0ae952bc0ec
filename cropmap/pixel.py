"""What a run says of one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyproj

from gee_pipeline.errors import InputError
from gee_pipeline.layers import PROBABILITIES
from gee_pipeline.map_codes import NONE, OUTSIDE

if TYPE_CHECKING:
    import xarray

    from cropmap.run import CropMap, Run


def pixel_of(run: Run, lon: float, lat: float) -> dict[str, Any]:
    """Class, confidence, probabilities and series of the pixel at a place, as `Run.pixel` says.

    Raises:
        InputError: The place is not on the map.
    """
    found = answer_at(run.map, lon, lat)
    if not (run.folder / "composites").is_dir():
        return {**found, "series": None}
    return {**found, "series": series_at(run.composites, lon, lat)}


def answer_at(crop_map: CropMap, lon: float, lat: float) -> dict[str, Any]:
    """Class, confidence and probabilities at a place.

    Raises:
        InputError: The place is not on the map.
    """
    code = int(_at(crop_map.classes, lon, lat).values)
    names = {entry.code: entry.name for entry in crop_map.legend.entries} | {OUTSIDE: "outside the area"}
    confidence = int(_at(crop_map.confidence, lon, lat).values)
    shares = None
    if (crop_map.folder / f"{PROBABILITIES.name}.tif").is_file():
        values = _at(crop_map.probabilities, lon, lat)
        shares = dict(zip(values["class"].values.tolist(), values.values.tolist(), strict=True))
    return {
        "class": names[code],
        "confidence": None if confidence == NONE else confidence,
        "probabilities": shares,
    }


def series_at(composites: xarray.Dataset, lon: float, lat: float) -> pd.DataFrame:
    """Reflectance by band, and NDVI where its bands are there, by the first day of each bin; NaN in gaps."""
    one = _at(composites, lon, lat).drop_vars(["x", "y", "spatial_ref"])
    table = one.to_dataframe()
    if {"B4", "B8"} <= set(table):
        table["NDVI"] = (table["B8"] - table["B4"]) / (table["B8"] + table["B4"])
    return table


def _at(values: Any, lon: float, lat: float) -> Any:
    """The pixel of a raster that holds a place."""
    crs = values.rio.crs
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    west, south, east, north = values.rio.bounds()
    if not (west <= x < east and south < y <= north):
        raise InputError(f"The place ({lon:g}, {lat:g}) is not on the map. Give degrees east and north.")
    return values.sel(x=x, y=y, method="nearest")
