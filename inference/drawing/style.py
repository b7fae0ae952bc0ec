"""One style for every picture: ink, lines, sizes, and how it is written."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gee_pipeline.files import atomic_path

DPI: Final = 300
"""Dots per inch of a PNG, and of what is drawn as dots in a PDF or SVG."""

A4: Final = (210 / 25.4, 297 / 25.4)
"""Inches of a sheet, its shorter side first; no picture is larger in print, but with many panels."""

INK, FAINT, GRID = "#1f2328", "#6a737d", "#d6dae0"
"""Of text and marks, of notes and frames, of lines behind the values."""

EDGE, SHADE, WARNING = "#40464e", "#f1f3f5", "#b42318"
"""Around coloured marks; behind what a model does not look at; of what the reader must not miss."""

FIRST, SECOND, THIRD = "#0072b2", "#d55e00", "#009e73"
"""Lines in order: blue, vermilion and bluish green of Okabe and Ito (2008); each has its own dashes too."""

SHARES: Final = "Blues"
"""matplotlib's colours of shares: white is none and dark is all, also on paper without colours."""

TITLE, TEXT, SMALL, NOTE = 11.0, 9.0, 8.0, 7.5
"""Points of a heading, of what stands at a panel, of the numbers at an axis, and of the source below."""


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty white figure of a size in inches, drawn without any window.

    Args:
        width: Inches.
        height: Inches.
        **options: As of matplotlib's `Figure`, such as `layout`.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, *, grid: Literal["x", "y", "both"] | None = "y") -> None:
    """Axes without a frame at the top and the right, with faint lines behind what is drawn.

    Args:
        axes: The axes.
        grid: Along which axis values are marked by lines.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
    axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=SMALL, length=2.5, width=0.6)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)


def framed_axes(axes: Axes) -> None:
    """Axes with a faint frame on all sides."""
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)
    axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=SMALL, length=2.5, width=0.6)


def save_figure(figure: Figure, path: Path, title: str) -> None:
    """Write a figure whole or not at all, in the form that its suffix names.

    Args:
        figure: The figure.
        path: .png, .pdf or .svg.
        title: What the file says of itself.
    """
    kind = path.suffix[1:].lower()
    # by the forms' own words; SVG has none for a program under this name
    program = {"png": "Software", "pdf": "Creator"}.get(kind)
    metadata = {"Title": title} | ({program: f"cropmap {version('cropmap')}"} if program else {})
    with atomic_path(path) as part:
        figure.savefig(part, format=kind, dpi=DPI, metadata=metadata)
