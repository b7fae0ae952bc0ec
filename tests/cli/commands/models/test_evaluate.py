"""`cropmap evaluate`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference.models.checkpoint import load_checkpoint
from inference.models.predictor import Predictor
from inference.models.shipped import model_path
from tests.support.tiny_place import run_cropmap

pytestmark = pytest.mark.slow


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Forty series of two classes in eight places."""
    rng = np.random.default_rng(1)
    labels = np.arange(40) % 2
    series = rng.integers(300, 3_000, (40, 10, 73)).astype(np.int16)
    path = tmp_path / "samples.npz"
    places = np.arange(40) // 5
    np.savez(path, fea=series, lbl=labels + 1, lon=8.1 + 0.25 * places, lat=np.full(40, 47.1))
    return path


def test_it_prints_scores_with_intervals_by_blocks(samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = run_cropmap("evaluate", "fast", samples, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("40 samples; 95 % intervals by 8 blocks.\nOverall accuracy 0.")
    assert "calibration error" in result.stdout
    assert "intervals from fewer than 10 say little" in result.stderr
    values = json.loads(out.read_text(encoding="utf-8"))
    assert values["blocks"] == 8
    assert np.sum(values["accuracy"]["counts"]) == 40
    again = run_cropmap("evaluate", "fast", samples, "--json")
    assert json.loads(again.stdout) == values


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--by", "column"), "--group-column"),
        (("--block-size", "0"), "--block-size"),
        (("--block-size", "90"), "smaller --block-size"),
        (("--device", "tpu"), "tpu"),
    ],
)
def test_wrong_options_are_named(samples: Path, given: tuple[str, ...], said: str) -> None:
    result = run_cropmap("evaluate", "fast", samples, *given)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_no_model_is_refused(samples: Path) -> None:
    result = run_cropmap("evaluate", samples, samples)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_limits_from_the_samples_are_kept_in_a_file_of_the_same_network(
    samples: Path, tmp_path: Path
) -> None:
    path = tmp_path / "calibrated.safetensors"
    result = run_cropmap("evaluate", "fast", samples, "--calibrate", path, "--coverage", "0.8", "--json")
    assert result.exit_code == 0, result.stderr
    found, shipped = load_checkpoint(path), load_checkpoint(model_path("fast"))
    assert found.digest == shipped.digest
    assert found.prediction_sets is not None
    assert found.prediction_sets.coverage == 0.8
    assert found.prediction_sets.samples == (0, 20, 20, 0, 0)
    with np.load(samples) as file:
        series = file["fea"][:, :, found.recipe.window.start : found.recipe.window.stop]
        labels = file["lbl"]
    said = Predictor(shipped, "cpu").probabilities(series)
    for k in (1, 2):  # 17 of 20 is the least number of samples that is more than 0.8 x 21
        scores = np.sort(1 - said[labels == k, k].astype(float))
        assert found.prediction_sets.limits[k] == pytest.approx(scores[16], abs=0)
    values = json.loads(result.stdout)
    assert values["limits"]["limits"] == list(found.prediction_sets.limits)
    whole = values["sets_calibrated"]["parts"][0]
    assert (whole["name"], whole["samples"]) == ("all classes", 40)
    own = said.astype(float)[np.arange(40), labels]
    of_file = shipped.prediction_sets
    assert of_file is not None
    held = (1 - own <= np.array(of_file.limits)[labels]).mean()
    assert values["sets"]["parts"][0]["coverage"]["value"] == pytest.approx(held)
    text = run_cropmap("evaluate", path, samples)
    assert "Prediction sets of 80%, by Samples of samples.npz." in text.stdout
    assert "held-out samples of its training" not in text.stdout
    info = run_cropmap("model", "info", path)
    assert "80% of each class, by 40 samples (Samples of samples.npz)" in info.stdout


def test_what_cannot_be_calibrated_is_named(samples: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibrated.safetensors"
    refused = run_cropmap("evaluate", "fast", samples, "--coverage", "0.8")
    assert refused.exit_code == 2
    assert "give both, or neither" in refused.stderr
    refused = run_cropmap("evaluate", "fast", samples, "--calibrate", path, "--coverage", "0.98")
    assert refused.exit_code == 2
    assert "take 49 labelled samples or more, got 40" in refused.stderr
    assert not path.exists()
