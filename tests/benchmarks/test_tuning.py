"""The rows and limits of the benchmark of tuning, by hand, and how it chooses labels."""

import numpy as np

from benchmarks.tuning import Direction, Result, at_random, named, row, suggested, within_limits
from inference.models.checkpoint import load_checkpoint
from inference.models.predictor import Predictor
from inference.models.shipped import FAST, model_path
from training.samples.samples import Samples
from training.tuning.ways import Candidate


def result(before, after, way="all", labels=50):
    return Result(labels, before, after, 0.7, way)


def test_a_row_gives_means_spread_and_ways():
    found = [result(0.5, 0.80), result(0.6, 0.84, "last")]
    assert row("canada", 50, found) == "| canada | 50 | 0.550 | 0.820 ± 0.020 | last 1, all 1 | 0.700 |"


def test_a_row_tells_what_was_rehearsed():
    ways = [named(Candidate("all", 1e-3, 120, rehearsed)) for rehearsed in (True, False, True)]
    line = row("canada", 50, [result(0.5, 0.8, way) for way in ways])
    assert "| all 1, all rehearsed 2 |" in line


def test_what_is_lost_and_what_is_not_reached_misses_the_limit():
    assert within_limits("west", 50, [result(0.95, 0.948), result(0.95, 0.948)])
    assert not within_limits("west", 50, [result(0.95, 0.948), result(0.95, 0.940)])
    assert within_limits("canada", 300, [result(0.5, 0.83)])
    assert not within_limits("canada", 300, [result(0.5, 0.829)])


def test_suggested_labels_are_as_many_different_ones_of_more_doubt():
    model = load_checkpoint(model_path(FAST))
    series = np.random.default_rng(1).integers(200, 4000, (150, 10, 73)).astype(np.int16)
    pool = Samples(series, np.zeros(150, np.int64), ("corn",), recipe=model.recipe)
    window = slice(model.recipe.window.start, model.recipe.window.stop)
    confidence = Predictor(model, "cpu").predict(series[:, :, window]).confidence.astype(float)
    place = Direction(model, pool, pool, pool)
    chosen = [suggested(place, 10, draw) for draw in range(20)]
    assert all(len(set(one.tolist())) == 10 for one in chosen)
    drawn = [at_random(place, 10, draw) for draw in range(20)]
    assert confidence[np.concatenate(chosen)].mean() < confidence[np.concatenate(drawn)].mean()
