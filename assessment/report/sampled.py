"""A sample with its answers, wherever it was drawn: what estimates are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from assessment.sample.tables import Faults


@dataclass(frozen=True)
class StratumSize:
    """A stratum of the frame."""

    name: str
    """What it is called."""
    pixels: float
    """Units of the frame in it."""
    area: float
    """Their area, in the unit of the frame."""


@dataclass(frozen=True)
class SampledUnit:
    """A unit of the sample with its answer."""

    id: str
    """What it is called."""
    stratum: str
    """Name of its stratum."""
    map: str
    """What the map shows."""
    answer: str
    """What is there; empty where nobody said."""
    area: float = 1.0
    """Its area, in any unit of measure."""
    district: str = ""
    """Name of its district."""
    row: int = -1
    """Row in the map; -1 where that is not known."""
    col: int = -1
    """Column in the map."""
    block: str = ""
    """Name of its block; empty where units were not drawn in blocks."""
    block_pixels: float = 0.0
    """Units of the frame in its block."""
    probability: float = 0.0
    """Its probability to be in the sample, where each unit has one of its own."""
    drawn_as: str = ""
    """What the map shows that it was drawn from, where `map` is another's."""
    drawn_in: str = ""
    """The stratum that it was drawn from, where that was merged with others."""


@dataclass(frozen=True)
class Choices:
    """What the user decided about a sample with gaps; each is said in the report."""

    missing_at_random: bool = False
    """Points without an answer are left out, as if chance had decided which."""
    merge: tuple[tuple[str, ...], ...] = ()
    """Names of strata that become one."""
    leave_out: tuple[str, ...] = ()
    """Names of strata that are no part of the frame."""


@dataclass(frozen=True)
class Sampled:
    """A probability sample with its answers."""

    simple: bool
    """Whether its units were drawn from the whole frame, alike or in blocks; otherwise from each stratum."""
    strata: tuple[StratumSize, ...]
    """The frame."""
    mapped: Mapping[str, tuple[float, float]]
    """Pixels and area of the frame by what the map shows; empty where that is not known."""
    classes: tuple[str, ...]
    """The legend."""
    units: tuple[SampledUnit, ...]
    """The sample."""
    unit: str = "ha"
    """Unit of the areas: `ha`, or `pixels` where nothing better is known."""
    notices: tuple[str, ...] = ()
    """What to know, one sentence each."""
    districts: Mapping[str, float] = field(default_factory=dict)
    """Area of each district; empty where there are none."""
    blocks: float = 0.0
    """Blocks of the frame, of which a simple random sample was drawn; 0 where units were drawn one by one."""
    unequal: bool = False
    """Whether each unit has an inclusion probability of its own, which strata do not decide."""
    merged: Mapping[str, float] = field(default_factory=dict)
    """Pixels of each stratum that was merged with others."""
    finite: bool = True
    """Whether the variance shrinks as the sample becomes the frame; tables of others leave that out."""

    @property
    def method(self) -> str:
        """How its units were drawn, in a word."""
        if self.unequal or self.blocks:
            return "unequal" if self.unequal else "blocks"
        return "simple" if self.simple else "stratified"

    @property
    def area(self) -> float:
        """Area of the frame."""
        return sum(stratum.area for stratum in self.strata)

    @property
    def answered(self) -> tuple[SampledUnit, ...]:
        """Units of which somebody said what is there."""
        return tuple(unit for unit in self.units if unit.answer)


