"""A map, whatever its model and wherever it is predicted: planned, worked on, finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import IncompleteRunError
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.source import Source, Survey
from inference.drawing.class_colors import colors_notice
from inference.product.legend import Legend
from inference.product.map_facts import MapFacts, MapSummary
from inference.product.map_writer import MapDraft
from inference.record.stage import stage
from inference.run.completeness import MUCH_MAPPED, RunSummary
from inference.run.cropland import CroplandMask
from inference.run.execute import spent
from inference.run.plan import CONFIG_FILE, PlannedKind, RunPlan
from inference.run.planning import plan_run
from inference.workflow.layers_of_model import require_told
from inference.workflow.place import season_of_model
from inference.workflow.request import Listener, MapRequest, ModelRequest, Request, ServedRequest
from inference.workflow.steps import Workers, checked, open_folder, remarks, repeating, work_through
from inference.workflow.trained_model import TrainedModel, introduce, warn_of_gap

ModelT = TypeVar("ModelT", bound=TrainedModel)
SourceT = TypeVar("SourceT", bound=Source)


@dataclass(frozen=True)
class PlannedMap(Generic[ModelT, SourceT]):
    """Everything that is known of a map before it is begun; nothing was written."""

    aoi: Aoi
    """The area."""
    model: ModelT
    """What labels the pixels."""
    model_name: str
    """What the model is called."""
    source: SourceT
    """Where composites, or predictions, come from."""
    plan: RunPlan
    """The run."""
    gap: tuple[str, ...]
    """A warning where the area lies outside the training places."""


@dataclass(frozen=True)
class Background:
    """What a map's report states besides what was counted."""

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


class MapWork(Protocol):
    """What differs between a map that is predicted here and one that Earth Engine's servers predict."""

    @property
    def request(self) -> Request:
        """The request, as its run keeps it."""

    @property
    def plan(self) -> RunPlan:
        """The run."""

    @property
    def source(self) -> Source:
        """What the cells are read from."""

    def prepare(self, listener: Listener) -> tuple[Background, Workers]:
        """Everything that may be refused before something is written.

        Raises:
            InputError: There is no scene of the area, or no worker.
            MismatchError: The servers predict something else than this machine.
        """


@stage("Plan of the map")
def plan_map(
    request: MapRequest | ServedRequest,
    model: ModelT,
    path: Path,
    source_of: Callable[[], SourceT],
    listener: Listener,
    *,
    kind: PlannedKind,
    margin: int = 0,
) -> PlannedMap[ModelT, SourceT]:
    """What a map shall be; the source is not asked for anything yet.

    Args:
        request: Area, year, grid, mask and layers.
        model: What labels the pixels.
        path: File of the model.
        source_of: Opens the source, once area and season are known to fit the model.
        listener: Receives what the model is.
        kind: What the model is, and where it predicts.
        margin: Bins that composites have before and after the model's window, as far as the season has them.

    Raises:
        InputError: Something in the request cannot be used.
        MismatchError: The model was trained on another season.
    """
    require_told(request, model, path, kind)
    introduce("Forest" if "forest" in kind else "Model", model, path, listener)
    aoi, season = season_of_model(request, model, path.name, listener)
    gap = warn_of_gap(model, aoi, listener)
    if alike := colors_notice({entry.name: entry.color for entry in _legend(request, model).entries}):
        listener.notice(alike)
    source = source_of()
    plan = plan_run(
        aoi,
        season,
        model.recipe,
        source,
        bins=model.recipe.around_window(margin),
        crs=request.crs,
        like=request.like,
        cell_size=request.cell_size,
        checkpoint=model,
        checkpoint_path=path,
        kind=kind,
        cropland=CroplandMask.parse(request.cropland_mask) if request.cropland_mask else None,
        layers=request.layers,
    )
    return PlannedMap(aoi, model, path.name, source, plan, gap)


