"""What a run keeps of its commands, and what --verbose shows of it."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cli.main import COMMANDS, cropmap
from cli.options.shared import talk_options
from cli.output.reporting import Wording, reporting
from cli.run_log import keep_log
from cli.verbose import with_verbose
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json
from inference.record.log_file import LOG_FILE
from tests.support.stac_server import refuse, serving
from tests.support.tiny_place import Place, run_cropmap

STEP = Wording[int](lambda state: f"step {state}", lambda state: (state, 3))

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO   |WARNING|ERROR  ) .")


def lines_of(folder: Path) -> list[str]:
    """The lines of a log without time and level."""
    text = (folder / LOG_FILE).read_text(encoding="utf-8")
    return [re.sub(LINE.pattern[:-1], "", line) for line in text.splitlines()]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that is marked as a run."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").touch()
    return folder


Calling = Callable[..., Result]


@pytest.fixture
def calling(monkeypatch: pytest.MonkeyPatch, run: Path) -> Calling:
    """Calls a command of the group that does something with the run, and has the usual options."""

    def call(work: Callable[[], Any], *words: str) -> Result:
        @click.command()
        @talk_options
        @click.option("--source")
        def works(quiet: bool, as_json: bool, source: str) -> None:
            keep_log(run, quiet=quiet)
            with reporting(STEP, quiet) as reporter:
                reporter.write("A sentence.")
                reporter.report(1)
                work()

        monkeypatch.setattr(cropmap, "places", {"works": "nowhere:works"})
        monkeypatch.setattr(cropmap, "get_command", lambda ctx, name: with_verbose(works))
        return CliRunner().invoke(cropmap, ["works", *words])

    return call


def fail(error: Exception) -> Any:
    raise error


def test_the_head_says_what_a_report_of_a_fault_needs(calling: Calling, run: Path) -> None:
    os.environ["GDAL_HTTP_HEADERS"] = "Authorization: TOKEN"
    try:
        calling(lambda: None, "--source", "a b.json")
    finally:
        del os.environ["GDAL_HTTP_HEADERS"]
    lines = lines_of(run)
    assert lines[0] == "Command: cropmap works --source 'a b.json'"
    version = CliRunner().invoke(cropmap, ["--version"]).output.strip()
    assert lines[1] == f"Versions: {version}"
    assert re.search(r"Machine: .*\d+ cores.* GiB free .* process \d+ in /", lines[2].replace("\\", "/"))
    assert "GDAL_HTTP_HEADERS" in lines[3]
    assert "TOKEN" not in (run / LOG_FILE).read_text(encoding="utf-8")
    assert all(LINE.match(line) for line in (run / LOG_FILE).read_text(encoding="utf-8").splitlines())


def test_a_run_has_what_was_said_and_how_it_ended(calling: Calling, run: Path) -> None:
    result = calling(lambda: None)
    assert result.exit_code == 0
    assert lines_of(run)[-3:-1] == ["A sentence.", "step 1"]
    assert re.fullmatch(r"Ended with exit code 0 after \d+\.\d s", lines_of(run)[-1])
    assert result.stderr == "A sentence.\nstep 1\n"


def test_a_quiet_run_says_nothing_and_keeps_the_same(calling: Calling, run: Path) -> None:
    assert calling(lambda: None, "--quiet").stderr == ""
    assert lines_of(run)[-3:-1] == ["A sentence.", "step 1"]


def test_the_next_command_appends(calling: Calling, run: Path) -> None:
    calling(lambda: None)
    before = (run / LOG_FILE).read_text(encoding="utf-8")
    calling(lambda: None, "--source", "more")
    text = (run / LOG_FILE).read_text(encoding="utf-8")
    assert text.startswith(f"{before}\n")
    assert "Command: cropmap works --source more" in text[len(before) :]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("No area. Give --aoi."), 2, "gee_pipeline.errors.InputError: No area. Give --aoi."),
        (KeyError("colour"), 2, "KeyError: 'colour'"),
        (click.UsageError("These do not go together."), 2, "ERROR   These do not go together."),
    ],
)
def test_an_error_has_its_traceback_in_the_log_alone(
    calling: Calling, run: Path, error: Exception, code: int, said: str
) -> None:
    result = calling(lambda: fail(error))
    assert result.exit_code == code
    text = (run / LOG_FILE).read_text(encoding="utf-8")
    assert f"{said}\n" in text
    assert lines_of(run)[-1].startswith(f"Ended with exit code {code} after")
    if not isinstance(error, click.UsageError):
        assert "Traceback (most recent call last)" in text
        assert "in fail" in text
    assert "Traceback" not in result.stderr


def test_an_interruption_is_in_the_log(calling: Calling, run: Path) -> None:
    assert calling(lambda: fail(KeyboardInterrupt())).exit_code == 130  # type: ignore[arg-type]
    assert lines_of(run)[-1].startswith("Ended with exit code 130")


def test_messages_of_libraries_and_warnings_of_python_are_kept(calling: Calling, run: Path) -> None:
    def work() -> None:
        logging.getLogger("cropmap.stac").info("A read is tried again.")
        logging.getLogger("rasterio._env").error("CPLE_HttpResponse in HTTP response code: 503")
        logging.getLogger("urllib3").info("of no interest")
        warnings.warn("That is old.", FutureWarning, stacklevel=1)

    calling(work)
    text = (run / LOG_FILE).read_text(encoding="utf-8")
    assert "INFO    A read is tried again." in text
    assert "ERROR   CPLE_HttpResponse in HTTP response code: 503" in text
    assert "WARNING FutureWarning: That is old. (" in text
    assert "of no interest" not in text


def test_the_levels_of_loggers_and_warnings_are_as_before_afterwards(calling: Calling) -> None:
    before = (logging.getLogger("cropmap").level, logging.getLogger().handlers[:], warnings.showwarning)
    calling(lambda: fail(KeyError()))
    assert (logging.getLogger("cropmap").level, logging.getLogger().handlers, warnings.showwarning) == before


def test_secrets_are_in_no_line(calling: Calling, run: Path) -> None:
    address = "https://me:PASSWORD@host/catalog.json?token=TOKEN&sig=SIGNATURE"

    def work() -> None:
        logging.getLogger("cropmap.stac").info("Reading %s", address)
        warnings.warn(f"Slow: {address}", UserWarning, stacklevel=1)
        raise OSError(f"HTTPConnectionPool: Max retries exceeded with url: /a.tif?sig=SIGNATURE of {address}")

    result = calling(work, "--source", address, "--verbose")
    for text in (result.stderr, (run / LOG_FILE).read_text(encoding="utf-8")):
        assert text.count("https://host/catalog.json") >= 4
        assert re.findall("PASSWORD|TOKEN|SIGNATURE", text) == []


def test_verbose_shows_the_same_lines_and_no_sentence_twice(calling: Calling, run: Path) -> None:
    def work() -> None:
        logging.getLogger("cropmap.stac").info("A read is tried again.")
        warnings.warn("That is old.", FutureWarning, stacklevel=1)
        raise InputError("No area.")

    result = calling(work, "-v")
    shown = result.stderr.splitlines()
    kept = (run / LOG_FILE).read_text(encoding="utf-8").splitlines()
    assert [line for line in shown if line != "Error: No area."] == kept
    assert sum("A sentence." in line for line in shown) == 1
    assert "Traceback (most recent call last):" in shown


@pytest.mark.parametrize("words", [("-v", "--quiet"), ("--quiet", "--verbose")])
def test_verbose_and_quiet_exclude_each_other(calling: Calling, words: tuple[str, ...]) -> None:
    result = calling(lambda: None, *words)
    assert result.exit_code == 2
    assert "Omit one of the two." in result.stderr


def test_quiet_in_a_file_of_options_and_verbose_are_refused_too(tmp_path: Path, place: Place) -> None:
    config = tmp_path / "options.toml"
    config.write_text(f'quiet = true\naoi = "{place.area.as_posix()}"\nyear = 2021\n', encoding="utf-8")
    result = run_cropmap("predict", "--config", config, "--verbose")
    assert "Omit one of the two." in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_verbose_once(name: str) -> None:
    for _ in range(2):  # also where it is asked for again
        command = cropmap.get_command(click.Context(cropmap), name)
        assert command is not None
    for leaf in leaves(command):
        assert [o for p in leaf.params for o in p.opts if o in ("-v", "--verbose")] == ["-v", "--verbose"]


def leaves(command: click.Command) -> Iterator[click.Command]:
    """The commands of a group, and of groups in it; or the command itself."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield command
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(click.Context(command)):
        below = command.get_command(click.Context(command), name)
        assert below is not None
        yield from leaves(below)


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_a_warning_that_nobody_else_takes_is_still_shown(level: int) -> None:
    """In a process of its own: pytest takes all messages."""
    code = (
        "import logging, click; from cli.main import cropmap; from cli.verbose import with_verbose\n"
        "@click.command()\n"
        f"def works(): logging.getLogger('cropmap.stac').log({level}, 'Still waiting.')\n"
        "cropmap.get_command = lambda ctx, name: with_verbose(works)\n"
        "cropmap(['works'], standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "Still waiting.\n"


def test_before_a_folder_is_a_run_nothing_is_written_to_it(calling: Calling, run: Path) -> None:
    (run / "run.json").unlink()
    calling(lambda: fail(InputError("No area.")))
    assert list(run.iterdir()) == []


def test_what_was_said_before_a_folder_became_a_run_is_kept(calling: Calling, run: Path) -> None:
    (run / "run.json").unlink()
    calling(lambda: (run / "run.json").touch())
    assert "A sentence." in lines_of(run)


def test_a_log_that_cannot_be_opened_is_said_once_and_the_run_goes_on(calling: Calling, run: Path) -> None:
    (run / LOG_FILE).mkdir()
    result = calling(lambda: None)
    assert result.exit_code == 0
    assert result.stderr.count("Warning: No log of this command is kept") == 1
    assert "A sentence." in result.stderr
    assert calling(lambda: None, "--quiet").stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no file without room")
def test_a_full_disk_does_not_end_the_run(
    calling: Calling, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("ab", buffering=0) as full:
        monkeypatch.setattr("inference.record.log_file.LogFile._open", lambda log: full)
        result = calling(lambda: None)
    assert result.exit_code == 0
    assert result.stderr.count("No space left on device. The work goes on.") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_does_not_end_the_work(calling: Calling, run: Path) -> None:
    run.chmod(0o500)
    try:
        result = calling(lambda: None)
    finally:
        run.chmod(0o700)
    assert result.exit_code == 0
    assert result.stderr.count("Permission denied. The work goes on.") == 1


def test_a_command_beside_another_one_leaves_its_log_alone(calling: Calling, run: Path) -> None:
    calls: list[Result] = []
    calling(lambda: calls.append(calling(lambda: None, "--source", "second")))
    assert calls[0].exit_code == 0
    assert "another command writes" in calls[0].stderr
    assert not any("second" in line for line in lines_of(run))
    assert lines_of(run)[-1].startswith("Ended with exit code 0")


# Whole commands


@pytest.mark.slow
def test_a_map_has_the_stages_of_its_making_and_a_publication_has_no_log(
    place: Place, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert place.predict(out, "--quiet").exit_code == 0
    lines = lines_of(out)
    begun = [line.removesuffix(": begun") for line in lines if line.endswith(": begun")]
    assert begun == ["Plan of the map", "Search for scenes", "Cells", "Map"]
    assert [
        name for name in begun if not any(line.startswith(f"{name}: ended after") for line in lines)
    ] == []
    assert run_cropmap("verify", out, "--cells", 1).exit_code == 0
    published = tmp_path / "published"
    done = run_cropmap("publish", out, "--to", published)
    assert done.exit_code == 0, done.stderr
    assert [path.name for path in published.rglob("*") if LOG_FILE in path.name] == []
    (out / LOG_FILE).write_text("other words", encoding="utf-8")
    assert run_cropmap("verify", out, "--cells", 1).exit_code == 0
    assert LOG_FILE not in json.dumps(read_json(out / "map" / "report.json"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_cells_that_fail_and_reads_that_are_tried_again_are_in_the_log(
    place: Place, tmp_path: Path, workers: int
) -> None:
    copy, out = place.copied(tmp_path / "copy"), tmp_path / "run"
    for path in copy.folder.glob("**/B04.tif"):
        path.write_bytes(b"no raster")
    words = command_line("export", copy, out, "--bands", "B2,B4,B8", "--workers", workers, "--verbose")
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    text = (out / LOG_FILE).read_text(encoding="utf-8")
    assert len(re.findall(r"ERROR   Cell r\d+_c\d+ failed: ", text)) == 4
    assert re.search(r"INFO    .*B04.tif is read again, try 1 failed: ", text)
    assert "B04.tif is read again, try 1 failed" in result.stderr
    assert re.search(
        r"ERROR   IncompleteRunError\nTraceback (?s:.*)IncompleteRunError: 4 of 4 cells are", text
    )
    assert lines_of(out)[-1].startswith("Ended with exit code 2")


def test_a_catalog_that_is_asked_again_is_in_the_messages(place: Place, tmp_path: Path) -> None:
    with serving() as server:
        server.answers["/catalog.json"] = refuse(503)
        result = place.export(tmp_path / "run", "--verbose", source=f"{server.url}/catalog.json?token=TOKEN")
    assert f"{server.url}/catalog.json is asked again, try 1 failed: HTTP 503" in result.stderr
    assert "TOKEN" not in result.stderr


def command_line(command: str, place: Place, out: Path, *more: Any) -> list[str]:
    """A command in a process of its own."""
    where = ("--aoi", place.area, "--year", 2021, "--source", place.catalog, "--out", out)
    return [sys.executable, "-m", "cli.main", command, *map(str, (*where, "--cell-size", 32, *more))]


@contextmanager
def killed_at_work(place: Place, out: Path) -> Iterator[None]:
    words = command_line("predict", place, out, "--model", place.model, "--workers", 0, "--quiet")
    with subprocess.Popen(words) as command:
        end = time.monotonic() + 120
        while not any((out / "predictions").glob("*.tif")) and time.monotonic() < end:
            assert command.poll() is None
            time.sleep(0.01)
        command.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    yield


@pytest.mark.slow
def test_a_run_that_is_killed_has_its_lines_up_to_then_and_the_next_start_appends(
    place: Place, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with killed_at_work(place, out):
        lines = lines_of(out)
    assert "Cells: begun" in lines
    assert not any(line.startswith("Ended") for line in lines)
    assert place.predict(out, "--quiet", cell_size=32).exit_code == 0
    again = lines_of(out)
    assert again[: len(lines)] == lines
    assert f"Continuing the run in {out}." in again[len(lines) :]
    assert sum(line.startswith("Command: ") for line in again) == 2
    assert again[-1].startswith("Ended with exit code 0")
    shutil.rmtree(out)
