"""Polygons of parcels, read batch by batch from any vector file: 5 million of them take no more memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES, in_words, parse_json, require_no_pipe

BATCH: Final = 50_000
"""Parcels that are in memory at once, about 50 MB."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north in the CRS of the file."""

_PARQUET: Final = (".parquet", ".geoparquet")
_NO_AREAS: Final = ("Point", "LineString", "MultiPoint", "MultiLineString")


@dataclass(frozen=True)
class ParcelFile:
    """A layer of polygons and which of its columns mean something."""

    path: Path
    """GeoPackage, Shapefile, GeoJSON, or GeoParquet."""
    layer: str | None
    """Layer of it; None where it has one."""
    crs: pyproj.CRS
    """CRS of the coordinates, x before y."""
    id_column: str | None = None
    """Column of ids; None counts the rows from 1."""
    declared_column: str | None = None
    """Column of declared classes; None where nothing was declared."""

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return list(dict.fromkeys(name for name in (self.id_column, self.declared_column) if name))


@dataclass(frozen=True)
class ParcelBatch:
    """Some parcels, in the order of the file."""

    first: int
    """Row of the first, from 1."""
    ids: Any
    """Arrow array: their ids."""
    wkb: Any
    """Arrow array: their polygons as the file has them."""
    declared: tuple[str | None, ...] | None
    """What each was declared to be, without blanks around; None where there is no such column."""

    def __len__(self) -> int:
        return len(self.wkb)

    def geometries(self) -> NDArray[np.object_]:
        """Their polygons; None where there is none, or it cannot be read."""
        values = self.wkb.to_numpy(zero_copy_only=False)
        try:
            return np.asarray(shapely.force_2d(shapely.from_wkb(values, on_invalid="ignore")))
        except NotImplementedError as error:
            raise InputError(
                "The parcels have curved edges, which are not read. Save them with straight ones: ogr2ogr "
                "-nlt CONVERT_TO_LINEAR straight.gpkg FILE."
            ) from error


def open_parcels(
    path: Path,
    layer: str | None = None,
    id_column: str | None = None,
    declared_column: str | None = None,
    *,
    layer_option: str = "--layer",
) -> ParcelFile:
    """A file of parcels, its columns and CRS looked at.

    Args:
        path: GeoPackage, Shapefile, GeoJSON or GeoParquet.
        layer: Which layer; None is the only one that can hold polygons.
        id_column: Column of ids.
        declared_column: Column of declared classes.
        layer_option: What the option that names the layer is called, for messages.

    Raises:
        InputError: It cannot be read, has several layers, no CRS, or no such column.
    """
    require_no_pipe(path)
    chosen = None if _is_parquet(path) else _chosen_layer(path, layer, layer_option)
    with _opened(path, chosen, None, 1) as (columns, _, crs, _):
        names = [name for name in (id_column, declared_column) if name is not None]
        if missing := [name for name in names if name not in columns]:
            raise InputError(
                f"The parcels {path} have no column {missing[0]!r}; they have "
                f"{', '.join(columns) or 'none'}. Name one of these."
            )
        return ParcelFile(path, chosen, _known_crs(path, crs), id_column, declared_column)


