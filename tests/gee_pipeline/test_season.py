from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.errors import InputError
from gee_pipeline.season import (
    SEASONS,
    SUMMER,
    WINTER,
    YEAR,
    MonthDay,
    Season,
    SeasonRule,
    Start,
    TimeBin,
    bins_in_season,
    hours_ahead,
    in_order,
)


@pytest.mark.parametrize(
    ("side", "start", "last_day"),
    [
        ("north", date(2023, 1, 1), date(2023, 12, 31)),  # the calendar year
        ("south", date(2022, 7, 1), date(2023, 6, 30)),  # six months earlier
    ],
)
def test_the_summer_starts_by_hemisphere(side, start, last_day):
    season = SUMMER.season(2023, side)
    assert season.start == start
    assert season.end - timedelta(days=1) == last_day


@pytest.mark.parametrize(
    ("side", "first", "last"),
    [
        ("north", date(2022, 10, 3), date(2023, 8, 3)),
        ("south", date(2023, 4, 2), date(2024, 1, 31)),
    ],
)
def test_the_winter_of_2023_has_61_bins(side, first, last):
    window = WINTER.window(5)
    span = WINTER.season(2023, side).span(window)
    assert (len(window), span.start, span.end - timedelta(days=1)) == (61, first, last)


def test_the_winter_shares_its_bins_with_the_summer_and_holds_29_february_in_bin_29():
    winter, summer = WINTER.season(2024, "north"), SUMMER.season(2024, "north")
    assert winter.bin_of(date(2024, 2, 29)) == 29
    assert sum(1 for _ in WINTER.window(5)) * 5 == 305
    assert [winter.bin(18 + k) for k in range(43)] == [summer.bin(k) for k in range(43)]


def test_the_year_is_all_of_the_summers_season():
    assert YEAR.window(5) == range(73)
    assert (YEAR.north, YEAR.south) == (SUMMER.north, SUMMER.south)


def test_a_season_cannot_start_on_29_february():
    with pytest.raises(InputError, match="every year has"):
        MonthDay.parse("02-29")


@pytest.mark.parametrize(
    ("day", "start"),
    [
        (MonthDay(10, 1), date(2020, 10, 1)),  # the one nearest to 1 January 2021, and to 1 July 2020
        (date(2020, 10, 1), date(2020, 10, 1)),
        (date(2021, 10, 1), date(2021, 10, 1)),  # a date says its year
    ],
)
def test_another_start_holds_on_both_sides_and_keeps_the_window(day, start):
    rule = SUMMER.starting(day, 2021)
    assert {rule.season(2021, side).start for side in ("north", "south")} == {start}
    assert rule.window(5) == SUMMER.window(5)
    assert rule.starts_on(day, rule.season(2021, "north"))


def test_a_rule_survives_json_and_two_names_of_one_rule_are_equal():
    for rule in SEASONS.values():
        assert SeasonRule.from_dict(rule.to_dict()) == rule
    both = SeasonRule.from_dict({"name": "long rains", "first_day": 1, "last_day": 215, "start": "03-01"})
    other = Start(MonthDay(3, 1))
    assert both == SeasonRule("other name", other, other, 1, 215)
    assert both.same_everywhere


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first_day": 0}, "days 1 to 365"),
        ({"first_day": 200, "last_day": 100}, "days 1 to 365"),
        ({"start": "13-01"}, "every year has"),
        ({"start": "1 March"}, "written as 10-03"),
        ({"start": "03-01", "year_offset": 5}, "year_offset 0"),
        ({"start": "03-01", "year_offset": -1.0}, "year_offset 0"),
        ({"start": "03-01", "year_offset": True}, "got True"),
        ({"start": "03-01", "year_ofset": 0}, "unknown or missing is year_ofset"),
        ({"start": "03-01", "name": 5}, "its name is no text"),
        ({"north": {"start": "03-01"}}, "missing is the start of the south"),
        ({"start": "03-01", "first_day": 1.5}, "days 1 to 365"),
        ({"start": "03-01", "colour": "red"}, "colour"),
        ({}, "start"),
    ],
)
def test_a_rule_by_hand_is_checked(values, message):
    whole = {
        "name": "own",
        "first_day": 1,
        "last_day": 215,
        **({"start": "03-01"} if "first_day" in values else {}),
    }
    with pytest.raises(InputError, match=message):
        SeasonRule.from_dict(whole | values)


