"""What classes look like in a place, beside what they looked like in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gee_pipeline.files import atomic_path
from gee_pipeline.recipe import Recipe
from inference.models.series import greenness
from inference.models.told.class_curves import ClassCurves, quartiles

FEWEST: Final = 30
"""Pixels of a class whose curve is drawn and compared."""

COLUMNS: Final = 3
PANEL: Final = (3.2, 2.0)
"""Inches of a panel."""

KNOWN: Final = "#1d4ed8"
HERE: Final = "#b45309"


@dataclass(frozen=True)
class Growth:
    """NDVI of the pixels that a model calls a class, beside that of its training samples."""

    name: str
    """The class."""
    pixels: int
    """Pixels looked at."""
    difference: float
    """Mean distance of the two medians over the bins of the window, in NDVI."""
    inside: float
    """Share of the bins in which the median lies between the quartiles of the training samples."""
    quartiles: tuple[tuple[float, ...], ...]
    """`(3, bin)`: first quartile, median and third quartile of the pixels."""


def growth_of(
    series: NDArray[np.int16],
    said: NDArray[np.intp],
    names: Sequence[str],
    curves: ClassCurves,
    recipe: Recipe,
) -> tuple[Growth, ...]:
    """The classes with enough pixels, in order of their codes.

    Args:
        series: `(pixel, band, bin)` of the model's window, gaps nodata.
        said: `(pixel,)`: index of the class that the model gives.
        names: Of the classes.
        curves: Of the training samples.
        recipe: Of the series.
    """
    values, out = greenness(series, recipe), []
    for k, name in enumerate(names):
        if (count := int((said == k).sum())) < FEWEST:
            continue
        found, (low, median, high) = quartiles(values[said == k]), np.array(curves.quartiles[k])
        here = found[1]
        out.append(
            Growth(
                name,
                count,
                float(np.abs(here - median).mean()),
                float(((low <= here) & (here <= high)).mean()),
                tuple(map(tuple, found.round(3).tolist())),
            )
        )
    return tuple(out)


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
