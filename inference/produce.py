"""From an area and a year to a map or to composites: the whole way, as one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w

from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.earthengine.settings import Cropland, EarthEngineSettings
from gee_pipeline.earthengine.source import EarthEngineSource
from gee_pipeline.earthengine.tasks import PENDING_LIMIT
from gee_pipeline.errors import InputError
from gee_pipeline.files import write_bytes
from gee_pipeline.grid import CELL_SIZE, require_cell_size
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.source import Source, Spent, Survey
from gee_pipeline.stac import StacSource
from gee_pipeline.stac.catalog import absolute
from inference.batch_export import Collected, Destination, TaskSummary, collect, export_by_tasks
from inference.budget import require_hours
from inference.certificate import NAMED
from inference.checkpoint import Checkpoint, default_checkpoint, load_checkpoint
from inference.crop_map import write_map
from inference.cropland import CroplandMask
from inference.footprint import training_gap
from inference.legend import NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from inference.map_facts import MapFacts, MapSummary
from inference.plan import RunPlan, open_or_create, plan_run
from inference.predictor import resolve_device
from inference.run import MEMORY_BUDGET, Progress, RunSummary, run, spent
from inference.run_plan import CONFIG_FILE, read_run_file
from inference.workforce import require_scheduler


@dataclass(frozen=True)
class Request:
    """An area, a year and how to work on them; the fields are the options of the command."""

    aoi: Path
    """Vector file of the area of interest."""
    year: int
    """Mapped year."""
    source: str | None = None
    """STAC catalog or API; None is Google Earth Engine."""
    collection: str | None = None
    """Collection within a STAC API."""
    out: Path | None = None
    """Folder of the run; None takes the area's name and the year."""
    season_start: date | None = None
    """First day of the season; None takes the hemisphere's rule."""
    crs: str | None = None
    """Projected CRS of the map; None takes the UTM zone."""
    cell_size: int = CELL_SIZE
    """Pixels along one side of a cell, the unit of work and of loss."""
    memory: float = MEMORY_BUDGET / 2**30
    """GiB that the arrays of one worker process may take."""
    workers: int | None = None
    """Worker processes; 0 is this process without Dask, None by cores or GPUs."""
    scheduler: str | None = None
    """Address of a running Dask scheduler."""
    project: str | None = None
    """Google Cloud project for Earth Engine; None takes that of the credentials."""
    service_account: Path | None = None
    """Key file of a service account for Earth Engine; None looks for other credentials."""
    cropland: Cropland = "none"
    """Cropland mask that Earth Engine applies on its servers."""
    max_eecu_hours: float | None = None
    """Computing time that Earth Engine may take for the whole run; None sets no limit."""

    def __post_init__(self) -> None:
        require_cell_size(self.cell_size)
        require_hours(self.max_eecu_hours)
        if self.source is not None and (names := self._of_earth_engine()):
            raise InputError(
                f"{', '.join(names)} concern Earth Engine, but --source {self.source} reads scenes from a "
                "STAC catalog. Leave one of the two away; for a mask of your own there is --cropland-mask."
            )
        if self.source is None and self.collection is not None:
            raise InputError(
                "--collection names a collection of a STAC API, but no --source is given. Name the API with "
                "--source, or leave --collection away to use Earth Engine."
            )

    def _of_earth_engine(self) -> list[str]:
        """Options given that only Earth Engine has."""
        values = {
            "--project": self.project,
            "--service-account": self.service_account,
            "--cropland": None if self.cropland == "none" else self.cropland,
            "--max-eecu-hours": self.max_eecu_hours,
        }
        return [name for name, value in values.items() if value is not None]

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.out or Path(f"{self.aoi.stem}-{self.year}")

    def to_toml(self) -> str:
        """The request as the TOML file that repeats it from any folder; unset options are left out."""
        return tomli_w.dumps(
            {key: _toml(value) for key, value in self.options().items() if value is not None}
        )

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {"out": self.folder, "source": self.source and absolute(self.source)}


