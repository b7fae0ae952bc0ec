"""What counts as right where the classes of source and target differ (Tong et al. 2025, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from training.samples.crops import NAMES, OTHER
from training.scores.metrics import Scores, score
from training.transfer.protocol import ClassRules


@dataclass(frozen=True)
class MapClasses:
    """The classes that the reference map of a region distinguishes; "other" may hold all further crops."""

    names: tuple[str, ...]
    """The classes, "other" among them."""
    source: str
    """Where it is written."""


RULES: Final[Mapping[str, MapClasses]] = {
    "ARG": MapClasses(("soybeans", OTHER), "Tong et al. 2025, sections 2.2 and 4.1: soybeans or not"),
    "AUS": MapClasses(("sugarcane", "cotton", OTHER), "Tong et al. 2025, sections 2.2 and 4.1: summer crops"),
    "CHN": MapClasses(("rice", OTHER), "Tong et al. 2025, sections 2.2 and 4.1: rice alone is included"),
}
"""Regions whose maps distinguish two or three classes; every other region has the classes of the source."""

CODE_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "ARG": tuple(name for name in NAMES if name != "wheat"),
    "AUS": ("sugarcane", "cotton", OTHER),
    "CHN": ("corn", "soybeans", "rice", OTHER),
}
"""The same regions in the code that the authors published: predictions of these classes are not "other"."""


@dataclass(frozen=True)
class Alignment:
    """Which samples of a target are evaluated, as what, and what a prediction counts as."""

    names: tuple[str, ...]
    """Classes of the confusion matrix, in the order of the model's."""
    label_to: Mapping[str, str | None]
    """Class of a sample -> what it is evaluated as; None leaves it out, because the model cannot know it."""
    prediction_to: Mapping[str, str]
    """Class of the model -> what its prediction counts as."""
    reason: str
    """Why, as a sentence for the report."""
    as_published: bool = True
    """Whether the published numbers are of the same classes."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Classes of samples that are not evaluated."""
        return tuple(name for name, to in self.label_to.items() if to is None)


def align(
    target: str,
    target_names: Sequence[str],
    model_names: Sequence[str],
    *,
    own: Sequence[str] | None = None,
    merged: bool = False,
    rules: ClassRules = "paper",
) -> Alignment:
    """How a target is evaluated.

    A class that the model does not know is left out, or becomes "other" where the classes of the model were
    chosen and the rest merged into it. Where the map of the target distinguishes few classes, the others
    count as "other", in labels and predictions.

    Args:
        target: Code of the region.
        target_names: Classes that occur in it.
        model_names: Classes that the model distinguishes.
        own: Classes that the map of the target distinguishes; None goes by the rules.
        merged: Whether classes that the model does not name are part of its "other".
        rules: `paper` for `RULES`, `code` for `CODE_RULES`, `labels` for those of the paper and every class
            of the model that is labelled in the target besides.

    Raises:
        InputError: Fewer than two classes are left to evaluate, or an own class is not one of the model's.
    """
    known, why = _rule(target, target_names, model_names, rules)
    if own:
        known, why = tuple(own), "as --target-classes says"
    rest = OTHER if merged and OTHER in model_names else None
    of_model = {name: name if name in model_names else rest for name in target_names}
    if own:
        _require_names(target, own, model_names)
    prediction_to = {name: _within(name, known) for name in model_names}
    label_to = {name: None if to is None else _within(to, known) for name, to in of_model.items()}
    shared = {to for to in label_to.values() if to is not None}
    if len(shared) < 2:
        raise InputError(
            f"A transfer is tested on two or more classes that source and target share, but {target} has "
            f"{', '.join(target_names)}, and the model knows {', '.join(model_names)}: "
            f"{', '.join(sorted(shared)) or 'none'} is shared. Choose other --targets or --classes."
        )
    possible = shared | set(prediction_to.values())
    order = (*model_names, OTHER) if OTHER not in model_names else tuple(model_names)
    return Alignment(
        tuple(name for name in order if name in possible),
        label_to,
        prediction_to,
        _reason(target, known, why, label_to, merged),
        known is None or target not in RULES or set(known) == set(RULES[target].names),
    )


def aligned_scores(
    confusion: NDArray[np.integer],
    target_names: Sequence[str],
    model_names: Sequence[str],
    alignment: Alignment,
) -> Scores:
    """The scores of a target, from counts before alignment.

    The mean F1 is over the classes that have samples in the target.

    Args:
        confusion: `(class of the target, class of the model)`, counts.
        target_names: Classes of the rows.
        model_names: Classes of the columns.
        alignment: How they are evaluated.
    """
    names = alignment.names
    counts = np.zeros((len(names), len(names)), np.int64)
    for row, label in enumerate(target_names):
        to = alignment.label_to[label]
        for column, predicted in enumerate(model_names):
            if to is not None:
                counts[names.index(to), names.index(alignment.prediction_to[predicted])] += confusion[
                    row, column
                ]
    labels, predicted_as = np.indices(counts.shape).reshape(2, -1)
    return score(np.repeat(labels, counts.ravel()), np.repeat(predicted_as, counts.ravel()), names)


def _rule(
    target: str, labelled: Sequence[str], model_names: Sequence[str], rules: ClassRules
) -> tuple[tuple[str, ...] | None, str]:
    """What is told apart in a region, and where that is written; None for the classes of the source."""
    if target not in RULES:
        return None, ""
    paper = RULES[target]
    if rules == "code":
        return CODE_RULES[target], "the code that the authors of Tong et al. 2025 published"
    further = tuple(name for name in labelled if name in model_names and name not in paper.names)
    if rules == "paper" or not further:
        return paper.names, paper.source
    return (*further, *paper.names), (
        f"{', '.join(further)} labelled there, which Tong et al. 2025 count as {OTHER}: no published number "
        "is of these classes"
    )


def _within(name: str, known: tuple[str, ...] | None) -> str:
    return name if known is None or name in known else OTHER


def _require_names(target: str, own: Sequence[str], model_names: Sequence[str]) -> None:
    if unknown := [name for name in own if name not in (*model_names, OTHER)]:
        raise InputError(
            f"The classes of a target are among those of the model, {', '.join(model_names)}; "
            f"--target-classes {target} has {', '.join(unknown)} in addition."
        )


def _reason(
    target: str,
    known: tuple[str, ...] | None,
    why: str,
    label_to: Mapping[str, str | None],
    merged: bool,
) -> str:
    parts = []
    if known:
        parts.append(f"only {', '.join(known)} are distinguished, all else counts as {OTHER} ({why})")
    if gone := [name for name, to in label_to.items() if to is None]:
        parts.append(f"{', '.join(gone)} left out, since the source has none")
    into = [name for name, to in label_to.items() if to == OTHER != name]
    if merged and not known and into:
        parts.append(f"{', '.join(into)} counts as {OTHER} (--classes)")
    return f"{target}: {'; '.join(parts) or 'all classes as they are'}."
