"""The growth of classes in a place as a picture, beside that of the training samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gee_pipeline.files import atomic_path
from inference.advice.growth import Growth
from inference.models.told.class_curves import ClassCurves

COLUMNS: Final = 3
PANEL: Final = (3.2, 2.0)
"""Inches of a panel."""

KNOWN: Final = "#1d4ed8"
HERE: Final = "#b45309"


def draw_growth(path: Path, growth: Sequence[Growth], names: Sequence[str], curves: ClassCurves) -> None:
    """A PNG with a panel for each class: middle half and median here and of the training samples.

    Args:
        path: Where to write it.
        growth: At least one class.
        names: Of the model's classes.
        curves: Of the training samples.
    """
    rows = math.ceil(len(growth) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL[0], rows * PANEL[1] + 0.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, one in zip(panels, growth, strict=False):
        known = curves.quartiles[names.index(one.name)]
        for (low, median, high), color, dashes in ((known, KNOWN, "-"), (one.quartiles, HERE, "--")):
            bins = np.arange(1, len(median) + 1)
            panel.fill_between(bins, low, high, color=color, alpha=0.2, linewidth=0)
            panel.plot(bins, median, dashes, color=color, linewidth=1.5)
        panel.set_title(f"{one.name}, {one.pixels:,} pixels: {one.difference:.2f} apart", fontsize=9)
        panel.grid(color="#e5e7eb", linewidth=0.6)
    for panel in panels[len(growth) :]:
        panel.set_axis_off()
    figure.suptitle(
        "NDVI by bin of the window: training samples (blue), pixels called so here (brown, dashed)",
        fontsize=9,
    )
    with atomic_path(path) as part:
        figure.savefig(part, format="png", metadata={"Software": "cropmap"})