def test_calendar_months_are_twelve_bins_also_in_a_leap_year():
    season = Season(2024, date(2024, 1, 1))
    assert bins_in_season("month") == 12
    assert season.bin(1, "month") == TimeBin(date(2024, 2, 1), date(2024, 3, 1))
    assert season.bin_of(date(2024, 2, 29), "month") == 1
    assert season.bin_of(date(2024, 12, 31), "month") == 11
    assert season.bin_of(date(2025, 1, 1), "month") is None
    np.testing.assert_array_equal(season.edges(range(0, 3), "month"), [(0, 31), (31, 60), (60, 91)])


def test_the_summer_window_in_months_is_may_to_november_and_november_to_may():
    window = SUMMER.window("month")
    north, south = (SUMMER.season(2023, side).span(window, "month") for side in ("north", "south"))
    assert (north.start, north.end) == (date(2023, 5, 1), date(2023, 12, 1))
    assert (south.start, south.end) == (date(2022, 11, 1), date(2023, 6, 1))


@pytest.mark.parametrize(
    ("side", "first", "second"),
    [
        ("north", (date(2024, 6, 1), date(2024, 7, 1)), (date(2024, 8, 1), date(2024, 9, 1))),
        ("south", (date(2023, 12, 1), date(2024, 1, 1)), (date(2024, 2, 1), date(2024, 3, 1))),  # a leap year
    ],
)
def test_chosen_months_are_bins_that_leave_out_what_lies_between(side, first, second):
    season = YEAR.season(2024, side)
    assert bins_in_season("month:6,8") == 2
    assert [season.bin(i, "month:6,8") for i in (0, 1)] == [TimeBin(*first), TimeBin(*second)]
    assert season.span(range(2), "month:6,8") == TimeBin(first[0], second[1])
    between = first[1] + timedelta(days=3)
    days = [first[0], second[1] - timedelta(days=1), between, second[1], first[0] - timedelta(days=1)]
    assert [season.bin_of(day, "month:6,8") for day in days] == [0, 1, None, None, None]
    with pytest.raises(InputError, match="0 to 1 of a calendar month, of the season's 6 and 8"):
        season.bin(2, "month:6,8")


@pytest.mark.parametrize(
    ("first", "last", "window"),
    [
        (1, 365, range(0, 2)),
        (121, 334, range(0, 2)),
        (213, 243, range(1, 2)),  # August
        (182, 212, range(1, 1)),  # July
        (181, 212, range(0, 1)),  # a day of June
        (244, 365, range(2, 2)),
    ],
)
def test_the_window_holds_the_chosen_months_of_which_it_has_a_day(first, last, window):
    assert list(YEAR.with_window(first, last).window("month:6,8")) == list(window)


@pytest.mark.parametrize(
    "length", ["week", "month:", "month:8,6", "month:6,6", "month:0", "month:13", "month:6,", "months"]
)
def test_months_that_are_none_are_refused(length):
    with pytest.raises(InputError, match="month:6,8 for some in order"):
        bins_in_season(length)


def test_bins_follow_one_another_unless_there_is_one_or_they_are_chosen():
    lengths = (5, 182, 365, 300, "month", "month:6,8", "month:8")
    assert [in_order(length) for length in lengths] == [True, True, False, False, True, False, False]


def test_months_of_a_season_that_starts_within_one_are_refused():
    with pytest.raises(InputError, match="first day of a month"):
        WINTER.season(2023, "north").bin(0, "month")


def test_day_366_of_a_leap_year_is_left_out():
    season = SUMMER.season(2024, "north")
    assert season.bin(72).end == date(2024, 12, 31)
    assert season.bin_of(date(2024, 12, 31)) is None


def test_a_southern_season_over_a_leap_day_still_has_365_days():
    season = SUMMER.season(2024, "south")
    assert season.bin_of(date(2024, 2, 29)) is not None
    assert season.bin_of(date(2024, 6, 29)) == 72
    assert season.bin_of(date(2024, 6, 30)) is None


@pytest.mark.parametrize("year", [0, 1, 999, 9999])
def test_a_year_without_four_digits_is_refused(year):
    with pytest.raises(InputError, match="four digits"):
        SUMMER.season(year, "north")


def test_a_start_far_from_the_year_is_refused():
    with pytest.raises(InputError, match="--season-start"):
        Season(2023, date(2020, 1, 1))


@pytest.mark.parametrize("index", [-1, 73])
def test_a_bin_outside_the_season_is_refused(index):
    with pytest.raises(InputError, match="0 to 72"):
        SUMMER.season(2023, "north").bin(index)


