"""Steps that maps and exports share: the folder of a run, and the work on its cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import write_bytes
from gee_pipeline.source import RemoteSource, Spent
from inference.models.checkpoint import Checkpoint
from inference.models.predictor import resolve_device
from inference.product.composites_vrt import MOST_SOURCES, VRT, CompositesVrt
from inference.product.map_writer import MapDraft
from inference.product.plausibility import Check
from inference.record.stage import stage
from inference.run.completeness import NAMED, RunSummary
from inference.run.execute import MEMORY_BUDGET, run
from inference.run.plan import CONFIG_FILE, RunPlan, read_run_file
from inference.run.planning import added_scenes, open_or_create
from inference.workflow.request import Listener, ModelRequest, Request, SceneRequest
from inference.workflow.trained_model import TrainedModel


@dataclass(frozen=True)
class Workers:
    """Who works on the cells of a run, and with how much memory."""

    scheduler: str | None = None
    """Address of a running Dask scheduler; None works on this machine."""
    count: int | None = None
    """Worker processes here; 0 is this process without Dask, None by cores or GPUs."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    memory_budget: int = MEMORY_BUDGET
    """Bytes that the arrays of one worker process may take."""


def workers_of(request: SceneRequest, device: str | None = None) -> Workers:
    """The workers that a request asks for, after a look for their scheduler or device.

    Args:
        request: Options of the work.
        device: Where the model predicts; None where there is no model.

    Raises:
        InputError: The scheduler or the device is not there.
    """
    if request.scheduler:
        from inference.run.scheduler import require_scheduler

        require_scheduler(request.scheduler)
    elif device is not None:
        resolve_device(device)
    memory = int(request.memory * 2**30)
    return Workers(request.scheduler, request.workers, device or "auto", memory)


HERE: Final = Workers()
"""Workers by the cores and GPUs of this machine."""


def open_folder(request: Request, plan: RunPlan, listener: Listener) -> RunPlan:
    """The run of a folder, made or continued, with the options that reproduce it.

    Raises:
        InputError: The folder holds other files, or another process works in it.
        MismatchError: The folder holds a run of something else.
    """
    added, lacking = added_scenes(request.folder, plan)
    plan, resumed = open_or_create(request.folder, plan)
    if resumed:
        listener.notice(f"Continuing the run in {request.folder}.")
    if lacking:
        listener.warn(
            f"{added:,} scenes came to the source since the run began; {lacking:,} of its finished cells "
            "lack some of them. Another --out has them everywhere."
        )
    if isinstance(plan.reader, RemoteSource):
        plan.reader.label(plan.workload)
        plan = replace(plan, reader=plan.reader.keeping(request.folder.absolute()))
    for text in request.notices():
        listener.notice(text)
    if plan.model or not read_run_file(request.folder)["model"]:  # a map's file outlives a later export
        write_bytes(request.folder / CONFIG_FILE, repeating(request, plan).to_toml().encode())
    return plan


def repeating(request: Request, plan: RunPlan) -> Request:
    """The request that repeats a run: with all layers that its map has."""
    return replace(request, layers=plan.layers) if isinstance(request, ModelRequest) else request


@stage("Cells")
def work_through(
    request: Request,
    plan: RunPlan,
    listener: Listener,
    *,
    since: Spent,
    workers: Workers = HERE,
    draft: MapDraft | None = None,
) -> RunSummary:
    """Work on all cells of an open run.

    Args:
        request: Folder and budget.
        plan: What `open_folder` returned.
        listener: Receives notices and progress.
        since: What the source had spent before this command.
        workers: Who works on them.
        draft: The map that takes the cells as they are verified; None where no map is made.

    Raises:
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: The budget did not suffice.
    """
    summary = run(
        request.folder,
        plan,
        max_eecu_hours=request.max_eecu_hours,
        since=since,
        on_progress=listener.progress,
        on_notice=listener.notice,
        scheduler=workers.scheduler,
        workers=workers.count,
        device=workers.device,
        memory_budget=workers.memory_budget,
        cells_taken=draft.cells if draft else None,
    )
    for text in remarks(summary):
        listener.notice(text)
    summary.raise_if_incomplete()
    if not (plan.model and plan.model.on_servers):
        write_vrt(request, plan, listener)
    return summary


def write_vrt(request: Request, plan: RunPlan, listener: Listener) -> None:
    """All composites of a complete run as one file for other programs, or a word on why there is none.

    Raises:
        DiskFullError: The disk has no room.
    """
    vrt = CompositesVrt(request.folder, plan.grid, plan.cells, plan.recipe, plan.season, plan.bins)
    if vrt.sources > MOST_SOURCES:
        vrt.remove()
        listener.notice(
            f"The {len(plan.cells):,} composites have no {VRT}, which would list {vrt.sources:,} bands of "
            f"cells; programs take long to open more than {MOST_SOURCES:,}. cropmap.open_run(...).composites "
            "reads a run of any size."
        )
        return
    try:
        vrt.write()
    except CorruptFileError as error:
        of_map = (
            " The map does not need it: only without its prediction is it made again." if plan.model else ""
        )
        listener.warn(f"{VRT} is not written. {error}{of_map}")


def checked(summary: RunSummary, plan: RunPlan, model: TrainedModel | None = None) -> Check:
    """The observed values of a run, against its recipe and the model's training values."""
    known = model.band_statistics if isinstance(model, Checkpoint) else None
    return Check(summary.observed, plan.recipe, known)


def remarks(summary: RunSummary) -> tuple[str, ...]:
    """What to say of the cells of a run that is done."""
    return (*_made_again(summary), *_made_of_withdrawn(summary))


def _made_again(summary: RunSummary) -> tuple[str, ...]:
    """What to say of composites that were found damaged."""
    if not summary.remade:
        return ()
    named = ", ".join(summary.remade[:NAMED]) + (", ..." if len(summary.remade) > NAMED else "")
    return (f"Damaged composites were made again from the scenes: {len(summary.remade):,} ({named}).",)


def _made_of_withdrawn(summary: RunSummary) -> tuple[str, ...]:
    """What to say of cells that are made of scenes which the server has no more."""
    listed = summary.listed
    if listed is None or not listed.cells:
        return ()
    named = ", ".join(sorted(listed.record.withdrawn)[:NAMED])
    return (
        f"Scenes that Earth Engine has withdrawn since ({named}) are in {listed.cells:,} finished cells, "
        "which stay as they are; cells made later are without. Another --out is without them everywhere.",
    )
