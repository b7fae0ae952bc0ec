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

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError

DEEPEST: Final = 30
"""Splits above a leaf: the numbers of the nodes double with each and end at 2^31 - 1, which fits 32 bits."""

_ROOT: Final = "1) root 9999 9999 9999 (0.5)"

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
        names: Name of each column, such as `B2_24`; without blanks.

    Raises:
        InputError: The tree is deeper than `DEEPEST`, or a name holds a blank.
    """
    _require_names(names)
    if feature[0] < 0:
        split, answer = f"{names[0]} {{}} 0 {_UNREAD} {_number(value[0])} *", _ROOT
        return f"{answer}\n2) {split.format('<=')}\n3) {split.format('>')}\n"
    order, number = _pre_order(left, right, feature)
    return "\n".join([_ROOT, *_lines(order, number, left, right, feature, threshold, value, names)]) + "\n"


def _lines(
    order: NDArray[np.intp],
    number: NDArray[np.int64],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    value: NDArray[Any],
    names: Sequence[str],
) -> Iterator[str]:
    """The lines below the root: each node with the split of its parent and its own value."""
    inner = np.flatnonzero(feature >= 0)
    splits = [
        (names[f], _number(t))
        for f, t in zip(feature[inner].tolist(), threshold[inner].tolist(), strict=True)
    ]
    text = [""] * len(feature)
    for (name, limit), low, high in zip(splits, left[inner].tolist(), right[inner].tolist(), strict=True):
        text[low] = f") {name} <= {limit} "
        text[high] = f") {name} > {limit} "
    tails = _tails(feature, value)
    below = order[1:].tolist()
    return (f"{k}{text[i]}{tails[i]}" for k, i in zip(number[order[1:]].tolist(), below, strict=True))


def _tails(feature: NDArray[np.int32], value: NDArray[Any]) -> list[str]:
    """Samples, deviance, value and star of each node."""
    known: dict[Any, str] = {}
    tails = [f"{_UNREAD} 9"] * len(feature)
    for i in np.flatnonzero(feature < 0).tolist():
        answer = value[i].item()
        if answer not in known:
            known[answer] = f"{_UNREAD} {_number(answer)} *"
        tails[i] = known[answer]
    return tails


def _pre_order(
    left: NDArray[np.int32], right: NDArray[np.int32], feature: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The nodes in the order of their lines, and the number of each node, `(node,)` each.

    Raises:
        InputError: The tree is too deep.
    """
    number = np.ones(len(feature), np.int64)
    levels = list(_levels(left, right, feature))
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


def _levels(
    left: NDArray[np.int32], right: NDArray[np.int32], feature: NDArray[np.int32]
) -> Iterator[NDArray[np.int32]]:
    """The inner nodes of each depth, from the root down."""
    level = np.zeros(1, np.int32)
    while len(inner := level[feature[level] >= 0]):
        yield inner
        level = np.concatenate([left[inner], right[inner]])


def _number(value: Any) -> str:
    """The shortest decimal text without an exponent that reads back as the same number."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    if "e" in text:
        return np.format_float_positional(value, unique=True, trim="-")
    return text.removesuffix(".0")


def _require_names(names: Sequence[str]) -> None:
    if blank := next((name for name in names if not name or any(c.isspace() for c in name)), None):
        raise InputError(f"The name of a band in a tree holds no blank, got {blank!r}. Rename it.")
