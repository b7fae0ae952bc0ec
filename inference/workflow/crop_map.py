"""From an area and a year to a map or to composites: the whole way, as one call."""

from __future__ import annotations

from gee_pipeline.aoi import Aoi
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.earthengine.tasks.follower import PENDING_LIMIT
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.source import Source, Spent
from gee_pipeline.stac.source import StacSource
from inference.batch.collect import Collected
from inference.batch.export import TaskSummary
from inference.models.checkpoint import default_checkpoint
from inference.models.forest_model import ForestModel
from inference.models.forest_predictor import HOW
from inference.models.pixel_model import device_of, load_model
from inference.models.predictor import resolve_device
from inference.product.map_facts import MapSummary
from inference.run.completeness import RunSummary
from inference.run.cropland import CroplandMask
from inference.run.execute import spent
from inference.run.plan import RunPlan
from inference.run.planning import plan_run
from inference.run.scheduler import require_scheduler
from inference.run.task_record import require_destination
from inference.workflow.request import ExportRequest, Listener, MapRequest, Request, SceneRequest
from inference.workflow.steps import (
    Background,
    destination_of,
    find_place,
    finish_map,
    follow_tasks,
    found_scenes,
    introduce,
    open_folder,
    season_of_model,
    take_in,
    warn_of_gap,
    work_through,
)


def make_map(request: MapRequest, listener: Listener | None = None) -> MapSummary:
    """A whole crop map of an area and a year; what a former run of the same request finished is kept.

    Args:
        request: Area, year, source, model and how to work.
        listener: Told the notices and the progress.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: `max_eecu_hours` did not suffice.
    """
    listener = listener or Listener()
    path = request.model or default_checkpoint()
    model = load_model(path)
    forest, device = isinstance(model, ForestModel), device_of(model, request.device)
    introduce("Forest" if forest else "Model", model, path, listener)
    aoi, season = season_of_model(request, model, path.name, listener)
    gap = warn_of_gap(model, aoi, listener)
    source = open_source(request, model.recipe)
    since = spent(source)
    cropland = CroplandMask.parse(request.cropland_mask) if request.cropland_mask else None
    plan = plan_run(
        aoi,
        season,
        model.recipe,
        source,
        crs=request.crs,
        like=request.like,
        cell_size=request.cell_size,
        checkpoint=model,
        checkpoint_path=path,
        kind="local-forest" if forest else "checkpoint",
        cropland=cropland,
        layers=request.layers,
    )
    survey = found_scenes(source, plan, aoi, listener)
    how = HOW.format(trees=len(model.trees)) if isinstance(model, ForestModel) else ""
    background = Background(aoi, model, path.name, survey, gap, how)
    plan, summary = _work(request, plan, listener, device=device, since=since)
    return finish_map(request, plan, summary, background, listener)


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
    return _work(request, _planned_export(request, source, listener), listener, since=since)[1]


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
        listener: Told the notices and the progress.
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
    source = _earth_engine(request, request.recipe)
    planned = _planned_export(request, source, listener)
    require_destination(request.folder, destination)
    plan = open_folder(request, planned, listener)
    return follow_tasks(
        request, plan, source.session, destination, listener, wait=wait, most_tasks=most_tasks
    )


def collect_files(
    request: ExportRequest, listener: Listener | None = None, *, downloads: str | None = None
) -> Collected:
    """The files that batch tasks wrote, verified and taken into the run as its composites.

    Args:
        request: What was exported.
        listener: Told the notices and the progress.
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
    source = _earth_engine(request, request.recipe)
    aoi, season = find_place(request, request.recipe, listener)
    plan, session = _plan_export(request, source, aoi, season), None if downloads else source.session
    return take_in(request, plan, session, destination, listener, downloads)[1]


def open_source(request: SceneRequest, recipe: Recipe) -> Source:
    """The source of composites that a request names: Earth Engine, unless it names scenes.

    Raises:
        InputError: The source cannot be opened.
    """
    if request.source is not None:
        return StacSource(request.source, recipe, collection=request.collection)
    return _earth_engine(request, recipe)


def _earth_engine(request: Request, recipe: Recipe) -> EarthEngineSource:
    return EarthEngineSource(recipe, request.settings, cropland=request.cropland)


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


def _work(
    request: SceneRequest, plan: RunPlan, listener: Listener, *, since: Spent, device: str = "auto"
) -> tuple[RunPlan, RunSummary]:
    """Open the folder and work on all cells; the plan is the one that is kept there."""
    if request.scheduler:
        require_scheduler(request.scheduler)
    elif plan.model:
        resolve_device(device)
    plan = open_folder(request, plan, listener)
    summary = work_through(
        request,
        plan,
        listener,
        since=since,
        scheduler=request.scheduler,
        workers=request.workers,
        device=device,
        memory_budget=int(request.memory * 2**30),
    )
    return plan, summary
