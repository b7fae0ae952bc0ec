"""Where to gather labels next: pixels in doubt, often where much area is in doubt, each of another kind.

After CLUE (Prabhu et al. 2021, "Active domain adaptation via clustering uncertainty-weighted embeddings"):
what is uncertain is parted into as many kinds as labels are wanted, and of each kind the middle is asked for.
Here pixels are drawn by their doubt first, so that a country takes no more memory than a county, and the
kinds are those of their series.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.errors import InputError
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from inference.models.series import model_input
from training.pseudo_labels.candidates import (
    CANDIDATE,
    Candidates,
    CellWindow,
    Reserve,
    alike_neighbours,
    blocks,
    priorities,
)
from training.pseudo_labels.drawing import Spacing, read_series
from training.pseudo_labels.network_run import NetworkRun, open_network_run, places_of

EACH: Final = 20
"""Pixels in doubt that are looked at for each place that is asked for."""

DIRECTIONS: Final = 20
"""Principal components of the series that the kinds are found in."""

MOST: Final = 1_000
"""Places at most: more are a survey, which 'cropmap assess design' draws at random."""

LEAST_DOUBT: Final = 0.01
"""Of a pixel with a confidence of 100 %, so that it has some chance too."""


@dataclass(frozen=True)
class SuggestOptions:
    """How places are chosen."""

    count: int = 100
    """Places."""
    spacing: float = 250.0
    """Metres between any two at least: one a field, where fields are smaller."""
    neighbours: int = 8
    """Of a pixel's eight neighbours, those that are mapped as the same class: no edges of fields."""
    seed: int = 1
    """Chooses among the doubtful."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST:
            raise InputError(
                f"1 to {MOST:,} places can be asked for, got {self.count:,}. For a large random survey take "
                "'cropmap assess design'."
            )
        if not PIXEL_SIZE <= self.spacing <= 1e6:
            raise InputError(
                f"Places lie {PIXEL_SIZE:g} m apart or more, up to 1,000 km; got {self.spacing:g}. Try "
                "--spacing 250."
            )
        if not 0 <= self.neighbours <= 8:
            raise InputError(f"A pixel has 0 to 8 neighbours, got {self.neighbours}. Try --neighbours 8.")


@dataclass(frozen=True)
class Suggested:
    """Places to visit, the one that stands for most doubt first."""

    run: NetworkRun
    """Whose map was looked at."""
    pixels: Candidates
    """Where they lie, and what the map says of them."""
    doubt: NDArray[np.float64]
    """`(place,)`: share of all doubt that was looked at, of pixels of its kind; sums to 1 at most."""
    lon: NDArray[np.float64]
    """`(place,)`, degrees east."""
    lat: NDArray[np.float64]
    """`(place,)`, degrees north."""

    @property
    def classes(self) -> list[str]:
        """`(place,)`: class on the map."""
        return [self.run.model.classes[code - 1] for code in self.pixels["code"].tolist()]


def suggest(
    folder: Path, options: SuggestOptions, report: Callable[[int, int], None] = lambda done, planned: None
) -> Suggested:
    """Places whose labels would tell the model of a map most.

    Args:
        folder: Folder of a finished run of a network, with composites.
        options: How many, and how they are chosen.
        report: Receives the cells done and planned.

    Raises:
        InputError: The run is of composites only, of a forest or without composites, or no pixel can be asked
            for.
        IncompleteRunError: The run is not finished.
        MismatchError: The composites are not those that the map was made of.
    """
    run = open_network_run(folder, "places to visit are chosen from")
    found = _apart(_in_doubt(run, options, report), options, run.plan.grid.cell_size)
    if not len(found):
        raise InputError(
            f"No pixel of {folder} has a class and {options.neighbours} neighbours of the same. Ask for "
            "fewer with --neighbours."
        )
    series = read_series(folder, run.plan, found)
    kinds = kinds_of(series, doubt_of(found), run.checkpoint.normalisation, run.plan.recipe, options)
    chosen, shares = middles(kinds, doubt_of(found))
    lon, lat = places_of(run.plan, found[chosen])
    return Suggested(run, found[chosen], shares, lon, lat)


def doubt_of(pixels: Candidates) -> NDArray[np.float64]:
    """`(pixel,)`: one less the confidence, 0 to 1."""
    return np.maximum(1 - pixels["confidence"] / 100.0, LEAST_DOUBT)


def _in_doubt(run: NetworkRun, options: SuggestOptions, report: Callable[[int, int], None]) -> Candidates:
    """Pixels drawn without replacement, each with a chance by its doubt, in the order of the draw.

    The pixels with the least exponential numbers divided by their weights are such a sample (Efraimidis and
    Spirakis 2006), whatever the order in which they are looked at.
    """
    classes, done = len(run.model.classes), 0
    # twice as many, since some lie too near to others
    reserve = Reserve(classes, 2 * EACH * options.count)
    for block in blocks(run.folder, run.plan):
        alike = alike_neighbours(block.bands[0])
        for cell in block.cells:
            if cell.name in run.composites:
                reserve.add(_of_cell(block, cell, alike, classes, options))
        done += len(block.cells)
        report(done, len(run.plan.cells))
    joined = np.concatenate([reserve.of(code) for code in range(1, classes + 1)])
    return joined[np.argsort(joined["priority"], kind="stable")]


def _of_cell(
    block: CellWindow, cell: Cell, alike: NDArray[np.uint8], classes: int, options: SuggestOptions
) -> Candidates:
    part = block.part(cell)
    codes, confidence, clear = block.bands[:, 1:-1, 1:-1][(slice(None), *part)]
    y, x = np.nonzero((codes >= 1) & (codes <= classes) & (alike[part] >= options.neighbours))
    out = np.zeros(len(y), CANDIDATE)
    out["row"], out["col"], out["y"], out["x"] = cell.row, cell.col, y, x
    for name, layer in (
        ("code", codes),
        ("confidence", confidence),
        ("clear", clear),
        ("alike", alike[part]),
    ):
        out[name] = layer[y, x]
    out["priority"] = -np.log1p(-priorities(options.seed, cell)[y, x]) / doubt_of(out)
    return out


def _apart(pixels: Candidates, options: SuggestOptions, cell_size: int) -> Candidates:
    """The first of them that lie far enough from all before."""
    spacing, kept = Spacing(options.spacing / PIXEL_SIZE, cell_size), []
    for place, pixel in enumerate(pixels):
        if spacing.is_free(pixel):
            spacing.take(pixel)
            kept.append(place)
        if len(kept) == EACH * options.count:
            break
    return pixels[kept]


def kinds_of(
    series: NDArray[np.int16],
    doubt: NDArray[np.float64],
    normalisation: Normalisation,
    recipe: Recipe,
    options: SuggestOptions,
) -> NDArray[np.float64]:
    """`(pixel, kind)`: distance of each series to the middle of each kind; few are each of their own.

    Args:
        series: `(pixel, band, bin)` of the whole season.
        doubt: `(pixel,)`, how much a pixel counts.
        normalisation: Of the model that is in doubt.
        recipe: How its series are made.
        options: How many kinds, and the seed.
    """
    if len(series) <= options.count:
        return np.where(np.eye(len(series), dtype=bool), 0.0, np.inf)
    window = series[:, :, recipe.window.start : recipe.window.stop]
    inputs = model_input(window, normalisation, recipe).reshape(len(series), -1)
    directions = min(DIRECTIONS, *inputs.shape)
    seen = PCA(directions, random_state=options.seed).fit_transform(inputs)
    means = KMeans(options.count, n_init=1, random_state=options.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fewer distinct series than kinds
        return np.asarray(means.fit(seen, sample_weight=doubt).transform(seen), np.float64)


def middles(
    distances: NDArray[np.float64], doubt: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Of each kind the pixel nearest to its middle, and the kind's share of all doubt, the largest first."""
    kind = distances.argmin(axis=1)
    shares = np.bincount(kind, weights=doubt, minlength=distances.shape[1]) / doubt.sum()
    order = [k for k in np.argsort(-shares, kind="stable").tolist() if (kind == k).any()]
    own = np.where(kind[:, None] == np.arange(distances.shape[1]), distances, np.inf)
    return own.argmin(axis=0)[order], shares[order]
