"""Curves of the simulated crops: what is fitted, stored and evaluated."""

from pathlib import Path

import numpy as np
import pytest

from examples.fit_phenology import KINDS, fit_kind, knot_curves
from examples.phenology import CLASSES, MARGIN, STATISTICS, load_phenology, save_phenology

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "usa-2021"
PIXELS = REAL / "median_S2_ARK_month1-12_day5.npz"


@pytest.fixture(scope="module")
def phenology():
    return load_phenology()


@pytest.mark.parametrize(
    "day",
    [
        0.0,  # before the first knot: extended
        2.5,  # on a knot
        187.3,  # between two
        400.0,  # after the last: extended
    ],
)
def test_a_curve_is_linear_between_its_knots_and_extended_at_its_ends(phenology, day):
    knots = 2.5 + 10 * np.arange(37)
    mean, factors = phenology.at(day)
    for kind in range(len(phenology.kinds)):
        expected = [np.interp(day, knots, curve) for curve in phenology.mean[kind]]
        np.testing.assert_allclose(mean[kind], expected, rtol=1e-5)
    expected = [np.interp(day, knots, curve) for curve in phenology.factors[1, 2]]
    np.testing.assert_allclose(factors[1, 2], expected, rtol=1e-4, atol=1e-2)


def test_class_shares_are_those_of_the_real_pixels(phenology):
    # Pixels by CDL: 760 corn, 2,340 soybeans, 1,210 rice, 380 cotton; 112 + 64 + 58 + 30 other field crops.
    fields = 760 + 2340 + 1210 + 380 + 264
    shares = phenology.class_shares()
    assert list(shares) == list(CLASSES)
    np.testing.assert_allclose(
        list(shares.values()), [n / fields for n in (760, 2340, 1210, 380, 264)], rtol=1e-9
    )


def test_the_class_other_is_a_mixture_without_the_margins(phenology):
    shares = phenology.kind_shares("other")
    assert len(shares) == 4
    assert MARGIN not in shares
    assert sum(shares.values()) == pytest.approx(1)


def test_rice_fields_are_flooded_in_spring_and_green_in_summer(phenology):
    # Water absorbs the shortwave infrared (band 8 of the matrix, B11): rice is darker there than soybeans.
    rice, soybeans = phenology.kinds.index("rice"), phenology.kinds.index("soybeans")
    spring, summer = phenology.at(150)[0], phenology.at(205)[0]
    assert spring[rice, 8] < spring[soybeans, 8]
    red, nir = summer[rice, 2], summer[rice, 3]
    assert (nir - red) / (nir + red) > 0.7


def test_statistics_are_small_and_survive_the_disk(phenology, tmp_path):
    assert STATISTICS.stat().st_size < 100_000
    save_phenology(tmp_path / "again.npz", phenology, "a sentence")
    again = load_phenology(tmp_path / "again.npz")
    assert (again.kinds, again.classes, again.counts) == (
        phenology.kinds,
        phenology.classes,
        phenology.counts,
    )
    for name in ("mean", "factors", "noise"):
        np.testing.assert_array_equal(getattr(again, name), getattr(phenology, name))


def test_only_observed_bins_are_fitted():
    truth = np.linspace(500, 4000, 73)
    fea = np.full((1, 10, 73), 9_999, np.int16)
    observed = np.zeros((1, 73), bool)
    observed[0, [0, 10, 40, 72]] = True
    fea[:, :, observed[0]] = truth[observed[0]]
    np.testing.assert_allclose(knot_curves(fea, observed)[0, 3], truth[::2], atol=1)


def test_a_fit_recovers_the_model_that_made_the_curves():
    rng = np.random.default_rng(5)
    season = np.linspace(0, np.pi, 37)
    mean = 3000 + 1000 * np.sin(season) * np.linspace(0.5, 1, 10)[:, None]
    axis = np.cos(season) * np.linspace(1, 2, 10)[:, None] * 300
    curves = mean + rng.normal(size=(4000, 1, 1)) * axis + rng.normal(scale=50, size=(4000, 10, 37))
    fit = fit_kind("made", curves)
    np.testing.assert_allclose(fit.mean, mean, atol=30)
    first = fit.factors[0] * np.sign((fit.factors[0] * axis).sum())
    np.testing.assert_allclose(first, axis, atol=40)
    np.testing.assert_allclose(fit.noise, 50, rtol=0.1)


def test_a_kind_with_a_handful_of_pixels_is_refused():
    with pytest.raises(ValueError, match=r"peanuts needs at least 30 pixels, got 12"):
        fit_kind("peanuts", np.zeros((12, 10, 37)))


def test_no_stored_curve_shows_a_real_pixel(phenology):
    if not PIXELS.exists():
        pytest.skip("the real Arkansas pixels are not next to this checkout")
    with np.load(PIXELS) as pixels:
        curves = knot_curves(pixels["fea"], pixels["observed"])
        cdl = pixels["cdl"]
    for kind, (_, codes) in KINDS.items():
        own = curves[np.isin(cdl, codes)]
        mean = phenology.mean[phenology.kinds.index(kind)]
        factors = phenology.factors[phenology.kinds.index(kind)]
        spread = own.std()
        for shape in (0 * mean, *factors, *(-factors)):
            distance = np.sqrt(((own - mean - shape) ** 2).mean(axis=(1, 2)))
            assert distance.min() > 0.1 * spread
