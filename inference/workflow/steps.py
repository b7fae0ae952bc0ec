"""Steps that the whole commands share: from the place to the folder, the work, and the finished map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.files import write_bytes
from gee_pipeline.grid import grid_like, on_grid
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import MonthDay, Season, SeasonRule
from gee_pipeline.season_of_area import require_imagery, season_of_area
from gee_pipeline.source import Source, Spent, Survey
from inference.batch.collect import Collected, collect, find_exported
from inference.batch.export import TaskSummary, export_by_tasks
from inference.product.map_facts import MapFacts, MapSummary
from inference.product.map_writer import write_map
from inference.run.completeness import NAMED, RunSummary
from inference.run.execute import run
from inference.run.plan import CONFIG_FILE, RUN_FILE, RunPlan, read_run_file
from inference.run.planning import MapModel, going_on, open_or_create
from inference.workflow.footprint import training_gap
from inference.workflow.request import Listener, ModelRequest, Request


class TrainedModel(MapModel, Protocol):
    """A checkpoint or a forest, with what it says of itself."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What it was trained on."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """How good it was on places held back."""


@dataclass(frozen=True)
class Background:
    """What a map's report states beside what was counted."""

    aoi: Aoi
    """The area."""
    model: TrainedModel
    """What labelled the pixels."""
    model_name: str
    """What the model is called."""
    survey: Survey
    """What the source offers for the area."""
    notices: tuple[str, ...] = ()
    """What else the reader should know, one sentence each."""
    confidence: str = ""
    """How the confidence of a pixel was made; empty where the model says it itself."""


def find_place(request: Request, recipe: Recipe, listener: Listener) -> tuple[Aoi, Season]:
    """The area and the season of a request.

    Args:
        request: Area, year and side of the equator.
        recipe: The season rule that the year is read by, of the model where there is one.
        listener: Told the notices.

    Raises:
        InputError: The area cannot be read, lies on both sides of the equator, or had no images yet.
    """
    aoi = read_aoi(request.aoi)
    if request.like is not None:
        aoi = on_grid(aoi, grid_like(request.like, request.cell_size))
    for text in aoi.notices:
        listener.notice(text)
    season = season_of_area(aoi, recipe, request.year, request.hemisphere, listener.notice)
    if request.on_earth_engine:
        require_imagery(recipe, season)
    return aoi, season


def season_of_model(
    request: ModelRequest, model: TrainedModel, name: str, listener: Listener
) -> tuple[Aoi, Season]:
    """The area of a request, and its season by the rule that a model was trained with.

    Args:
        request: Area, year and the first day that the user expects.
        model: What labels the pixels.
        name: What the model is called.
        listener: Told the notices.

    Raises:
        InputError: As `find_place`.
        MismatchError: The model was trained on another season than the request asks for.
    """
    rule, told = model.recipe.season, model.provenance
    trained = _trained_start(told)
    if trained and told.get("year") and not _is_of(rule, trained, int(told["year"])):
        raise MismatchError(
            f"Model {name} was trained on series from {trained}, by a version of cropmap that would map it "
            f"{rule.days}. Train it again with this version and --season-start "
            f"{MonthDay.of(trained)}."
        )
    aoi, season = find_place(request, model.recipe, listener)
    asked = request.season_start
    if asked is not None and not rule.starts_on(asked, season):
        raise MismatchError(
            f"A model maps only the season it was trained for: {name} starts on {season.start} for "
            f"{season.year} ({rule}), --season-start asks for {asked}. Leave --season-start out, or train a "
            "model on series of that season."
        )
    return aoi, season


def _trained_start(provenance: Mapping[str, Any]) -> date | None:
    start = provenance.get("season_start")
    return date.fromisoformat(start) if isinstance(start, str) else None


def _is_of(rule: SeasonRule, start: date, year: int) -> bool:
    return start in (rule.north.in_year(year), rule.south.in_year(year))


