"""The growth of classes in a place as a picture, beside that of the training samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from inference.advice.growth import Growth
from inference.drawing.style import FIRST, INK, SECOND, SMALL, TEXT, new_figure, plain_axes, save_figure
from inference.models.told.class_curves import ClassCurves

COLUMNS: Final = 3
PANEL: Final = (3.2, 2.0)
"""Inches of a panel."""

HEAD: Final[dict[str, Any]] = {"fontsize": SMALL, "color": INK, "loc": "left", "parse_math": False}
"""What stands above a panel; a dollar sign in a name is not a formula."""


def draw_growth(path: Path, growth: Sequence[Growth], names: Sequence[str], curves: ClassCurves) -> None:
    """A PNG with a panel for each class: middle half and median here and of the training samples.

    Args:
        path: Where to write it.
        growth: At least one class.
        names: Of the model's classes.
        curves: Of the training samples.
    """
    rows = math.ceil(len(growth) / COLUMNS)
    figure = new_figure(COLUMNS * PANEL[0], rows * PANEL[1] + 0.7, layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, one in zip(panels, growth, strict=False):
        known = curves.quartiles[names.index(one.name)]
        for (low, median, high), color, dashes in ((known, FIRST, "-"), (one.quartiles, SECOND, "--")):
            bins = np.arange(1, len(median) + 1)
            panel.fill_between(bins, low, high, color=color, alpha=0.2, linewidth=0)
            panel.plot(bins, median, dashes, color=color, linewidth=1.5)
        panel.set_title(
            f"{one.name}, {one.pixels:,} pixels: {one.difference:.2f} apart",
            fontsize=SMALL,
            color=INK,
            loc="left",
            parse_math=False,
        )
        plain_axes(panel, grid="both")
    for panel in panels[len(growth) :]:
        panel.set_axis_off()
    title = (
        "NDVI of each class, median and middle half: training samples (blue), pixels called so here (orange)"
    )
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=TEXT)
    figure.supxlabel("Bin of the model's window", color=INK, fontsize=SMALL)
    figure.supylabel("NDVI", color=INK, fontsize=SMALL)
    save_figure(figure, path, title)