@given(
    st.integers(2017, 2100),
    st.sampled_from(["north", "south"]),
    st.one_of(st.integers(1, 365), st.just("month")),
)
def test_bins_cover_each_of_their_days_once(year, side, length):
    season = SUMMER.season(year, side)
    days = 365 if length == "month" else 365 // length * length
    for offset in range(days):
        day = season.start + timedelta(days=offset)
        index = season.bin_of(day, length)
        assert index is not None
        assert season.bin(index, length).start <= day < season.bin(index, length).end


def test_a_bin_must_start_before_it_ends():
    with pytest.raises(InputError, match="start before"):
        TimeBin(date(2023, 1, 2), date(2023, 1, 2))


def test_days_by_the_sun_begin_before_those_of_utc_in_the_east():
    span = TimeBin(date(2021, 6, 10), date(2021, 6, 12), hours_ahead=10)
    assert span.instants == (datetime(2021, 6, 9, 14, tzinfo=UTC), datetime(2021, 6, 11, 14, tzinfo=UTC))
    assert span.by_utc.instants == (datetime(2021, 6, 10, tzinfo=UTC), datetime(2021, 6, 12, tzinfo=UTC))
    assert [(day.start, day.hours_ahead) for day in span.single_days] == [
        (date(2021, 6, 10), 10),
        (date(2021, 6, 11), 10),
    ]


@given(st.datetimes(datetime(2021, 1, 3), datetime(2021, 12, 28)), st.integers(-12, 12))
def test_an_instant_lies_within_the_bin_of_its_day(time, hours):
    time = time.replace(tzinfo=UTC)
    season = replace(SUMMER.season(2021, "north"), hours_ahead=hours)
    begin, end = season.bin(season.bin_of(season.day_of(time))).instants
    assert begin <= time < end


@pytest.mark.parametrize(
    ("clock", "longitude", "hours"),
    [
        ("utc", 151.5, 0),
        ("solar", 151.5, 10),
        ("solar", -91.0, -6),
        ("solar", 7.4, 0),
        ("solar", -179.9, -12),
    ],
)
def test_the_sun_is_an_hour_ahead_for_fifteen_degrees(clock, longitude, hours):
    assert hours_ahead(clock, longitude) == hours


@pytest.mark.parametrize(
    ("season", "day", "north", "south"),
    [
        (SUMMER, "07-01", date(2021, 7, 1), date(2020, 7, 1)),  # in the south its own start
        (SUMMER, "06-20", date(2021, 6, 20), date(2020, 6, 20)),
        (
            SUMMER,
            "01-01",
            date(2021, 1, 1),
            date(2021, 1, 1),
        ),  # half a year on both sides: of the year itself
        (SUMMER, "03-01", date(2021, 3, 1), date(2020, 3, 1)),
        (WINTER, "10-03", date(2020, 10, 3), date(2021, 10, 3)),
        (WINTER, "05-01", date(2020, 5, 1), date(2021, 5, 1)),
    ],
)
def test_a_day_of_the_year_is_the_one_nearest_to_the_start_of_each_side(season, day, north, south):
    rule = season.starting(MonthDay.parse(day), 2021)
    assert rule.season(2021, "north").start == north
    assert rule.season(2021, "south").start == south
    assert (rule == season) == (
        (north, south) == tuple(season.season(2021, s).start for s in ("north", "south"))
    )


@pytest.mark.parametrize(
    ("season", "day", "year"),
    [
        (SUMMER, date(2020, 10, 1), 2021),
        (SUMMER, date(2020, 7, 1), 2021),  # the southern season of 2021
        (SUMMER, date(2021, 3, 1), 2021),
        (WINTER, date(2020, 10, 3), 2021),
        (WINTER, date(2021, 4, 2), 2021),
        (WINTER, date(2021, 5, 1), 2022),  # as 05-01 in the north
    ],
)
def test_a_date_names_the_year_of_the_season_that_is_nearest(season, day, year):
    assert season.year_of(day) == year
    assert season.starting(day).season(year, "north").start == day


def test_a_year_before_a_leap_year_has_the_season_of_a_year_before():
    rule = SeasonRule.from_dict(
        {"name": "o", "first_day": 1, "last_day": 9, "start": "01-01", "year_offset": -1}
    )
    assert [rule.season(year, "north").start.year for year in (2020, 2021, 2022)] == [2019, 2020, 2021]
