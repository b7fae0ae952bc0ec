"""t-SNE as a picture: one panel per group, the others behind it in grey."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from inference.drawing.style import EDGE, FAINT, INK
from training.explain.embedding import AUGMENTED, Plane
from training.explain.page import MARGIN, Page, foot_text
from training.explain.report import Explanation

SIDES: Final = {1: 5.6, 2: 4.6, 3: 3.9}
"""Inches of the side of a panel, by the number of panels."""

GAP: Final = 0.25
"""Inches between panels."""

MARKERS: Final = {"source": "o", AUGMENTED: "^", "target": "s"}

BEHIND: Final = "#e4e7eb"
"""Of the other groups."""


def compose_planes(explanation: Explanation) -> Page:
    """The page: one panel per group, all in the same plane and at the same scale."""
    planes = explanation.planes
    side = SIDES[len(planes)]
    page = Page.of(2 * MARGIN + len(planes) * side + (len(planes) - 1) * GAP, side + 2.95)
    top = page.head("How alike the series are, before any network", _lines(explanation)) + 0.45
    limits = _limits(np.concatenate([plane.points for plane in planes]))
    for index, plane in enumerate(planes):
        left = MARGIN + index * (side + GAP)
        axes = page.panel(plane.name, left, top, side, side)
        _draw_panel(axes, explanation, plane, limits)
        page.text(left, top + side + 0.17, _note(plane), fontsize=8, color=FAINT)
    _draw_legend(page, explanation, top + side + 0.4)
    page.foot(foot_text(explanation))
    return page


def _lines(explanation: Explanation) -> str:
    options = explanation.options
    several = len(explanation.planes) > 1
    lines = [
        "t-SNE of the series that the model takes (gaps filled, normalised)"
        + (", all groups in one plane; grey are the other groups." if several else "."),
        "What lies near is alike; distances between far clusters, and axes, mean nothing.",
        f"Perplexity {options.perplexity:g}, seed {options.seed}.",
    ]
    if options.augmentation != "none":
        lines.append(f"Augmented with the preset {options.augmentation}.")
    return " ".join(lines)


def _limits(points: NDArray[np.float32]) -> tuple[tuple[float, float], tuple[float, float]]:
    """A square around all points."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, 0.53 * float((high - low).max())
    (left, bottom), (right, top) = (middle - half).tolist(), (middle + half).tolist()
    return (left, right), (bottom, top)


def _draw_panel(
    axes: Axes,
    explanation: Explanation,
    plane: Plane,
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    size = float(np.clip(9_000 / len(plane.points), 3, 22))
    others = [other.points for other in explanation.planes if other is not plane]
    if others:
        x, y = np.concatenate(others).T
        axes.scatter(x, y, s=size * 0.7, c=BEHIND, linewidths=0, rasterized=True)
    colors = np.array([crop.color for crop in explanation.checkpoint.classes])[plane.labels]
    order = np.random.default_rng(0).permutation(len(plane.points))  # no class covers another by its code
    x, y = plane.points[order].T
    axes.scatter(
        x, y, s=size, c=colors[order], marker=MARKERS[plane.name], linewidths=0.25, edgecolors=EDGE,
        rasterized=True,
    )  # fmt: skip
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    axes.set_xticks([])
    axes.set_yticks([])
    name = plane.name[0].upper() + plane.name[1:]
    axes.set_title(name, fontsize=10.5, fontweight="bold", color=INK, loc="left", pad=6)
    axes.set_title(f"{len(plane.points):,} series", fontsize=8, color=FAINT, loc="right", pad=6)


def _note(plane: Plane) -> str:
    """How compact and how separate the classes are, measured before t-SNE."""
    silhouette = "" if plane.silhouette is None else f"silhouette of the classes {plane.silhouette:.2f}, "
    return f"In the input: {silhouette}spread within a class {plane.spread:.2f}"


def _draw_legend(page: Page, explanation: Explanation, top: float) -> None:
    classes = explanation.checkpoint.classes
    style: dict[str, Any] = {"linestyle": "", "markeredgecolor": EDGE, "markeredgewidth": 0.4}
    handles = [
        Line2D(
            [], [], marker="o", color=classes[label].color, label=classes[label].name, markersize=7, **style
        )
        for label in explanation.classes
    ]
    handles += [
        Line2D([], [], marker=MARKERS[plane.name], color="white", label=plane.name, markersize=6, **style)
        for plane in explanation.planes
    ]
    legend = page.figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((MARGIN - 0.1) / page.width, 1 - top / page.height),
        ncols=min(len(handles), int(page.width / 1.35)),
        frameon=False,
        fontsize=9,
        handletextpad=0.2,
        columnspacing=1.4,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar sign in a name is not a formula
