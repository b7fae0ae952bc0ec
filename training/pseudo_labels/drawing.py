"""From candidates to samples: series of the chosen only, their stability, spacing and balance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA, PIXEL_SIZE
from gee_pipeline.errors import MismatchError
from gee_pipeline.observations import least_observed
from gee_pipeline.store import composite_path, read_composite
from inference.run.plan import RunPlan
from inference.run.prediction import bounded_gdal
from training.pseudo_labels.candidates import CANDIDATE, READERS, Candidates, Reserve
from training.pseudo_labels.rules import PseudoRules
from training.pseudo_labels.stability import Verdicts
from training.pseudo_labels.statistics import Stage, StageCounts

SURPLUS: Final = 1.25
"""Candidates looked at in one round for each sample that a class lacks; one too many costs one series."""

LEAST_SHARE: Final = 0.1
"""Share of a class's candidates that is expected to become samples at least: no round is too large."""

FEWEST: Final = 8
"""Candidates of a class in one round at least."""

TOLERANCE: Final = 0.01
"""Share of pixels to which the network may give another class than the map: kinds of device round
differently."""


class StabilityCheck(Protocol):
    """What is asked about series and classes."""

    def check(self, series: NDArray[np.int16], codes: NDArray[np.uint8]) -> Verdicts:
        """What the networks say about pixels, by series `(pixel, band, bin)` of the window."""


@dataclass(frozen=True)
class Drawn:
    """The samples."""

    candidates: Candidates
    """Where each lies and what the map says of it; in the order of rows, columns and pixels."""
    series: NDArray[np.int16]
    """`(sample, band, bin)`, whole season, gaps nodata."""
    agreeing: NDArray[np.uint8]
    """`(sample,)`: dropout passes that gave the class."""


def draw(
    folder: Path,
    plan: RunPlan,
    rules: PseudoRules,
    reserve: Reserve,
    stability: StabilityCheck,
    stage_counts: StageCounts,
    report: Callable[[int, int], None] = lambda samples, wanted: None,
) -> Drawn:
    """Take candidates in rounds until each class has its samples or no candidate is left.

    Args:
        folder: Folder of the run.
        plan: Its plan.
        rules: Stability, spacing, number and balance are used here.
        reserve: Candidates by class.
        stability: The networks.
        stage_counts: Counts the stages from `Stage.DRAWN`.
        report: Receives the samples so far and those wanted.

    Raises:
        CorruptFileError: A composite is damaged.
        MismatchError: The composites or the model are not those that the map was made with.
    """
    drawing = _Drawing(folder, plan, rules, reserve, stability, stage_counts)
    while len(batch := drawing.next_batch()):
        drawing.work_on(batch)
        report(drawing.count, drawing.wanted)
    drawn = drawing.balanced()
    stage_counts.count(Stage.SAMPLES, drawn.candidates["code"], drawn.candidates["truth"])
    return drawn


