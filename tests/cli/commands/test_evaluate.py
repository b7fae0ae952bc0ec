"""`cropmap evaluate`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

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
