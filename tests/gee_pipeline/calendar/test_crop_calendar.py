"""Local seasons: dates by hand from the table, averages around the turn of the year, and what fits them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest
import shapely

from gee_pipeline.aoi import Aoi
from gee_pipeline.calendar import crop_calendar
from gee_pipeline.calendar.crop_calendar import local_seasons
from gee_pipeline.errors import InputError
from gee_pipeline.season import SEASONS, SUMMER, WINTER, YEAR, MonthDay, Start


def area(lon: float, lat: float, size: float = 0.02) -> Aoi:
    return Aoi(shapely.box(lon, lat, lon + size, lat + size), pyproj.CRS.from_epsg(4326))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty calendar; `put` writes season 1 and 2 into the cell of a place."""
    dekads = np.zeros((2, 2, 360, 720), np.uint8)
    monkeypatch.setattr(crop_calendar, "_calendar", lambda: dekads)

    def put(lon: float, lat: float, one: tuple[int, int], two: tuple[int, int] = (46, 63)) -> None:
        row, col = int((90 - lat) / 0.5), int((lon + 180) / 0.5)
        dekads[:, :, row, col] = one, two

    return put


def test_arkansas_by_hand() -> None:
    """Season 1 is dekads 31 to 54, season 2 46 to 63: November to June, April to September."""
    winter, summer = local_seasons(area(-91.3, 35.2))
    assert (winter.start, winter.start_offset, winter.end, winter.days) == (
        MonthDay(11, 1), -1, MonthDay(6, 30), 30 + 31 + 181,
    )  # fmt: skip
    assert (summer.start, summer.start_offset, summer.end, summer.days) == (
        MonthDay(4, 1), 0, MonthDay(9, 30), 183,
    )  # fmt: skip
    assert (winter.cells, winter.skipped, winter.away) == (1, 0, 0.0)
    assert winter.preset == WINTER
    assert winter.coverage(WINTER) == 1
    assert summer.coverage(SUMMER) == pytest.approx(153 / 183)  # 1 May to 30 September of it
    assert summer.preset == YEAR


def test_south_of_the_equator_season_2_is_the_winter() -> None:
    """Argentina: dekads 34 to 51 are December to May, 49 to 69 May to November."""
    winter, summer = local_seasons(area(-59.8, -34.2))
    assert (winter.start, winter.start_offset, winter.end) == (MonthDay(5, 1), 0, MonthDay(11, 30))
    assert (summer.start, summer.start_offset, summer.end) == (MonthDay(12, 1), -1, MonthDay(5, 31))
    assert winter.preset == WINTER  # 2 April to 31 January
    assert summer.preset == SUMMER  # 29 October to 30 May: 181 of 182 days


def test_starts_on_both_sides_of_new_year_have_their_middle_there(table: Any) -> None:
    """Dekads 36 and 1 of the next year lie one apart, not 35."""
    for col, first in enumerate((35, 36, 37, 38)):  # 11 December to 20 January
        table(10.0 + 0.5 * col, 45.2, (first, first + 20))
    winter, _ = local_seasons(area(10.1, 45.1, 1.8))
    assert winter.spread == 3
    assert winter.cells >= 4
    assert winter.start == MonthDay(1, 1)  # the middle of 21 December and 1 January, halves later
    assert winter.start_offset == 0


def test_cells_whose_season_ends_before_it_starts_are_left_out_and_counted(table: Any) -> None:
    table(10.1, 45.2, (31, 54))
    table(10.6, 45.2, (60, 40))
    winter, _ = local_seasons(area(10.1, 45.15, 0.6))
    assert (winter.cells, winter.skipped) == (2, 1)
    assert winter.start == MonthDay(11, 1)
    table(10.1, 45.2, (60, 40))
    with pytest.raises(InputError, match=r"winter season ends before it starts in all 2 cells"):
        local_seasons(area(10.1, 45.15, 0.6))


def test_an_area_at_sea_takes_the_nearest_cell_within_five_degrees(table: Any) -> None:
    table(10.1, 45.2, (31, 54))
    winter, _ = local_seasons(area(13.0, 45.2))
    assert winter.away == pytest.approx(np.hypot(13.01 - 10.25, 45.21 - 45.25), abs=1e-6)
    with pytest.raises(InputError, match="7 degrees from the area"):
        local_seasons(area(17.2, 45.2))


def test_across_the_antimeridian_the_nearest_cell_is_near(table: Any) -> None:
    table(-179.9, 60.2, (31, 54))
    winter, _ = local_seasons(area(179.0, 60.2))
    assert winter.away < 1.5


@pytest.mark.parametrize(
    "place", [(-91.3, 35.2), (1.2, 48.1), (75.4, 30.6), (-55.1, -12.2), (36.1, 0.3), (150.2, -27.1)]
)
def test_the_rule_of_ones_own_covers_its_season(place: tuple[float, float]) -> None:
    for season in local_seasons(area(*place)):
        assert season.coverage(season.own_rule) == 1
        assert season.preset is None or season.coverage(season.preset) >= 0.95
        assert season.own_rule.window("month")  # months fit it


def test_a_season_that_two_windows_share_is_covered_by_neither(table: Any) -> None:
    table(10.1, 45.2, (22, 39))  # August to January
    winter, _ = local_seasons(area(10.1, 45.2))
    assert winter.days == 184
    assert winter.coverage(YEAR) == pytest.approx(153 / 184)  # August to December
    assert winter.preset is None
    assert (winter.own_rule.north, winter.own_rule.last_day) == (Start(MonthDay(8, 1), -1), 184)


def test_first_and_last_days_are_given_from_the_earliest_to_the_latest(table: Any) -> None:
    table(10.1, 45.2, (36, 57))
    table(10.6, 45.2, (38, 59))
    winter, _ = local_seasons(area(10.1, 45.15, 0.6))
    assert winter.starts == (MonthDay(12, 21), MonthDay(1, 11))
    assert winter.ends == (MonthDay(7, 31), MonthDay(8, 20))


def test_coverage_is_that_of_a_loop_over_days() -> None:
    for season in local_seasons(area(1.2, 48.1)):
        for rule in SEASONS.values():
            begin = rule.season(2022, "north").start
            window = {begin.toordinal() + day - 1 for day in range(rule.first_day, rule.last_day + 1)}
            start = season.start.in_year(2022 + season.start_offset).toordinal()
            days = range(start, start + season.days)
            inside = max(sum(day + 365 * turn in window for day in days) for turn in (-1, 0, 1))
            assert season.coverage(rule) == pytest.approx(inside / season.days)
