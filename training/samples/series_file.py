"""Labelled series from npz files in CropGlobe's packaging, or with named bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA, VALID_MAX, VALID_MIN
from gee_pipeline.errors import InputError
from gee_pipeline.observations import group_slices
from gee_pipeline.recipe import Recipe, SensorGroup
from training.samples import named_series
from training.samples.npz_file import Arrays, column, numbers, refuse
from training.samples.packaging import SERIES, Kind, country_of, kind_of
from training.samples.reflectance import (
    outside_range,
    require_band_order,
    require_no_offset,
    require_scale,
    rounded,
    to_stored,
)
from training.samples.sample_origin import SampleOrigin
from training.samples.sample_part import Part, Reading, as_text

LABELS: Final = "lbl"
GROUPS: Final = "group"


def series_part(path: Path, arrays: Arrays, origin: SampleOrigin | None, reading: Reading) -> Part:
    """The samples of the arrays of a file.

    Raises:
        InputError: A key is missing, or a value is outside its range; key and row are named.
    """
    season = origin.season if origin else None
    usual = LABELS
    if named_series.has_named_bands(arrays):
        lat = places(path, arrays, len(arrays[named_series.SERIES]))[1]
        fea, season = named_series.in_frame(path, arrays, reading, lat)
        arrays, usual = {**arrays, "fea": fea}, named_series.LABELS
    series = _series(path, arrays, reading)
    label_key = reading.label_column or usual
    labels = column(path, arrays, label_key, len(series), text=True)
    lon, lat = places(path, arrays, len(series))
    return Part(
        path=path,
        series=series,
        labels=labels,
        label_place=f"key {label_key}",
        lon=lon,
        lat=lat,
        groups=groups(path, arrays, len(series), reading.group_column),
        country=countries(path, arrays, len(series)),
        season=season,
        own_seasons=origin is not None or named_series.has_dates(arrays),
    )


def places(
    path: Path, arrays: Arrays, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    """`lon` and `lat`, `(sample,)` each, or None where the file has neither.

    Raises:
        InputError: One is missing or out of range.
    """
    if "lon" not in arrays and "lat" not in arrays:
        return None, None
    lon, lat = (column(path, arrays, key, count).astype(np.float64) for key in ("lon", "lat"))
    refuse(path, "lon", ~(np.abs(lon) <= 180), lon, "must lie within -180 to 180 degrees")
    refuse(path, "lat", ~(np.abs(lat) <= 90), lat, "must lie within -90 to 90 degrees")
    return lon, lat


def groups(path: Path, arrays: Arrays, count: int, key: str | None) -> NDArray[np.str_] | None:
    """`(sample,)`: the groups that the file has under a key, by default `group` where it exists.

    Raises:
        InputError: The key that was asked for is missing, or a sample has no group.
    """
    if key is None and GROUPS not in arrays:
        return None
    named = as_text(column(path, arrays, key or GROUPS, count, text=True))
    refuse(path, key or GROUPS, named == "", named, "must name a group for each sample")
    return named


def countries(path: Path, arrays: Arrays, count: int) -> NDArray[np.str_] | None:
    """`(sample,)`: the key `country`, else the letters in the file's name, else None."""
    if "country" in arrays:
        return as_text(column(path, arrays, "country", count, text=True))
    code = country_of(path)
    return None if code is None else np.full(count, code)


def _series(path: Path, arrays: Arrays, reading: Reading) -> NDArray[np.int16]:
    """`(sample, band, bin)` of whole seasons; gaps where nothing was observed, and beyond a window."""
    fea = numbers(path, arrays, "fea")
    recipe = reading.recipe
    kind = kind_of(path, fea.shape, recipe)
    _require_series(path, kind)
    refuse(path, "fea", ~np.isfinite(fea), fea, "must hold finite numbers", "Mark gaps with -9999.")
    seen = _observed(path, arrays, fea)
    fea = fea if fea.ndim > 2 else fea[:, :, None]  # one bin: an input without time
    sensors = zip(recipe.sensors, group_slices(recipe.group_sizes), strict=True)
    observed = np.concatenate([_of_sensor(path, fea[:, r], seen, g, reading) for g, r in sensors], axis=1)
    series = observed if kind is not Kind.WINDOW else _in_season(observed, recipe)
    if reading.offset is None:
        require_no_offset(f"{path}: key fea", series, recipe.bands)
    require_band_order(path, series, recipe.bands)
    return series


