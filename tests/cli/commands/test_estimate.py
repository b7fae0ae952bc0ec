"""`cropmap estimate` against the emulator, and without access."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from cli.commands.estimate import gigabytes
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_place import CELL, LEFT, archive, area, run_cropmap

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobody_is_logged_in")]

Run = Callable[..., Result]

LIST = 0.05
"""EECU-seconds of a list of scenes at the emulator's made-up price (0.05 a request, 0.00002 a sample); the
first of the cells, which share a block, needs one."""
TWO_BINS = 26.265
"""Those of a cell with scenes in two bins: 0.05 + 2 x 10 bands x 256 x 256 x 0.00002, to a thousandth."""
ONE_BIN = 13.158
"""The same with one bin."""


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(archive()) as server:
        yield server
        assert server.errors == []


@pytest.fixture
def run(server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("CROPMAP_EE_URL", server.url)
    monkeypatch.chdir(tmp_path)
    server.log.clear()
    aoi, key = area(tmp_path), server.key_file(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}

    def run(*arguments: str, key: Path | None = key) -> Result:
        access = ["--service-account", key] if key else []
        return run_cropmap(["estimate", "--aoi", aoi, "--year", "2021", *arguments, *access])

    yield run
    server.rule = None
    assert {path.name for path in tmp_path.iterdir()} == before, "an estimate writes nothing"


def test_every_cell_measured_is_what_the_server_charged(run: Run, server: Emulator) -> None:
    result = run("--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["counted"]["cells"] == 3
    measured = found["measured"]
    by_cell = {cell["name"]: cell["spent"]["eecu_seconds"] for cell in measured["cells"]}
    # the second scene covers the first cell and lies within 500 m of the second
    assert by_cell == pytest.approx(
        {"r0000_c0000": LIST + TWO_BINS, "r0000_c0001": TWO_BINS, "r0000_c0002": ONE_BIN}
    )
    assert measured["eecu_hours"] == pytest.approx(
        {
            "mean": (LIST + 2 * TWO_BINS + ONE_BIN) / 3_600,
            "low": 3 * ONE_BIN / 3_600,
            "high": 3 * (LIST + TWO_BINS) / 3_600,
            "measured": 3,
        }
    )
    community = found["tariffs"]["rows"][0]
    assert community["name"] == "Community"
    assert community["job_months"]["mean"] == pytest.approx((LIST + 2 * TWO_BINS + ONE_BIN) / 3_600 / 150)
    dollars = found["tariffs"]["rows"][-1]["job_dollars"]["mean"]
    assert dollars == pytest.approx((LIST + 2 * TWO_BINS + ONE_BIN) / 3_600 * 0.4)


def test_a_sample_says_that_it_is_one(run: Run, server: Emulator) -> None:
    result = run("--samples", "1", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "cells                3  of 256 x 256 pixels, 43 bins of 10 bands" in result.stdout
    assert "Measured: 1 of 3 cells, a random sample (--seed 3), extrapolated to all cells." in result.stdout
    assert "free EECU-hours" in result.stdout
    assert "as of 2026-04-27" in result.stdout
    assert "1 of 1 cells measured" in result.stderr
    assert len(server.log.of("pixels")) == 1


def test_quiet_says_nothing_on_stderr(run: Run) -> None:
    assert run("--samples", "1", "--quiet").stderr == ""


def test_without_credentials_an_area_is_counted(run: Run, server: Emulator) -> None:
    result = run(key=None)
    assert result.exit_code == 0
    assert "requests             6" in result.stdout  # 43 bins: 22 in 28 MiB, 2 requests per cell
    # 3 x 256 x 256 pixels x 43 x 10 x 2 bytes
    assert "169.1 MB" in result.stdout
    assert "were not measured: Earth Engine needs credentials" in result.stdout
    assert list(server.log) == []


def test_no_sample_is_counted_only(run: Run, server: Emulator) -> None:
    result = run("--samples", "0", "--whole-season")
    assert result.exit_code == 0
    assert "73 bins" in result.stdout
    assert list(server.log) == []


def test_computing_without_a_readable_profile_is_told_as_unmeasured(run: Run, server: Emulator) -> None:
    gone = Answer.error(404, "Profile not found.")
    server.rule = lambda request: gone if "Profile.getProfiles" in str(request.body) else None
    result = run("--samples", "1")
    assert result.exit_code == 0, result.output
    assert "computing was not measured" in result.stdout
    assert "EECU-hours" not in result.stdout
    assert "s alone" in result.stdout


def test_a_small_cell_is_measured_too(run: Run) -> None:
    found = json.loads(run("--samples", "1", "--cell-size", "64", "--json").stdout)
    assert found["counted"]["cells"] == 48  # 3 x 16
    (cell,) = found["measured"]["cells"]
    assert 0 < cell["disk_bytes"] < 64 * 64 * 43 * 10 * 2


def test_another_crs_has_other_cells(run: Run) -> None:
    found = json.loads(run("--samples", "0", "--crs", "EPSG:5070", "--json").stdout)
    assert found["counted"]["cells"] > 3
    assert found["measured"] is None


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Project 1 is not registered to use Earth Engine.", "Register it at"),
        ("Permission 'earthengine.computations.create' denied on resource.", "for the roles"),
        (
            "Your usage exceeded the custom quota for 'earthengine.googleapis.com/daily_eecu_usage_time'.",
            "used up",
        ),
    ],
)
def test_a_refusal_is_one_message_with_its_remedy(run: Run, server: Emulator, said: str, remedy: str) -> None:
    server.rule = lambda request: Answer.error(403, said) if request.kind == "value" else None
    result = run()
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert remedy in line
    assert result.stdout == ""


def test_a_wrong_project_is_one_message(run: Run) -> None:
    result = run("--project", "nobodys")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: The project nobodys does not exist")
    assert result.stderr.count("\n") == 1


def test_a_year_without_scenes_is_told(run: Run) -> None:
    result = run("--year", "2023")
    assert result.exit_code == 2
    assert "has no scene of this area" in result.stderr


def test_a_cell_that_fails_is_named_and_the_others_count(run: Run, server: Emulator) -> None:
    server.rule = lambda request: (
        Answer.error(400, "Image.select: no such band.") if _left(request) == LEFT + 2 * CELL else None
    )
    result = run("--json")
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)["measured"]
    assert measured["a_sample_of_cells"] == 2
    assert "no such band" in measured["failed"]["r0000_c0002"]


def test_a_share_of_cropland_is_measured_too(run: Run) -> None:
    result = run("--samples", "1", "--cropland", "worldcover")
    assert result.exit_code == 2  # this archive has no WorldCover, and the emulator says so
    assert "WorldCover" in result.stderr


@pytest.mark.parametrize(
    ("size", "text"), [(900, "0.9 kB"), (2.5e6, "2.5 MB"), (86.2e9, "86.2 GB"), (1.04e14, "104.0 TB")]
)
def test_amounts_are_decimal(size: float, text: str) -> None:
    assert gigabytes(size) == text


def test_options_may_stand_in_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "home" / "e.toml"
    path.write_text("samples = 0\nwhole-season = true\n")
    found = json.loads(run("--config", str(path), "--json").stdout)
    assert found["counted"]["bins"] == 73


def _left(request: LoggedRequest) -> float | None:
    """Western edge of the pixels that are asked for."""
    if request.kind != "pixels" or request.body is None:
        return None
    return request.body["grid"]["affineTransform"]["translateX"]
