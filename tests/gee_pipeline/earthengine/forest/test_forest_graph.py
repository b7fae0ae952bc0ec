"""Features and predictions on the servers: equal to the local ones and to plain loops, and not too large.

The graphs are evaluated by the emulator over scenes that hold a known series in every pixel.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

import ee
import numpy as np
import pytest

from gee_pipeline.bands import BANDS
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.forest import forest_graph
from gee_pipeline.earthengine.forest.forest_graph import ForestGraph, Voters
from gee_pipeline.earthengine.prediction.filled_series import composites_of, observed_bins, whole_series
from gee_pipeline.earthengine.prediction.map_image import prediction
from gee_pipeline.errors import InputError
from gee_pipeline.features.feature_names import feature_names
from gee_pipeline.map_codes import NOT_ENOUGH
from gee_pipeline.recipe import Recipe
from gee_pipeline.stac.composites.source import StacSource
from inference.deployment.deployment import ensembles
from inference.models.forest_features import forest_features
from inference.models.forest_predictor import ForestPredictor
from inference.models.series import pixel_series
from tests.support.ee_asking import scenes_at
from tests.support.ee_emulator.archive import ImageAsset
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.fake_catalog import FakeCatalog, Layer, cell_at, raster_v1
from tests.support.known_series import (
    NODATA,
    SCORED,
    SEASON,
    archive_of,
    computed,
    cube_of,
    every_pattern,
    listed,
    raster,
    recipe_of,
)
from tests.support.made_forests import grown, model_of
from tests.support.made_scene_list import made_scenes, on_collections
from tests.support.request_shape import NESTING_LIMIT, nesting, steps
from tests.support.sensor_scenes import SensorScenes, optical, radar

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("offline_client")]

PAYLOAD_LIMIT = 10 * 2**20  # bytes of one request


def served(cube: np.ndarray, recipe: Recipe, kind: str) -> dict[str, np.ma.MaskedArray]:
    """Features as the servers compute them, in the order of their bands."""
    archive = archive_of(cube, recipe)
    image = forest_graph.features(composites_of(listed(archive, recipe), SEASON, recipe), recipe, kind)
    return computed(image, archive, cube.shape[2:])


def columns(bands: dict[str, np.ma.MaskedArray], names: tuple[str, ...], keep: np.ndarray) -> np.ndarray:
    """`(pixel, feature)` of the kept pixels, none of which may be masked; nor may another be valid."""
    for values in bands.values():
        np.testing.assert_array_equal(~np.ma.getmaskarray(values), keep)
    return np.stack([bands[name].data[keep] for name in names], axis=1)


# ---- the loop ----


def filled(one: list[list[int]]) -> list[list[int]]:
    """The series `[band][bin]` of one pixel in exact fractions, halves up."""
    bins = range(len(one[0]))
    seen = [t for t in bins if one[0][t] != NODATA]
    return [[math.floor(between(band, seen, t) + Fraction(1, 2)) for t in bins] for band in one]


def between(band: list[int], seen: list[int], t: int) -> Fraction:
    before = max((s for s in seen if s <= t), default=seen[0])
    after = min((s for s in seen if s >= t), default=seen[-1])
    if before >= after:
        return Fraction(band[before])
    return band[before] + Fraction((band[after] - band[before]) * (t - before), after - before)


# ---- features ----


@pytest.mark.parametrize("bins", range(1, 10))
def test_all_ways_to_miss_bins_are_filled_as_a_loop_fills_them(bins):
    seen = every_pattern(bins)
    cube, recipe = cube_of(bins, seen, bands=2), recipe_of(bins)
    keep = seen.any(axis=0)
    found = columns(served(cube, recipe, "median"), feature_names(recipe, "median"), keep)
    series = pixel_series(cube, keep)
    assert found.tolist() == [[value for band in filled(one) for value in band] for one in series.tolist()]
    np.testing.assert_array_equal(found, forest_features(series, recipe, "median"))


def test_the_whole_window_in_ten_bands_equals_the_local_features():
    """Long gaps between the least and the greatest DN, where single precision would round otherwise."""
    recipe = Recipe.of(clear=SCORED)
    rng = np.random.default_rng(1)
    seen = rng.random((43, 6, 6)) < rng.choice([0.02, 0.1, 0.4], (6, 6))
    cube = cube_of(2, seen, bands=10, top=32_767)
    bands = served(cube, recipe, "median")
    assert {values.dtype for values in bands.values()} == {np.dtype(np.int16)}
    assert list(bands) == [f"{band}_{index}" for index in range(24, 67) for band in BANDS]
    keep = seen.any(axis=0)
    assert 0 < keep.sum() < keep.size
    found = columns(bands, feature_names(recipe, "median"), keep)
    np.testing.assert_array_equal(found, forest_features(pixel_series(cube, keep), recipe, "median"))


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([1, NODATA, 2, NODATA, 1], [1, 2, 2, 2, 1]),  # halves, rising and falling
        ([-1, NODATA, -2, NODATA, -1], [-1, -1, -2, -1, -1]),  # -1.5 goes up to -1
        ([NODATA, NODATA, 7, NODATA, NODATA], [7, 7, 7, 7, 7]),
        ([-9998, NODATA, 32_766, NODATA, -9998], [-9998, 11_384, 32_766, 11_384, -9998]),
    ],
)
def test_halves_and_ends(series, expected):
    cube = np.array(series, np.int16).reshape(5, 1, 1, 1)
    bands = served(cube, recipe_of(5, ("B4",)), "median")
    assert [int(values[0, 0]) for values in bands.values()] == expected


def test_harmonic_features_equal_the_local_ones():
    recipe = recipe_of(43, ("B12", "B3", "B8A", "B8", "B11"))
    rng = np.random.default_rng(3)
    seen = rng.random((43, 8, 8)) < rng.choice([0.02, 0.3, 0.8], (8, 8))
    cube = cube_of(4, seen, bands=5)
    bands = served(cube, recipe, "harmonic")
    assert tuple(bands) == feature_names(recipe, "harmonic")
    assert {values.dtype for values in bands.values()} == {np.dtype(np.int32)}
    keep = seen.any(axis=0)
    found = columns(bands, feature_names(recipe, "harmonic"), keep)
    np.testing.assert_array_equal(found, forest_features(pixel_series(cube, keep), recipe, "harmonic"))


def test_an_index_that_ends_on_a_half_is_rounded_up_and_a_dark_green_counts_as_100():
    """Series of one observation, so that the constant is all there is."""
    recipe = recipe_of(10, ("B3", "B8", "B8A", "B11", "B12"))
    cube = np.full((10, 5, 1, 4), NODATA, np.int16)
    cube[6] = 1_000
    cube[6, 0, 0] = [800, 800, 50, -20]
    cube[6, 1, 0] = [2401, 2403, 3000, -500]
    bands = served(cube, recipe, "harmonic")
    assert bands["GCVI_constant"].tolist() == [[20_013, 20_038, 290_000, -60_000]]
    assert all((values == 0).all() for name, values in bands.items() if not name.endswith("constant"))


def test_observed_bins_are_counted_where_there_are_none_too():
    seen = every_pattern(6)
    recipe = recipe_of(6)
    archive = archive_of(cube_of(0, seen, 2), recipe)
    image = observed_bins(composites_of(listed(archive, recipe), SEASON, recipe), recipe)
    (found,) = computed(image, archive, seen.shape[1:]).values()
    assert found.dtype == np.uint8
    assert not np.ma.getmaskarray(found).any()
    np.testing.assert_array_equal(found, seen.sum(axis=0))


def test_harmonic_features_need_their_bands():
    with pytest.raises(InputError, match="B8A"):
        forest_graph.features(
            composites_of(made_scenes(SEASON), SEASON, recipe_of(3)), recipe_of(3), "harmonic"
        )


def test_a_catalog_gives_both_engines_the_same_features(tmp_path):
    """From scenes to features: several days per bin, clouds, scenes without score, a place beyond them."""
    recipe = Recipe.of(bands=("B4", "B11"), window=(121, 145))
    catalog = FakeCatalog(tmp_path)
    for number, day in enumerate((2, 4, 6, 13, 22, 23)):
        catalog.add(f"S{number}", f"2021-05-{day:02}T10:30:00Z", layers_of(number))
    path, cell = catalog.save(), cell_at(size=20)
    local = StacSource(str(path), recipe).read_cell(cell, SEASON, recipe.window).values
    keep = (local[:, 0] != NODATA).any(axis=0)
    assert 0 < keep.sum() < keep.size
    archive = archive_of_catalog(path)
    scenes = scenes_at(archive, cell.geobox, SEASON, recipe.window, recipe)
    image = forest_graph.features(composites_of(scenes, SEASON, recipe), recipe, "median")
    bands = computed(image, archive, cell.geobox.shape)
    found = columns(bands, feature_names(recipe, "median"), keep)
    np.testing.assert_array_equal(found, forest_features(pixel_series(local, keep), recipe, "median"))


def layers_of(seed: int) -> dict[str, Layer]:
    """A scene of 16 x 16 pixels with clouds; every third has no score."""
    rng = np.random.default_rng(seed)
    raw = raster_v1(scale=0.0001, offset=0, nodata=60_000, data_type="uint16")
    layers = {
        "B04": Layer(rng.integers(0, 9_000, (16, 16)).astype(np.uint16), fields=raw),
        "B11": Layer(rng.integers(0, 9_000, (8, 8)).astype(np.uint16), resolution=20, fields=raw),
        "SCL": Layer(rng.integers(0, 12, (8, 8)).astype(np.uint8), resolution=20),
    }
    return layers if seed % 3 == 2 else layers | {"cs": Layer(rng.random((16, 16)).astype(np.float32))}


# ---- predictions ----

CLASSES = 4
TREES = 6  # even, so that votes tie


@dataclass(frozen=True)
class Stump:
    """A tree of one split, or of none where the two sides are the same."""

    name: str
    threshold: float
    below: int
    above: int

    @property
    def text(self) -> str:
        if self.below == self.above:
            return f"1) root 9 9 {self.below} *"
        sides = (f"2) {self.name} <=", self.below), (f"3) {self.name} >", self.above)
        leaves = [f"{side} {self.threshold} 9 9 {value} *" for side, value in sides]
        return "\n".join(["1) root 9 9 0", *leaves])

    def of(self, features: dict[str, np.ndarray]) -> np.ndarray:
        return np.where(features[self.name] <= self.threshold, self.below, self.above)


def stumps(seed: int, names: tuple[str, ...], lowest: int, highest: int) -> list[Stump]:
    rng = np.random.default_rng(seed)
    return [
        Stump(rng.choice(names), rng.integers(0, 6_000) + 0.5, *rng.integers(lowest, highest + 1, 2).tolist())
        for _ in range(TREES)
    ]


def ensemble(trees: list[Stump], mode: str) -> ee.Classifier:
    return ee.Classifier.decisionTreeEnsemble([tree.text for tree in trees]).setOutputMode(mode)


def said_of(features: dict[str, np.ndarray], confidence: str, forests: list[list[Stump]]) -> np.ndarray:
    """`(2, pixel)`: class and confidence, pixel by pixel in whole numbers."""
    answers = np.array([[tree.of(features) for tree in trees] for trees in forests])  # (forest, tree, pixel)
    out = []
    for pixel in range(answers.shape[2]):
        said = answers[:, :, pixel].tolist()
        if confidence == "probability":
            parts, whole = [sum(shares) for shares in said], 10_000 * TREES
        else:
            parts, whole = [said[0].count(code) for code in range(1, CLASSES + 1)], TREES
        best = max(parts)
        percent = math.floor(Fraction(100 * best, whole) + Fraction(1, 2))
        out.append((parts.index(best) + 1, percent))
    return np.array(out).T


def world_cover(cropland: np.ndarray) -> ImageAsset:
    classes = np.where(cropland, 40, 10).astype(np.uint8)
    return ImageAsset("ESA/WorldCover/v200/2021", datetime(2021, 1, 1), {"Map": raster(classes)})


def forests_of(confidence: str, names: tuple[str, ...], seed: int) -> tuple[list[list[Stump]], Voters]:
    if confidence == "probability":
        forests = [stumps(seed + code, names, 0, 10_000) for code in range(CLASSES)]
    else:
        forests = [stumps(seed, names, 1, CLASSES)]
    mode = {"votes": "RAW", "probability": "REGRESSION", "none": "CLASSIFICATION"}[confidence]
    return forests, Voters(confidence, tuple(ensemble(trees, mode) for trees in forests), CLASSES)


@pytest.mark.parametrize("confidence", ["votes", "probability", "none"])
@pytest.mark.parametrize("least", [0, 3])
def test_a_prediction_is_what_the_trees_say_where_enough_is_seen_and_cropland(confidence, least):
    """All ways to see seven bins, half of the place cropland; no pixel without observation has a class."""
    recipe = recipe_of(7, min_clear_bins=least)
    names = feature_names(recipe, "median")
    seen = every_pattern(7)
    cube = cube_of(5, seen, bands=2)
    cropland = np.random.default_rng(0).random(seen.shape[1:]) < 0.5
    forests, voters = forests_of(confidence, names, seed=11)
    mask = graph.cropland("worldcover")
    archive = archive_of(cube, recipe)
    scenes = listed(archive, recipe)
    image = prediction(scenes, SEASON, recipe, ForestGraph("median", voters), cropland=mask)
    archive.add(world_cover(cropland))
    bands = computed(image, archive, seen.shape[1:])

    count = seen.sum(axis=0)
    mapped = cropland & (count >= max(least, 1))
    series = [filled(one) for one in pixel_series(cube, mapped).tolist()]
    features = dict(zip(names, np.array(series).reshape(len(series), -1).T, strict=True))
    expected = np.full((3, *count.shape), 255)
    expected[0, ~cropland] = 254
    expected[2, cropland] = count[cropland]
    expected[:2, mapped] = said_of(features, confidence, forests)
    if confidence == "none":
        expected[1] = (
            255  # of tied classes the emulator takes the smaller code; the service's rule is unknown
        )
    assert list(bands) == ["class", "confidence", "clear"]
    for values, wanted in zip(bands.values(), expected, strict=True):
        assert values.dtype == np.uint8
        assert not np.ma.getmaskarray(values).any()
        np.testing.assert_array_equal(values, wanted)


def test_without_a_mask_everything_is_mapped_and_harmonic_forests_see_their_coefficients():
    recipe = recipe_of(9, ("B3", "B8", "B8A", "B11", "B12"), min_clear_bins=2)
    seen = np.random.default_rng(0).random((9, 8, 8)) < 0.3
    cube = cube_of(6, seen, bands=5)
    names = feature_names(recipe, "harmonic")
    forests, voters = forests_of("votes", names, seed=3)
    archive = archive_of(cube, recipe)
    scenes = listed(archive, recipe)
    image = prediction(scenes, SEASON, recipe, ForestGraph("harmonic", voters), cropland=None)
    bands = computed(image, archive, (8, 8))
    mapped = seen.sum(axis=0) >= 2
    assert 0 < mapped.sum() < mapped.size
    features = forest_features(pixel_series(cube, mapped), recipe, "harmonic")
    codes, percent = said_of(dict(zip(names, features.T, strict=True)), "votes", forests)
    np.testing.assert_array_equal(bands["class"][mapped], codes)
    np.testing.assert_array_equal(bands["confidence"][mapped], percent)
    assert (bands["class"][~mapped] == 255).all()
    np.testing.assert_array_equal(bands["clear"], seen.sum(axis=0))


@pytest.mark.parametrize("confidence", ["votes", "probability", "none"])
def test_a_forest_of_one_class_is_sure(confidence):
    """Its trees look at nothing, so that they say something of pixels without observation too."""
    recipe = recipe_of(2, ("B4",), min_clear_bins=1)
    seen = np.array([[[True, False, False]], [[True, True, False]]])
    leaf = 10_000 if confidence == "probability" else 1
    mode = {"votes": "RAW", "probability": "REGRESSION", "none": "CLASSIFICATION"}[confidence]
    voters = Voters(confidence, (ensemble([Stump("B4_24", 0, leaf, leaf)] * 3, mode),), 1)
    archive = archive_of(cube_of(0, seen, 1), recipe)
    scenes = listed(archive, recipe)
    image = prediction(scenes, SEASON, recipe, ForestGraph("median", voters), cropland=None)
    bands = computed(image, archive, (1, 3))
    sure = 255 if confidence == "none" else 100
    assert [values.tolist() for values in bands.values()] == [[[1, 1, 255]], [[sure, sure, 255]], [[2, 1, 0]]]


# ---- the form of the graph ----


def written(value: Any) -> str:
    """An expression as it is sent."""
    return json.dumps(ee.serializer.encode(value))


def calls(node: Any) -> Iterator[str]:
    """Names of all functions that are called."""
    if isinstance(node, dict):
        if "functionName" in node.get("functionInvocationValue", ()):
            yield node["functionInvocationValue"]["functionName"]
        for value in node.values():
            yield from calls(value)
    elif isinstance(node, list):
        for value in node:
            yield from calls(value)


def prediction_of(bins: int, confidence: str = "votes", kind: str = "median", bands: int = 10) -> ee.Image:
    """With classifiers that lie in assets, and a cropland mask."""
    count = 5 if confidence == "probability" else 1
    voters = Voters(confidence, (ee.Classifier.load("projects/p/assets/forest"),) * count, 5)
    recipe = Recipe.of(bands=BANDS[:bands], window=(1, 5 * bins))
    mask = graph.cropland("worldcover")
    return prediction(made_scenes(SEASON), SEASON, recipe, ForestGraph(kind, voters), cropland=mask)


@pytest.mark.parametrize(
    ("bins", "confidence", "kind", "kilobytes", "functions", "deep"),
    [
        (43, "votes", "median", 180, 900, 120),  # less than the 192 KiB of a cell of 256 pixels
        (73, "probability", "harmonic", 350, 1_600, 190),
    ],
)
def test_a_request_for_a_prediction_is_small_and_flat(bins, confidence, kind, kilobytes, functions, deep):
    text = written(prediction_of(bins, confidence, kind))
    expression = json.loads(text)
    assert len(text) < kilobytes * 1_000 < PAYLOAD_LIMIT / 10
    assert len(list(calls(expression))) < functions
    assert nesting(expression) < NESTING_LIMIT - 30
    assert steps(expression) < deep


def test_filling_takes_so_many_functions_a_bin_and_hardly_more_steps():
    """A chain from bin to bin would add steps with every bin; what grows here is the list of bands."""
    recipes = [Recipe.of(bands=("B4",), clear=SCORED, window=(1, 5 * n)) for n in (16, 64)]
    scenes = made_scenes(SEASON)
    few, many = (
        json.loads(written(whole_series(composites_of(scenes, SEASON, one), one))) for one in recipes
    )
    assert len(list(calls(many))) < 4.2 * len(list(calls(few)))
    assert steps(many) - steps(few) <= 64 - 16 + 2 * 2  # two more levels on the way up and two down


def test_every_bin_is_composited_once():
    """Counting bins, and filling from both sides, share the composites of the bins."""
    names = list(calls(json.loads(written(prediction_of(12, bands=2)))))
    assert names.count("reduce.median") == 12


def test_no_collection_is_searched_filtered_joined_or_mapped():
    used = Counter(calls(json.loads(written(prediction_of(12)))))
    assert on_collections(used) == used["ImageCollection.load"] + used["Collection.first"] == 2  # cropland


def test_nothing_decides_pixels_but_the_grid_of_the_request():
    used = set(calls(json.loads(written(prediction_of(4, kind="harmonic")))))
    forbidden = ("reproject", "clip", "resample", "reduceResolution", "projection", "reduceRegion", "toList")
    assert [name for name in used if any(word.lower() in name.lower() for word in forbidden)] == []


def test_equal_arguments_give_the_same_text_and_nothing_is_sent(monkeypatch):
    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("a graph is only written")

    for name in ("computeValue", "computePixels", "getInfo", "getAlgorithms", "_execute_cloud_call"):
        monkeypatch.setattr(ee.data, name, refuse)
    assert written(prediction_of(3)) == written(prediction_of(3))


def test_probabilities_take_a_classifier_a_class():
    with pytest.raises(AssertionError, match="probability takes 5"):
        Voters("probability", (ee.Classifier.load("projects/p/assets/forest"),), 5)


def test_a_forest_of_two_sensors_says_the_same_on_both_sides(tmp_path):
    """Each sensor is filled from its own observations, and enough of each must be seen."""
    recipe = Recipe.of(bands=("VV", "VH", "B4", "B11"), window=(121, 140), min_clear_bins=2)
    days = (1, 3, 7, 12, 14, 18)
    scenes = SensorScenes(tmp_path).save(
        *(optical(f"S2_{day}", f"2021-05-{day:02}T10:30:00", day, ("B4", "B11")) for day in days),
        *(radar(f"S1_{day}", f"2021-05-{day:02}T05:30:00", 40 + day) for day in days[:4]),
    )
    cell = cell_at(size=20)
    local = StacSource(str(scenes.path), recipe).read_cell(cell, SEASON, recipe.window).values
    seen = [(local[:, row] != NODATA).sum(axis=0) for row in (0, 2)]
    enough = np.minimum(*seen) >= 2
    series = pixel_series(local, enough)
    rows = forest_features(series, recipe, "median")
    middle = np.median(rows, axis=0)
    labels = (rows[:, 0] > middle[0]).astype(int) + (rows[:, -1] > middle[-1])
    model = model_of(grown(rows, labels, TREES, max_leaf_nodes=12), 3, recipe=recipe)
    expected = ForestPredictor(model, memory_budget=2**28).predict(series)
    assert {1, 2, 3} <= set(expected.codes.tolist())

    (trees,) = ensembles(model, "votes")
    voters = Voters("votes", (ee.Classifier.decisionTreeEnsemble(list(trees)).setOutputMode("RAW"),), 3)
    listed_here = scenes.listed(cell.geobox, SEASON, recipe.window, recipe)
    image = prediction(listed_here, SEASON, recipe, ForestGraph("median", voters), cropland=None)
    found = {name: values.data for name, values in scenes.pixels(image, cell.geobox).items()}
    np.testing.assert_array_equal(found["class"][enough], expected.codes)
    np.testing.assert_array_equal(found["confidence"][enough], expected.confidence)
    np.testing.assert_array_equal(found["clear"], np.minimum(*seen))
    assert (found["class"][~enough] == NOT_ENOUGH).all()
    assert 0.05 < enough.mean() < 1
