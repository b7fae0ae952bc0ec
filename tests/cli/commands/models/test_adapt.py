"""`cropmap adapt`, as it is called."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.commands.models.adapt import ADAPTABLE, SETTINGS, _target, settings_of
from cli.main import cropmap
from gee_pipeline.errors import InputError
from inference.models.checkpoint import load_checkpoint
from tests.support.pseudo_place import RECIPE, made_run
from training.adaptation.options import DEFAULT_METHOD, METHODS, AdaptationOptions
from training.distillation.unlabelled import series_of_run

QUICK = ("--preset", "small-8", "--epochs", "2", "--batch-size", "16", "--device", "cpu", "--rounds", "3")
EASY = ("--confidence", "0.3", "--certainty", "1", "--stability", "1", "--views", "2")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt")
    rng = np.random.default_rng(2)
    for name, west in (("samples", -91), ("elsewhere", -120)):
        labels = np.arange(60) % 3
        np.savez(
            folder / f"{name}.npz",
            fea=(rng.integers(200, 900, (60, 10, 73)) + 1500 * labels[:, None, None]).astype(np.int16),
            lbl=labels,
            lon=west + rng.uniform(0, 2, 60),
            lat=35 + rng.uniform(0, 2, 60),
        )
    return folder


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(cropmap, ["adapt", *map(str, arguments)], catch_exceptions=False)


def test_a_model_is_written_and_says_what_it_is(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    target = files / "elsewhere.npz"
    result = invoke("--source", files / "samples.npz", "--target", target, "--out", out, *QUICK, *EASY)
    assert result.exit_code == 0, result.output
    assert f"Checkpoint: {out}. Source, held out by" in result.stdout
    assert "Target, 60 series without labels: mean confidence" in result.stdout
    assert "None of this is an accuracy." in result.stdout
    assert "Judged" not in result.stdout
    facts = load_checkpoint(out).provenance["adapted"]
    assert facts["method"] == DEFAULT_METHOD
    assert facts["adaptation"]["confidence"] == 0.3
    assert facts["target"][0]["name"] == "elsewhere.npz"
    assert not (tmp_path / "m.progress").exists()


def test_judged_when_it_is_finished_as_json(files: Path, tmp_path: Path) -> None:
    given = ("--source", files / "samples.npz", "--target", files / "elsewhere.npz", *QUICK, *EASY, "--json")
    plain = invoke(*given, "--out", tmp_path / "a.safetensors")
    judged = invoke(*given, "--judge", files / "elsewhere.npz", "--out", tmp_path / "b.safetensors")
    first, second = json.loads(plain.stdout), json.loads(judged.stdout)
    assert "judged" not in first
    assert 0 <= second["judged"]["accuracy"] <= 1
    assert first["target"] == second["target"]


def test_pixels_of_a_run_are_a_target(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    found = _target(run, RECIPE, {"unlabelled": 50, "seed": 1})
    assert found.name == run.name
    assert found.series.tolist() == series_of_run(run, RECIPE, 50, 1).tolist()


def test_a_run_of_another_recipe_is_refused_by_the_option(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    for path in (run / "composites").glob("*.tif"):
        path.unlink()
    with pytest.raises(InputError, match="Name another --target"):
        _target(run, RECIPE, {"unlabelled": 50, "seed": 1})


def test_a_network_without_levels_is_no_choice(files: Path, tmp_path: Path) -> None:
    given = ("--source", files / "samples.npz", "--target", files, "--out", tmp_path / "m")
    result = invoke(*given, "--model", "mlp")
    assert result.exit_code == 2
    assert "cropnet" in ADAPTABLE
    assert "mlp" not in ADAPTABLE


def test_the_model_does_not_replace_its_samples(files: Path) -> None:
    target = files / "elsewhere.npz"
    result = invoke("--source", files / "samples.npz", "--target", target, "--out", target)
    assert result.exit_code == 2
    assert "would write over it" in result.stderr


def test_settings_are_those_of_the_method_but_for_what_is_given() -> None:
    given: dict[str, Any] = dict.fromkeys(SETTINGS) | {"method": "ghca-class", "views": 3}
    found = settings_of(given)
    assert found.views == 3
    assert found.discrepancy == "class-wise"
    assert found.contrast_weight == METHODS["ghca-class"].contrast_weight


def test_every_setting_has_an_option() -> None:
    assert set(SETTINGS) == {field.name for field in fields(AdaptationOptions)}
