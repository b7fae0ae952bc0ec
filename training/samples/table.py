"""Your own field data: a table with a row for each sample and a column for each band and date.

The file is CSV (also compressed: .csv.gz), Parquet or GeoParquet. Its columns, whatever their case:

- `label`: number or name of the crop, as the legend has it.
- `lon`, `lat` (or `longitude`, `latitude`): degrees in EPSG:4326; those of a GeoParquet geometry where they
  are missing, for areas a point inside. Without them a season start must be given.
- `group` and `country`, optional.
- one column for each band and date: `B2_2021-05-03`. Also read are `B02`, `b2`; dates as `20210503` and
  `2021_05_03`; a dash, a dot or a blank instead of the underscore after the band; and the date first, as in
  `2021-05-03_B2`. A name that holds a band and a date in another way, such as `B2_03.05.2021`, is refused.
  Bands that the recipe lacks are ignored, and so is every other column.

An empty cell, NaN or -9999 is a gap; so is an observation of exactly 0 in all bands, which ESA's products use
for "no data". An observation that lacks one band of a sensor is a gap in all of that sensor's. Bands of other
sensors than Sentinel-2 are written in the sensor's unit: `VV_2021-05-03` in decibels. Observations become
five-day medians by the rule of the composites (`gee_pipeline.composite`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from numbers import Number
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.composite import median_composite
from gee_pipeline.errors import InputError
from gee_pipeline.observations import group_slices
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Hemisphere, Season, SeasonRule
from gee_pipeline.season_of_area import hemispheres_of
from gee_pipeline.sensors import sensor_of_band
from training.samples.reflectance import require_no_offset, require_scale, rounded, to_stored
from training.samples.sample_part import Part, Reading, as_text

FIRST_ROW: Final = 1
"""Rows of a table are counted from 1, below the header."""

_BAND: Final = r"(?P<band>[a-zA-Z][a-zA-Z0-9]*)"
_NUMBERED: Final = re.compile(r"B0?(?P<number>[1-9][0-9]?A?)")
_DATE: Final = r"(?P<year>[0-9]{4})(?P<mark>[-_]?)(?P<month>[0-9]{2})(?P=mark)(?P<day>[0-9]{2})"
_BAND_FIRST: Final = re.compile(rf"{_BAND}[-_. ]{_DATE}")
_DATE_FIRST: Final = re.compile(rf"{_DATE}[-_. ]{_BAND}")

_LIKE_DATE: Final = re.compile(
    r"(?<![0-9])((19|20)[0-9]{2}[-_./ ]?[0-9]{1,2}[-_./ ]?[0-9]{1,2}"  # 2021/5/3; the day 2021123 of a year
    r"|[0-9]{1,2}[-_./ ][0-9]{1,2}[-_./ ](19|20)[0-9]{2}|[0-9]{4}(19|20)[0-9]{2})(?![0-9])"  # 03.05.2021
)
"""Dates in more ways than are read, so that a column is refused rather than left out unseen."""

PLACE_NAMES: Final = {"lon": ("lon", "longitude"), "lat": ("lat", "latitude")}
"""What the columns of a place are called, whatever their case."""


@dataclass(frozen=True)
class SeriesColumn:
    """One column of observations."""

    name: str
    """As the file has it."""
    band: str
    """As the recipe has it: `B2`, `B8A`, `VV`."""
    day: date
    """When it was observed."""


@dataclass(frozen=True)
class Table:
    """The content of a file, not yet interpreted."""

    path: Path
    """The file."""
    frame: pd.DataFrame
    """One row per sample; with `lon` and `lat` where a geometry gave them."""

    @cached_property
    def series_columns(self) -> tuple[SeriesColumn, ...]:
        """The columns of observations.

        Raises:
            InputError: A column has an impossible date, two stand for the same band and day, or one holds a
                band and a date in a way that is not read.
        """
        names_given = [str(name) for name in self.frame.columns]
        found = [column for name in names_given if (column := _series_column(self.path, name))]
        _require_understood(self.path, names_given, found)
        names: dict[tuple[str, date], str] = {}
        for column in found:
            other = names.setdefault((column.band, column.day), column.name)
            if other != column.name:
                raise InputError(
                    f"{self.path}: the columns {other} and {column.name} stand for the same band and day. "
                    "Keep one of them."
                )
        return tuple(found)

    def column(self, *names: str) -> str | None:
        """The column with one of these names, whatever its case; None where there is none."""
        by_name = {str(name).strip().casefold(): str(name) for name in reversed(self.frame.columns)}
        return next((by_name[n.casefold()] for n in names if n.casefold() in by_name), None)


def table_part(table: Table, reading: Reading) -> Part:
    """The samples of a table, their observations binned into seasons.

    Raises:
        InputError: A column is missing, or a value is not a number or outside its range; column and row are
            named.
    """
    lon, lat = _places(table)
    observations = [_observations(table, group, reading) for group in reading.recipe.sensors]
    seasons, which = _seasons(table, reading, lat)
    bands, bins = len(reading.recipe.bands), reading.recipe.bins_in_season
    series = np.empty((len(table.frame), bands, bins), np.int16)
    for place, season in enumerate(seasons):
        rows = np.flatnonzero(which == place)
        for bands_of, (stack, days) in zip(
            group_slices(reading.recipe.group_sizes), observations, strict=True
        ):
            _require_days(table.path, days, season)
            series[rows, bands_of] = _binned(stack[:, :, rows], days, season, reading.recipe)
    label = _required(table, reading.label_column or "label", "the labels", "--label-column")
    return Part(
        path=table.path,
        series=series,
        labels=_labels(table.frame[label]),
        label_place=f"column {label}",
        lon=lon,
        lat=lat,
        groups=_groups(table, reading.group_column),
        country=_text_column(table, table.column("country")),
        season=seasons[0] if len(seasons) == 1 else None,
        own_seasons=True,
        first_row=FIRST_ROW,
    )


def _binned(
    stack: NDArray[np.int16], days: Sequence[date], season: Season, recipe: Recipe
) -> NDArray[np.int16]:
    """`(sample, band, bin)` medians of observations `(day, band, sample)`."""
    since = np.array([(day - season.start).days for day in days])
    edges = season.edges(range(recipe.bins_in_season), recipe.bin_days)
    values, _ = median_composite(stack[:, :, None, :], (stack[:, 0] != NODATA)[:, None, :], since, edges)
    return values[:, :, 0, :].transpose(2, 1, 0)


def _observations(table: Table, group: SensorGroup, reading: Reading) -> tuple[NDArray[np.int16], list[date]]:
    """`(day, band, sample)` of one sensor as stored, gaps nodata in all its bands; and the days."""
    bands, reflectance = group.bands, group.sensor.unit == "reflectance"
    columns = {(c.band, c.day): c.name for c in table.series_columns if c.band in bands}
    days = sorted({day for _, day in columns})
    _require_columns(table, columns, days, bands)
    raw = np.stack([[_numbers(table, columns[band, day]) for band in bands] for day in days])
    gaps = (np.isnan(raw) | (raw == NODATA)).any(axis=1)  # (day, sample)
    gaps |= reflectance & (raw == 0).all(axis=1)
    stored = to_stored(raw, reading.scale, reading.offset) if reflectance else raw * group.sensor.scale
    values = np.where(gaps[:, None, :], np.nan, stored)
    names = [[columns[band, day] for band in bands] for day in days]
    _refuse_outside(table, values, raw, names, group, reading)
    if reflectance and not gaps.all():
        require_scale(f"{table.path}: the series", float(np.nanmax(values)), reading.scale)
    stack = np.where(gaps[:, None, :], np.int16(NODATA), rounded(np.nan_to_num(values)))
    if reflectance and reading.offset is None:
        require_no_offset(f"{table.path}: the series", stack.transpose(2, 1, 0), bands)
    return stack, days


def _require_columns(
    table: Table, columns: dict[tuple[str, date], str], days: Sequence[date], bands: Sequence[str]
) -> None:
    if not days:
        raise InputError(
            f"{table.path} has no column of a band and a date, such as {bands[0]}_2021-05-03; it has "
            f"{few(table.frame.columns)}."
        )
    missing = [f"{band}_{day}" for day in days for band in bands if (band, day) not in columns]
    if missing:
        raise InputError(
            f"{table.path} must have a column of every band ({', '.join(bands)}) for each of its {len(days)} "
            f"dates; it lacks {few(missing)}. Leave out days without all bands."
        )


def _refuse_outside(
    table: Table,
    values: NDArray[Any],
    raw: NDArray[Any],
    names: list[list[str]],
    group: SensorGroup,
    reading: Reading,
) -> None:
    """Raise for the first value that the sensor cannot have, naming column and row."""
    sensor, (low, high) = group.sensor, group.sensor.stored_range
    bad = (values < low) | (values > high) | np.isinf(values)
    if bad.any():
        day, band, row = np.unravel_index(int(bad.argmax()), bad.shape)
        asks = reading.scale is None and sensor.unit == "reflectance"
        way_out = " Say what the file stores for reflectance 1 (--scale)." if asks else ""
        raise InputError(
            f"{table.path}: column {names[day][band]} must lie within {low:g} to {high:g} once it is "
            f"{sensor.unit} x {sensor.scale:,g}, or be empty; row {row + FIRST_ROW} has "
            f"{raw[day, band, row]:g} ({int(bad.any(axis=(0, 1)).sum())} of {bad.shape[2]} rows are "
            f"wrong).{way_out}"
        )


def _seasons(
    table: Table, reading: Reading, lat: NDArray[np.float64] | None
) -> tuple[list[Season], NDArray[np.intp]]:
    """The seasons of the samples, one a hemisphere, and which of them is each sample's."""
    count = len(table.frame)
    days = sorted({column.day for column in table.series_columns})
    rule, side = reading.recipe.season, reading.hemisphere
    if side is not None or rule.same_everywhere:
        return [_season(table.path, rule, reading.year, side or "north", days)], np.zeros(count, np.intp)
    if lat is None:
        raise InputError(
            f"{table.path} has no latitudes, which decide when its season starts. Add the columns lon and "
            "lat, or give --hemisphere or --season-start."
        )
    sides, which = np.unique(hemispheres_of(lat), return_inverse=True)
    return [_season(table.path, rule, reading.year, side, days) for side in sides.tolist()], which


