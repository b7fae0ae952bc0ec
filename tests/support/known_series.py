"""Scenes that hold a known series in every pixel, and images of Earth Engine computed on them."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import ee
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites.scene_list import Scenes
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER
from tests.support.ee_asking import scenes_at
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid
from tests.support.fake_catalog import LEFT, TOP, UTM32

NODATA = -9999
SEASON = SUMMER.season(2021, "north")
SCENES = "COPERNICUS/S2_SR_HARMONIZED"
SCORES = "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
SCORED = CloudRule(scl_clear=())  # all scenes here have a score, and graphs are a third as large
PLACE = Affine(10, 0, LEFT, 0, -10, TOP)


def recipe_of(bins: int, bands: tuple[str, ...] = ("B4", "B11"), **options: Any) -> Recipe:
    """A window of some bins from the 24th on."""
    return Recipe.of(bands=bands, window=(121, 120 + 5 * bins), clear=SCORED, **options)


def archive_of(cube: np.ndarray, recipe: Recipe) -> Archive:
    """One scene a bin, cloudy where the composite `(bin, band, y, x)` has a gap."""
    archive = Archive(collections=[SCENES, SCORES])
    for index, values in zip(recipe.window, cube, strict=True):
        day = SEASON.start + timedelta(days=index * recipe.bin_days)
        when = datetime(day.year, day.month, day.day, 10, 30, tzinfo=UTC)
        clear = (values != NODATA).all(axis=0)
        bands = {band: raster(one.astype(np.int32)) for band, one in zip(recipe.bands, values, strict=True)}
        archive.add(ImageAsset(f"{SCENES}/S{index:02}", when, bands))
        score = raster(np.where(clear, 0.9, 0.1).astype(np.float32))
        archive.add(ImageAsset(f"{SCORES}/S{index:02}", when, {"cs": score}))
    return archive


def raster(values: np.ndarray) -> Raster:
    return Raster(values, PLACE, UTM32)


def cube_of(seed: int, seen: np.ndarray, bands: int, top: int = 6_000) -> np.ndarray:
    """Random DN `(bin, band, y, x)` where `seen` `(bin, y, x)` is True, else nodata."""
    values = np.random.default_rng(seed).integers(0, top, (len(seen), bands, *seen.shape[1:]))
    return np.where(seen[:, None], values, NODATA).astype(np.int16)


def every_pattern(bins: int) -> np.ndarray:
    """`(bin, y, x)`: each pixel has another of all the ways to see or miss the bins."""
    patterns = np.array(list(product([False, True], repeat=bins))).T
    return patterns.reshape(bins, 2 ** (bins // 2), -1)


def computed(image: ee.Image, archive: Archive, shape: tuple[int, int]) -> dict[str, np.ma.MaskedArray]:
    """The bands of an image on the pixels of the scenes."""
    grid = Grid(UTM32, PLACE, shape[1], shape[0])
    bands = image_pixels(evaluate(ee.serializer.encode(image), archive), grid)
    return {name: np.ma.array(values, mask=~mask) for name, values, mask in bands}


def listed(archive: Archive, recipe: Recipe) -> Scenes:
    """The scenes over the place."""
    return scenes_at(archive, GeoBox((8, 8), PLACE, UTM32), SEASON, recipe.window, recipe)
