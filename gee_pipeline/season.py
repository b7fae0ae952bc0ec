"""Seasons: which days of which year are mapped, as data, and the bins that they are divided into."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

from gee_pipeline.errors import InputError

DAYS: Final = 365
"""Days of a season. Day 366 is left out, so that every season has the same bins."""

MONTHS: Final = 12
"""Bins of a season of calendar months."""

Hemisphere = Literal["north", "south"]
"""The two sides of the equator; many a season starts at another time of the year on each."""

BinLength = int | str
"""Days of a bin; or `month`, each calendar month of the season; or some of them, such as `month:6,8`, counted
from 1 at the season's start."""

Clock = Literal["utc", "solar"]
"""The clock by which days are counted: UTC, or mean solar time of the area to the hour. In eastern Australia
satellites pass at midnight UTC, so that days of UTC cut an overpass in two; by the sun it is mid-morning."""


@dataclass(frozen=True)
class TimeBin:
    """A half-open span of days that become one composite."""

    start: date
    """First day, included."""
    end: date
    """Day after the last, excluded."""
    hours_ahead: int = 0
    """Hours by which the clock of its days is ahead of UTC."""

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InputError(f"A bin must start before it ends, got start={self.start}, end={self.end}.")

    @property
    def last(self) -> date:
        """Last day, included."""
        return self.end - timedelta(days=1)

    @property
    def instants(self) -> tuple[datetime, datetime]:
        """When it begins, and when it is over, UTC."""
        begin, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (self.start, self.end))
        ahead = timedelta(hours=self.hours_ahead)
        return begin - ahead, end - ahead

    @property
    def by_utc(self) -> TimeBin:
        """The same days counted by UTC."""
        return replace(self, hours_ahead=0)

    @property
    def single_days(self) -> list[TimeBin]:
        """Its days, one by one."""
        firsts = (self.start + timedelta(days=i) for i in range((self.end - self.start).days))
        return [TimeBin(day, day + timedelta(days=1), self.hours_ahead) for day in firsts]


