"""How many samples of each class a file holds, beside tables 1 and 2 of Tong et al. 2025."""

from __future__ import annotations

import csv
import re
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import ODD_VALUES, in_words

DATA: Final = "published_counts.csv"
CLASSES: Final = ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
"""Columns of the tables, in the order of the labels 0 to 6."""

_COUNTRY: Final = re.compile(r"_([A-Z]{3})(?:_|$)")


@dataclass(frozen=True)
class Counts:
    """Samples of a file by class."""

    country: str
    """Three letters."""
    table: int
    """Table that says how many there are: 1, or 2 for the samples with hyperspectral features."""
    found: tuple[int, ...]
    """In the file, in the order of `CLASSES`."""
    published: tuple[int, ...]
    """In the table."""

    @property
    def text(self) -> str:
        """Whether they agree, in words."""
        total = f"{self.country}: {sum(self.found):,} samples"
        if self.found == self.published:
            return f"{total}, by class as in table {self.table} of the paper"
        different = [
            f"{name} {found:,} for {published:,}"
            for name, found, published in zip(CLASSES, self.found, self.published, strict=True)
            if found != published
        ]
        return f"{total}, not as in table {self.table} of the paper: {', '.join(different)}"


def counts_text(path: Path) -> str | None:
    """What a file holds beside the published table, in words; None of a country that has none.

    Args:
        path: A file of CropGlobe whose bytes are those that were published, whatever they are.
    """
    try:
        counts = counts_of(path)
    except CorruptFileError as error:
        return f"Not counted: {error}"
    return counts.text if counts else None


def counts_of(path: Path) -> Counts | None:
    """The samples of a file of CropGlobe; None of a country that the paper has no table for.

    Args:
        path: An npz with the key `lbl`, labels 0 to 6.

    Raises:
        CorruptFileError: The file holds no such labels.
    """
    named = _COUNTRY.search(path.stem)
    table = 2 if "EMIT" in path.stem.upper() else 1
    published = _tables().get((table, named[1])) if named else None
    if named is None or published is None:
        return None
    try:
        with np.load(path) as file:
            labels = np.asarray(file["lbl"]).ravel()
        found = np.bincount(labels.astype(np.int64), minlength=len(CLASSES))
        if len(found) > len(CLASSES) or not np.array_equal(labels, labels.astype(np.int64)):
            raise ValueError("other values are among them")
    except (OSError, zipfile.BadZipFile, *ODD_VALUES) as error:
        raise CorruptFileError(
            f"{path} holds no labels 0 to {len(CLASSES) - 1}: {in_words(error)}."
        ) from error
    return Counts(named[1], table, tuple(found.tolist()), published)


@cache
def _tables() -> dict[tuple[int, str], tuple[int, ...]]:
    """Table and country -> samples by class."""
    text = resources.files("training.cropglobe").joinpath(DATA).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {(int(row["table"]), row["country"]): tuple(int(row[name]) for name in CLASSES) for row in rows}
