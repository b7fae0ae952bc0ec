"""Labelled series for training, drawn from a reference map: by Earth Engine's servers, or from scenes.

The construction is that of CropGlobe (Tong et al. 2025, section 2.3): classes merged, borders cut away by an
inward buffer, and a few random samples in each square of 0.1 degree, apart from one another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from gee_pipeline.earthengine.client.budget import Budget
from gee_pipeline.earthengine.client.fetch_threads import FetchThreads
from gee_pipeline.earthengine.client.session import Session, connect
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.errors import (
    BudgetSpentError,
    CorruptFileError,
    EarthEngineError,
    IncompleteRunError,
    InputError,
    SceneReadError,
)
from gee_pipeline.files import require_writable
from gee_pipeline.source import Spent
from training.sampling.cell_sampler import CellSampler
from training.sampling.cell_samples import CellSamples, Facts, PartFolder, require_same_request
from training.sampling.plan import SamplePlan, SampleRequest, plan_samples
from training.sampling.readers import needs_earth_engine, open_labels, open_series
from training.sampling.sample_file import (
    SampleSummary,
    read_metadata,
    read_summary,
    require_npz,
    summarise,
    write_samples,
)
from training.sampling.series.raw_series import raw_path
from training.sampling.squares.grid import SampleCell

NAMED: Final = 5
"""Squares, or values of a map, that a message names."""

MOST_THREADS: Final = 8
"""Squares that are worked on at once where nothing is asked of Earth Engine, which has a limit of its own."""

_FAULTS: Final = (EarthEngineError, SceneReadError, CorruptFileError)
"""What ends a square, and not the sampling."""


@dataclass(frozen=True)
class SampleProgress:
    """How far a sampling is."""

    done: int
    """Squares done."""
    failed: int
    """Squares that failed."""
    planned: int
    """Squares in all."""
    samples: int
    """Samples so far."""
    seconds_left: float | None
    """Time for the squares that remain; None before the first."""
    under_way: int = 0
    """Squares that Earth Engine works on."""


@dataclass(frozen=True)
class SampleListener:
    """Receives notices and progress."""

    notice: Callable[[str], None] = lambda text: None
    """Takes one sentence for the user."""
    progress: Callable[[SampleProgress], None] = lambda progress: None
    """Takes the state at the start and after each square."""


def take_samples(request: SampleRequest, listener: SampleListener | None = None) -> SampleSummary:
    """A file of labelled series that `cropmap train` takes; what a former start finished is kept.

    Args:
        request: Area, year, reference and how to draw.
        listener: Receives notices and progress.

    Raises:
        InputError: Something in the request cannot be used, or the area has no pixel of the classes.
        MismatchError: The file, or the folder of its parts, holds samples of another request.
        AccessError: Earth Engine cannot be used.
        IncompleteRunError: Squares failed; the file holds the others, and the same request continues.
        BudgetSpentError: The computing time is used up; squares that are done are kept too.
    """
    listener = listener or SampleListener()
    require_npz(request.out)
    require_writable(request.out)
    plan, parts = plan_samples(request, listener.notice), PartFolder(request.out)
    if finished := _finished(request.out, plan):
        parts.remove()  # what a former start was killed over
        return finished
    with parts.held(plan.to_dict()):
        sampling = _Sampling(request, plan, parts, listener)
        sampling.run()
        summary = sampling.write()
    if summary.complete:
        parts.remove()
    sampling.require_complete(summary)
    return summary


class _Sampling:
    """One start of a sampling: the squares that are done, those that failed, and what was spent."""

    def __init__(
        self, request: SampleRequest, plan: SamplePlan, parts: PartFolder, listener: SampleListener
    ) -> None:
        self._request, self._plan, self._parts, self._listener = request, plan, parts, listener
        self._done = {cell: kept for cell in plan.cells if (kept := parts.read(cell)) is not None}
        self._failed: dict[SampleCell, str] = {}
        self._images = plan.scenes or EarthEngineSource(plan.recipe, request.settings)
        self._budget: Budget | None = None
        self._facts = parts.facts

    def run(self) -> None:
        """Work on the squares that are not done; a failed one does not end the run."""
        rest = [cell for cell in self._plan.cells if cell not in self._done]
        if not rest:
            return
        session = connect(self._request.settings) if needs_earth_engine(self._plan) else None
        fetcher = Fetcher(session) if session else None
        labels = open_labels(self._plan, fetcher, self._parts.folder)
        sampler = CellSampler(self._plan, labels, open_series(self._plan, fetcher))
        start, before = self._spent(), self._facts.spent
        labels.require()
        self._survey()
        if self._request.max_eecu_hours is not None:
            self._budget = Budget(self._request.max_eecu_hours, before, lambda: self._spent() - start)
        clock = _Clock(len(rest))
        fetching = self._fetching(session, sampler, _shuffled(rest))
        self._report(None, fetching.under_way)
        for cell, result in fetching:
            if isinstance(result, CellSamples):
                self._done[cell] = result
            else:
                self._failed[cell] = result
            self._note(replace(self._facts, spent=before + self._spent() - start))
            self._report(clock.left_after_one_more(), fetching.under_way)

    def write(self) -> SampleSummary:
        """Write the samples of all squares that are done.

        Raises:
            InputError: All squares are done, and none has a sample.
        """
        summary = summarise(self._plan, self._done, self._request.out, self._facts)
        if summary.samples:
            write_samples(self._request.out, self._plan, self._done, summary, simulated=self._facts.simulated)
        elif summary.complete:
            self._parts.remove()
            raise InputError(_nothing_found(self._plan, summary))
        return summary

    def require_complete(self, summary: SampleSummary) -> None:
        """Raise where squares are missing.

        Raises:
            IncompleteRunError: Squares failed.
            BudgetSpentError: The budget allowed no more.
        """
        if summary.complete:
            return
        if self._failed:
            raise IncompleteRunError(_failures(self._failed, summary))
        raise BudgetSpentError(_budget_spent(self._budget, summary))

    def _fetching(
        self, session: Session | None, sampler: CellSampler, cells: list[SampleCell]
    ) -> FetchThreads[SampleCell, tuple[SampleCell, CellSamples | str]]:
        """Threads that make the samples of a square and keep them on disk; or report why it failed."""

        def work(cell: SampleCell) -> tuple[SampleCell, CellSamples | str]:
            try:
                samples = sampler.samples_of(cell)
            except _FAULTS as error:
                return cell, str(error)
            finally:
                if session:
                    session.meter.settle(session)
            self._parts.write(cell, samples)
            return cell, samples

        threads = threads_of(self._request, session)
        return FetchThreads(work, cells, threads=threads, budget=self._budget)

    def _survey(self) -> None:
        """Look at the scenes once, so that what all squares lack ends the run before it begins."""
        bins = range(self._plan.recipe.bins_in_season)
        survey = self._images.survey(self._plan.aoi.lonlat, self._plan.season, bins)
        if survey.simulated:
            self._listener.notice("The scenes are simulated: no satellite saw them.")
        for text in survey.notices:
            self._listener.notice(text)
        self._note(replace(self._facts, scenes=survey.scenes, simulated=survey.simulated))

    def _spent(self) -> Spent:
        """What Earth Engine was asked for so far."""
        return self._images.spent() if isinstance(self._images, EarthEngineSource) else Spent()

    def _note(self, facts: Facts) -> None:
        self._facts = facts
        self._parts.keep_facts(facts)

    def _report(self, seconds_left: float | None, under_way: int) -> None:
        if isinstance(self._images, EarthEngineSource):
            for text in self._images.take_notices():
                self._listener.notice(text)
        samples = sum(len(samples.labels) for samples in self._done.values())
        self._listener.progress(
            SampleProgress(
                len(self._done),
                len(self._failed),
                len(self._plan.cells),
                samples,
                seconds_left,
                under_way,
            )
        )


def threads_of(request: SampleRequest, session: Session | None) -> int:
    """Squares that are worked on at once: what Earth Engine may be asked for, or a thread a core."""
    if session is not None and request.source is None:
        return request.settings.most_requests
    return min(os.cpu_count() or 1, MOST_THREADS)


class _Clock:
    """Time for the squares that remain, by the mean of those that are over."""

    def __init__(self, squares: int) -> None:
        self._left, self._over, self._start = squares, 0, time.monotonic()

    def left_after_one_more(self) -> float:
        self._left, self._over = self._left - 1, self._over + 1
        return (time.monotonic() - self._start) / self._over * self._left


def _finished(out: Path, plan: SamplePlan) -> SampleSummary | None:
    """The summary of a complete file of the same request: it cost enough to make once.

    Raises:
        InputError: The file was not made by a sampling.
        MismatchError: It is of another request.
    """
    if not out.exists() or (plan.raw and not raw_path(out).exists()):
        return None
    if (metadata := read_metadata(out)) is None:
        raise InputError(f"{out} exists and is not a file of 'cropmap sample'. Choose another --out.")
    require_same_request(metadata["request"], plan.to_dict(), out)
    summary = read_summary(metadata)
    return replace(summary, out=str(out)) if summary.complete else None


def _shuffled(cells: list[SampleCell]) -> list[SampleCell]:
    """Another order, so that what a budget allows is spread over the area; results do not depend on it."""
    return [cells[i] for i in np.random.default_rng(len(cells)).permutation(len(cells))]


def _nothing_found(plan: SamplePlan, summary: SampleSummary) -> str:
    found = ", ".join(f"{value} ({count:,})" for value, count in list(summary.left_out.items())[:NAMED])
    return (
        f"Samples need land of the classes {', '.join(plan.reference.table.names)}, and "
        f"{plan.reference.place.text} shows none in this area {plan.rule.buffer:g} m away from others. "
        + (f"Values there that are in no class, with their points: {found}. " if found else "")
        + f"Check --aoi, --classes-table{', --accuracy' if plan.accuracy else ''} and --buffer."
    )


def _failures(failed: dict[SampleCell, str], summary: SampleSummary) -> str:
    named = "; ".join(f"{cell.name}: {text}" for cell, text in sorted(failed.items())[:NAMED])
    more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    return (
        f"{len(failed)} of {summary.cells} squares failed ({named}{more}). {_so_far(summary)} The same "
        "command tries them again."
    )


def _budget_spent(budget: Budget | None, summary: SampleSummary) -> str:
    reason = budget.reason if budget and budget.reason else "the limit is reached"
    return (
        f"The computing time ended before the work: {reason}. {len(summary.cells_missing)} of "
        f"{summary.cells} squares are missing. {_so_far(summary)} The same command with a larger "
        "--max-eecu-hours continues."
    )


def _so_far(summary: SampleSummary) -> str:
    if not summary.samples:
        return "No sample was found yet."
    return f"{summary.out} holds the {summary.samples:,} samples of the others."
