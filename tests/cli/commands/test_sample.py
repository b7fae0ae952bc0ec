"""`cropmap sample`, and training on what it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.commands.models.train import train
from cli.commands.sample import sample, sample_request, state
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.errors import CropmapError
from inference.models.checkpoint import load_checkpoint
from inference.models.networks.cropnet import PRESETS
from tests.support.ee_emulator.server import Emulator
from tests.support.sample_place import Land, quick_series
from training.samples.samples import read_samples
from training.sampling.field_samples import SampleProgress
from training.sampling.plan import SampleRequest
from training.sampling.squares.rule import SamplingRule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    """Eight clear days within the window of the model."""
    days = [f"2021-{month:02d}-{day:02d}" for month in (5, 6, 7, 8) for day in (3, 13, 23)]
    with Emulator(Land(days=days, values=(1, 5)).archive) as emulator:
        yield emulator


@pytest.fixture
def access(server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options with which the command reaches the emulator."""
    quick_series(monkeypatch)
    monkeypatch.setenv(URL_VARIABLE, server.url)
    return ["--project", server.project, "--service-account", str(server.key_file(tmp_path))]


def invoke(command: click.Command, *arguments: Any) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def place(folder: Path, out: str = "samples.npz", cols: int = 2) -> list[Any]:
    area = Land(days=()).area(folder, cols=cols, rows=1)
    return ["--aoi", area, "--year", 2021, "--reference", "cdl", "--out", folder / out, "--grid", 0.01]


def test_samples_are_drawn_and_a_model_is_trained_on_them(
    access: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))
    result = invoke(sample, *place(tmp_path), "--per-cell", 3, "--cloud-threshold", 0.5, *access)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[-1] == f"Samples: 6 in {tmp_path / 'samples.npz'}"
    assert "2 squares, " in lines[-2]
    assert "12 scenes" in lines[-2]
    model = tmp_path / "model.safetensors"
    options = ["--split", "random", "--epochs", 1, "--device", "cpu", "--batch-size", 4]
    trained = invoke(train, tmp_path / "samples.npz", "--out", model, *options)
    assert trained.exit_code == 0
    checkpoint = load_checkpoint(model)
    # as the samples were made, and so will the map be
    assert checkpoint.recipe.sensors[0].clear.threshold == 0.5
    facts = checkpoint.provenance
    assert sum(facts["samples"].values()) == 6
    assert (facts["year"], facts["season_start"]) == (2021, "2021-01-01")
    assert "USDA/NASS/CDL/2021" in facts["data"]


def test_json_is_one_document(access: list[str], tmp_path: Path) -> None:
    result = invoke(sample, *place(tmp_path, cols=1), "--json", "--quiet", *access)
    facts = json.loads(result.stdout)
    assert result.stderr == ""
    with np.load(facts["out"]) as file:
        assert facts["samples"] == len(file["lbl"]) == 1
    assert (facts["cells"], facts["cells_missing"], facts["scenes"]) == (1, [], 12)
    assert sum(facts["classes"].values()) == 1


def test_series_of_cropland_are_drawn_without_labels_and_nothing_is_trained_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_series(monkeypatch)
    days = [f"2021-{month:02d}-{day:02d}" for month in (5, 6, 7, 8) for day in (3, 13, 23)]
    land = Land(days=days, values=(10, 40), asset="ESA/WorldCover/v200/2021", band="Map")
    usual = [word for word in place(tmp_path, cols=2) if word not in ("--reference", "cdl")]
    with Emulator(land.archive) as emulator:
        monkeypatch.setenv(URL_VARIABLE, emulator.url)
        access = ["--project", emulator.project, "--service-account", str(emulator.key_file(tmp_path))]
        assert invoke(sample, *usual, "--unlabelled", "--buffer", 20, *access).exit_code == 0
    out = tmp_path / "samples.npz"
    with np.load(out) as file:
        assert len(file["lbl"]) > 0
        assert set(file["value"].tolist()) == {40}
        for lon, lat in zip(file["lon"], file["lat"], strict=True):
            assert land.around(lon, lat, 20) == {40}
    assert len(read_samples([out], any_classes=True, unlabelled=True)) == len(np.load(out)["lbl"])
    with pytest.raises(CropmapError, match=r"drawn with --unlabelled.*--target of 'cropmap adapt'"):
        read_samples([out], any_classes=True)


