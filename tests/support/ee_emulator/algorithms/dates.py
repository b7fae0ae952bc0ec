# ruff: noqa: N803 (arguments are named by Google)
"""Date.* and DateRange.*, in UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.ee_emulator.algorithms.arguments import to_date
from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.values import Date, DateRange, EmulatorError

MILLIS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
"""Milliseconds of the units that are always equally long."""

_FORMATS = {
    "yyyy": "{0.year:04d}", "YYYY": "{0.year:04d}", "yy": "{1:02d}", "MM": "{0.month:02d}", "M": "{0.month}",
    "dd": "{0.day:02d}", "d": "{0.day}", "HH": "{0.hour:02d}", "H": "{0.hour}", "mm": "{0.minute:02d}",
    "ss": "{0.second:02d}", "SSS": "{2:03d}", "DDD": "{3:03d}", "D": "{3}", "y": "{0.year}",
}  # fmt: skip
"""Joda-Time's letters, as far as they are known here."""


def moment(date: Date) -> datetime:
    """A date as Python has it."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=date.millis)


def of_moment(value: datetime) -> Date:
    """The date of a moment in UTC."""
    return Date(round((value - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)))


def _unit(name: str) -> str:
    unit = name.lower().removesuffix("s")
    if unit not in (*MILLIS, "month", "year"):
        raise EmulatorError(f"Unknown unit of time: {name!r}.")
    return unit


@algorithm("Date")
def _date(request: Any, value: Any, timeZone: str | None) -> Date:
    return to_date(value, timeZone)


@algorithm("DateRange")
def _date_range(request: Any, start: Any, end: Any, timeZone: str | None) -> DateRange:
    first = to_date(start, timeZone).millis
    return DateRange(first, first + 1 if end is None else to_date(end, timeZone).millis)


@algorithm("DateRange.start")
def _start(request: Any, dateRange: DateRange) -> Date | None:
    return None if dateRange.start is None else Date(dateRange.start)


@algorithm("DateRange.end")
def _end(request: Any, dateRange: DateRange) -> Date | None:
    return None if dateRange.end is None else Date(dateRange.end)


@algorithm("DateRange.unbounded")
def _unbounded(request: Any) -> DateRange:
    return DateRange(None, None)


@algorithm("DateRange.contains")
def _contains(request: Any, dateRange: DateRange, other: Any) -> bool:
    return dateRange.contains(to_date(other).millis)


@algorithm("Date.millis")
def _millis(request: Any, date: Date) -> int:
    return date.millis


@algorithm("Date.fromYMD")
def _from_ymd(request: Any, year: int, month: int, day: int, timeZone: str | None) -> Date:
    to_date(0, timeZone)
    return of_moment(datetime(year, month, day, tzinfo=UTC))


@algorithm("Date.advance")
def _advance(request: Any, date: Date, delta: float, unit: str, timeZone: str | None) -> Date:
    to_date(date, timeZone)
    name = _unit(unit)
    if name in MILLIS:
        return Date(date.millis + round(delta * MILLIS[name]))
    months = delta * (12 if name == "year" else 1)
    if not float(months).is_integer():
        raise EmulatorError("The emulator advances by whole months and years.")
    return of_moment(_months_later(moment(date), int(months)))


def _months_later(value: datetime, months: int) -> datetime:
    """The same day of another month, or its last."""
    years, month = divmod(value.year * 12 + value.month - 1 + months, 12)
    return value.replace(year=years, month=month + 1, day=min(value.day, monthrange(years, month + 1)[1]))


@algorithm("Date.difference")
def _difference(request: Any, date: Date, start: Date, unit: str) -> float:
    name = _unit(unit)
    if name not in MILLIS:
        raise EmulatorError("The emulator knows differences in weeks, days and shorter.")
    return (date.millis - start.millis) / MILLIS[name]


@algorithm("Date.get")
def _get(request: Any, date: Date, unit: str, timeZone: str | None) -> int:
    to_date(date, timeZone)
    name = _unit(unit)
    if name == "week":
        raise EmulatorError("The emulator does not know weeks of the year.")
    return int(getattr(moment(date), name))


@algorithm("Date.getRelative")
def _get_relative(request: Any, date: Date, unit: str, inUnit: str, timeZone: str | None) -> int:
    to_date(date, timeZone)
    if (_unit(unit), _unit(inUnit)) != ("day", "year"):
        raise EmulatorError("The emulator knows Date.getRelative('day', 'year').")
    return moment(date).timetuple().tm_yday - 1


@algorithm("Date.getRange")
def _get_range(request: Any, date: Date, unit: str, timeZone: str | None) -> DateRange:
    to_date(date, timeZone)
    name = _unit(unit)
    if name != "day":
        raise EmulatorError("The emulator knows Date.getRange('day').")
    start = date.millis // MILLIS["day"] * MILLIS["day"]
    return DateRange(start, start + MILLIS["day"])


@algorithm("Date.format")
def _format(request: Any, date: Date, format: str | None, timeZone: str | None) -> str:
    to_date(date, timeZone)
    if format is None:
        return moment(date).strftime("%Y-%m-%dT%H:%M:%S")
    return formatted(date, format)


def formatted(date: Date, pattern: str) -> str:
    """A date in a pattern of Joda-Time."""
    return "".join(
        _written(date, token)
        for token in re.findall(r"'[^']*'|([A-Za-z])\1*|[^A-Za-z']+", pattern) and _tokens(pattern)
    )


def _tokens(pattern: str) -> list[str]:
    return [match[0] for match in re.finditer(r"'[^']*'|([A-Za-z])\1*|[^A-Za-z']+", pattern)]


def _written(date: Date, token: str) -> str:
    if token.startswith("'"):
        return token[1:-1] or "'"
    if not token[0].isalpha():
        return token
    if token not in _FORMATS:
        raise EmulatorError(f"The emulator does not know the date pattern {token!r}.")
    value = moment(date)
    return _FORMATS[token].format(
        value, value.year % 100, value.microsecond // 1000, value.timetuple().tm_yday
    )
