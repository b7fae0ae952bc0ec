"""Candidates for pseudo-labels: a pass over the predictions of a run, block of cells by block of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.errors import IncompleteRunError
from gee_pipeline.grid import Cell, cell_name
from inference.run.plan import CONFIG_FILE, RunPlan
from inference.run.prediction import bounded_gdal, prediction_path, read_finished
from training.pseudo_labels.rules import PseudoRules
from training.pseudo_labels.statistics import Stage, StageCounts

if TYPE_CHECKING:
    from training.pseudo_labels.reference import Reference

BLOCK: Final = 4_096
"""Pixels along a side of a block at most: its bands and masks take about 0.3 GB."""

READERS: Final = 4
"""Threads that read files."""

RESERVE: Final = 20
"""Candidates kept of each class for each sample that is wanted: what later rules may refuse."""

LARGEST_RESERVE: Final = 200_000
"""Candidates kept of a class at most (5 MB), or twice the samples wanted where that is more."""

NAMED: Final = 5
"""Cells that a message names."""

CANDIDATE: Final = np.dtype(
    [
        ("priority", "f8"),  # 0 to 1; the least are taken first
        ("row", "i4"),  # of the cell
        ("col", "i4"),
        ("y", "i2"),  # of the pixel in its cell
        ("x", "i2"),
        ("code", "u1"),  # class on the map
        ("confidence", "u1"),
        ("clear", "u1"),
        ("alike", "u1"),  # neighbours of the same class
        ("truth", "u1"),  # reference code, 0 where there is none
    ]
)

Candidates = NDArray[np.void]
"""`(candidate,)` of the fields of `CANDIDATE`."""


@dataclass(frozen=True)
class CellWindow:
    """Neighbouring cells of the grid, with one pixel around them."""

    geobox: GeoBox
    """Pixels of the block, without the one around it."""
    cells: tuple[Cell, ...]
    """The planned cells in it."""
    corner: tuple[int, int]
    """Row and column of its first cell, planned or not."""
    bands: NDArray[np.uint8]
    """`(3, y + 2, x + 2)`: class code, confidence, clear observations; 0 where nothing is planned."""

    def part(self, cell: Cell) -> tuple[slice, slice]:
        """Where a cell lies in the block's pixels."""
        (height, width), (first_row, first_col) = cell.geobox.shape, self.corner
        top, left = (cell.row - first_row) * height, (cell.col - first_col) * width
        return slice(top, top + height), slice(left, left + width)


class Reserve:
    """Candidates of each class with the least priorities: a random draw that no order of work changes."""

    def __init__(self, classes: int, most: int) -> None:
        """An empty reserve.

        Args:
            classes: K; the codes are 1 to K.
            most: Candidates kept of a class.
        """
        self._most = most
        self._kept = [np.empty(0, CANDIDATE) for _ in range(classes + 1)]
        self._waiting: list[list[Candidates]] = [[] for _ in range(classes + 1)]

    def add(self, candidates: Candidates) -> None:
        """Take candidates in."""
        for code in np.unique(candidates["code"]).tolist():
            waiting = self._waiting[code]
            waiting.append(candidates[candidates["code"] == code])
            if sum(map(len, waiting)) > self._most:
                self._settle(code)

    def of(self, code: int) -> Candidates:
        """The candidates of a class in the order in which they are to be taken."""
        self._settle(code)
        return self._kept[code]

    def _settle(self, code: int) -> None:
        joined = np.concatenate([self._kept[code], *self._waiting[code]])
        order = np.lexsort([joined[key] for key in ("x", "y", "col", "row", "priority")])
        self._kept[code], self._waiting[code] = joined[order[: self._most]], []


@dataclass(frozen=True)
class Scan:
    """What the pass over the predictions found."""

    reserve: Reserve
    """Candidates by class."""
    cells: int
    """Cells with a candidate."""


def reserve_size(per_class: int) -> int:
    """Candidates to keep of a class."""
    return max(2 * per_class, min(RESERVE * per_class, LARGEST_RESERVE))


def scan(
    folder: Path,
    plan: RunPlan,
    rules: PseudoRules,
    stage_counts: StageCounts,
    *,
    composites: frozenset[str],
    reference: Reference | None = None,
    report: Callable[[int], None] = lambda cells: None,
) -> Scan:
    """The candidates of a run: pixels that pass the rules which its predictions alone decide.

    Args:
        folder: Folder of the run.
        plan: Its plan, with a model.
        rules: Confidence, observations, neighbours, spacing and seed are used here.
        stage_counts: Counts the stages up to `Stage.SQUARE`.
        composites: Names of the cells whose composite is kept.
        reference: Where true labels come from.
        report: Receives the cells done.

    Raises:
        IncompleteRunError: A planned cell has no whole prediction.
    """
    classes = len(plan.model.classes) if plan.model else 0
    limits = confidence_limits(folder, plan, rules)
    reserve, done, found = Reserve(classes, reserve_size(rules.per_class)), 0, 0
    for block in blocks(folder, plan):
        truth = reference.read(block.geobox) if reference else np.zeros(block.geobox.shape, np.uint8)
        sifted = _Sifter(block, truth, rules, plan, stage_counts).sift(limits, composites)
        for candidates in sifted:
            found += bool(len(candidates))
            stage_counts.count(Stage.SQUARE, candidates["code"], candidates["truth"])
            reserve.add(candidates)
        done += len(block.cells)
        report(done)
    return Scan(reserve, found)


