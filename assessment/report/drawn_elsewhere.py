"""A probability sample that was drawn elsewhere: a table of strata and a table of points."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from assessment.report.answers import AnswerFile, settle
from assessment.report.sampled import Sampled, SampledUnit, StratumSize
from assessment.report.sourced import AnswerRequest, Sourced
from assessment.sample.tables import Faults, Row, column, read_table
from assessment.sample.text_table import plain
from gee_pipeline.errors import InputError
from gee_pipeline.files import in_words


def from_tables(sizes: Path, request: AnswerRequest, faults: Faults) -> Sourced:
    """A sample in tables: of pixels in strata, or of units with inclusion probabilities of their own.

    Args:
        sizes: Table of strata: `stratum`, `pixels`, and `hectares`, or `pixel_area_m2` or `pixel_area_ha`.
        request: The points: `id`, `map`, the answer, and `stratum` or `probability`.
        faults: Receives everything that is wrong with them.

    Raises:
        InputError: A table cannot be read or lacks a column.
    """
    strata, unit, notices = _strata(sizes)
    files, third = request.read(), request.third()
    units, unequal = _points(files[0], strata, faults)
    for file in [*files[1:], third] if third else files[1:]:
        note_strangers(file, {one.id for one in units}, faults)
    classes = request.classes or tuple(dict.fromkeys(one.map for one in units if one.map))
    _note_alike([*classes, *(one.map for one in units)], faults)
    answers = settle(files, classes, faults, third)
    answered = tuple(replace(one, answer=answers.by_id.get(one.id, "")) for one in units)
    sampled = Sampled(
        simple=unequal,
        strata=strata,
        mapped={} if unequal else _mapped_of(strata, units),
        classes=classes,
        units=answered,
        unit=unit,
        notices=(*notices, *answers.notices, *_odd_weights(strata, units, unequal=unequal)),
        unequal=unequal,
        finite=False,
    )
    return Sourced(sampled, answers.agreement, None)


def _points(
    file: AnswerFile, strata: Sequence[StratumSize], faults: Faults
) -> tuple[tuple[SampledUnit, ...], bool]:
    """The points without their answers, and whether each has a probability of its own."""
    names = {name.lower(): name for name in file.rows[0]}
    unequal = "probability" in names
    shown = column(file.rows, None, ("map",), file.path, "a heading")
    # Without a column of strata the points are of the only one.
    lone = unequal and "stratum" not in names and len(strata) == 1
    stratum = None if lone else column(file.rows, None, ("stratum",), file.path, "a heading")
    sizes = {one.name: one.area / one.pixels for one in strata if one.pixels > 0}
    units = []
    for key, row in dict(zip(file.ids, file.rows, strict=True)).items():
        of = strata[0].name if stratum is None else row[stratum]
        p = _probability(row[names["probability"]]) if unequal else 0.0
        units.append(SampledUnit(key, of, row[shown], "", sizes.get(of, 1.0), probability=p))
    faults.add([one.id for one in units if not one.map], "the map shows nothing at the points {ids}")
    if unequal:
        bad = [one.id for one in units if not 0 < one.probability <= 1]
        faults.add(bad, "an inclusion probability is above 0 and at most 1; that of {ids} is not")
    return tuple(units), unequal


def note_strangers(file: AnswerFile, known: Collection[str], faults: Faults) -> None:
    """Note ids that are not of the sample.

    Args:
        file: Answers.
        known: The ids of the sample.
        faults: Receives the others.
    """
    unknown = [unit for unit in dict.fromkeys(file.ids) if unit not in known]
    faults.add(unknown, f"{file.path.name} has ids that are not of the sample: {{ids}}")


def _note_alike(names: Sequence[str], faults: Faults) -> None:
    """Note classes that would count as two though they differ by case or blanks alone."""
    forms = defaultdict[str, dict[str, None]](dict)
    for name in filter(None, names):
        forms[plain(name)][name] = None
    alike = [" / ".join(several) for several in forms.values() if len(several) > 1]
    faults.add(alike, "names of classes differ by case alone: {ids}; each class has one name")


def _odd_weights(
    strata: Sequence[StratumSize], units: Sequence[SampledUnit], *, unequal: bool
) -> Iterator[str]:
    """What to know of probabilities that stand for far more or fewer units than the frame has."""
    weights = [1 / unit.probability for unit in units if 0 < unit.probability <= 1]
    if not unequal:
        return
    there, frame = sum(weights), sum(stratum.pixels for stratum in strata)
    chance = math.sqrt(sum(weight**2 for weight in weights))  # also where their number was chance
    if abs(there - frame) > 4 * chance + 0.05 * frame:
        yield (
            f"The probabilities stand for {there:,.0f} units, the frame has {frame:,.0f}: more apart than "
            "chance explains. Shares are right if the probabilities are, hectares if the frame is."
        )


def _probability(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _strata(path: Path) -> tuple[tuple[StratumSize, ...], str, tuple[str, ...]]:
    """The strata of a table, the unit of their areas, and what to know of them."""
    rows = read_table(path)
    name = column(rows, None, ("stratum", "class", "name"), path, "a heading")
    if not {"pixels", "n", "size"} & {key.lower() for key in rows[0]}:
        raise InputError(
            f"{path} says no sizes of strata (column pixels): without sizes or inclusion probabilities there "
            "is no accuracy of the map, no area and no interval. Give a table of strata, or compare the "
            "points with 'cropmap assess agreement'."
        )
    pixels = column(rows, None, ("pixels", "n", "size"), path, "a heading")
    lower = {key.lower(): key for key in rows[0]}
    faults, found = Faults(), []
    for row in rows:
        try:
            found.append(
                StratumSize(row[name], _number(row[pixels]), _area(row, lower, _number(row[pixels])))
            )
        except ValueError as error:
            faults.add([row[name] or "(no name)"], f"the stratum {{ids}} has no size: {in_words(error)}")
    names = [one.name for one in found]
    faults.add(sorted({n for n in names if names.count(n) > 1}), "{ids} have several rows")
    faults.add(
        [one.name for one in found if (one.pixels > 0) is not (one.area > 0)],
        "the strata {ids} have pixels without an area, or an area without pixels",
    )
    faults.refuse(f"Correct {path}.")
    empty = [one.name for one in found if one.pixels == 0]
    notices = (f"{', '.join(empty)} has no area.",) if empty else ()
    known = {"hectares", "pixel_area_m2", "pixel_area_ha"} & set(lower)
    return tuple(found), "ha" if known else "pixels", notices


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{text or 'nothing'!r} is no number of 0 or more, with a decimal point")
    return value


def _area(row: Row, lower: Mapping[str, str], pixels: float) -> float:
    for name, factor in (("hectares", None), ("pixel_area_ha", 1.0), ("pixel_area_m2", 1e-4)):
        if name in lower:
            value = _number(row[lower[name]])
            return value if factor is None else value * factor * pixels
    return pixels


def _mapped_of(strata: Sequence[StratumSize], units: Sequence[SampledUnit]) -> dict[str, tuple[float, float]]:
    """What the map shows in all, where the strata are what it shows; empty where that is not known."""
    if any(unit.stratum != unit.map for unit in units):
        return {}
    return {one.name: (one.pixels, one.area) for one in strata if one.pixels > 0}
