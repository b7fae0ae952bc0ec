"""A forest map from an area and a year: classified on Earth Engine's servers, assembled here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gee_pipeline.aoi import Aoi
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.forest_source import ForestSource
from gee_pipeline.earthengine.tasks.follower import PENDING_LIMIT
from gee_pipeline.errors import InputError
from gee_pipeline.source import Survey
from inference.batch.export import TaskSummary
from inference.deployment.deployment import Deployment, deployment_path, load_deployment
from inference.deployment.verify import passed_verification, verifications_path, verified
from inference.models.forest_model import ForestModel, load_forest
from inference.product.map_facts import MapSummary
from inference.run.cropland import CroplandMask
from inference.run.execute import spent
from inference.run.plan import CONFIG_FILE, RunPlan
from inference.run.planning import going_on, plan_run
from inference.run.task_record import require_destination
from inference.workflow.request import ForestRequest, Listener
from inference.workflow.steps import (
    Background,
    destination_of,
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

_HOW: Final[dict[Confidence, str]] = {
    "votes": "share of the votes of {trees} trees",
    "probability": "mean leaf probability of {trees} trees",
    "none": "none, the class is Earth Engine's own vote of {trees} trees",
}
"""How the confidence of a pixel is made."""

UNVERIFIED: Final = (
    "What the servers say was not compared with what the forest says on this machine (--unverified)."
)

BEGUN_UNVERIFIED: Final = (
    "The run was worked on with --unverified before: what it has from then was compared with nothing."
)


@dataclass(frozen=True)
class PlannedForest:
    """Everything that is known before a forest map is begun; nothing was written."""

    model: ForestModel
    """The forest."""
    deployment: Deployment
    """Where its trees are on the servers."""
    source: ForestSource
    """What classifies cells there, and gives their composites."""
    plan: RunPlan
    """The run."""
    aoi: Aoi
    """The area."""
    gap: tuple[str, ...]
    """A warning where the area lies outside the training places."""

    @property
    def confidence(self) -> str:
        """How the confidence of a pixel is made, in words."""
        return _HOW[self.deployment.confidence].format(trees=f"{self.deployment.trees:,}")


def plan_forest(request: ForestRequest, listener: Listener) -> PlannedForest:
    """What a forest map shall be; the servers are not asked for anything yet.

    Raises:
        InputError: Something in the request cannot be used, or the forest is not deployed.
        MismatchError: The deployment is of another forest.
        CorruptFileError: The forest or its deployment is damaged.
    """
    model = load_forest(request.forest)
    deployment = load_deployment(deployment_path(request.forest), model)
    _require_scores(request, deployment)
    introduce("Forest", model, request.forest, listener)
    aoi, season = season_of_model(request, model, request.forest.name, listener)
    gap = warn_of_gap(model, aoi, listener)
    source = _source(request, model, deployment)
    plan = plan_run(
        aoi,
        season,
        model.recipe,
        source,
        crs=request.crs,
        like=request.like,
        cell_size=request.cell_size,
        checkpoint=model,
        checkpoint_path=request.forest,
        kind="forest",
        cropland=CroplandMask.parse(request.cropland_mask) if request.cropland_mask else None,
        layers=request.layers,
    )
    return PlannedForest(model, deployment, source, plan, aoi, gap)


def _require_scores(request: ForestRequest, deployment: Deployment) -> None:
    """Refuse layers of classes about which the servers say nothing."""
    if request.layers and deployment.confidence == "none":
        raise InputError(
            f"--layers {','.join(request.layers)} take the votes or probabilities of all classes, but this "
            "forest was deployed with --confidence none, which answers the class alone. Deploy it again with "
            "--confidence votes or probability, or omit --layers."
        )


def make_forest_map(request: ForestRequest, listener: Listener | None = None) -> MapSummary:
    """A whole map of a forest that Earth Engine runs; what a former call of the same finished is kept.

    Args:
        request: Area, year and forest; without `to`.
        listener: Told the notices and the progress.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds a run of something else, or the servers classify otherwise.
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: `max_eecu_hours` did not suffice.
    """
    listener = listener or Listener()
    planned = plan_forest(request, listener)
    since = spent(planned.source)
    background = _ready(request, planned, listener)
    request = _remembering(request)
    plan = open_folder(request, planned.plan, listener)
    summary = work_through(request, plan, listener, since=since)
    return finish_map(request, plan, summary, background, listener)


def start_forest_tasks(
    request: ForestRequest,
    listener: Listener | None = None,
    *,
    wait: bool = True,
    most_tasks: int = PENDING_LIMIT,
) -> TaskSummary:
    """Batch tasks that write the predictions of a forest to `request.to`, followed to their end.

    Args:
        request: Area, year and forest, with `to`.
        listener: Told the notices and the progress.
        wait: False returns once the tasks are started.
        most_tasks: Tasks of the run that wait or work at once.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds a run of something else, or the servers classify otherwise.
        IncompleteRunError: Tasks failed; the same request starts them again.
    """
    listener = listener or Listener()
    destination = destination_of(request.to)
    planned = plan_forest(request, listener)
    require_destination(request.folder, destination)
    _ready(request, planned, listener)
    plan = open_folder(_remembering(request), planned.plan, listener)
    return follow_tasks(
        request, plan, planned.source.session, destination, listener, wait=wait, most_tasks=most_tasks
    )


def collect_forest_map(
    request: ForestRequest, listener: Listener | None = None, *, downloads: str | None = None
) -> MapSummary:
    """The map of the files that batch tasks wrote, each verified before it is taken into the run.

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
    planned = plan_forest(request, listener)
    request = _remembering(request)
    session = None if downloads else planned.source.session
    since = spent(planned.source)
    plan, _ = take_in(request, planned.plan, session, destination, listener, downloads)
    summary = work_through(request, plan, listener, since=since)  # finds every cell there, and counts
    survey = _scenes(request, planned, listener) if session else Survey(0)
    background = _background(planned, survey, request, _compared(request, planned))
    return finish_map(request, plan, summary, background, listener)