def introduce(noun: str, model: TrainedModel, path: Path, listener: Listener) -> None:
    """Tell what a model knows and what it was trained on.

    Args:
        noun: What it is.
        model: The model.
        path: Its file.
        listener: Who is told.
    """
    classes = ", ".join(crop.name for crop in model.classes)
    data = model.provenance.get("data", "samples that its file does not name.")
    listener.notice(f"{noun} {path.name} knows {classes}; trained on {data}")


def warn_of_gap(model: TrainedModel, aoi: Aoi, listener: Listener) -> tuple[str, ...]:
    """A warning where the area lies outside the training places of a model; also for its map's report."""
    gap = training_gap(model, aoi.lonlat)
    if gap:
        listener.notice(f"Warning: {gap}")
    return (gap,) if gap else ()


def found_scenes(source: Source, plan: RunPlan, aoi: Aoi, listener: Listener) -> Survey:
    """What the source has for a plan.

    Raises:
        InputError: It has no scene of the area or season.
        AccessError: It cannot be used.
    """
    survey = source.survey(aoi.lonlat, plan.season, plan.bins)
    if survey.simulated:
        listener.notice("The scenes are simulated: no satellite saw them.")
    for text in survey.notices:
        listener.notice(text)
    return survey


def destination_of(to: str | None) -> Destination:
    """Where batch tasks write.

    Raises:
        InputError: No place is named, or none that there can be.
    """
    if to is None:
        raise InputError(
            "Batch tasks need a place to write to: --to gcs://BUCKET/PREFIX or --to drive:FOLDER. "
            "To collect, give the same --to as for the tasks, or --config with the run's run.toml."
        )
    return Destination.parse(to)


def open_folder(request: Request, plan: RunPlan, listener: Listener) -> RunPlan:
    """The run of a folder, made or continued, with the options that reproduce it beside.

    Raises:
        InputError: The folder holds other files, or another process works in it.
        MismatchError: The folder holds a run of something else.
    """
    plan, resumed = open_or_create(request.folder, plan)
    if resumed:
        listener.notice(f"Continuing the run in {request.folder}.")
    if plan.model or not read_run_file(request.folder)["model"]:  # a map's file outlives a later export
        write_bytes(request.folder / CONFIG_FILE, repeating(request, plan).to_toml().encode())
    return plan


def repeating(request: Request, plan: RunPlan) -> Request:
    """The request that repeats a run: with all layers that its map has."""
    return replace(request, layers=plan.layers) if isinstance(request, ModelRequest) else request


def take_in(
    request: Request,
    plan: RunPlan,
    session: Any,
    destination: Destination,
    listener: Listener,
    downloads: str | None,
) -> tuple[RunPlan, Collected]:
    """The files that batch tasks wrote, taken into the run; without any of them no run is begun or changed.

    Args:
        request: Folder of the run.
        plan: What was exported.
        session: Session of Earth Engine.
        destination: Where the tasks wrote.
        listener: Told the notices and the progress.
        downloads: Folder into which the files were brought by other means.

    Raises:
        AccessError: The bucket or Drive cannot be read.
        InputError: There are neither files nor a run, or another process works in it.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Files are missing or damaged; the message says what to do.
    """
    folder, kept = request.folder, going_on(request.folder, plan)
    exported = find_exported(kept, session, destination, downloads)
    if exported.files:
        kept = open_folder(request, plan, listener)
    elif not (folder / RUN_FILE).exists():
        raise InputError(
            f"There is no file of this run in {downloads or destination}, and no run in {folder}. Files are "
            "found by the options that their tasks were started with: check --to or --downloads, --out and "
            "the others."
        )
    collected = collect(
        folder,
        kept,
        session,
        destination,
        places=downloads,
        exported=exported,
        notice=listener.notice,
        progress=listener.progress,
    )
    collected.raise_if_incomplete()
    return kept, collected


