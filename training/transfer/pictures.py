"""Confusion matrices as sheets to print: one per direction, one panel per method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.fit.confusion_picture import Panel, class_shares, compose_panels, draw_panels
from training.transfer.tables import MethodScores, percent


def draw_confusions(path: Path, cells: Sequence[MethodScores]) -> None:
    """Draw the PNG of one direction.

    Args:
        path: Where it shall stand.
        cells: Of one direction, at least one.
    """
    draw_panels(path, [_panel(cell) for cell in cells], title=_title(cells), note=_note(cells))


def compose_confusions(cells: Sequence[MethodScores]) -> Figure:
    """The printed sheet."""
    return compose_panels([_panel(cell) for cell in cells], title=_title(cells), note=_note(cells))


def shares(cell: MethodScores) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names of the classes with samples, and `(label, predicted)` in percent of each class's samples."""
    return class_shares(cell.names, cell.counts)


def _title(cells: Sequence[MethodScores]) -> str:
    return f"{cells[0].source} → {cells[0].target}"


def _note(cells: Sequence[MethodScores]) -> str:
    runs = f"{cells[0].runs} runs" if cells[0].runs > 1 else "one run"
    return f"Counts of {runs} together."


def _panel(cell: MethodScores) -> Panel:
    title = (
        f"{', '.join(cell.method)}\nOA {percent(cell.accuracy, cell.accuracy_std)}, "
        f"mF1 {percent(cell.macro_f1, cell.macro_f1_std)}"
    )
    return Panel(title, cell.names, cell.counts)
