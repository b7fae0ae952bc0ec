"""Scenes of several sensors over one small place: a catalog, the same as an archive, and a loop over pixels.

The loop knows neither engine: it looks at one pixel of one sensor at a time, in Python numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ee
import numpy as np
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.scene_list import Scenes
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Season
from gee_pipeline.sensors import sensor_of
from tests.support.ee_asking import scenes_at
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.plain import plain as plain_of
from tests.support.fake_catalog import FakeCatalog, Layer, raster_v1

NODATA = -9999
EMPTY = -32_768.0
"""The number without meaning in files of the sensors that clouds do not hide."""

DN = raster_v1(scale=0.0001, offset=0, nodata=0, data_type="uint16")
DECIBEL = raster_v1(nodata=EMPTY, data_type="float32", unit="dB")
PLAIN = raster_v1(nodata=EMPTY, data_type="float32")
SCL_CLEAR, SCL_CLOUD = 4, 9


@dataclass(frozen=True)
class Shot:
    """One scene of one sensor, its bands in the unit of the sensor (reflectance as DN)."""

    sensor: str
    id: str
    time: str
    bands: dict[str, Layer]
    classes: Layer | None = None
    flag: Layer | None = None
    """The sensor's own flags."""
    power: bool = False
    """Whether the file holds powers, of which decibels are made."""

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.time).replace(tzinfo=UTC)


@dataclass
class SensorScenes:
    """Shots in a catalog on disk and in the emulator's archive."""

    folder: Path
    shots: list[Shot] = field(default_factory=list)
    archive: Archive = field(default_factory=Archive)

    @property
    def path(self) -> Path:
        return self.folder / "catalog.json"

    def save(self, *shots: Shot) -> SensorScenes:
        """Write the catalog; reflectance reaches the archive by the emulator's own reading of it."""
        self.shots = list(shots)
        catalog = FakeCatalog(self.folder)
        for shot in shots:
            _add(catalog, shot)
        every = catalog.items
        catalog.items = [item for item, shot in zip(every, shots, strict=True) if shot.classes]
        self.archive = archive_of_catalog(catalog.save())
        for shot in shots:
            if not shot.classes:
                self.archive.add(_image(shot))
        catalog.items = every
        catalog.save()
        return self

    def loop(self, geobox: GeoBox, season: Season, bins: range, recipe: Recipe) -> np.ndarray:
        """`(bin, band, y, x)`, each sensor by itself."""
        parts = [self._of_group(geobox, season, bins, recipe, group) for group in recipe.sensors]
        return np.concatenate(parts, axis=1)

    def _of_group(
        self, geobox: GeoBox, season: Season, bins: range, recipe: Recipe, group: SensorGroup
    ) -> np.ndarray:
        own = sorted((s for s in self.shots if s.sensor == group.name), key=lambda s: (s.when, s.id))
        looks = [(shot, _pixels(shot, geobox, group)) for shot in own]
        out = np.full((len(bins), len(group.bands), *geobox.shape), NODATA, np.int16)
        for place, index in enumerate(bins):
            span = season.bin(index, recipe.bin_days)
            there = [(s, p) for s, p in looks if span.start <= s.when.date() < span.end]
            for y, x in np.ndindex(*geobox.shape):
                last = {
                    0 if group.sensor.yearly else shot.when.date(): pixels[y][x]
                    for shot, pixels in there
                    if pixels[y][x] is not None
                }
                for band in range(len(group.bands) if last else 0):
                    values = sorted(pixel[band] for pixel in last.values())
                    middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
                    out[place, band, y, x] = math.floor(middle + 0.5)
        return out

    def earth_engine(self, geobox: GeoBox, season: Season, bins: range, recipe: Recipe) -> np.ndarray:
        """`(bin, band, y, x)`: the graph, evaluated by the emulator."""
        image = graph.composite(self.listed(geobox, season, bins, recipe), season, bins, recipe)
        bands = self.pixels(image, geobox)
        names = [f"{band}_{index}" for index in bins for band in recipe.bands]
        assert list(bands) == names
        assert all(values.dtype == np.int16 and not np.ma.is_masked(values) for values in bands.values())
        cube = np.stack([values.data for values in bands.values()])
        return cube.reshape(len(bins), len(recipe.bands), *geobox.shape)

    def listed(self, geobox: GeoBox, season: Season, bins: range, recipe: Recipe) -> Scenes:
        """The scenes of some pixels, as the emulator lists them."""
        return scenes_at(self.archive, geobox, season, bins, recipe)

    def value(self, expression: Any) -> Any:
        """What the emulator computes."""
        return plain_of(evaluate(ee.serializer.encode(expression), self.archive))

    def pixels(self, image: ee.Image, geobox: GeoBox) -> dict[str, np.ma.MaskedArray]:
        """The bands of an image on some pixels."""
        grid = Grid(str(geobox.crs), geobox.transform, geobox.shape[1], geobox.shape[0])
        bands = image_pixels(evaluate(ee.serializer.encode(image), self.archive), grid)
        return {name: np.ma.array(values, mask=~np.asarray(mask, bool)) for name, values, mask in bands}


