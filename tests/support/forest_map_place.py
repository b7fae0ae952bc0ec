"""A place of three small cells for whole forest maps: scenes on an emulated Earth Engine, a forest, loops.

What a map must hold is computed here pixel by pixel from the scenes' own numbers and the trees of
scikit-learn; nothing of cropmap is asked for it but where files stand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from cli.main import cropmap
from gee_pipeline.earthengine.client.session import connect, disconnect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.recipe import CloudRule, Recipe
from inference.deployment.deploy import deploy
from inference.models.forest_model import save_forest
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.drive import Drive
from tests.support.ee_emulator.log import Log
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_emulator.storage import Storage
from tests.support.ee_emulator.tasks import Tasks
from tests.support.layer_oracle import LAYERS, pixel_layers
from tests.support.made_forests import grown, model_of

YEAR = 2021
PROJECT = "crop-maps"
ASSET = f"projects/{PROJECT}/assets/forest"
SIZE, ROWS, COLS = 32, 1, 3
STEP = SIZE * 10
CRS = "EPSG:32615"
LEFT, TOP = 700_000 // STEP * STEP, 3_900_000 // STEP * STEP
SHAPE = ROWS * SIZE, COLS * SIZE
BANDS = ("B2", "B8")
BINS = (24, 25, 26)
RECIPE = Recipe.of(bands=BANDS, window=(121, 135), min_clear_bins=2, clear=CloudRule(scl_clear=()))
CLASSES = 3
S2, SCORE = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
DAYS = (121, 123, 128, 131, 134)
"""Days of the year with a scene: two in the first and in the last bin, none twice a day."""

OUTSIDE, NOT_CROPLAND, NOT_ENOUGH, NONE = 0, 254, 255, 255


class Scenes:
    """What the satellite saw of all cells, and where there is cropland."""

    def __init__(self, seed: int = 3) -> None:
        chance = np.random.default_rng(seed)
        self.values = chance.integers(0, 6_000, (len(DAYS), len(BANDS), *SHAPE)).astype(np.uint16)
        self.clear = chance.random((len(DAYS), *SHAPE)) < 0.55
        self.land = chance.choice([10, 30, 40, 40], SHAPE).astype(np.uint8)
        self.land[:SIZE, :SIZE] = 30  # a cell without cropland

    def archive(self) -> Archive:
        """The scenes as Earth Engine holds them."""
        images = [ImageAsset("ESA/WorldCover/v200/2021", None, {"Map": raster(self.land)}, {})]
        for day, values, clear in zip(DAYS, self.values, self.clear, strict=True):
            when = datetime(YEAR, 1, 1, 17, tzinfo=UTC) + timedelta(days=day - 1)
            name = f"{when:%Y%m%dT%H%M%S}_{when:%Y%m%dT%H%M%S}_T15SYU"
            bands = {band: raster(one) for band, one in zip(BANDS, values, strict=True)}
            images.append(ImageAsset(f"{S2}/{name}", when, bands, {}))
            score = raster(np.where(clear, 0.9, 0.1).astype(np.float32))
            images.append(ImageAsset(f"{SCORE}/{name}", when, {"cs": score}, {}))
        return Archive(images)

    def series(self, y: int, x: int) -> list[list[int | None]]:
        """The composite `[bin][band]` of a pixel: medians over days, halves up; None where there is a gap."""
        return [[self._median(index, band, y, x) for band in range(len(BANDS))] for index in range(len(BINS))]

    def _median(self, index: int, band: int, y: int, x: int) -> int | None:
        found = sorted(
            int(self.values[n, band, y, x])
            for n, day in enumerate(DAYS)
            if (day - 121) // 5 == index and self.clear[n, y, x]
        )
        if not found:
            return None
        return math.floor(Fraction(found[(len(found) - 1) // 2] + found[len(found) // 2], 2) + Fraction(1, 2))


def raster(values: NDArray[Any]) -> Raster:
    return Raster(values, Affine(10, 0, LEFT, 0, -10, TOP), CRS)


def filled(series: list[list[int | None]]) -> list[float]:
    """The features of a pixel, band by band: gaps linear in time, the ends hold, halves up."""
    out = []
    for band in range(len(BANDS)):
        seen = {t: Fraction(values[band]) for t, values in enumerate(series) if values[band] is not None}
        for t in range(len(BINS)):
            before = max((s for s in seen if s <= t), default=min(seen))
            after = min((s for s in seen if s >= t), default=max(seen))
            share = Fraction(t - before, after - before) if after > before else Fraction(0)
            out.append(
                float(math.floor(seen[before] + (seen[after] - seen[before]) * share + Fraction(1, 2)))
            )
    return out


class Truth:
    """What a map of the area must hold, one pixel at a time."""

    def __init__(self, scenes: Scenes, forest: RandomForestClassifier) -> None:
        self.scenes, self.forest = scenes, forest

    @cached_property
    def polygon(self) -> shapely.Polygon:
        """The area: an oblique side, and the corner cell is hardly touched."""
        right, bottom = LEFT + COLS * STEP, TOP - ROWS * STEP
        ring = [(LEFT + 4, TOP - 4), (right - 4, TOP - 4), (right - 4, bottom + 90), (LEFT + 4, bottom + 4)]
        return shapely.Polygon(ring)

    def expected(
        self, confidence: str = "votes", *, cropland: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """Class, confidence and clear observations `(3, y, x)` of the whole grid, one pixel at a time."""
        out = np.full((3, *SHAPE), [[[OUTSIDE]], [[NONE]], [[NONE]]], np.uint8)
        for y, x in np.ndindex(SHAPE):
            centre = shapely.Point(LEFT + 10 * x + 5, TOP - 10 * y - 5)
            if not self.polygon.contains(centre):
                continue
            if cropland is not None and not cropland[y, x]:
                out[:, y, x] = NOT_CROPLAND, NONE, NONE
            else:
                out[:, y, x] = self._pixel(y, x, confidence)
        return out

    def expected_layers(
        self, confidence: str = "votes", *, cropland: NDArray[np.bool_] | None = None
    ) -> dict[str, NDArray[np.uint8]]:
        """The bands `(band, y, x)` of each layer on request, of the whole grid, one pixel at a time."""
        out = {name: np.full((CLASSES if name == "probabilities" else 1, *SHAPE), NONE) for name in LAYERS}
        codes = self.expected(confidence, cropland=cropland)[0]
        for y, x in np.argwhere((codes != OUTSIDE) & (codes < NOT_CROPLAND)):
            shares = self._shares(self._rows[y, x][1], soft=confidence == "probability")
            for name, values in pixel_layers(shares).items():
                out[name][:, y, x] = values
        return {name: values.astype(np.uint8) for name, values in out.items()}

    def _pixel(self, y: int, x: int, confidence: str) -> tuple[int, int, int]:
        clear, row = self._rows[y, x]
        if clear < RECIPE.min_clear_bins:
            return NOT_ENOUGH, NONE, clear
        shares = self._shares(row, soft=confidence == "probability")
        best = max(shares)
        code = 1 + shares.index(best)
        return code, NONE if confidence == "none" else math.floor(100 * best + Fraction(1, 2)), clear

    def _shares(self, row: tuple[float, ...], *, soft: bool) -> list[Fraction]:
        """Share of each class: of the trees' votes, or of their leaves in whole ten-thousandths."""
        leaves = self._leaves[row]
        if soft:
            parts = [[math.floor(10_000 * Fraction(v) + Fraction(1, 2)) for v in leaf] for leaf in leaves]
            return [Fraction(sum(column), 10_000 * len(leaves)) for column in zip(*parts, strict=True)]
        votes = Counter(leaf.index(max(leaf)) for leaf in leaves)
        return [Fraction(votes[k], len(leaves)) for k in range(CLASSES)]

    @cached_property
    def _rows(self) -> dict[tuple[int, int], tuple[int, tuple[float, ...]]]:
        """Observed bins and features of each pixel."""
        found = {}
        for y, x in np.ndindex(SHAPE):
            series = self.scenes.series(y, x)
            clear = sum(values[0] is not None for values in series)
            found[y, x] = clear, tuple(filled(series)) if clear else ()
        return found

    @cached_property
    def _leaves(self) -> dict[tuple[float, ...], list[list[float]]]:
        """What the leaf of each tree says of each row of features, by scikit-learn."""
        rows = [row for _, row in self._rows.values() if row]
        table = np.array(rows, np.float32)
        said = [tree.predict_proba(table).tolist() for tree in self.forest.estimators_]
        return dict(zip(rows, ([list(one) for one in zip(*said, strict=True)]), strict=True)) if rows else {}


