"""Accuracy of a map and of the smoothed one from the same points, and how much they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assessment.estimation.accuracy import Accuracy, LabelledSample, assess
from assessment.estimation.estimate import Estimate, ratio
from assessment.estimation.intervals import Z
from assessment.report.other_map import put_to_map
from assessment.report.results import labelled
from assessment.report.sampled import Choices, apply_choices
from assessment.report.sourced import AnswerRequest, Sourced
from assessment.report.sources import open_source
from assessment.report.writing import figure_values
from assessment.sample.frame import Progress
from assessment.sample.tables import Faults

_WAY_OUT = "Correct the answers and give the same command again; nothing was written."


@dataclass(frozen=True)
class BeforeAfter:
    """What the points of one sample say of a map and of the smoothed one."""

    before: Accuracy
    """Of the map of the run."""
    after: Accuracy
    """Of the smoothed map."""
    gain: Estimate
    """Overall accuracy of the smoothed map less that of the other. Both are of the same points, so the
    standard error is that of the difference, smaller than those of the two."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        low, high = self.interval
        gain = {"value": self.gain.value, "se": self.gain.se, "low": low, "high": high}
        return {"before": _values(self.before), "after": _values(self.after), "gain": gain}

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval of the gain."""
        return self.gain.value - Z * self.gain.se, self.gain.value + Z * self.gain.se


def read_reference(run: Path, answers: Sequence[Path]) -> Sourced:
    """The sample of a run with its answers.

    Args:
        run: Folder of the run.
        answers: One file an interpreter.

    Raises:
        InputError: There is no sample, or something is wrong with the answers.
        MismatchError: The sample was drawn from another map.
    """
    faults = Faults()
    sourced = open_source(run, AnswerRequest(tuple(answers)), faults)
    apply_choices(sourced.sampled, Choices(), faults)
    faults.refuse(_WAY_OUT)
    return sourced


def compare_accuracy(sourced: Sourced, smoothed: Path, report: Progress = lambda *_: None) -> BeforeAfter:
    """Accuracy before and after.

    Args:
        sourced: The sample with its answers.
        smoothed: The smoothed map.
        report: Receives the windows read and all windows.
    """
    faults = Faults()
    put = put_to_map(sourced, smoothed, faults, report)
    before, after = (labelled(apply_choices(one.sampled, Choices(), faults)) for one in (sourced, put))
    faults.refuse(_WAY_OUT)
    return BeforeAfter(assess(before), assess(after), _gain(before, after))


def _gain(before: LabelledSample, after: LabelledSample) -> Estimate:
    shown = before.map >= 0
    right = [(one.map == one.reference).astype(float) for one in (before, after)]
    found = ratio(before.design, before.size * shown * (right[1] - right[0]), before.size * shown)
    if found is None:
        raise AssertionError("a map that is assessed shows a class somewhere")
    return found


def _values(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "overall": figure_values(accuracy.overall),
        "classes": [{"name": one.name, "f1": figure_values(one.f1)} for one in accuracy.classes],
    }
