"""Winter classes on the summer's season."""

import numpy as np
import pytest

from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER, WINTER, YEAR
from training.samples.samples import Samples
from training.samples.season_warning import warn_of_season


def samples(classes, recipe):
    series = np.full((2, 10, recipe.bins_in_season), 500, np.int16)
    return Samples(series, np.array([0, 1]), classes, recipe=recipe)


@pytest.mark.parametrize("name", ["winter_wheat", "winter wheat", "Winter barley", "winter"])
def test_a_winter_class_on_the_summer_is_warned_of(name):
    warning = warn_of_season(samples((name, "maize"), Recipe()))
    assert warning is not None
    assert [part for part in (name, "summer", "--season winter") if part not in warning] == []


@pytest.mark.parametrize(
    ("classes", "season"),
    [
        (("winter_wheat", "maize"), WINTER),
        (("winter_wheat", "maize"), YEAR),
        (("winter_wheat", "maize"), SUMMER.with_window(1, 334)),
        (("wheat", "midwinter", "winterberry"), SUMMER),
    ],
)
def test_other_classes_and_seasons_are_not(classes, season):
    assert warn_of_season(samples(classes, Recipe.of(season=season))) is None
