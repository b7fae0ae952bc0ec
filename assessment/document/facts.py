"""What a page about a map says, taken from the files of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.windows import Window

from assessment.document.colors import safe_colors
from assessment.document.pictures import Picture, class_picture, frame_of, value_picture
from assessment.sample.map_file import open_map
from assessment.sample.record import load_design
from gee_pipeline.errors import IncompleteRunError, MismatchError
from gee_pipeline.files import read_json
from gee_pipeline.map_codes import NOT_CROPLAND
from gee_pipeline.recipe import Recipe
from inference.run.ledger import read_ledger


@dataclass(frozen=True)
class Words:
    """What only the publisher knows; None is left out."""

    title: str | None = None
    """Heading; None takes that of the map."""
    agency: str | None = None
    """Who publishes."""
    licence: str | None = None
    """Under which terms."""
    contact: str | None = None
    """Whom to ask."""
    note: str | None = None
    """A paragraph under the title."""


@dataclass(frozen=True)
class ClassColor:
    """An entry of the legend."""

    code: int
    """Value in `crop_map.tif`."""
    name: str
    """Name for people."""
    color: str
    """Colour in the page, `#rrggbb`."""


@dataclass(frozen=True)
class Document:
    """Everything that the page says."""

    words: Words
    """The publisher's."""
    report: Mapping[str, Any]
    """The map's `report.json`."""
    assessment: Mapping[str, Any] | None
    """The `report.json` of the assessment of this very map."""
    legend: tuple[ClassColor, ...]
    """What the colours mean."""
    recolored: bool
    """Whether some colours differ from those of the rasters."""
    pictures: tuple[Picture, ...]
    """The layers to look at, the classes first."""
    metres: float
    """Width of the pictures on the ground."""
    seconds: float | None
    """From the first cell to the last, of the last start of the run; None where nothing was computed."""

    @property
    def accuracy(self) -> Mapping[str, Any] | None:
        """Accuracy and areas by the estimator that the assessment puts first; None without an assessment."""
        if self.assessment is None:
            return None
        found: Mapping[str, Any] = self.assessment["post_stratified"] or self.assessment["plain"]
        return found

    @property
    def recipe(self) -> Recipe:
        """How observations became the model's input."""
        return Recipe.from_dict({k: v for k, v in self.report["recipe"].items() if k != "digest"})

    @property
    def title(self) -> str:
        """The heading."""
        return self.words.title or str(self.report["title"])


def read_document(
    run: Path, words: Words, assessment: Path | None = None, *, assessed: bool = True
) -> Document:
    """What the files of a run say.

    Args:
        run: Folder of a finished run.
        words: What the publisher adds.
        assessment: Folder of a report of `cropmap assess report`; None takes `run/assessment/report`, where
            there is one.
        assessed: Whether the page says what it found.

    Raises:
        IncompleteRunError: The map is not whole.
        MismatchError: The assessment is of another map.
        CorruptFileError: A file is damaged.
    """
    place = run / "map"
    if not (place / "report.json").is_file():
        raise IncompleteRunError(
            f"A page is made of a finished map, but {place} holds no report.json. Finish the run first: "
            f"'cropmap status {run}' says how."
        )
    report, frame = read_json(place / "report.json"), frame_of(place / "crop_map.tif")
    entries = [entry for entry in read_json(place / "legend.json")["classes"] if entry["color"]]
    legend = _legend(entries)
    return Document(
        words=words,
        report=report,
        assessment=_assessment(run, assessment) if assessed else None,
        legend=legend,
        recolored=[one.color for one in legend] != [entry["color"] for entry in entries],
        pictures=_pictures(place, frame, legend),
        metres=report["map"]["pixel_size"] * frame.width,
        seconds=_seconds(run),
    )


def _legend(entries: Sequence[Mapping[str, Any]]) -> tuple[ClassColor, ...]:
    """Classes and codes of the map, in colours that are told apart by all."""
    fixed = [entry["color"] for entry in entries if entry["code"] >= NOT_CROPLAND]
    colors = safe_colors([entry["color"] for entry in entries if entry["code"] < NOT_CROPLAND], fixed)
    return tuple(
        ClassColor(entry["code"], entry["name"], color)
        for entry, color in zip(entries, [*colors, *fixed], strict=True)
    )


def _pictures(place: Path, frame: Window, legend: tuple[ClassColor, ...]) -> tuple[Picture, ...]:
    colors = {one.code: one.color for one in legend}
    return (
        class_picture(place / "crop_map.tif", "Crops", frame, colors),
        value_picture(place / "confidence.tif", "Confidence, percent", frame, (0, 100)),
        value_picture(place / "clear_observations.tif", "Clear observations", frame),
    )


def _assessment(run: Path, folder: Path | None) -> Mapping[str, Any] | None:
    """What an assessment found, if it is of this map."""
    path = (folder or run / "assessment" / "report") / "report.json"
    if folder is None and not path.is_file():
        return None
    design = path.parent.parent
    if (design / "design.json").is_file() and load_design(design).map_digest != open_map(run).digest():
        raise MismatchError(
            f"The assessment in {design} is of another map than {run / 'map'}: the map has changed since. "
            "Give --no-assessment for a page without it, or assess the map again."
        )
    values: Mapping[str, Any] = read_json(path)
    return values


def _seconds(run: Path) -> float | None:
    ledger = read_ledger(run, "map")
    took = ledger.last - ledger.started
    return took if ledger.computed and took > 0 else None
