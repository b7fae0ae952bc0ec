"""A network on the servers: equal to loops over its layers, to torch, and small enough to be sent.

The graphs are evaluated by the emulator over scenes that hold a known series in every pixel.
"""

import json
from dataclasses import replace
from typing import Any

import ee
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gee_pipeline.bands import BANDS
from gee_pipeline.earthengine.client.assets import REQUEST_LIMIT
from gee_pipeline.earthengine.network.network_graph import NetworkGraph, answers, logits
from gee_pipeline.earthengine.network.network_weights import Convolution, NetworkWeights, Told
from gee_pipeline.earthengine.network.served_network import ARRAY_BUDGET, ServedNetwork
from gee_pipeline.earthengine.prediction.filled_series import composites_of, filled
from gee_pipeline.earthengine.prediction.map_image import prediction
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.layers import ON_REQUEST, band_names
from inference.deployment.servable_network import network_weights
from inference.models.checkpoint import Checkpoint
from inference.models.class_layers import layer_values
from inference.models.networks.specification import NetworkConfig, build_network
from inference.models.predictor import Predictor
from inference.models.told.applicability import Applicability
from inference.models.told.prediction_sets import PredictionSets
from tests.support.known_series import SEASON, archive_of, computed, cube_of, listed, recipe_of
from tests.support.made_networks import made_network
from tests.support.made_scene_list import made_scenes
from tests.support.network_oracle import logits_of, probabilities
from tests.support.request_shape import NESTING_LIMIT, nesting, steps

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("offline_client")]

LAYERS = tuple(layer.name for layer in ON_REQUEST)

CLOSE = 1e-9
"""Logits of two sums of doubles, as shares of the largest."""

ROUNDED = 2e-5
"""The same where weights are rounded to 32 bits."""


def served(checkpoint: Checkpoint) -> ServedNetwork:
    return ServedNetwork(network_weights(checkpoint), checkpoint.digest)


def logits_there(checkpoint: Checkpoint, cube: np.ndarray) -> np.ndarray:
    """`(y, x, class)`, masked where nothing is observed."""
    archive, recipe = archive_of(cube, checkpoint.recipe), checkpoint.recipe
    series = filled(composites_of(listed(archive, recipe), SEASON, recipe), recipe, whole=False)
    model = served(checkpoint)
    bands = computed(logits(series, model.weights, model.matrix_of), archive, cube.shape[2:])
    return np.ma.stack(list(bands.values()), axis=-1)


def series_of(cube: np.ndarray) -> np.ndarray:
    """`(y, x, band, bin)` of a cube `(bin, band, y, x)`."""
    return cube.transpose(2, 3, 1, 0)


@pytest.mark.parametrize(
    ("channels", "strides", "bins", "bands"),
    [
        ((3, 5), (2, 1), 3, 2),  # as the presets begin
        ((3,), (1,), 4, 3),
        ((2, 3, 2), (1, 2, 3), 5, 10),  # strides further on, rows and columns that do not divide
        ((2,), (4,), 3, 1),  # a step beyond the matrix: one position is left
        ((2, 2), (2, 2), 1, 1),
    ],
)
def test_logits_are_those_of_a_loop_over_layers(channels, strides, bins, bands):
    recipe = recipe_of(bins, tuple(BANDS[:bands]))
    checkpoint = made_network(recipe, channels, strides)
    seen = np.random.default_rng(bins).random((bins, 2, 3)) < 0.6
    seen[0, 0] = True
    seen[:, 1, 2] = False
    cube = cube_of(1, seen, bands)
    found = logits_there(checkpoint, cube)
    observed = seen.any(axis=0)
    assert not observed.all()
    np.testing.assert_array_equal(np.ma.getmaskarray(found).any(axis=-1), ~observed)
    for y, x in np.argwhere(observed):
        wanted = logits_of(checkpoint, series_of(cube)[y, x])
        np.testing.assert_allclose(found[y, x].data, wanted, rtol=0, atol=ROUNDED * np.abs(wanted).max())


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    blocks=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=3),
    classes=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_any_small_network_says_the_same_as_torch(shape, blocks, classes, seed):
    bands, bins = shape
    recipe = recipe_of(bins, tuple(BANDS[:bands]))
    channels, strides = zip(*blocks, strict=True)
    checkpoint = made_network(recipe, channels, strides, classes=classes, seed=seed)
    rng = np.random.default_rng(seed)
    seen = rng.random((bins, 1, 3)) < 0.7
    seen[rng.integers(bins), 0] = True
    cube = cube_of(seed, seen, bands, top=12_000)
    there = logits_there(checkpoint, cube).data[0]
    here = Predictor(checkpoint, "cpu").logits(series_of(cube)[0])
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-4 * max(1, np.abs(here).max()))


