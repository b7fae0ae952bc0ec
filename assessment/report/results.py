"""Every number of a report: accuracy and areas by each estimator that the sample allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.accuracy import Accuracy, LabelledSample, assess
from assessment.estimation.assisted import Assisted, Covariate, assisted_total
from assessment.estimation.designs import Clusters, Design, PostStratified, Stratified, Unequal
from assessment.estimation.intervals import Figure, area_interval
from assessment.report.sampled import Sampled, SampledUnit
from gee_pipeline.errors import InputError


@dataclass(frozen=True)
class AssistedArea:
    """The area of a class with the help of the map."""

    area: Figure
    """The estimate."""
    lambdas: tuple[float, ...]
    """Weight of the map in each group that was tuned, 0 to 1."""
    gain: float
    """Part of the standard error that the map saves."""
    expected_gain: float
    """What the correlation within the strata lets expect, 1 - sqrt(1 - r^2)."""


@dataclass(frozen=True)
class DistrictAccuracy:
    """One district."""

    name: str
    """Its name."""
    accuracy: Accuracy
    """Accuracy and areas within it."""


@dataclass(frozen=True)
class Limits:
    """Overall accuracy if every point without an answer were wrong, or right."""

    wrong: float
    """If all were wrong."""
    right: float
    """If all were right."""
    points: int
    """Points without an answer."""


@dataclass(frozen=True)
class Results:
    """What a sample says of a map."""

    plain: Accuracy
    """By the design alone."""
    post_stratified: Accuracy | None
    """With the known areas of what the map shows; None where strata use them, or units do not suffice."""
    assisted: tuple[AssistedArea | None, ...]
    """By class, with the map's help; None where the map does not say anything of it beyond the strata."""
    mapped: tuple[float | None, ...]
    """Area of each class on the map."""
    districts: tuple[DistrictAccuracy, ...]
    """By district."""
    missing: Limits | None
    """None where every point has an answer."""
    notices: tuple[str, ...]
    """What to know of the estimators."""

    @property
    def best(self) -> Accuracy:
        """The accuracy that is shown first."""
        return self.post_stratified or self.plain

    def narrowest(self, k: int) -> str:
        """Name of the estimator with the least standard error of the area of a class."""
        areas = {"plain": self.plain.classes[k].area}
        if self.post_stratified:
            areas["post-stratified"] = self.post_stratified.classes[k].area
        if found := self.assisted[k]:
            areas["model-assisted"] = found.area
        known = {name: one.se for name, one in areas.items() if one is not None}
        return min(known, key=lambda name: known[name])


@dataclass(frozen=True)
class ClassCovariate:
    """What the map says of one class beyond what it shows, such as its probability."""

    values: NDArray[np.float64]
    """`(unit,)`: of the answered units, 0 to 1."""
    totals: dict[str, float]
    """Sum of value times area over the frame, by what the map shows."""


def results(
    sampled: Sampled, covariates: Sequence[ClassCovariate | None] | None = None, *, districts: bool = False
) -> Results:
    """Every number that a sample with answers allows.

    Args:
        sampled: The sample; every stratum has answers enough.
        covariates: By class, what the map says of it; None where it says nothing more.
        districts: Whether to report by district.

    Raises:
        InputError: Districts are asked for and the sample has none.
    """
    sample = labelled(sampled)
    post, notices = _post_stratified(sampled, sample)
    known = covariates or [None] * len(sampled.classes)
    if covariates is None and sampled.simple and sampled.mapped:
        known = [_shown(sampled, name) for name in sampled.classes]
    assisted = tuple(_assisted(sampled, sample, k, one) for k, one in enumerate(known))
    return Results(
        plain=assess(sample),
        post_stratified=post,
        assisted=assisted,
        mapped=tuple(sampled.mapped[n][1] if n in sampled.mapped else None for n in sampled.classes),
        districts=_districts(sampled, sample) if districts else (),
        missing=_limits(sampled),
        notices=notices,
    )


def labelled(sampled: Sampled) -> LabelledSample:
    """The answered units by number, with their design."""
    units = sampled.answered
    index = {name: k for k, name in enumerate(sampled.classes)}
    return LabelledSample(
        drawn=_design(sampled, units),
        classes=sampled.classes,
        map=np.array([index.get(unit.map, -1) for unit in units]),
        reference=np.array([index[unit.answer] for unit in units]),
        hectares=sampled.area,
        size=np.array([unit.area for unit in units]),
        map_strata=_strata_are_labels(sampled),
        drawn_from=np.array([index.get(unit.drawn_as or unit.map, -1) for unit in units]),
    )


def _design(sampled: Sampled, units: Sequence[SampledUnit]) -> Design:
    """How some units of a sample were drawn."""
    if sampled.unequal:
        p = np.array([unit.probability for unit in units])
        return Unequal(p, ids=[unit.id for unit in units])
    if sampled.blocks:
        return _in_blocks(sampled, units)
    if sampled.simple:
        size = sum(stratum.pixels for stratum in sampled.strata)
        return Stratified(np.zeros(len(units), np.intp), np.array([size]), ("all",), sampled.finite)
    strata = [stratum for stratum in sampled.strata if stratum.pixels > 0]
    names = [stratum.name for stratum in strata]
    place = {name: h for h, name in enumerate(names)}
    sizes = np.array([stratum.pixels for stratum in strata], np.float64)
    of = np.array([place[unit.stratum] for unit in units])
    return Stratified(of, sizes, names, sampled.finite, unequal=_drawn_weights(sampled, units))


