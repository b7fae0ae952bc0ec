"""A mapped year as 73 five-day bins, in both hemispheres."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from gee_pipeline.errors import InputError

DAYS: Final = 365
"""Days of a season year. Day 366 is left out, so that every season has the same bins."""

FIRST_YEAR: Final = 2017
"""First year with Sentinel-2 surface reflectance (patchy before 2018-12)."""


@dataclass(frozen=True)
class TimeBin:
    """A half-open span of days that becomes one composite."""

    start: date
    """First day, included."""
    end: date
    """Day after the last, excluded."""

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InputError(f"A bin must start before it ends, got start={self.start}, end={self.end}.")


@dataclass(frozen=True)
class Season:
    """The 365 days that are mapped as one year.

    North of the equator they begin on 1 January of the year; south of it half a year earlier, on 1 July of
    the year before, so that the summer crops of both hemispheres stand at the same place in the season
    (Tong et al. 2025, section 3.1).
    """

    year: int
    """The mapped year."""
    start: date
    """First day of bin 0."""

    def __post_init__(self) -> None:
        _require_imagery(self.year)
        if abs((self.start - date(self.year, 1, 1)).days) > DAYS:
            raise InputError(
                f"A season must start within a year of 1 January of its year, got start {self.start} for "
                f"{self.year}. Check --season-start and --year."
            )

    @classmethod
    def at(cls, year: int, latitude: float, start: date | None = None) -> Season:
        """The season of a year at a latitude.

        Args:
            year: Mapped year.
            latitude: Degrees north of a point inside the area; its sign chooses the hemisphere.
            start: First day of the season; overrides the hemisphere's rule.
        """
        _require_imagery(year)
        default = date(year, 1, 1) if latitude >= 0 else date(year - 1, 7, 1)
        return cls(year=year, start=start or default)

    @property
    def end(self) -> date:
        """Day after the last of the season."""
        return self.start + timedelta(days=DAYS)

    def bin(self, index: int, days: int = 5) -> TimeBin:
        """The bin of an index, counted from the first day of the season.

        Args:
            index: 0 to ``365 // days - 1``.
            days: Length of a bin in days.

        Raises:
            InputError: The index lies outside the season.
        """
        if not 0 <= index < DAYS // days:
            raise InputError(f"A season has bins 0 to {DAYS // days - 1} of {days} days, got bin {index}.")
        start = self.start + timedelta(days=index * days)
        return TimeBin(start, start + timedelta(days=days))

    def span(self, bins: range, days: int = 5) -> TimeBin:
        """The days from the first to the last of some bins, as one span."""
        return TimeBin(self.bin(bins[0], days).start, self.bin(bins[-1], days).end)

    def bin_of(self, day: date, days: int = 5) -> int | None:
        """Index of the bin that holds a day, or None outside the season's bins."""
        offset = (day - self.start).days
        return offset // days if 0 <= offset < (DAYS // days) * days else None


def _require_imagery(year: int) -> None:
    if not FIRST_YEAR <= year <= 9998:
        raise InputError(
            f"A year has four digits and is {FIRST_YEAR} (the first with Sentinel-2 reflectance) or later, "
            f"got --year {year}."
        )