def _add(catalog: FakeCatalog, shot: Shot) -> None:
    names = {"sentinel-2": lambda b: f"B{b[1:]:0>2}", "sentinel-1": str.lower}
    name = names.get(shot.sensor, str)
    layers = {name(band): layer for band, layer in shot.bands.items()}
    if shot.classes:
        layers["SCL"] = shot.classes
    if shot.flag:
        layers[sensor_of(shot.sensor).flag.band] = shot.flag
    catalog.add(shot.id, shot.time + "Z", layers, constellation=shot.sensor)


def _image(shot: Shot) -> ImageAsset:
    """The image of a shot in its collection, in the numbers of Earth Engine."""
    sensor = sensor_of(shot.sensor)
    steps = sensor.earth_engine_scale

    def raster(layer: Layer) -> Raster:
        values = layer.values if steps == 1 else layer.values * np.float32(steps)
        return Raster(values, layer.transform, layer.crs, mask=layer.values != EMPTY)

    bands = {band: raster(layer) for band, layer in shot.bands.items()}
    if shot.flag:
        bands[sensor.flag.band] = Raster(shot.flag.values, shot.flag.transform, shot.flag.crs)
    properties: dict[str, Any] = dict(sensor.image_properties)
    if sensor.bands_listed_in:
        properties[sensor.bands_listed_in] = list(shot.bands)
    return ImageAsset(f"{sensor.collection}/{shot.id}", shot.when, bands, properties)


def _pixels(shot: Shot, geobox: GeoBox, group: SensorGroup) -> list[list[list[int] | None]]:
    """The stored observation of each pixel; None where it is not clear, or lacks a possible value."""
    seen = {band: shot.bands[band].nearest(geobox) for band in group.bands}
    classes = shot.classes.nearest(geobox)[0] if shot.classes else None
    flags = shot.flag.nearest(geobox)[0] if shot.flag else None

    def look(y: int, x: int) -> list[int] | None:
        if classes is not None and classes[y, x] not in group.clear.scl_clear:
            return None
        if flags is not None and flags[y, x] not in group.sensor.flag.clear:
            return None
        found = [_stored(values[y, x].item(), shot, group) for values, there in seen.values() if there[y, x]]
        return None if len(found) < len(seen) or None in found else found

    height, width = geobox.shape
    return [[look(y, x) for x in range(width)] for y in range(height)]


def _stored(value: float, shot: Shot, group: SensorGroup) -> int | None:
    if shot.classes:
        return int(value) or None  # 0 is nodata
    if value == EMPTY or math.isnan(value) or (shot.power and value <= 0):
        return None
    sensor = group.sensor
    stored = (10 * math.log10(value) if shot.power else value) * sensor.scale
    if sensor.valid and not sensor.valid[0] * sensor.scale <= stored <= sensor.valid[1] * sensor.scale:
        return None
    return math.floor(stored + 0.5)


def optical(
    id_: str, time: str, seed: int, bands: tuple[str, ...], size: int = 20, cloudy: float = 0.4
) -> Shot:
    """A scene of Sentinel-2 of which a share is cloud, with holes."""
    rng = np.random.default_rng(seed)
    layers = {
        band: Layer(rng.integers(0, 6_000, (size, size)).astype(np.uint16), fields=DN) for band in bands
    }
    classes = np.where(rng.random((size, size)) < cloudy, SCL_CLOUD, SCL_CLEAR).astype(np.uint8)
    return Shot("sentinel-2", id_, time, layers, Layer(classes))


def holed(seed: int, low: float, high: float, size: int = 20, share: float = 0.2) -> np.ndarray:
    """Fractions of 32 bits between two numbers, a share of them missing, some outside the limits."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(low, high, (size, size)).astype(np.float32)
    values[rng.random((size, size)) < share] = EMPTY
    return values


def plain(sensor: str, id_: str, time: str, bands: dict[str, np.ndarray], fields: Any = PLAIN) -> Shot:
    """A scene of a sensor that clouds do not hide."""
    layers = {band: Layer(values, fields=fields) for band, values in bands.items()}
    return Shot(sensor, id_, time, layers, power=sensor == "sentinel-1" and fields is PLAIN)


def spectrum(id_: str, time: str, seed: int, bands: tuple[str, ...], size: int = 20) -> Shot:
    """A scene of EMIT with holes, flagged clouds, and values that no ground has."""
    layers = {
        band: Layer(holed(seed + i, -0.12, 0.9, size, 0.05), fields=PLAIN) for i, band in enumerate(bands)
    }
    flags = (np.random.default_rng(seed).random((size, size)) < 0.3).astype(np.uint8)
    return Shot("emit", id_, time, layers, flag=Layer(flags))


def radar(id_: str, time: str, seed: int, size: int = 20, *, power: bool = False) -> Shot:
    """A scene of Sentinel-1 with gaps of its own in each polarisation; some values are out of range."""
    limits = (1e-6, 0.5) if power else (-53.0, 2.0)
    bands = {band: holed(seed + i, *limits, size) for i, band in enumerate(("VV", "VH"))}
    return plain("sentinel-1", id_, time, bands, PLAIN if power else DECIBEL)
