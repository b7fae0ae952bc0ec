from datetime import date, timedelta

import numpy as np
import pytest
import torch

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SEASONS, MonthDay
from inference.models.networks.monthly_means import BANDS, MonthlyMeans, month_shares, with_index
from inference.models.networks.normalisation import Normalisation

WHOLE = Recipe().with_window(1, 365)


def day_by_day(recipe, start):
    """Share of each bin in each month, by counting days one by one."""
    season = [start + timedelta(days=i) for i in range(365)]
    counts = {}
    for place, index in enumerate(recipe.window):
        for day in season[index * recipe.bin_days : (index + 1) * recipe.bin_days]:
            counts.setdefault((day.year, day.month), np.zeros(len(recipe.window)))[place] += 1
    lengths = {
        (year, month): (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days
        for year, month in counts
    }
    kept = {key: found for key, found in counts.items() if found.sum() >= lengths[key] / 2}
    return np.stack([found / found.sum() for found in kept.values()], axis=1), [m - 1 for _, m in kept]


@pytest.mark.parametrize(
    ("recipe", "start"),
    [
        (Recipe(), date(2001, 1, 1)),
        (WHOLE, date(2001, 1, 1)),
        (Recipe.of(bin_days=10), date(2001, 1, 1)),
        (Recipe.of(season=SEASONS["winter"]), date(2001, 10, 3)),
    ],
)
def test_a_bin_counts_in_a_month_by_its_days_there(recipe, start):
    shares, months = month_shares(recipe)
    wanted, names = day_by_day(recipe, start)
    np.testing.assert_allclose(shares, wanted, atol=1e-12)
    assert list(months) == names


def test_the_usual_window_is_may_to_november():
    """Its last day, 1 December, is too little of a month."""
    shares, months = month_shares(Recipe())
    assert months == (4, 5, 6, 7, 8, 9, 10)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    assert shares[-1].tolist() == [0, 0, 0, 0, 0, 0, 4 / 30]


def test_months_stay_what_they_are():
    shares, months = month_shares(Recipe.of(bin_days="month", min_clear_bins=4))
    np.testing.assert_array_equal(shares, np.eye(len(months)))


def test_half_a_month_is_enough_and_less_is_not():
    with pytest.raises(InputError, match="holds half of none"):
        month_shares(Recipe.of(window=(1, 15), min_clear_bins=1))
    assert month_shares(Recipe.of(window=(1, 20), min_clear_bins=1))[1] == (0,)


def test_a_window_over_the_new_year_names_its_months_in_order():
    rule = SEASONS["winter"].starting(MonthDay(11, 1)).with_window(1, 150)
    assert month_shares(Recipe.of(season=rule))[1] == (10, 11, 0, 1, 2)


def test_the_means_are_of_reflectance_whatever_the_normalisation_and_order_of_bands():
    rng = np.random.default_rng(1)
    recipe = Recipe()
    assert recipe.bands != BANDS  # B8 stands elsewhere
    reflectance = rng.uniform(0.01, 0.6, (3, 10, 43))
    mean, std = rng.uniform(0, 0.3, 10), rng.uniform(0.05, 0.2, 10)
    scaled = (reflectance - mean[:, None]) / std[:, None]
    means = MonthlyMeans(recipe, Normalisation(tuple(mean), tuple(std)))
    found = means(torch.from_numpy(scaled[:, None]).float()).numpy()
    shares, _ = day_by_day(recipe, date(2001, 1, 1))
    for column, band in enumerate(BANDS):
        row = reflectance[:, recipe.bands.index(band)]
        np.testing.assert_allclose(found[:, :, column], row @ shares, atol=1e-5)
    red, near = (reflectance[:, recipe.bands.index(band)] @ shares for band in ("B4", "B8"))
    np.testing.assert_allclose(found[:, :, 10], (near - red) / (near + red), atol=1e-4)


def test_the_index_of_nothing_is_nothing_and_its_gradient_a_number():
    months = torch.zeros(1, 1, 10, requires_grad=True)
    found = with_index(months)
    assert found[0, 0, 10] == 0
    found.sum().backward()
    assert months.grad.isfinite().all()


def test_bands_that_an_encoder_reads_must_be_there():
    recipe = Recipe.of(bands=("B2", "B3", "B4", "B8"))
    with pytest.raises(InputError, match="B5, B6, B7, B8A, B11, B12 is not among"):
        MonthlyMeans(recipe, Normalisation((0.0,) * 4, (1.0,) * 4))
