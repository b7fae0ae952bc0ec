"""The season that a year names in an area, and years that are to come."""

from datetime import date

import pyproj
import pytest
import shapely

from gee_pipeline import season_of_area as module
from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Clock, require_begun_year
from gee_pipeline.season_of_area import season_of_area

NORTH = Aoi(shapely.box(11, 48, 11.1, 48.1), pyproj.CRS("EPSG:4326"))
SOUTH = Aoi(shapely.box(11, -48, 11.1, -47.9), pyproj.CRS("EPSG:4326"))


class _Today(date):
    """30 June 2024, a day before the southern season of 2025 begins."""

    @classmethod
    def today(cls) -> date:
        return date(2024, 6, 30)


@pytest.mark.parametrize(("aoi", "last"), [(NORTH, 2024), (SOUTH, 2024)])
def test_a_season_that_has_not_begun_is_refused(monkeypatch: pytest.MonkeyPatch, aoi: Aoi, last: int) -> None:
    monkeypatch.setattr(module, "date", _Today)
    assert season_of_area(aoi, Recipe(), last).year == last
    with pytest.raises(InputError, match=r"is to come. Choose an earlier --year"):
        season_of_area(aoi, Recipe(), last + 1)


def test_a_season_that_begins_today_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Today, "today", lambda: date(2024, 7, 1))
    monkeypatch.setattr(module, "date", _Today)
    assert season_of_area(SOUTH, Recipe(), 2025).start == date(2024, 7, 1)


def test_no_season_of_the_year_after_next_has_begun() -> None:
    this_year = date.today().year
    require_begun_year(this_year + 1)
    with pytest.raises(InputError, match="earlier --year"):
        require_begun_year(this_year + 2)


@pytest.mark.parametrize(("clock", "hours"), [("utc", 0), ("solar", 10)])
def test_days_are_counted_by_the_clock_of_the_recipe(clock: Clock, hours: int) -> None:
    australia = Aoi(shapely.box(151.4, -30.1, 151.6, -29.9), pyproj.CRS("EPSG:4326"))
    assert season_of_area(australia, Recipe(clock=clock), 2021).hours_ahead == hours