def test_the_preset_of_eight_channels_on_the_whole_window():
    recipe = recipe_of(43, BANDS)
    checkpoint = made_network(recipe, (8, 8, 8, 8), (2, 1, 1, 1), classes=5)
    seen = np.random.default_rng(2).random((43, 2, 2)) < 0.4
    cube = cube_of(2, seen, 10)
    there = logits_there(checkpoint, cube).data.reshape(4, -1)
    here = Predictor(checkpoint, "cpu").logits(series_of(cube).reshape(4, 10, 43))
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-5 * np.abs(here).max())


@pytest.mark.parametrize(("bands", "bins"), [(4, 3), (10, 1)])
def test_a_perceptron_says_the_same_as_torch(bands, bins):
    recipe = recipe_of(bins, tuple(BANDS[:bands]))
    plain = made_network(recipe, (2,), (1,), classes=4)
    config = NetworkConfig("mlp", bands, bins, 4)
    torch.manual_seed(3)
    network = build_network(config, recipe, plain.normalisation)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):  # as after a training
            torch.nn.init.normal_(layer.running_mean, 0, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.normal_(layer.weight, 1, 0.2)
            torch.nn.init.normal_(layer.bias, 0, 0.2)
    checkpoint = replace(plain, config=config, weights=network.state_dict())
    seen = np.random.default_rng(4).random((bins, 2, 3)) < 0.7
    seen[0] = True
    cube = cube_of(4, seen, bands)
    there = logits_there(checkpoint, cube).data.reshape(6, -1)
    here = Predictor(checkpoint, "cpu").logits(series_of(cube).reshape(6, bands, bins))
    assert np.ptp(here, axis=1).min() > 0.1
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-4 * np.abs(here).max())
    weights = network_weights(checkpoint)
    assert weights.multiplications == weights.count == 128 * (bands * bins + 1) + 7 * 128 * 129 + 4 * 129
    assert weights.largest_array == 129


# ---- maps ----


def told(checkpoint: Checkpoint) -> dict[str, Any]:
    """What layers on request need, drawn."""
    classes = len(checkpoint.classes)
    rng = np.random.default_rng(7)
    root = rng.normal(0, 1, (classes, classes))
    rows = [
        tuple(map(tuple, matrix.tolist())) for matrix in (rng.normal(0, 2, (classes, classes)), root @ root.T)
    ]
    return {
        "applicability": Applicability(*rows, limit=3.0, samples=100),
        "prediction_sets": PredictionSets(0.9, (0.5, 0.8, 0.95), (30,) * classes, "made"),
    }


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    bare = made_network(recipe_of(4, ("B4", "B8", "B11"), min_clear_bins=2), (4, 3), (2, 1), seed=3)
    return made_network(bare.recipe, (4, 3), (2, 1), seed=3, **told(bare))


def test_a_map_has_codes_confidence_observations_and_layers(checkpoint):
    """All of it from the loop: softmax in doubles, then the layers' own formulas as this machine has them."""
    rng = np.random.default_rng(5)
    seen = rng.random((4, 6, 7)) < 0.6
    seen[:, 0, 0] = False
    cube = cube_of(5, seen, 3)
    archive, recipe = archive_of(cube, checkpoint.recipe), checkpoint.recipe
    scenes = listed(archive, recipe)
    image = prediction(scenes, SEASON, recipe, served(checkpoint), cropland=None, layers=LAYERS)
    found = computed(image, archive, cube.shape[2:])
    assert tuple(found) == band_names(LAYERS, 3)
    assert not any(np.ma.getmaskarray(values).any() for values in found.values())
    known = seen.sum(axis=0) >= 2
    np.testing.assert_array_equal(found["clear"], seen.sum(axis=0))
    for name in found:
        if name != "clear":
            assert (found[name].data[~known] == 255).all()
    wanted = np.array([probabilities(checkpoint, logits_of(checkpoint, s)) for s in series_of(cube)[known]])
    np.testing.assert_array_equal(found["class"].data[known], 1 + wanted.argmax(axis=1))
    assert len(set(found["class"].data[known].tolist())) == 3
    np.testing.assert_array_equal(found["confidence"].data[known], np.floor(100 * wanted.max(axis=1) + 0.5))
    scored = Predictor(checkpoint, "cpu").scored(series_of(cube)[known])
    there = np.stack([found[name].data[known] for name in band_names(LAYERS, 3)[3:]])
    here = layer_values(LAYERS, scored)
    assert (np.abs(there.astype(int) - here) <= 1).all()  # sums in 32 bits on this side
    assert (there != here).mean() < 0.01


