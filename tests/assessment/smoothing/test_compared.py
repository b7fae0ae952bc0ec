"""Accuracy before and after smoothing, from the same points: as a report on either map, and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from assessment.smoothing.request import SmoothRequest
from assessment.smoothing.smooth import smooth_map
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json
from tests.support.assessed_map import NAMES, AssessedPlace, key_rows
from tests.support.tiny_place import run_cropmap


@pytest.fixture
def run(place: AssessedPlace) -> AssessedPlace:
    entries = [{"code": 0, "name": "outside", "color": None}]
    entries += [{"code": c, "name": n, "color": f"#{c:02x}8040"} for c, n in NAMES.items()]
    (place.folder / "map" / "legend.json").write_text(json.dumps({"classes": entries}), encoding="utf-8")
    assert run_cropmap("assess", "design", place.folder, "--points", 300, "--quiet").exit_code == 0
    return place


def test_each_map_has_the_accuracy_of_its_own_report(run: AssessedPlace, tmp_path: Path) -> None:
    answers = run.answer(tmp_path / "answers.csv")
    found = smooth_map(SmoothRequest(run.folder, "majority", answers=(answers,)))
    report = read_json(found.folder / "report.json")["accuracy"]
    smoothed = found.folder / "crop_map_smoothed.tif"
    for key, options in (("before", ()), ("after", ("--map", smoothed))):
        result = run_cropmap("assess", "report", run.folder, answers, *options, "--json", "--quiet")
        plain = json.loads(result.stdout)["plain"]
        assert report[key]["overall"] == plain["overall"]
        assert [one["f1"] for one in report[key]["classes"]] == [one["f1"] for one in plain["classes"]]


def test_the_gain_is_that_of_the_same_points(run: AssessedPlace, tmp_path: Path) -> None:
    """By strata: shares of points that became right less those that became wrong (Cochran 1977, 5.27)."""
    answers = run.answer(tmp_path / "answers.csv")
    found = smooth_map(SmoothRequest(run.folder, "majority", answers=(answers,)))
    with rasterio.open(found.folder / "crop_map_smoothed.tif") as file:
        after = file.read(1)
    total = variance = shown = 0.0
    rows = key_rows(run.sample)
    for code, name in NAMES.items():
        units = [(int(row["row"]), int(row["col"])) for row in rows if row["stratum"] == name]
        size = int((run.codes == code).sum())
        truth = np.array([run.truth[unit] for unit in units])
        change = np.array([after[unit] for unit in units]) == truth
        gains = change.astype(float) - (np.array([run.codes[unit] for unit in units]) == truth)
        if name == "not enough observations":
            continue
        shown += size
        total += size * gains.mean()
        variance += size**2 * (1 - len(units) / size) * gains.var(ddof=1) / len(units)
    assert found.accuracy is not None
    assert found.accuracy.gain.value == pytest.approx(
        total / shown, abs=1e-4
    )  # pixels differ a little in size
    assert found.accuracy.gain.se == pytest.approx(variance**0.5 / shown, rel=1e-2)


def test_faulty_answers_are_refused_before_the_map_is_smoothed(run: AssessedPlace, tmp_path: Path) -> None:
    answers = run.answer(tmp_path / "answers.csv", lambda row: {**row, "answer": "rye"})
    with pytest.raises(InputError, match="rye"):
        smooth_map(SmoothRequest(run.folder, "majority", answers=(answers,)))
    assert not (run.folder / "smoothed").exists()


def test_the_command_prints_both(run: AssessedPlace, tmp_path: Path) -> None:
    answers = run.answer(tmp_path / "answers.csv")
    result = run_cropmap("smooth", run.folder, "--method", "majority", "--answers", answers, "--quiet")
    assert result.exit_code == 0, result.stderr
    found = read_json(run.folder / "smoothed" / "report.json")["accuracy"]
    for key in ("before", "after"):
        assert f"{found[key]['overall']['value']:.3f}" in result.stdout
    assert f"changes by {found['gain']['value']:+.3f}" in result.stdout