@dataclass(frozen=True)
class MapRequest(Request):
    """What `cropmap predict` is asked for."""

    model: Path | None = None
    """Checkpoint; None is the one that ships with cropmap."""
    cropland_mask: str | None = None
    """Raster of cropland, `file.tif` or `file.tif:values`."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        mask = self.cropland_mask and str(CroplandMask.parse(self.cropland_mask))
        return super().options() | {"cropland_mask": mask}


@dataclass(frozen=True)
class ExportRequest(Request):
    """What `cropmap export` is asked for."""

    recipe: Recipe = field(default_factory=Recipe)
    """How the composites are made."""
    whole_season: bool = False
    """True for all 73 bins, False for the model window."""
    to: str | None = None
    """Where Earth Engine's batch tasks write the cells, `gcs://bucket/prefix` or `drive:folder`; None fetches
    them at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.to is not None and self.max_eecu_hours is not None:
            raise InputError(
                "--max-eecu-hours bounds what is fetched at once, not the batch tasks of --to: what a task "
                "takes is known when it ends. Leave it away, and see 'cropmap estimate' before."
            )

    def _of_earth_engine(self) -> list[str]:
        return super()._of_earth_engine() + (["--to"] if self.to is not None else [])

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        values, cloud = super().options(), self.recipe.cloud
        del values["recipe"]
        return values | {
            "bands": list(self.recipe.bands),
            "cloud_band": cloud.score_band,
            "cloud_threshold": cloud.threshold,
        }


@dataclass(frozen=True)
class Listener:
    """Who is told what while a request is worked on."""

    notice: Callable[[str], None] = lambda text: None
    """Takes one sentence for the user."""
    progress: Callable[[Progress], None] | None = None
    """Takes the state of the cells."""


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
    checkpoint = load_checkpoint(path)
    listener.notice(_trained_on(checkpoint, path))
    aoi, season = _place(request, listener)
    if gap := training_gap(checkpoint, aoi.lonlat):
        listener.notice(f"Warning: {gap}")
    source = open_source(request, checkpoint.recipe)
    since = spent(source)
    cropland = CroplandMask.parse(request.cropland_mask) if request.cropland_mask else None
    plan = plan_run(
        aoi,
        season,
        checkpoint.recipe,
        source,
        crs=request.crs,
        cell_size=request.cell_size,
        checkpoint=checkpoint,
        checkpoint_path=path,
        cropland=cropland,
    )
    survey = _survey(source, plan, aoi, listener)
    summary = _work(request, plan, listener, device=request.device, since=since)
    empty = _nothing_mapped(summary, plan.recipe)
    for text in empty:
        listener.notice(f"Warning: {text}")
    notices = (*aoi.notices, *survey.notices, *((gap,) if gap else ()), *_mended(summary), *empty)
    facts = _facts(request, plan, checkpoint, summary, notices, aoi, survey.simulated)
    return write_map(request.folder, plan.grid, plan.cells, checkpoint.classes, facts)


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
    return _work(request, _planned_export(request, source, listener), listener, since=since)


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
    destination = _destination(request)
    source = _earth_engine(request, request.recipe)
    plan = _open(request, _planned_export(request, source, listener), listener)
    summary = export_by_tasks(
        request.folder,
        plan,
        source.session,
        destination,
        notice=listener.notice,
        progress=listener.progress,
        wait=wait,
        limit=most_tasks,
    )
    summary.raise_if_failed()
    return summary


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
    destination = _destination(request)
    source = _earth_engine(request, request.recipe)
    aoi, season = _place(request, listener)
    plan = _open(request, _plan_export(request, source, aoi, season), listener)
    collected = collect(
        request.folder,
        plan,
        None if downloads else source.session,
        destination,
        places=downloads,
        notice=listener.notice,
        progress=listener.progress,
    )
    collected.raise_if_incomplete()
    return collected


def open_source(request: Request, recipe: Recipe) -> Source:
    """The source of composites that a request names: Earth Engine, unless it names scenes.

    Raises:
        InputError: The source cannot be opened.
    """
    if request.source is not None:
        return StacSource(request.source, recipe, collection=request.collection)
    return _earth_engine(request, recipe)


def _earth_engine(request: Request, recipe: Recipe) -> EarthEngineSource:
    settings = EarthEngineSettings(request.project, request.service_account)
    return EarthEngineSource(recipe, settings, cropland=request.cropland)


def _place(request: Request, listener: Listener) -> tuple[Aoi, Season]:
    aoi = read_aoi(request.aoi)
    for text in aoi.notices:
        listener.notice(text)
    return aoi, Season.at(request.year, aoi.lonlat.centroid.y, request.season_start)


def _planned_export(request: ExportRequest, source: Source, listener: Listener) -> RunPlan:
    """The plan of an export whose source has scenes of the area."""
    aoi, season = _place(request, listener)
    plan = _plan_export(request, source, aoi, season)
    _survey(source, plan, aoi, listener)
    return plan


