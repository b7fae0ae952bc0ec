"""Finished runs in, a folder to publish out: maps of several years and regions, each whole or not there."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from assessment.document import areas, statistics
from assessment.document.areas import class_areas
from assessment.document.facts import Words, read_document, sound_records
from assessment.document.statistics import Comparison, compare
from assessment.fields import fields
from assessment.publication.collection import (
    COLLECTION,
    Publisher,
    published_maps,
    publisher_of,
    write_collection,
)
from assessment.publication.folder import (
    AREAS,
    ITEM,
    STATISTICS,
    MapToPublish,
    joined_tables,
    write_map_folder,
)
from assessment.publication.project import write_project
from assessment.sample.districts import ELSEWHERE, read_districts
from assessment.sample.frame import Progress
from assessment.sample.record import to_csv
from assessment.smoothing.request import SMOOTHED
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import read_json, require_writable, write_bytes
from inference.verification.checksums import SUMS, write_checksums

_RENAME: Final = (
    "A map is called by the file of its area: copy that file under another name, and give the same 'cropmap "
    "predict' with it as --aoi"
)
"""How a finished run gets another name: it is the same run, and only its map is written again."""


@dataclass(frozen=True)
class PublishRequest:
    """Which maps to publish, and what to say of them."""

    runs: tuple[Path, ...]
    """Folders of finished runs."""
    folder: Path
    """Where to; maps that are there already stay."""
    words: Words
    """The publisher's; the title is that of the folder."""
    districts: Path | None = None
    """Vector file of districts, for areas by district."""
    district_column: str | None = None
    """Its column of names."""
    statistics: Path | None = None
    """Table of published hectares."""
    assessed: bool = True
    """Whether to publish what assessments found."""
    smoothed: bool = False
    """Whether areas, page and metadata are of the smoothed maps."""
    fields: bool = False
    """Whether to publish parcels: what grows on whose land may be nobody's business."""

    def __post_init__(self) -> None:
        if (self.districts is None) != (self.district_column is None):
            raise InputError("--districts and --district-column belong together. Give both, or none.")


@dataclass(frozen=True)
class Published:
    """A folder that was published."""

    folder: Path
    """Where it is."""
    maps: tuple[str, ...]
    """Names of all maps in it."""
    new: tuple[str, ...]
    """Those that were written now."""
    assessed: tuple[str, ...]
    """Those of the new ones that were assessed."""
    comparisons: tuple[Comparison, ...]
    """Published hectares beside those of the new maps."""
    digest: str
    """SHA-256 of the list of all files' digests."""


def publish_maps(request: PublishRequest, report: Progress = lambda *_: None) -> Published:
    """Publish finished maps: a folder for each, and what holds them together.

    A map of the same name that is there is replaced. While SHA256SUMS is absent, the folder is not whole.

    Args:
        request: What is wanted.
        report: Receives the windows of a map that were counted by district, and all of them.

    Raises:
        IncompleteRunError: A map is not whole.
        InputError: Two maps have one name, parcels were not made, or districts, statistics or the folder
            cannot be used.
        MismatchError: An assessment, parcels or a smoothed map is of another map.
        DiskFullError: The disk has no room.
    """
    _require_package()
    _require_empty_or_ours(request.folder)
    publisher = publisher_of(request.folder, request.words)
    maps = []
    for run in request.runs:
        with sound_records(run / "map"):
            maps.append(_read(run, request, publisher, report))
    _require_names(maps)
    _require_same_places(maps, request.folder)
    _require_districts(maps, request.districts)
    compared = compare(request.statistics, [one.for_statistics for one in maps]) if request.statistics else {}
    require_writable(request.folder / SUMS)
    with _alone(request.folder):
        _remove_unfinished(request.folder)
        (request.folder / SUMS).unlink(missing_ok=True)
        for one in maps:
            with sound_records(one.run / "map"):
                _write_map(request.folder, one, compared.get(one.identifier, []))
        with sound_records(request.folder):
            names, digest = _hold_together(request.folder, publisher)
    return Published(
        request.folder,
        tuple(names),
        tuple(one.identifier for one in maps),
        tuple(one.identifier for one in maps if one.document.assessment),
        tuple(each for one in maps for each in compared.get(one.identifier, [])),
        digest,
    )


def _read(run: Path, request: PublishRequest, publisher: Publisher, report: Progress) -> MapToPublish:
    words = replace(publisher.words, title=None)  # the title is that of the folder
    document = read_document(run, words, assessed=request.assessed, smoothed=request.smoothed)
    districts = None
    if request.districts is not None and request.district_column is not None:
        districts = read_districts(request.districts, request.district_column, document.map.crs)
    identifier = _name_of(run)
    rows = class_areas(document, districts, report)
    beside = {"smoothed": run / SMOOTHED, "assessment": document.assessed_in}
    if request.fields:
        beside["fields"] = _parcels(run)
    there = {name: path for name, path in beside.items() if path is not None and path.is_dir()}
    return MapToPublish(run, identifier, publisher.collection, document, rows, there)