def test_weights_of_other_numbers_are_refused_before_anything_is_written():
    with pytest.raises(InputError, match="finite"):
        NetworkWeights((1.0,), (0.0,), 3, (Convolution(((float("nan"),) * 10,), 1),), ((1.0, 0.0),), 1.0)


def test_layers_need_what_the_model_tells():
    weights = NetworkWeights((1.0,), (0.0,), 3, (), ((1.0, 0.0), (0.5, 0.0)), 1.0, Told())
    for name in ("sets", "members", "applicability"):
        with pytest.raises(AssertionError, match="was asked for"):
            answers(ee.Image.constant([0, 1]), weights, (name,))


# ---- what is sent ----


def written(image: ee.Image) -> str:
    return str(ee.serializer.toJSON(image, for_cloud_api=True))


@pytest.mark.parametrize(("channels", "most"), [(8, 1_000_000), (16, 1_300_000), (32, 2_500_000)])
def test_a_request_stays_well_below_what_earth_engine_takes(channels, most):
    recipe = recipe_of(43, BANDS)
    model = served(made_network(recipe, (channels,) * 4, (2, 1, 1, 1), classes=5))
    text = written(prediction(made_scenes(SEASON), SEASON, recipe, model, cropland=None))
    assert len(text) < most < REQUEST_LIMIT
    assert nesting(json.loads(text)) < NESTING_LIMIT - 30
    assert 100 < steps(json.loads(text)) < 200  # graphs of 150 with harmonics are sent too


def test_weights_from_tables_leave_requests_small():
    recipe = recipe_of(43, BANDS)
    inline = served(made_network(recipe, (32,) * 4, (2, 1, 1, 1)))
    tables = ServedNetwork(inline.weights, inline.digest, ("projects/p/assets/w",))
    one, other = (
        written(NetworkGraph(model.weights, model.matrix_of).said(composites, recipe, ()))
        for composites in [composites_of(made_scenes(SEASON), SEASON, recipe)]
        for model in (inline, tables)
    )
    assert len(one) - len(other) > 500_000
    assert one != other


def test_a_graph_is_written_without_asking(monkeypatch):
    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("a graph is only written")

    recipe = recipe_of(3)
    model = served(made_network(recipe))
    for name in ("computeValue", "computePixels", "getInfo", "getAlgorithms", "_execute_cloud_call"):
        monkeypatch.setattr(ee.data, name, refuse)
    images = [prediction(made_scenes(SEASON), SEASON, recipe, model, cropland=None) for _ in range(2)]
    assert written(images[0]) == written(images[1])


def test_the_arrays_of_one_request_stay_within_their_budget():
    recipe = recipe_of(43, BANDS)
    for channels in (8, 16, 32):
        model = served(made_network(recipe, (channels,) * 4, (2, 1, 1, 1)))
        assert model.weights.largest_array == (9 * channels + 1) * 115  # 5 x 23 places, one column empty
        assert model.most_pixels * model.weights.largest_array * 8 <= ARRAY_BUDGET


def test_multiplications_are_those_of_the_layers():
    weights = network_weights(made_network(recipe_of(43, BANDS), (16,) * 4, (2, 1, 1, 1), classes=5))
    places = 5 * 23
    assert weights.multiplications == 16 * 10 * places + 7 * 16 * 145 * places + 5 * 17
    assert weights.count == 16 * 10 + 7 * 16 * 145 + 5 * 17


def test_tables_of_another_model_are_refused():
    model = ServedNetwork(network_weights(made_network(recipe_of(3))), "a" * 16, ("projects/p/assets/w",))
    model.require_own(lambda expression: ["a" * 16])
    with pytest.raises(MismatchError, match=r"assets/w .*a{16}.*b{16}.*cropmap deploy --overwrite"):
        model.require_own(lambda expression: ["b" * 16])
    with pytest.raises(MismatchError, match="none"):
        model.require_own(lambda expression: [])
