"""The published numbers, as data: tables 3, 4, 6 and 7 of Tong et al. 2025, and the spectra of table 5."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

SOURCE: Final = "Tong & Wang 2025, Invariant Features for Global Crop Type Classification, arXiv 2509.03497"
"""Where the tables are."""

DATA: Final = "published.csv"
"""Table by table, percent. Two cells of table 3, CropNet with augmentation for USA to FRA and USA to CHN, are
missing: the text at hand lost these rows. The third of that row stands in table 7, and the row without
augmentation in table 6. Of table 5, on the samples that EMIT saw, only EMIT's own rows are here; that the
models of its row EMIT_Feb were trained on August is our reading."""


@dataclass(frozen=True)
class Published:
    """One cell of a table: mean and standard deviation over ten trainings, in percent."""

    table: int
    """Number of the table."""
    source: str
    """Region that trained."""
    target: str
    """Test region."""
    method: str
    """What the table calls it."""
    model: str
    """Our name of the model."""
    augmentation: str
    """Our name of the augmentation."""
    accuracy: float
    """Overall accuracy."""
    accuracy_std: float
    """Its standard deviation."""
    macro_f1: float
    """Macro-F1."""
    macro_f1_std: float
    """Its standard deviation."""
    inputs: str = ""
    """Sensor and bins, where it is not the series of Sentinel-2 (`Protocol.inputs`)."""

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return f"table {self.table}, {self.method}"


@cache
def published_cells() -> tuple[Published, ...]:
    """All cells, in the order of the tables."""
    text = resources.files("training.transfer").joinpath(DATA).read_text(encoding="utf-8")
    return tuple(_cell(row) for row in csv.DictReader(text.splitlines()))


def published(source: str, target: str, model: str, augmentation: str, inputs: str = "") -> Published | None:
    """The number of the same cell, or None; the first where two tables hold it (they agree)."""
    wanted = (source, target, model, augmentation, inputs)
    for cell in published_cells():
        if (cell.source, cell.target, cell.model, cell.augmentation, cell.inputs) == wanted:
            return cell
    return None


def _cell(row: Mapping[str, str]) -> Published:
    return Published(
        table=int(row["table"]),
        source=row["source"],
        target=row["target"],
        method=row["method"],
        model=row["model"],
        augmentation=row["augmentation"],
        accuracy=float(row["accuracy"]),
        accuracy_std=float(row["accuracy_std"]),
        macro_f1=float(row["macro_f1"]),
        macro_f1_std=float(row["macro_f1_std"]),
        inputs=row["inputs"],
    )
