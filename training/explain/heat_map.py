"""Activations and attributions as heat maps of bands and days, one panel per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from inference.drawing.style import FAINT, INK
from training.explain.activation import ClassMap
from training.explain.page import MARGIN, Page, foot_text, mark_months, season_note
from training.explain.report import Explanation
from training.explain.subjects import Region

BAND_NAMES: Final = {
    "B2": "blue", "B3": "green", "B4": "red", "B8": "near infrared", "B5": "red edge 1", "B6": "red edge 2",
    "B7": "red edge 3", "B8A": "narrow NIR", "B11": "SWIR 1", "B12": "SWIR 2",
}  # fmt: skip
"""As the paper calls them (Tong et al. 2025, section 4.2)."""

PANEL_WIDTH, PANEL_HEIGHT = 4.2, 1.75
"""Inches."""

GAP_X, GAP_Y = 0.3, 0.62
"""Inches between panels."""

LABELS: Final = 1.25
"""Inches of the names of the bands."""


@dataclass(frozen=True)
class Look:
    """What a heat map shows, and how."""

    title: str
    """Head of the page."""
    lines: str
    """What is shown, in sentences."""
    scale: str
    """What the colours mean."""
    values: Callable[[ClassMap], NDArray[np.float32] | None]
    """The map of a class, `(band, bin)`."""
    note: Callable[[ClassMap], str]
    """What stands at the right above a panel."""
    signed: bool
    """Whether values on both sides of 0 are shown."""
    colormap: str
    """matplotlib's name; also distinct in grey, and for the colour-blind."""


def right_of(one: ClassMap) -> str:
    """How many are shown of those that were looked at."""
    silent = f", {one.right - one.shown} of them without activation" if one.shown < one.right else ""
    return f"{one.right:,} of {one.samples:,} predicted right{silent}"


ACTIVATION: Final = Look(
    "Where the network finds each class",
    "Class activation maps (Grad-CAM of the last block), mean over the samples that are predicted right. "
    "They are coarse: each place of the last block has seen many bands. Attributions distinguish them.",
    "activation, times its mean over the map: 1 is evenly spread",
    lambda one: one.activation,
    right_of,
    signed=False,
    colormap="magma_r",
)

ATTRIBUTION: Final = Look(
    "What speaks for each class, band by band",
    "Integrated gradients: what each band and bin adds to the score of the class (its logit), compared with "
    "the mean series of these classes in the source; mean over samples that are predicted right.",
    "contribution to the logit: red for the class, blue against it; the strongest 0.5 % are cut",
    lambda one: one.attribution,
    lambda one: f"mean of {one.attributed:,}",
    signed=True,
    colormap="RdBu_r",
)


def compose_heat_maps(explanation: Explanation, look: Look) -> Page:
    """The page: with a target one row per class and one column per region, else classes in two columns."""
    places = _places(explanation)
    rows = 1 + max(row for row, _, _, _ in places)
    width = MARGIN * 2 + LABELS + 2 * PANEL_WIDTH + GAP_X  # also of one column: the texts need it
    height = 2.3 + rows * (PANEL_HEIGHT + GAP_Y)
    page = Page.of(width, height)
    lines = look.lines + " " + season_note(explanation.regions[0].season_start)
    top = page.head(look.title, lines) + 0.42
    limits = color_limits([look.values(one) for one in explanation.maps], signed=look.signed)
    for row, column, region, label in places:
        left = MARGIN + LABELS + column * (PANEL_WIDTH + GAP_X)
        box = (left, top + row * (PANEL_HEIGHT + GAP_Y), PANEL_WIDTH, PANEL_HEIGHT)
        axes = page.panel(f"{region.domain} {label}", *box)
        _draw_panel(axes, explanation, region, label, look, limits, named=column == 0)
    _draw_scale(page, look, limits, top + rows * (PANEL_HEIGHT + GAP_Y) - 0.05)
    page.foot(foot_text(explanation))
    return page


def color_limits(maps: Sequence[NDArray[np.float32] | None], *, signed: bool) -> tuple[float, float]:
    """The ends of the colours that all panels share.

    Attributions, whose peaks are sharp, are cut at their 99.5th percentile, so that no single cell rules.
    """
    known = np.concatenate(
        [values.ravel() for values in maps if values is not None] or [np.ones(1, np.float32)]
    )
    most = float(np.quantile(np.abs(known), 0.995 if signed else 1)) or 1.0
    return (-most, most) if signed else (0.0, most)


def _places(explanation: Explanation) -> list[tuple[int, int, Region, int]]:
    """Row, column, region and class of each panel."""
    if len(explanation.regions) == 1:
        region = explanation.regions[0]
        return [(i // 2, i % 2, region, label) for i, label in enumerate(explanation.classes)]
    return [
        (row, column, region, label)
        for row, label in enumerate(explanation.classes)
        for column, region in enumerate(explanation.regions)
    ]


def _draw_panel(
    axes: Axes,
    explanation: Explanation,
    region: Region,
    label: int,
    look: Look,
    limits: tuple[float, float],
    *,
    named: bool,
) -> None:
    recipe = explanation.checkpoint.recipe
    one = explanation.map_of(region.domain, label)
    values = look.values(one) if one else None
    edges = np.arange(recipe.window.start, recipe.window.stop + 1) * recipe.mean_bin_days
    bands = len(recipe.bands)
    if values is None:
        why = "no samples" if one is None else "none predicted right" if not one.right else "no activation"
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=9)
    else:
        axes.pcolormesh(
            edges,
            np.arange(bands + 1),
            values,
            cmap=look.colormap,
            vmin=limits[0],
            vmax=limits[1],
            rasterized=True,
        )
    axes.set_ylim(bands, 0)
    texts = (
        [f"{band}  {BAND_NAMES.get(band, '')}".strip() for band in recipe.bands] if named else [""] * bands
    )
    axes.set_yticks(np.arange(bands) + 0.5, texts, fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    mark_months(axes, region.season_start, float(edges[0]), float(edges[-1]))
    _head(axes, explanation, region, label, look.note(one) if one else "")


def _head(axes: Axes, explanation: Explanation, region: Region, label: int, note: str) -> None:
    """Colour and name of the class at the left, how many samples at the right."""
    crop = explanation.checkpoint.classes[label]
    both = len(explanation.regions) > 1
    name = f"{crop.name}, {region.domain}" if both else crop.name
    mark: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
    axes.add_patch(
        Rectangle((0, 1.045), 0.028, 0.075, facecolor=crop.color, edgecolor=FAINT, linewidth=0.5, **mark)
    )
    axes.text(
        0.042, 1.08, name, parse_math=False, va="center", fontsize=9.5, fontweight="bold", color=INK, **mark
    )
    axes.text(1, 1.08, note, va="center", ha="right", fontsize=8, color=FAINT, **mark)


def _draw_scale(page: Page, look: Look, limits: tuple[float, float], top: float) -> None:
    axes = page.panel("scale", MARGIN + LABELS, top, 2.6, 0.12)
    ramp = np.linspace(*limits, 256)[None]
    axes.imshow(ramp, aspect="auto", cmap=look.colormap, extent=(*limits, 0, 1))
    axes.set_yticks([])
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    page.text(MARGIN + LABELS + 2.8, top + 0.06, look.scale, fontsize=8.5)
