import numpy as np
import pytest

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from training.fit.augment import (
    Augmentation,
    apply,
    drop_observations,
    jitter_observations,
    shift_season,
    transforms,
    warp_magnitude,
)
from training.fit.options import TrainingOptions
from training.fit.resample import CODE, CODE_DAYS, PAPER

WINDOW = range(24, 67)


@pytest.fixture
def series(made_samples):
    return made_samples(200).series


def drop(series, shares, at_least=0, seed=3):
    rng = np.random.default_rng(seed)
    return drop_observations(series, rng, shares, window=WINDOW, at_least=at_least)


def test_an_observation_is_hidden_in_all_bands_or_kept_as_it_is(series):
    changed = drop(series, (0.0, 0.8))
    hidden = (changed != series).any(axis=1)
    assert hidden.any()
    for sample, bin_ in zip(*np.nonzero(hidden), strict=True):
        assert (changed[sample, :, bin_] == -9999).all()


def test_the_share_hidden_is_that_asked_for(series):
    before, after = ((s[:, 0] != -9999).sum() for s in (series, drop(series, (0.5, 0.5))))
    assert after / before == pytest.approx(0.5, abs=0.02)  # 9,800 observations: 4 standard deviations


def test_samples_differ_in_how_much_they_lose(series):
    left = (drop(series, (0.0, 0.8))[:, 0] != -9999).sum(axis=1) / (series[:, 0] != -9999).sum(axis=1)
    assert left.min() < 0.4
    assert left.max() > 0.9


def test_so_many_observations_stay_in_the_window(series):
    after = (drop(series, (0.95, 0.95), at_least=8)[:, 0] != -9999)[:, 24:67].sum(axis=1)
    assert after.min() == 8
    assert after.mean() < 9


def test_a_sample_that_has_fewer_keeps_all_of_them_and_gains_none(series):
    few = series.copy()
    few[:, :, 30:67] = -9999  # 4 of the bins 24 to 29 are observed
    after = drop(few, (0.95, 0.95), at_least=8)
    np.testing.assert_array_equal(after[:, :, 24:67], few[:, :, 24:67])


def test_which_observations_stay_is_left_to_chance(series):
    kept = (drop(series, (0.95, 0.95), at_least=8)[:, 0] != -9999)[:, 24:67].mean(axis=0)
    observed = np.arange(24, 67) % 3 != 2
    assert (kept[~observed] == 0).all()
    assert kept[observed].min() > 0.1  # 8 or 9 of 28: 0.3 each on average
    assert kept[observed].max() < 0.5


def test_jitter_takes_each_bin_from_near_by(series):
    changed = jitter_observations(series, np.random.default_rng(1), 2)
    for sample in range(20):
        for bin_ in range(73):
            near = [series[sample, :, t] for t in range(max(bin_ - 2, 0), min(bin_ + 3, 73))]
            assert any((changed[sample, :, bin_] == one).all() for one in near)


def test_jitter_moves_some_but_not_all(series):
    changed = jitter_observations(series, np.random.default_rng(1), 1)
    same = (changed == series).all(axis=1).mean()
    assert 0.3 < same < 0.6  # a third in place, and some of the gaps onto gaps


def test_a_shift_moves_whole_series_and_leaves_gaps_behind(series):
    """Each sample equals one of the five shifts that a plain loop makes."""
    changed = shift_season(series, np.random.default_rng(1), 2)
    seen = set()
    for sample in range(len(series)):
        for by in range(-2, 3):
            expected = np.full_like(series[sample], -9999)
            for bin_ in range(73):
                if 0 <= bin_ - by < 73:
                    expected[:, bin_] = series[sample, :, bin_ - by]
            if np.array_equal(changed[sample], expected):
                seen.add(by)
                break
        else:
            pytest.fail(f"sample {sample} is no shift of itself")
    assert len(seen) > 2


def test_a_warp_multiplies_all_bands_of_an_observation_by_one_smooth_factor():
    series = np.full((400, 10, 73), 2_000, np.int16) + np.arange(10, dtype=np.int16)[:, None] * 100
    series[:, :, ::2] = -9999
    changed = warp_magnitude(series, np.random.default_rng(1), 0.2)
    assert (changed[:, :, ::2] == -9999).all()
    factor = changed[:, :, 1::2] / series[:, :, 1::2]
    np.testing.assert_allclose(factor, factor[:, :1] * np.ones((1, 10, 1)), atol=6e-4)  # rounding to 1/2,000
    still = (changed == series).all(axis=(1, 2))
    assert 0.4 < still.mean() < 0.6
    assert factor[~still][:, 0, 17].mean() == pytest.approx(1, abs=0.05)
    assert factor[~still][:, 0, 17].std() == pytest.approx(0.2, abs=0.04)  # bin 35, next to the middle knot
    assert np.abs(np.diff(factor[:, 0], n=2, axis=1)).max() < 0.1  # independent factors: 0.5 and more


