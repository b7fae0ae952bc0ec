"""What a page about a map says, taken from the files of its run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from rasterio.windows import Window

from assessment.document.pictures import Picture, class_picture, frame_of, value_picture
from assessment.sample.map_file import AssessedMap, open_map
from assessment.sample.record import DESIGN_FILE, load_design
from assessment.smoothing.request import SMOOTHED, SMOOTHED_MAP
from gee_pipeline.errors import CorruptFileError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, in_words, read_json
from gee_pipeline.map_codes import NOT_CROPLAND
from gee_pipeline.recipe import Recipe
from inference.drawing.class_colors import require_colors
from inference.drawing.color_vision import safe_colors
from inference.run.ledger import read_ledger

_NO_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""Control characters, and what stands for bytes that are no UTF-8."""


@dataclass(frozen=True)
class Words:
    """What only the publisher knows; None is left out. Blanks around it are removed.

    Raises:
        InputError: A text holds what is no character.
    """

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

    def __post_init__(self) -> None:
        for one in fields(self):
            text = getattr(self, one.name)
            if text is not None and _NO_TEXT.search(text):
                raise InputError(
                    f"--{one.name} is a text in UTF-8 without control characters; got {text!r}. Leave them "
                    "out."
                )
            object.__setattr__(self, one.name, text if text is None else text.strip())


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
    """The map's `report.json`; of a smoothed map with its classes, which have no confidence of their own."""
    map: AssessedMap
    """The raster of classes that everything is said of."""
    assessment: Mapping[str, Any] | None
    """The `report.json` of the assessment of this very map."""
    assessed_in: Path | None
    """The folder that it lies in."""
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
        return recipe_of(self.report)

    @property
    def title(self) -> str:
        """The heading."""
        return self.words.title or str(self.report["title"])


def recipe_of(report: Mapping[str, Any]) -> Recipe:
    """The recipe in the `report.json` of a map."""
    return Recipe.from_dict({key: value for key, value in report["recipe"].items() if key != "digest"})


@contextmanager
def sound_records(place: Path) -> Iterator[None]:
    """Say that the records of a map are damaged, where they hold other values than cropmap writes.

    Args:
        place: The folder of the map.

    Raises:
        CorruptFileError: Some do.
    """
    try:
        yield
    except ODD_VALUES as error:
        raise CorruptFileError(
            f"The records of the map in {place} are damaged: {in_words(error)}. Make the map again."
        ) from error


def read_document(
    run: Path,
    words: Words,
    assessment: Path | None = None,
    *,
    assessed: bool = True,
    smoothed: bool = False,
    colors: Mapping[str, str] | None = None,
) -> Document:
    """What the files of a run say.

    Args:
        run: Folder of a finished run.
        words: What the publisher adds.
        assessment: Folder of a report of `cropmap assess report`; None takes that of the map in
            `run/assessment`, where there is one.
        assessed: Whether the page says what it found.
        smoothed: Whether it is about the smoothed map, not the one of the run.
        colors: `#rrggbb` by class, in place of those of the map.

    Raises:
        IncompleteRunError: The map is not whole.
        InputError: There is no smoothed map, or a colour cannot be used.
        MismatchError: The assessment, or the smoothed map, is of another map.
        CorruptFileError: A file is damaged.
    """
    place = run / "map"
    if not run.is_dir():
        raise InputError(f"{run} is no folder of a run. Name the --out of predict.")
    if not (place / "report.json").is_file():
        raise IncompleteRunError(
            f"Only a finished map is shown and published, but {place} holds no report.json. Finish the run "
            f"first: 'cropmap status {run}' says how."
        )
    report, path = read_json(place / "report.json"), place / "crop_map.tif"
    if smoothed:
        report, path = _smoothed(run, report)
    frame, of = frame_of(path), open_map(path)
    entries = [entry for entry in read_json(place / "legend.json")["classes"] if entry["color"]]
    legend = _legend(entries, colors or {})
    found = _assessment(run, assessment, of) if assessed else None
    return Document(
        words=words,
        report=report,
        map=of,
        assessment=read_json(found / "report.json") if found else None,
        assessed_in=found,
        legend=legend,
        recolored=[one.color for one in legend] != [entry["color"] for entry in entries],
        pictures=_pictures(path, place, frame, legend),
        metres=report["map"]["pixel_size"] * frame.width,
        seconds=_seconds(run),
    )


