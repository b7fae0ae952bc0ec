"""Series whose bands have names and whose months have dates, as WorldCereal publishes them.

An npz has `series` `(sample, band, bin)`, reflectance x 10,000, and `bands`, the names of its rows in any
order: `B02` or `B2`, `B8A`, and more than the recipe takes. Labels stand under `croptype`, or where a legend
or `--label-column` says. When the bins are calendar months the file may date them: `start_date` `(sample,)`,
first day of each sample's first month, or `months` `(bin,)`. Dated months are placed into the season of each
sample; what lies outside is left out. Without dates the bins are those of the season, or of the window.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.season import MONTHS, Season, SeasonRule
from gee_pipeline.season_of_area import hemispheres_of
from training.samples.npz_file import Arrays, column, numbers, refuse
from training.samples.sample_part import Reading, as_text

SERIES: Final = "series"
BANDS: Final = "bands"
LABELS: Final = "croptype"
STARTS: Final = "start_date"
BIN_DATES: Final = "months"

_NO_DATA: Final = (NODATA, 65_535, 32_767)
"""What files have where there is no observation: cropmap, WorldCereal, and the latter in signed 16 bits."""


def has_named_bands(arrays: Arrays) -> bool:
    """Whether the arrays of a file are such series."""
    return SERIES in arrays and BANDS in arrays and "fea" not in arrays


def has_dates(arrays: Arrays) -> bool:
    """Whether such series say when their months begin."""
    return SERIES in arrays and (STARTS in arrays or BIN_DATES in arrays)


def in_frame(
    path: Path, arrays: Arrays, reading: Reading, lat: NDArray[np.float64] | None
) -> tuple[NDArray[Any], Season | None]:
    """`(sample, band, bin)` in the recipe's bands, and in its season where months are dated; the season that
    all samples share.

    Args:
        path: The file, for messages.
        arrays: Its arrays.
        reading: Recipe, year and hemisphere.
        lat: `(sample,)`, degrees north, where known.

    Raises:
        InputError: A band is missing or empty, or a month cannot be placed; band or row are named.
    """
    series = numbers(path, arrays, SERIES)
    names = [_plain(str(name)) for name in arrays[BANDS].tolist()]
    if series.ndim != 3 or series.shape[1] != len(names):
        raise InputError(
            f"{path}: key {SERIES} must have the shape (samples, {len(names)} bands, bins), got "
            f"{series.shape}."
        )
    series = np.where(np.isin(series, _NO_DATA), np.array(NODATA, np.result_type(series, np.int16)), series)
    series = series[:, _rows(path, names, series, reading.recipe.bands)]
    firsts = _first_months(path, arrays, series)
    return (series, None) if firsts is None else _placed(path, series, firsts, reading, lat)


def _plain(name: str) -> str:
    """The name of a band as recipes have it: B2 for B02."""
    match = re.fullmatch(r"[bB]0*(\d+[aA]?)", name.strip())
    return f"B{match[1].upper()}" if match else name.strip()


def _rows(path: Path, names: Sequence[str], series: NDArray[Any], bands: Sequence[str]) -> list[int]:
    """Where the bands of the recipe stand."""
    there = {name: row for row, name in enumerate(names) if (series[:, row] != NODATA).any()}
    if missing := [band for band in bands if band not in there]:
        left = [band for band in bands if band in there]
        what = "are empty or not in it" if any(band in names for band in missing) else "are not in it"
        raise InputError(
            f"{path} has the bands {', '.join(names)}; of the recipe's, {', '.join(missing)} {what}. Train a "
            f"model without: --bands {','.join(left) or 'B2,B3,B4,...'}, or give files that have all."
        )
    return [there[band] for band in bands]


def _first_months(path: Path, arrays: Arrays, series: NDArray[Any]) -> NDArray[np.int64] | None:
    """`(sample,)`: first month of each sample, counted from January of year 0; None without dates."""
    if STARTS in arrays:
        return _months(path, STARTS, column(path, arrays, STARTS, len(series), text=True))
    if BIN_DATES not in arrays:
        return None
    months = _months(path, BIN_DATES, arrays[BIN_DATES])
    if len(months) != series.shape[2] or (np.diff(months) != 1).any():
        raise InputError(
            f"{path}: key {BIN_DATES} must name the {series.shape[2]} bins of {SERIES}, month after month; "
            f"got {', '.join(as_text(arrays[BIN_DATES]).tolist()[:4])}, ..."
        )
    return np.full(len(series), months[0])


def _months(path: Path, key: str, texts: NDArray[Any]) -> NDArray[np.int64]:
    """Months counted from January of year 0."""
    names, which = np.unique(as_text(texts), return_inverse=True)
    days = [_date(name) for name in names.tolist()]
    bad = np.array([day is None or day.day != 1 for day in days])
    refuse(
        path,
        key,
        bad[which],
        names[which],
        "must name the first day of a calendar month, such as 2017-01-01",
        "Series from another day on are read without the key, with --season-start and --bin-days 30.",
    )
    return np.array([0 if day is None else day.year * MONTHS + day.month - 1 for day in days])[which]


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _placed(
    path: Path,
    series: NDArray[Any],
    firsts: NDArray[np.int64],
    reading: Reading,
    lat: NDArray[np.float64] | None,
) -> tuple[NDArray[Any], Season | None]:
    """Series of dated months in the months of each sample's season."""
    if reading.recipe.bin_days != "month":
        raise InputError(
            f"{path} holds calendar months, but bins of {reading.recipe.bin_days} days were asked for. Say "
            "--bin-days month, with a season that starts on the first of a month: --season year."
        )
    placed = np.full((*series.shape[:2], MONTHS), NODATA, series.dtype)
    sides = _sides(path, reading, lat, len(series))
    seasons = set()
    for first, side in sorted(set(zip(firsts.tolist(), sides.tolist(), strict=True))):
        rows = np.flatnonzero((firsts == first) & (sides == side))
        season = _season(reading.recipe.season, reading.year, side, first, series.shape[2])
        begin = season.start.year * MONTHS + season.start.month - 1
        inside = range(max(begin, first), min(begin + MONTHS, first + series.shape[2]))
        _require_months(path, rows, inside, first, season)
        placed[rows, :, inside.start - begin : inside.stop - begin] = series[
            rows, :, inside.start - first : inside.stop - first
        ]
        seasons.add(season)
    return placed, seasons.pop() if len(seasons) == 1 else None


