"""`cropmap export --to` and `--collect`: batch tasks of the emulator, from the command to a map."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import inference.workflow.tasks
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.ee_emulator.server import Emulator
from tests.support.tiny_place import Place, codes, report, run_cropmap

pytestmark = pytest.mark.slow

SIZE = 32
BUCKET = "gcs://maps/county"


@pytest.fixture
def server(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The emulator as Earth Engine, Cloud Storage and Drive; tasks are looked at without a pause."""
    with Emulator(archive_of_catalog(place.catalog), project="crop-maps") as emulator:
        monkeypatch.setenv(URL_VARIABLE, emulator.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        monkeypatch.setenv("CROPMAP_DRIVE_URL", emulator.url)
        quick = partial(inference.workflow.tasks.export_by_tasks, poll_seconds=0.01)
        monkeypatch.setattr(inference.workflow.tasks, "export_by_tasks", quick)
        yield emulator


@pytest.fixture
def access(server: Emulator, tmp_path: Path) -> dict[str, Any]:
    key = server.key_file(tmp_path)
    return {"source": None, "project": "crop-maps", "service_account": key, "cell_size": SIZE}


@pytest.mark.parametrize("destination", [BUCKET, "drive:maps"])
def test_tasks_are_collected_into_the_map_of_the_scenes(
    place: Place, access: dict[str, Any], server: Emulator, tmp_path: Path, destination: str
) -> None:
    assert place.predict(tmp_path / "local", cell_size=SIZE).exit_code == 0
    run = tmp_path / "run"
    started = place.export(run, to=destination, **access)
    assert started.exit_code == 0, started.stderr
    assert f"cells written to {destination}, 0 tasks at work" in started.stdout
    assert not list((run / "composites").glob("*.tif"))

    collected = run_cropmap("export", "--config", run / "run.toml", "--collect")
    assert collected.exit_code == 0, collected.stderr
    assert "Composites of 4 cells (4 new)" in collected.stdout
    pixels_asked = len(server.log.of("pixels"))
    mapped = place.predict(run, **access)
    assert mapped.exit_code == 0, mapped.stderr
    assert (codes(run) == codes(tmp_path / "local")).all()
    assert len(server.log.of("pixels")) == pixels_asked == 0
    charged = (server.batch_eecu_seconds + server.eecu_seconds) / 3600
    assert report(run)["spent"]["eecu_hours"] == pytest.approx(charged, rel=0.05)  # collecting is not counted


def test_a_command_that_does_not_wait_tells_what_to_do_next(
    place: Place, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = place.export(run, "--no-wait", to=BUCKET, **access)
    assert first.exit_code == 0, first.stderr
    assert "0 of 4 cells written" in first.stdout
    assert f"Look again: cropmap export --config {run / 'run.toml'} --to {BUCKET}" in first.stdout
    early = run_cropmap("export", "--config", run / "run.toml", "--collect")
    assert early.exit_code == 3
    assert "4 files are missing" in early.stderr
    again = run_cropmap("export", "--config", run / "run.toml")
    assert again.exit_code == 0, again.stderr
    assert "4 of 4 cells written" in again.stdout
    assert len(server.log.of("export")) == 1


def test_tasks_that_fail_are_named_with_the_servers_words(
    place: Place, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    server.script_tasks("Permission denied on bucket maps.")
    result = place.export(tmp_path / "run", to=BUCKET, **access)
    assert result.exit_code == 3
    assert "Permission denied on bucket maps." in result.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--to", "maps"], "--to takes gcs://BUCKET/PREFIX"),
        (["--collect"], "Batch tasks need a place to write to"),
        (["--no-wait"], "--no-wait and --most-tasks go with --to alone"),
        (["--to", BUCKET, "--collect", "--most-tasks", "3"], "go with --to alone"),
        (["--downloads", "."], "--downloads goes with --collect"),
        (["--to", BUCKET, "--max-eecu-hours", "3"], "--max-eecu-hours bounds what is fetched at once"),
        (["--to", BUCKET, "--collect", "--downloads", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_refused_and_nothing_started(
    place: Place, access: dict[str, Any], server: Emulator, tmp_path: Path, flags: list[str], words: str
) -> None:
    result = place.export(tmp_path / "run", *flags, **access)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not server.log.of("export")


def test_tasks_are_for_earth_engine_alone(place: Place, tmp_path: Path) -> None:
    result = place.export(tmp_path / "run", to=BUCKET)
    assert result.exit_code == 2
    assert "--to concern Earth Engine, but --source" in result.stderr