class _Drawing:
    """The classes that are not full yet, and what was taken of their candidates."""

    def __init__(
        self,
        folder: Path,
        plan: RunPlan,
        rules: PseudoRules,
        reserve: Reserve,
        stability: StabilityCheck,
        stage_counts: StageCounts,
    ) -> None:
        self._folder, self._plan, self._rules, self._stability, self._stage_counts = (
            folder,
            plan,
            rules,
            stability,
            stage_counts,
        )
        assert plan.model is not None
        codes = range(1, len(plan.model.classes) + 1)
        self._reserves = {code: reserve.of(code) for code in codes}
        # The rarest class chooses its places first.
        self._codes = sorted(codes, key=lambda code: len(self._reserves[code]))
        self._used = dict.fromkeys(codes, 0)
        self._taken = dict.fromkeys(codes, 0)
        self._spacing = Spacing(rules.spacing / PIXEL_SIZE, plan.grid.cell_size)
        self._parts: list[Drawn] = []

    @property
    def wanted(self) -> int:
        """Samples of all classes that the candidates may give at most."""
        return sum(min(self._rules.per_class, len(kept)) for kept in self._reserves.values())

    @property
    def count(self) -> int:
        """Samples so far."""
        return sum(self._taken.values())

    def next_batch(self) -> Candidates:
        """The next candidates of all classes that lack samples, by class and priority."""
        parts = [np.empty(0, CANDIDATE)]
        for code in self._codes:
            if (lacking := self._rules.per_class - self._taken[code]) > 0:
                first, count = self._used[code], self._expected(code, lacking)
                parts.append(self._reserves[code][first : first + count])
                self._used[code] += len(parts[-1])
        return np.concatenate(parts)

    def _expected(self, code: int, lacking: int) -> int:
        """Candidates that should suffice for the samples which a class lacks, by those it gave so far."""
        used = self._used[code]
        share = max(self._taken[code] / used, LEAST_SHARE) if used else 1.0
        return max(math.ceil(SURPLUS * lacking / share), FEWEST)

    def work_on(self, batch: Candidates) -> None:
        """Take the stable ones of a batch that stand far enough from all samples."""
        self._count(Stage.DRAWN, batch)
        series = read_series(self._folder, self._plan, batch)
        window = self._plan.recipe.window
        verdicts = self._stability.check(series[:, :, window.start : window.stop], batch["code"])
        _require_same_model(self._folder, verdicts.again)
        left = verdicts.again
        self._count(Stage.MODEL, batch[left])
        if self._rules.passes:
            left = left & (verdicts.agreeing >= self._rules.agree)
        self._count(Stage.PASSES, batch[left])
        left = left & verdicts.also
        self._count(Stage.ALSO, batch[left])
        chosen = self._apart(batch, np.flatnonzero(left))
        self._parts.append(Drawn(batch[chosen], series[chosen], verdicts.agreeing[chosen]))

    def balanced(self) -> Drawn:
        """All samples in the order of the map, the larger classes cut to the ratio that is allowed."""
        drawn = _joined(self._parts, self._plan)
        keep = np.ones(len(drawn.candidates), bool)
        if self._rules.largest_ratio is not None and len(keep):
            smallest = min(count for count in self._taken.values() if count)
            most = math.floor(self._rules.largest_ratio * smallest)
            for code in self._codes:
                keep[np.flatnonzero(drawn.candidates["code"] == code)[most:]] = False
        candidates = drawn.candidates[keep]
        order = np.lexsort([candidates[key] for key in ("x", "y", "col", "row")])
        return Drawn(candidates[order], drawn.series[keep][order], drawn.agreeing[keep][order])

    def _apart(self, batch: Candidates, stable: NDArray[np.intp]) -> list[int]:
        """Places in the batch of what becomes a sample."""
        chosen, apart = [], []
        for place in stable.tolist():
            code = int(batch["code"][place])
            if self._spacing.is_free(batch[place]):
                apart.append(place)
                if self._taken[code] < self._rules.per_class:
                    self._spacing.take(batch[place])
                    self._taken[code] += 1
                    chosen.append(place)
        self._count(Stage.SPACING, batch[apart])
        return chosen

    def _count(self, stage: Stage, candidates: Candidates) -> None:
        self._stage_counts.count(stage, candidates["code"], candidates["truth"])