def apply_choices(sampled: Sampled, choices: Choices, faults: Faults) -> Sampled:
    """The sample as the user wants it taken; what cannot be estimated from is noted as a fault.

    Args:
        sampled: The sample.
        choices: What to merge and to leave out.
        faults: Receives strata that are unknown, without area, or with fewer than two answers.
    """
    names = [stratum.name for stratum in sampled.strata]
    wanted = [*choices.leave_out, *(name for group in choices.merge for name in group)]
    faults.add(
        [name for name in wanted if name not in names],
        f"there are no strata {{ids}}; there are {', '.join(names)}",
    )
    faults.add(
        sorted({name for name in wanted if wanted.count(name) > 1}),
        "the strata {ids} are merged or left out more than once",
    )
    faults.add(
        [g[0] for g in choices.merge if len(g) < 2], "a merge joins two strata or more, got {ids} alone"
    )
    if set(names) <= set(choices.leave_out):
        faults.add(names, "the strata {ids} are all there are: nothing is left of the area")
        return sampled
    kept = _without(_merged(sampled, choices.merge), choices.leave_out)
    _note_strata(kept, faults)
    missing = [unit for unit in kept.units if not unit.answer]
    if missing and not choices.missing_at_random:
        where = ", ".join(dict.fromkeys(unit.stratum for unit in missing))
        faults.add(
            [unit.id for unit in missing],
            f"points without an answer: {{n}}, in the strata {where}: {{ids}} (--missing at-random goes on "
            "without them)",
        )
    return kept


def _merged(sampled: Sampled, groups: Sequence[tuple[str, ...]]) -> Sampled:
    new = {name: "+".join(group) for group in groups for name in group}
    sizes: dict[str, StratumSize] = {}
    merged = {one.name: one.pixels for one in sampled.strata if one.name in new}
    for one in sampled.strata:
        name = new.get(one.name, one.name)
        known = sizes.get(name, StratumSize(name, 0.0, 0.0))
        sizes[name] = StratumSize(name, known.pixels + one.pixels, known.area + one.area)
    units = tuple(
        replace(u, stratum=new[u.stratum], drawn_in=u.stratum) if u.stratum in new else u
        for u in sampled.units
    )
    said = [f"The strata {' and '.join(group)} were merged." for group in groups]
    kept = replace(sampled, strata=tuple(sizes.values()), units=units, merged=merged)
    unknown = [name for name in merged if not any(u.drawn_in == name for u in kept.answered)]
    if unknown:
        said.append(f"No answer is of {', '.join(unknown)}: what they were merged with stands for them.")
    return replace(kept, notices=(*sampled.notices, *said))


def _without(sampled: Sampled, names: Sequence[str]) -> Sampled:
    if not names:
        return sampled
    kept = tuple(stratum for stratum in sampled.strata if stratum.name not in names)
    units = tuple(unit for unit in sampled.units if unit.stratum not in names)
    covered = sum(stratum.area for stratum in kept)
    text = (
        f"Without {', '.join(names)}: the figures hold for {covered:,.1f} of {sampled.area:,.1f} "
        f"{sampled.unit}, {covered / sampled.area:.2%} of the area."
    )
    # What the map shows in all is known for the whole frame only.
    return replace(sampled, strata=kept, units=units, mapped={}, notices=(*sampled.notices, text))


def _note_strata(sampled: Sampled, faults: Faults) -> None:
    """Note strata of which nothing can be said."""
    sizes = {stratum.name: stratum for stratum in sampled.strata}
    total = sum(stratum.pixels for stratum in sampled.strata)
    answers = {name: sum(unit.stratum == name for unit in sampled.answered) for name in sizes}
    faults.add(
        [unit.id for unit in sampled.units if unit.stratum not in sizes],
        "the points {ids} lie in strata that the frame does not have",
    )
    faults.add(
        [u.id for u in sampled.units if u.stratum in sizes and sizes[u.stratum].pixels == 0],
        "the points {ids} lie in strata without area: the sample was drawn from another map, or the sizes "
        "are wrong",
    )
    faults.add(
        [
            f"{name} ({one.pixels / total:.2%} of the area)"
            for name, one in sizes.items()
            if one.pixels > 0 and answers[name] == 0
        ],
        "nothing is known of the strata {ids}, which have no answer: no total of the whole area can be said "
        "(--leave-out omits them by name, --merge-strata joins them to others)",
    )
    faults.add(
        [f"{name} (n = 1)" for name, one in sizes.items() if answers[name] == 1 < one.pixels],
        "a stratum needs 2 answers for a variance; these have one: {ids} (--merge-strata joins them to "
        "others)",
    )
