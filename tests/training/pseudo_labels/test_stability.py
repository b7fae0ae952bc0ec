"""Dropout passes against an exact count over all ways to drop, and other checkpoints."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import CloudRule
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.series import model_input
from tests.support.pseudo_place import NAMES, RECIPE, made_checkpoint, series_at
from training.pseudo_labels.stability import Stability, require_comparable, with_dropout


@pytest.fixture(scope="module")
def series() -> NDArray[np.int16]:
    """One pixel of each of 24 fields."""
    return np.stack([series_at(7 * field, 0, RECIPE.window) for field in range(24)])


def exact_shares(checkpoint: Checkpoint, series: NDArray[np.int16]) -> NDArray[np.float64]:
    """`(pixel, class)`: probability that a pass gives a class, by going through all ways to drop 4 maps."""
    network, share = checkpoint.build(), checkpoint.config.dropout[0]
    maps: list[torch.Tensor] = []
    network.blocks.register_forward_hook(lambda layer, given, out: maps.append(out))
    with torch.no_grad():
        network(torch.from_numpy(model_input(series, checkpoint.normalisation, checkpoint.recipe)))
    features = maps[0].mean(dim=(2, 3)).numpy().astype(np.float64)
    weight, bias = (p.detach().numpy().astype(np.float64) for p in network.head.parameters())
    out = np.zeros((len(series), len(bias)))
    for kept in product((0, 1), repeat=features.shape[1]):
        chance = np.prod([1 - share if one else share for one in kept])
        logits = (features * np.array(kept) / (1 - share)) @ weight.T + bias
        out[np.arange(len(out)), logits.argmax(axis=1)] += chance
    return out


def test_passes_are_as_frequent_as_the_ways_to_drop(series: NDArray[np.int16]) -> None:
    checkpoint = made_checkpoint(dropout=0.3)
    exact, passes = exact_shares(checkpoint, series), 100
    assert 0.1 < exact.max(axis=1).min() < 0.9  # some pixels are in doubt
    for code in (1, 2, 3):
        verdicts = Stability(checkpoint, passes=passes, device="cpu").check(
            series, np.full(len(series), code, np.uint8)
        )
        wanted = exact[:, code - 1]
        error = np.sqrt(wanted * (1 - wanted) / passes)
        assert (np.abs(verdicts.agreeing / passes - wanted) <= 5 * error + 1e-9).all()


def test_only_dropout_is_awake_and_normalisation_learns_nothing(series: NDArray[np.int16]) -> None:
    checkpoint = made_checkpoint()
    network = with_dropout(checkpoint)
    awake = {type(layer) for layer in network.modules() if layer.training}
    assert awake == {nn.Dropout2d}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.from_numpy(model_input(series, checkpoint.normalisation, checkpoint.recipe))
    with torch.no_grad():
        one, other = network(x), network(x)
    assert not torch.equal(one, other)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_network_itself_is_asked_again(series: NDArray[np.int16]) -> None:
    checkpoint = made_checkpoint()
    with torch.no_grad():
        logits = checkpoint.build()(
            torch.from_numpy(model_input(series, checkpoint.normalisation, checkpoint.recipe))
        )
    likeliest = (logits.argmax(dim=1) + 1).numpy().astype(np.uint8)
    claimed = likeliest.copy()
    claimed[::3] = claimed[::3] % 3 + 1
    verdicts = Stability(checkpoint, passes=0, device="cpu").check(series, claimed)
    assert (verdicts.again == (likeliest == claimed)).all()
    assert (verdicts.agreeing == 0).all()
    assert verdicts.also.all()


def test_a_seed_drops_the_same_in_each_start_and_leaves_the_global_generator_alone(
    series: NDArray[np.int16],
) -> None:
    codes, checkpoint = np.full(len(series), 1, np.uint8), made_checkpoint(dropout=0.4)

    def two(seed: int) -> list[list[int]]:
        stability = Stability(checkpoint, passes=9, seed=seed, device="cpu")
        state = torch.random.get_rng_state()
        found = [stability.check(series, codes).agreeing.tolist() for _ in range(2)]
        assert torch.equal(torch.random.get_rng_state(), state)
        return found

    first = two(3)
    assert two(3) == first
    assert two(4) != first
    assert first[0] != first[1]  # a second round drops other maps


def test_another_checkpoint_is_asked_by_names_of_classes(series: NDArray[np.int16]) -> None:
    mine = made_checkpoint()
    weights = dict(mine.weights)
    order = [2, 0, 1]  # the same network with its outputs in another order: it agrees everywhere
    weights["head.weight"], weights["head.bias"] = (
        weights["head.weight"][order],
        weights["head.bias"][order],
    )
    names = tuple(NAMES[place] for place in order)
    turned = replace(
        mine,
        weights=weights,
        classes=tuple(CropClass(k, name, "#336699") for k, name in enumerate(names, 1)),
    )
    require_comparable(mine, turned, "turned")
    predicted = np.array(
        [c for c in (1, 2, 3) for _ in range(8)], np.uint8
    )  # what a map might claim, right or wrong
    own = Stability(mine, passes=0, device="cpu").check(series, predicted).again
    also = Stability(mine, [turned], passes=0, device="cpu").check(series, predicted).also
    assert (also == own).all()
    assert 0 < also.sum() < len(also)


def test_all_other_checkpoints_must_agree(series: NDArray[np.int16]) -> None:
    mine, others = made_checkpoint(), [made_checkpoint(seed) for seed in (2, 6)]
    codes = np.arange(len(series)).astype(np.uint8) % 3 + 1
    each = [Stability(mine, [other], passes=0, device="cpu").check(series, codes).also for other in others]
    both = Stability(mine, others, passes=0, device="cpu").check(series, codes).also
    assert (both == (each[0] & each[1])).all()
    assert each[0].tolist() != each[1].tolist()


def test_a_class_that_only_the_other_knows_is_no_agreement(series: NDArray[np.int16]) -> None:
    mine = made_checkpoint()
    other = made_checkpoint(6, names=("wheat", "corn", "soybeans", "other"))
    require_comparable(mine, other, "other")
    also = np.zeros(len(series), int)
    for code in (1, 2, 3):
        codes = np.full(len(series), code, np.uint8)
        also += Stability(mine, [other], passes=0, device="cpu").check(series, codes).also
    with torch.no_grad():
        logits = other.build()(torch.from_numpy(model_input(series, other.normalisation, other.recipe)))
    assert (also == (logits.argmax(dim=1) > 0).numpy()).all()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (made_checkpoint(names=("corn", "rice", "other")), "lacks soybeans"),
        (made_checkpoint(recipe=RECIPE.with_window(121, 200)), "days 121 to 180 against .*days 121 to 200"),
        (made_checkpoint(recipe=RECIPE.with_clear(CloudRule(threshold=0.5))), "clear pixels"),
    ],
)
def test_a_checkpoint_that_cannot_speak_about_the_run_is_refused(other: Checkpoint, message: str) -> None:
    with pytest.raises(MismatchError, match=message) as caught:
        require_comparable(made_checkpoint(), other, "other.safetensors")
    assert "--also" in str(caught.value)


def test_a_model_is_no_witness_of_itself() -> None:
    with pytest.raises(InputError, match=r"same\.safetensors is the run's own model.*--also"):
        require_comparable(made_checkpoint(), made_checkpoint(), "same.safetensors")


def test_a_network_that_drops_nothing_has_no_passes() -> None:
    with pytest.raises(InputError, match="--passes 0"):
        Stability(made_checkpoint(dropout=0.0), passes=5, device="cpu")
    Stability(made_checkpoint(dropout=0.0), passes=0, device="cpu")