def carry_out(work: MapWork, listener: Listener) -> MapSummary:
    """The map of a run; what an earlier call of the same request finished is kept.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: The budget did not suffice.
    """
    since = spent(work.source)
    with stage("Search for scenes"):
        background, workers = work.prepare(listener)
    plan = open_folder(work.request, work.plan, listener)
    with draft_of(work.request, plan, background.model) as draft:
        summary = work_through(work.request, plan, listener, since=since, workers=workers, draft=draft)
        return finish_map(work.request, plan, summary, background, draft, listener)


def draft_of(request: Request, plan: RunPlan, model: TrainedModel) -> MapDraft:
    """The map of a run, of which nothing is written yet."""
    return MapDraft(request.folder, plan.grid, plan.cells, _legend(request, model), plan.layers)


def _legend(request: Request, model: TrainedModel) -> Legend:
    """The classes of a model in the colours that are asked for."""
    return Legend.of(model.classes, request.colors if isinstance(request, ModelRequest) else None)


def _require_mapped(request: Request, plan: RunPlan, summary: RunSummary) -> None:
    """Refuse to call a map complete that holds less than was asked for; it stays as it is.

    Raises:
        IncompleteRunError: Fewer pixels have a class than `min_mapped` asks for.
    """
    least = request.min_mapped if isinstance(request, ModelRequest) else None
    mapped = summary.coverage.shares["mapped"]
    if least is not None and mapped < least:
        raise IncompleteRunError(
            f"--min-mapped asks for a class on {least:.1%} of the pixels to map, {mapped:.1%} have one. The "
            f"map is in {request.folder}. {_holes(summary, plan)} Give a --source that covers the area, or a "
            "lower --min-mapped."
        )


@stage("Map")
def finish_map(
    request: Request,
    plan: RunPlan,
    summary: RunSummary,
    background: Background,
    draft: MapDraft,
    listener: Listener,
) -> MapSummary:
    """The map of a run whose cells are all done, and were taken into a draft of it.

    Raises:
        CorruptFileError: A raster does not hold what the cells hold.
        DiskFullError: The disk has no room for the map.
        IncompleteRunError: It is written, but fewer pixels have a class than `min_mapped` asks for.
    """
    check = checked(summary, plan, background.model)
    empty = (*_little_mapped(summary, plan), *check.notices())
    for text in empty:
        listener.warn(text)
    aoi, survey = background.aoi, background.survey
    notices = (*aoi.notices, *survey.notices, *background.notices, *remarks(summary), *empty)
    facts = replace(_facts(request, plan, summary, background, notices), observed=check.report())
    made = draft.finish(facts)
    _require_mapped(request, plan, summary)
    return made


def _holes(summary: RunSummary, plan: RunPlan) -> str:
    """Why pixels have no class."""
    shares, least = summary.coverage.shares, plan.recipe.min_clear_bins
    return (
        f"{shares['no_observation']:.1%} have no clear observation (no scene covers them, or clouds always "
        f"do), {shares['too_few_observations']:.1%} have some, but fewer than {least}."
    )


def _little_mapped(summary: RunSummary, plan: RunPlan) -> tuple[str, ...]:
    """What to say of a map that holds little or nothing; it is complete, but hardly what was wanted."""
    if summary.coverage.mapped:
        mapped = summary.coverage.shares["mapped"]
        large = f"Only {mapped:.1%} of the pixels to map have a class. {_holes(summary, plan)}"
        return (large,) if mapped < MUCH_MAPPED else ()
    masked, unseen = (summary.pixels.get(code, 0) for code in (NOT_CROPLAND, NOT_ENOUGH))
    on_server = plan.model and plan.model.on_servers
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
        source=plan.shown_source,
        model=background.model_name,
        model_digest=model.digest,
        run_digest=plan.digest,
        workload=plan.workload,
        layers=plan.layers,
        provenance=model.provenance,
        metrics=model.metrics,
        prediction_sets=sets.to_dict() if (sets := getattr(model, "prediction_sets", None)) else {},
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
