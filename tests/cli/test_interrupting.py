"""Ctrl-C at a terminal: the signal goes to every process of the command, whatever they are doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli.main import INTERRUPTED
from tests.support.tiny_place import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="sent to a process group, which Windows has not"),
]

ROOT = Path(__file__).parents[2]

SITE = """
import os, sys
from pathlib import Path

class Marker:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get("MARKED_IMPORT"):
            Path(os.environ["MARKER"]).touch()

sys.meta_path.insert(0, Marker())
"""
"""A sitecustomize that makes a file when a module begins to be imported."""

PATIENCE = 120.0
"""Seconds to wait for a moment."""

Moment = Callable[[Path], bool]
"""Whether it has come, by what lies in the folder of a test."""


def importing(folder: Path) -> bool:
    return (folder / "marker").exists()


def starting_a_cluster(folder: Path) -> bool:
    return any((folder / "temporary").glob("cropmap-*"))


def workers_starting(folder: Path) -> bool:
    return any((folder / "temporary").glob("cropmap-*/*/*"))


def at_work(folder: Path) -> bool:
    return any((folder / "run" / "predictions").glob("*.tif"))


@pytest.mark.parametrize(
    ("module", "moment", "seconds_later"),
    [
        ("numpy", importing, 0.0),
        ("torch", importing, 0.2),
        ("numba", importing, 0.1),
        ("distributed", importing, 0.2),
        ("", starting_a_cluster, 0.0),
        ("", starting_a_cluster, 0.5),
        ("", workers_starting, 0.0),
        ("", at_work, 0.0),
    ],
)
def test_an_interruption_leaves_one_line_and_nothing_else(
    tmp_path: Path, place: Place, module: str, moment: Moment, seconds_later: float
) -> None:
    with started(tmp_path, place, module) as command:
        wait_for(lambda: moment(tmp_path) or command.poll() is not None)
        assert command.poll() is None, command.communicate()
        time.sleep(seconds_later)
        of_command = psutil.Process(command.pid).children(recursive=True)
        os.killpg(command.pid, signal.SIGINT)
        said, complaints = command.communicate(timeout=PATIENCE)
    assert command.returncode == INTERRUPTED, complaints
    assert complaints.count("Interrupted. What was finished is kept") == 1
    assert "Traceback" not in complaints
    assert complaints.splitlines()[-1].startswith("Interrupted.")
    assert said == ""
    psutil.wait_procs(of_command, timeout=10)
    assert [process for process in of_command if process.is_running()] == []
    assert group_is_gone(command.pid)
    assert list((tmp_path / "temporary").glob("cropmap-*")) == []


def started(folder: Path, place: Place, module: str) -> subprocess.Popen[str]:
    """A map of many small cells by two workers, in a process group of its own, as a shell starts it."""
    for name in ("site", "temporary"):
        (folder / name).mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITE)
    line = ["predict", "--aoi", place.area, "--year", "2021", "--source", place.catalog, "--cell-size", "32"]
    line += ["--model", place.model, "--workers", "2", "--out", folder / "run"]
    environment = {
        "PYTHONPATH": os.pathsep.join((str(folder / "site"), str(ROOT))),
        "TMPDIR": str(folder / "temporary"),
        "MARKED_IMPORT": module,
        "MARKER": str(folder / "marker"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", *map(str, line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=listening,
        env={**os.environ, **environment},
    )


def listening() -> None:
    """As in a terminal; a shell's command in the background, and all below it, would not hear of Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(come: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not come():
        assert time.monotonic() < end
        time.sleep(0.005)


def group_is_gone(group: int) -> bool:
    """Whether no process of a group is left, but for those that are dead and not yet taken note of."""
    left = [p for p in psutil.process_iter() if group in (_group_of(p), p.pid)]
    return all(p.status() == psutil.STATUS_ZOMBIE for p in left)


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None
