"""Which classes of a legend a model distinguishes, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from training.samples.class_legend import LEFT_OUT, ClassLegend
from training.samples.crops import OTHER
from training.samples.labels import plain_label


def choose_classes(legend: ClassLegend, names: Sequence[str]) -> tuple[str, ...]:
    """Class names as asked for, in that order, written as in the legend.

    Raises:
        InputError: A name is unknown or repeated, or there are fewer than two.
    """
    known = {plain_label(name): name for name in legend.names}
    asked = [plain_label(name) for name in names]
    if not set(asked) <= set(known) or len(set(asked)) != len(asked) or len(asked) < 2:
        raise InputError(
            f"Classes are two or more different names out of {', '.join(legend.names)}; got "
            f"{', '.join(names)}. Write them as --classes {','.join(legend.names[:2])}, or describe classes "
            "of your own in a file (--legend)."
        )
    return tuple(known[name] for name in asked)


def occurring_classes(legend: ClassLegend, labels: NDArray[np.int64]) -> tuple[str, ...]:
    """The classes that have samples, in the order of the legend.

    Args:
        legend: All classes.
        labels: `(sample,)` index into its names.

    Raises:
        InputError: There are fewer than two.
    """
    return choose_classes(legend, [name for name, count in _counts(legend, labels).items() if count])


def merge_into(known: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """For each known class its index in `names`, or `LEFT_OUT`.

    A class that is not among the names becomes "other" where that is, and is left out where not.
    """
    chosen = list(names)
    rest = chosen.index(OTHER) if OTHER in chosen else LEFT_OUT
    return tuple(chosen.index(name) if name in chosen else rest for name in known)


def relabel(legend: ClassLegend, labels: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
    """`(sample,)`: index into the chosen names, or `LEFT_OUT`.

    Args:
        legend: All classes.
        labels: `(sample,)` index into its names.
        names: The classes chosen.

    Raises:
        InputError: A chosen class has no sample.
    """
    chosen = np.array(merge_into(legend.names, names))[labels]
    found = np.bincount(chosen[chosen != LEFT_OUT], minlength=len(names))
    if empty := [name for name, count in zip(names, found, strict=True) if not count]:
        there = [f"{count} {name}" for name, count in _counts(legend, labels).items() if count]
        raise InputError(
            f"Every class needs samples, but there are none of {', '.join(empty)}; the files hold "
            f"{', '.join(there)}. Leave these classes out of --classes."
        )
    return chosen


def _counts(legend: ClassLegend, labels: NDArray[np.int64]) -> dict[str, int]:
    numbers = np.bincount(labels, minlength=len(legend.names))
    return dict(zip(legend.names, numbers.tolist(), strict=True))
