from dataclasses import replace

import numpy as np
import pyproj
import pytest

from training.fit.options import SplitRule
from training.fit.split import Split, split_samples
from training.forest.nearness import NEAR, share_near


def slow_share(samples, split):
    """By the geodesic between every two places."""
    geod, near = pyproj.Geod(ellps="sphere"), 0
    for held in split.validation:
        near += any(
            geod.inv(samples.lon[held], samples.lat[held], samples.lon[other], samples.lat[other])[2] <= NEAR
            for other in split.training
        )
    return near / len(split.validation)


@pytest.mark.parametrize("lon", [-91.0, 179.9])  # the second lot lies on both sides of the date line
def test_the_share_is_that_of_a_loop_over_all_pairs(made_samples, lon):
    samples, rng = made_samples(120), np.random.default_rng(4)
    lons = (lon + rng.uniform(0, 0.2, 120) + 180) % 360 - 180
    samples = replace(samples, lon=lons, lat=60 + rng.uniform(0, 0.1, 120))
    split = split_samples(samples, SplitRule(rule="random"))
    wanted = slow_share(samples, split)
    assert 0.2 < wanted < 0.95
    assert share_near(samples, split) == wanted


def test_smaller_blocks_have_more_neighbours_across_their_edges(made_samples):
    rng = np.random.default_rng(5)
    samples = replace(made_samples(400), lon=rng.uniform(0, 0.2, 400), lat=rng.uniform(0, 0.2, 400))
    small, large = (split_samples(samples, SplitRule(block_size=size)) for size in (0.005, 0.05))
    assert share_near(samples, large) < share_near(samples, small)


def test_unknown_places_have_no_neighbours(made_samples):
    samples = replace(made_samples(20), lon=None, lat=None)
    assert share_near(samples, Split(np.arange(10), np.arange(10, 20), {})) is None
