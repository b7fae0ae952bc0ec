"""Statistics of observed values against numpy."""

import json

import numpy as np
import pytest

from gee_pipeline.observations import ValueStatistics


@pytest.fixture
def values():
    """`(bin, band, y, x)` with gaps, zeros, ones, negative and clipped values in known places."""
    found = np.random.default_rng(3).integers(-300, 11_000, (4, 3, 24, 20)).astype(np.int16)
    found[found % 7 == 0] = -9999
    found[:, 0, ::8] = 0
    found[:, 1, :, ::8] = 10_000
    found[0, 2, 4, 4], found[1, 2, 8, 8] = -9998, 32_766
    return found


def test_counts_and_moments_are_those_of_numpy_over_every_fourth_pixel(values):
    found = ValueStatistics.of(values)
    for band in range(3):
        seen = values[:, band, ::4, ::4].astype(float)
        seen = seen[seen != -9999]
        assert found.count[band] == seen.size
        assert found.mean[band] == pytest.approx(seen.mean(), rel=1e-12)
        assert found.deviation[band] == pytest.approx(seen.std(), rel=1e-9)
        shares = (found.zero, found.one, found.negative, found.clipped)
        at_an_end = (seen == -9998) | (seen == 32_766)
        wanted = (seen == 0, seen == 10_000, seen < 0, at_an_end)
        assert [share[band] for share in shares] == [pytest.approx(part.mean()) for part in wanted]
    assert found.clipped[2] > 0


def test_cells_add_up(values):
    whole = ValueStatistics.of(values)
    parts = ValueStatistics.of(values[:, :, :12]) + ValueStatistics.of(values[:, :, 12:])
    np.testing.assert_array_equal(parts.table, whole.table)
    again = ValueStatistics.from_rows(json.loads(json.dumps(whole.rows)))
    np.testing.assert_array_equal(again.table, whole.table)


def test_without_values_nothing_is_known():
    found = ValueStatistics.of(np.full((2, 2, 8, 8), -9999, np.int16))
    assert found.count.tolist() == [0, 0]
    assert np.isnan(found.mean).all()
