"""The example of two seasons as a whole, small and in this process."""

from __future__ import annotations

import json

import numpy as np
import pytest

from examples.two_seasons import SEASONS, run_example
from examples.two_seasons_picture import draw_two_seasons
from examples.winter import WINTER_CLASSES
from tests.support.tiny_place import run_cropmap


@pytest.mark.slow
def test_each_season_is_mapped_by_its_own_model(tmp_path):
    told = []

    def run(arguments):
        cells = () if arguments[0] == "train" else ("--cell-size=64",)  # 256 would be empty but for a corner
        result = run_cropmap(*arguments, *cells)
        assert result.exit_code == 0, result.stderr
        told.append(arguments[0])

    scores = run_example(tmp_path, size=80, epochs=10, acquisitions=90, run=run)
    assert told == ["export", "train", "predict", "predict"]
    assert scores["winter"].names == tuple(WINTER_CLASSES)
    assert scores["winter"].overall_accuracy > 0.6
    plans = {season: json.loads((tmp_path / f"{season}_run" / "run.json").read_text()) for season in SEASONS}
    assert plans["winter"]["season"] == {"year": 2021, "start": "2020-10-03", "hours_ahead": -6}
    assert plans["winter"]["bins"] == [0, 61]
    assert plans["summer"]["season"]["start"] == "2021-01-01"
    with np.load(tmp_path / "samples.npz") as samples:
        assert samples["fea"].shape[1:] == (10, 61)
        assert {*samples["lbl"].tolist()} == {*WINTER_CLASSES.values()}
    picture = draw_two_seasons(tmp_path / "a.png", tmp_path, scores)
    assert 20_000 < picture.stat().st_size < 450_000
    assert "simulated" in (tmp_path / "winter_run" / "map" / "report.json").read_text().lower()
