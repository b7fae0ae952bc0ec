from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.errors import InputError
from gee_pipeline.season import Season, TimeBin


@pytest.mark.parametrize(
    ("latitude", "start", "last_day"),
    [
        (48.1, date(2023, 1, 1), date(2023, 12, 31)),  # north: the calendar year
        (-33.9, date(2022, 7, 1), date(2023, 6, 30)),  # south: six months earlier
        (0.0, date(2023, 1, 1), date(2023, 12, 31)),  # the equator counts as north
    ],
)
def test_a_season_starts_by_hemisphere(latitude: float, start: date, last_day: date) -> None:
    season = Season.at(2023, latitude)
    assert season.start == start
    assert season.end - timedelta(days=1) == last_day


def test_day_366_of_a_leap_year_is_left_out() -> None:
    season = Season.at(2024, 10)
    assert season.bin(72).end == date(2024, 12, 31)
    assert season.bin_of(date(2024, 12, 31)) is None


def test_a_southern_season_over_a_leap_day_still_has_365_days() -> None:
    season = Season.at(2024, -10)
    assert season.bin_of(date(2024, 2, 29)) is not None
    assert season.bin_of(date(2024, 6, 29)) == 72
    assert season.bin_of(date(2024, 6, 30)) is None


def test_the_start_can_be_overridden() -> None:
    assert Season.at(2023, -10, date(2022, 10, 1)).bin(0) == TimeBin(date(2022, 10, 1), date(2022, 10, 6))


@pytest.mark.parametrize("year", [0, 1, 2016, 9999])
def test_a_year_without_sentinel_2_is_refused(year: int) -> None:
    with pytest.raises(InputError, match="2017"):
        Season.at(year, 10)


def test_a_start_far_from_the_year_is_refused() -> None:
    with pytest.raises(InputError, match="--season-start"):
        Season.at(2023, 10, date(2020, 1, 1))


@pytest.mark.parametrize("index", [-1, 73])
def test_a_bin_outside_the_season_is_refused(index: int) -> None:
    with pytest.raises(InputError, match="0 to 72"):
        Season.at(2023, 10).bin(index)


@given(st.integers(2017, 2100), st.sampled_from([-30.0, 30.0]), st.integers(1, 73))
def test_bins_cover_each_of_their_days_once(year: int, latitude: float, days: int) -> None:
    season = Season.at(year, latitude)
    for offset in range(365 // days * days):
        day = season.start + timedelta(days=offset)
        index = season.bin_of(day, days)
        assert index is not None
        assert season.bin(index, days).start <= day < season.bin(index, days).end


def test_a_bin_must_start_before_it_ends() -> None:
    with pytest.raises(InputError, match="start before"):
        TimeBin(date(2023, 1, 2), date(2023, 1, 2))