def _season(path: Path, rule: SeasonRule, year: int | None, side: Hemisphere, days: Sequence[date]) -> Season:
    """The season of a year; without a year the one that holds all days."""
    if year is not None:
        return rule.season(year, side)
    near = [rule.season(days[0].year + offset, side) for offset in (-1, 0, 1, 2)]
    season = max((one for one in near if one.start <= days[0]), key=lambda one: one.start)
    if (days[-1] - season.start).days > 365:  # day 366 of a leap year belongs to no bin
        raise InputError(
            f"{path} has dates from {days[0]} to {days[-1]}, more than one season. Say which year to take "
            "with --year."
        )
    return season


def _require_days(path: Path, days: Sequence[date], season: Season) -> None:
    if not any(season.start <= day < season.end for day in days):
        raise InputError(
            f"{path} has dates from {days[0]} to {days[-1]}, none of which lies in the season {season.start} "
            f"to {season.last}. Check --year and --season-start."
        )


def _places(
    table: Table,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    names = [table.column(*PLACE_NAMES[key]) for key in ("lon", "lat")]
    if names == [None, None]:
        return None, None
    if None in names:
        raise InputError(f"{table.path} has one of the columns lon and lat. Give both or none.")
    lon, lat = (_numbers(table, str(name)) for name in names)
    _refuse(table, str(names[0]), ~(np.abs(lon) <= 180), "must lie within -180 to 180 degrees")
    _refuse(table, str(names[1]), ~(np.abs(lat) <= 90), "must lie within -90 to 90 degrees")
    return lon, lat


def _groups(table: Table, asked: str | None) -> NDArray[np.str_] | None:
    name = _required(table, asked, "the groups", "--group-column") if asked else table.column("group")
    named = _text_column(table, name)
    if named is not None:
        _refuse(table, str(name), named == "", "must name a group for each sample")
    return named


def _text_column(table: Table, name: str | None) -> NDArray[np.str_] | None:
    return None if name is None else as_text(table.frame[name].to_numpy(dtype=object, na_value=None))


def _labels(column: pd.Series) -> NDArray[Any]:
    """`(sample,)` as the file has them; large whole numbers stay whole."""
    if pd.api.types.is_float_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.to_numpy(dtype=object, na_value=None)


def _required(table: Table, name: str, what: str, option: str) -> str:
    found = table.column(name)
    if found is None:
        raise InputError(
            f"{table.path} lacks the column {name} with {what}; it has {few(_plain_columns(table))}. Name "
            f"another with {option}."
        )
    return found


def _plain_columns(table: Table) -> list[str]:
    observed = {column.name for column in table.series_columns}
    return [str(name) for name in table.frame.columns if name not in observed]


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    """`(sample,)` values of a column, NaN where it is empty."""
    column = table.frame[name]
    given = column.notna().to_numpy(dtype=bool)
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        strange = np.array([not _may_be_number(value) for value in column.tolist()], bool)
        _refuse(table, name, strange & given, "must hold numbers")
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse(table, name, np.isnan(values) & given, "must hold numbers")
    return values


def _may_be_number(value: Any) -> bool:
    """Whether a cell is a number or a text: True and days would become numbers without a word."""
    return isinstance(value, str | Number) and not isinstance(value, bool | np.bool_)


def _refuse(table: Table, name: str, bad: NDArray[np.bool_], rule: str) -> None:
    """Raise for the first bad value, naming column, row and value."""
    if bad.any():
        row = int(bad.argmax())
        value = table.frame[name].iloc[row]
        raise InputError(
            f"{table.path}: column {name} {rule}; row {row + FIRST_ROW} has "
            f"{repr(value) if isinstance(value, str) else value} "
            f"({int(bad.sum())} of {len(bad)} rows are wrong)."
        )


def is_series_column(name: str) -> bool:
    """Whether a column has the name of a band and a date, possible or not."""
    match = _BAND_FIRST.fullmatch(name.strip()) or _DATE_FIRST.fullmatch(name.strip())
    return match is not None and _band_of(match) is not None


def _series_column(path: Path, name: str) -> SeriesColumn | None:
    match = _BAND_FIRST.fullmatch(name.strip()) or _DATE_FIRST.fullmatch(name.strip())
    if match is None or (band := _band_of(match)) is None:
        return None
    try:
        day = date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError as error:
        raise InputError(f"{path}: the column {name} has no valid date: {error}. Rename it.") from error
    return SeriesColumn(name, band, day)


def _require_understood(path: Path, names: Sequence[str], found: Sequence[SeriesColumn]) -> None:
    """Refuse observations under names that are not read."""
    read = {column.name for column in found}
    if strange := [name for name in names if name not in read and _seems_observed(name)]:
        raise InputError(
            f"{path}: the columns {few(strange)} seem to hold a band and a date, but are not named as "
            "B2_2021-05-03, B2_20210503 or 2021-05-03_B2 are. Rename them, or leave them out."
        )


def _seems_observed(name: str) -> bool:
    """Whether a name holds a band and a date, whatever is around and between them."""
    date_like = _LIKE_DATE.search(name.replace("T", " "))
    if date_like is None:
        return False
    rest = name[: date_like.start()] + " " + name[date_like.end() :]
    return any(_band_named(word) for word in re.split("[^a-zA-Z0-9]+", rest))


def _band_of(match: re.Match[str]) -> str | None:
    """The band that a column means: any number behind a B, or a band of another sensor."""
    return _band_named(match["band"])


def _band_named(text: str) -> str | None:
    name = text.upper()
    if numbered := _NUMBERED.fullmatch(name):
        return f"B{numbered['number']}"
    return name if sensor_of_band(name) else None


def few(names: Sequence[Any]) -> str:
    """The first of some names, for messages."""
    shown = ", ".join(str(name) for name in list(names)[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "") if len(names) else "none"