def _sides(path: Path, reading: Reading, lat: NDArray[np.float64] | None, count: int) -> NDArray[np.str_]:
    """`(sample,)`: the hemisphere whose season a sample has."""
    if reading.hemisphere or reading.recipe.season.same_everywhere:
        return np.full(count, reading.hemisphere or "north")
    if lat is None:
        raise InputError(
            f"{path} has no latitudes, by which its season starts. Add the keys lon and lat, or give "
            "--hemisphere or --season-start."
        )
    return hemispheres_of(lat)


def _season(rule: SeasonRule, year: int | None, side: Any, first: int, months: int) -> Season:
    """The season of a year; without a year the first of those that hold most of a sample's months."""
    if year is not None:
        return rule.season(year, side)
    near = [rule.season(first // MONTHS + offset, side) for offset in (-1, 0, 1, 2, 3)]

    def shared(season: Season) -> int:
        begin = season.start.year * MONTHS + season.start.month - 1
        return min(begin + MONTHS, first + months) - max(begin, first)

    return max(near, key=shared)


def _require_months(path: Path, rows: NDArray[np.intp], inside: range, first: int, season: Season) -> None:
    if not inside:
        raise InputError(
            f"{path}: the series of row {rows[0]} begins in {first // MONTHS}-{first % MONTHS + 1:02d} and "
            f"has no month in the season of {season.year}, from {season.start} on ({len(rows)} rows). Check "
            "--year and --season, or leave --year out: every sample is then placed in its own season."
        )
