"""From answers to a report: checked, estimated, written."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assessment.report.answers import Agreement
from assessment.report.map_help import NO_PROBABILITIES, class_covariates
from assessment.report.other_map import put_to_map
from assessment.report.results import ClassCovariate, Results, results
from assessment.report.sampled import Choices, Sampled, apply_choices
from assessment.report.sourced import AnswerRequest, Sourced
from assessment.report.sources import open_source, sample_folder
from assessment.report.writing import result_values, write_report
from assessment.sample.frame import Progress
from assessment.sample.tables import Faults
from gee_pipeline.errors import InputError
from gee_pipeline.files import require_writable

NOT_MAPPED = "Mapped areas are counts of pixels, not estimates of what is there."


@dataclass(frozen=True)
class ReportRequest:
    """Which sample to report on, and how."""

    place: Path
    """Folder of a run or of a sample, a map, or a table of strata."""
    answers: AnswerRequest
    """The answers."""
    choices: Choices = field(default_factory=Choices)
    """What becomes of gaps."""
    districts: bool = False
    """Whether to report by district."""
    other: Path | None = None
    """Another map of the same pixels to report on; None is the one that the sample was drawn from."""
    out: Path | None = None
    """Folder of the report; None is `report` in the folder of the sample, with the name of another map, or
    beside the answers."""

    @property
    def folder(self) -> Path:
        """Where the report comes to."""
        if self.out is not None:
            return self.out
        sample, first = sample_folder(self.place), self.answers.files[0]
        name = "report" if self.other is None else f"report_{self.other.stem}"
        return sample / name if sample else first.with_name(f"{first.stem}_report")


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    folder: Path
    """Where it is."""
    sampled: Sampled
    """The sample as it was taken."""
    results: Results
    """Its figures."""
    agreement: Agreement | None
    """Of two interpreters."""
    notices: tuple[str, ...]
    """What to know, one sentence each."""


def make_report(request: ReportRequest, report: Progress = lambda *_: None) -> Report:
    """Check answers, estimate, and write accuracy and areas.

    Args:
        request: What is wanted.
        report: Receives the windows of the map that were read, and all of them.

    Raises:
        InputError: Something is wrong with the answers, all of it named; nothing was written.
    """
    if request.districts and request.choices.leave_out:
        raise InputError(
            "How much of a district a stratum has is not kept, so areas by district are of the whole frame: "
            "give --by district or --leave-out, not both."
        )
    faults = Faults()
    sourced = open_source(request.place, request.answers, faults)
    if request.other is not None:
        sourced = put_to_map(sourced, request.other, faults, report)
    sampled = apply_choices(sourced.sampled, request.choices, faults)
    faults.refuse("Correct the answers and give the same command again; nothing was written.")
    covariates, notes = _covariates(request, sourced, sampled, report)
    found = results(sampled, covariates, districts=request.districts)
    notices = (*sampled.notices, *_missing_notices(found), *found.notices, *notes)
    require_writable(request.folder / "report.json")
    values = _values(request, sourced, sampled, found, notices)
    write_report(request.folder, values, sampled, found, methods_text(sourced, sampled, found, notices))
    return Report(request.folder, sampled, found, sourced.agreement, notices)


def _covariates(
    request: ReportRequest, sourced: Sourced, sampled: Sampled, report: Progress
) -> tuple[list[ClassCovariate | None] | None, tuple[str, ...]]:
    """What the map's probabilities say; they are known for the whole frame only."""
    if sourced.map is None or request.choices.leave_out:
        return None, ()
    found = class_covariates(sourced.map, sampled, report)
    return found, (NO_PROBABILITIES,) if found is None and request.other is None else ()


def _missing_notices(found: Results) -> tuple[str, ...]:
    limits = found.missing
    if limits is None:
        return ()
    return (
        f"{limits.points:,} points without an answer were left out as missing at random within their strata. "
        f"Overall accuracy is {limits.wrong:.4f} if all of them were wrong, {limits.right:.4f} if right.",
    )


def _values(
    request: ReportRequest, sourced: Sourced, sampled: Sampled, found: Results, notices: tuple[str, ...]
) -> dict[str, Any]:
    choices = request.choices
    return {
        "title": "Accuracy and areas estimated from a probability sample",
        "note": NOT_MAPPED,
        "version": importlib.metadata.version("cropmap"),
        "design": {
            "method": sampled.method,
            "strata_by": sourced.strata_by,
            "strata": [
                {"name": s.name, "pixels": s.pixels, "area": s.area, "units": _units(sampled, s.name)}
                for s in sampled.strata
            ],
            "map": sourced.map and str(sourced.map.path),
        },
        "map_sha256": sourced.map and sourced.map.digest(),
        "choices": {
            "missing": "at-random" if choices.missing_at_random else "refuse",
            "merged": [list(group) for group in choices.merge],
            "left_out": list(choices.leave_out),
        },
        "interpreters": sourced.agreement
        and {
            "points": sourced.agreement.points,
            "same": sourced.agreement.same,
            "kappa": sourced.agreement.kappa,
        },
        **result_values(sampled, found),
        "notices": list(notices),
    }


def _units(sampled: Sampled, stratum: str) -> int:
    return sum(unit.stratum == stratum for unit in sampled.answered)


def methods_text(sourced: Sourced, sampled: Sampled, found: Results, notices: tuple[str, ...]) -> str:
    """A paragraph for an annex: design, estimators, intervals, and what to know."""
    estimators = ["the estimator of the design (Stehman 2014; Olofsson et al. 2014 where strata are classes)"]
    if found.post_stratified:
        estimators.append("post-stratification by what the map shows (Cochran 1977, 5A.42)")
    if any(found.assisted):
        estimators.append(
            "a difference estimator with what the map says, its weight tuned and kept in 0 to 1"
        )
    lines = [
        f"Accuracy and areas were estimated from {len(sampled.answered):,} points, "
        f"{_how_drawn(sampled)}. The frame is the whole area, {sampled.area:,.1f} {sampled.unit}, "
        "also where the map shows no class.",
        f"Estimators: {'; '.join(estimators)}.",
        "Intervals of areas are 1.96 standard errors to each side (Student's t for blocks), cut at 0 and "
        "at the whole; those of accuracies are score intervals (Wilson 1927). Fewer than 30 units, a "
        "standard error above 25 % of the estimate, areas that rest on fewer than 5 omitted units: flagged. "
        "Areas by strata also have an interval from Jeffreys' limits of each stratum, put together by MOVER "
        "(Zou et al. 2009), which also holds where few omitted units decide.",
        NOT_MAPPED,
        *notices,
    ]
    return "\n".join(lines) + "\n"


def _how_drawn(sampled: Sampled) -> str:
    if sampled.unequal:
        return "drawn with inclusion probabilities of their own, which count as drawn with replacement"
    if sampled.blocks:
        drawn = len({unit.block for unit in sampled.answered})
        return f"simple random samples of pixels in {drawn:,} of {sampled.blocks:,.0f} blocks drawn at random"
    if sampled.simple:
        return "one simple random sample of all pixels"
    return f"simple random samples of pixels in {len(sampled.strata)} strata"
