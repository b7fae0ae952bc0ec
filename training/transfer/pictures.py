"""Confusion matrices as sheets to print: one a direction, a panel a method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gee_pipeline.files import atomic_path
from training.curves import DPI, FAINT, INK
from training.transfer.tables import Cell, percent

COLUMNS: Final = 3
"""Panels beside each other; more would be too small to read on a page."""

DARK: Final = 55.0
"""Percent from which a square is so dark that its number is white."""


def draw_confusions(path: Path, cells: Sequence[Cell]) -> None:
    """Draw the PNG of one direction.

    Args:
        path: Where it shall stand.
        cells: Of one direction, at least one.
    """
    title = f"{cells[0].source} → {cells[0].target}"
    figure = compose_confusions(cells)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=DPI, metadata={"Title": title, "Software": "cropmap"})


def compose_confusions(cells: Sequence[Cell]) -> Figure:
    """The printed sheet."""
    columns = min(COLUMNS, len(cells))
    lines = math.ceil(len(cells) / columns)
    side = 1.7 + 0.42 * max(len(cell.names) for cell in cells)
    figure = Figure(figsize=(max(columns * side, 4.6), lines * side + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    direction = f"{cells[0].source} → {cells[0].target}"
    figure.suptitle(f"{direction}: share of each class, %", x=0.01, ha="left", color=INK, fontsize=11)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, cell in zip(panels, cells, strict=False):
        _draw(axes, cell)
    for axes in panels[len(cells) :]:
        axes.set_axis_off()
    runs = f"{cells[0].runs} runs" if cells[0].runs > 1 else "one run"
    figure.supxlabel(
        f"Rows: reference; columns: model. Counts of {runs} together.",
        x=0.01,
        ha="left",
        color=FAINT,
        fontsize=8,
    )
    return figure


def shares(cell: Cell) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names of the classes with samples, and `(label, predicted)` in percent of each class's samples."""
    there = cell.counts.sum(axis=1) > 0
    counts = cell.counts[there]
    names = tuple(name for name, some in zip(cell.names, there, strict=True) if some)
    return names, 100 * counts / counts.sum(axis=1, keepdims=True)


def _draw(axes: Axes, cell: Cell) -> None:
    names, percents = shares(cell)
    axes.imshow(percents, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(percents):
        color = "white" if value > DARK else INK
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(len(cell.names)), cell.names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    method = cell.model if cell.augmentation == "none" else f"{cell.model}, {cell.augmentation}"
    axes.set_title(
        f"{method}\nOA {percent(cell.accuracy, cell.accuracy_std)}, "
        f"mF1 {percent(cell.macro_f1, cell.macro_f1_std)}",
        loc="left",
        fontsize=8,
        color=INK,
    )