def _parcels(run: Path) -> Path:
    """The folder of the parcels of a run."""
    folder = run / fields.FOLDER
    if not (folder / fields.REPORT).is_file():
        raise InputError(f"{run} has no parcels. Make them with 'cropmap fields {run}', or omit --fields.")
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time writes to a publication; the lock lies beside it, for all in it is published."""
    lock = FileLock(folder.resolve().with_name(f".{folder.resolve().name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"Another process publishes to {folder} now. Wait for it, and try again.") from error
    try:
        yield
    finally:
        lock.release()


def _require_empty_or_ours(folder: Path) -> None:
    """Refuse a folder of other things: all files in it would be listed as published. Refuse links, too."""
    if not folder.is_dir():
        return
    if linked := sorted(path.name for path in folder.iterdir() if path.is_symlink()):
        raise InputError(
            f"A publication holds its files itself; in {folder} {', '.join(linked[:5])} is a link to another "
            "place. Put there what it leads to."
        )
    if (folder / COLLECTION).is_file():
        return
    if strange := sorted(path.name for path in folder.iterdir() if not _is_ours(path)):
        raise InputError(
            f"Maps are published to a folder of their own; {folder} holds {', '.join(strange[:5])}. Give "
            "another --to, or one that 'cropmap publish' made."
        )


def _require_package() -> None:
    try:
        import stac_geoparquet  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"Publishing needs the package {error.name}, which writes the items as GeoParquet: pip install "
            "'cropmap[publish]'."
        ) from error


def _is_ours(path: Path) -> bool:
    """Whether a command that was stopped can have left it."""
    return path.name.endswith(".part") or (path / ITEM).is_file()


def _name_of(run: Path) -> str:
    """The STAC id of a map, which becomes the name of a folder."""
    path = run / "map" / ITEM
    name = read_json(path).get("id")
    if not isinstance(name, str) or not re.fullmatch(r"[0-9a-z]+(-[0-9a-z]+)*", name):
        raise CorruptFileError(
            f"{path} is damaged: its id is {name!r}, not small letters, digits and dashes. Make the map "
            "again."
        )
    return name


def _require_names(maps: Sequence[MapToPublish]) -> None:
    counts = Counter(one.identifier for one in maps)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(f"Each map has its own name; several runs are called {', '.join(twice)}. {_RENAME}.")


def _require_same_places(maps: Sequence[MapToPublish], folder: Path) -> None:
    """Refuse a map whose name another place has: it would take the place of that map."""
    for one in maps:
        there = folder / one.identifier / ITEM
        if there.is_file() and read_json(there)["geometry"] != read_json(one.run / "map" / ITEM)["geometry"]:
            raise InputError(
                f"{there.parent} is a map of that name of another area than {one.run}. {_RENAME}; or delete "
                f"{there.parent} if the new map shall replace it."
            )


def _require_districts(maps: Sequence[MapToPublish], districts: Path | None) -> None:
    """Refuse districts without a pixel of any map."""
    met = {area.district for one in maps for area in one.areas if area.pixels} - {"", ELSEWHERE}
    if districts is not None and not met:
        raise InputError(
            f"No pixel of a map lies in a district of {districts}. Give the districts of its area."
        )


def _remove_unfinished(folder: Path) -> None:
    """Remove what commands that were stopped had begun."""
    for path in folder.glob("*.part"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_map(folder: Path, one: MapToPublish, comparisons: Sequence[Comparison]) -> None:
    """The folder of a map, whole or not there; it takes the place of an older one."""
    target, work, old = (folder / f"{one.identifier}{ending}" for ending in ("", ".part", ".old.part"))
    work.mkdir(parents=True)
    try:
        write_map_folder(work, one, comparisons)
        if target.exists():
            target.replace(old)
        work.replace(target)
    finally:
        for folder in (work, old):
            shutil.rmtree(folder, ignore_errors=True)


def _hold_together(folder: Path, publisher: Publisher) -> tuple[list[str], str]:
    """Tables, collection, project and checksums of all maps that are there."""
    names = published_maps(folder)
    write_collection(folder, publisher)  # first: by it the folder is known as a publication
    for name, columns in ((AREAS, areas.COLUMNS), (STATISTICS, statistics.COLUMNS)):
        rows = list(joined_tables(folder, names, name))
        if rows:
            write_bytes(folder / name, to_csv(columns, rows))
        else:
            (folder / name).unlink(missing_ok=True)
    write_project(folder, names, read_json(folder / COLLECTION)["title"])
    return names, write_checksums(folder)
