"""Pixels of a run's composites, to learn from without labels."""

from dataclasses import replace

import pytest

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.observations import least_observed
from inference.run.plan import load_plan
from tests.support.pseudo_place import RECIPE, copied, made_run, series_at
from training.distillation.unlabelled import series_of_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("run"))


def test_series_are_those_of_the_runs_pixels_each_once(run_folder):
    found = series_of_run(run_folder, RECIPE, 500, seed=1)
    plan = load_plan(run_folder)
    rows, cols = (size for size in plan.grid.geobox.shape)
    there = {series_at(row, col, plan.bins).tobytes() for row in range(rows) for col in range(cols)}
    inside = found[:, :, plan.bins.start : plan.bins.stop]
    assert {one.tobytes() for one in inside} <= there
    assert len({one.tobytes() for one in inside}) == len(found) == 500
    assert (found[:, :, : plan.bins.start] == -9999).all()
    window = found[:, :, RECIPE.window.start : RECIPE.window.stop]
    assert (least_observed(window, RECIPE.group_sizes) >= RECIPE.min_clear_bins).all()


def test_the_seed_chooses_the_pixels(run_folder):
    first, again, other = (series_of_run(run_folder, RECIPE, 50, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert first.shape == other.shape
    assert (first != other).any()


def test_a_run_of_another_recipe_or_without_composites_is_refused(run_folder, tmp_path):
    with pytest.raises(MismatchError, match="min_clear_bins"):
        series_of_run(run_folder, replace(RECIPE, min_clear_bins=4), 10, 1)
    bare = copied(run_folder, tmp_path / "bare")
    for path in (bare / "composites").glob("*.tif"):
        path.unlink()
    with pytest.raises(InputError, match="keeps no composites"):
        series_of_run(bare, RECIPE, 10, 1)
