"""`cropmap estimate --on servers` against the emulator, and without access."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.commands.estimate import network_lines
from gee_pipeline.earthengine.composites.estimate import Estimate, MeasuredCell, Size
from gee_pipeline.earthengine.network.network_estimate import NetworkEstimate
from gee_pipeline.recipe import Recipe
from gee_pipeline.source import Spent
from inference.deployment.servable_network import network_weights
from inference.models.checkpoint import save_checkpoint
from inference.models.forest_model import save_forest
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_place import archive, area, run_cropmap
from tests.support.made_forests import grown, made_rows, model_of
from tests.support.made_networks import made_network

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobody_is_logged_in")]

Run = Callable[..., Result]

MAP = 0.05 + 3 * 64 * 64 * 0.00002
"""EECU-seconds of the map of a cell at the emulator's made-up price (0.05 a request, 0.00002 a sample), which
counts samples of the answer, whatever is computed for them."""


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
    save_checkpoint(tmp_path / "small.safetensors", made_network(Recipe(), (4,), (2,)))
    before = {path.name for path in tmp_path.iterdir()}

    def run(*arguments: str, key: Path | None = key, model: str | None = "small.safetensors") -> Result:
        access = ["--service-account", key] if key else []
        chosen = ["--model", model] if model else []
        size = ["--cell-size", "64", "--seed", "3"]
        place = ["--aoi", aoi, "--year", "2021", "--on", "servers"]
        return run_cropmap(["estimate", *place, *chosen, *size, *arguments, *access])

    yield run
    server.rule = None
    assert {path.name for path in tmp_path.iterdir()} == before, "an estimate writes nothing"


def test_cells_are_measured_both_ways(run: Run, server: Emulator) -> None:
    result = run("--samples", "2", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    here, maps = found["measured"]["cells"], found["network"]["measured"]["cells"]
    assert [cell["name"] for cell in here] == [cell["name"] for cell in maps]
    costs = [cell["spent"]["eecu_seconds"] for cell in maps]
    assert costs == pytest.approx([MAP, MAP], abs=1e-3)
    ways = found["network"]["measured"]["eecu_seconds_a_cell"]
    assert ways["servers"]["mean"] == pytest.approx(MAP, abs=1e-3)
    assert ways["network"]["mean"] == pytest.approx(ways["servers"]["mean"] - ways["here"]["mean"])
    hours = found["network"]["measured"]["eecu_hours"]["servers"]["mean"]
    assert hours == pytest.approx(48 * MAP / 3_600, rel=1e-2)  # 3 x 16 cells
    answers = [request.bands for request in server.log.of("pixels")]
    assert answers.count(("class", "confidence", "clear")) == 2


def test_a_map_is_fetched_in_three_bytes_a_pixel(run: Run) -> None:
    found = json.loads(run("--samples", "1", "--json").stdout)["network"]
    assert found["bytes_a_pixel"] == {"here": 860, "servers": 3}
    (cell,) = found["measured"]["cells"]
    assert cell["disk_bytes"] == 3 * 64 * 64


def test_a_difference_below_zero_is_no_price(run: Run) -> None:
    """The emulator charges for what it sends, so a map costs less than its composites."""
    result = run("--samples", "1")
    assert result.exit_code == 0, result.output
    assert "here          860  measured: " in result.stdout
    assert "servers         3  measured: " in result.stdout
    assert "difference         not measured" in result.stdout
    assert "the difference says nothing" in result.stdout
    assert "(assumed, not measured), at 0.40 US$" in result.stdout
    assert "1 of 1 maps of cells measured" in result.stderr


def test_without_a_readable_profile_prices_are_assumed(run: Run, server: Emulator) -> None:
    gone = Answer.error(404, "Profile not found.")
    server.rule = lambda request: gone if "Profile.getProfiles" in str(request.body) else None
    result = run("--samples", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("not measured\n") == 3
    assert "(assumed, not measured)" in result.stdout
    assert "says nothing" not in result.stdout


def test_without_credentials_an_area_is_counted(run: Run, server: Emulator) -> None:
    result = run("--json", key=None)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["network"]["measured"] is None
    assert "needs credentials" in found["why_not_measured"]
    assert len(found["network"]["assumed_of_1000_km2"]) == 3
    assert list(server.log) == []


def test_the_season_and_bands_are_those_of_the_network(run: Run, tmp_path: Path) -> None:
    few = replace(Recipe(), bin_days=30)
    save_checkpoint(tmp_path / "small.safetensors", made_network(few, (4,), (2,)))
    counted = json.loads(run("--samples", "0", "--json").stdout)["counted"]
    assert counted["bins"] == len(few.window) < 43


def test_a_network_that_ships_is_named(run: Run) -> None:
    result = run("--samples", "0", "--cell-size", "256", model="fast")
    assert result.exit_code == 0, result.output
    # 16 channels at 5 x 23 positions, 8 layers: the first takes 10 numbers, the others 145
    assert " 8 requests a cell" in result.stdout  # of 8,192 pixels, each an array of 145 x 115 doubles
    assert f"takes {16 * 10 * 5 * 23 + 7 * 16 * 145 * 5 * 23 + 5 * 17:,} multiplications" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bands", "B2,B3"], "--bands would not be read"),
        (["--bin-days", "10"], "--bin-days would not be read"),
        (["--whole-season"], "--whole-season would not be read"),
    ],
)
def test_what_the_network_says_itself_is_refused(run: Run, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "the model's own" in result.stderr


def test_a_network_that_is_too_large_is_refused(run: Run, server: Emulator) -> None:
    result = run(model="accurate")
    assert result.exit_code == 2
    assert "takes at most 12,000,000 multiplications" in result.stderr
    assert "--model fast" in result.stderr
    assert list(server.log) == []


def test_a_forest_is_refused(run: Run, tmp_path: Path) -> None:
    features, labels = made_rows()
    save_forest(tmp_path / "small.safetensors", model_of(grown(features, labels), 3))
    result = run()
    assert result.exit_code == 2
    assert "small.safetensors is a forest" in result.stderr


def test_servers_need_a_model(run: Run) -> None:
    result = run(model=None)
    assert result.exit_code == 2
    assert "Name it with --model, such as --model fast" in result.stderr


def test_a_model_is_of_servers(tmp_path: Path) -> None:
    result = run_cropmap(["estimate", "--aoi", area(tmp_path), "--year", "2021", "--model", "fast"])
    assert result.exit_code == 2
    assert "--model would not be read: such options are of --on servers" in result.stderr


def test_a_cell_whose_map_fails_is_named(run: Run, server: Emulator) -> None:
    failed: list[Any] = []

    def rule(request: Any) -> Answer | None:
        if request.kind != "pixels" or "logit_1" not in str(request.body) or len(failed) > 0:
            return None
        failed.append(request)
        return Answer.error(400, "Image.matrixMultiply: no.")

    server.rule = rule
    result = run("--samples", "2")
    assert result.exit_code == 0, result.output
    assert "failed on the servers and does not count:" in result.stdout
    assert "Image.matrixMultiply: no." in result.stdout


def test_a_difference_above_zero_is_a_rate() -> None:
    size = Size(cells=10, cell_size=256, bins=43, bands=10, requests=1, network_bytes=1, disk_bytes=1)
    weights = network_weights(made_network(Recipe(), (4,), (2,)))
    ways = [(MeasuredCell("a", 1, 1, Spent(1, 1, eecu)),) for eecu in (36.0, 72.0)]
    text = network_lines(NetworkEstimate(Estimate(size, 1, ways[0]), weights, 100, 16, ways[1]))
    rate = weights.multiplications * 256 * 256 / 36
    assert text[1].endswith("36.0 (36.0 to 36.0) EECU-seconds a cell, 0.1 (0.1 to 0.1) EECU-hours in all")
    assert text[3].startswith("difference         measured: 36.0")
    assert text[-1] == f"That is {rate:,.3g} multiplications an EECU-second, with the filling of gaps."


def test_an_estimate_without_a_network_does_without_torch(tmp_path: Path) -> None:
    command = ["estimate", "--aoi", str(area(tmp_path)), "--year", "2021", "--samples", "0"]
    code = f"import sys; from cli.main import cropmap; cropmap({command!r}, standalone_mode=False)"
    code += "; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