def require_same(request: ForestRequest, planned: PlannedForest, listener: Listener) -> tuple[str, ...]:
    """Let nothing be mapped that the servers classify otherwise than this machine.

    Cells are compared unless that was done for the same forest, deployment, season and area before, and had
    passed.

    Returns:
        What to say of it in the map's report.

    Raises:
        MismatchError: The servers say something else; nothing of the map was begun.
        InputError: There is nothing to compare.
    """
    if request.unverified:
        listener.notice(f"Warning: {UNVERIFIED}")
        return (UNVERIFIED,)
    found = passed_verification(
        verifications_path(request.forest),
        planned.plan,
        planned.source,
        planned.model,
        planned.deployment,
        notice=listener.notice,
    )
    if not _begun_unverified(request.folder):
        return (found.summary,)
    listener.notice(f"Warning: {BEGUN_UNVERIFIED}")
    return found.summary, BEGUN_UNVERIFIED


def _begun_unverified(folder: Path) -> bool:
    """Whether a former command mapped cells of a run without a comparison."""
    path = folder / CONFIG_FILE
    return path.is_file() and bool(tomllib.loads(path.read_text(encoding="utf-8")).get("unverified"))


def _remembering(request: ForestRequest) -> ForestRequest:
    """The request that its run keeps: what was once mapped unverified stays so."""
    return replace(request, unverified=request.unverified or _begun_unverified(request.folder))


def _ready(request: ForestRequest, planned: PlannedForest, listener: Listener) -> Background:
    """What the servers have for a map, once they are known to classify as this machine does."""
    # a folder of something else is refused before cells are computed
    layers = going_on(request.folder, planned.plan).layers
    planned = replace(planned, plan=replace(planned.plan, layers=layers))
    survey = found_scenes(planned.source, planned.plan, planned.aoi, listener)
    return _background(planned, survey, request, require_same(request, planned, listener))


def _compared(request: ForestRequest, planned: PlannedForest) -> tuple[str, ...]:
    """What to say in the report of a map whose tasks were started before."""
    path = verifications_path(request.forest)
    found = verified(path, planned.plan, planned.source, planned.deployment)
    return (found.summary,) if found and not request.unverified else (UNVERIFIED,)


def _background(
    planned: PlannedForest, survey: Survey, request: ForestRequest, notices: tuple[str, ...]
) -> Background:
    return Background(
        aoi=planned.aoi,
        model=planned.model,
        model_name=request.forest.name,
        survey=survey,
        notices=(*planned.gap, *notices),
        confidence=planned.confidence,
    )


def _scenes(request: ForestRequest, planned: PlannedForest, listener: Listener) -> Survey:
    """The scenes alone: once all is classified, the forest's assets may be gone."""
    source = EarthEngineSource(planned.model.recipe, request.settings, cropland=request.cropland)
    return found_scenes(source, planned.plan, planned.aoi, listener)


def _source(request: ForestRequest, model: ForestModel, deployment: Deployment) -> ForestSource:
    return ForestSource(
        model.recipe,
        request.settings,
        cropland=request.cropland,
        features=model.features,
        trees=deployment.served(model),
        classes=len(model.classes),
    )
