"""Where a sample with answers comes from: `cropmap assess design`, or tables of one drawn elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assessment.report.answers import Agreement, AnswerFile, Answers, read_answers, settle
from assessment.report.sampled import Sampled, SampledUnit, StratumSize
from assessment.report.tables import Faults, Row, column, read_table
from assessment.sample.map_file import AssessedMap, open_map
from assessment.sample.record import DESIGN_FILE, SampleDesign, load_design
from assessment.sample.request import assessment_folder
from gee_pipeline.errors import InputError
from gee_pipeline.files import in_words, read_json

NOT_PROBABILITY: Final = "not a probability sample"

_FARTHEST: Final = 2e-4
"""Degrees by which a point may have moved: about two pixels, what programs round away and no more."""

_METHODS: Final = ("stratified", "simple", "blocks")
_RASTERS: Final = (".tif", ".tiff", ".vrt", ".img")


@dataclass(frozen=True)
class Sourced:
    """A sample with its answers, and the map it was drawn from where that is at hand."""

    sampled: Sampled
    """The sample."""
    agreement: Agreement | None
    """Of the first two interpreters."""
    map: AssessedMap | None
    """The map, unchanged."""
    strata_by: str = ""
    """What its strata are; empty where it was drawn elsewhere."""


@dataclass(frozen=True)
class AnswerRequest:
    """Which answers to read, and how."""

    files: tuple[Path, ...]
    """One an interpreter."""
    adjudicated: Path | None = None
    """Third decisions."""
    id_column: str | None = None
    """Column of the ids."""
    answer_column: str | None = None
    """Column of the answers."""
    classes: tuple[str, ...] = ()
    """Legend of a sample that was drawn elsewhere; classes besides those of the map."""

    def read(self) -> list[AnswerFile]:
        """The answers of every interpreter."""
        return [read_answers(path, self.id_column, self.answer_column) for path in self.files]

    def third(self) -> AnswerFile | None:
        """The third decisions."""
        return (
            read_answers(self.adjudicated, self.id_column, self.answer_column) if self.adjudicated else None
        )


def open_source(place: Path, request: AnswerRequest, faults: Faults) -> Sourced:
    """The sample of a run, a map or a folder, or one in tables, with its answers.

    Args:
        place: Folder of a run or of a sample, a map, design.json, or a table of strata.
        request: The answers.
        faults: Receives everything that is wrong with them.

    Raises:
        InputError: There is no sample, it is no probability sample, or a file cannot be read.
    """
    folder = sample_folder(place)
    if folder is None:
        return from_tables(place, request, faults)
    require_probability_sample(folder / DESIGN_FILE)
    return from_design(folder, request, faults)


def sample_folder(place: Path) -> Path | None:
    """The folder of the sample of a run or a map; None where a place is a table.

    Args:
        place: Folder of a run or of a sample, a map, design.json, or a table.
    """
    if place.name == DESIGN_FILE:
        return place.parent
    if (place / DESIGN_FILE).is_file():
        return place
    return assessment_folder(place) if place.is_dir() or place.suffix.lower() in _RASTERS else None


def from_design(folder: Path, request: AnswerRequest, faults: Faults) -> Sourced:
    """A sample that `cropmap assess design` drew, with its answers.

    Args:
        folder: Folder with design.json.
        request: The answers.
        faults: Receives everything that is wrong with them.

    Raises:
        InputError: A file cannot be read.
    """
    design = load_design(folder)
    classes = tuple(dict.fromkeys((*design.classes, *request.classes)))
    files = request.read()
    answers = settle(files, classes, faults, request.third())
    _note_strangers(design, files, faults)
    assessed, notices = _unchanged_map(folder, design, faults)
    sampled = Sampled(
        simple=design.method != "stratified",
        strata=tuple(StratumSize(s.name, s.pixels, s.hectares) for s in design.strata),
        mapped=_mapped(design),
        classes=classes,
        units=_units(design, answers),
        notices=(*answers.notices, *notices),
        blocks=float(design.blocks),
        districts={name: sum(design.mapped_hectares(name).values()) for name in design.districts},
    )
    return Sourced(sampled, answers.agreement, assessed, design.strata_by)


def _mapped(design: SampleDesign) -> dict[str, tuple[float, float]]:
    pixels, hectares = design.mapped_pixels(), design.mapped_hectares()
    return {name: (float(pixels[name]), hectares[name]) for name in pixels}


def _units(design: SampleDesign, answers: Answers) -> tuple[SampledUnit, ...]:
    return tuple(
        SampledUnit(
            unit.id,
            unit.stratum,
            unit.map,
            answers.by_id.get(unit.id, ""),
            unit.hectares,
            unit.district,
            unit.row,
            unit.col,
            unit.block,
            float(unit.block_pixels),
        )
        for unit in design.units
    )


def _note_strangers(design: SampleDesign, files: Sequence[AnswerFile], faults: Faults) -> None:
    """Note ids that are not of the sample, and points that lie elsewhere than they were drawn."""
    places = {unit.id: (unit.lon, unit.lat) for unit in design.units}
    for file in files:
        unknown = [unit for unit in dict.fromkeys(file.ids) if unit not in places]
        faults.add(unknown, f"{file.path.name} has ids that are not of the sample: {{ids}}")
        moved = [
            unit
            for unit, row in zip(file.ids, file.rows, strict=True)
            if unit in places and _far(places[unit], row)
        ]
        faults.add(moved, f"{file.path.name} has points that are not where they were drawn: {{ids}}")


def _far(place: tuple[float, float], row: Row) -> bool:
    """Whether a row says another place; one without coordinates says none."""
    by_name = {name.lower(): value for name, value in row.items()}
    try:
        lon, lat = float(by_name["lon"]), float(by_name["lat"])
    except (KeyError, ValueError):
        return False
    width = math.cos(math.radians(place[1]))
    return abs(lon - place[0]) * width > _FARTHEST or abs(lat - place[1]) > _FARTHEST


def _unchanged_map(
    folder: Path, design: SampleDesign, faults: Faults
) -> tuple[AssessedMap | None, tuple[str, ...]]:
    """The map of a sample; that it is another one by now is noted."""
    path = folder / design.map_path
    if not path.is_file():
        return None, (
            f"The map {path} is no longer there; the figures are those of the map that was drawn from.",
        )
    assessed = open_map(path)
    if assessed.digest() != design.map_digest:
        faults.add(
            [str(path)],
            "the map {ids} has changed since the sample was drawn, so strata and what the map shows are "
            "another's: restore it, or draw a sample of the new map",
        )
    return assessed, ()


def from_tables(sizes: Path, request: AnswerRequest, faults: Faults) -> Sourced:
    """A stratified sample that was drawn elsewhere: a table of strata and a table of points.

    Args:
        sizes: Table of strata: `stratum`, `pixels`, and `hectares`, or `pixel_area_m2` or `pixel_area_ha`.
        request: The points: `id`, `stratum`, `map`, and the answer.
        faults: Receives everything that is wrong with them.

    Raises:
        InputError: A table cannot be read or lacks a column.
    """
    strata, unit, notices = _strata(sizes)
    files = request.read()
    first = files[0]
    rows = {key: row for key, row in zip(first.ids, first.rows, strict=True)}
    stratum, shown = (column(first.rows, None, names, first.path, "") for names in (("stratum",), ("map",)))
    labels = tuple(dict.fromkeys(row[shown] for row in first.rows))
    classes = request.classes or labels
    faults.add([i for i, row in rows.items() if not row[shown]], "the map shows nothing at the points {ids}")
    answers = settle(files, classes, faults, request.third())
    units = tuple(
        SampledUnit(i, row[stratum], row[shown], answers.by_id.get(i, "")) for i, row in rows.items()
    )
    sampled = Sampled(
        simple=False,
        strata=strata,
        mapped=_mapped_of(strata, units),
        classes=classes,
        units=units,
        unit=unit,
        notices=(*notices, *answers.notices),
        finite=False,
    )
    return Sourced(sampled, answers.agreement, None)


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
    faults.refuse(f"Correct {path}.")
    empty = [one.name for one in found if one.pixels == 0]
    notices = (f"{', '.join(empty)} has no area.",) if empty else ()
    known = {"hectares", "pixel_area_m2", "pixel_area_ha"} & set(lower)
    return tuple(found), "ha" if known else "pixels", notices


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(f"{text} is no size")
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


def require_probability_sample(place: Path) -> None:
    """Refuse a design that says that its points were not drawn at random.

    Args:
        place: JSON file of a design.

    Raises:
        InputError: Its method is none of a probability sample.
    """
    method = read_json(place).get("method") if place.is_file() else _METHODS[0]
    if method not in _METHODS:
        raise InputError(
            f"{place} says method {method!r}: that is {NOT_PROBABILITY}, so no accuracy of the map, no "
            "area and no interval follow from it. Compare the points with 'cropmap assess agreement'."
        )
