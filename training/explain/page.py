"""What the pictures of an explanation share: the page, its texts, and months on an axis."""

from __future__ import annotations

import importlib.metadata
import math
import textwrap
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inference.drawing.style import FAINT, INK, NOTE, framed_axes, new_figure, save_figure
from training.explain.report import Explanation
from training.sample_report.picture import month_marks

MARGIN: Final = 0.45
"""Inches around everything."""

LEAST_NAME: Final = 12
"""Days of a month that must be seen for its name to have room."""


@dataclass(frozen=True)
class Page:
    """A figure that is placed in inches, from the upper left."""

    figure: Figure
    """The figure."""
    width: float
    """Inches."""
    height: float
    """Inches."""

    @classmethod
    def of(cls, width: float, height: float) -> Page:
        """An empty page of a size in inches."""
        return cls(new_figure(width, height), width, height)

    def panel(self, label: str, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner is this many inches from that of the page."""
        bottom = self.height - top - height
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box, label=label)
        framed_axes(axes)
        return axes

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text as it stands, without formulas, this many inches from the upper left."""
        given = {"color": INK, "va": "center", "fontsize": 9, **style}
        self.figure.text(x / self.width, 1 - y / self.height, text, parse_math=False, **given)

    def head(self, title: str, lines: str) -> float:
        """Title and what is shown, wrapped to the page; returns the inches they take."""
        self.text(MARGIN, 0.42, title, fontsize=15, fontweight="bold")
        wrapped = textwrap.wrap(lines, int(self.width * 14.2))
        for index, line in enumerate(wrapped):
            self.text(MARGIN, 0.75 + 0.19 * index, line, color=FAINT)
        return 0.75 + 0.19 * len(wrapped)

    def foot(self, text: str) -> None:
        """One line at the lower edge, with the version."""
        version = importlib.metadata.version("cropmap")
        line = textwrap.shorten(f"cropmap {version}   ·   {text}", int(self.width * 17), placeholder=" …")
        self.text(MARGIN, self.height - 0.22, line, fontsize=NOTE, color=FAINT)

    def save(self, path: Path, title: str) -> Path:
        """Write the figure as its suffix says; returns the path."""
        save_figure(self.figure, path, title)
        return path


def mark_months(axes: Axes, start: date | None, first: float, last: float) -> None:
    """Ticks where months begin and their names between.

    Args:
        axes: Its horizontal axis counts days from the season's start.
        start: First day of the season; None numbers twelfths of it.
        first: First day that is shown.
        last: Day after the last.
    """
    begins, names = month_marks(start)
    ends = [*begins[1:], 365.0]
    shown = [
        (max(begin, first), min(end, last), name)
        for begin, end, name in zip(begins, ends, names, strict=True)
        if begin < last and end > first
    ]
    axes.set_xlim(first, last)
    axes.set_xticks([begin for begin, _, _ in shown], [""] * len(shown))
    wide = [(begin, end, name) for begin, end, name in shown if end - begin >= LEAST_NAME]
    axes.set_xticks([(b + e) / 2 for b, e, _ in wide], [name for _, _, name in wide], minor=True, fontsize=8)
    axes.tick_params(axis="x", which="minor", length=0, pad=3, labelcolor=INK)


def season_note(start: date | None) -> str:
    """What the numbers on an axis of unknown dates are; empty where they are months."""
    return "" if start else "Months are counted from the start of the season, which the samples do not say. "


def rows_of(panels: int, columns: int) -> int:
    """Rows that hold this many panels."""
    return math.ceil(panels / columns)


def foot_text(explanation: Explanation) -> str:
    """Where a picture comes from."""
    regions = "; ".join(
        f"{region.domain}: {region.samples.source.rstrip('.')}" for region in explanation.regions
    )
    return f"Model {explanation.model}   ·   {regions}"
