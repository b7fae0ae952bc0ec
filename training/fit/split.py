"""Which samples train and which are held out to validate, by place or at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

from gee_pipeline.errors import InputError
from training.fit.options import SplitRule

DRAWS: Final = 64
"""Random choices to pick from: enough for a class of one in fifteen samples to come out nearly as asked."""


class Labelled(Protocol):
    """What can be split: series, or features of any other kind."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """`(sample,)`, index into `class_names`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the codes."""

    @property
    def lon(self) -> NDArray[np.float64] | None:
        """`(sample,)`, degrees east."""

    @property
    def lat(self) -> NDArray[np.float64] | None:
        """`(sample,)`, degrees north."""

    @property
    def groups(self) -> NDArray[np.str_] | None:
        """`(sample,)`, what belongs together."""


@dataclass(frozen=True)
class Split:
    """Indices of samples, apart: none is in both."""

    training: NDArray[np.intp]
    """Samples the weights are fitted to."""
    validation: NDArray[np.intp]
    """Samples that choose the best epoch and give the scores."""
    facts: dict[str, Any]
    """What makes the same split again, as JSON values; `held_out_blocks` lists column and row,
    `held_out_groups` names."""

    @property
    def description(self) -> str:
        """The rule and the number of held-out samples, in words."""
        count = f"{len(self.validation):,} samples"
        if self.facts["rule"] == "blocks":
            return f"blocks of {self.facts['block_size']:g} degrees, {count}"
        if self.facts["rule"] == "column":
            return f"{len(self.facts['held_out_groups'])} groups of the samples, {count}"
        return f"samples at random, {count}; optimistic, because their neighbours train"


def block_of(lon: NDArray[np.float64], lat: NDArray[np.float64], block_size: float) -> NDArray[np.int64]:
    """`(sample, 2)`: column and row of the square of `block_size` degrees that holds each place."""
    return np.floor(np.column_stack([lon, lat]) / block_size).astype(np.int64)


def split_samples(samples: Labelled, rule: SplitRule) -> Split:
    """Training and validation samples, with the mix of classes as alike as whole blocks or groups allow.

    Of `DRAWS` random choices of blocks the one is taken that holds out the most even share of each class.
    No block and no group has samples on both sides. Two fields on both sides of a block's edge are still
    neighbours, the fewer the larger the blocks.

    Raises:
        InputError: The samples have no places or groups, lie in too few, or a class would not be trained.
    """
    _require_pairs(samples)
    blocks = kept_together(samples, rule)
    unique, group = np.unique(blocks, axis=0, return_inverse=True)
    _require_blocks(len(unique), rule)
    draws = GroupShuffleSplit(DRAWS, test_size=rule.share, random_state=rule.seed)
    pairs = draws.split(samples.labels, groups=group.ravel())
    training, validation = min(pairs, key=lambda pair: _unevenness(samples, pair[1], rule.share))
    _require_classes(samples, training, rule)
    return Split(
        training, validation, _facts(rule, len(validation) / len(samples.labels), blocks[validation])
    )


def in_blocks(samples: Labelled, facts: dict[str, Any]) -> NDArray[np.bool_]:
    """`(sample,)`: True where a sample lies in a block that `Split.facts` calls held out."""
    if samples.lon is None or samples.lat is None:
        raise _no_places()
    held_out = {tuple(block) for block in facts["held_out_blocks"]}
    blocks = block_of(samples.lon, samples.lat, facts["block_size"])
    return np.array([tuple(block) in held_out for block in blocks.tolist()], dtype=bool)


def kept_together(samples: Labelled, rule: SplitRule) -> NDArray[Any]:
    """What is held out as a whole: `(sample, 2)` squares, or `(sample, 1)` groups or single samples.

    Args:
        samples: Labels.
        rule: `blocks`, `column` or `random`.

    Raises:
        InputError: The samples have no places or no groups.
    """
    if rule.rule == "random":
        return np.arange(len(samples.labels))[:, None]
    if rule.rule == "column":
        return _groups(samples)[:, None]
    if samples.lon is None or samples.lat is None:
        raise _no_places()
    return block_of(samples.lon, samples.lat, rule.block_size)


def _groups(samples: Labelled) -> NDArray[np.str_]:
    if samples.groups is None:
        raise InputError(
            "A split by column needs the key or column group in every file of samples, and it is absent. Add "
            "it, name another (--group-column), or take --split blocks."
        )
    return samples.groups


def _unevenness(samples: Labelled, held_out: NDArray[np.intp], share: float) -> float:
    """Largest distance of any class from the share to hold out."""
    classes = len(samples.class_names)
    found = np.bincount(samples.labels[held_out], minlength=classes)
    return float(np.abs(found / np.bincount(samples.labels, minlength=classes) - share).max())


def _facts(rule: SplitRule, share: float, held_out: NDArray[Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"rule": rule.rule, "seed": rule.seed, "share": share}
    if rule.rule == "blocks":
        blocks = np.unique(held_out, axis=0).tolist()
        return facts | {"block_size": rule.block_size, "held_out_blocks": blocks}
    if rule.rule == "column":
        return facts | {"held_out_groups": np.unique(held_out).tolist()}
    return facts | {"caution": "Neighbours of held-out samples train the model: the scores are optimistic."}


def _require_blocks(found: int, rule: SplitRule) -> None:
    needed = math.ceil(1 / rule.share)
    if found >= needed:
        return
    if rule.rule == "random":
        raise InputError(
            f"Holding out a share of {rule.share:g} takes {needed} samples or more, got {found}."
        )
    if rule.rule == "column":
        raise InputError(
            f"A split by column needs samples of at least {needed} groups, got {found}. Name another column "
            "(--group-column) or take --split blocks."
        )
    raise InputError(
        f"A split by place needs samples in at least {needed} blocks, got {found} of "
        f"{rule.block_size:g} degrees. Choose smaller blocks (--block-size) or, knowing that the scores "
        "will be optimistic, --split random."
    )


def _require_pairs(samples: Labelled) -> None:
    counts = np.bincount(samples.labels, minlength=len(samples.class_names))
    if single := [name for name, count in zip(samples.class_names, counts, strict=True) if count == 1]:
        raise InputError(
            f"A class needs two samples or more, one to train and one to test, but {', '.join(single)} has "
            "one. Give more, or leave the class out of --classes."
        )


def _require_classes(samples: Labelled, training: NDArray[np.intp], rule: SplitRule) -> None:
    counts = np.bincount(samples.labels[training], minlength=len(samples.class_names))
    if missing := [name for name, count in zip(samples.class_names, counts, strict=True) if not count]:
        where = {"blocks": "blocks", "column": "groups", "random": "samples"}[rule.rule]
        smaller = " a smaller --block-size," if rule.rule == "blocks" else ""
        raise InputError(
            f"Every class must have training samples, but all of {', '.join(missing)} lie in held-out "
            f"{where}. Try another seed,{smaller} or leave the class out of --classes."
        )


def _no_places() -> InputError:
    return InputError(
        "A split by place needs the keys lon and lat in every file of samples, and they are absent. "
        "Add them, or take --split random, knowing that its scores are optimistic: pixels of one field stand "
        "on both sides."
    )
