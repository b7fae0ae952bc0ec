"""How many samples each rule of a sampling would leave, without a series."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.client.fetch_threads import FetchThreads
from gee_pipeline.earthengine.client.session import connect
from gee_pipeline.earthengine.composites.fetch import Fetcher
from training.samples.crops import NAMES
from training.sampling.field_samples import SampleListener, SampleProgress, threads_of
from training.sampling.plan import SamplePlan, SampleRequest, plan_samples
from training.sampling.readers import needs_earth_engine, open_labels
from training.sampling.reference.square_labels import LabelReader
from training.sampling.squares.grid import SampleCell, draw, lattice_points

STEPS = ("of the class", "inside the buffer", "drawn")
"""What is left of the points of a lattice, rule by rule."""


@dataclass(frozen=True)
class DryRun:
    """What the rules of a sampling leave."""

    points: dict[str, tuple[int, ...]]
    """Class -> points at each of `STEPS`; the first are as far apart as samples are."""
    without_class: int
    """Points of the area that the map says nothing of, or nothing that is a class."""
    left_out: dict[str, int]
    """Value of the map that is in no class -> points with it, the most frequent first."""
    cells: int
    """Squares."""
    cells_without: int
    """Squares without a sample."""

    @property
    def samples(self) -> int:
        """Samples in all."""
        return sum(steps[-1] for steps in self.points.values())

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        steps = {name: dict(zip(STEPS, found, strict=True)) for name, found in self.points.items()}
        return {**vars(self), "points": steps, "samples": self.samples}


@dataclass(frozen=True)
class _Square:
    """One square: points by class code at each step, those without class, values in no class."""

    steps: NDArray[np.int64]
    """`(step, class)`."""
    without: int
    left_out: dict[str, int]


def dry_run(request: SampleRequest, listener: SampleListener | None = None) -> DryRun:
    """How many samples a request would give; of imagery nothing is asked, and nothing is written.

    Args:
        request: As of `take_samples`.
        listener: Receives notices and progress.

    Raises:
        InputError: Something in the request cannot be used.
        AccessError: Earth Engine cannot be used.
        CropmapError: The map cannot be read.
    """
    listener = listener or SampleListener()
    plan = plan_samples(request, listener.notice)
    session = connect(request.settings) if needs_earth_engine(plan, series=False) else None
    with TemporaryDirectory(prefix="cropmap-") as folder:
        labels = open_labels(plan, Fetcher(session) if session else None, Path(folder))
        labels.require()
        squares = list[_Square]()

        def count(cell: SampleCell) -> _Square:
            return _counted(plan, labels, cell)

        for square in FetchThreads(count, plan.cells, threads=threads_of(request, session)):
            squares.append(square)
            drawn = sum(int(one.steps[-1].sum()) for one in squares)
            listener.progress(SampleProgress(len(squares), 0, len(plan.cells), drawn, None))
    return _summed(plan, squares)


def _counted(plan: SamplePlan, labels: LabelReader, cell: SampleCell) -> _Square:
    rule = plan.rule
    merged = labels.read(cell, rule.spacing, 0)
    cut = labels.read(cell, rule.spacing, rule.buffer) if rule.buffer else merged
    allowed = lattice_points(cell, plan.aoi.lonlat, rule).allowed
    rows, cols = draw(cell, cut.codes, allowed, rule).T
    found = [merged.codes[allowed], cut.codes[allowed], cut.codes[rows, cols]]
    steps = np.array([np.bincount(codes, minlength=len(NAMES) + 1) for codes in found])
    values, counts = np.unique(merged.values[allowed & merged.known], return_counts=True)
    pairs = zip(values.tolist(), counts.tolist(), strict=True)
    left_out = {str(value): n for value, n in pairs if plan.reference.table.code_of(value) == 0}
    return _Square(steps[:, 1:], int(steps[0, 0]), left_out)


def _summed(plan: SamplePlan, squares: list[_Square]) -> DryRun:
    steps, left_out = np.sum([square.steps for square in squares], axis=0), Counter[str]()
    for square in squares:
        left_out.update(square.left_out)
    points = {name: tuple(steps[:, NAMES.index(name)].tolist()) for name in plan.reference.table.names}
    return DryRun(
        points,
        sum(square.without for square in squares),
        dict(left_out.most_common()),
        len(squares),
        sum(not square.steps[-1].any() for square in squares),
    )