class _Sifter:
    """The rules that need no more than the predictions of a block."""

    def __init__(
        self,
        block: CellWindow,
        truth: NDArray[np.uint8],
        rules: PseudoRules,
        plan: RunPlan,
        stage_counts: StageCounts,
    ) -> None:
        self._block, self._truth, self._rules, self._stage_counts = block, truth, rules, stage_counts
        self._codes, self._confidence, self._clear = block.bands[:, 1:-1, 1:-1]
        self._classes = len(plan.model.classes) if plan.model else 0
        self._min_clear = rules.least_clear(plan.recipe)

    def sift(self, limits: NDArray[np.float64], composites: frozenset[str]) -> Iterator[Candidates]:
        """The candidates of each cell of the block that has some."""
        left = (self._codes >= 1) & (self._codes <= self._classes)
        self._count(Stage.MAPPED, left)
        left &= self._kept(composites)
        self._count(Stage.COMPOSITE, left)
        left &= self._confidence >= limits[self._codes]
        self._count(Stage.CONFIDENCE, left)
        left &= self._clear >= self._min_clear
        self._count(Stage.CLEAR, left)
        alike = alike_neighbours(self._block.bands[0])
        left &= alike >= self._rules.neighbours
        self._count(Stage.NEIGHBOURS, left)
        for cell in self._block.cells:
            part = self._block.part(cell)
            if left[part].any():
                yield self._candidates(cell, left[part], alike[part])

    def _count(self, stage: Stage, left: NDArray[np.bool_]) -> None:
        self._stage_counts.count(stage, self._codes[left], self._truth[left])

    def _kept(self, composites: frozenset[str]) -> NDArray[np.bool_]:
        kept = np.zeros(self._codes.shape, bool)
        for cell in self._block.cells:
            kept[self._block.part(cell)] = cell.name in composites
        return kept

    def _candidates(self, cell: Cell, left: NDArray[np.bool_], alike: NDArray[np.uint8]) -> Candidates:
        part, turns = self._block.part(cell), priorities(self._rules.seed, cell)
        y, x = np.nonzero(one_a_square(left, self._codes[part], turns, self._rules.square))
        out = np.zeros(len(y), CANDIDATE)
        out["priority"] = turns[y, x]
        out["row"], out["col"], out["y"], out["x"] = cell.row, cell.col, y, x
        layers = (self._codes, self._confidence, self._clear, self._truth)
        for name, layer in zip(("code", "confidence", "clear", "truth"), layers, strict=True):
            out[name] = layer[part][y, x]
        out["alike"] = alike[y, x]
        return out


def priorities(seed: int, cell: Cell) -> NDArray[np.float64]:
    """Random numbers 0 to 1 of the pixels `(y, x)` of a cell, whatever else is worked on."""
    return np.random.default_rng([seed, cell.row, cell.col]).random(cell.geobox.shape)


