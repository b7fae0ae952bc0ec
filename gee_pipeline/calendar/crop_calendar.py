"""The local seasons of an area, by the crop calendars of ESA WorldCereal, and the rule that fits them.

The calendars give two seasons for each half degree of land, by dekads: ten days, three to a month, counted
from 1 at 1 January of the year before the harvest. Season 1 is that of winter cereals in the north and of
summer crops in the south, season 2 the other. Where the table comes from: `LICENSE.worldcereal.txt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from gee_pipeline.aoi import Aoi
from gee_pipeline.calendar.crops import CropSeason
from gee_pipeline.errors import InputError
from gee_pipeline.season import DAYS, SEASONS, Hemisphere, MonthDay, SeasonRule, Start
from gee_pipeline.season_of_area import hemisphere_of

STEP: Final = 0.5
"""Degrees from cell to cell of the calendar."""

SOURCE: Final = "Crop calendars: (c) 2024 ESA WorldCereal, MIT licence."
"""Whose the table is; its licence is next to it."""

FARTHEST: Final = 5.0
"""Degrees to the nearest cell with a calendar that still speaks for an area without any of its own."""

WIDE: Final = 7
"""Dekads between the first and the last start in an area from which one season hardly fits all of it."""

ENOUGH: Final = 0.95
"""Share of a local season from which a rule's window covers it."""

_DEKADS: Final = 36
"""Dekads of a year."""

_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class LocalSeason:
    """When crops of one kind grow in an area."""

    crops: CropSeason
    """Which crops."""
    start: MonthDay
    """First day, the circular median of the cells."""
    start_offset: int
    """Years from the harvest's to the first day's: 0 or -1."""
    days: int
    """Length, first and last day included."""
    spread: int
    """Dekads from the earliest start of a cell to the latest."""
    starts: tuple[MonthDay, MonthDay]
    """First day in the earliest and in the latest cell."""
    ends: tuple[MonthDay, MonthDay]
    """Last day in the earliest and in the latest cell."""
    cells: int
    """Cells of the calendar in the area."""
    skipped: int
    """Cells whose calendar is invalid: their season ends before it starts."""
    away: float
    """Degrees to the nearest cell, where the area has none; 0 where it has."""
    hemisphere: Hemisphere
    """Side of the equator."""

    @property
    def end(self) -> MonthDay:
        """Last day."""
        return _day_of_year((_index(self.start) + self.days - 1) % DAYS)

    def coverage(self, rule: SeasonRule) -> float:
        """Share of the local season that lies in one window of a rule, 0 to 1.

        A season that runs on into the next year's window is another year's there, so that it does not count.
        """
        first = _index(rule.start(self.hemisphere).day) + rule.first_day - 1
        length = rule.last_day - rule.first_day + 1
        days = np.arange(self.days) + (_index(self.start) - first) % DAYS
        windows = (days, days - DAYS)
        return max(float(((since >= 0) & (since < length)).mean()) for since in windows)

    @property
    def own_rule(self) -> SeasonRule:
        """The rule whose window is this season; it starts on the first of the month, so months fit it too."""
        month = MonthDay(self.start.month, 1)
        start = Start(month, self.start_offset)
        last = min(self.start.day - 1 + self.days, DAYS)
        return SeasonRule(f"local {self.crops}", start, start, 1, last)

    @property
    def start_by_day(self) -> bool:
        """Whether the day of the year alone says where `own_rule` starts, without a year."""
        own = self.own_rule.north
        return SEASONS["summer"].starting(own.day).start(self.hemisphere) == own

    @property
    def preset(self) -> SeasonRule | None:
        """The shortest season of cropmap whose window covers this one; None where none does."""
        fitting = [rule for rule in SEASONS.values() if self.coverage(rule) >= ENOUGH]
        return min(fitting, key=lambda rule: rule.last_day - rule.first_day, default=None)


def local_seasons(aoi: Aoi, hemisphere: Hemisphere | None = None) -> tuple[LocalSeason, LocalSeason]:
    """The season of winter crops and that of summer crops in an area.

    Args:
        aoi: Area of interest.
        hemisphere: Side of the equator; None takes that of the area.

    Raises:
        InputError: The area lies on both sides of the equator, or more than 5 degrees from any cell.
    """
    side, _ = hemisphere_of(aoi, SEASONS["summer"], hemisphere)
    dekads = _calendar()
    rows, cols, away = _cells(aoi, dekads[0, 0] > 0)
    first = 0 if side == "north" else 1
    kinds: tuple[tuple[CropSeason, int], ...] = (("winter", first), ("summer", 1 - first))
    winter, summer = (_season(dekads[k][:, rows, cols], kind, away, side) for kind, k in kinds)
    return winter, summer


def _calendar() -> NDArray[np.uint8]:
    """`(season, first and last, row, column)`: dekads, 0 where there is none."""
    with resources.files("gee_pipeline.calendar").joinpath("worldcereal.npz").open("rb") as file:
        dekads: NDArray[np.uint8] = np.load(file)["dekads"]
    return dekads