@dataclass(frozen=True)
class ForestPlace:
    """Files, scenes and a forest."""

    folder: Path
    truth: Truth
    key: Path
    """The same key in all places: another one would open another session."""

    @property
    def model(self) -> Path:
        return self.folder / "forest.safetensors"

    @cached_property
    def area(self) -> Path:
        path = self.folder / "region.gpkg"
        geopandas.GeoDataFrame(geometry=[self.truth.polygon], crs=CRS).to_file(path)
        return path

    def deploy(self, server: Emulator, *, model: Path | None = None, **options: Any) -> None:
        """Bring the forest to the server, as `cropmap forest deploy` does."""
        from inference.models.forest_model import load_forest

        path = model or self.model
        settings = EarthEngineSettings(PROJECT, self.key, server.url)
        with mock.patch.multiple("inference.deployment.probe", ROWS=6, TIES=2):  # it has tests of its own
            deploy(load_forest(path), connect(settings), path, sleep=lambda seconds: None, **options)

    def predict(self, out: Path, *flags: Any, **options: Any) -> Result:
        """`cropmap forest predict` of this place; an option that is None is left out."""
        return run_cropmap("forest", "predict", *self.words(out, **options), *flags)

    def words(self, out: Path, **options: Any) -> list[Any]:
        """The options of the command."""
        usual = {
            "aoi": self.area, "year": YEAR, "forest": self.model, "out": out, "cell_size": SIZE,
            "project": PROJECT, "service_account": self.key,
        }  # fmt: skip
        given = {key: value for key, value in (usual | options).items() if value is not None}
        return [w for key, value in given.items() for w in (f"--{key.replace('_', '-')}", value)]


