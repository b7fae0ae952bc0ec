"""The map that labels come from: which one, where it lies, and what its values mean."""

from __future__ import annotations

import glob
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import rasterio
from rasterio.errors import RasterioError

from gee_pipeline.earthengine.composites import graph
from gee_pipeline.errors import InputError
from gee_pipeline.legends.crosswalk import LISTS
from training.samples.sample_origin import UNLABELLED
from training.sampling.reference.class_table import ClassTable, read_class_table, standard_table
from training.sampling.reference.known_maps import KnownMap, known_maps

RASTERS: Final = (".tif", ".tiff", ".vrt", ".img")
"""Endings of the files that are taken for rasters; others are polygons."""

_FORMS: Final = (
    "the name of a map, asset:ID or asset:ID:BAND for an image on Earth Engine, table:ID for a table of "
    "polygons there, or the path of a raster or of polygons"
)


class Place(Protocol):
    """Where a map lies."""

    @property
    def text(self) -> str:
        """What messages call it."""

    def describe(self) -> dict[str, Any]:
        """What identifies it, as JSON values."""


@dataclass(frozen=True)
class ServerImage:
    """An image asset of Earth Engine."""

    asset: str
    """Its id."""
    band: str | None = None
    """Band to read; None is the first."""

    @property
    def text(self) -> str:
        """Its id."""
        return self.asset

    def describe(self) -> dict[str, Any]:
        """Id and band."""
        return {"asset": self.asset, "band": self.band}


@dataclass(frozen=True)
class ServerTable:
    """Polygons in a table asset of Earth Engine."""

    asset: str
    """Its id."""
    column: str
    """Property with their codes."""

    @property
    def text(self) -> str:
        """Its id."""
        return self.asset

    def describe(self) -> dict[str, Any]:
        """Id and property."""
        return {"table_asset": self.asset, "column": self.column}


@dataclass(frozen=True)
class RasterFile:
    """A raster on this machine."""

    path: Path
    """The file."""

    @property
    def text(self) -> str:
        """Its path."""
        return str(self.path)

    def describe(self) -> dict[str, Any]:
        """Name, size and time."""
        return _state(self.path)


@dataclass(frozen=True)
class ParcelsFile:
    """Polygons on this machine."""

    path: Path
    """The file."""
    column: str
    """Column with their codes."""
    layer: str | None = None
    """Layer of the file; None takes its only one."""

    @property
    def text(self) -> str:
        """Its path."""
        return str(self.path)

    def describe(self) -> dict[str, Any]:
        """Name, size, time, layer and column."""
        return {**_state(self.path), "layer": self.layer, "column": self.column}


@dataclass(frozen=True)
class ReferenceMap:
    """A map of crops and what its values mean."""

    place: Place
    """Where it lies."""
    table: ClassTable
    """What its values mean."""
    known: KnownMap | None = None
    """Which of CropGlobe's maps it is, if one."""
    unlabelled: bool = False
    """Whether it says where cropland is and not what grows there."""

    @property
    def on_earth_engine(self) -> bool:
        """Whether it lies on Earth Engine."""
        return isinstance(self.place, ServerImage | ServerTable)

    def to_dict(self) -> dict[str, Any]:
        """What identifies the map, as JSON values."""
        kind = {"kind": UNLABELLED} if self.unlabelled else {}
        return {**self.place.describe(), "table": self.table.to_dict(), **kind}


_CROPLAND: Final = ReferenceMap(
    ServerImage(f"{graph.WORLDCOVER}/2021", "Map"),
    ClassTable(
        {"other": (graph.CROPLAND_CLASS,)}, "Cropland of ESA WorldCover 2021; what grows there is not known."
    ),
    unlabelled=True,
)


