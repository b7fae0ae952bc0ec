"""STAC GeoParquet: a table with one row per item, as STAC GeoParquet 1.0 describes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import shapely

_ITEM_FIELDS: Final = ("id", "stac_version", "stac_extensions", "links", "assets", "collection")
"""Columns that are fields of an item; all others but geometry and bbox are its properties."""


class TableError(ValueError):
    """A table cannot be read as items; the text is one clause."""


def is_table(href: str) -> bool:
    """Whether a path or URL names a table of items."""
    return href.partition("?")[0].lower().endswith((".parquet", ".geoparquet"))


def item_collection(path: str) -> dict[str, Any]:
    """The items of a table as a STAC item collection, JSON values.

    Args:
        path: A Parquet file.

    Raises:
        TableError: pyarrow is not installed, or it is no table of items.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise TableError("tables of items are read by pyarrow: pip install 'cropmap[geoparquet]'") from error
    if not Path(path).is_file():
        raise TableError("there is no such file")
    try:
        rows = pyarrow.parquet.ParquetFile(path).read().to_pylist()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise TableError(f"it is not readable as Parquet: {str(error).splitlines()[0]}") from error
    if rows and not {"id", "geometry", "assets"} <= set(rows[0]):
        raise TableError("it has no columns id, geometry and assets: it is not STAC GeoParquet")
    return {"type": "FeatureCollection", "features": list(_items(rows))}


def _items(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        values = {key: plain for key, value in row.items() if (plain := _plain(value)) is not None}
        properties = {k: v for k, v in values.items() if k not in (*_ITEM_FIELDS, "geometry", "bbox", "type")}
        yield {
            "type": "Feature",
            "stac_version": "1.0.0",
            "links": [],
            **{key: values[key] for key in _ITEM_FIELDS if key in values},
            "geometry": _geometry(row.get("geometry")),
            **({"bbox": _bbox(values["bbox"])} if "bbox" in values else {}),
            "properties": {"datetime": None, **properties},
        }


def _plain(value: Any) -> Any:
    """A cell as JSON has it; what is not there is None, for a column holds the fields of all items."""
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
