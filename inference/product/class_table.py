"""What a map holds by code, as tables that spreadsheets, GDAL and ArcGIS read."""

from __future__ import annotations

import csv
import io
import struct
from collections.abc import Sequence
from typing import Final

from inference.product.legend import Legend, LegendEntry
from inference.product.map_facts import CodeArea

AREAS: Final = "areas.csv"
"""Name of the table beside the rasters."""

COLUMNS: Final = (
    *("code", "class", "pixels", "hectares", "share"),
    *("mean_confidence", "mean_clear_observations"),
)
"""Columns of that table; hectares are ground area, the share is of the area in percent."""

_LONGEST: Final = 254
"""Bytes of the longest text of a dBase table."""

_FIELDS: Final = (
    ("VALUE", b"N", 3),
    ("COUNT", b"N", 15),
    ("CLASS", b"C", _LONGEST),
    ("HECTARES", b"N", 18),
    ("RED", b"N", 3),
    ("GREEN", b"N", 3),
    ("BLUE", b"N", 3),
)
"""Name, type and width of the fields of a value attribute table; ArcGIS takes the first two by name, and
the colours."""

_DECIMALS: Final = {"HECTARES": 4}


def areas_csv(areas: Sequence[CodeArea]) -> bytes:
    """The table of a map's codes: pixels, hectares, share, means; a cell without value is empty.

    Args:
        areas: In the order of the legend.
    """
    whole = sum(one.hectares for one in areas)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in areas:
        share = 100 * one.hectares / whole if whole else 0.0
        means = ["" if mean is None else f"{mean:.2f}" for mean in (one.mean_confidence, one.mean_clear)]
        writer.writerow([one.code, one.name, one.pixels, f"{one.hectares:.4f}", f"{share:.4f}", *means])
    return text.getvalue().encode()


def value_table(legend: Legend, areas: Sequence[CodeArea]) -> bytes:
    """The `.vat.dbf` of a class map, a table of dBase III in UTF-8: codes that occur, as ArcGIS has them.

    Args:
        legend: Names and colours.
        areas: Pixels and hectares of each code.
    """
    by_code = {one.code: one for one in areas}
    rows = [
        _record(entry, by_code[entry.code])
        for entry in legend.entries
        if entry.code in by_code and by_code[entry.code].pixels
    ]
    fields = b"".join(
        struct.pack("<11sc4xBB14x", name.encode(), kind, width, _DECIMALS.get(name, 0))
        for name, kind, width in _FIELDS
    )
    size = 1 + sum(width for _, _, width in _FIELDS)
    # 3: dBase III; a date that is always the same, so that equal maps have equal files
    head = struct.pack("<B3BIHH20x", 3, 100, 1, 1, len(rows), 32 + len(fields) + 1, size)
    return head + fields + b"\r" + b"".join(rows) + b"\x1a"


def _record(entry: LegendEntry, area: CodeArea) -> bytes:
    values = (entry.code, area.pixels, entry.name, f"{area.hectares:.4f}", *entry.rgb)
    cells = (
        _text(str(value), width) if kind == b"C" else str(value).rjust(width).encode()
        for value, (_, kind, width) in zip(values, _FIELDS, strict=True)
    )
    return b" " + b"".join(cells)


def _text(value: str, width: int) -> bytes:
    """As many whole characters as fit, and blanks."""
    return value.encode()[:width].decode(errors="ignore").encode().ljust(width)
