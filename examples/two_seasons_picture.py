"""The maps of two seasons beside the fields, above the curves that they see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, MonthLocator
from matplotlib.patches import Patch
from numpy.typing import NDArray
from rasterio.vrt import WarpedVRT

from examples.phenology import load_phenology
from examples.scoring import Score
from examples.winter import CROPS, canopy_of
from gee_pipeline.bands import BANDS
from gee_pipeline.files import read_json
from gee_pipeline.season import SUMMER, WINTER
from inference.drawing.style import (
    FAINT,
    FIRST,
    NOTE,
    SECOND,
    SMALL,
    TEXT,
    TITLE,
    new_figure,
    plain_axes,
    save_figure,
)

NOTHING: Final = "#ffffff"
"""Colour of what is no field, or outside the area."""

YEAR: Final = 2021

_LINES: Final = {
    "winter wheat": ("#b77c00", "-"),
    "rapeseed": ("#963fc0", "--"),
    "corn": ("#e69f00", "-."),
    "soybeans": ("#186800", (0, (5, 1))),
    "rice": ("#48b4e7", ":"),
}
"""Colour and dashes of each curve."""


def draw_two_seasons(path: Path, folder: Path, scores: Mapping[str, Score]) -> Path:
    """Draw fields and map of both seasons, and the NDVI of some crops; returns the path.

    Args:
        path: The PNG to write.
        folder: Of the example, with both runs.
        scores: How right the map of each season is.
    """
    figure = new_figure(10, 6.8, layout="constrained")
    panels = figure.subplot_mosaic(
        [["winter fields", "winter map", "summer fields", "summer map"], ["curves"] * 4],
        height_ratios=[1.25, 1],
    )
    for season, result in scores.items():
        _draw_season(panels[f"{season} fields"], panels[f"{season} map"], folder, season, result)
    _draw_curves(panels["curves"])
    figure.suptitle(
        "SIMULATED: two seasons of one place, each mapped by its own model", fontsize=TITLE, fontweight="bold"
    )
    figure.supxlabel(
        "Source: scenes and curves simulated from statistics of Sentinel-2 pixels in eastern Arkansas and "
        "from published phenology; no real crops.", x=0.01, ha="left", color=FAINT, fontsize=NOTE,
    )  # fmt: skip
    save_figure(figure, path, "Two seasons of one place, simulated")
    return path


def _draw_season(fields: Axes, mapped: Axes, folder: Path, season: str, result: Score) -> None:
    crop_map = folder / f"{season}_run" / "map" / "crop_map.tif"
    classes = read_json(crop_map.with_name("legend.json"))["classes"]
    colors = {entry["code"]: entry["color"] for entry in classes if 1 <= entry["code"] <= len(result.names)}
    truth, found = _on_one_grid(folder / "map" / f"fields_{season}.tif", crop_map)
    _paint(fields, np.where(found == 0, 0, truth), colors, f"{season}: fields")
    _paint(mapped, found, colors, f"{season}: map, {result.overall_accuracy:.0%} right")
    named = [Patch(facecolor=color, label=result.names[code - 1]) for code, color in colors.items()]
    fields.legend(
        handles=named, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2, fontsize=NOTE, frameon=False
    )


def _on_one_grid(truth: Path, crop_map: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Codes of the fields and of the map, on the grid of the fields."""
    with rasterio.open(truth) as fields, rasterio.open(crop_map) as found:
        grid: dict[str, Any] = {
            "crs": fields.crs,
            "transform": fields.transform,
            "height": fields.height,
            "width": fields.width,
        }
        with WarpedVRT(found, **grid) as moved:
            return fields.read(1), moved.read(1)


def _paint(axes: Axes, codes: NDArray[Any], colors: Mapping[int, str], title: str) -> None:
    palette = np.full((256, 3), 0.93)
    palette[0] = [int(NOTHING[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    for code, color in colors.items():
        palette[code] = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    axes.imshow(palette[codes], interpolation="nearest")
    axes.set_title(title, fontsize=TEXT)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_curves(axes: Axes) -> None:
    start = WINTER.season(YEAR, "north").start
    days = [start + timedelta(days=day) for day in range(0, 425, 5)]
    for name, (color, dashes) in _LINES.items():
        values = [_ndvi(name, day) for day in days]
        axes.plot(days, values, color=color, linestyle=dashes, label=name, linewidth=1.8)
    for rule, height, color in ((WINTER, 0.97, FIRST), (SUMMER, 1.03, SECOND)):
        first = rule.season(YEAR, "north").start
        ends = [first + timedelta(days=day) for day in (rule.first_day - 1, rule.last_day)]
        axes.plot(ends, [height, height], color=color, linewidth=5, solid_capstyle="butt")
        axes.text(ends[0], height + 0.02, f"--season {rule.name}", color=color, fontsize=SMALL, va="bottom")
    axes.set_ylim(0, 1.13)
    axes.set_ylabel("NDVI of the mean curve")
    axes.xaxis.set_major_locator(MonthLocator())
    axes.xaxis.set_major_formatter(DateFormatter("%b"))
    plain_axes(axes)
    axes.legend(ncols=5, fontsize=SMALL, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    axes.set_title(f"What the models see, October {YEAR - 1} to November {YEAR}", fontsize=TEXT)


def _ndvi(name: str, day: date) -> float:
    """NDVI of a crop's mean curve; a winter crop stands on land of the kind soybeans."""
    phenology = load_phenology()
    since = (day - date(YEAR, 1, 1)).days
    mean, _ = phenology.at(since % 365)
    spectrum = mean[phenology.kinds.index("soybeans" if name in CROPS else name)]
    if name in CROPS:
        on_time = np.zeros(1, np.float32)
        green = CROPS[name].greenness(since, on_time)
        spectrum = spectrum + green * (canopy_of(name, since, on_time, phenology)[:, 0] - spectrum)
    near, red = spectrum[BANDS.index("B8")], spectrum[BANDS.index("B4")]
    return float((near - red) / (near + red))
