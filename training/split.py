"""Which samples train and which are held out to judge, by place or at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from gee_pipeline.errors import InputError
from training.options import SplitRule
from training.samples import Samples


@dataclass(frozen=True)
class Split:
    """Indices of samples, apart: none is in both."""

    training: NDArray[np.intp]
    """Samples the weights are fitted to."""
    validation: NDArray[np.intp]
    """Samples that choose the best epoch and give the scores."""
    facts: dict[str, Any]
    """What makes the same split again, as JSON values; `held_out_blocks` lists column and row."""


def block_of(lon: NDArray[np.float64], lat: NDArray[np.float64], block_size: float) -> NDArray[np.int64]:
    """`(sample, 2)`: column and row of the square of `block_size` degrees that holds each place."""
    return np.floor(np.column_stack([lon, lat]) / block_size).astype(np.int64)


def split_samples(samples: Samples, rule: SplitRule) -> Split:
    """Training and validation samples, with the mix of classes alike as far as whole blocks allow.

    Raises:
        InputError: The samples have no places, lie in too few blocks, or a class would not be trained.
    """
    training, validation, blocks = (
        _by_block(samples, rule) if rule.rule == "blocks" else _random(samples, rule)
    )
    _require_classes(samples, training, rule)
    facts: dict[str, Any] = {"rule": rule.rule, "seed": rule.seed, "share": len(validation) / len(samples)}
    if rule.rule == "blocks":
        facts |= {"block_size": rule.block_size, "held_out_blocks": blocks}
    else:
        facts["caution"] = "Neighbours of the held-out samples train the model: the scores are optimistic."
    return Split(training, validation, facts)


def in_blocks(samples: Samples, facts: dict[str, Any]) -> NDArray[np.bool_]:
    """`(sample,)`: True where a sample lies in a block that `Split.facts` calls held out."""
    if samples.lon is None or samples.lat is None:
        raise _no_places()
    held_out = {tuple(block) for block in facts["held_out_blocks"]}
    blocks = block_of(samples.lon, samples.lat, facts["block_size"])
    return np.array([tuple(block) in held_out for block in blocks.tolist()], dtype=bool)


def _by_block(
    samples: Samples, rule: SplitRule
) -> tuple[NDArray[np.intp], NDArray[np.intp], list[list[int]]]:
    if samples.lon is None or samples.lat is None:
        raise _no_places()
    blocks = block_of(samples.lon, samples.lat, rule.block_size)
    folds = round(1 / rule.share)
    unique, group = np.unique(blocks, axis=0, return_inverse=True)
    if len(unique) < folds:
        raise InputError(
            f"A split by place needs samples in at least {folds} blocks, got {len(unique)} of "
            f"{rule.block_size:g} degrees. Choose smaller blocks (--block-size) or, knowing that the scores "
            "will be optimistic, --split random."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=rule.seed)
    training, validation = next(splitter.split(samples.labels, samples.labels, group.ravel()))
    return training, validation, np.unique(blocks[validation], axis=0).tolist()


def _random(samples: Samples, rule: SplitRule) -> tuple[NDArray[np.intp], NDArray[np.intp], list[list[int]]]:
    folds = round(1 / rule.share)
    if max(samples.counts.values()) < folds:
        raise InputError(f"A split needs at least {folds} samples of one class, got {samples.counts}.")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=rule.seed)
    training, validation = next(splitter.split(samples.labels, samples.labels))
    return training, validation, []


def _require_classes(samples: Samples, training: NDArray[np.intp], rule: SplitRule) -> None:
    counts = samples.take(training).counts
    if missing := [name for name, count in counts.items() if not count]:
        where = "blocks" if rule.rule == "blocks" else "samples"
        raise InputError(
            f"Every class must have training samples, but all of {', '.join(missing)} are held-out {where}. "
            "Try another --seed, a smaller --block-size, or leave the class out of --classes."
        )


def _no_places() -> InputError:
    return InputError(
        "A split by place needs the keys lon and lat in every file of samples, and they are absent. "
        "Add them, or take --split random, knowing that its scores are optimistic: pixels of one field stand "
        "on both sides."
    )
