"""A map from an area and a year that Earth Engine's servers make, by a forest or a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from gee_pipeline.earthengine.prediction.prediction_source import PredictionSource
from gee_pipeline.earthengine.tasks.follower import PENDING_LIMIT
from gee_pipeline.files import read_toml
from gee_pipeline.source import Survey
from inference.batch.export import TaskSummary
from inference.deployment.verify import passed_verification, verified
from inference.product.map_facts import MapSummary
from inference.run.execute import spent
from inference.run.plan import CONFIG_FILE, RunPlan
from inference.run.planning import going_on
from inference.run.task_record import require_destination
from inference.workflow.mapping import Background, carry_out, draft_of, finish_map
from inference.workflow.plan_served import PlannedServed, plan_served
from inference.workflow.request import Listener, ServedRequest
from inference.workflow.source import found_scenes, open_earth_engine
from inference.workflow.steps import HERE, Workers, work_through
from inference.workflow.tasks import destination_of, follow_tasks, take_in

UNVERIFIED: Final = (
    "What the servers say was not compared with what the model says on this machine (--unverified)."
)

BEGUN_UNVERIFIED: Final = (
    "The run was worked on with --unverified before: what it has from then was compared with nothing."
)


def make_served_map(request: ServedRequest, listener: Listener | None = None) -> MapSummary:
    """A whole map of a model that Earth Engine runs; what a former call of the same finished is kept.

    Args:
        request: Area, year and model; without `to`.
        listener: Receives notices and progress.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds a run of something else, or the servers classify otherwise.
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: `max_eecu_hours` did not suffice.
    """
    listener = listener or Listener()
    return carry_out(_ServedMap(request, plan_served(request, listener)), listener)


def start_served_tasks(
    request: ServedRequest,
    listener: Listener | None = None,
    *,
    wait: bool = True,
    most_tasks: int = PENDING_LIMIT,
) -> TaskSummary:
    """Batch tasks that write the predictions of a model to `request.to`, followed to their end.

    Args:
        request: Area, year and model, with `to`.
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
    work = _ServedMap(request, plan_served(request, listener))
    require_destination(request.folder, destination)
    work.prepare(listener)
    return follow_tasks(
        work.request, work.plan, work.source.session, destination, listener, wait=wait, most_tasks=most_tasks
    )


def collect_served_map(
    request: ServedRequest, listener: Listener | None = None, *, downloads: str | None = None
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
    planned = plan_served(request, listener)
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

    def __init__(self, request: ServedRequest, planned: PlannedServed) -> None:
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


def require_same(request: ServedRequest, planned: PlannedServed, listener: Listener) -> tuple[str, ...]:
    """Let nothing be mapped that the servers classify otherwise than this machine.

    Cells are compared unless that was done for the same model, deployment, season and area before, and had
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
        planned.verifications, planned.plan, planned.source, planned.server_model, notice=listener.notice
    )
    if not _begun_unverified(request.folder):
        return (found.summary,)
    listener.warn(BEGUN_UNVERIFIED)
    return found.summary, BEGUN_UNVERIFIED


def _begun_unverified(folder: Path) -> bool:
    """Whether a former command mapped cells of a run without a comparison."""
    path = folder / CONFIG_FILE
    return path.is_file() and bool(read_toml(path).get("unverified"))


def _remembering(request: ServedRequest) -> ServedRequest:
    """The request that its run keeps: what was once mapped unverified stays so."""
    return replace(request, unverified=request.unverified or _begun_unverified(request.folder))


def _compared(request: ServedRequest, planned: PlannedServed) -> tuple[str, ...]:
    """What to say in the report of a map whose tasks were started before."""
    found = verified(planned.verifications, planned.plan, planned.source, planned.server_model)
    return (found.summary,) if found and not request.unverified else (UNVERIFIED,)


def _background(
    planned: PlannedServed, survey: Survey, request: ServedRequest, notices: tuple[str, ...]
) -> Background:
    return Background(
        aoi=planned.aoi,
        model=planned.model,
        model_name=planned.model_name,
        survey=survey,
        notices=(*planned.gap, *notices),
        confidence=planned.server_model.confidence,
    )


def _scenes(request: ServedRequest, planned: PlannedServed, listener: Listener) -> Survey:
    """The scenes alone: once all is classified, the model's assets may be gone."""
    source = open_earth_engine(request, planned.model.recipe)
    return found_scenes(source, planned.plan, planned.aoi, listener)
