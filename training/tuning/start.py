"""Where tuning starts: the model by the classes of the new place, as a network of which a part may change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import nn

from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.specification import build_network
from training.samples.crops import OTHER, color_of
from training.samples.samples import Samples
from training.tuning.ways import WAYS, hold_norms, last_layer

RARER: Final = 3.0
"""Nats by which the logit of a class that is new lies below that of what the model called it before."""


def with_classes(checkpoint: Checkpoint, names: Sequence[str], samples: Samples) -> Checkpoint:
    """The model with further classes: before it is tuned, each is less likely than what it was called.

    The logit of a new class is that of "other", or the mean of all where the model has no such class, less
    `RARER`.

    Args:
        checkpoint: The model.
        names: The new classes; their codes follow its own.
        samples: Labels that have them, and their colours.

    Raises:
        InputError: It knows one of them, or no label has it.
    """
    known = [one.name for one in checkpoint.classes]
    _require_new(names, known, samples)
    if not names:
        return checkpoint
    layer = last_layer(checkpoint.build())[0]
    weights = dict(checkpoint.weights)
    for part, lower in ((f"{layer}.weight", 0.0), (f"{layer}.bias", RARER)):
        rows = weights[part]
        former = rows[known.index(OTHER)] if OTHER in known else rows.mean(dim=0)
        weights[part] = torch.cat([rows, (former - lower).expand(len(names), *former.shape)])
    return replace(
        checkpoint,
        config=replace(checkpoint.config, classes=len(known) + len(names)),
        classes=(*checkpoint.classes, *_new_classes(len(known), names, samples)),
        weights=weights,
        applicability=None,
        prediction_sets=None,
        curves=None,
    )


def _require_new(names: Sequence[str], known: Sequence[str], samples: Samples) -> None:
    if again := [name for name in names if name in known]:
        raise InputError(
            f"Classes to add are new to the model, and it knows {', '.join(again)}. Leave out of "
            "--add-classes what it knows."
        )
    if missing := [name for name in names if not samples.counts.get(name)]:
        there = ", ".join(name for name, count in samples.counts.items() if count)
        raise InputError(
            f"Classes to add need labels, and there are none of {', '.join(missing)}; the samples have "
            f"{there}. Name some of these, or say with --legend what the labels mean."
        )


def _new_classes(first: int, names: Sequence[str], samples: Samples) -> tuple[CropClass, ...]:
    colors = samples.colors or tuple(map(color_of, samples.class_names))
    found = (colors[samples.class_names.index(name)] for name in names)
    pairs = zip(names, found, strict=True)
    return tuple(CropClass(code, *pair) for code, pair in enumerate(pairs, first + 1))


def network_of(checkpoint: Checkpoint, way: str) -> nn.Module:
    """The network of a model, of which a way's part alone will be trained.

    Args:
        checkpoint: The model.
        way: A key of `WAYS` that trains something.
    """
    network = build_network(checkpoint.config, checkpoint.recipe, checkpoint.normalisation)
    network.load_state_dict(checkpoint.weights)
    network.requires_grad_(False)
    trains = WAYS[way].trains
    assert trains is not None, "this way trains nothing"
    for parameter in trains(network):
        parameter.requires_grad_(True)
    hold_norms(network)
    return network
