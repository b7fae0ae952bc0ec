"""Reading the files that tables of samples come in: CSV, Parquet and GeoParquet."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import size_text
from training.samples.npz_file import LARGEST_SAMPLES
from training.samples.table import FIRST_ROW, PLACE_NAMES, Table, is_series_column

TABLE_SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".geoparquet")
"""Endings of the files that are tables."""

_GAPS: Final = ["", "nan", "NaN", "NAN", "NA", "N/A", "null", "NULL", "None"]
"""Texts of a cell without a value."""

LONGEST_HEADER: Final = 2**24
"""Most bytes of the first line of a CSV: 16 MiB, a million columns."""

_CELL_BYTES: Final = 8
"""Bytes of a value of a table in memory."""

_DAMAGED_CSV: Final = (
    pd.errors.ParserError,
    pd.errors.EmptyDataError,
    csv.Error,
    EOFError,
    OSError,
    zlib.error,
)
"""What is raised where a CSV is damaged, or something else."""

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
        texts = [name for name in names if not _holds_numbers(name)]
        with _bounded(path) as file:
            return pd.read_csv(
                file,
                sep=separator,
                encoding=_ENCODING,
                keep_default_na=False,  # a label or country may be called NA
                na_values={name: _GAPS for name in names if name not in texts},
                dtype=dict.fromkeys(texts, str),  # the group 001 is not the group 1
                low_memory=False,
            )
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            f"{path} is not a whole CSV table: it is not in UTF-8 ({error.reason} at byte {error.start}). "
            "Save it as CSV in UTF-8."
        ) from error
    except _DAMAGED_CSV as error:
        raise _damaged(path, "CSV", error) from error


def _first_line(path: Path) -> str:
    """The header of a table; it is short, whatever follows."""
    with _bounded(path) as file:
        line = file.readline(LONGEST_HEADER + 1)
    if len(line) > LONGEST_HEADER:
        raise CorruptFileError(
            f"{path} has no line end in its first {size_text(LONGEST_HEADER)}: it is no table. Export it "
            "again."
        )
    return line.decode(_ENCODING)


def _bounded(path: Path) -> io.BufferedReader:
    """The content of a plain or compressed text, which ends with an error where it is too large."""
    packed = path.name.lower().endswith(".gz")
    if not packed:
        _require_room(path, path.stat().st_size)
    opener = gzip.open if packed else open
    return io.BufferedReader(_Bounded(opener(path, "rb"), path))


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than a file of samples holds: it may unpack to any size."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, path: Path) -> None:
        self._file, self._path, self._left = file, path, LARGEST_SAMPLES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise InputError(
                f"{self._path} holds more than {size_text(LARGEST_SAMPLES)} of text, the most of a file of "
                "samples. Split it: several files are read together."
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


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
        about = pq.read_metadata(path)
        _require_room(path, about.num_rows * about.num_columns * _CELL_BYTES)
        metadata = pq.read_schema(path).metadata or {}
        return _located(path) if b"geo" in metadata else pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, "Parquet", error) from error


def _require_room(path: Path, size: int) -> None:
    if size > LARGEST_SAMPLES:
        raise InputError(
            f"{path} holds {size_text(size)} of values, a file of samples at most "
            f"{size_text(LARGEST_SAMPLES)}. Split it: several files are read together."
        )


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
