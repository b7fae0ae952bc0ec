import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.season import Season
from training.sample_report.report import Extent, extent_of, report_samples


def gaps_of(samples, observed):
    """The samples with exactly these bins observed."""
    series = np.where(observed[:, None, :], np.abs(samples.series) % 5000, -9999).astype(np.int16)
    return replace(samples, series=series)


def test_observed_bins_are_counted_by_sample_and_by_bin(made_samples):
    observed = np.random.default_rng(3).random((60, 73)) < 0.5
    report = report_samples(gaps_of(made_samples(60), observed))
    per_sample = observed.sum(axis=1)
    season = report.observed_season
    expected = [per_sample.min(), *np.percentile(per_sample, [25, 50, 75]), per_sample.max()]
    assert [season.least, season.lower, season.median, season.upper, season.most] == expected
    # The window is bins 24 to 66 (METHOD: day 121 to 334).
    assert report.window == (24, 66)
    assert report.observed_window.median == np.median(observed[:, 24:67].sum(axis=1))
    np.testing.assert_allclose(report.observed_by_bin, observed.mean(axis=0))


def test_filled_series_are_told_from_series_with_gaps(made_samples):
    whole = gaps_of(made_samples(6), np.ones((6, 73), bool))
    assert not report_samples(whole).gaps_marked
    assert report_samples(made_samples(6)).gaps_marked


def test_what_was_left_out_is_a_share_of_all_samples_of_the_files(made_samples):
    samples = replace(made_samples(90), duplicates_dropped=5, sparse_dropped=5)
    report = report_samples(samples)
    assert (report.samples, report.duplicates_dropped, report.sparse_dropped) == (90, 5, 5)
    assert report.sparse_share == pytest.approx(5 / 100)


def test_the_season_is_that_of_the_files(made_samples):
    samples = replace(made_samples(6), season=Season(2023, date(2022, 7, 1)))
    assert report_samples(samples).season_start == date(2022, 7, 1)
    assert report_samples(made_samples(6)).season_start is None


@pytest.mark.parametrize(
    ("lon", "expected"),
    [
        ([2.0, 5.0, 3.0], (2.0, 5.0)),  # the plain case
        ([179.0, -178.0, 178.5], (178.5, -178.0)),  # across the 180th meridian
        ([-100.0, 0.0, 10.0], (-100.0, 10.0)),  # wide, the Pacific left out
        ([7.0], (7.0, 7.0)),  # a single place
        ([180.0, -180.0], (180.0, -180.0)),  # the same meridian by two names
    ],
)
def test_the_extent_leaves_out_the_widest_stretch_without_samples(made_samples, lon, expected):
    samples = made_samples(len(lon))
    placed = replace(samples, lon=np.array(lon), lat=np.linspace(-3, 4, len(lon)))
    extent = extent_of(placed)
    assert (extent.west, extent.east) == expected
    assert extent.width == pytest.approx((expected[1] - expected[0]) % 360)


def test_the_middle_of_an_extent_across_the_180th_meridian_lies_within():
    assert Extent(178, -20, -176, -10).centre == pytest.approx((-179, -15))


def test_samples_without_places_have_no_extent(made_samples):
    report = report_samples(replace(made_samples(6), lon=None, lat=None))
    assert report.extent is None


def test_the_report_is_json(made_samples):
    samples = replace(made_samples(9), season=Season(2023, date(2022, 7, 1)))
    told = json.loads(json.dumps(report_samples(samples, [Path("a.npz")]).to_dict()))
    assert told["files"] == ["a.npz"]
    assert told["classes"] == {"corn": 3, "soybeans": 3, "rice": 3}
    assert told["season_start"] == "2022-07-01"
    assert told["gaps_marked"] is True
