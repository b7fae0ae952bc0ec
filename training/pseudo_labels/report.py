"""What is reported about pseudo-labels: what each rule removed and bought, balance, spread and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from gee_pipeline.bands import PIXEL_SIZE
from inference.run.plan import RunPlan
from training.pseudo_labels.candidates import Candidates
from training.pseudo_labels.rules import NEIGHBOURS, PseudoRules
from training.pseudo_labels.statistics import Noise, Stage, StageCounts


@dataclass(frozen=True)
class StageReport:
    """What pixels were left after one rule."""

    rule: str
    """Name of the rule; `mapped` is where they begin."""
    about: str
    """The rule in words."""
    left: dict[str, int]
    """Pixels left by class."""
    removed: dict[str, int]
    """Pixels that the rule removed, by class; 0 at the beginning."""
    noise: Noise | None = None
    """Wrong labels among those left; None without a reference."""
    noise_by_class: Mapping[str, Noise] | None = None
    """The same by the class of the pseudo-label."""

    @property
    def total(self) -> int:
        """Pixels left of all classes."""
        return sum(self.left.values())

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        by_class = self.noise_by_class
        return {
            "rule": self.rule,
            "about": self.about,
            "left": self.left,
            "removed": self.removed,
            "noise": self.noise and self.noise.to_dict(),
            "noise_by_class": by_class and {name: noise.to_dict() for name, noise in by_class.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StageReport:
        """What `to_dict` wrote."""
        whole, by_class = values["noise"], values["noise_by_class"]
        noise = whole and Noise.from_dict(whole)
        noises = by_class and {name: Noise.from_dict(one) for name, one in by_class.items()}
        return cls(**{**values, "noise": noise, "noise_by_class": noises})


@dataclass(frozen=True)
class Spread:
    """How the samples lie in space."""

    cells: int
    """Cells of the run."""
    cells_with_candidates: int
    """Cells that hold a pixel which passes the rules up to the neighbours."""
    cells_with_samples: int
    """Cells that hold a sample."""
    most_in_a_cell: int
    """Samples of the cell with the most."""
    nearest_metres: float | None
    """Least distance between two samples; None below two samples."""
    median_nearest_metres: float | None
    """Median distance of a sample to its nearest other."""


@dataclass(frozen=True)
class PseudoReport:
    """All that is reported about a file of pseudo-labels."""

    out: str
    """The npz file."""
    run: str
    """The folder of the run."""
    samples: int
    """Samples in the file."""
    classes: dict[str, int]
    """Samples by class of the run, in the order of the codes."""
    shares_before: dict[str, float]
    """Share of each class among the mapped pixels, 0 to 1."""
    shares_after: dict[str, float]
    """Share of each class among the samples, 0 to 1."""
    lacking: dict[str, int]
    """Samples that a class lacks to the number asked for; classes that lack none are left out."""
    stages: tuple[StageReport, ...]
    """Each rule in order."""
    spread: Spread
    """How the samples lie in space."""
    rules: dict[str, Any]
    """The rules as they were given."""
    also: tuple[str, ...]
    """Other checkpoints that agreed, by their digests."""
    reference: dict[str, Any] | None
    """Where true labels came from."""
    notices: tuple[str, ...]
    """What the reader should know, one sentence each."""
    legend: str | None = None
    """File that trainings need besides the samples (`--legend`); None where the classes are CropGlobe's."""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        stages = [stage.to_dict() for stage in self.stages]
        lists = {"also": list(self.also), "notices": list(self.notices)}
        return {**own, **lists, "stages": stages, "spread": asdict(self.spread)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PseudoReport:
        """What `to_dict` wrote."""
        stages = tuple(StageReport.from_dict(stage) for stage in values["stages"])
        tuples = {name: tuple(values[name]) for name in ("also", "notices")}
        return cls(**{**values, **tuples, "stages": stages, "spread": Spread(**values["spread"])})


@dataclass(frozen=True)
class Findings:
    """What the work on a run has found."""

    stage_counts: StageCounts
    """Counts by stage."""
    samples: Candidates
    """The samples."""
    cells_with_candidates: int
    """Cells that hold a candidate."""
    also: tuple[str, ...] = ()
    """Digests of the other checkpoints."""
    reference: dict[str, Any] | None = None
    """What identifies the reference."""


_LOOKED_AT: Final = "looked at, by lot"


def stage_texts(rules: PseudoRules, min_clear: int, also: int) -> dict[Stage, str]:
    """The rules in words, in order; what no option asks for is left out.

    Args:
        rules: The rules.
        min_clear: Observed bins that are asked for.
        also: Number of other checkpoints.
    """
    share = f", or surest {rules.best_share:g} % of class" if rules.best_share else ""
    texts = {
        Stage.MAPPED: "on the map",
        Stage.COMPOSITE: "composite kept",
        Stage.CONFIDENCE: f"confidence >= {rules.confidence:g} %{share}",
        Stage.CLEAR: f"observed bins >= {min_clear}",
        Stage.NEIGHBOURS: f"{rules.neighbours} of {NEIGHBOURS} neighbours alike",
        Stage.SQUARE: f"one per class and {rules.spacing} m square",
        Stage.DRAWN: _LOOKED_AT,
        Stage.MODEL: "same class again",
        Stage.PASSES: f"{rules.agree} of {rules.passes} dropout passes alike",
        Stage.ALSO: f"{also} other checkpoint{'s' * (also != 1)} alike",
        Stage.SPACING: f"{rules.spacing} m from other samples",
        Stage.SAMPLES: f"samples, {rules.per_class:,} of a class at most",
    }
    unasked = {Stage.PASSES: not rules.passes, Stage.ALSO: not also}
    return {stage: text for stage, text in texts.items() if not unasked.get(stage)}


def build_report(
    plan: RunPlan, rules: PseudoRules, found: Findings, *, out: str, run: str, legend: str | None = None
) -> PseudoReport:
    """The report of a drawing.

    Args:
        plan: The run's plan, with a model.
        rules: How it was drawn.
        found: What was found.
        out: The npz file.
        run: The run's folder.
        legend: File that says what the labels mean.
    """
    assert plan.model is not None
    names = plan.model.classes
    stages = _stages(plan, rules, found, names)
    before, after = found.stage_counts.left(Stage.MAPPED), found.stage_counts.left(Stage.SAMPLES)
    classes = dict(zip(names, after.tolist(), strict=True))
    lacking = {name: rules.per_class - n for name, n in classes.items() if n < rules.per_class}
    return PseudoReport(
        out=out,
        run=run,
        samples=int(after.sum()),
        classes=classes,
        shares_before=_shares(before, names),
        shares_after=_shares(after, names),
        lacking=lacking,
        stages=stages,
        spread=_spread(plan, found),
        rules=rules.to_dict(),
        also=found.also,
        reference=found.reference,
        notices=(*_composite_notice(stages), *(lack_notice(name, stages) for name in lacking)),
        legend=legend,
    )


def lack_notice(name: str, stages: tuple[StageReport, ...]) -> str:
    """What a class has and which rule took most of it."""
    first, last = stages[0].left[name], stages[-1].left[name]
    if not first:
        return f"{name}: none, for the map has no pixel of it."
    if last == first:
        return f"{name}: {last:,} samples, which are all pixels that the map has of it."
    blamed = [
        stage
        for stage in stages[1:]
        if stage.left[name] + stage.removed[name] and stage.rule not in (Stage.SQUARE, Stage.DRAWN)
    ]
    worst = min(blamed, key=lambda stage: stage.left[name] / (stage.left[name] + stage.removed[name]))
    if not worst.removed[name]:  # a square takes most away by design: it is named where it alone does
        worst = next(stage for stage in stages if stage.rule == Stage.SQUARE)
    before = worst.left[name] + worst.removed[name]
    return (
        f"{name}: {last:,} samples of {first:,} mapped pixels; most were lost by the rule '{worst.about}', "
        f"which left {worst.left[name]:,} of {before:,}.{_way_out(worst.rule)}"
    )


def _way_out(rule: str) -> str:
    ways = {
        Stage.CONFIDENCE: " Lower --confidence, or keep the most confident of each class with --best-share.",
        Stage.CLEAR: " Lower --min-clear.",
        Stage.NEIGHBOURS: " Lower --neighbours where fields are small.",
        Stage.PASSES: " Lower --agree.",
        Stage.SQUARE: " Lower --spacing.",
        Stage.SPACING: " Lower --spacing.",
        Stage.SAMPLES: " Raise --largest-ratio, which cut it down to the smallest class.",
    }
    return ways.get(Stage(rule), "")


def _stages(
    plan: RunPlan, rules: PseudoRules, found: Findings, names: tuple[str, ...]
) -> tuple[StageReport, ...]:
    out: list[StageReport] = []
    for stage, about in stage_texts(rules, rules.least_clear(plan.recipe), len(found.also)).items():
        left = dict(zip(names, found.stage_counts.left(stage).tolist(), strict=True))
        former = out[-1].left if out else left
        noise = (found.stage_counts.noise(stage), found.stage_counts.noise_by_class(stage, names))
        removed = {name: former[name] - left[name] for name in names}
        out.append(StageReport(stage.value, about, left, removed, *(noise if found.reference else ())))
    return tuple(out)


def _composite_notice(stages: tuple[StageReport, ...]) -> list[str]:
    removed = sum(stages[1].removed.values())
    if not removed:
        return []
    return [f"{removed:,} mapped pixels lie in cells without a composite; no sample was drawn there."]


def _shares(counts: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, float]:
    whole = max(int(counts.sum()), 1)
    return {name: count / whole for name, count in zip(names, counts.tolist(), strict=True)}


def _spread(plan: RunPlan, found: Findings) -> Spread:
    samples, size = found.samples, plan.grid.cell_size
    y = samples["row"].astype(np.int64) * size + samples["y"]
    x = samples["col"].astype(np.int64) * size + samples["x"]
    _, in_cell = np.unique(samples[["row", "col"]], return_counts=True)
    nearest = _nearest(np.column_stack([y, x]) * float(PIXEL_SIZE))
    return Spread(
        cells=len(plan.cells),
        cells_with_candidates=found.cells_with_candidates,
        cells_with_samples=len(in_cell),
        most_in_a_cell=int(in_cell.max(initial=0)),
        nearest_metres=float(nearest.min()) if len(nearest) else None,
        median_nearest_metres=float(np.median(nearest)) if len(nearest) else None,
    )


def _nearest(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(place,)`: metres to the nearest other; empty below two places."""
    if len(places) < 2:
        return np.empty(0)
    distances: NDArray[np.float64] = KDTree(places).query(places, k=2)[0][:, 1]
    return distances
