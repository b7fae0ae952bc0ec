from importlib.util import find_spec

import numpy as np
import pytest
import torch

from gee_pipeline.errors import InputError
from tests.support.patch_place import write_datasets
from training.foundation.encoder import load_encoder, state_digest, widths
from training.foundation.known_weights import KNOWN
from training.foundation.patch_folders import find_datasets
from training.foundation.patch_training import (
    ImageInputs,
    PatchNetwork,
    PatchOptions,
    confusions_of,
    fit_patches,
    split_members,
    sum_of_losses,
)
from training.foundation.segmentation import new_decoder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra cropmap[training]"),
]

torch.set_num_threads(1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sact(tmp_path_factory):
    return find_datasets(write_datasets(tmp_path_factory.mktemp("patches")))["SACT"]


def network_of(*, frozen):
    torch.manual_seed(1)
    encoder = load_encoder("resnet18", KNOWN["random"], None, 1)
    return PatchNetwork(encoder, new_decoder("unet", widths(encoder)), frozen=frozen)


def members(listed):
    return [("SACT", name) for name in listed.local(10)], [("SACT", name) for name in listed.test]


def fitted(sact, *, frozen, **options):
    network, inputs = network_of(frozen=frozen), ImageInputs({"SACT": sact.data}, KNOWN["random"], CPU)
    training, held_out = split_members(members(sact)[0], 0.2, 1)
    usual = {"epochs": 6, "batch_size": 4} | options
    fit = fit_patches(network, inputs, training, held_out, PatchOptions(**usual), seed=1)
    return network, inputs, fit, held_out


@pytest.mark.parametrize("frozen", [True, False])
def test_a_network_learns_made_classes(sact, frozen):
    network, inputs, fit, _ = fitted(sact, frozen=frozen, epochs=12, learning_rate=0.003)
    counts = confusions_of(network, inputs, members(sact)[1], 3)
    assert counts.shape == (4, 5, 6)
    right = np.trace(counts.sum(axis=0)[:, :5]) / counts.sum()
    assert right > 0.75  # the larger class alone has 0.54
    assert fit.history[-1].loss < fit.history[0].loss


def test_a_frozen_encoder_stays_as_it_is_and_a_tuned_one_does_not(sact):
    before = state_digest(network_of(frozen=True).encoder)
    assert state_digest(fitted(sact, frozen=True, epochs=1)[0].encoder) == before  # running means included
    assert state_digest(fitted(sact, frozen=False, epochs=1)[0].encoder) != before


def test_the_weights_are_those_of_the_epoch_with_the_lowest_held_out_loss(sact):
    network, inputs, fit, held_out = fitted(sact, frozen=True, learning_rate=0.03)
    losses = [epoch.held_out_loss for epoch in fit.history]
    assert fit.best_epoch == losses.index(min(losses)) + 1
    network.eval()
    with torch.inference_mode():
        images, labels = inputs.batch(held_out, None)
        nothing = torch.nn.functional.cross_entropy(network(images), labels.long() - 1, ignore_index=-1)
    assert float(nothing) == pytest.approx(min(losses), rel=1e-5)


class Still(torch.nn.Module):
    """Says the same of every pixel, whatever its weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return torch.zeros(len(images), 5, *images.shape[2:]) + 0 * self.weight


class Zeros:
    def batch(self, members, rng):
        return torch.zeros(len(members), 1, 2, 2), torch.ones(len(members), 2, 2, dtype=torch.uint8)


def test_the_learning_rate_is_halved_where_the_loss_stands_still():
    """The first epoch is the best; one without gain is borne, the second ends the rate."""
    network = PatchNetwork(torch.nn.Identity(), Still(), frozen=True)
    some = [("A", f"{at}.tif") for at in range(4)]
    options = PatchOptions(epochs=6, learning_rate=0.8)
    fit = fit_patches(network, Zeros(), some[:2], some[2:], options, seed=1)
    assert [epoch.learning_rate for epoch in fit.history] == [0.8, 0.8, 0.8, 0.4, 0.4, 0.2]
    assert fit.best_epoch == 1
    assert fit.history[0].held_out_loss == pytest.approx(np.log(5))


def test_the_loss_is_that_of_the_labelled_pixels(sact):
    network, inputs = network_of(frozen=True), ImageInputs({"SACT": sact.data}, KNOWN["random"], CPU)
    images, labels = inputs.batch(members(sact)[0][:2], None)
    assert set(labels.unique().tolist()) == {0, 4, 5}
    logits = network.eval()(images)
    by_hand = -torch.log_softmax(logits, 1).gather(1, (labels.long() - 1).clamp(min=0)[:, None])[:, 0]
    total, pixels = sum_of_losses(logits, labels)
    assert pixels == int((labels > 0).sum())
    torch.testing.assert_close(total, by_hand[labels > 0].sum(), rtol=1e-4, atol=1e-2)


def test_the_same_seed_gives_the_same_network(sact):
    first, again = (fitted(sact, frozen=True, epochs=2)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(("share", "count"), [(0.2, 2), (0.01, 1), (0.99, 9)])
def test_held_out_images_are_apart_and_both_parts_have_some(share, count):
    everything = [("A", f"{at}.tif") for at in range(10)]
    training, held_out = split_members(everything, share, 3)
    assert len(held_out) == count
    assert sorted([*training, *held_out]) == everything
    assert split_members(everything, share, 3) == (training, held_out)


def test_one_image_is_too_few():
    with pytest.raises(InputError, match="needs two images"):
        split_members([("A", "1.tif")], 0.2, 1)


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"held_out": 1.0}, {"patience": -1}]
)
def test_options_without_sense_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}"):
        PatchOptions(**options)


def test_a_training_that_diverges_says_so(sact):
    with pytest.raises(InputError, match="diverged"):
        fitted(sact, frozen=False, learning_rate=1e20)