class Spacing:
    """Places on the grid that are taken, and whether another is far enough from all of them."""

    def __init__(self, least: float, cell_size: int) -> None:
        """No place taken yet.

        Args:
            least: Pixels between any two places at least.
            cell_size: Pixels along a side of a cell.
        """
        self._least, self._cell_size = least, cell_size
        self._taken: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def is_free(self, candidate: np.void) -> bool:
        """Whether no place that is taken lies nearer than the spacing."""
        y, x = self._place(candidate)
        row, col = self._square(y, x)
        near = ((row + i, col + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        return all(
            math.hypot(y - other_y, x - other_x) >= self._least
            for square in near
            for other_y, other_x in self._taken.get(square, ())
        )

    def take(self, candidate: np.void) -> None:
        """Take the place of a candidate."""
        y, x = self._place(candidate)
        self._taken.setdefault(self._square(y, x), []).append((y, x))

    def _place(self, candidate: np.void) -> tuple[int, int]:
        row, col, y, x = (int(candidate[key]) for key in ("row", "col", "y", "x"))
        return row * self._cell_size + y, col * self._cell_size + x

    def _square(self, y: int, x: int) -> tuple[int, int]:
        return int(y // self._least), int(x // self._least)


def read_series(folder: Path, plan: RunPlan, candidates: Candidates) -> NDArray[np.int16]:
    """`(candidate, band, bin)`: their series of the whole season, as of `stored_series`.

    Args:
        folder: Folder of the run.
        plan: Its plan.
        candidates: In any order.

    Raises:
        CorruptFileError: A composite is damaged.
        MismatchError: A composite is not the one that the map was made of.
    """
    series = stored_series(folder, plan, candidates)
    _require_same_observations(folder, plan, candidates, series)
    return series


def stored_series(folder: Path, plan: RunPlan, pixels: NDArray[Any]) -> NDArray[np.int16]:
    """`(pixel, band, bin)`: series of the whole season, gaps nodata; a composite is read once.

    Args:
        folder: Folder of the run.
        plan: Its plan; bins that the composites have not are gaps.
        pixels: `(pixel,)` with the fields `row`, `col`, `y` and `x` of `CANDIDATE`, in any order; the
            composites of their cells are there.

    Raises:
        CorruptFileError: A composite is damaged.
    """
    recipe = plan.recipe
    series = np.full((len(pixels), len(recipe.bands), recipe.bins_in_season), NODATA, np.int16)

    def read(places: NDArray[np.intp]) -> NDArray[np.int16]:
        of_cell = pixels[places]
        cell = plan.grid.cell(int(of_cell["row"][0]), int(of_cell["col"][0]))
        composite = read_composite(composite_path(folder, cell), cell, recipe, plan.season, plan.bins)
        return composite.values[:, :, of_cell["y"], of_cell["x"]].transpose(2, 1, 0)

    with bounded_gdal(), ThreadPoolExecutor(READERS) as pool:
        for some in _by_cell(pixels):
            for places, values in zip(some, pool.map(read, some), strict=True):
                series[places, :, plan.bins.start : plan.bins.stop] = values
    return series


def _by_cell(pixels: NDArray[Any]) -> Iterator[list[NDArray[np.intp]]]:
    """Places of the pixels of each cell, a few cells at a time."""
    order = np.lexsort((pixels["col"], pixels["row"]))
    cells = pixels[["row", "col"]][order]
    edges = np.flatnonzero(cells[1:] != cells[:-1]) + 1
    groups = iter(np.split(order, edges) if len(order) else [])
    while some := list(islice(groups, 2 * READERS)):  # an executor would hold the results of all
        yield some


def _require_same_observations(
    folder: Path, plan: RunPlan, candidates: Candidates, series: NDArray[np.int16]
) -> None:
    window = plan.recipe.window
    observed = least_observed(series[:, :, window.start : window.stop], plan.recipe.group_sizes)
    other = np.flatnonzero(observed != candidates["clear"])
    if len(other):
        one = candidates[other[0]]
        name = plan.grid.cell(int(one["row"]), int(one["col"])).name
        raise MismatchError(
            f"The composite of cell {name} in {folder} is not the one that its prediction was made of: a "
            f"pixel has {observed[other[0]]} observed bins, the map counted {one['clear']}. Delete "
            f"predictions/{name}.tif and continue the run, which predicts the cell again."
        )


def _require_same_model(folder: Path, again: NDArray[np.bool_]) -> None:
    differing = int((~again).sum())
    if differing > TOLERANCE * len(again) + 2:
        raise MismatchError(
            f"The model in {folder} gives another class than the map to {differing:,} of {len(again):,} "
            "pixels, so the map was made of other composites or by another model. Make the map again with "
            "'cropmap predict' in another --out."
        )


def _joined(parts: list[Drawn], plan: RunPlan) -> Drawn:
    empty = np.empty((0, len(plan.recipe.bands), plan.recipe.bins_in_season), np.int16)
    return Drawn(
        np.concatenate([np.empty(0, CANDIDATE), *(part.candidates for part in parts)]),
        np.concatenate([empty, *(part.series for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.agreeing for part in parts)]),
    )