@pytest.mark.parametrize(
    "change",
    [
        lambda s, r: jitter_observations(s, r, 1),
        lambda s, r: drop(s, (0.5, 0.5)),
        lambda s, r: shift_season(s, r, 2),
        lambda s, r: warp_magnitude(s, r, 0.2),
    ],
)
def test_the_samples_themselves_stay_as_they_are(series, change):
    before = series.copy()
    change(series, np.random.default_rng(1))
    np.testing.assert_array_equal(series, before)


def test_the_options_choose_the_steps(series):
    none = TrainingOptions(drop_observations=0, time_jitter=0, time_shift=0, magnitude_warp=0)
    assert transforms(none, Recipe()) == ()
    assert apply((), series, np.random.default_rng(1)) is series
    steps = transforms(TrainingOptions(), Recipe())
    after = apply(steps, series, np.random.default_rng(1))
    assert after.dtype == np.int16
    assert after.shape == series.shape
    assert ((after[:, 0] != -9999)[:, 24:67].sum(axis=1) >= 8).all()


def test_field_gives_the_numbers_it_always_gave(made_samples):
    """Band 5 of bins 28 to 35 of six samples, as recorded when the transforms were first released."""
    series = made_samples(6).series
    field = Augmentation.of("field", TrainingOptions(), Recipe())
    changed = apply(field.observations, series, np.random.default_rng(5))
    gap = -9999
    assert changed[:, 4, 28:36].tolist() == [
        [2911, gap, 3660, gap, gap, 2876, gap, gap],
        [gap, gap, gap, 709, gap, gap, gap, gap],
        [gap, gap, gap, gap, 738, gap, gap, 731],
        [gap, 3109, gap, 2928, gap, 2221, gap, 1102],
        [gap, gap, 936, gap, gap, gap, 2501, 2768],
        [641, 660, 660, 660, 804, 695, 804, 854],
    ]
    assert (changed[:, 0] == gap).sum() == 248


def test_the_presets_choose_what_changes():
    presets = {
        p: Augmentation.of(p, TrainingOptions(), Recipe())
        for p in ("none", "field", "paper", "code", "code-days")
    }
    assert [len(one.observations) for one in presets.values()] == [0, 4, 0, 0, 0]
    assert [one.moves for one in presets.values()] == [None, None, PAPER, CODE, CODE_DAYS]
    assert [one.copies for one in presets.values()] == [0, 0, 0, 2, 2]


@pytest.mark.parametrize("preset", ["none", "field", "paper"])
def test_an_epoch_without_copies_is_a_permutation_of_the_samples(preset):
    indices, original = Augmentation(preset).epoch(50, np.random.default_rng(1))
    np.testing.assert_array_equal(indices, np.random.default_rng(1).permutation(50))  # as it always was
    assert not original.any()  # any may change


def test_an_epoch_with_copies_holds_each_sample_once_as_it_is_and_twice_changed():
    indices, original = Augmentation("code").epoch(50, np.random.default_rng(1))
    assert len(indices) == 150
    assert sorted(indices[original]) == list(range(50))
    assert sorted(indices[~original]) == sorted([*range(50), *range(50)])
    assert 0 < original[:75].sum() < 50  # in no order


@pytest.mark.parametrize(
    ("preset", "extra", "message"),
    [
        ("fields", {}, "one of field, paper, code, code-days, none, got 'fields'"),
        ("paper", {"observations": (jitter_observations,)}, "go with the augmentation field.*with paper"),
        ("field", {"parameters": PAPER}, "paper or code or code-days; got them with field"),
    ],
)
def test_an_augmentation_that_means_nothing_is_refused(preset, extra, message):
    with pytest.raises(InputError, match=message):
        Augmentation(preset, **extra)


@pytest.mark.parametrize(("window", "observed"), [((121, 190), 1), ((121, 155), 2), ((1, 35), 3)])
def test_no_step_of_field_takes_the_last_observations(window, observed):
    """Series of few observations, as monthly ones are: shifted, jittered and hidden they keep the bound."""
    recipe = Recipe.of(window=window, min_clear_bins=observed)
    rng = np.random.default_rng(observed)
    series = np.full((400, 10, 73), NODATA, np.int16)
    bins = recipe.window
    for sample in series:
        sample[:, rng.choice(bins, observed, replace=False)] = rng.integers(200, 4_000, (10, observed))
    options = TrainingOptions(drop_observations=0.9, time_jitter=3, time_shift=4, magnitude_warp=0.2)
    for _ in range(5):
        made = apply(transforms(options, recipe), series, rng)
        left = (made[:, 0, bins.start : bins.stop] != NODATA).sum(axis=1)
        assert left.min() >= observed


def test_a_recipe_that_asks_for_no_observation_keeps_one():
    recipe = Recipe.of(window=(121, 155), min_clear_bins=0)
    series = np.full((200, 10, 73), NODATA, np.int16)
    series[:, :, 24] = 700
    made = apply(
        transforms(TrainingOptions(time_shift=5, time_jitter=2), recipe), series, np.random.default_rng(1)
    )
    assert (made[:, 0, 24:31] != NODATA).any(axis=1).all()