def read_batches(parcels: ParcelFile, bounds: Bounds | None = None) -> Iterator[ParcelBatch]:
    """The parcels of a file in its order, `BATCH` at once.

    Args:
        parcels: The file.
        bounds: Only what touches this box is read; GeoParquet, which has no index of places, is read whole.
            Rows are then counted within what was read.

    Raises:
        InputError: A part of the file cannot be read.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    first = 1
    opened = _opened(parcels.path, parcels.layer, parcels.columns, BATCH, bounds)
    with opened as (_, geometry, _, batches):
        for batch in batches:
            for start in range(0, len(batch), BATCH):
                part = batch.slice(start, BATCH)
                rows = pa.array(np.arange(first, first + len(part)))
                ids = rows if parcels.id_column is None else part.column(parcels.id_column)
                declared = parcels.declared_column and _texts(part.column(parcels.declared_column))
                yield ParcelBatch(first, ids, _binary(part.column(geometry)), declared or None)
                first += len(part)


def _binary(wkb: Any) -> Any:
    """An Arrow array of plain binary values: files may bring extension types or large ones."""
    import pyarrow as pa

    return (wkb.storage if isinstance(wkb, pa.ExtensionArray) else wkb).cast(pa.binary())


def _texts(values: Any) -> tuple[str | None, ...]:
    texts = (None if value is None or value != value else str(value).strip() for value in values.to_pylist())
    return tuple(text or None for text in texts)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in _PARQUET


def _chosen_layer(path: Path, asked: str | None, option: str) -> str:
    import pyogrio
    from pyogrio.errors import DataSourceError

    try:
        found = [(str(name), kind) for name, kind in pyogrio.list_layers(path)]
    except DataSourceError as error:
        raise _unreadable(path, error) from error
    areal = [name for name, kind in found if kind and kind.removesuffix(" Z") not in _NO_AREAS]
    if asked is not None and asked not in [name for name, _ in found]:
        raise InputError(
            f"The parcels {path} have no layer {asked!r}; they have {', '.join(name for name, _ in found)}. "
            f"Name one with {option}."
        )
    if not areal:
        kinds = ", ".join(f"{name} has {kind or 'no geometry'}" for name, kind in found)
        raise InputError(f"No layer of the parcels {path} can hold polygons: {kinds}. Give polygons.")
    if asked is None and len(areal) != 1:
        raise InputError(
            f"The parcels {path} have {len(areal)} layers that can hold polygons: {', '.join(areal)}. Name "
            f"one with {option}."
        )
    return asked or areal[0]


@contextmanager
def _opened(
    path: Path, layer: str | None, columns: list[str] | None, size: int, bounds: Bounds | None = None
) -> Iterator[Any]:
    """Names of the columns, that of the geometry, the CRS, and an iterator of Arrow batches."""
    require_arrow()
    import pyarrow as pa
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError

    opened = (
        _open_parquet(path, columns, size)
        if _is_parquet(path)
        else _open_gdal(path, layer, columns, size, bounds)
    )
    try:
        with warnings.catch_warnings(), opened as found:
            warnings.simplefilter("ignore", RuntimeWarning)  # of geometries, which are looked at later
            yield found
    except (DataSourceError, DataLayerError, FieldError, pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


@contextmanager
def _open_gdal(
    path: Path, layer: str | None, columns: list[str] | None, size: int, bounds: Bounds | None
) -> Iterator[Any]:
    from pyogrio.raw import open_arrow

    opened = open_arrow(path, layer=layer, columns=columns, bbox=bounds, batch_size=size, use_pyarrow=True)
    with opened as (meta, reader):
        geometry = meta["geometry_name"] or "wkb_geometry"
        yield [str(name) for name in meta["fields"]], geometry, meta["crs"], reader


@contextmanager
def _open_parquet(path: Path, columns: list[str] | None, size: int) -> Iterator[Any]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    with pq.ParquetFile(path) as file:
        names = list(file.schema_arrow.names)
        about = (file.schema_arrow.metadata or {}).get(b"geo")
        if about is None:
            raise InputError(f"{path} is a table without geometry. Give GeoParquet, or a GeoPackage.")
        geometry, crs = _geo_column(path, about)
        wanted = [*(names if columns is None else columns), geometry]
        batches = file.iter_batches(size, columns=list(dict.fromkeys(wanted)))
        yield [name for name in names if name != geometry], geometry, crs, batches


def _geo_column(path: Path, about: bytes) -> tuple[str, Any]:
    """Name and CRS of the geometry that the metadata of GeoParquet describes."""
    try:
        values = parse_json(about, path)
        name = values["primary_column"]
        column = values["columns"][name]
        crs = column.get("crs", "OGC:CRS84")  # what the format says where nothing is said
        if column["encoding"] != "WKB":
            raise InputError(f"The geometry of {path} is no WKB but {column['encoding']}. Save it as WKB.")
        return str(name), crs
    except ODD_VALUES as error:
        raise InputError(f"{path} is no GeoParquet: {in_words(error)}. Save it again.") from error


def _known_crs(path: Path, crs: Any) -> pyproj.CRS:
    if crs is None:
        raise InputError(
            f"The parcels {path} have no CRS, so nobody knows where they lie. Set it and save them as "
            "GeoPackage."
        )
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"The CRS of the parcels {path} is not known: {in_words(error)}.") from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).split(";")[0].strip().rstrip(".")
    return InputError(
        f"The parcels {path} cannot be read as vectors: {reason}. Give a GeoPackage, Shapefile, GeoJSON or "
        "GeoParquet."
    )


def require_arrow() -> None:
    """Refuse to begin without the package that reads batches.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError(f"Parcels need the package {error.name}: pip install 'cropmap[fields]'.") from error
