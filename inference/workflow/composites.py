"""The composites of an area and a year: made here, fetched, or exported by batch tasks and collected."""

from __future__ import annotations

from gee_pipeline.aoi import Aoi
from gee_pipeline.earthengine.tasks.follower import PENDING_LIMIT
from gee_pipeline.season import Season
from gee_pipeline.source import Source
from inference.batch.collect import Collected
from inference.batch.export import TaskSummary
from inference.record.stage import stage
from inference.run.completeness import RunSummary
from inference.run.execute import spent
from inference.run.plan import RunPlan
from inference.run.planning import plan_run
from inference.workflow.place import find_place
from inference.workflow.request import ExportRequest, Listener
from inference.workflow.source import found_scenes, open_earth_engine, open_source
from inference.workflow.steps import checked, open_folder, work_through, workers_of, write_vrt
from inference.workflow.tasks import destination_of, follow_tasks, take_in


def export_composites(request: ExportRequest, listener: Listener | None = None) -> RunSummary:
    """The composites of an area and a year, for another model or a later `make_map` in the same folder.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: `max_eecu_hours` did not suffice.
    """
    listener = listener or Listener()
    source = open_source(request, request.recipe)
    since = spent(source)
    plan, workers = _planned_export(request, source, listener), workers_of(request)
    plan = open_folder(request, plan, listener)
    summary = work_through(request, plan, listener, since=since, workers=workers)
    for text in checked(summary, plan).notices():
        listener.warn(text)
    return summary


def start_tasks(
    request: ExportRequest,
    listener: Listener | None = None,
    *,
    wait: bool = True,
    most_tasks: int = PENDING_LIMIT,
) -> TaskSummary:
    """Batch tasks that write the composites of an area and a year to `request.to`, followed to their end.

    Args:
        request: What to export; `to` is set and `source` is not.
        listener: Receives notices and progress.
        wait: False returns once the tasks are started.
        most_tasks: Tasks of the run that wait or work at once.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Tasks failed; the same request starts them again.
    """
    listener = listener or Listener()
    destination = destination_of(request.to)
    source = open_earth_engine(request, request.recipe)
    planned = _planned_export(request, source, listener)
    return follow_tasks(
        request, planned, source.session, destination, listener, wait=wait, most_tasks=most_tasks
    )


def collect_files(
    request: ExportRequest, listener: Listener | None = None, *, downloads: str | None = None
) -> Collected:
    """The files that batch tasks wrote, verified and taken into the run as its composites.

    Args:
        request: What was exported.
        listener: Receives notices and progress.
        downloads: Folder, or address that fsspec knows, into which the files were brought by other means;
            None reads `request.to` itself. No access to Earth Engine is needed then.

    Raises:
        InputError: Something in the request cannot be used.
        AccessError: The bucket or Drive cannot be read.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Files are missing or damaged; the message says what to do.
    """
    listener = listener or Listener()
    destination = destination_of(request.to)
    source = open_earth_engine(request, request.recipe)
    aoi, season = find_place(request, request.recipe, listener)
    plan, session = _plan_export(request, source, aoi, season), None if downloads else source.session
    kept, collected = take_in(request, plan, session, destination, listener, downloads)
    write_vrt(request, kept, listener)
    return collected


@stage("Search for scenes")
def _planned_export(request: ExportRequest, source: Source, listener: Listener) -> RunPlan:
    """The plan of an export whose source has scenes of the area."""
    aoi, season = find_place(request, request.recipe, listener)
    plan = _plan_export(request, source, aoi, season)
    found_scenes(source, plan, aoi, listener)
    return plan


def _plan_export(request: ExportRequest, source: Source, aoi: Aoi, season: Season) -> RunPlan:
    bins = range(request.recipe.bins_in_season) if request.whole_season else request.recipe.window
    return plan_run(
        aoi,
        season,
        request.recipe,
        source,
        bins=bins,
        crs=request.crs,
        like=request.like,
        cell_size=request.cell_size,
    )