@dataclass(frozen=True)
class MonthDay:
    """A day of any year, written `10-03`."""

    month: int
    """1 to 12."""
    day: int
    """1 to 31."""

    def __post_init__(self) -> None:
        try:
            date(2001, self.month, self.day)  # a year without 29 February
        except ValueError as error:
            raise InputError(
                f"A season starts on a day that every year has, written as 10-03; got {self}."
            ) from error

    @classmethod
    def parse(cls, text: str) -> MonthDay:
        """The day that a text such as `10-03` names.

        Raises:
            InputError: It names none, or 29 February.
        """
        match = re.fullmatch(r"(\d\d)-(\d\d)", text)
        if match is None:
            raise InputError(f"A season starts on a month and a day, written as 10-03; got {text!r}.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, day: date) -> MonthDay:
        """The day of the year that a date is.

        Raises:
            InputError: It is 29 February.
        """
        return cls(day.month, day.day)

    def in_year(self, year: int) -> date:
        """The date in a year."""
        return date(year, self.month, self.day)

    def __str__(self) -> str:
        return f"{self.month:02d}-{self.day:02d}"


@dataclass(frozen=True)
class Start:
    """Where a season starts: a day of the year, this many years after the year that names the season."""

    day: MonthDay
    """Month and day."""
    year_offset: int = 0
    """0 where the season starts in the year that names it, -1 where it starts in the year before."""

    def __post_init__(self) -> None:
        if type(self.year_offset) is not int or self.year_offset not in (-1, 0, 1):
            raise InputError(
                "A season starts in the year that names it (year_offset 0), the year before (-1) or the year "
                f"after (1); got {self.year_offset!r}."
            )

    def in_year(self, year: int) -> date:
        """The first day of the season of a year."""
        return self.day.in_year(year + self.year_offset)

    def to_dict(self) -> dict[str, Any]:
        """The start as JSON values."""
        return {"start": str(self.day), "year_offset": self.year_offset}

    def __str__(self) -> str:
        when = {0: " of the year", -1: " of the year before", 1: " of the year after"}[self.year_offset]
        return f"{self.day.day} {self.day.in_year(2001):%B}{when}"


@dataclass(frozen=True)
class Season:
    """The 365 days that are mapped as one year, or its calendar months."""

    year: int
    """The year that names the season."""
    start: date
    """First day of bin 0."""
    hours_ahead: int = 0
    """Hours by which the clock that its days are counted by is ahead of UTC."""

    def __post_init__(self) -> None:
        require_year(self.year)
        if abs((self.start - date(self.year, 1, 1)).days) > DAYS + 1:  # a year may have 366 days
            raise InputError(
                f"A season must start within a year of 1 January of its year, got start {self.start} for "
                f"{self.year}. Check --year, and --season-start or the start of --season."
            )

    @property
    def end(self) -> date:
        """Day after the last of the season."""
        return self.start + timedelta(days=DAYS)

    @property
    def last(self) -> date:
        """Last day, included."""
        return self.end - timedelta(days=1)

    def bin(self, index: int, length: BinLength = 5) -> TimeBin:
        """The bin of an index, counted from the first day of the season.

        Args:
            index: 0 to one less than the bins of a season.
            length: Length of a bin.

        Raises:
            InputError: The index lies outside the season, or months are asked of a season that does not start
                on the first day of one.
        """
        last = bins_in_season(length) - 1
        if not 0 <= index <= last:
            raise InputError(f"A season has bins 0 to {last} of {length_text(length)}, got bin {index}.")
        if isinstance(length, int):
            first = self.start + timedelta(days=index * length)
            return TimeBin(first, first + timedelta(days=length), self.hours_ahead)
        month = months_of(length)[index]
        return TimeBin(self._first_of(month), self._first_of(month + 1), self.hours_ahead)

    def span(self, bins: range, length: BinLength = 5) -> TimeBin:
        """The days from the first to the last of some bins, as one span."""
        first, last = (self.bin(bins[place], length) for place in (0, -1))
        return replace(first, end=last.end)

    def bin_of(self, day: date, length: BinLength = 5) -> int | None:
        """Index of the bin that holds a day, or None outside the season's bins."""
        if isinstance(length, int):
            index = (day - self.start).days // length
            return index if 0 <= index < bins_in_season(length) else None
        month = (day.year - self.start.year) * MONTHS + day.month - self.start.month
        months = months_of(length)
        return months.index(month) if month in months else None

    def day_of(self, time: datetime) -> date:
        """The day that an instant belongs to."""
        return counted_day(time, self.hours_ahead)

    def edges(self, bins: range, length: BinLength = 5) -> list[tuple[int, int]]:
        """First day of each bin and the day after its last, in days since the season's start."""
        spans = [self.bin(index, length) for index in bins]
        return [((span.start - self.start).days, (span.end - self.start).days) for span in spans]

    def _first_of(self, month: int) -> date:
        """First day of a calendar month, counted from 0 at the season's start."""
        if self.start.day != 1:
            raise InputError(
                f"Calendar months are bins of a season that starts on the first day of a month, got "
                f"{self.start}. Choose another season, or --bin-days 30."
            )
        months = self.start.month - 1 + month
        return date(self.start.year + months // MONTHS, months % MONTHS + 1, 1)


def counted_day(time: datetime, hours_ahead: int) -> date:
    """The day of an instant by a clock that is some hours ahead of UTC.

    Args:
        time: An instant, UTC.
        hours_ahead: 0 for UTC; may be negative.
    """
    return (time + timedelta(hours=hours_ahead)).date()


def hours_ahead(clock: Clock, longitude: float) -> int:
    """Whole hours by which a clock is ahead of UTC at a longitude.

    Args:
        clock: By which days are counted.
        longitude: Degrees east.
    """
    return 0 if clock == "utc" else round(longitude / 15)


def months_of(length: str) -> tuple[int, ...]:
    """The calendar months that are bins, counted from 0 at the season's start.

    Args:
        length: `month`, or months in order, counted from 1: `month:6,8`.

    Raises:
        InputError: It names no months, or none in order.
    """
    if length == "month":
        return tuple(range(MONTHS))
    found = re.fullmatch(r"month:(\d{1,2}(?:,\d{1,2})*)", length)
    months = tuple(int(number) - 1 for number in found[1].split(",")) if found else ()
    if not months or sorted(set(months)) != list(months) or not set(months) <= set(range(MONTHS)):
        raise InputError(
            f"A bin is 1 to {DAYS} days long, or a calendar month: month for each of a season, or month:6,8 "
            f"for some in order, counted from 1 to {MONTHS} at its start; got {length!r}."
        )
    return months


def bins_in_season(length: BinLength) -> int:
    """Number of bins of a whole season: 73 of five days, 12 calendar months, one of 365 days."""
    return DAYS // length if isinstance(length, int) else len(months_of(length))


def in_order(length: BinLength) -> bool:
    """Whether bins follow one another in time, so that a series can be moved along it: not single ones, and
    not months that are chosen."""
    return length == "month" or (isinstance(length, int) and bins_in_season(length) > 1)


def mean_days(length: BinLength) -> float:
    """Days of a bin; of months their mean."""
    return float(length) if isinstance(length, int) else DAYS / MONTHS


def length_text(length: BinLength) -> str:
    """The length of a bin for a message."""
    if isinstance(length, int):
        return f"{length} day{'s' * (length != 1)}"
    months = [str(month + 1) for month in months_of(length)]
    if length == "month":
        return "a calendar month"
    which = " and ".join([", ".join(months[:-1])] * (len(months) > 1) + months[-1:])
    return f"a calendar month, of the season's {which}"


@dataclass(frozen=True)
class SeasonRule:
    """Which 365 days a year's name means, north and south of the equator, and which of them a model sees."""

    name: str = field(compare=False)
    """What it is called; two rules with the same days are equal."""
    north: Start
    """Where it starts north of the equator."""
    south: Start
    """Where it starts south of the equator."""
    first_day: int
    """First day of the model window, counted from 1 at the season's start."""
    last_day: int
    """Last day of the model window, included."""

    def __post_init__(self) -> None:
        whole = type(self.first_day) is int and type(self.last_day) is int
        if not (whole and 1 <= self.first_day <= self.last_day <= DAYS):
            raise InputError(
                f"The model window lies within days 1 to {DAYS} of the season, got "
                f"{self.first_day!r} to {self.last_day!r}."
            )

    @property
    def same_everywhere(self) -> bool:
        """Whether both hemispheres start on the same day."""
        return self.north == self.south

    def start(self, hemisphere: Hemisphere) -> Start:
        """Where the season starts on one side of the equator."""
        return self.north if hemisphere == "north" else self.south

    def season(self, year: int, hemisphere: Hemisphere) -> Season:
        """The season that a year names.

        Raises:
            InputError: The year has not four digits.
        """
        require_year(year)
        return Season(year, self.start(hemisphere).in_year(year))

    def starting(self, day: date | MonthDay, year: int | None = None) -> SeasonRule:
        """The same window from another first day.

        Args:
            day: A date, which holds on both sides of the equator alike; or a day of the year, of which each
                side takes the one nearest to its own start.
            year: The year that names the season that starts on a date; None takes `year_of`.
        """
        if isinstance(day, date):
            named = self.year_of(day) if year is None else year
            north = south = Start(MonthDay.of(day), day.year - named)
        else:
            north, south = (_nearest(day, own) for own in (self.north, self.south))
        if (north, south) == (self.north, self.south):
            return self
        name = f"from {north}" if north == south else f"from {north}, in the south {south}"
        return replace(self, name=name, north=north, south=south)

    def year_of(self, day: date) -> int:
        """The year that names a season from a date.

        It is that of the rule's own season that starts on this day of the year, on either side; of other days
        that of the season that starts nearest to it in the north.
        """
        of_year = MonthDay.of(day)
        own = next((start for start in (self.north, self.south) if start.day == of_year), None)
        return day.year - (own or _nearest(of_year, self.north)).year_offset

    def with_window(self, first_day: int, last_day: int) -> SeasonRule:
        """The same starts with another model window.

        Raises:
            InputError: The days lie outside the season.
        """
        if (first_day, last_day) == (self.first_day, self.last_day):
            return self
        name = f"{self.name}, days {first_day} to {last_day}"
        return replace(self, name=name, first_day=first_day, last_day=last_day)

    def starts_on(self, day: date | MonthDay, season: Season) -> bool:
        """Whether a day that a user gave is the first of a season of this rule."""
        return season.start == day if isinstance(day, date) else MonthDay.of(season.start) == day

    def window(self, length: BinLength) -> range:
        """Bins of the model window: 24 to 66 of five days for the days 121 to 334.

        A bin belongs to the window where one of its days does. Months are those of a season in the north.
        """
        days = self.first_day - 1, self.last_day - 1
        if isinstance(length, int):
            first, last = (day // length for day in days)
            return range(first, min(last, bins_in_season(length) - 1) + 1)
        season = Season(2001, self.north.day.in_year(2001))  # 2001 and 2002 have no 29 February
        firsts = [first for first, _ in season.edges(range(MONTHS), "month")]
        first, last = (bisect.bisect_right(firsts, day) - 1 for day in days)
        months = months_of(length)
        return range(bisect.bisect_left(months, first), bisect.bisect_right(months, last))

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON values, and as a TOML file has it."""
        return {
            "name": self.name,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "north": self.north.to_dict(),
            "south": self.south.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SeasonRule:
        """The rule that `to_dict` wrote, or a person; `start` and `year_offset` next to the name hold for
        both hemispheres.

        Raises:
            InputError: A value is missing, unknown or out of range.
        """
        try:
            rest = dict(values)
            both = {key: rest.pop(key) for key in ("start", "year_offset") if key in rest}
            known = {f.name for f in fields(cls)}
            if wrong := [*(rest.keys() - known), *(known - {"north", "south"} - rest.keys())]:
                raise TypeError(f"unknown or missing is {', '.join(sorted(wrong))}")
            if not isinstance(rest["name"], str):
                raise TypeError(f"its name is no text: {rest['name']!r}")
            north, south = (_start(rest.pop(side, both), side) for side in ("north", "south"))
            return cls(north=north, south=south, **rest)
        except (TypeError, AttributeError, ValueError) as error:
            raise InputError(
                "A season has name, first_day, last_day, and start (10-03) with year_offset (-1, 0 or 1), "
                f"for both sides of the equator or in tables north and south; {error}."
            ) from error

    @property
    def days(self) -> str:
        """Its starts and its window for a message."""
        starts = str(self.north) if self.same_everywhere else f"north {self.north}, south {self.south}"
        return f"from {starts}, days {self.first_day} to {self.last_day}"

    def __str__(self) -> str:
        return f"{self.name}: {self.days}"


_ALIKE: Final = 7
"""Days by which distances of two starts may differ that count as equally near: half a year has 181 to 184."""


def _nearest(day: MonthDay, own: Start) -> Start:
    """The start on a day of the year that lies nearest to another; of two alike that in the year itself."""
    year = 2001

    def distance(offset: int) -> int:
        return abs((day.in_year(year + offset) - own.in_year(year)).days)

    least = min(map(distance, (-1, 0, 1)))
    return Start(day, next(offset for offset in (0, -1, 1) if distance(offset) <= least + _ALIKE))


def _start(values: dict[str, Any], side: Hemisphere) -> Start:
    if unknown := set(values) - {"start", "year_offset"}:
        raise TypeError(f"unknown {', '.join(sorted(unknown))}")
    if "start" not in values:
        raise TypeError(f"missing is the start of the {side}")
    return Start(MonthDay.parse(str(values["start"])), values.get("year_offset", 0))


SUMMER: Final = SeasonRule(
    "summer", Start(MonthDay(1, 1)), Start(MonthDay(7, 1), -1), first_day=121, last_day=334
)
"""Summer crops of both hemispheres at the same place in the season (Tong et al. 2025, section 3.1)."""

WINTER: Final = SeasonRule(
    "winter", Start(MonthDay(10, 3), -1), Start(MonthDay(4, 2)), first_day=1, last_day=305
)
"""Winter crops. It starts 90 days before the summer's season, with no 29 February between, so that bins of 5,
10 and 15 days are shared with it. North it is named by the harvest, south by the sowing."""

YEAR: Final = SeasonRule("year", SUMMER.north, SUMMER.south, first_day=1, last_day=DAYS)
"""The season of the summer crops, all of it."""

SEASONS: Final = {rule.name: rule for rule in (SUMMER, WINTER, YEAR)}
"""The seasons by name. What stands here never changes: files refer to it."""


def require_year(year: int) -> None:
    """Refuse a year that is none.

    Raises:
        InputError: It has not four digits.
    """
    if not 1000 <= year <= 9998:
        raise InputError(f"A year has four digits, such as 2023; got --year {year}.")


def require_begun_year(year: int) -> None:
    """Refuse a year whose season cannot have begun anywhere: one begins in its year, or in the year before.

    Raises:
        InputError: The year is to come.
    """
    latest = date.today().year + 1
    if year > latest:
        raise InputError(f"Seasons begin up to {latest} at most, got {year}. Choose an earlier --year.")