def _drawn_weights(sampled: Sampled, units: Sequence[SampledUnit]) -> NDArray[np.float64] | None:
    """`(unit,)`: how often each unit counts where strata were merged that were sampled at rates of their own.

    Each counts as in its own stratum. The pixels of a stratum without an answer go to those it was merged
    with, in proportion to theirs. None where nothing was merged.
    """
    if not sampled.merged:
        return None
    own = Counter(unit.drawn_in or unit.stratum for unit in units)
    sizes = {stratum.name: stratum.pixels for stratum in sampled.strata} | dict(sampled.merged)
    weights = np.array([sizes[name] / own[name] for name in (u.drawn_in or u.stratum for u in units)])
    for stratum in sampled.strata:
        inside = np.array([unit.stratum == stratum.name for unit in units])
        weights[inside] *= stratum.pixels / max(weights[inside].sum(), 1.0)
    return weights


def _in_blocks(sampled: Sampled, units: Sequence[SampledUnit]) -> Clusters:
    """A simple random sample of blocks, and of units in each."""
    sizes = {unit.block: unit.block_pixels for unit in units}
    place = {name: i for i, name in enumerate(sizes)}
    first = Stratified(np.zeros(len(sizes), np.intp), np.array([sampled.blocks]), ("all blocks",))
    cluster = np.array([place[unit.block] for unit in units])
    return Clusters(cluster, first, np.array(list(sizes.values())), list(sizes))


def _strata_are_labels(sampled: Sampled) -> bool:
    """Whether the units that show one class are drawn from one stratum, which shows nothing else."""
    pairs = {(unit.stratum, unit.map) for unit in sampled.units}
    return not sampled.simple and len(pairs) == len({s for s, _ in pairs}) == len({m for _, m in pairs})


def _post_stratified(sampled: Sampled, sample: LabelledSample) -> tuple[Accuracy | None, tuple[str, ...]]:
    """A simple random sample with the areas of what the map shows."""
    if not sampled.simple or sampled.blocks or sampled.unequal or not sampled.mapped:
        return None, ()
    names = list(sampled.mapped)
    group = np.array([names.index(unit.map) for unit in sampled.answered])
    pixels = np.array([sampled.mapped[name][0] for name in names], np.float64)
    try:
        design = PostStratified(group, pixels, names)
    except InputError as error:
        return None, (f"Not post-stratified by what the map shows: {error}",)
    return assess(replace(sample, drawn=design)), ()


def _shown(sampled: Sampled, name: str) -> ClassCovariate | None:
    """The map's class itself as what it says of a class."""
    if name not in sampled.mapped:
        return None
    values = np.array([float(unit.map == name) for unit in sampled.answered])
    return ClassCovariate(values, {name: sampled.mapped[name][1]})


def _assisted(
    sampled: Sampled, sample: LabelledSample, k: int, covariate: ClassCovariate | None
) -> AssistedArea | None:
    if covariate is None:
        return None
    labels = list(dict.fromkeys([*sampled.mapped, *(unit.map for unit in sampled.answered)]))
    group = np.array([labels.index(unit.map) for unit in sampled.answered])
    if sampled.simple:  # one stratum, one weight of the map
        group = np.zeros_like(group)
        totals = np.array([sum(covariate.totals.values())])
    else:
        totals = np.array([covariate.totals.get(name, 0.0) for name in labels])
    f = Covariate(covariate.values * sample.size, group, totals)
    found = assisted_total(sample.design, sample.size * (sample.reference == k), f)
    few = sample.few_omissions(k, sample.everywhere)
    area = replace(area_interval(found.estimate, sampled.area), few_omissions=few)
    return AssistedArea(area, found.lambdas, *_gains(found))


def _gains(found: Assisted) -> tuple[float, float]:
    """Part of the standard error that was saved, and that the correlation lets expect."""
    saved = 1 - found.estimate.se / found.plain_se if found.plain_se > 0 else 0.0
    return saved, 1 - float(np.sqrt(max(1 - found.correlation**2, 0.0)))


def _districts(sampled: Sampled, sample: LabelledSample) -> tuple[DistrictAccuracy, ...]:
    sizes = _district_sizes(sampled)
    of = np.array([unit.district for unit in sampled.answered])
    return tuple(DistrictAccuracy(name, assess(sample, of == name, area)) for name, area in sizes.items())


def _district_sizes(sampled: Sampled) -> dict[str, float]:
    if not sampled.districts:
        raise InputError(
            "This sample has no districts: it was drawn without --districts and --district-column. Report "
            "without --by."
        )
    return dict(sampled.districts)


def _limits(sampled: Sampled) -> Limits | None:
    """Overall accuracy at its worst and best, with the whole sample in the design."""
    missing = np.array([not unit.answer for unit in sampled.units])
    if not missing.any():
        return None
    shown = np.array([unit.map in sampled.classes for unit in sampled.units])
    right = np.array([unit.map == unit.answer for unit in sampled.units])
    whole = LabelledSample(
        drawn=_design(sampled, sampled.units),
        classes=sampled.classes,
        map=np.zeros(len(missing), np.intp),
        reference=np.zeros(len(missing), np.intp),
        hectares=sampled.area,
        size=np.array([unit.area for unit in sampled.units]),
    )
    low, high = whole.area_of(right, shown), whole.area_of(right | missing, shown)
    if low is None or high is None:
        return None
    return Limits(low.value, high.value, int(missing.sum()))
