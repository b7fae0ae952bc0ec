"""Decision trees as the text that Earth Engine reads, the print format of R's rpart.

    1) root 9999 9999 9999 (0.5)
    2) B4_30 <= 1234.5 9 9 9
    4) B8_41 <= 2100.5 9 9 3 *
    5) B8_41 > 2100.5 9 9 1 *
    3) B4_30 > 1234.5 9 9 2 *

A line is a node: number, split, samples, deviance, value, and a star in a leaf. The children of node k are
2k, where the split holds, and 2k + 1; a node stands before its children, the left branch before the right,
which Earth Engine checks. It reads neither samples nor deviance, nor the value of an inner node, so these are
short nines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.forest.deploy_options import DEEPEST
from gee_pipeline.errors import InputError

SHARE_UNIT: Final = 10_000
"""Share 1 in the leaves of an ensemble that answers shares: whole numbers add up alike on every machine."""

_ROOT: Final = "1) root 9999 9999 9999 (0.5)"

_NAME: Final = re.compile(r"\w+", re.ASCII)

_UNREAD: Final = "9 9"
"""Samples and deviance."""


def tree_text(
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    value: NDArray[Any],
    names: Sequence[str],
) -> str:
    """The text of one tree; a row goes left where `row[feature] <= threshold`.

    Thresholds are written with the fewest digits that read back as the same 64-bit number, never with an
    exponent. A tree that is a single leaf is written as a split with the same value on both sides, so that it
    has the form of every other tree.

    Args:
        left: `(node,)`, the node where the split holds; node 0 is the root, the order of the others is any.
        right: `(node,)`, the other one.
        feature: `(node,)`, column of the split; below 0 in a leaf.
        threshold: `(node,)`.
        value: `(node,)`, what a leaf answers: whole numbers, or floats, which keep all their digits.
        names: Name of each column, such as `B2_24`.

    Raises:
        InputError: The tree is deeper than `DEEPEST`, or a name has other signs than letters, digits and _.
    """
    _require_names(names)
    if feature[0] < 0:
        return _leaf_text(names[0], value[0].item())
    order, number = _pre_order(left, right, feature)
    splits = _splits(left, right, feature, threshold, names)
    tails = _tails(feature, value)
    below = zip(number[order[1:]].tolist(), order[1:].tolist(), strict=True)
    return "\n".join([_ROOT, *(f"{k}) {splits[node]} {tails[node]}" for k, node in below), ""])


def _leaf_text(name: str, value: float) -> str:
    tail = f"{_UNREAD} {_number(value)} *"
    return f"{_ROOT}\n2) {name} <= 0 {tail}\n3) {name} > 0 {tail}\n"


def _splits(
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    names: Sequence[str],
) -> list[str]:
    """What holds in each node and not in its sibling, by the split of its parent; nothing in the root."""
    splits = [""] * len(feature)
    inner = np.flatnonzero(feature >= 0)
    columns = (array[inner].tolist() for array in (left, right, feature, threshold))
    for low, high, column, limit in zip(*columns, strict=True):
        text = _number(limit)
        splits[low] = f"{names[column]} <= {text}"
        splits[high] = f"{names[column]} > {text}"
    return splits


def _tails(feature: NDArray[np.int32], value: NDArray[Any]) -> list[str]:
    """Samples, deviance, value and star of each node."""
    tails = [f"{_UNREAD} 9"] * len(feature)
    leaves = np.flatnonzero(feature < 0)
    for leaf, answer in zip(leaves.tolist(), value[leaves].tolist(), strict=True):
        tails[leaf] = f"{_UNREAD} {_number(answer)} *"
    return tails


def _pre_order(
    left: NDArray[np.int32], right: NDArray[np.int32], feature: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The nodes in the order of their lines, and the number of each node, `(node,)` each.

    Raises:
        InputError: The tree is too deep.
    """
    number = np.ones(len(feature), np.int64)
    levels = list(inner_levels(left, right, feature))
    if len(levels) > DEEPEST:
        raise InputError(
            f"A tree for Earth Engine has at most {DEEPEST} splits above a leaf, this one has {len(levels)}. "
            f"Grow the forest with --max-depth {DEEPEST} or less."
        )
    size = np.ones(len(feature), np.int64)
    for inner in reversed(levels):
        size[inner] += size[left[inner]] + size[right[inner]]
    place = np.zeros(len(feature), np.int64)
    for inner in levels:
        low, high = left[inner], right[inner]
        number[low], number[high] = 2 * number[inner], 2 * number[inner] + 1
        place[low] = place[inner] + 1
        place[high] = place[inner] + 1 + size[low]
    return np.argsort(place), number


def inner_levels(
    left: NDArray[np.int32], right: NDArray[np.int32], feature: NDArray[np.int32]
) -> Iterator[NDArray[np.int32]]:
    """The inner nodes of each depth, from the root down."""
    level = np.zeros(1, np.int32)
    while len(inner := level[feature[level] >= 0]):
        yield inner
        level = np.concatenate([left[inner], right[inner]])


def _number(value: float) -> str:
    """The shortest decimal text without an exponent that reads back as the same number."""
    text = repr(value)
    if "e" in text:
        return np.format_float_positional(value, unique=True, trim="-")
    return text.removesuffix(".0")


def _require_names(names: Sequence[str]) -> None:
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    if wrong:
        raise InputError(f"The name of a band in a tree has only letters, digits and _, got {wrong[0]!r}.")
