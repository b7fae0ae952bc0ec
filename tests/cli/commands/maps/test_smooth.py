"""`cropmap smooth`, as typed, on a run of its own making."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio

from assessment.smoothing.filters import majority
from tests.support.tiny_place import Place, codes, run_cropmap


def test_a_run_is_smoothed_once_it_has_probabilities(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert place.predict(run).exit_code == 0
    refused = run_cropmap("smooth", run)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"cropmap predict --config {run / 'run.toml'} --layers probabilities" in refused.stderr
    assert place.predict(run, "--layers", "probabilities").exit_code == 0
    result = run_cropmap("smooth", run, "--window", 5)
    assert result.exit_code == 0, result.stderr
    assert f"Map: {run / 'smoothed' / 'crop_map_smoothed.tif'}" in result.stdout
    assert "A smoothed map is a new map" in result.stderr


def test_what_changed_is_printed(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert place.predict(run).exit_code == 0
    result = run_cropmap("smooth", run, "--method", "majority", "--quiet", "--json")
    before = codes(run)
    after = majority(np.pad(before, 1), np.arange(1, 6, dtype=np.uint8), 3)
    values = json.loads(result.stdout)
    assert values["pixels"] == {
        "mapped": int(np.isin(before, range(1, 6)).sum()),
        "changed": int((before != after).sum()),
    }
    with rasterio.open(run / "smoothed" / "crop_map_smoothed.tif") as file:
        assert np.array_equal(file.read(1), after)
    assert result.stderr == ""
    table = run_cropmap("smooth", run, "--method", "sieve", "--minimum-area", 0.05).stdout
    assert "smoothed ha" in table


def test_options_of_another_method_are_refused(place: Place, tmp_path: Path) -> None:
    result = run_cropmap("smooth", tmp_path, "--method", "sieve", "--window", 5)
    assert result.exit_code == 2
    assert "--window belongs to --method bayes and majority" in result.stderr
