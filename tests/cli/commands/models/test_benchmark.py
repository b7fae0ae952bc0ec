import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cli.commands.models.benchmark import benchmark
from gee_pipeline.errors import IncompleteRunError, InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from inference.models.networks.cropnet import PRESETS
from tests.support.tiny_place import run_cropmap
from tests.support.transfer_place import write_regions
from training.transfer.protocol import Protocol

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
torch.set_num_threads(1)
TINY = ((8, 8, 8, 8), (2, 1, 2, 1))
FAST = ["--models", "cropnet", "--preset", "compact", "--epochs", "1", "--batch-size", "32"]
FAST += ["--device", "cpu", "--seeds", "2"]


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setitem(PRESETS, "compact", TINY)


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    return write_regions(tmp_path_factory.mktemp("regions"))


def invoke(*arguments):
    return CliRunner().invoke(benchmark, [str(a) for a in arguments], catch_exceptions=False)


def asked(regions, out):
    return ["--data", regions, "--source", "USA", "--targets", "FRA,CHN", "--out", out, *FAST]


def test_a_line_a_run_on_stderr_and_the_cells_on_stdout(regions, tmp_path):
    result = invoke(*asked(regions, tmp_path))
    assert result.exit_code == 0
    assert [line.split(",")[0] for line in result.stderr.splitlines()] == [
        "1 of 2: cropnet_none_seed1",
        "2 of 2: cropnet_none_seed2",
    ]
    first, *cells = result.stdout.splitlines()
    assert first == f"Benchmark: {tmp_path / 'table.md'}, 2 trainings"
    assert [cell.split(",")[0] for cell in cells] == ["USA to FRA", "USA to CHN"]
    assert "published 93.17 %, 93.14 %" in cells[1]  # table 6


def test_json_is_one_document_and_quiet_is_quiet(regions, tmp_path):
    result = invoke(*asked(regions, tmp_path), "--json", "--quiet")
    facts = json.loads(result.stdout)
    assert result.stderr == ""
    assert (facts["trained"], facts["kept"], facts["failures"]) == (2, 0, {})
    assert [cell["target"] for cell in facts["cells"]] == ["FRA", "CHN"]
    assert facts["cells"][1]["published"]["table"] == 6


def test_run_toml_repeats_the_benchmark(regions, tmp_path):
    given = ["--augmentation", "paper", "--shift-days", "-5,5", "--window-first-day", "101", "--in-region"]
    given += ["--classes", "corn,rice,other", "--target-classes", "FRA=rice,other", "--learning-rate", "0.01"]
    invoke(*asked(regions, tmp_path / "first"), *given)
    config = tmp_path / "first" / "run.toml"
    again = invoke("--config", config, "--quiet")
    assert "0 trainings, 4 kept" in again.stdout
    invoke("--config", config, "--out", tmp_path / "second", "--quiet")
    first, second = (
        (tmp_path / name / "table.csv").read_text(encoding="utf-8") for name in ("first", "second")
    )
    assert first == second
    values = tomllib.loads(config.read_text(encoding="utf-8"))
    assert (values["shift-days"], values["target-classes"]) == ([-5, 5], ["FRA=rice,other"])


def test_in_region_alone_needs_no_target(regions, tmp_path):
    given = ["--data", regions, "--source", "USA", "--in-region", "--out", tmp_path, *FAST]
    assert "USA to USA" in invoke(*given).stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--models", "svm"], "one of cropnet"),
        (["--targets", "NLD"], "median_S2_NLD_month1-12_day5.npz"),
        (["--augmentation", "mixup"], "--augmentation"),
        (["--target-classes", "FRA=rice"], "--target-classes FRA=rice,other"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_bad_input_is_one_clear_error_and_trains_nothing(regions, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        invoke(*asked(regions, tmp_path), *given)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--shift-days", "ten"], "two whole numbers"),
        (["--target-classes", "rice"], "CHN=rice,other"),
        (["--targets", "FRA,,CHN"], "empty name"),
    ],
)
def test_what_is_not_an_option_is_told_with_its_name(regions, tmp_path, given, message):
    result = invoke(*asked(regions, tmp_path), *given)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert given[0] in result.stderr


def test_a_failed_run_is_named_and_the_command_fails(regions, tmp_path, monkeypatch):
    from training.transfer import runner

    real = runner.train_once

    def fails(job, *rest, **named):
        if job.seed == 1:
            raise InputError("The training diverged.")
        return real(job, *rest, **named)

    monkeypatch.setattr(runner, "train_once", fails)
    with pytest.raises(IncompleteRunError, match="cropnet_none_seed1: The training diverged"):
        invoke(*asked(regions, tmp_path))
    assert "cropnet_none_seed2" in {path.stem for path in (tmp_path / "runs").glob("*.json")}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL.")
def test_a_killed_benchmark_goes_on_where_it_was(regions, tmp_path):
    arguments = [str(a) for a in asked(regions, tmp_path / "killed")] + ["--seeds", "60"]
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        f"from inference.models.networks.cropnet import PRESETS; PRESETS['compact'] = {TINY}\n"
        "from cli.commands.models.benchmark import benchmark; benchmark(sys.argv[1:])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    runs = tmp_path / "killed" / "runs"
    while len(list(runs.glob("*.json"))) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = {path.name: path.stat().st_mtime_ns for path in runs.glob("*.json")}
    seeds = str(len(finished) + 1)
    invoke(*asked(regions, tmp_path / "killed"), "--seeds", seeds)
    invoke(*asked(regions, tmp_path / "through"), "--seeds", seeds)
    assert {name: (runs / name).stat().st_mtime_ns for name in finished} == finished
    killed, through = (
        (tmp_path / name / "table.csv").read_text(encoding="utf-8") for name in ("killed", "through")
    )
    assert killed == through


def test_a_run_toml_of_the_first_version_is_read(regions, tmp_path):
    """It has the window as two days, and no season."""
    invoke(*asked(regions, tmp_path / "new"), "--window", "101:334")
    old = "window-first-day = 101\nwindow-last-day = 334\nbin-days = 5\n"
    (tmp_path / "old.toml").write_text(old, encoding="utf-8")
    again = invoke(*asked(regions, tmp_path / "new"), "--config", tmp_path / "old.toml")
    assert "0 trainings, 2 kept" in again.stdout


def test_records_of_the_first_version_have_the_facts_of_today():
    """Season and days are said as then, so that a benchmark that was begun continues."""
    protocol = Protocol(data=None, source="USA", targets=("FRA",), season=SUMMER.with_window(101, 300))
    assert (protocol.window_first_day, protocol.window_last_day) == (101, 300)
    assert protocol.recipe.digest == Recipe.of(window=(101, 300)).digest
    usual = Protocol(data=None, source="USA", targets=("FRA",))
    assert usual.recipe.digest == Recipe().digest


def test_a_window_that_is_said_twice_is_refused(regions, tmp_path):
    result = run_cropmap(
        "benchmark", *asked(regions, tmp_path), "--window", "101:334", "--window-first-day", "101"
    )
    assert result.exit_code == 2
    assert "given twice" in result.stderr


def test_files_of_a_winter_season_are_benchmarked(regions, tmp_path):
    invoke(*asked(regions, tmp_path / "winter"), "--season", "winter", "--min-clear-bins", "4")
    text = (tmp_path / "winter" / "table.md").read_text(encoding="utf-8")
    assert "Days 1 to 305 of the season, bins of 5 days" in text
    assert "a season from north 3 October of the year before" in text
    again = invoke("--config", tmp_path / "winter" / "run.toml")
    assert "0 trainings, 2 kept" in again.stdout
