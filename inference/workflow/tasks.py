"""Runs by batch tasks of Earth Engine: started and followed, then their files taken in."""

from __future__ import annotations

from gee_pipeline.earthengine.client.session import Session
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.earthengine.tasks.follower import PENDING_LIMIT
from gee_pipeline.errors import InputError
from inference.batch.collect import Collected, collect, find_exported
from inference.batch.export import TaskSummary, export_by_tasks
from inference.record.stage import stage
from inference.run.plan import RUN_FILE, RunPlan
from inference.run.planning import going_on
from inference.run.task_record import require_destination
from inference.workflow.request import Listener, Request
from inference.workflow.steps import open_folder


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


@stage("Batch tasks")
def follow_tasks(
    request: Request,
    plan: RunPlan,
    session: Session,
    destination: Destination,
    listener: Listener,
    *,
    wait: bool = True,
    most_tasks: int = PENDING_LIMIT,
) -> TaskSummary:
    """Batch tasks for what a run lacks, followed to their end if one waits.

    Args:
        request: Folder of the run.
        plan: What is to be exported.
        session: Session of Earth Engine.
        destination: Where the tasks write.
        listener: Receives notices and progress.
        wait: False returns once the tasks are started.
        most_tasks: Tasks of the run that wait or work at once.

    Raises:
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds a run of something else, or its tasks write elsewhere.
        IncompleteRunError: Tasks failed; the same request starts them again.
    """
    require_destination(request.folder, destination)
    summary = export_by_tasks(
        request.folder,
        open_folder(request, plan, listener),
        session,
        destination,
        notice=listener.notice,
        progress=listener.progress,
        wait=wait,
        limit=most_tasks,
    )
    summary.raise_if_failed()
    return summary


@stage("Files of batch tasks")
def take_in(
    request: Request,
    plan: RunPlan,
    session: Session | None,
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
        listener: Receives notices and progress.
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