def test_labels_come_from_one_place_or_none(tmp_path: Path) -> None:
    usual = [word for word in place(tmp_path) if word not in ("--reference", "cdl")]
    for words in (usual, [*place(tmp_path), "--unlabelled"]):
        result = invoke(sample, *words)
        assert result.exit_code == 2
        assert "Give one of --reference" in result.stderr


def request_for(*arguments: Any) -> SampleRequest:
    """What the command would ask for."""
    seen: dict[str, Any] = {}
    keep = click.Command("keep", params=sample.params, callback=lambda **options: seen.update(options))
    assert invoke(keep, *arguments).exit_code == 0
    return sample_request({name: seen[name] for name in seen if name not in ("quiet", "as_json", "dry_run")})


def test_options_become_the_request(tmp_path: Path) -> None:
    given = ["--per-cell", 5, "--each-class", "--spacing", 100, "--buffer", 30, "--seed", 7]
    given += ["--season-start", "2021-02-01", "--cloud-band", "cs_cdf", "--cloud-threshold", 0.6]
    given += ["--max-eecu-hours", 2.5, "--project", "p", "--classes-table", tmp_path / "t.toml", "--quiet"]
    (tmp_path / "t.toml").touch()
    request = request_for(*place(tmp_path), *given)
    assert request.rule == SamplingRule(5, True, 100, 30.0, 0.01, 7)
    assert request.recipe.season.season(2021, "north").start == date(2021, 2, 1)
    rule = request.recipe.sensors[0].clear
    assert (rule.score_band, rule.threshold) == ("cs_cdf", 0.6)
    assert (request.max_eecu_hours, request.settings.project) == (2.5, "p")
    assert request.classes_table == tmp_path / "t.toml"


def test_defaults_are_those_of_the_request(tmp_path: Path) -> None:
    area, out = tmp_path / "area.geojson", tmp_path / "s.npz"
    area.touch()
    request = request_for("--aoi", area, "--year", 2021, "--reference", "cdl", "--out", out)
    assert request == SampleRequest(area, 2021, "cdl", out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reference", "cdl2"], "got 'cdl2'"),
        (["--reference", "asset:projects/p/assets/x"], "--classes-table"),
        (["--grid", 0.07], "--grid 0.07"),
        (["--year", 1999], "2017"),
        (["--aoi", "nowhere.geojson"], "nowhere"),
    ],
)
def test_bad_input_ends_before_anything_is_asked_or_written(
    options: list[Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CropmapError, match=message):
        invoke(sample, *place(tmp_path), *options)
    assert [path.name for path in tmp_path.iterdir()] == ["area_2x1.geojson"]


def test_options_may_come_from_a_file(tmp_path: Path) -> None:
    config = tmp_path / "sample.toml"
    config.write_text('year = 1999\nreference = "cdl"\nper-cell = 0\n')
    arguments = ["--aoi", Land(days=()).area(tmp_path), "--out", tmp_path / "s.npz", "--config", config]
    with pytest.raises(CropmapError, match="--per-cell 0"):
        invoke(sample, *arguments)
    with pytest.raises(CropmapError, match="2017"):
        invoke(sample, *arguments, "--per-cell", 1)


def test_paths_in_a_file_of_options_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    land = Land(days=())
    (tmp_path / "maps").mkdir()
    land.raster(tmp_path / "maps" / "cdl.tif")
    config = tmp_path / "maps" / "sample.toml"
    config.write_text('reference = "cdl"\nreference-at = "cdl.tif"\ngrid = 0.01\nyear = 2021\n')
    monkeypatch.chdir(tmp_path)
    result = invoke(sample, "--aoi", land.area(tmp_path), "--config", config, "--dry-run")
    assert result.exit_code == 0
    assert "Samples: " in result.stdout


def test_a_line_tells_the_state() -> None:
    assert state(SampleProgress(3, 1, 1_240, 2_000, 125.0)) == (
        "3 of 1,240 squares, 1 failed, 2,000 samples, 2 min 05 s left"
    )
    assert state(SampleProgress(0, 0, 6, 0, None)) == "0 of 6 squares, 0 samples"
    assert state(SampleProgress(0, 0, 6, 0, None, 4)) == "0 of 6 squares, 4 under way, 0 samples"


def test_every_option_has_help() -> None:
    options = [param for param in sample.params if isinstance(param, click.Option)]
    assert len(options) > 15
    assert [option.name for option in options if not option.help] == []
