"""The rows and limits of the benchmark of tuning, by hand."""

from benchmarks.tuning import Result, row, within_limits


def result(before, after, way="all", labels=50):
    return Result(labels, before, after, 0.7, way)


def test_a_row_gives_means_spread_and_ways():
    found = [result(0.5, 0.80), result(0.6, 0.84, "last")]
    assert row("canada", 50, found) == "| canada | 50 | 0.550 | 0.820 ± 0.020 | last 1, all 1 | 0.700 |"


def test_what_is_lost_and_what_is_not_reached_misses_the_limit():
    assert within_limits("west", 50, [result(0.95, 0.948), result(0.95, 0.948)])
    assert not within_limits("west", 50, [result(0.95, 0.948), result(0.95, 0.940)])
    assert within_limits("canada", 300, [result(0.5, 0.83)])
    assert not within_limits("canada", 300, [result(0.5, 0.829)])
