"""Scenes that cannot be used, by whole commands: the choice is a part of the run, and counted."""

import json
import tomllib
from pathlib import Path

import pytest

from gee_pipeline.stac import catalog
from tests.support.tiny_place import Place, run_cropmap

pytestmark = pytest.mark.slow


@pytest.fixture
def spoiled(place: Place, tmp_path: Path) -> tuple[Place, str]:
    """A copy of the place in which a file of one scene is gone, and the id of the scene."""
    catalog._open.cache_clear()
    copy = place.copied(tmp_path / "place")
    for path in sorted((copy.folder / "items").rglob("*.json")):
        item = json.loads(path.read_text(encoding="utf-8"))
        if item["properties"]["datetime"].startswith("2021-07"):
            key = next(key for key in item["assets"] if key in ("B4", "B04"))
            (path.parent / item["assets"][key]["href"]).unlink()
            return copy, item["id"]
    raise AssertionError("the place has scenes of July")


def test_a_missing_file_names_the_ways_out(spoiled: tuple[Place, str], tmp_path: Path) -> None:
    place, name = spoiled
    result = place.export(tmp_path / "run", bands="B4")
    assert result.exit_code == 2
    assert f"--leave-out-scene {name}, or --bad-scenes leave-out" in result.stderr


def test_bad_scenes_are_left_out_and_counted(spoiled: tuple[Place, str], tmp_path: Path) -> None:
    place, _ = spoiled
    run = tmp_path / "run"
    result = place.predict(run, bad_scenes="leave-out")
    assert result.exit_code == 0, result.stderr
    report = json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))
    assert report["source"]["bad_scenes"] == "leave-out"
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    left_out = sum(line.get("scenes", {}).get("left_out", 0) for line in lines)
    assert report["certificate"]["scenes_left_out"] == left_out > 0
    assert tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))["bad_scenes"] == "leave-out"
    again = run_cropmap("predict", "--config", run / "run.toml")
    assert again.exit_code == 0, again.stderr
    report = json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))
    assert report["certificate"]["scenes_left_out"] == left_out
    other = place.predict(run)
    assert other.exit_code == 2
    assert "source bad_scenes: leave-out in the run, None now" in other.stderr


def test_a_scene_is_left_out_by_its_id(spoiled: tuple[Place, str], tmp_path: Path) -> None:
    place, name = spoiled
    run = tmp_path / "run"
    result = place.export(run, "--leave-out-scene", name, bands="B4")
    assert result.exit_code == 0, result.stderr
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["source"]["left_out"] == [name]
    again = run_cropmap("export", "--config", run / "run.toml")
    assert again.exit_code == 0, again.stderr


def test_earth_engine_has_no_scenes_to_leave_out(place: Place, tmp_path: Path) -> None:
    result = place.export(tmp_path / "run", "--leave-out-scene", "A", source=None, workers=None)
    assert result.exit_code == 2
    assert "--source" in result.stderr
