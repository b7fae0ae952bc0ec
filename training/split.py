"""Which samples train and which are held out to judge, by place or at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

from gee_pipeline.errors import InputError
from training.options import SplitRule
from training.samples import Samples

DRAWS: Final = 64
"""Random choices to pick from: enough for a class of one in fifteen samples to come out nearly as asked."""


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
    """Training and validation samples, with the mix of classes as alike as whole blocks allow.

    Of `DRAWS` random choices of blocks the one is taken that holds out the most even share of each class.

    Raises:
        InputError: The samples have no places, lie in too few blocks, or a class would not be trained.
    """
    blocks = _blocks(samples, rule)
    unique, group = np.unique(blocks, axis=0, return_inverse=True)
    _require_blocks(len(unique), rule)
    draws = GroupShuffleSplit(DRAWS, test_size=rule.share, random_state=rule.seed)
    pairs = draws.split(samples.labels, groups=group.ravel())
    training, validation = min(pairs, key=lambda pair: _unevenness(samples, pair[1], rule.share))
    _require_classes(samples, training, rule)
    return Split(training, validation, _facts(rule, len(validation) / len(samples), blocks[validation]))


def in_blocks(samples: Samples, facts: dict[str, Any]) -> NDArray[np.bool_]:
    """`(sample,)`: True where a sample lies in a block that `Split.facts` calls held out."""
    if samples.lon is None or samples.lat is None:
        raise _no_places()
    held_out = {tuple(block) for block in facts["held_out_blocks"]}
    blocks = block_of(samples.lon, samples.lat, facts["block_size"])
    return np.array([tuple(block) in held_out for block in blocks.tolist()], dtype=bool)


def _blocks(samples: Samples, rule: SplitRule) -> NDArray[np.int64]:
    """What is held out as a whole: `(sample, 2)` squares, or `(sample, 1)` single samples."""
    if rule.rule == "random":
        return np.arange(len(samples))[:, None]
    if samples.lon is None or samples.lat is None:
        raise _no_places()
    return block_of(samples.lon, samples.lat, rule.block_size)


def _unevenness(samples: Samples, held_out: NDArray[np.intp], share: float) -> float:
    """Largest distance of any class from the share to hold out."""
    classes = len(samples.class_names)
    found = np.bincount(samples.labels[held_out], minlength=classes)
    return float(np.abs(found / np.bincount(samples.labels, minlength=classes) - share).max())


def _facts(rule: SplitRule, share: float, held_out: NDArray[np.int64]) -> dict[str, Any]:
    facts: dict[str, Any] = {"rule": rule.rule, "seed": rule.seed, "share": share}
    if rule.rule == "blocks":
        blocks = np.unique(held_out, axis=0).tolist()
        return facts | {"block_size": rule.block_size, "held_out_blocks": blocks}
    return facts | {"caution": "Neighbours of held-out samples train the model: the scores are optimistic."}


def _require_blocks(found: int, rule: SplitRule) -> None:
    needed = math.ceil(1 / rule.share)
    if found < needed and rule.rule == "random":
        raise InputError(
            f"Holding out a share of {rule.share:g} takes {needed} samples or more, got {found}."
        )
    if found < needed:
        raise InputError(
            f"A split by place needs samples in at least {needed} blocks, got {found} of "
            f"{rule.block_size:g} degrees. Choose smaller blocks (--block-size) or, knowing that the scores "
            "will be optimistic, --split random."
        )


def _require_classes(samples: Samples, training: NDArray[np.intp], rule: SplitRule) -> None:
    counts = samples.take(training).counts
    if missing := [name for name, count in counts.items() if not count]:
        where = "blocks" if rule.rule == "blocks" else "samples"
        raise InputError(
            f"Every class must have training samples, but all of {', '.join(missing)} lie in held-out "
            f"{where}. Try another --seed, a smaller --block-size, or leave the class out of --classes."
        )


def _no_places() -> InputError:
    return InputError(
        "A split by place needs the keys lon and lat in every file of samples, and they are absent. "
        "Add them, or take --split random, knowing that its scores are optimistic: pixels of one field stand "
        "on both sides."
    )
