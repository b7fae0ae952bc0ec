"""What Earth Engine is asked for: bytes of a request, and calls that the servers make for it.

Composites and forest maps are written from the ids of made scenes, an overpass each other or third day, and
evaluated by the emulator: nothing is computed of pixels, and nothing is sent. These are counts, the same on
every machine; an answer holds 1.3 MB a bin of a cell of 256 x 256 pixels, and 192 KiB of a forest's map.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final

import ee
import numpy as np
from affine import Affine

from gee_pipeline.bands import BANDS
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.forest.forest_graph import ForestGraph, Voters
from gee_pipeline.earthengine.prediction.map_image import prediction
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from tests.support.ee_asking import offline_client
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.made_scene_list import evaluated, made_scenes, on_collections, sent_bytes

SEASON: Final = SUMMER.season(2021, "north")
RECIPE: Final = Recipe()

MOST_BYTES: Final = {"12 bins": 30_000, "22 bins": 50_000, "43 bins": 90_000, "forest map": 196_608}
"""Limits of the requests; a forest's map of 256 x 256 pixels answers 3 bands of bytes."""

MOST_CALLS_A_SCENE: Final = 16
"""Calls of a composite for each of its scenes, bins and bands included."""


@dataclass(frozen=True)
class Measured:
    """One request."""

    name: str
    """What is asked for."""
    scenes: int
    """Scenes that it is made of."""
    size: int
    """Bytes as it is sent."""
    calls: int
    """Functions that the servers call."""
    searching: int
    """Calls of these on collections of scenes, joins and filters."""

    @property
    def passed(self) -> bool:
        """Whether it keeps to the limits."""
        few = self.calls <= MOST_CALLS_A_SCENE * self.scenes or self.name == "forest map"
        return self.size <= MOST_BYTES[self.name] and few and not self.searching


def measure() -> list[Measured]:
    """Composites of some bins, and the map of a forest of medians whose trees are an asset."""
    scenes, archive = made_scenes(SEASON), _archive()
    found = []
    for count in (12, 22, 43):
        bins = range(24, 24 + count)
        image = graph.composite(scenes, SEASON, bins, RECIPE)
        found.append(_measured(f"{count} bins", bins, image, archive))
    trees = ee.Classifier.decisionTreeEnsemble(
        ["1) root 9 9 9 (0)\n2) B2_24 <= 1 9 9 1 *\n3) B2_24 > 1 9 9 2 *\n"]
    )
    voters = Voters("votes", (trees.setOutputMode("RAW"),), 5)
    image = prediction(scenes, SEASON, RECIPE, ForestGraph("median", voters), cropland=None)
    return [*found, _measured("forest map", RECIPE.window, image, archive)]


def report(measured: list[Measured]) -> str:
    """A table, one line a request."""
    lines = [f"{'request':<12}{'scenes':>8}{'bytes':>10}{'calls':>8}{'of these searching':>20}"]
    lines += [f"{m.name:<12}{m.scenes:>8}{m.size:>10,}{m.calls:>8,}{m.searching:>20}" for m in measured]
    return "\n".join(lines)


def main() -> None:
    """Print the table; exit with 1 where a limit is missed."""
    with offline_client():
        measured = measure()
    print(report(measured))
    if missed := [m.name for m in measured if not m.passed]:
        print(f"larger than the limits: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


def _measured(name: str, bins: range, image: Any, archive: Archive) -> Measured:
    calls = evaluated(image, archive)
    days = SEASON.span(bins)
    own = [s for s in made_scenes(SEASON)["sentinel-2"] if days.start <= s.when.date() < days.end]
    return Measured(name, len(own), sent_bytes(image), sum(calls.values()), on_collections(calls))


def _archive() -> Archive:
    """An image of one pixel for each scene and score: no pixel is read."""
    raster, archive = Raster(np.zeros((1, 1)), Affine.identity(), "EPSG:32615"), Archive()
    for scene in made_scenes(SEASON)["sentinel-2"]:
        bands = dict.fromkeys((*BANDS, "SCL"), raster)
        when = scene.when
        archive.add(ImageAsset(f"COPERNICUS/S2_SR_HARMONIZED/{scene.index}", when, bands))
        score = f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{scene.index}"
        archive.add(ImageAsset(score, when, {"cs": raster}))
    return archive


if __name__ == "__main__":
    main()
