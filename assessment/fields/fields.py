"""`cropmap fields`: a map and parcels in, the class of each parcel out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from assessment.fields.facts import NO_CLASS, Agreement, ParcelFacts, declared_classes, parcel_facts
from assessment.fields.sums import ParcelSummer
from assessment.fields.survey import NAMED, Surveyed, survey
from assessment.fields.tables import Columns, FieldTables
from assessment.sample.frame import count_codes
from assessment.sample.map_file import AssessedMap, open_map
from assessment.sample.text_table import plain
from gee_pipeline.errors import InputError
from gee_pipeline.files import publish, require_writable, write_json
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.vectors.parcels import ParcelBatch, open_parcels, read_batches, require_arrow

REPORT: Final = "report.json"

Progress = Callable[[int, int], None]
"""Receives the parcels done and all parcels."""

FOLDER: Final = "fields"
"""Folder of a run that parcels come to."""


@dataclass(frozen=True)
class FieldsRequest:
    """What parcels on which map."""

    place: Path
    """Folder of a run, or a raster of class codes."""
    parcels: Path | None = None
    """File of polygons; None takes the parts of the map itself."""
    layer: str | None = None
    """Layer of it."""
    id_column: str | None = None
    """Column of ids; None counts the rows."""
    inner_buffer: float = 0.0
    """Metres that are cut off along the border of each parcel, where pixels are mixed."""
    declared_column: str | None = None
    """Column of declared classes."""
    repair: bool = False
    """Whether invalid polygons are made valid."""
    legend: Path | None = None
    """Names of the codes of a raster."""
    out: Path | None = None
    """Folder of the results; None is beside the map."""

    def __post_init__(self) -> None:
        of_file = self.layer or self.id_column or self.declared_column or self.repair
        if self.parcels is None and of_file:
            raise InputError("--layer, --id, --declared and --repair belong to --parcels. Leave them out.")
        if not 0 <= self.inner_buffer < 10_000:
            raise InputError(f"--inner-buffer is 0 to 10,000 metres, got {self.inner_buffer:g}.")

    @property
    def folder(self) -> Path:
        """Where the results come."""
        if self.out is not None:
            return self.out
        return (
            self.place / FOLDER if self.place.is_dir() else self.place.with_name(f"{self.place.stem}_fields")
        )


@dataclass(frozen=True)
class Fields:
    """What was found."""

    folder: Path
    """Folder of the results."""
    parcels: int
    """Parcels in all."""
    classes: tuple[str, ...]
    """Names of the classes."""
    by_class: NDArray[np.int64]
    """`(class,)`: parcels by their majority."""
    outside: int
    """Parcels that no pixel of the map's area touches."""
    nothing_left: int
    """Parcels without an area, such as those that the inner buffer took whole."""
    agreement: Agreement | None
    """Declared classes beside those of the map; None where nothing was declared."""
    unknown_labels: Counter[str]
    """Declared labels that are no class of the map, and their parcels."""

    @property
    def without_class(self) -> int:
        """Parcels without a single pixel that has a class."""
        return self.parcels - int(self.by_class.sum())

    @property
    def notices(self) -> list[str]:
        """What a reader should know."""
        found = []
        if self.outside:
            found.append(f"{self.outside:,} of {self.parcels:,} parcels lie outside the area of the map.")
        if self.nothing_left:
            found.append(
                f"Of {self.nothing_left:,} of {self.parcels:,} parcels nothing is left: no polygon, "
                "or one that is narrower than two inner buffers."
            )
        if self.unknown_labels:
            some = ", ".join(f"{label} ({n:,})" for label, n in self.unknown_labels.most_common(NAMED))
            found.append(
                f"{self.unknown_labels.total():,} parcels are declared as no class of the map: {some}."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        agreement = self.agreement and {
            "note": "Agreement of parcels with what was declared: no accuracy of the map.",
            "labels": list(self.agreement.labels),
            "table": self.agreement.table.tolist(),
            "compared": self.agreement.compared,
            "same": self.agreement.same,
        }
        return {
            "folder": str(self.folder),
            "parcels": self.parcels,
            "without_class": self.without_class,
            "outside": self.outside,
            "nothing_left": self.nothing_left,
            "by_class": dict(zip(self.classes, self.by_class.tolist(), strict=True)),
            "agreement": agreement,
            "unknown_labels": dict(self.unknown_labels),
        }


def make_fields(request: FieldsRequest, report: Progress = lambda *_: None) -> Fields:
    """The class of each parcel, as GeoParquet and GeoPackage; all of it, or nothing.

    Args:
        request: Parcels and map.
        report: Receives the parcels done and all parcels.

    Raises:
        InputError: The parcels or the map cannot be used, or no parcel lies on the map.
        DiskFullError: The disk has no room.
    """
    assessed = open_map(request.place, request.legend)
    columns = _columns(assessed, request)
    source = _source(request, assessed, columns)
    known = _known_labels(columns, request, source.surveyed)
    work = request.folder.with_name(f"{request.folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    require_writable(work / REPORT)
    try:
        counts = _write(request, assessed, source, columns, known, work, report)
        fields = counts.fields(request.folder, columns, source.surveyed, known)
        if fields.outside + fields.nothing_left == fields.parcels:
            raise InputError(
                f"No parcel of {request.parcels} lies within the area of the map {assessed.path}: "
                f"{fields.outside:,} are outside of it, of {fields.nothing_left:,} nothing is left. Check "
                f"its CRS ({source.crs.name}), its place, and --inner-buffer."
            )
        write_json(
            work / REPORT, {**_about(request, assessed), **fields.to_dict(), "notices": fields.notices}
        )
        publish(work, request.folder, REPORT)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return fields


@dataclass(frozen=True)
class _Source:
    """Where parcels come from."""

    crs: pyproj.CRS
    batches: Callable[[], Iterator[ParcelBatch]]
    surveyed: Surveyed


def _require_packages() -> None:
    """Refuse to begin without the packages of the extra."""
    require_arrow()
    try:
        import exactextract  # noqa: F401
    except ImportError as error:
        raise InputError(f"Parcels need the package {error.name}: pip install 'cropmap[fields]'.") from error


def _source(request: FieldsRequest, assessed: AssessedMap, columns: Columns) -> _Source:
    _require_packages()
    if request.parcels is None:
        from assessment.fields.vectorize import map_batches

        codes = [code for code, _ in columns.classes]
        return _Source(assessed.crs, lambda: map_batches(assessed, codes), Surveyed(0, Counter()))
    parcels = open_parcels(request.parcels, request.layer, request.id_column, request.declared_column)
    return _Source(parcels.crs, lambda: read_batches(parcels), survey(parcels, repair=request.repair))


def _columns(assessed: AssessedMap, request: FieldsRequest) -> Columns:
    """The classes of a map, and what else its pixels may show."""
    codes = set(assessed.names)
    if not codes:  # a raster without a legend
        codes = {int(code) for code in np.flatnonzero(count_codes(assessed))}
    special = {NOT_CROPLAND, NOT_ENOUGH} & set(assessed.names)
    named = [(code, assessed.name(code)) for code in sorted(codes)]
    return Columns(
        tuple(one for one in named if one[0] not in special), tuple(one for one in named if one[0] in special)
    )


def _known_labels(columns: Columns, request: FieldsRequest, surveyed: Surveyed) -> dict[str, int]:
    """Index of the class that a label means: a name, or a code."""
    known = {str(code): index for index, (code, _) in enumerate(columns.classes)}
    known |= {plain(name): index for index, (_, name) in enumerate(columns.classes)}
    labels = surveyed.declared
    if labels and not any(plain(label) in known for label in labels):
        some = ", ".join(repr(label) for label, _ in labels.most_common(NAMED))
        raise InputError(
            f"--declared {request.declared_column} names no class of the map: it has {some}, the map "
            f"has {', '.join(name for _, name in columns.classes)}. Name a column with these names, or codes."
        )
    return known


class _Counts:
    """Parcels by class, counted while they are written."""

    def __init__(self, classes: int) -> None:
        self.table = np.zeros((classes + 1, classes + 1), np.int64)
        """`(declared, class)`, the last of each none."""
        self.outside = self.nothing_left = 0

    def add(
        self,
        facts: ParcelFacts,
        declared: NDArray[np.intp] | None,
        covered: NDArray[np.float64],
        area: NDArray[np.float64],
    ) -> None:
        last = len(self.table) - 1
        said = np.full(len(facts.majority), NO_CLASS) if declared is None else declared
        np.add.at(self.table, (said % (last + 1), facts.majority % (last + 1)), 1)
        self.outside += int(((covered == 0) & (area > 0)).sum())
        self.nothing_left += int((area == 0).sum())

    def fields(self, folder: Path, columns: Columns, surveyed: Surveyed, known: dict[str, int]) -> Fields:
        names = tuple(name for _, name in columns.classes)
        unknown = {label: n for label, n in surveyed.declared.items() if plain(label) not in known}
        return Fields(
            folder=folder,
            parcels=int(self.table.sum()),
            classes=names,
            by_class=self.table[:, :-1].sum(0),
            outside=self.outside,
            nothing_left=self.nothing_left,
            agreement=Agreement(names, self.table[:-1]) if surveyed.declared else None,
            unknown_labels=Counter(unknown),
        )


def _write(
    request: FieldsRequest,
    assessed: AssessedMap,
    source: _Source,
    columns: Columns,
    known: dict[str, int],
    work: Path,
    report: Progress,
) -> _Counts:
    codes = [code for code, _ in (*columns.classes, *columns.unmapped)]
    classes, counts = len(columns.classes), _Counts(len(columns.classes))
    pixel = abs(assessed.transform.a * assessed.transform.e)
    with ParcelSummer(assessed, codes, classes) as summer, FieldTables(work, source.crs) as tables:
        for batch in source.batches():
            polygons = _placed(batch.geometries(), source.crs, assessed.crs, request)
            sums = summer.add_up(polygons)
            area = shapely.area(polygons)
            facts = parcel_facts(sums, area / pixel, classes)
            declared = None if batch.declared is None else declared_classes(batch.declared, known)
            tables.add(columns.table(batch, facts, declared))
            counts.add(facts, declared, sums.pixels.sum(1), area)
            done = batch.first - 1 + len(batch)
            report(done, max(done, source.surveyed.parcels))
    return counts


def _placed(
    polygons: NDArray[np.object_], source: pyproj.CRS, target: pyproj.CRS, request: FieldsRequest
) -> NDArray[np.object_]:
    """Polygons in the CRS of the map, without their border."""
    if request.repair:
        polygons = shapely.make_valid(polygons, method="structure", keep_collapsed=False)
    if source != target:
        move = pyproj.Transformer.from_crs(source, target, always_xy=True).transform
        polygons = shapely.transform(polygons, move, interleaved=False)
    if request.inner_buffer:
        polygons = shapely.buffer(polygons, -request.inner_buffer)
    return _finite(polygons)


def _finite(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Polygons with an area; one that a projection cannot show lies on no map and becomes empty."""
    bounds = shapely.bounds(polygons)
    return np.where(np.isfinite(bounds).all(axis=1), polygons, shapely.Polygon())


def _about(request: FieldsRequest, assessed: AssessedMap) -> dict[str, Any]:
    return {
        "map": str(assessed.path),
        "map_sha256": assessed.digest(),
        "parcels_file": None if request.parcels is None else request.parcels.name,
        "inner_buffer_m": request.inner_buffer,
        "rules": {
            "class": "the class with the most covered pixels; of equal ones the lower code; null without any",
            "class_share": "the share of that class in the pixels with a class",
            "valid_share": "pixels with a class as a share of the parcel",
            "pixels": "pixels with a class, each counted by the share of it that lies in the parcel",
            "probable_class": "the class with the highest mean probability; of equal ones the lower code",
        },
    }
