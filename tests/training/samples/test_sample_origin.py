"""What training takes from files of `cropmap sample`, and when it refuses to mix them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import USUAL, CloudRule, Recipe, RecipeOptions
from gee_pipeline.season import SUMMER, MonthDay, Season
from training.samples.samples import read_samples

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, metadata: Any = None, seed: int = 0) -> Path:
        fea = np.random.default_rng(seed).integers(200, 3000, (6, 10, 73)).astype(np.int16)
        told = {} if metadata is None else {"metadata": np.array(metadata)}
        np.savez(tmp_path / name, fea=fea, lbl=np.array([0, 1, 0, 1, 6, 6]), **told)
        return tmp_path / name

    return write


def told(recipe: Recipe | None = None, year: int = 2021, start: str = "2021-01-01") -> str:
    request = {"year": year, "season_start": start}
    recipe = recipe or Recipe()
    return json.dumps({"source": f"Series of {year}.", "request": request, "recipe": recipe.to_dict()})


HAZY = Recipe().with_clear(CloudRule(threshold=0.5))


def test_recipe_season_and_source_are_those_of_the_file(write: Write) -> None:
    samples = read_samples([write("a.npz", told(HAZY, 2020, "2019-07-01"))])
    assert samples.recipe == HAZY
    assert samples.season == Season(2020, date(2019, 7, 1))
    assert samples.source == "Series of 2020."


def test_a_first_day_beside_the_recipe_is_that_of_the_recipe(write: Write) -> None:
    samples = read_samples([write("a.npz", told(HAZY, 2021, "2020-10-01"))])
    assert samples.recipe.season == SUMMER.starting(MonthDay(10, 1), 2021)


def test_a_recipe_that_cannot_be_read_is_refused(write: Write) -> None:
    values = json.loads(told())
    values["recipe"]["bands"] = ["B1"]
    with pytest.raises(InputError, match=r"a\.npz name a recipe.*each band once"):
        read_samples([write("a.npz", json.dumps(values))])


def test_another_year_than_that_of_the_file_is_refused(write: Write) -> None:
    with pytest.raises(MismatchError, match=r"are of 2021.*--year 2020"):
        read_samples([write("a.npz", told())], year=2020)


def test_another_season_than_that_of_the_file_is_refused(write: Write) -> None:
    path = write("a.npz", told())
    with pytest.raises(MismatchError, match="season"):
        read_samples([path], asked=RecipeOptions(season_start=MonthDay(10, 1)))
    assert read_samples([path], asked=RecipeOptions(min_clear_bins=3)).recipe.min_clear_bins == 3


def test_a_file_that_tells_nothing_has_the_default_recipe(write: Write) -> None:
    samples = read_samples([write("a.npz")])
    assert (samples.recipe, samples.season, samples.source) == (USUAL, None, "Samples of a.npz.")


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[1]", '{"recipe": 3}', "null"])
def test_metadata_of_somebody_else_is_no_matter(text: str, write: Write) -> None:
    assert read_samples([write("a.npz", text)]).season is None


def test_labels_of_a_model_are_told_also_among_others(write: Write) -> None:
    values = json.loads(told())
    values["request"]["kind"] = "pseudo-labels"
    pseudo, observed = write("p.npz", json.dumps(values)), write("o.npz", told(), seed=1)
    assert read_samples([pseudo]).pseudo
    assert read_samples([observed, pseudo]).pseudo
    assert not read_samples([observed]).pseudo


def test_files_are_joined_with_those_that_tell_nothing(write: Write) -> None:
    samples = read_samples([write("a.npz", told(HAZY)), write("b.npz", seed=1)])
    assert len(samples) == 12
    assert samples.recipe == HAZY
    assert samples.season is None
    assert samples.source == "Series of 2021. Samples of b.npz."


def test_files_of_two_seasons_are_joined(write: Write) -> None:
    samples = read_samples([write("a.npz", told()), write("b.npz", told(year=2022, start="2022-01-01"), 1)])
    assert samples.season is None
    assert samples.source == "Series of 2021. Series of 2022."


def test_files_of_two_cloud_rules_are_refused(write: Write) -> None:
    with pytest.raises(MismatchError, match=r"b\.npz.*0\.5.*0\.75.*--cloud-threshold"):
        read_samples([write("a.npz", told()), write("b.npz", told(HAZY), 1)])


def test_a_file_of_another_recipe_than_asked_for_is_refused(write: Write) -> None:
    with pytest.raises(MismatchError, match="model or training"):
        read_samples([write("a.npz", told(HAZY))], recipe=Recipe())


def test_window_and_gap_rule_may_differ(write: Write) -> None:
    asked = replace(Recipe().with_window(91, 334), min_clear_bins=5)
    assert read_samples([write("a.npz", told())], recipe=asked).recipe == asked