def reference_map(
    text: str,
    year: int,
    table: Path | None = None,
    *,
    at: str | None = None,
    column: str | None = None,
    layer: str | None = None,
) -> ReferenceMap:
    """The reference map that `--reference` names.

    Args:
        text: A name of `known_maps`, `unlabelled`, or where a map of one's own lies: `asset:ID` or
            `asset:ID:BAND`, `table:ID`, or a path.
        year: Mapped year, which chooses the image of maps that are on Earth Engine year by year.
        table: TOML file of classes, or the name of a known map or list of codes; a map of one's own needs
            one, and of a known map it replaces the built-in table.
        at: Where the map of that name lies, in the same form; None is where Earth Engine has it.
        column: Column of the codes, of polygons; None is that of the known map.
        layer: Layer of a file of polygons.

    Raises:
        InputError: The text names no map, or the table, place or column is missing or wrong.
    """
    if text == UNLABELLED:
        if table is not None:
            raise InputError("Series without labels have no classes: omit --classes-table or --unlabelled.")
        return _CROPLAND
    known = known_maps().get(text)
    if known is None:
        if at is not None:
            raise InputError(
                f"--reference-at says where a map of CropGlobe lies ({', '.join(known_maps())}), and "
                f"--reference {text} says so itself. Omit --reference-at."
            )
        return ReferenceMap(place_of(text, column, layer), _own_table(text, table))
    place = _known_place(known, year, at, column, layer)
    return ReferenceMap(place, named_table(table) if table else known.table, known)


def named_table(table: Path) -> ClassTable:
    """The class table of a known map or of a list of codes by its name, or that of a TOML file.

    Raises:
        InputError: It is missing or wrong.
    """
    if known := known_maps().get(str(table)):
        return known.table
    return standard_table(str(table)) if str(table) in LISTS else read_class_table(table)


def _own_table(text: str, table: Path | None) -> ClassTable:
    if table is None:
        raise InputError(
            f"The values of {text} mean nothing yet: a map needs a table of classes. Write a TOML file with "
            "the table [classes] and lines such as corn = [1, 4], and name it with --classes-table; or name "
            f"a list of codes ({', '.join(LISTS)}) or a map whose codes they are ({', '.join(known_maps())})."
        )
    return named_table(table)


def _known_place(known: KnownMap, year: int, at: str | None, column: str | None, layer: str | None) -> Place:
    if at is not None:
        return place_of(at, column or known.column, layer)
    if known.asset is None:
        raise InputError(
            f"{known.title} is not on Earth Engine where everybody can read it. Get it from "
            f"{known.address} ({known.licence}) and name the file with --reference-at, or the table that it "
            "is in your own assets, such as --reference-at table:projects/my-project/assets/parcels."
        )
    if column or layer:
        raise InputError(
            f"{known.title} is an image, without columns and layers. Omit --code-column and "
            "--reference-layer."
        )
    return ServerImage(known.asset.format(year=year), known.band)


def place_of(text: str, column: str | None, layer: str | None = None) -> Place:
    """Where a text says that a map lies.

    Args:
        text: `asset:ID`, `asset:ID:BAND`, `table:ID`, or a path.
        column: Column of the codes, which polygons need.
        layer: Layer of a file of polygons.

    Raises:
        InputError: There is no such file, or a column is missing.
    """
    kind, _, rest = text.partition(":")
    if kind == "asset" and rest.strip():
        asset, _, band = rest.rpartition(":") if "/" not in rest.rpartition(":")[2] else (rest, "", "")
        return ServerImage(asset, band or None)
    if kind == "table" and rest.strip():
        return ServerTable(rest, _needed(column, text))
    path = Path(text)
    if not text.strip() or not path.exists():
        raise InputError(
            f"A reference is {_FORMS}; got {text!r}, which is none of them. Maps are "
            f"{', '.join(known_maps())}."
        )
    if path.suffix.lower() in RASTERS:
        return RasterFile(path.absolute())
    return ParcelsFile(path.absolute(), _needed(column, text), layer)


def _needed(column: str | None, text: str) -> str:
    if column is None:
        raise InputError(
            f"{text} holds polygons: say which of their columns has the code of the crop, such as "
            "--code-column CODE_CULTU."
        )
    return column


def _belonging(path: Path) -> list[Path]:
    """A file and what it is made of: the parts of a Shapefile, masks, the sources of a virtual raster."""
    suffix = path.suffix.lower()
    found = {path}
    if suffix == ".shp":
        found |= {one for one in path.parent.glob(f"{glob.escape(path.stem)}.*") if one.is_file()}
    if suffix in RASTERS:
        with suppress(RasterioError), rasterio.open(path) as raster:  # what is no raster is said later
            found |= {Path(name) for name in raster.files if Path(name).is_file()}
    return sorted(found)


def _state(path: Path) -> dict[str, Any]:
    """What changes with a file, which may lie elsewhere tomorrow, and with those that belong to it."""
    files = sorted(path.rglob("*")) if path.is_dir() else _belonging(path)
    states = [file.stat() for file in files]
    size, modified = sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)
    return {"file": path.name, "size": size, "modified": modified}
