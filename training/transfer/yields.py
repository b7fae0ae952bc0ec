"""Whether crops transfer better where they yield alike (Tong et al. 2025, section 5.2, table 8)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES, in_words, read_limited
from training.transfer.tables import MethodScores

COLUMNS: Final = ("region", "class", "yield")

FEWEST: Final = 5
"""Pairs of yields below which a rank correlation says nothing."""

Yields = Mapping[tuple[str, str], float]
"""Region and class -> yield, in any unit that is the same for one class."""


@dataclass(frozen=True)
class YieldPair:
    """One class in one direction."""

    source: str
    """Region that trained."""
    target: str
    """Test region."""
    name: str
    """The class."""
    method: str
    """Model and augmentation."""
    yields: tuple[float, float]
    """In the source and in the target."""
    recall: float
    """Share of its samples that were found in the target, of all runs together."""

    @property
    def gap(self) -> float:
        """How far the yields lie apart, as the logarithm of their ratio: 0 where they are equal."""
        return abs(math.log(self.yields[1] / self.yields[0]))


def read_yields(path: Path) -> Yields:
    """The yields in a table.

    Args:
        path: CSV with the columns `region`, `class` and `yield`.

    Raises:
        InputError: It cannot be read, lacks a column, or has a yield that is not above 0.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_limited(path).decode("utf-8-sig"), newline="")))
        found = {(row["region"].strip(), row["class"].strip()): float(row["yield"]) for row in rows}
        if not found or not all(0 < value < math.inf for value in found.values()):
            raise ValueError("yields are numbers above 0")
    except ODD_VALUES as error:
        raise InputError(
            f"The yields {path} cannot be used: {in_words(error)}. The columns are {', '.join(COLUMNS)}."
        ) from error
    return found


def yield_pairs(cells: Sequence[MethodScores], yields: Yields) -> list[YieldPair]:
    """Every class whose yield is known at both ends of a direction, by method."""
    return [
        YieldPair(
            cell.source,
            cell.target,
            name,
            " ".join(cell.method),
            (yields[cell.source, name], yields[cell.target, name]),
            cell.counts[k, k] / cell.counts[k].sum(),
        )
        for cell in cells
        for k, name in enumerate(cell.names)
        if {(cell.source, name), (cell.target, name)} <= yields.keys() and cell.counts[k].any()
    ]


def yield_section(pairs: Sequence[YieldPair]) -> str:
    """The pairs as Markdown, with the rank correlation of each method."""
    if not pairs:
        return "## Yields\n\nNo class has a yield both in the source and in a target where it has samples."
    lines = [
        "## Yields",
        "Share of a class that was found, beside its yields in the source and in the target.",
        "\n".join(_table(pairs)),
        "\n".join(_correlations(pairs)),
    ]
    return "\n\n".join(lines)


def _table(pairs: Sequence[YieldPair]) -> Iterator[str]:
    yield "| direction | class | yield there | yield here | method | found (%) |"
    yield "|---|---|--:|--:|---|--:|"
    for one in pairs:
        trained, tested = (f"{value:g}" for value in one.yields)
        yield (
            f"| {one.source} → {one.target} | {one.name} | {trained} | {tested} | {one.method} | "
            f"{100 * one.recall:.1f} |"
        )


def _correlations(pairs: Sequence[YieldPair]) -> Iterator[str]:
    for method in dict.fromkeys(one.method for one in pairs):
        own = [one for one in pairs if one.method == method]
        gaps, found = np.array([(one.gap, one.recall) for one in own]).T
        if len(own) < FEWEST or min(np.ptp(gaps), np.ptp(found)) == 0:
            yield f"- {method}: {len(own)} pairs, too few or too much alike for a correlation."
            continue
        rank, chance = spearmanr(gaps, found)
        yield (
            f"- {method}: {len(own)} pairs; rank correlation of the gap between yields with what was found "
            f"{rank:+.2f} (p {chance:.2f}, were the pairs independent)."
        )