def follow_tasks(
    request: Request,
    plan: RunPlan,
    session: Any,
    destination: Destination,
    listener: Listener,
    *,
    wait: bool,
    most_tasks: int,
) -> TaskSummary:
    """Batch tasks for what an opened run lacks, followed to their end if one waits.

    Raises:
        AccessError: Earth Engine cannot be used.
        MismatchError: The run has tasks that write elsewhere.
        IncompleteRunError: Tasks failed; the same request starts them again.
    """
    summary = export_by_tasks(
        request.folder,
        plan,
        session,
        destination,
        notice=listener.notice,
        progress=listener.progress,
        wait=wait,
        limit=most_tasks,
    )
    summary.raise_if_failed()
    return summary


def work_through(
    request: Request, plan: RunPlan, listener: Listener, *, since: Spent, **how: Any
) -> RunSummary:
    """Work on all cells of an open run.

    Args:
        request: Folder and budget.
        plan: What `open_folder` returned.
        listener: Told the notices and the progress.
        since: What the source had spent before this command.
        **how: Further arguments of `inference.run.execute.run`.

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
        **how,
    )
    for text in _mended(summary):
        listener.notice(text)
    summary.raise_if_incomplete()
    return summary


def finish_map(
    request: Request, plan: RunPlan, summary: RunSummary, background: Background, listener: Listener
) -> MapSummary:
    """The map of a run whose cells are all done.

    Raises:
        CorruptFileError: A prediction cannot be read.
        DiskFullError: The disk has no room for the map.
    """
    empty = _nothing_mapped(summary, plan)
    for text in empty:
        listener.notice(f"Warning: {text}")
    aoi, survey = background.aoi, background.survey
    notices = (*aoi.notices, *survey.notices, *background.notices, *_mended(summary), *empty)
    facts = _facts(request, plan, summary, background, notices)
    return write_map(request.folder, plan.grid, plan.cells, background.model.classes, facts)


def _mended(summary: RunSummary) -> tuple[str, ...]:
    """What to say of composites that were found damaged."""
    if not summary.remade:
        return ()
    named = ", ".join(summary.remade[:NAMED]) + (", ..." if len(summary.remade) > NAMED else "")
    return (f"Damaged composites were made again from the scenes: {len(summary.remade):,} ({named}).",)


def _nothing_mapped(summary: RunSummary, plan: RunPlan) -> tuple[str, ...]:
    """What to say of a map without a single class; it is complete, but hardly what was wanted."""
    if any(OUTSIDE < code < NOT_CROPLAND for code in summary.pixels):
        return ()
    masked, unseen = (summary.pixels.get(code, 0) for code in (NOT_CROPLAND, NOT_ENOUGH))
    on_server = plan.model and plan.model.kind == "forest"
    return (
        f"No pixel of the area has a class: {masked:,} are not cropland (check --cropland-mask), {unseen:,} "
        f"have fewer than {plan.recipe.min_clear_bins} clear observations (check "
        f"{'' if on_server else '--source and '}--year).",
    )


def _facts(
    request: Request, plan: RunPlan, summary: RunSummary, background: Background, notices: tuple[str, ...]
) -> MapFacts:
    name, model = request.aoi.stem.replace("_", " ").replace("-", " "), background.model
    return MapFacts(
        title=f"Crop map of {name} {request.year}",
        season=plan.season,
        recipe=plan.recipe,
        source=plan.source,
        model=background.model_name,
        model_digest=model.digest,
        run_digest=plan.digest,
        layers=plan.layers,
        provenance=model.provenance,
        metrics=model.metrics,
        confidence=background.confidence,
        version=version("cropmap"),
        simulated=background.survey.simulated,
        notices=notices,
        completeness=summary.completeness,
        spent=summary.spent,
        command=f"cropmap {plan.command} --config {request.folder / CONFIG_FILE}",
        config=repeating(request, plan).to_toml(),
        area=background.aoi.lonlat,
    )