def one_a_square(
    left: NDArray[np.bool_], codes: NDArray[np.uint8], turns: NDArray[np.float64], side: int
) -> NDArray[np.bool_]:
    """`(y, x)`: of each class the pixel whose turn comes first in each square of a cell.

    Args:
        left: Pixels that may be taken.
        codes: Their classes.
        turns: Random numbers, each once.
        side: Pixels along a side of a square; squares are counted from the cell's corner.
    """
    out = np.zeros(left.shape, bool)
    tops, lefts = (np.arange(0, size, side) for size in left.shape)
    row, col = (np.arange(size) // side for size in left.shape)
    for code in np.flatnonzero(np.bincount(codes[left], minlength=256)):
        mine = np.where(left & (codes == code), turns, np.inf)
        least = np.minimum.reduceat(np.minimum.reduceat(mine, tops, axis=0), lefts, axis=1)
        out |= (mine == least[row][:, col]) & np.isfinite(mine)
    return out


def alike_neighbours(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`(y, x)`: how many of the 8 neighbours have the same code.

    Args:
        codes: `(y + 2, x + 2)`, with one pixel around.
    """
    height, width = codes.shape[0] - 2, codes.shape[1] - 2
    centre = codes[1:-1, 1:-1]
    out = np.zeros((height, width), np.uint8)
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                out += codes[dy : dy + height, dx : dx + width] == centre
    return out


def confidence_limits(folder: Path, plan: RunPlan, rules: PseudoRules) -> NDArray[np.float64]:
    """`(256,)`: the least confidence of each code in percent.

    Where a share of each class passes, its limit is the highest whole percent that this many of its pixels
    reach, if that is below the common limit.

    Raises:
        IncompleteRunError: A planned cell has no whole prediction.
    """
    limits = np.full(256, float(rules.confidence))
    if rules.best_share is None:
        return limits
    counts = np.zeros((256, 256), np.int64)
    for _, bands in predictions(folder, plan, plan.grid.cells(plan.cells)):
        joint = bands[0].ravel().astype(np.intp) << 8 | bands[1].ravel()
        counts += np.bincount(joint, minlength=65_536).reshape(256, 256)
    reached = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels of at least so much confidence
    enough = 100 * reached >= rules.best_share * reached[:, :1]
    own = np.where(reached[:, 0] > 0, 255 - enough[:, ::-1].argmax(axis=1), 255)
    return np.minimum(limits, own)


def blocks(folder: Path, plan: RunPlan) -> Iterator[CellWindow]:
    """The predictions of a run in blocks, each with the pixels around it.

    Raises:
        IncompleteRunError: A planned cell has no whole prediction.
    """
    side = max(BLOCK // plan.grid.cell_size, 1)
    for row, col in np.unique(plan.cells // side, axis=0).tolist():
        yield _block(folder, plan, row * side, col * side, side)


def _block(folder: Path, plan: RunPlan, top: int, left: int, side: int) -> CellWindow:
    size, (rows, cols) = plan.grid.cell_size, plan.grid.shape
    bottom, right = min(top + side, rows), min(left + side, cols)
    bands = np.zeros((3, (bottom - top) * size + 2, (right - left) * size + 2), np.uint8)
    row, col = plan.cells.T
    near = plan.cells[(row >= top - 1) & (row <= bottom) & (col >= left - 1) & (col <= right)]
    for cell, found in predictions(folder, plan, plan.grid.cells(near)):
        _paste(bands, found, (cell.row - top) * size + 1, (cell.col - left) * size + 1)
    own = [c for c in plan.grid.cells(near) if top <= c.row < bottom and left <= c.col < right]
    pixels = plan.grid.geobox[top * size : bottom * size, left * size : right * size]
    return CellWindow(pixels, tuple(own), (top, left), bands)


def _paste(target: NDArray[np.uint8], found: NDArray[np.uint8], top: int, left: int) -> None:
    """Copy what of a cell lies in a block; the cell may stand over its edges."""
    height, width = found.shape[1:]
    first, start = max(-top, 0), max(-left, 0)
    last, stop = min(height, target.shape[1] - top), min(width, target.shape[2] - left)
    target[:, top + first : top + last, left + start : left + stop] = found[:, first:last, start:stop]


def predictions(
    folder: Path, plan: RunPlan, cells: Iterable[Cell]
) -> Iterator[tuple[Cell, NDArray[np.uint8]]]:
    """Each cell and its bands `(3, y, x)`, read by some threads.

    Raises:
        IncompleteRunError: A prediction is not whole.
    """

    def read(cell: Cell) -> NDArray[np.uint8]:
        finished = read_finished(prediction_path(folder, cell), cell, plan.digest)
        if finished is None:
            raise unfinished(folder, plan, [cell.name])
        return finished.bands[:3]

    with bounded_gdal(), ThreadPoolExecutor(READERS) as pool:
        rest = iter(cells)
        while some := list(islice(rest, 4 * READERS)):  # an executor would queue all of a million at once
            yield from zip(some, pool.map(read, some), strict=True)


def require_finished(folder: Path, plan: RunPlan) -> None:
    """Refuse a run that lacks a cell, before the long work.

    Raises:
        IncompleteRunError: Naming some of the cells that have no prediction.
    """
    there = stems(folder / "predictions")
    missing = [name for row, col in plan.cells.tolist() if (name := cell_name(row, col)) not in there]
    if missing:
        raise unfinished(folder, plan, missing)


def stems(folder: Path) -> frozenset[str]:
    """Names of the cells that have a file in a folder."""
    return frozenset(path.stem for path in folder.glob("*.tif")) if folder.is_dir() else frozenset()


def unfinished(folder: Path, plan: RunPlan, missing: list[str]) -> IncompleteRunError:
    """The error of a run that lacks predictions."""
    more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
    return IncompleteRunError(
        f"Labels are drawn from a finished run. Of the {len(plan.cells):,} cells of {folder}, "
        f"{len(missing):,} lack a whole prediction: {', '.join(missing[:NAMED])}{more}. Finish the run with "
        f"'cropmap predict --config {folder / CONFIG_FILE}'."
    )
