"""Small STAC catalogs on disk, written as plain JSON and GeoTIFF, and a nearest-pixel oracle."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Cell

UTM32 = "EPSG:32632"
LEFT, TOP = 512_000, 5_120_000  # multiples of 2,560 m, longitude 9.16, latitude 46.23


def cell_at(left: float = LEFT, top: float = TOP, size: int = 24, crs: str = UTM32) -> Cell:
    return Cell(3, 12, GeoBox((size, size), Affine(10, 0, left, 0, -10, top), crs))


def lonlat_box(west: float, south: float, east: float, north: float, crs: str) -> dict[str, Any]:
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    to = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform
    return {"type": "Polygon", "coordinates": [[list(to(x, y)) for x, y in corners]]}


@dataclass
class Layer:
    """One GeoTIFF: `(y, x)` or `(band, y, x)`."""

    values: np.ndarray
    left: float = LEFT
    top: float = TOP
    resolution: float = 10
    crs: str = UTM32
    nodata: float | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def transform(self) -> Affine:
        return Affine(self.resolution, 0, self.left, 0, -self.resolution, self.top)

    def write(self, path: Path) -> None:
        cube = self.values if self.values.ndim == 3 else self.values[None]
        count, height, width = cube.shape
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=cube.dtype,
            crs=self.crs,
            transform=self.transform,
            nodata=self.nodata,
            tiled=True,
            blockxsize=16,
            blockysize=16,
            compress="deflate",
        ) as file:
            file.write(cube)

    def nearest(self, geobox: GeoBox) -> tuple[np.ndarray, np.ndarray]:
        """Values `(..., y, x)` of the pixels that hold the centres of a geobox, and where there are any."""
        rows, cols = np.mgrid[: geobox.shape[0], : geobox.shape[1]] + 0.5
        x = geobox.transform.c + geobox.transform.a * cols
        y = geobox.transform.f + geobox.transform.e * rows
        if str(geobox.crs) != self.crs:
            x, y = pyproj.Transformer.from_crs(str(geobox.crs), self.crs, always_xy=True).transform(x, y)
        col = np.floor((x - self.left) / self.resolution).astype(int)
        row = np.floor((self.top - y) / self.resolution).astype(int)
        height, width = self.values.shape[-2:]
        there = (row >= 0) & (col >= 0) & (row < height) & (col < width)
        return self.values[..., row.clip(0, height - 1), col.clip(0, width - 1)], there


class FakeCatalog:
    """A static catalog: `add` scenes, then `save`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, day: str, layers: dict[str, Layer], **properties: Any) -> dict[str, Any]:
        """Write a scene acquired on a day, for example `2021-05-03` or `2021-05-03T10:30:00Z`."""
        home = self.folder / name
        home.mkdir()
        assets = {}
        for key, layer in layers.items():
            layer.write(home / f"{key}.tif")
            assets[key] = {"href": f"./{key}.tif", "type": "image/tiff; application=geotiff", **layer.fields}
        first = next(iter(layers.values()))
        height, width = first.values.shape[-2:]
        right, bottom = first.left + width * first.resolution, first.top - height * first.resolution
        geometry = lonlat_box(first.left, bottom, right, first.top, first.crs)
        points = np.array(geometry["coordinates"][0])
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "geometry": geometry,
            "bbox": [*points.min(0).tolist(), *points.max(0).tolist()],
            "properties": {"datetime": day if "T" in day else f"{day}T10:30:00Z", **properties},
            "links": [],
            "assets": assets,
        }
        self.items.append(item)
        return item

    def save(self) -> Path:
        """`catalog.json` with a link to every item's own file."""
        links = []
        for item in self.items:
            (self.folder / item["id"] / "item.json").write_text(json.dumps(item))
            links.append({"rel": "item", "href": f"./{item['id']}/item.json", "type": "application/geo+json"})
        catalog = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "fake",
            "description": "fake scenes",
            "links": links,
        }
        path = self.folder / "catalog.json"
        path.write_text(json.dumps(catalog))
        return path


def raster_v1(**fields: Any) -> dict[str, Any]:
    """Asset fields of the raster extension, version 1."""
    return {"raster:bands": [fields]}
