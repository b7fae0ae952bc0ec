"""Expressions are made by the real client, without a server, and evaluated in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import ee
import numpy as np
import pytest
from affine import Affine
from ee import _state, apitestcase, serializer
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites.scene_list import Scenes
from gee_pipeline.earthengine.composites.search import find_scenes
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.plain import plain

UTM15 = "EPSG:32615"
LEFT, TOP = 690_000, 3_870_000


@contextmanager
def offline_client() -> Iterator[None]:
    """The client, initialised from the list of algorithms that comes with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ee.deprecation, "_FetchDataCatalogStac", dict)
        patch.setattr(ee.data, "getAlgorithms", apitestcase.GetAlgorithms)
        patch.setattr(ee.data, "_install_cloud_api_resource", lambda: None)
        patch.setattr(_state, "_state", _state.EEState())
        ee.Initialize(None, project="none")
        yield


def grid(height: int = 1, width: int = 1, left: float = LEFT, top: float = TOP, size: float = 10) -> Grid:
    return Grid(UTM15, Affine(size, 0, left, 0, -size, top), width, height)


def graph_of(expression: Any) -> dict[str, Any]:
    """What the client would send."""
    return serializer.encode(expression, for_cloud_api=True)


def value(expression: Any, *assets: ImageAsset) -> Any:
    """The answer of value:compute."""
    return plain(evaluate(graph_of(expression), Archive(assets)))


def scenes_at(archive: Archive, box: GeoBox, season: Season, bins: range, recipe: Recipe) -> Scenes:
    """The scenes of some pixels, as the emulator lists them."""

    def ask(expression: Any, read: Any) -> Any:
        return read(plain(evaluate(graph_of(expression), archive)))

    (found,) = find_scenes(ask, box, [box], season.span(bins, recipe.bin_days), recipe)
    return found


def pixels(image: Any, where: Grid | None = None, *assets: ImageAsset) -> dict[str, np.ma.MaskedArray]:
    """Bands by name on a grid, invalid pixels masked."""
    bands = image_pixels(evaluate(graph_of(image), Archive(assets)), where or grid())
    return {name: np.ma.array(values, mask=~mask) for name, values, mask in bands}


def pixel(image: Any, *assets: ImageAsset) -> dict[str, Any]:
    """Bands by name at one pixel, None where masked."""
    return {name: band.tolist()[0][0] for name, band in pixels(image, None, *assets).items()}


def raster(
    values: Any, dtype: Any = "uint16", left: float = LEFT, top: float = TOP, size: float = 10
) -> Raster:
    """A raster in UTM zone 15; values are rows, and 0 is nodata."""
    return Raster(np.array(values, dtype), Affine(size, 0, left, 0, -size, top), UTM15, nodata=0)


def asset(
    name: str, time: datetime | None = None, properties: dict[str, Any] | None = None, **bands: Raster
) -> ImageAsset:
    return ImageAsset(name, time, bands, properties or {})
