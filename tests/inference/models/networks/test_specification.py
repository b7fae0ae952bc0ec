"""Every network that can be trained can be saved, read, shown and asked about series."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.model_card import describe
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import (
    NAMES,
    NETWORKS,
    NetworkConfig,
    build_network,
    config_of,
    pixel_bytes,
    title_of,
)
from inference.models.pixel_model import load_model, open_model
from inference.models.series import model_input

pytestmark = pytest.mark.slow

CLASSES = tuple(CropClass(k, f"crop {k}", f"#{k:02x}8040") for k in (1, 2, 3))
FROM_TIMM = ("resnet50", "efficientnet-v2-s", "convnext-tiny")
OF_BANDS = ("cropnet-1d-harmonic", "presto", "presto-frozen", "galileo-nano", "galileo-nano-frozen")
"""Networks that look for bands of a recipe by name, and so have no size of their own."""
RECIPE = Recipe()
SCALED = Normalisation((0.2,) * 10, (0.1,) * 10)


def made(name: str) -> Checkpoint:
    torch.manual_seed(4)
    config = config_of(name, "compact", 3, RECIPE)
    weights = build_network(config, RECIPE, SCALED).state_dict()
    return Checkpoint(config, CLASSES, RECIPE, SCALED, weights, temperature=1.5)


def series(pixels: int) -> Any:
    rng = np.random.default_rng(1)
    values = rng.integers(200, 5_000, (pixels, 10, 43)).astype(np.int16)
    return np.where(rng.random((pixels, 1, 43)) < 0.4, np.int16(-9999), values)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_saved_read_shown_and_labels_series(name: str, tmp_path: Path) -> None:
    if name in FROM_TIMM and not find_spec("timm"):
        pytest.skip("timm is not installed")
    path, checkpoint = tmp_path / "model.safetensors", made(name)
    save_checkpoint(path, checkpoint)
    model = load_model(path)
    assert isinstance(model, Checkpoint)
    assert (model.config, model.digest) == (checkpoint.config, checkpoint.digest)
    assert title_of(model.config) in dict(describe(model))["Network"]
    given = series(9)
    found = open_model(model, "cpu")
    with torch.inference_mode():  # the network itself, pixel by pixel, in place of batches
        network = checkpoint.build()
        each = [network(torch.from_numpy(model_input(given[i : i + 1], SCALED, Recipe()))) for i in range(9)]
    shares = (torch.cat(each) / 1.5).softmax(dim=1).numpy()
    np.testing.assert_allclose(found.probabilities(given), shares, atol=1e-5)
    prediction = found.predict(given)
    np.testing.assert_array_equal(prediction.codes, 1 + shares.argmax(axis=1))
    np.testing.assert_allclose(prediction.confidence, 100 * shares.max(axis=1), atol=0.51)


@pytest.mark.parametrize("name", ["mlp", "cropnet-1d-harmonic"])
def test_weights_of_another_shape_are_refused(name: str, tmp_path: Path) -> None:
    checkpoint = made(name)
    config = checkpoint.config
    assert isinstance(config, NetworkConfig)
    with pytest.raises(MismatchError):
        save_checkpoint(tmp_path / "m", replace(checkpoint, config=replace(config, classes=4)))
    other = {key: value[..., :-1] if value.ndim else value for key, value in checkpoint.weights.items()}
    with pytest.raises(MismatchError, match="must fit the configuration"):
        save_checkpoint(tmp_path / "m", replace(checkpoint, weights=other))


def rewritten(path: Path, change: Any) -> Path:
    """The file with other metadata and its digest made right again, as somebody would forge it."""
    from inference.models.model_file import content_digest

    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    values = json.loads(metadata["cropmap"])
    change(values)
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    arrays = safetensors.numpy.load(content)
    path.write_bytes(
        safetensors.numpy.save(arrays, {"cropmap": text, "cropmap_digest": content_digest(text, arrays)})
    )
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["config"].update(model="perceiver"),
        lambda values: values["config"].update(bins=0),
        lambda values: values["config"].update(bins="43"),
        lambda values: values["config"].update(width=3),
        lambda values: values["config"].pop("classes"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, made("mlp"))
    with pytest.raises((CorruptFileError, MismatchError)):
        load_checkpoint(rewritten(path, change))


def test_a_configuration_of_other_bins_than_its_recipe_is_refused(tmp_path: Path) -> None:
    checkpoint = made("mlp")
    assert isinstance(checkpoint.config, NetworkConfig)
    with pytest.raises(MismatchError, match="bins"):
        replace(checkpoint, config=replace(checkpoint.config, bins=42))


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in OF_BANDS])
def test_a_network_takes_the_smallest_input_that_it_names(name: str) -> None:
    if name in FROM_TIMM and not find_spec("timm"):
        pytest.skip("timm is not installed")
    least = NETWORKS[name].smallest
    network = build_network(NetworkConfig(name, least, least, 3), RECIPE, SCALED).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, least, least)).shape == (2, 3)


@pytest.mark.parametrize(("bands", "bins"), [(3, 43), (64, 1)])
def test_an_input_that_halvings_leave_nothing_of_is_refused(bands: int, bins: int) -> None:
    with pytest.raises(InputError, match=f"ConvNeXt-Tiny takes at least 8 .* got {bands} and {bins}"):
        NetworkConfig("convnext-tiny", bands, bins, 3)


def test_the_flat_form_is_one_of_cropnet_alone() -> None:
    with pytest.raises(InputError, match="--dimensions 1"):
        config_of("mlp", "compact", 3, RECIPE, dimensions=1)
    assert config_of("cropnet", "compact", 3, RECIPE, dimensions=1) == config_of(
        "cropnet-1d", "compact", 3, RECIPE
    )


def test_the_memory_of_a_pixel_is_that_of_the_widest_layer() -> None:
    network = build_network(config_of("mlp", "compact", 3, RECIPE), RECIPE, SCALED).eval()
    assert pixel_bytes(network, 10, 43) == 4 * 3 * (430 + 128)  # the first linear layer
