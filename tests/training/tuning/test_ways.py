"""Which part of a network each way changes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import NAMES, build_network, config_of
from inference.models.predictor import Predictor
from training.samples.crops import crop_classes
from training.samples.samples import Samples
from training.tuning.start import network_of, with_classes
from training.tuning.trials import share_offsets, with_offsets
from training.tuning.ways import WAYS, candidates, ways_of

CLASSES = ("corn", "rice", "other")


def checkpoint(model="cropnet", classes=CLASSES, samples=None):
    recipe = Samples(np.zeros((0, 10, 73), np.int16), np.zeros(0, int), CLASSES).recipe
    scaling = Normalisation((0.2,) * 10, (0.1,) * 10)
    config = config_of(model, "small-8", len(classes), recipe, 2)
    torch.manual_seed(1)
    weights = build_network(config, recipe, scaling).state_dict()
    told = {"samples": samples} if samples else {}
    return Checkpoint(config, crop_classes(classes), recipe, scaling, weights, provenance=told)


def labels(*counts, names=CLASSES):
    every = np.repeat(np.arange(len(names)), counts)
    series = np.random.default_rng(0).integers(0, 6000, (len(every), 10, 73)).astype(np.int16)
    return Samples(series, every, names)


def trained(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_each_way_trains_more_than_the_one_before():
    parts = [trained(network_of(checkpoint(), way)) for way in ("bias", "last", "norms", "all")]
    assert parts[0] == {"head.bias"}
    assert parts[1] == {"head.bias", "head.weight"}
    assert all(few < more for few, more in itertools.pairwise(parts))
    norms = parts[2] - parts[1]
    assert len(norms) == 16  # factor and offset of two normalisations in each of four blocks
    assert all(name.split(".")[2] in ("1", "4") for name in norms)
    assert parts[3] == set(dict(network_of(checkpoint(), "all").named_parameters()))


def test_normalisation_keeps_the_means_of_the_source():
    network = network_of(checkpoint(), "all")
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    network.train()
    inputs = torch.randn(8, 1, 10, 43)
    together = network(inputs)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    # the answer to a series does not depend on its neighbours in the batch
    torch.testing.assert_close(together[:1], network(inputs[:1]))


@pytest.mark.parametrize(
    ("model", "trained_by_norms"),
    [
        ("transformer", "LayerNorm"),
        ("mlp", "BatchNorm1d"),
        ("dcm", None),
        ("pan", None),
        ("phenocropnet", None),
    ],
)
def test_all_kinds_of_normalisation_are_tuned_and_where_there_is_none_the_way_is_left_out(
    model, trained_by_norms
):
    network = network_of(checkpoint(model), "norms")
    kinds = {
        type(m).__name__ for m in network.modules() for p in m.parameters(recurse=False) if p.requires_grad
    }
    assert kinds == {"Linear", trained_by_norms} - {None}
    kept = ("last", "norms", "all") if trained_by_norms else ("last", "all")
    assert ways_of(network, ("last", "norms", "all")) == kept


@pytest.mark.parametrize("name", NAMES)
def test_the_last_layer_gives_the_logits(name):
    """Its bias and nothing else comes on top of them, whatever a pixel looks like."""
    model = checkpoint(name)
    offsets = np.array([1, 2, 4], np.float32)
    series = labels(1, 1, 1).series[:, :, model.recipe.window.start : model.recipe.window.stop]
    moved = Predictor(replace(model, weights=with_offsets(model, offsets)), "cpu").logits(series)
    np.testing.assert_allclose(moved - Predictor(model, "cpu").logits(series), [offsets] * 3, atol=1e-4)


def test_class_shares_follow_bayes_rule():
    """By hand: the source has corn 1/2, rice 1/4, other 1/4 (one added each), the labels 1/4, 1/2, 1/4."""
    model = checkpoint(samples={"corn": 3, "rice": 1, "other": 1})
    offsets = share_offsets(model, labels(1, 3, 1))
    np.testing.assert_allclose(offsets, np.log([0.5, 2.0, 1.0]), rtol=1e-6)
    some = labels(2, 2, 2)
    window = model.recipe.window
    series = some.series[:, :, window.start : window.stop]
    moved = Predictor(replace(model, weights=with_offsets(model, offsets)), "cpu").logits(series)
    np.testing.assert_allclose(moved, Predictor(model, "cpu").logits(series) + offsets, atol=1e-5)


def test_a_tuned_models_shares_are_those_it_was_tuned_on():
    model = checkpoint(samples={"corn": 3, "rice": 1, "other": 1})
    tuned = replace(
        model, provenance=model.provenance | {"tuned": {"samples": {"corn": 1, "rice": 3, "other": 1}}}
    )
    np.testing.assert_allclose(share_offsets(tuned, labels(1, 3, 1)), 0, atol=1e-7)


def test_a_new_class_is_a_rarer_other():
    model = checkpoint()
    some = labels(2, 2, 2, 4, names=(*CLASSES, "cotton"))
    more = with_classes(model, ["cotton"], some)
    assert [(one.code, one.name) for one in more.classes][-1] == (4, "cotton")
    assert more.classes[-1].color == "#d54057"
    window = model.recipe.window
    series = some.series[:, :, window.start : window.stop]
    old, new = Predictor(model, "cpu").logits(series), Predictor(more, "cpu").logits(series)
    np.testing.assert_allclose(new[:, :3], old, atol=1e-5)
    np.testing.assert_allclose(new[:, 3], old[:, 2] - 3, atol=1e-5)


def test_a_model_without_other_calls_a_new_class_the_mean_of_all():
    model = checkpoint(classes=("corn", "rice"))
    some = labels(2, 2, 3, names=("corn", "rice", "cotton"))
    more = with_classes(model, ["cotton"], some)
    window = model.recipe.window
    series = some.series[:, :, window.start : window.stop]
    new = Predictor(more, "cpu").logits(series)
    np.testing.assert_allclose(new[:, 2], new[:, :2].mean(axis=1) - 3, atol=1e-5)


def test_a_class_that_is_known_or_without_labels_is_not_added():
    some = labels(2, 2, 2, 0, names=(*CLASSES, "cotton"))
    with pytest.raises(InputError, match="knows rice"):
        with_classes(checkpoint(), ["rice"], some)
    with pytest.raises(InputError, match=r"none of cotton; the samples have corn, rice, other"):
        with_classes(checkpoint(), ["cotton"], some)
    with pytest.raises(InputError, match="none of barley"):
        with_classes(checkpoint(), ["barley"], some)


def test_nothing_is_always_tried_and_first_and_rehearsal_where_it_can_forget():
    assert [one.way for one in candidates(("bias",), True)] == ["nothing", "bias"]
    every = candidates(tuple(WAYS), True)
    assert every[0].way == "nothing"
    assert {one.way for one in every if one.rehearsed} == {"norms", "all"}
    assert not any(one.rehearsed for one in candidates(tuple(WAYS), False))


def test_a_class_that_was_added_becomes_as_common_beside_other_as_among_the_labels():
    """Whatever a pixel looks like: 8 of the labels to 4 (one added each), of which the source had none."""
    names = (*CLASSES, "cotton")
    some = labels(5, 2, 3, 7, names=names)
    model = with_classes(checkpoint(samples={"corn": 10, "rice": 20, "other": 30}), ["cotton"], some)
    window = model.recipe.window
    series = some.series[:, :, window.start : window.stop]
    moved = Predictor(model, "cpu").logits(series) + share_offsets(model, some)
    np.testing.assert_allclose(moved[:, 3] - moved[:, 2], np.log(2), atol=1e-5)
    # corn beside rice as by Bayes' rule: 6 to 3 of the labels, 11 to 21 of the source
    apart = Predictor(model, "cpu").logits(series)
    np.testing.assert_allclose((moved - apart)[:, 0] - (moved - apart)[:, 1], np.log(2 * 21 / 11), atol=1e-5)
