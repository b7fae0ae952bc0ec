"""Tables that people saved as CSV, from whatever program: everything is text."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

from gee_pipeline.errors import InputError
from gee_pipeline.files import read_limited


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table by column, outer blanks removed, without rows in which nothing stands.

    A line `sep=;`, which Excel writes, names the separator.

    Args:
        path: CSV in UTF-8, separated by commas, semicolons or tabs.

    Raises:
        InputError: It is no such text, or has one column name twice.
        CorruptFileError: It is a pipe, or too large.
    """
    try:
        text = read_limited(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text in UTF-8. Save it as CSV in UTF-8.") from error
    if "\0" in text or text.startswith("PK"):
        raise InputError(f"{path} is no text, but another kind of file. Save it as CSV in UTF-8.")
    text = text.lstrip("\r\n")
    head, _, rest = text.partition("\n")
    if head.strip().lower()[:-1] == "sep=":
        separator, text = head.strip()[-1], rest
    else:
        separator = max(",;\t", key=head.count)
    try:
        return _rows(path, csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    except (csv.Error, TypeError) as error:  # TypeError: a separator that csv cannot use
        raise InputError(f"{path} cannot be read as CSV: {error}. Save it again as CSV in UTF-8.") from error


def _rows(path: Path, reader: csv.DictReader[str]) -> list[dict[str, str]]:
    names = [name.strip() for name in reader.fieldnames or ()]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise InputError(f"{path} has several columns {', '.join(twice[:20])}. Give each a name of its own.")
    reader.fieldnames = names
    rows = list(reader)
    for number, row in enumerate(rows, 1):
        if any(cell.strip() for cell in row.get(None, ())):
            raise InputError(
                f"Row {number} of {path} has more cells than the heading, which has {len(names)}. Decimal "
                "commas want semicolons between the columns; texts with commas stand in quotes."
            )
    plain_rows = ({k: (v or "").strip() for k, v in row.items() if k} for row in rows)
    return [row for row in plain_rows if any(row.values())]


def plain(name: str) -> str:
    """A name for comparing: two names mean one thing if they differ by case, outer blanks or by how accents
    are encoded alone, which depends on the machine."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def decimal(text: str) -> float:
    """A number as people write it, with a decimal point or comma.

    Raises:
        ValueError: It is none, or has separators of thousands.
    """
    return float(text.replace(",", "."))