def _of_sensor(
    path: Path, fea: NDArray[Any], seen: NDArray[np.bool_], group: SensorGroup, reading: Reading
) -> NDArray[np.int16]:
    """The series of one sensor's bands, as stored; a bin that lacks one of them is a gap."""
    gaps = (fea == NODATA).any(axis=1) | ~seen
    reflectance = group.sensor.unit == "reflectance"
    values = _reflectance(path, fea, reading) if reflectance else _numbers(path, fea, group)
    return np.where(gaps[:, None, :], np.int16(NODATA), values)


def _reflectance(path: Path, fea: NDArray[Any], reading: Reading) -> NDArray[np.int16]:
    """The stored reflectance of all cells; what a gap has is left to the caller."""
    values = to_stored(fea, reading.scale, reading.offset)
    bad = (fea != NODATA) & outside_range(values)
    way_out = "Say what the file stores for reflectance 1 (--scale)." if reading.scale is None else ""
    refuse(path, "fea", bad, fea, f"must lie within {VALID_MIN} to {VALID_MAX}, or be {NODATA}", way_out)
    if len(fea):
        require_scale(f"{path}: key fea", float(values.max()), reading.scale)
    return rounded(np.where(bad | (fea == NODATA), 0, values) if values is not fea else fea)


def _numbers(path: Path, fea: NDArray[Any], group: SensorGroup) -> NDArray[np.int16]:
    """Stored values of a sensor without reflectance: whole numbers are stored ones, fractions in its unit."""
    fractions, sensor = fea.dtype.kind == "f", group.sensor
    stored = fea.astype(np.float64) * (sensor.scale if fractions else 1)
    low, high = sensor.stored_range
    bad = (fea != NODATA) & ~((stored >= low) & (stored <= high))
    limits = tuple(limit / sensor.scale if fractions else limit for limit in (low, high))
    rule = f"must lie within {limits[0]:g} to {limits[1]:g} for the bands of {sensor.title}, or be {NODATA}"
    what = f"{sensor.unit}s" if fractions else f"{sensor.unit}s x {sensor.scale:g}"
    refuse(path, "fea", bad, fea, rule, f"Type {fea.dtype} means {what}.")
    return rounded(np.where(fea == NODATA, 0, stored))


def _require_series(path: Path, kind: Kind) -> None:
    if kind not in SERIES:
        raise InputError(
            f"{path} holds {kind} features, of which no series can be made. Of CropGlobe take the files "
            "named median_S2_..._month1-12_day5; baselines on features read them as they are."
        )


def _in_season(observed: NDArray[np.int16], recipe: Recipe) -> NDArray[np.int16]:
    series = np.full((*observed.shape[:2], recipe.bins_in_season), NODATA, np.int16)
    series[:, :, recipe.window.start : recipe.window.stop] = observed
    return series


def _observed(path: Path, arrays: Arrays, fea: NDArray[Any]) -> NDArray[np.bool_]:
    """`(sample, bin)`; all True where the file does not say."""
    shape = (fea.shape[0], *fea.shape[2:])
    observed = arrays.get("observed", np.ones(shape, bool))
    if observed.shape != shape or not np.isin(observed, (0, 1)).all():
        raise InputError(
            f"{path}: key observed must be True or False in the shape {shape} (samples, bins); got "
            f"{observed.dtype} of shape {observed.shape}."
        )
    return observed.astype(bool) if fea.ndim > 2 else observed.astype(bool)[:, None]
