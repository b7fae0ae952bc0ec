import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.io import MemoryFile

from gee_pipeline.earthengine.client.session import Session, disconnect
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.errors import AccessError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.store import composite_path, read_composite
from inference.batch.collect import collect
from inference.batch.export import TaskSummary, export_by_tasks
from inference.run.execute import Progress, run
from inference.run.ledger import status
from inference.run.plan import RunPlan
from inference.run.task_record import TASKS_FILE, read_tasks
from tests.support.batch_place import (
    BUCKET,
    DRIVE,
    NAMES,
    SIZE,
    cleared,
    expected_values,
    planned,
    server_of,
    session_of,
)
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.server import Emulator
from tests.support.fake_runs import FakeSource

FOLDER = "north/2021"


pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]


@pytest.fixture(scope="module")
def started_server() -> Iterator[Emulator]:
    with server_of() as server:
        yield server
    disconnect()


@pytest.fixture(scope="module")
def open_session(started_server: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return session_of(started_server, tmp_path_factory.mktemp("keys"))


@pytest.fixture
def server(started_server: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", started_server.url)
    monkeypatch.setenv("CROPMAP_DRIVE_URL", started_server.url)
    yield cleared(started_server)
    assert not started_server.errors


@pytest.fixture
def session(server: Emulator, open_session: Session) -> Session:
    return open_session


def export(
    folder: Path, plan: RunPlan, session: Any, to: Destination = BUCKET, **options: Any
) -> TaskSummary:
    """All tasks to their end without pauses; the server computes by its formula, whatever is asked."""
    defaults = {"sleep": lambda seconds: None, "image_of": lambda geobox: ee.Image.constant(0).toInt16()}
    return export_by_tasks(folder, plan, session, to, **(defaults | options))


def composites(folder: Path, plan: RunPlan) -> dict[tuple[int, int], Any]:
    found = {}
    for cell in plan.grid.cells(plan.cells):
        path = composite_path(folder, cell)
        if path.exists():
            found[cell.row, cell.col] = read_composite(path, cell, plan.recipe, plan.season, plan.bins)
    return found


def assert_as_expected(folder: Path, plan: RunPlan) -> None:
    found = composites(folder, plan)
    assert sorted(found) == [tuple(cell) for cell in plan.cells.tolist()]
    for (row, col), composite in found.items():
        np.testing.assert_array_equal(composite.values, expected_values(row, col))


def started(server: Emulator) -> list[str]:
    """Descriptions of all tasks that the server ever began."""
    return [task.body["description"] for task in server.tasks]


def blocks_of(server: Emulator) -> list[str]:
    """Blocks of all tasks that the server ever began, by the names of their files."""
    prefixes = [task.export.prefix for task in server.tasks]
    return [prefix.split("-")[-1] for prefix in prefixes]


# From tasks to composites


@pytest.mark.parametrize("to", [BUCKET, DRIVE, Destination("gcs", "whole-bucket")], ids=str)
def test_exported_and_collected_composites_are_those_of_the_servers(
    tmp_path: Path, server: Emulator, session: Session, to: Destination
) -> None:
    plan = planned(tmp_path, cells=9)
    summary = export(tmp_path, plan, session, to)
    assert (summary.cells, summary.cells_done, summary.done) == (9, 9, 2)
    assert summary.complete
    collected = collect(tmp_path, plan, session, to)
    collected.raise_if_incomplete()
    assert (collected.taken, collected.present) == (9, 0)
    assert_as_expected(tmp_path, plan)


def test_an_interruption_need_not_wait_for_files_that_do_not_come(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session)
    before, begun = set(threading.enumerate()), set[threading.Thread]()

    def look(state: Progress) -> None:
        begun.update(set(threading.enumerate()) - before)

    collect(tmp_path, plan, session, BUCKET, progress=look)
    assert begun
    assert [thread.name for thread in begun if not thread.daemon] == []  # Python waits for these at its end


def test_files_that_were_downloaded_are_collected_without_a_session(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    folder, downloads = tmp_path / "run", tmp_path / "Download" / "crops"
    plan = planned(folder)
    export(folder, plan, session)
    download(server, downloads)
    told: list[str] = []
    collected = collect(folder, plan, None, BUCKET, places=str(downloads.parent), notice=told.append)
    assert collected.taken == 17
    assert_as_expected(folder, plan)
    assert len(told) == 1  # once, not for each cell
    assert "not counted" in told[0]


def test_each_cell_is_one_file_on_the_grid_of_the_run(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session)
    names = server.storage.names("crop-bucket")
    assert len(names) == 17
    assert all(name.startswith(f"{FOLDER}/cropmap-") for name in names)
    (tmp_path / "one.tif").write_bytes(server.storage.get("crop-bucket", names[9]))
    with rasterio.open(tmp_path / "one.tif") as file:
        assert file.dtypes[0] == "int16"
        assert file.nodata == -9999
        assert file.crs.to_epsg() == 32633
        assert file.transform == plan.grid.cell(0, 9).geobox.transform
        assert file.descriptions == tuple(NAMES)


def test_a_run_goes_on_from_collected_composites_without_its_source(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    folder, calls = tmp_path / "run", tmp_path / "calls"
    plan = planned(folder)
    export(folder, plan, session)
    collect(folder, plan, session, BUCKET)
    summary = run(folder, replace(plan, reader=FakeSource(calls)), workers=0)
    summary.raise_if_incomplete()
    assert summary.done == 17
    assert not FakeSource(calls).called()


def test_collected_cells_tell_their_scenes_and_count_in_the_status(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session)
    collect(tmp_path, plan, session, BUCKET)
    counts = composites(tmp_path, plan)[0, 4].counts
    assert (counts.scenes, counts.without_score, counts.same_day) == (4, 1, 2)
    assert counts.duplicates_dropped is None
    assert (status(tmp_path).done, status(tmp_path).failed) == (17, 0)


def test_the_cropland_band_becomes_the_mask_of_the_composite(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    of_bands = server._image_pixels

    def pixels(image: Any, grid: Any) -> Any:
        bands = of_bands(image, grid)
        _, values, valid = bands[0]
        return [*bands, ("cropland", (values > 3_000).astype(np.int16), valid)]

    server._image_pixels = pixels
    plan = planned(tmp_path, cells=2, cropland="worldcover")
    export(tmp_path, plan, session)
    collect(tmp_path, plan, session, BUCKET)
    for (row, col), composite in composites(tmp_path, plan).items():
        np.testing.assert_array_equal(composite.cropland, expected_values(row, col)[0, 0] > 3_000)
    assert_as_expected(tmp_path, plan)


def test_a_missing_cropland_band_is_a_damaged_file(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=2, cropland="worldcover")
    export(tmp_path, plan, session)
    assert len(collect(tmp_path, plan, session, BUCKET).damaged) == 2


# The queue


def test_no_more_tasks_are_pending_than_allowed(tmp_path: Path, server: Emulator, session: Session) -> None:
    plan, most = planned(tmp_path, cells=33), []

    def look(progress: Progress) -> None:
        most.append(sum(task.state in ("PENDING", "RUNNING") for task in server.tasks))

    summary = export(tmp_path, plan, session, limit=2, progress=look)
    assert summary.done == 5
    assert max(most) == 2


def test_a_full_queue_of_the_server_is_waited_for(tmp_path: Path, server: Emulator, session: Session) -> None:
    server.tasks.queue_limit = 1
    plan, told, slept = planned(tmp_path, cells=33), [], []
    summary = export(tmp_path, plan, session, notice=told.append, sleep=slept.append, poll_seconds=7)
    assert summary.done == 5
    assert len(started(server)) == 5
    assert set(slept) == {7}
    assert len([text for text in told if "Too many tasks" in text]) == 1


def test_without_waiting_tasks_are_started_and_resumed_by_the_next_call(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    first = export(tmp_path, plan, session, wait=False, limit=2)
    assert (first.active, first.waiting, first.complete) == (2, 1, False)
    second = export(tmp_path, plan, session)
    assert second.complete
    assert len(started(server)) == 3


def test_progress_counts_cells(tmp_path: Path, server: Emulator, session: Session) -> None:
    plan, states = planned(tmp_path), []
    server.script_tasks("Image.select: no band.", None, None)
    export(tmp_path, plan, session, progress=states.append)
    assert (states[0].done, states[0].planned) == (0, 17)
    assert (states[-1].done, states[-1].failed) == (9, 8)
    assert states[-1].pixels == 9 * SIZE**2


def test_computing_time_of_failed_tasks_counts_too(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session)
    summary = export(tmp_path, plan, session)  # nothing to do
    assert len(started(server)) == 3
    assert summary.eecu_seconds == pytest.approx(server.batch_eecu_seconds, abs=0.01)
    assert summary.eecu_seconds > 0


# Failures


@pytest.mark.parametrize(
    "message", ["Internal error.", "Too many concurrent aggregations.", "The service is unavailable."]
)
def test_a_task_that_failed_for_a_passing_reason_is_started_again(
    tmp_path: Path, server: Emulator, session: Session, message: str
) -> None:
    plan = planned(tmp_path)
    server.script_tasks(message, None, None, message)
    summary = export(tmp_path, plan, session)
    assert summary.complete
    assert len(started(server)) == 5
    assert len(set(started(server))) == 5  # another id each time


def test_after_two_repeats_a_task_is_reported_in_the_words_of_the_server(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=8)
    server.script_tasks(*["Internal error."] * 3)
    summary = export(tmp_path, plan, session)
    assert len(started(server)) == 3
    assert [(f.name, f.cells, f.message) for f in summary.failures] == [
        ("r0000_c0000_1x8", 8, "Internal error.")
    ]
    with pytest.raises(
        IncompleteRunError, match=r"r0000_c0000_1x8 \(8 cells\): Internal error\.(.|\n)*--to gcs"
    ):
        summary.raise_if_failed()


def test_the_next_call_starts_what_failed_anew(tmp_path: Path, server: Emulator, session: Session) -> None:
    plan = planned(tmp_path, cells=8)
    server.script_tasks("Image.select: no band.")
    assert export(tmp_path, plan, session).failures
    assert export(tmp_path, plan, session).complete
    assert len(set(started(server))) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("User memory limit exceeded.", "Execution failed; out of memory."),
        ("Computation timed out.", "Computed value too large"),
    ],
)
def test_a_block_that_needs_too_much_memory_or_time_is_split(
    tmp_path: Path, server: Emulator, session: Session, first: str, second: str
) -> None:
    plan, told = planned(tmp_path), []
    server.script_tasks(first, None, None, second)
    summary = export(tmp_path, plan, session, notice=told.append)
    assert summary.complete
    # the first block in halves, of these the first in halves again
    assert sorted(blocks_of(server)) == [
        "r0000_c0000_1x2",
        "r0000_c0000_1x4",
        "r0000_c0000_1x8",
        "r0000_c0002_1x2",
        "r0000_c0004_1x4",
        "r0000_c0008_1x8",
        "r0000_c0016_1x1",
    ]
    assert len(told) == 2
    assert collect(tmp_path, plan, session, BUCKET).taken == 17
    assert_as_expected(tmp_path, plan)


def test_a_split_block_stays_split_in_the_next_call(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=8)
    server.script_tasks("User memory limit exceeded.")
    export(tmp_path, plan, session, wait=False)
    export(tmp_path, plan, session, wait=False)
    export(tmp_path, plan, session, wait=False)
    assert export(tmp_path, plan, session).complete
    assert sorted(blocks_of(server)) == ["r0000_c0000_1x4", "r0000_c0000_1x8", "r0000_c0004_1x4"]


def test_a_single_cell_is_computed_in_ever_smaller_squares_and_then_reported(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=1)
    server.script_tasks(*["User memory limit exceeded."] * 9)
    summary = export(tmp_path, plan, session)
    assert [failure.message for failure in summary.failures] == ["User memory limit exceeded."]
    assert [task.subject.tile for task in read_tasks(tmp_path).records.values()] == [32]
    assert len(started(server)) == 4  # squares of 256, 128, 64 and 32


def test_a_cancelled_task_is_reported_and_not_started_again_by_itself(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=9)
    export(tmp_path, plan, session, wait=False)
    first = next(iter(server.tasks))
    server.tasks.cancel(first.name)
    summary = export(tmp_path, plan, session)
    assert [(f.name, f.message) for f in summary.failures] == [
        ("r0000_c0000_1x8", "it was cancelled at Earth Engine")
    ]
    assert len(started(server)) == 2


def test_a_bucket_that_is_not_there_does_not_fail_all_tasks(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    server.storage.missing_buckets.add("crop-bucket")
    plan, told = planned(tmp_path, cells=8 * 12), []
    summary = export(tmp_path, plan, session, limit=3, notice=told.append)
    assert (len(summary.failures), summary.waiting) == (3, 9)
    assert "does not exist" in summary.failures[0].message
    assert told[-1].startswith("3 tasks failed for the same reason")
    server.storage.missing_buckets.clear()
    assert export(tmp_path, plan, session).complete


def test_a_task_that_earth_engine_has_forgotten_counts_as_done(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=8)
    export(tmp_path, plan, session, wait=False)
    server.advance(2)
    server.script("operation", Answer.error(404, "Operation not found."))
    assert export(tmp_path, plan, session).complete
    assert collect(tmp_path, plan, session, BUCKET).taken == 8


def test_a_lack_of_permission_ends_the_export(tmp_path: Path, server: Emulator, session: Session) -> None:
    plan = planned(tmp_path)
    server.script("export", Answer.error(403, "Permission 'earthengine.exports.create' denied."))
    with pytest.raises(AccessError, match=r"earthengine\.exports\.create"):
        export(tmp_path, plan, session)


def test_a_refused_request_is_reported_in_the_words_of_the_server(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=9)
    server.script("export", Answer.error(400, "Invalid value for bucket."))
    summary = export(tmp_path, plan, session)
    assert [failure.message for failure in summary.failures] == ["Invalid value for bucket."]
    assert summary.cells_done == 1


def test_the_state_of_tasks_is_asked_again_where_it_was_not_told(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=8)
    server.script("operation", Answer.error(503, "Try later."), Answer.truncated())
    assert export(tmp_path, plan, session).complete
    assert len(started(server)) == 1


def test_a_task_whose_state_is_refused_is_not_waited_for_and_asked_again_the_next_time(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=8)
    export(tmp_path, plan, session, wait=False)
    server.script("operation", Answer.error(400, "Malformed operation."))
    summary = export(tmp_path, plan, session)
    assert "Malformed operation." in summary.failures[0].message
    assert (summary.active, summary.complete) == (0, False)
    assert export(tmp_path, plan, session).complete
    assert len(started(server)) == 1


# Killed at the worst moment


class Killed(BaseException):
    """The process dies here: nothing after this line runs."""


class DyingSession:
    """A session in whose process the power fails at the n-th submission."""

    def __init__(self, session: Session, at: int, *, after_submission: bool) -> None:
        self._session, self._left, self._after = session, at, after_submission
        self.project, self.settings = session.project, session.settings

    def start_export(self, params: dict[str, Any], request_id: str) -> dict[str, Any]:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        operation = self._session.start_export(params, request_id)
        if self._left == 0:
            raise Killed
        return operation

    def operation(self, name: str) -> dict[str, Any]:
        return self._session.operation(name)


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("after_submission", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("listing", [True, False], ids=["listed", "not listed"])
def test_a_kill_between_submission_and_note_starts_no_task_twice(
    tmp_path: Path, server: Emulator, session: Session, at: int, after_submission: bool, listing: bool
) -> None:
    plan = planned(tmp_path)
    with pytest.raises(Killed):
        export(tmp_path, plan, DyingSession(session, at, after_submission=after_submission))
    if not listing:  # then the request's id alone has to do
        server.script("operations", *[Answer.error(500, "Internal error.")] * 9)
    summary = export(tmp_path, plan, session)
    assert summary.complete
    assert len(started(server)) == len(set(blocks_of(server))) == 3
    assert len(server.storage.names("crop-bucket")) == 17


def test_an_answer_that_was_lost_on_the_way_starts_no_task_twice(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    server.script("export", Answer.truncated(), Answer.ok(), Answer.truncated())
    assert export(tmp_path, plan, session).complete
    assert len(started(server)) == 3


def test_a_request_that_changed_since_it_was_sent_finds_its_task_by_name(
    tmp_path: Path, server: Emulator, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of the program may write the expression differently."""
    plan = planned(tmp_path, cells=8)
    with pytest.raises(Killed):
        export(tmp_path, plan, DyingSession(session, 1, after_submission=True))
    monkeypatch.setattr("gee_pipeline.earthengine.tasks.follower.TaskFollower._adopt", lambda self: None)
    next(iter(server.tasks)).body["maxPixels"] = {"value": "7"}
    assert export(tmp_path, plan, session).complete
    assert len(started(server)) == 1


def test_the_request_is_on_the_disk_before_it_is_sent(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    with pytest.raises(Killed):
        export(tmp_path, plan, DyingSession(session, 1, after_submission=False))
    lines = [json.loads(line) for line in (tmp_path / TASKS_FILE).read_text().splitlines()]
    assert (lines[-1]["block"], lines[-1]["state"]) == ("r0000_c0000_1x8", "submitting")


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path, server: Emulator, session: Session) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session, wait=False, limit=2)
    path = tmp_path / TASKS_FILE
    path.write_bytes(path.read_bytes() + b'{"block":"r0000_c0016_1x1","sta')
    assert export(tmp_path, plan, session).complete
    assert len(started(server)) == 3
    assert len(read_tasks(tmp_path).records) == 3


def test_a_run_that_was_deleted_and_begun_anew_has_tasks_of_its_own(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    folder = tmp_path / "run"
    export(folder, planned(folder, cells=1), session)
    shutil.rmtree(folder)
    export(folder, planned(folder, cells=1), session)
    assert len(set(started(server))) == 2
    assert len(server.storage.names("crop-bucket")) == 1  # files of the same names


# What is there already


def test_blocks_whose_composites_are_there_are_not_exported(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session)
    collect(tmp_path, plan, session, BUCKET)
    (tmp_path / TASKS_FILE).unlink()
    composite_path(tmp_path, plan.grid.cell(0, 16)).unlink()
    assert export(tmp_path, plan, session).complete
    assert len(started(server)) == 4
    assert blocks_of(server)[-1] == "r0000_c0016_1x1"


def test_tasks_of_another_destination_are_not_mixed(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session, wait=False)
    with pytest.raises(MismatchError, match=r"gcs://crop-bucket/north/2021.*drive:crops now"):
        export(tmp_path, plan, session, DRIVE)


def test_where_nothing_was_started_another_destination_is_welcome(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path, cells=1)
    server.script("export", Answer.error(400, "Invalid bucket name."))
    export(tmp_path, plan, session)
    assert export(tmp_path, plan, session, DRIVE).complete


def test_a_limit_of_no_tasks_is_refused(tmp_path: Path, server: Emulator, session: Session) -> None:
    with pytest.raises(InputError, match="At least one task"):
        export(tmp_path, planned(tmp_path), session, limit=0)


# Files that are missing or damaged


def download(server: Emulator, folder: Path) -> list[Path]:
    """Copy the bucket into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in server.storage.names("crop-bucket"):
        path = folder / name.rsplit("/", 1)[-1]
        path.write_bytes(server.storage.get("crop-bucket", name))
        paths.append(path)
    return paths


def test_a_missing_file_is_named_with_the_command_and_exported_once_more(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session)
    lost = server.storage.names("crop-bucket")[11]
    server.storage.delete("crop-bucket", lost)
    collected = collect(tmp_path, plan, session, BUCKET)
    assert collected.done == 16
    assert [(f.name, f.error) for f in collected.missing] == [
        ("r0000_c0011", "its task is done, but the file is not there")
    ]
    with pytest.raises(IncompleteRunError) as caught:
        collected.raise_if_incomplete()
    assert "r0000_c0011" in str(caught.value)
    command = f"cropmap export --config {tmp_path / 'run.toml'} --to gcs://crop-bucket/north/2021"
    assert f"'{command}'" in str(caught.value)
    assert f"'{command} --collect'" in str(caught.value)
    summary = export(tmp_path, plan, session)
    assert summary.complete
    assert blocks_of(server)[3:] == ["r0000_c0011_1x1"]  # only what is missing
    assert collect(tmp_path, plan, session, BUCKET).taken == 1
    assert_as_expected(tmp_path, plan)


def torn(content: bytes) -> bytes:
    return content[: len(content) // 2]


def of_other_pixels(content: bytes) -> bytes:
    """A whole file that lies ten metres further east."""
    with MemoryFile(content) as memory, memory.open() as file:
        profile, values, names = file.profile, file.read(), file.descriptions
    profile["transform"] = profile["transform"] * Affine.translation(1, 0)
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(values)
            file.descriptions = names
        return memory.read()


@pytest.mark.parametrize("damage", [torn, of_other_pixels])
def test_a_damaged_file_is_named_and_nothing_is_written_for_it(
    tmp_path: Path, server: Emulator, session: Session, damage: Callable[[bytes], bytes]
) -> None:
    folder, downloads = tmp_path / "run", tmp_path / "down"
    plan = planned(folder)
    export(folder, plan, session)
    path = download(server, downloads)[5]
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    collected = collect(folder, plan, None, BUCKET, places=str(downloads))
    assert collected.done == 16
    assert [failure.name for failure in collected.damaged] == ["r0000_c0005"]
    assert path.name in collected.damaged[0].error
    assert not composite_path(folder, plan.grid.cell(0, 5)).exists()
    assert not list(folder.rglob("*.part"))
    with pytest.raises(IncompleteRunError, match=f"(?s)0 files are missing and 1 damaged.*{downloads}"):
        collected.raise_if_incomplete()
    path.write_bytes(whole)
    assert collect(folder, plan, None, BUCKET, places=str(downloads)).taken == 1
    assert_as_expected(folder, plan)


@pytest.mark.parametrize("to", [BUCKET, DRIVE], ids=str)
def test_a_file_that_lies_damaged_is_exported_once_more(
    tmp_path: Path, server: Emulator, session: Session, to: Destination
) -> None:
    plan = planned(tmp_path, cells=3)
    export(tmp_path, plan, session, to)
    if to is BUCKET:
        name = server.storage.names("crop-bucket")[1]
        server.storage.put("crop-bucket", name, torn(server.storage.get("crop-bucket", name)))
    else:
        found = next(f for f in server.drive._files.values() if f.name.endswith("-0000000016.tif"))
        server.drive._files[found.id] = replace(found, data=torn(found.data))
    collected = collect(tmp_path, plan, session, to)
    assert [failure.name for failure in collected.damaged] == ["r0000_c0001"]
    assert export(tmp_path, plan, session, to).complete
    assert blocks_of(server)[1:] == ["r0000_c0001_1x1"]
    assert collect(tmp_path, plan, session, to).taken == 1
    assert_as_expected(tmp_path, plan)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def is_download(request: Any) -> bool:
    return "alt=media" in request.path


@pytest.mark.parametrize("to", [BUCKET, DRIVE], ids=str)
def test_what_was_damaged_on_the_way_is_fetched_again(
    tmp_path: Path, server: Emulator, session: Session, to: Destination
) -> None:
    plan, faults = planned(tmp_path, cells=3), [Answer.changed(flipped), Answer.changed(flipped)]
    export(tmp_path, plan, session, to)
    server.rule = lambda request: faults.pop() if is_download(request) and faults else None
    assert collect(tmp_path, plan, session, to).taken == 3
    assert not faults
    assert_as_expected(tmp_path, plan)


@pytest.mark.parametrize("to", [BUCKET, DRIVE], ids=str)
def test_files_that_never_come_whole_are_named_but_not_exported_again(
    tmp_path: Path, server: Emulator, session: Session, to: Destination
) -> None:
    plan = planned(tmp_path, cells=3)
    export(tmp_path, plan, session, to)
    server.rule = lambda request: Answer.changed(flipped) if is_download(request) else None
    collected = collect(tmp_path, plan, session, to)
    assert len(collected.damaged) == 3
    assert "MD5" in collected.damaged[0].error
    assert export(tmp_path, plan, session, to).complete
    assert len(started(server)) == 1


def test_a_damaged_download_does_not_make_tasks_run_again(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    folder, downloads = tmp_path / "run", tmp_path / "down"
    plan = planned(folder, cells=3)
    export(folder, plan, session)
    download(server, downloads)[1].unlink()
    collect(folder, plan, None, BUCKET, places=str(downloads))
    export(folder, plan, session)
    assert len(started(server)) == 1


def test_of_two_files_of_a_cell_the_whole_one_is_taken(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    """A Drive keeps both where a task was repeated."""
    plan = planned(tmp_path, cells=3)
    export(tmp_path, plan, session, DRIVE)
    name = server.drive.names("crops")[1]
    server.drive.put("crops", name, b"II*\0 torn")
    assert collect(tmp_path, plan, session, DRIVE).taken == 3
    assert_as_expected(tmp_path, plan)


def test_files_of_another_run_are_left_alone(tmp_path: Path, server: Emulator, session: Session) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    first, second = planned(one, cells=3), planned(two, cells=2)
    export(one, first, session)
    collected = collect(two, second, session, BUCKET)
    assert collected.taken == 0
    assert [failure.error for failure in collected.missing] == [
        "there is no file of it, and no task is known"
    ] * 2


def test_while_tasks_are_at_work_their_cells_are_missing_and_nothing_is_exported_again(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session, wait=False)
    collected = collect(tmp_path, plan, session, BUCKET)
    assert {failure.error for failure in collected.missing} == {"its task is still at work"}
    assert export(tmp_path, plan, session).complete
    assert len(started(server)) == 3
    assert collect(tmp_path, plan, session, BUCKET).taken == 17


def test_composites_that_are_there_are_kept(tmp_path: Path, server: Emulator, session: Session) -> None:
    plan = planned(tmp_path)
    export(tmp_path, plan, session)
    collect(tmp_path, plan, session, BUCKET)
    path = composite_path(tmp_path, plan.grid.cell(0, 3))
    before = path.stat().st_mtime_ns
    path.with_name("r0000_c0004.tif").write_bytes(b"torn")
    collected = collect(tmp_path, plan, session, BUCKET)
    assert (collected.present, collected.taken) == (16, 1)
    assert path.stat().st_mtime_ns == before
    assert_as_expected(tmp_path, plan)


def test_scenes_that_cannot_be_counted_do_not_stop_the_collection(
    tmp_path: Path, server: Emulator, session: Session
) -> None:
    plan, told = planned(tmp_path, cells=3), []
    export(tmp_path, plan, session)
    server.rule = lambda request: Answer.error(400, "No such thing.") if request.kind == "value" else None
    assert collect(tmp_path, plan, session, BUCKET, notice=told.append).taken == 3
    assert len(told) == 1
    assert "No such thing" in told[0]
    assert composites(tmp_path, plan)[0, 1].counts.scenes == 0


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    plan = planned(tmp_path / "run")
    with pytest.raises(InputError, match="nowhere is not a folder"):
        collect(tmp_path / "run", plan, None, BUCKET, places=str(tmp_path / "nowhere"))


def test_without_credentials_only_a_folder_can_be_collected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--downloads"):
        collect(tmp_path, planned(tmp_path), None, BUCKET)


def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, server: Emulator, session: Session) -> None:
    server.storage.missing_buckets.add("crop-bucket")
    with pytest.raises(AccessError, match="crop-bucket"):
        collect(tmp_path, planned(tmp_path), session, BUCKET)


def test_a_drive_folder_that_is_not_there_is_told(tmp_path: Path, server: Emulator, session: Session) -> None:
    with pytest.raises(AccessError, match="no folder 'crops'"):
        collect(tmp_path, planned(tmp_path), session, DRIVE)
