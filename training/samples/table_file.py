"""Reading the files that tables of samples come in: CSV, Parquet and GeoParquet."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd

from gee_pipeline.errors import CorruptFileError, InputError
from training.samples.table import FIRST_ROW, PLACE_NAMES, Table, is_series_column

TABLE_SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".geoparquet")
"""Endings of the files that are tables."""

_GAPS: Final = ["", "nan", "NaN", "NAN", "NA", "N/A", "null", "NULL", "None"]
"""Texts of a cell without a value."""

_SEPARATORS: Final = (",", ";", "\t")
_ENCODING: Final = "utf-8-sig"  # also without the mark that spreadsheets put first


def read_table(path: Path) -> Table:
    """The table of a file.

    Raises:
        InputError: The file does not exist, or its geometry cannot be used.
        CorruptFileError: It is damaged or no such table.
    """
    if not path.is_file():
        raise InputError(f"The samples {path} do not exist. Give the path of a file.")
    frame = _read_csv(path) if ".csv" in path.name.lower() else _read_parquet(path)
    names = [str(name) for name in frame.columns]
    _require_names(path, names)
    if not len(frame):
        raise InputError(f"{path} has no row below its header. Export it again.")
    return Table(path, frame.set_axis(names, axis=1))


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        header = _first_line(path)
        separator = max(_SEPARATORS, key=header.count)
        names = next(csv.reader([header], delimiter=separator), [])
        _require_names(path, names)
        return pd.read_csv(
            path,
            sep=separator,
            encoding=_ENCODING,
            keep_default_na=False,  # a label or country may be called NA
            na_values={name: _GAPS for name in names if _holds_numbers(name)},
            dtype={
                name: str for name in names if not _holds_numbers(name)
            },  # the group 001 is not the group 1
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise _damaged(path, "CSV", error) from error
    except (EOFError, zlib.error) as error:
        raise _damaged(path, "CSV", error) from error


def _first_line(path: Path) -> str:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rt", encoding=_ENCODING) as file:
            return file.readline()
    with path.open(encoding=_ENCODING) as file:
        return file.readline()


def _require_names(path: Path, names: Sequence[str]) -> None:
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: the column {repeated[0]!r} occurs more than once. Keep one of them.")


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError(
            f"Reading {path} needs the package pyarrow: pip install pyarrow, or give the table as CSV."
        ) from error
    try:
        metadata = pq.read_schema(path).metadata or {}
        return _located(path) if b"geo" in metadata else pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, "Parquet", error) from error


def _located(path: Path) -> pd.DataFrame:
    """The table of a GeoParquet file; its places as `lon` and `lat` where it has no such columns."""
    frame = gpd.read_parquet(path)
    plain = Table(path, pd.DataFrame(frame.drop(columns=frame.geometry.name)))
    if any(plain.column(*names) for names in PLACE_NAMES.values()):
        return plain.frame
    bad = np.flatnonzero(frame.geometry.isna() | frame.geometry.is_empty)
    if len(bad) or frame.crs is None:
        what = f"row {bad[0] + FIRST_ROW} has none" if len(bad) else "the file has no CRS"
        raise InputError(f"{path}: every row needs a geometry in a known CRS, but {what}.")
    points = frame.geometry.representative_point().to_crs("EPSG:4326")
    return plain.frame.assign(lon=points.x.to_numpy(), lat=points.y.to_numpy())


def _damaged(path: Path, kind: str, error: Exception) -> CorruptFileError:
    return CorruptFileError(f"{path} is not a whole {kind} table: {error}. Export it again.")


def _holds_numbers(name: str) -> bool:
    places = {alias for aliases in PLACE_NAMES.values() for alias in aliases}
    return is_series_column(name) or name.strip().casefold() in places
