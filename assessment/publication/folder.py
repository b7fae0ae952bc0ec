"""One map as a folder that stands for itself: its files, what was made beside it, tables, page, metadata."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assessment.document import areas, statistics
from assessment.document.areas import ClassArea
from assessment.document.facts import Document, require_of_map
from assessment.document.page import write_page
from assessment.document.statistics import Comparison, PublishedMap
from assessment.publication.item import published_item
from assessment.publication.metadata import write_metadata
from assessment.sample.map_file import open_map
from assessment.sample.record import to_csv
from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import read_json, write_bytes, write_json

AREAS: Final = "areas.csv"
STATISTICS: Final = "statistics.csv"
ITEM: Final = "item.json"
METADATA: Final = "metadata.xml"
PAGE: Final = "report.html"


@dataclass(frozen=True)
class MapToPublish:
    """A finished map with everything that is said of it."""

    run: Path
    """Folder of the run."""
    identifier: str
    """Name of its folder, its STAC id."""
    collection: str
    """STAC id of the collection that it belongs to."""
    document: Document
    """What its page says."""
    areas: Sequence[ClassArea]
    """Its areas."""
    beside: Mapping[str, Path]
    """What goes with it: name of the folder in the publication, and where it was made."""

    @property
    def for_statistics(self) -> PublishedMap:
        """What statistics are put beside."""
        return PublishedMap(self.identifier, self.document.report["year"], self.areas)


def write_map_folder(folder: Path, one: MapToPublish, comparisons: Sequence[Comparison]) -> None:
    """Write the folder of a map; the STAC item comes last.

    Args:
        folder: An empty folder.
        one: The map.
        comparisons: Published hectares beside those of the map.

    Raises:
        CorruptFileError: A file of the map is gone.
        MismatchError: What was made beside the map is of another one.
        DiskFullError: The disk has no room.
    """
    _copy(one, folder)
    year = one.document.report["year"]
    rows = areas.area_rows(one.identifier, year, one.areas)
    write_bytes(folder / AREAS, to_csv(areas.COLUMNS, rows))
    if comparisons:
        beside = statistics.comparison_rows(one.for_statistics, comparisons)
        write_bytes(folder / STATISTICS, to_csv(statistics.COLUMNS, beside))
    write_page(folder / PAGE, one.document, comparisons)
    write_metadata(folder / METADATA, one.identifier, one.document, read_json(one.run / "map" / ITEM))
    write_json(folder / ITEM, published_item(one.run / "map" / ITEM, folder, one.document, one.collection))


def joined_tables(folder: Path, maps: Sequence[str], name: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a table of all maps, map by map; nothing of those that have none."""
    for identifier in maps:
        path = folder / identifier / name
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file)


def _copy(one: MapToPublish, folder: Path) -> None:
    """What the item of the map names, and what was made beside the map."""
    source = one.run / "map"
    assets = read_json(source / ITEM)["assets"].values()
    names = [Path(asset["href"]).name for asset in assets]
    if missing := [name for name in names if not (source / name).is_file()]:
        raise CorruptFileError(
            f"{source / ITEM} names {', '.join(missing)}, which {source} lacks. Make the map again."
        )
    beside = [f"{name}{suffix}" for name in names for suffix in (".aux.xml", ".vat.dbf", ".vat.cpg")]
    sidecars = [name for name in beside if (source / name).is_file()]
    for name in (*names, *sidecars):
        shutil.copyfile(source / name, folder / name)
    for name, made in one.beside.items():
        if name != "assessment":  # read_document compared that
            require_of_map(made, open_map(one.run))
        (folder / name).mkdir()
        for path in sorted(path for path in made.iterdir() if path.is_file()):
            shutil.copyfile(path, folder / name / path.name)
