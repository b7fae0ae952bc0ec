"""STAC GeoParquet: a table with one row per item, as STAC GeoParquet 1.0 describes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import shapely

_ITEM_FIELDS: Final = ("id", "stac_version", "stac_extensions", "links", "assets", "collection")
"""Columns that are fields of an item; all others but geometry and bbox are its properties."""

_ROWS: Final = 512
"""Rows that are in memory at a time: some megabytes."""


class TableError(ValueError):
    """A table cannot be read as items; the text is one clause."""


def is_table(href: str) -> bool:
    """Whether a path or URL names a table of items."""
    return href.partition("?")[0].lower().endswith((".parquet", ".geoparquet"))


class ItemTable:
    """The items of a table, as JSON values; a part of them is in memory at a time."""

    def __init__(self, path: str) -> None:
        """Open the table.

        Args:
            path: A Parquet file.

        Raises:
            TableError: pyarrow is not installed, or it is no table of items.
        """
        try:
            import pyarrow.parquet  # type: ignore[import-untyped]
        except ImportError as error:
            raise TableError(
                "tables of items are read by pyarrow: pip install 'cropmap[geoparquet]'"
            ) from error
        if not Path(path).is_file():
            raise TableError("there is no such file")
        with _readable():
            self._file = pyarrow.parquet.ParquetFile(path)
        if len(self) and not {"id", "geometry", "assets"} <= set(self._file.schema_arrow.names):
            raise TableError("it has no columns id, geometry and assets: it is not STAC GeoParquet")

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Its items in order.

        Raises:
            TableError: A part of the file is damaged, or a geometry is not readable.
        """
        batches = self._file.iter_batches(_ROWS)
        while True:
            with _readable():
                batch = next(batches, None)
                columns = (
                    {} if batch is None else dict(zip(batch.schema.names, map(_values, batch), strict=True))
                )
            if batch is None:
                return
            yield from (
                _item(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
            )


@contextmanager
def _readable() -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise TableError(f"it is not readable as Parquet: {str(error).splitlines()[0]}") from error


def _item(row: dict[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in row.items() if value is not None}
    properties = {k: v for k, v in values.items() if k not in (*_ITEM_FIELDS, "geometry", "bbox", "type")}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "links": [],
        **{key: values[key] for key in _ITEM_FIELDS if key in values},
        "geometry": _geometry(row.get("geometry")),
        **({"bbox": _bbox(values["bbox"])} if "bbox" in values else {}),
        "properties": {"datetime": None, **properties},
    }


def _values(column: Any) -> list[Any]:
    """The values of a column as JSON has them; what is not there is None, and no field of an object.

    Column by column it takes a third of the time of row by row.

    Args:
        column: A pyarrow array.
    """
    from pyarrow import types

    if types.is_struct(column.type):
        return _objects(column)
    if types.is_list(column.type) or types.is_large_list(column.type):
        return _lists(column)
    values: list[Any] = column.to_pylist()
    return (
        list(map(_plain, values))
        if types.is_nested(column.type) or types.is_temporal(column.type)
        else values
    )


def _objects(column: Any) -> list[Any]:
    names = [field.name for field in column.type]
    parts = zip(*map(_values, column.flatten()), strict=True)
    there = column.is_valid().to_pylist()
    return [
        {name: value for name, value in zip(names, part, strict=True) if value is not None} if valid else None
        for part, valid in zip(parts, there, strict=True)
    ]


def _lists(column: Any) -> list[Any]:
    values = iter(_values(column.flatten()))
    lengths = column.value_lengths().to_pylist()
    return [None if length is None else list(islice(values, length)) for length in lengths]


def _plain(value: Any) -> Any:
    """A value of a kind that has no column of its own, as JSON has it."""
    if isinstance(value, dict):
        return {key: plain for key, part in value.items() if (plain := _plain(part)) is not None}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _geometry(wkb: Any) -> dict[str, Any] | None:
    if not isinstance(wkb, bytes):
        return None
    try:
        return dict(shapely.geometry.mapping(shapely.from_wkb(wkb)))
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise TableError(f"a geometry is not readable: {error}") from error


def _bbox(value: Any) -> list[float]:
    """A bbox, which is a struct of `xmin`, `ymin`, ... here."""
    if not isinstance(value, dict):
        return list(value)
    heights = "z" if "zmin" in value else ""
    return [value[f"{axis}{end}"] for end in ("min", "max") for axis in f"xy{heights}"]
