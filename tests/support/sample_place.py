"""A square kilometre or six of made land behind the emulator: a reference map, scenes, and what they show.

What `Land` tells is plain numpy on purpose: tests compare with it what cropmap and the emulator make.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ee
import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.fake_catalog import FakeCatalog, Layer, raster_v1
from training.sampling.series import server_series

S2 = "COPERNICUS/S2_SR_HARMONIZED"
SCORE = "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
BANDS = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")
COARSE = ("B5", "B6", "B7", "B8A", "B11", "B12")
DN = raster_v1(scale=0.0001, offset=0, nodata=0, data_type="uint16")
NODATA = -9999
FIELD = 11  # pixels of 30 m along a side of a field: 330 m
SIZE = 4_800  # metres along a side of scenes and map


@dataclass(frozen=True)
class Shot:
    """One scene on 10 and 20 m pixels, and its Cloud Score+."""

    time: datetime
    values: dict[str, NDArray[np.uint16]]
    score: NDArray[np.float32]


class Land:
    """Some squares of 0.01 degree around a place, with a map of 30 m and scenes of a year."""

    def __init__(
        self,
        crs: str = "EPSG:32615",
        lon: float = -91.25,
        lat: float = 35.03,
        days: Sequence[str] = ("2021-05-03", "2021-05-04", "2021-07-16", "2021-09-09"),
        values: Sequence[int] = (1, 5, 24, 36, 111, 176),
        asset: str = "USDA/NASS/CDL/2021",
        seed: int = 5,
        band: str = "cropland",
    ) -> None:
        self.crs, self.lon, self.lat, self.asset, self.band = crs, lon, lat, asset, band
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
        self.left, self.top = 10 * round((x - SIZE / 2) / 10), 10 * round((y + SIZE / 2) / 10)
        rng = np.random.default_rng(seed)
        side = SIZE // 30
        fields = rng.choice(values, (side // FIELD + 1, side // FIELD + 1))
        self.map = fields.repeat(FIELD, 0).repeat(FIELD, 1)[:side, :side].astype(np.uint8)
        self.shots = [self._shot(datetime.fromisoformat(f"{day}T16:49:01"), rng) for day in days]

    def _shot(self, time: datetime, rng: np.random.Generator) -> Shot:
        def numbers(band: str) -> NDArray[np.uint16]:
            side = SIZE // (20 if band in COARSE else 10)
            return rng.integers(1, 9_000, (side, side)).astype(np.uint16)

        score = rng.choice(np.array([0.2, 0.9], np.float32), (SIZE // 10, SIZE // 10), p=[0.3, 0.7])
        return Shot(time.replace(tzinfo=UTC), {band: numbers(band) for band in BANDS}, score)

    @property
    def archive(self) -> Archive:
        """The land as Earth Engine would hold it."""
        images = [ImageAsset(self.asset, None, {self.band: self._raster(self.map)})]
        for shot in self.shots:
            name = f"{shot.time:%Y%m%dT%H%M%S}_{shot.time:%Y%m%dT%H%M%S}_T15SXU"
            bands = {band: self._raster(values) for band, values in shot.values.items()}
            scl = self._raster(np.full((SIZE // 20, SIZE // 20), 4, np.uint8))
            images += [
                ImageAsset(f"{S2}/{name}", shot.time, {**bands, "SCL": scl}),
                ImageAsset(f"{SCORE}/{name}", shot.time, {"cs": self._raster(shot.score)}),
            ]
        return Archive(images)

    def _raster(self, values: NDArray[np.generic]) -> Raster:
        step = SIZE / len(values)
        return Raster(values, Affine(step, 0, self.left, 0, -step, self.top), self.crs)

    def raster(self, path: Path, values: NDArray[np.generic] | None = None, **profile: Any) -> Path:
        """The map, or other values on its pixels, as a GeoTIFF."""
        raster = self._raster(self.map if values is None else values)
        kind = {"driver": "GTiff", "count": 1, "dtype": raster.values.dtype, "crs": self.crs}
        height, width = raster.values.shape
        with rasterio.open(
            path, "w", **kind, height=height, width=width, transform=raster.transform, **profile
        ) as file:
            file.write(raster.values, 1)
        return path

    def parcels(self, codes: dict[int, str], inside: float = 10.0) -> geopandas.GeoDataFrame:
        """The fields of the map as polygons, some metres inside their edges, with the column `code`."""
        rows, cols = (range(0, side, FIELD) for side in self.map.shape)
        side = FIELD * 30
        corners = [(r, c) for r in rows for c in cols]
        shapes = [
            shapely.box(
                x := self.left + 30 * c + inside,
                y := self.top - 30 * r - side + inside,
                x + side - 2 * inside,
                y + side - 2 * inside,
            )
            for r, c in corners
        ]
        values = [codes[int(self.map[r, c])] for r, c in corners]
        return geopandas.GeoDataFrame({"code": values}, geometry=shapes, crs=self.crs)

    def catalog(self, folder: Path) -> Path:
        """The scenes in a STAC catalog on disk."""
        catalog = FakeCatalog(folder)
        for shot in self.shots:
            layers = {f"B{band[1:]:0>2}": self._layer(values, DN) for band, values in shot.values.items()}
            layers["SCL"] = self._layer(np.full((SIZE // 20, SIZE // 20), 4, np.uint8), {})
            layers["cs"] = self._layer(shot.score, {})
            catalog.add(f"S2_{shot.time:%Y%m%d}", f"{shot.time:%Y-%m-%dT%H:%M:%S}Z", layers)
        return catalog.save()

    def _layer(self, values: NDArray[np.generic], fields: dict[str, Any]) -> Layer:
        return Layer(values, self.left, self.top, SIZE / len(values), self.crs, fields=fields)

    def area(self, folder: Path, cols: int = 3, rows: int = 2) -> Path:
        """GeoJSON of whole squares of 0.01 degree around the middle, a little less at the edges."""
        west, south = round(self.lon, 2) - 0.02 + 1e-4, round(self.lat, 2) - 0.01 + 1e-4
        east, north = west + cols * 0.01 - 2e-4, south + rows * 0.01 - 2e-4
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        path = folder / f"area_{cols}x{rows}.geojson"
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        return path

    def pixel(self, lon: float, lat: float, size: int) -> tuple[int, int]:
        """Row and column of the pixel of this many metres that holds a place."""
        x, y = pyproj.Transformer.from_crs("EPSG:4326", self.crs, always_xy=True).transform(lon, lat)
        return math.floor((self.top - y) / size), math.floor((x - self.left) / size)

    def around(self, lon: float, lat: float, metres: int) -> set[int]:
        """Values of the map on all 10 m pixels whose centre is this near to the centre of that of a place."""
        row, col = self.pixel(lon, lat, 10)
        reach = range(-(metres // 10), metres // 10 + 1)
        near = [(dy, dx) for dy in reach for dx in reach if math.hypot(10 * dy, 10 * dx) <= metres]
        return {int(self.map[(row + dy) // 3, (col + dx) // 3]) for dy, dx in near}

    def series(
        self, lon: float, lat: float, start: date, bands: Sequence[str] = BANDS, bin_days: int = 5
    ) -> NDArray[np.int16]:
        """`(band, bin)`: medians of the clear scenes of each bin, one pixel, in Python numbers."""
        out = np.full((len(bands), 365 // bin_days), NODATA, np.int16)
        for index in range(365 // bin_days):
            clear = [
                shot
                for shot in self.shots
                if (shot.time.date() - start).days // bin_days == index
                and shot.score[self.pixel(lon, lat, 10)] >= 0.75
            ]
            for place, band in enumerate(bands if clear else ()):
                size = 20 if band in COARSE else 10
                seen = sorted(int(shot.values[band][self.pixel(lon, lat, size)]) for shot in clear)
                middle = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2
                out[place, index] = math.floor(middle + 0.5)
        return out


def quick_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the servers make up series from the place of a pixel: a year of scenes takes them a second each."""

    def composite(region: Any, season: Season, bins: range, recipe: Recipe) -> ee.Image:
        place = ee.Image.pixelLonLat().multiply(1e5).mod(997).abs().floor()
        number = place.select(["longitude"]).add(place.select(["latitude"]))
        names = [f"{band}_{index}" for index in bins for band in recipe.bands]
        return (
            ee.Image.constant([7 * i % 5_000 for i in range(len(names))]).add(number).rename(names).toInt16()
        )

    monkeypatch.setattr(server_series.graph, "composite", composite)
