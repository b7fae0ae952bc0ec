"""Where a sample with answers comes from: `cropmap assess design`, or tables of one drawn elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from assessment.report.answers import AnswerFile, settle
from assessment.report.drawn_elsewhere import from_tables, note_strangers
from assessment.report.sampled import Sampled, SampledUnit, StratumSize
from assessment.report.sourced import AnswerRequest, Sourced
from assessment.sample.map_file import AssessedMap, open_map
from assessment.sample.record import DESIGN_FILE, SampleDesign, load_design, with_classes
from assessment.sample.request import assessment_folder
from assessment.sample.tables import PLACE, Faults, Row
from assessment.sample.text_table import decimal
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json

NOT_PROBABILITY: Final = "not a probability sample"

_FARTHEST: Final = 2e-4
"""Degrees by which a point may have moved: about two pixels, what programs round away and no more."""

_METHODS: Final = ("stratified", "simple", "blocks")
_RASTERS: Final = (".tif", ".tiff", ".vrt", ".img")


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
    classes = with_classes(design.classes, request.classes)
    files, third = request.read(), request.third()
    answers = settle(files, classes, faults, third)
    places = {unit.id: (unit.lon, unit.lat) for unit in design.units}
    for file in [*files, third] if third else files:
        note_strangers(file, places, faults)
        _note_moved(file, places, faults)
    assessed, notices = _unchanged_map(folder, design, faults)
    said = (*answers.notices, *_without_places(files), *notices)
    sampled = sample_of(design, answers.by_id, classes=classes, notices=said)
    return Sourced(sampled, answers.agreement, assessed, design.strata_by)


def sample_of(
    design: SampleDesign,
    answers: Mapping[str, str],
    *,
    classes: tuple[str, ...] | None = None,
    notices: tuple[str, ...] = (),
) -> Sampled:
    """A sample that was drawn from a map, with its answers.

    Args:
        design: How it was drawn, and its units.
        answers: Class by id; a unit that is not here has no answer.
        classes: The legend; None is that of the design.
        notices: What to know, one sentence each.
    """
    return Sampled(
        simple=design.method != "stratified",
        strata=tuple(StratumSize(s.name, s.pixels, s.hectares) for s in design.strata),
        mapped=_mapped(design),
        classes=design.classes if classes is None else classes,
        units=_units(design, answers),
        notices=notices,
        blocks=float(design.blocks),
        districts={name: sum(design.mapped_hectares(name).values()) for name in design.districts},
    )


def _mapped(design: SampleDesign) -> dict[str, tuple[float, float]]:
    pixels, hectares = design.mapped_pixels(), design.mapped_hectares()
    return {name: (float(pixels[name]), hectares[name]) for name in pixels}


def _units(design: SampleDesign, answers: Mapping[str, str]) -> tuple[SampledUnit, ...]:
    return tuple(
        SampledUnit(
            unit.id,
            unit.stratum,
            unit.map,
            answers.get(unit.id, ""),
            unit.hectares,
            unit.district,
            unit.row,
            unit.col,
            unit.block,
            float(unit.block_pixels),
        )
        for unit in design.units
    )


def _note_moved(file: AnswerFile, places: Mapping[str, tuple[float, float]], faults: Faults) -> None:
    """Note points that lie elsewhere than they were drawn: of another sample, or moved."""
    moved = [
        unit
        for unit, row in zip(file.ids, file.rows, strict=True)
        if unit in places and _far(places[unit], _place(row))
    ]
    faults.add(moved, f"{file.path.name} has points that are not where they were drawn: {{ids}}")


def _far(place: tuple[float, float], said: tuple[float, float] | None) -> bool:
    """Whether another place is said."""
    if said is None:
        return False
    width = math.cos(math.radians(place[1]))
    return abs(said[0] - place[0]) * width > _FARTHEST or abs(said[1] - place[1]) > _FARTHEST


def _place(row: Row) -> tuple[float, float] | None:
    """Longitude and latitude that a row says; None where it says none."""
    by_name = {name.lower().removeprefix("center_"): value for name, value in row.items()}  # of plots
    try:
        return decimal(by_name[PLACE[0]]), decimal(by_name[PLACE[1]])
    except (KeyError, ValueError):
        return None


def _without_places(files: Sequence[AnswerFile]) -> Iterator[str]:
    """What to know of answers that do not say where their points lie."""
    for file in files:
        if not any(map(_place, file.rows)):
            yield (
                f"{file.path.name} has no places (columns lon and lat): whether its answers are to this "
                "sample rests on the ids alone, which other samples have too."
            )


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


def require_probability_sample(place: Path) -> None:
    """Refuse a design that says that its points were not drawn at random.

    Args:
        place: JSON file of a design.

    Raises:
        InputError: Its method is none of a probability sample.
    """
    values = read_json(place) if place.is_file() else {"method": _METHODS[0]}
    method = values.get("method") if isinstance(values, dict) else None
    if method not in _METHODS:
        raise InputError(
            f"{place} says method {method!r}: that is {NOT_PROBABILITY}, so no accuracy of the map, no "
            "area and no interval follow from it. Compare the points with 'cropmap assess agreement'."
        )