def _plan_export(request: ExportRequest, source: Source, aoi: Aoi, season: Season) -> RunPlan:
    bins = range(request.recipe.bins_in_season) if request.whole_season else request.recipe.window
    return plan_run(
        aoi, season, request.recipe, source, bins=bins, crs=request.crs, cell_size=request.cell_size
    )


def _destination(request: ExportRequest) -> Destination:
    if request.to is None:
        raise InputError(
            "Batch tasks need a place to write to: --to gcs://BUCKET/PREFIX or --to drive:FOLDER. "
            "To collect, give the same --to as for the tasks, or --config with the run's run.toml."
        )
    return Destination.parse(request.to)


def _survey(source: Source, plan: RunPlan, aoi: Aoi, listener: Listener) -> Survey:
    survey = source.survey(aoi.lonlat, plan.season, plan.bins)
    if survey.simulated:
        listener.notice("The scenes are simulated: no satellite saw them.")
    for text in survey.notices:
        listener.notice(text)
    return survey


def _mended(summary: RunSummary) -> tuple[str, ...]:
    """What to say of composites that were found damaged."""
    if not summary.remade:
        return ()
    named = ", ".join(summary.remade[:NAMED]) + (", ..." if len(summary.remade) > NAMED else "")
    return (f"Damaged composites were made again from the scenes: {len(summary.remade):,} ({named}).",)


def _nothing_mapped(summary: RunSummary, recipe: Recipe) -> tuple[str, ...]:
    """What to say of a map without a single class; it is complete, but hardly what was wanted."""
    if any(OUTSIDE < code < NOT_CROPLAND for code in summary.pixels):
        return ()
    masked, unseen = (summary.pixels.get(code, 0) for code in (NOT_CROPLAND, NOT_ENOUGH))
    return (
        f"No pixel of the area has a class: {masked:,} are not cropland (check --cropland-mask), {unseen:,} "
        f"have fewer than {recipe.min_clear_bins} clear observations (check --source and --year).",
    )


def _open(request: Request, plan: RunPlan, listener: Listener) -> RunPlan:
    """The run of a folder, made or continued, with the options that reproduce it beside."""
    plan, resumed = open_or_create(request.folder, plan)
    if resumed:
        listener.notice(f"Continuing the run in {request.folder}.")
    if plan.model or not read_run_file(request.folder)["model"]:  # a map's file outlives a later export
        write_bytes(request.folder / CONFIG_FILE, request.to_toml().encode())
    return plan


def _work(
    request: Request, plan: RunPlan, listener: Listener, *, since: Spent, device: str = "auto"
) -> RunSummary:
    if request.scheduler:
        require_scheduler(request.scheduler)
    elif plan.model:
        resolve_device(device)
    plan = _open(request, plan, listener)
    summary = run(
        request.folder,
        plan,
        scheduler=request.scheduler,
        workers=request.workers,
        device=device,
        memory_budget=int(request.memory * 2**30),
        max_eecu_hours=request.max_eecu_hours,
        since=since,
        on_progress=listener.progress,
        on_notice=listener.notice,
    )
    for text in _mended(summary):
        listener.notice(text)
    summary.raise_if_incomplete()
    return summary


def _facts(
    request: MapRequest,
    plan: RunPlan,
    checkpoint: Checkpoint,
    summary: RunSummary,
    notices: Sequence[str],
    aoi: Aoi,
    simulated: bool,
) -> MapFacts:
    name = request.aoi.stem.replace("_", " ").replace("-", " ")
    return MapFacts(
        title=f"Crop map of {name} {request.year}",
        season=plan.season,
        recipe=plan.recipe,
        source=plan.source,
        model=(request.model or default_checkpoint()).name,
        model_digest=checkpoint.digest,
        provenance=checkpoint.provenance,
        metrics=checkpoint.metrics,
        version=version("cropmap"),
        simulated=simulated,
        notices=tuple(notices),
        certificate=summary.certificate,
        spent=summary.spent,
        command=f"cropmap predict --config {request.folder / CONFIG_FILE}",
        config=request.to_toml(),
        area=aoi.lonlat,
    )


def _trained_on(checkpoint: Checkpoint, path: Path) -> str:
    classes = ", ".join(crop.name for crop in checkpoint.classes)
    return f"Model {path.name} knows {classes}; trained on {checkpoint.provenance['data']}"


def _toml(value: Any) -> Any:
    return str(value.absolute()) if isinstance(value, Path) else value
