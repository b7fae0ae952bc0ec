"""A forest map from an area and a year: classified on Earth Engine's servers, assembled here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.served_forest import ServedForest
from gee_pipeline.earthengine.prediction.prediction_source import PredictionSource
from gee_pipeline.earthengine.tasks.follower import PENDING_LIMIT
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_toml
from gee_pipeline.source import Survey
from inference.batch.export import TaskSummary
from inference.deployment.deployment import Deployment, deployment_path, load_deployment
from inference.deployment.verify import passed_verification, verifications_path, verified
from inference.models.forest_model import ForestModel, load_forest
from inference.product.map_facts import MapSummary
from inference.run.execute import spent
from inference.run.plan import CONFIG_FILE, RunPlan
from inference.run.planning import going_on
from inference.run.task_record import require_destination
from inference.workflow.mapping import Background, PlannedMap, carry_out, draft_of, finish_map, plan_map
from inference.workflow.request import ForestRequest, Listener
from inference.workflow.source import found_scenes, open_earth_engine
from inference.workflow.steps import HERE, Workers, work_through
from inference.workflow.tasks import destination_of, follow_tasks, take_in

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
class PlannedForest(PlannedMap[ForestModel, PredictionSource]):
    """A forest map before it is begun, and where the forest stands on the servers."""

    deployment: Deployment
    """Where its trees are."""

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
    planned = plan_map(
        request,
        model,
        request.forest,
        lambda: _source(request, model, deployment),
        listener,
        kind="forest",
    )
    return PlannedForest(**vars(planned), deployment=deployment)


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
        listener: Receives notices and progress.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds a run of something else, or the servers classify otherwise.
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: `max_eecu_hours` did not suffice.
    """
    listener = listener or Listener()
    return carry_out(_ServedMap(request, plan_forest(request, listener)), listener)


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
        listener: Receives notices and progress.
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
    work = _ServedMap(request, plan_forest(request, listener))
    require_destination(request.folder, destination)
    work.prepare(listener)
    return follow_tasks(
        work.request, work.plan, work.source.session, destination, listener, wait=wait, most_tasks=most_tasks
    )


def collect_forest_map(
    request: ForestRequest, listener: Listener | None = None, *, downloads: str | None = None
) -> MapSummary:
    """The map of the files that batch tasks wrote, each verified before it is taken into the run.

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
    planned = plan_forest(request, listener)
    request = _remembering(request)
    session = None if downloads else planned.source.session
    since = spent(planned.source)
    plan, _ = take_in(request, planned.plan, session, destination, listener, downloads)
    with draft_of(request, plan, planned.model) as draft:
        summary = work_through(request, plan, listener, since=since, draft=draft)  # finds every cell there
        survey = _scenes(request, planned, listener) if session else Survey(0)
        background = _background(planned, survey, request, _compared(request, planned))
        return finish_map(request, plan, summary, background, draft, listener)


class _ServedMap:
    """Cells are predicted by Earth Engine's servers."""

    def __init__(self, request: ForestRequest, planned: PlannedForest) -> None:
        self._asked, self._planned = request, planned
        self.request = _remembering(request)

    @property
    def plan(self) -> RunPlan:
        """The run."""
        return self._planned.plan

    @property
    def source(self) -> PredictionSource:
        """What classifies cells."""
        return self._planned.source

    def prepare(self, listener: Listener) -> tuple[Background, Workers]:
        """What the servers have for the map, once they are known to classify as this machine does."""
        planned = self._planned
        # a folder of something else is refused before cells are computed
        layers = going_on(self._asked.folder, planned.plan).layers
        planned = replace(planned, plan=replace(planned.plan, layers=layers))
        survey = found_scenes(planned.source, planned.plan, planned.aoi, listener)
        notices = require_same(self._asked, planned, listener)
        return _background(planned, survey, self._asked, notices), HERE


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
        listener.warn(UNVERIFIED)
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
    listener.warn(BEGUN_UNVERIFIED)
    return found.summary, BEGUN_UNVERIFIED


def _begun_unverified(folder: Path) -> bool:
    """Whether a former command mapped cells of a run without a comparison."""
    path = folder / CONFIG_FILE
    return path.is_file() and bool(read_toml(path).get("unverified"))


def _remembering(request: ForestRequest) -> ForestRequest:
    """The request that its run keeps: what was once mapped unverified stays so."""
    return replace(request, unverified=request.unverified or _begun_unverified(request.folder))


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
        model_name=planned.model_name,
        survey=survey,
        notices=(*planned.gap, *notices),
        confidence=planned.confidence,
    )


def _scenes(request: ForestRequest, planned: PlannedForest, listener: Listener) -> Survey:
    """The scenes alone: once all is classified, the forest's assets may be gone."""
    source = open_earth_engine(request, planned.model.recipe)
    return found_scenes(source, planned.plan, planned.aoi, listener)


def _source(request: ForestRequest, model: ForestModel, deployment: Deployment) -> PredictionSource:
    served = ServedForest(model.features, deployment.served(model), len(model.classes))
    return PredictionSource(model.recipe, request.settings, cropland=request.cropland, model=served)
