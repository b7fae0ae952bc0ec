"""Clouds, shadows, scores and scene classes agree with each other."""

import numpy as np
import pytest

from examples.clouds import Sky, draw_cover, make_sky, scene_classes, score, veil
from gee_pipeline.recipe import CloudRule

SHAPE = (160, 200)


def sky(cover, seed=3):
    return make_sky(np.random.default_rng(seed), SHAPE, cover)


@pytest.mark.parametrize("cover", [0.1, 0.3, 0.5, 0.8])
def test_about_the_asked_share_is_covered(cover):
    shares = [sky(cover, seed).cover for seed in range(20)]
    assert np.mean(shares) == pytest.approx(cover, abs=0.08)


def test_no_cover_is_clear_and_full_cover_is_overcast():
    assert sky(0.0).cover == 0
    assert sky(1.0).opacity.min() > 0.6


def test_days_are_clear_overcast_and_between():
    rng = np.random.default_rng(0)
    covers = np.array([draw_cover(rng) for _ in range(2000)])
    assert (covers < 0.04).mean() == pytest.approx(0.40, abs=0.04)
    assert (covers == 1).mean() == pytest.approx(0.25, abs=0.04)


def test_a_shadow_lies_north_west_of_its_cloud():
    whole = sky(0.15)
    lags = {}
    for rows, cols in ((-1, -1), (1, 1)):  # north-west, south-east
        moved = [
            (np.roll(whole.opacity, (rows * step, cols * step // 2), (0, 1)) * whole.shade).mean()
            for step in range(12, 40)
        ]
        lags[rows, cols] = max(moved)
    assert lags[-1, -1] > 3 * lags[1, 1]


def test_clear_ground_is_seen_as_it_is_and_opaque_cloud_hides_it():
    ground = np.random.default_rng(1).uniform(300, 4000, (10, 2, 2)).astype(np.float32)
    opacity = np.array([[0, 1], [0, 0]], np.float32)
    shade = np.array([[0, 0], [1, 0]], np.float32)
    seen = veil(ground, Sky(opacity, shade))
    np.testing.assert_allclose(seen[:, 0, 0], ground[:, 0, 0])
    np.testing.assert_allclose(seen[:, 1, 0], 0.4 * ground[:, 1, 0], rtol=1e-5)
    assert seen[0, 0, 1] == pytest.approx(5600)


def test_the_score_calls_clear_what_has_hardly_any_cloud_or_shadow():
    whole = sky(0.4)
    values = score(np.random.default_rng(2), whole)
    assert values.min() >= 0
    assert values.max() <= 1
    clear = values >= CloudRule().threshold
    assert whole.opacity[clear].max() < 0.2
    assert whole.shade[clear].max() < 0.45
    assert clear[(whole.opacity == 0) & (whole.shade == 0)].all()
    edge = (whole.opacity > 0.01) & (whole.opacity < 0.1)
    assert values[edge].mean() < values[whole.opacity == 0].mean() - 0.03


def test_scene_classes_and_score_agree_on_what_is_clear():
    whole = sky(0.4)
    ground = np.full((10, *SHAPE), 500, np.float32)
    ground[3, :, :100] = 4000
    classes = scene_classes(ground, whole)
    assert set(np.unique(classes)) == {3, 4, 5, 8, 9, 10}
    by_score = score(np.random.default_rng(2), whole) >= CloudRule().threshold
    by_class = np.isin(classes, CloudRule().scl_clear)
    assert (by_score == by_class).mean() > 0.95
    bare = (classes == 5).nonzero()[1]
    assert bare.min() >= 100