@contextmanager
def deployed(folder: Path) -> Iterator[tuple[Emulator, ForestPlace]]:
    """A server, and a place whose forest is deployed there."""
    (folder / "place").mkdir()
    truth = Truth(Scenes(), made_forest(folder / "place" / "forest.safetensors"))
    with Emulator(truth.scenes.archive(), project=PROJECT) as emulator:
        place = ForestPlace(folder / "place", truth, emulator.key_file(folder))
        place.deploy(emulator, asset=ASSET)
        yield emulator, place
        assert not emulator.errors
    disconnect()


def made_forest(path: Path) -> RandomForestClassifier:
    """A forest of an odd number of trees, so that two classes alone never tie."""
    forest = grown_forest()
    save_forest(path, model_of(forest, CLASSES, recipe=RECIPE))
    return forest


def cleared(server: Emulator) -> Emulator:
    """The same server without tasks, files and scripts; its assets stay, and a client stays connected."""
    server.storage, server.drive, server.log, server.rule = Storage(), Drive(), Log(), None
    server.tasks = Tasks(
        server.project, server._drawing, server.value, server.storage, server.drive, server.assets
    )
    server._scripts.clear()
    return server


def grown_forest(seed: int = 0, trees: int = 7, classes: int = CLASSES) -> RandomForestClassifier:
    chance = np.random.default_rng(seed)
    rows = chance.integers(0, 6_000, (120, len(BANDS) * len(BINS))).astype(np.float32)
    return grown(rows, chance.integers(0, classes, 120), trees=trees, seed=seed, max_leaf_nodes=12)


def run_cropmap(*arguments: Any) -> Result:
    """The command in this process; an error that is not cropmap's own is raised."""
    return CliRunner().invoke(cropmap, [str(a) for a in arguments], catch_exceptions=False)


def mapped_layer(run: Path, name: str) -> NDArray[np.uint8]:
    """The bands `(band, y, x)` of a layer on request on the pixels of the scenes."""
    with rasterio.open(run / "map" / f"{name}.tif") as file:
        values, (col, row) = file.read(), (round(v) for v in ~file.transform * (LEFT, TOP))
        assert file.nodata == NONE
    out = np.full((len(values), *SHAPE), NONE, np.uint8)
    for y, x in np.ndindex(SHAPE):
        if 0 <= y + row < values.shape[1] and 0 <= x + col < values.shape[2]:
            out[:, y, x] = values[:, y + row, x + col]
    assert (values != NONE).sum() == (out != NONE).sum()
    return out


def mapped(run: Path) -> NDArray[np.uint8]:
    """The three layers `(3, y, x)` of a map on the pixels of the scenes."""
    out = np.full((3, *SHAPE), [[[OUTSIDE]], [[NONE]], [[NONE]]], np.uint8)
    for band, name in enumerate(("crop_map", "confidence", "clear_observations")):
        with rasterio.open(run / "map" / f"{name}.tif") as file:
            col, row = (round(v) for v in ~file.transform * (LEFT, TOP))
            assert file.crs.to_epsg() == 32615
            assert (file.transform.a, file.transform.e) == (10, -10)
            layer = file.read(1)
            for y, x in np.ndindex(SHAPE):
                if 0 <= y + row < layer.shape[0] and 0 <= x + col < layer.shape[1]:
                    out[band, y, x] = layer[y + row, x + col]
            assert (layer != (OUTSIDE, NONE, NONE)[band]).sum() == (
                out[band] != (OUTSIDE, NONE, NONE)[band]
            ).sum()
    return out