def _cells(aoi: Aoi, land: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp], float]:
    """Rows and columns of the land cells that the area touches, or of the nearest; and how far it is."""
    area = aoi.lonlat
    rows, cols = np.nonzero(land)
    lon, lat = -180 + STEP * cols, 90 - STEP * (rows + 1)
    west, south, east, north = area.bounds
    near = (lon < east) & (lon + STEP > west) & (lat < north) & (lat + STEP > south)
    boxes = shapely.box(lon[near], lat[near], lon[near] + STEP, lat[near] + STEP)
    touched = np.flatnonzero(near)[shapely.intersects(boxes, area)]
    if len(touched):
        return rows[touched], cols[touched], 0.0
    centre = area.centroid
    gap = np.hypot((lon + STEP / 2 - centre.x + 180) % 360 - 180, lat + STEP / 2 - centre.y)
    nearest = int(gap.argmin())
    if gap[nearest] > FARTHEST:
        raise InputError(
            f"The crop calendar holds seasons of land; its nearest cell is {gap[nearest]:.0f} degrees from "
            f"the area, farther than {FARTHEST:g}. Check --aoi."
        )
    return rows[[nearest]], cols[[nearest]], float(gap[nearest])


def _season(dekads: NDArray[np.uint8], crops: CropSeason, away: float, side: Hemisphere) -> LocalSeason:
    """One season of the cells `(first and last, cell)`."""
    first, last = dekads.astype(np.int64)
    possible = (first > 0) & (last >= first)
    if not possible.any():
        raise InputError(
            f"The crop calendar of this area is invalid: its {crops} season ends before it starts in all "
            f"{len(first)} cells. Choose a season by --season, or by --season-start and --window."
        )
    starts, ends = (_unwrapped(dekads[possible] - 1) for dekads in (first, last))
    middle = int(np.floor(np.median(starts) + 0.5))
    length = int(np.floor(np.median(last[possible] - first[possible]) + 0.5)) + 1
    start = _first_day(middle % _DEKADS)
    return LocalSeason(
        crops=crops,
        start=start,
        start_offset=middle // _DEKADS - 1,
        days=_length(middle, length),
        spread=int(starts.max() - starts.min()),
        starts=(_first_day(starts.min() % _DEKADS), _first_day(starts.max() % _DEKADS)),
        ends=(_last_day(ends.min() % _DEKADS), _last_day(ends.max() % _DEKADS)),
        cells=len(first),
        skipped=int((~possible).sum()),
        away=away,
        hemisphere=side,
    )


def _unwrapped(dekads: NDArray[np.int64]) -> NDArray[np.int64]:
    """Dekads of which none lies more than half a year from the first: the turn of a year does not count."""
    around = (dekads - dekads[0] + _DEKADS // 2) % _DEKADS - _DEKADS // 2
    return dekads[0] + around


def _first_day(dekad: int) -> MonthDay:
    """First day of a dekad of the year, counted from 0."""
    return MonthDay(dekad // 3 + 1, 10 * (dekad % 3) + 1)


def _last_day(dekad: int) -> MonthDay:
    """Last day of a dekad of the year, counted from 0."""
    month, third = divmod(dekad, 3)
    return MonthDay(month + 1, _MONTH_DAYS[month] if third == 2 else 10 * (third + 1))


def _length(first: int, dekads: int) -> int:
    """Days of some dekads: the third of a month reaches to its end."""
    months = ((index % 3, index % _DEKADS // 3) for index in range(first, first + dekads))
    return min(sum(10 if third < 2 else _MONTH_DAYS[month] - 20 for third, month in months), DAYS)


def _index(day: MonthDay) -> int:
    """Days since 1 January in a year without 29 February."""
    return sum(_MONTH_DAYS[: day.month - 1]) + day.day - 1


def _day_of_year(index: int) -> MonthDay:
    for month, days in enumerate(_MONTH_DAYS, 1):
        if index < days:
            return MonthDay(month, index + 1)
        index -= days
    raise AssertionError("a day of the year lies below 365")


def to_dict(season: LocalSeason) -> dict[str, Any]:
    """A local season and how the seasons of cropmap cover it, as JSON values."""
    own = season.own_rule
    return {
        "crops": season.crops,
        "start": str(season.start),
        "start_offset": season.start_offset,
        "end": str(season.end),
        "days": season.days,
        "spread_dekads": season.spread,
        "starts": [str(day) for day in season.starts],
        "ends": [str(day) for day in season.ends],
        "cells": season.cells,
        "skipped_cells": season.skipped,
        "degrees_away": round(season.away, 2),
        "coverage": {name: round(season.coverage(rule), 3) for name, rule in SEASONS.items()},
        "preset": season.preset.name if season.preset else None,
        "season_start": str(own.north.day),
        "season_start_offset": own.north.year_offset,
        "window": [own.first_day, own.last_day],
    }