def require_of_map(made: Path, assessed: AssessedMap) -> None:
    """Refuse a folder of what was made of a map that has changed since.

    Args:
        made: Folder with a `report.json` that holds the digest of the map.
        assessed: The map.

    Raises:
        MismatchError: It is of another map.
    """
    report = made / "report.json"
    digest = read_json(report).get("map_sha256") if report.is_file() else None
    if digest is not None and digest != assessed.digest():
        raise MismatchError(
            f"{made} was made of another map than {assessed.path}: the map has changed since. Make it again, "
            "or delete it."
        )


def smoothed_map(run: Path) -> Path:
    """The raster of the smoothed map of a run.

    Raises:
        InputError: There is none.
        MismatchError: It is of another map.
    """
    path = run / SMOOTHED / SMOOTHED_MAP
    if not path.is_file():
        raise InputError(f"{run} has no smoothed map. Make it with 'cropmap smooth {run}'.")
    require_of_map(path.parent, open_map(run))
    return path


def _smoothed(run: Path, report: Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
    """The report of a map with the classes of the smoothed one, and its raster."""
    path = smoothed_map(run)
    smoothing = read_json(path.with_name("report.json"))
    after = {one["code"]: one for one in smoothing["classes"]}
    classes = [_after(one, after.get(one["code"]), report) for one in report["classes"]]
    notice = f"This map was smoothed ({smoothing['method']}): single pixels unlike what is around are gone."
    return {**report, "classes": classes, "notices": [*report["notices"], notice]}, path


def _after(
    one: Mapping[str, Any], smoothed: Mapping[str, Any] | None, report: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A class of the smoothed map; what is no class was not smoothed."""
    if smoothed is None:
        return one
    hectares, pixels = smoothed["hectares_after"], smoothed["pixels_after"]
    share = hectares / report["area"]["hectares"]
    return {**one, "pixels": pixels, "hectares": hectares, "share": share, "mean_confidence": None}


def _legend(entries: Sequence[Mapping[str, Any]], chosen: Mapping[str, str]) -> tuple[ClassColor, ...]:
    """Classes and codes of the map, in colours that are told apart by all; those that were chosen stay.

    Raises:
        InputError: A colour was chosen for a class that the map does not have, or it is no colour.
    """
    require_colors(chosen, [entry["name"] for entry in entries])
    fixed = {entry["name"]: entry["color"] for entry in entries if entry["code"] >= NOT_CROPLAND}
    fixed |= chosen
    free = {entry["name"]: entry["color"] for entry in entries if entry["name"] not in fixed}
    shown = fixed | dict(zip(free, safe_colors([*free.values()], [*fixed.values()]), strict=True))
    return tuple(ClassColor(entry["code"], entry["name"], shown[entry["name"]]) for entry in entries)


def _pictures(path: Path, place: Path, frame: Window, legend: tuple[ClassColor, ...]) -> tuple[Picture, ...]:
    colors = {one.code: one.color for one in legend}
    return (
        class_picture(path, "Crops", frame, colors),
        value_picture(place / "confidence.tif", "Confidence, percent", frame, (0, 100)),
        value_picture(place / "clear_observations.tif", "Clear observations", frame),
    )


def _assessment(run: Path, given: Path | None, of: AssessedMap) -> Path | None:
    """The folder of what an assessment found, if it is of this map."""
    name = "report" if of.path.parent == run / "map" else f"report_{of.path.stem}"
    folder = given or run / "assessment" / name
    if given is None and not (folder / "report.json").is_file():
        return None
    digest = read_json(folder / "report.json").get("map_sha256")
    if digest is None and (folder.parent / DESIGN_FILE).is_file():  # it was written before reports had one
        digest = load_design(folder.parent).map_digest
    if digest is not None and digest != of.digest():
        raise MismatchError(
            f"The assessment in {folder} is of another map than {of.path}: the map has changed since. Give "
            "--no-assessment for a page without it, or assess the map again."
        )
    return folder


def _seconds(run: Path) -> float | None:
    ledger = read_ledger(run, "map")
    took = ledger.last - ledger.started
    return took if ledger.computed and took > 0 else None
