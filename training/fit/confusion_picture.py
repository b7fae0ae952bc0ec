"""Confusion matrices as a sheet to print, a panel a matrix."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from inference.drawing.style import FAINT, INK, SHARES, SMALL, TITLE, new_figure, save_figure

COLUMNS: Final = 3
"""Panels next to each other; more would be too small to read on a page."""

LETTERS: Final = 15
"""Letters of the note in an inch, at most: a line that is longer is cut off at the edge of the sheet."""

DARK: Final = 55.0
"""Percent from which a square is so dark that its number is white."""


@dataclass(frozen=True)
class Panel:
    """One confusion matrix."""

    title: str
    """One or two lines above it."""
    names: tuple[str, ...]
    """Class names in order."""
    counts: NDArray[np.int64]
    """`(label, predicted)`."""


def draw_panels(path: Path, panels: Sequence[Panel], *, title: str, note: str) -> None:
    """Draw a PNG.

    Args:
        path: Where it shall stand.
        panels: At least one.
        title: One line above all.
        note: Sentences below all.
    """
    figure = compose_panels(panels, title=title, note=note)
    save_figure(figure, path, title)


def compose_panels(panels: Sequence[Panel], *, title: str, note: str) -> Figure:
    """The printed sheet; arguments as of `draw_panels`."""
    lines = math.ceil(len(panels) / COLUMNS)
    columns = math.ceil(len(panels) / lines)  # four panels are two and two
    side = 1.7 + 0.42 * max(len(panel.names) for panel in panels)
    figure = new_figure(max(columns * side, 4.6), lines * side + 0.8, layout="constrained")
    figure.suptitle(f"{title}: share of each class, %", x=0.01, ha="left", color=INK, fontsize=TITLE)
    places = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, panel in zip(places, panels, strict=False):
        _draw(axes, panel)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    note = textwrap.fill(f"Rows: reference; columns: model. {note}", int(LETTERS * figure.get_figwidth()))
    figure.supxlabel(note, x=0.01, ha="left", color=FAINT, fontsize=SMALL)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar sign in a name is not a formula
    return figure


def class_shares(
    names: tuple[str, ...], counts: NDArray[np.int64]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names of the classes with samples, and `(label, predicted)` in percent of each class's samples."""
    there = counts.sum(axis=1) > 0
    counts = counts[there]
    occurring = tuple(name for name, some in zip(names, there, strict=True) if some)
    return occurring, 100 * counts / counts.sum(axis=1, keepdims=True)


def _draw(axes: Axes, panel: Panel) -> None:
    names, percents = class_shares(panel.names, panel.counts)
    axes.imshow(percents, cmap=SHARES, vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(percents):
        color = "white" if value > DARK else INK
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(len(panel.names)), panel.names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(colors=INK, labelsize=SMALL, length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(panel.title, loc="left", fontsize=SMALL, color=INK)
