"""Labelled pixel series, and how they are read from files in CropGlobe's packaging."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA, REFLECTANCE_SCALE, VALID_MAX, VALID_MIN
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from training.crops import NAMES, choose_classes, class_index
from training.origin import Origin, joint_recipe, joint_season, origin_of

LEAST_MAXIMUM: Final = 100
"""A whole file of crops whose largest value stays below reflectance 0.01 is not scaled by 10,000."""


@dataclass(frozen=True)
class Samples:
    """Labelled series of single pixels; gaps are nodata in all bands, never filled."""

    series: NDArray[np.int16]
    """`(sample, band, bin)`, bins of the whole season, reflectance x 10,000, nodata -9999."""
    labels: NDArray[np.int64]
    """`(sample,)`, index into `class_names`."""
    class_names: tuple[str, ...]
    """Names in the order of the class codes 1 to K."""
    lon: NDArray[np.float64] | None = None
    """`(sample,)`, degrees east in EPSG:4326, or None where the places are unknown."""
    lat: NDArray[np.float64] | None = None
    """`(sample,)`, degrees north."""
    source: str = "Samples of unknown source."
    """One sentence on where labels and imagery come from."""
    duplicates_dropped: int = 0
    """Samples left out because an earlier one had the same series."""
    sparse_dropped: int = 0
    """Samples left out because their window has fewer observed bins than the recipe asks for."""
    recipe: Recipe = field(default_factory=Recipe)
    """How the series were made."""
    season: Season | None = None
    """The days that the bins mean, where the files tell."""

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.series, self.labels, self.lon, self.lat) if a is not None}
        if len(lengths) != 1 or self.series.ndim != 3 or (self.lon is None) != (self.lat is None):
            raise InputError(
                "Samples have one label and either one place each or none at all; got series of shape "
                f"{self.series.shape} and arrays of lengths {sorted(lengths)}."
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise InputError(f"Labels must be indices into the {len(self.class_names)} class names.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def observed(self) -> NDArray[np.bool_]:
        """`(sample, bin)`: True where a bin has an observation."""
        return self.series[:, 0] != NODATA

    @property
    def counts(self) -> dict[str, int]:
        """Number of samples by class name."""
        numbers = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    def take(self, indices: NDArray[Any]) -> Samples:
        """The samples at some indices, or where a boolean array is True."""
        lon, lat = (None if a is None else a[indices] for a in (self.lon, self.lat))
        return replace(self, series=self.series[indices], labels=self.labels[indices], lon=lon, lat=lat)


def read_samples(
    paths: Sequence[Path],
    classes: Sequence[str] | None = None,
    *,
    recipe: Recipe | None = None,
    source: str | None = None,
) -> Samples:
    """The samples of some CropGlobe files, joined, without duplicates and without series of too many gaps.

    A file is an npz with `fea` (sample, 10, 73), reflectance x 10,000 in the recipe's band order, and `lbl`
    (sample,), labels of `training.crops.CROPS`. Where it also has `observed` (sample, 73), bins that are
    False there become gaps again, so that training and mapping fill gaps by one rule. `lon` and `lat`
    (sample,) in degrees make a validation split by place possible. A file of `cropmap sample` also tells its
    recipe and season.

    Args:
        paths: One or more files.
        classes: Class names in the order of the codes; None takes every class that occurs. Other crops
            become "other" where that is among the names, and are left out where not.
        recipe: Bands and bins the series must have; None is that of the files, or the default one.
        source: One sentence for the provenance; None names the files.

    Raises:
        InputError: A file lacks a key, or a value is outside its range; key and row are named.
        CorruptFileError: A file is damaged or no npz.
        MismatchError: Two files have different recipes, or a file has not the one that is asked for.
    """
    if not paths:
        raise InputError("Training needs at least one file of samples, got none. Name an npz file.")
    names = NAMES if classes is None else choose_classes(classes)
    files = [(path, _load(path)) for path in paths]
    origins = [origin for path, arrays in files if (origin := origin_of(path, arrays))]
    recipe = joint_recipe(origins, recipe)
    parts = [_samples(path, arrays, recipe) for path, arrays in files]
    joined = replace(
        _join(parts, source or _default_source(paths, origins)),
        recipe=recipe,
        season=joint_season(origins, len(files)),
    )
    kept = _drop_duplicates(_drop_sparse(joined, recipe))
    return _choose(kept, _occurring(kept) if classes is None else names)


def _default_source(paths: Sequence[Path], origins: Sequence[Origin]) -> str:
    silent = [path.name for path in paths if path not in {origin.path for origin in origins}]
    told = list(dict.fromkeys(origin.source for origin in origins))
    return " ".join([*told, *([f"Samples of {', '.join(silent)}."] if silent else [])])


def _samples(path: Path, arrays: dict[str, NDArray[Any]], recipe: Recipe) -> Samples:
    series = _series(path, arrays, recipe)
    lon, lat = _places(path, arrays, len(series))
    return Samples(series, _labels(path, arrays, len(series)), NAMES, lon, lat)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an npz; nothing in it can run code."""
    if not path.is_file():
        raise InputError(f"The samples {path} do not exist. Give the path of an npz file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptFileError(
            f"{path} is not a whole npz file of number arrays: {error}. Download or export it again."
        ) from error


def _series(path: Path, arrays: dict[str, NDArray[Any]], recipe: Recipe) -> NDArray[np.int16]:
    fea = _array(path, arrays, "fea")
    wanted = (len(recipe.bands), recipe.bins_in_season)
    if fea.ndim != 3 or fea.shape[1:] != wanted:
        raise InputError(
            f"{path}: key fea must have the shape (samples, {wanted[0]}, {wanted[1]}): the bands "
            f"{', '.join(recipe.bands)} and the bins of a whole year; got {fea.shape}. "
            "Of CropGlobe take the files named month1-12_day5."
        )
    _require_reflectance(path, fea)
    gaps = (fea == NODATA).any(axis=1) | ~_observed(path, arrays, fea)
    rounded = np.floor(fea + 0.5) if fea.dtype.kind == "f" else fea
    return np.where(gaps[:, None, :], np.int16(NODATA), rounded.astype(np.int16))


def _require_reflectance(path: Path, fea: NDArray[Any]) -> None:
    _refuse(path, "fea", ~np.isfinite(fea), fea, "must hold finite numbers", "Mark gaps with -9999.")
    outside = (fea != NODATA) & ((fea < VALID_MIN) | (fea > VALID_MAX))
    _refuse(path, "fea", outside, fea, f"must lie within {VALID_MIN} to {VALID_MAX}, or be -9999", "")
    if len(fea) and fea.max() < LEAST_MAXIMUM:
        raise InputError(
            f"{path}: key fea must hold reflectance x {REFLECTANCE_SCALE:,}, but its largest value is "
            f"{fea.max():g}, as if it held reflectance 0 to 1. Multiply it by {REFLECTANCE_SCALE:,}."
        )


def _observed(path: Path, arrays: dict[str, NDArray[Any]], fea: NDArray[Any]) -> NDArray[np.bool_]:
    """`(sample, bin)`; all True where the file does not tell."""
    shape = (fea.shape[0], fea.shape[2])
    observed = arrays.get("observed", np.ones(shape, bool))
    if observed.shape != shape or not np.isin(observed, (0, 1)).all():
        raise InputError(
            f"{path}: key observed must be True or False in the shape {shape} (samples, bins); got "
            f"{observed.dtype} of shape {observed.shape}."
        )
    return observed.astype(bool)


def _labels(path: Path, arrays: dict[str, NDArray[Any]], count: int) -> NDArray[np.int64]:
    lbl = _column(path, arrays, "lbl", count)
    legend = ", ".join(f"{i} {name}" for i, name in enumerate(NAMES))
    _refuse(path, "lbl", ~np.isin(lbl, range(len(NAMES))), lbl, f"must be a label of {legend}", "")
    return lbl.astype(np.int64)


def _places(
    path: Path, arrays: dict[str, NDArray[Any]], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    if "lon" not in arrays and "lat" not in arrays:
        return None, None
    lon, lat = (_column(path, arrays, key, count).astype(np.float64) for key in ("lon", "lat"))
    _refuse(path, "lon", ~(np.abs(lon) <= 180), lon, "must lie within -180 to 180 degrees", "")
    _refuse(path, "lat", ~(np.abs(lat) <= 90), lat, "must lie within -90 to 90 degrees", "")
    return lon, lat


def _array(path: Path, arrays: dict[str, NDArray[Any]], key: str) -> NDArray[Any]:
    if key not in arrays:
        raise InputError(f"{path} lacks the key {key}; it has {', '.join(sorted(arrays)) or 'none'}.")
    if arrays[key].dtype.kind not in "iuf":
        raise InputError(f"{path}: key {key} must hold numbers, got {arrays[key].dtype}.")
    return arrays[key]


def _column(path: Path, arrays: dict[str, NDArray[Any]], key: str, count: int) -> NDArray[Any]:
    column = _array(path, arrays, key)
    if column.shape != (count,):
        raise InputError(
            f"{path}: key {key} must have one value for each of the {count} rows of fea, got the shape "
            f"{column.shape}."
        )
    return column


def _refuse(
    path: Path, key: str, bad: NDArray[np.bool_], values: NDArray[Any], rule: str, way_out: str
) -> None:
    """Raise for the first bad value, naming key, row and value."""
    if bad.any():
        where = np.unravel_index(int(bad.argmax()), bad.shape)
        rows = int(bad.reshape(len(bad), -1).any(axis=1).sum())
        raise InputError(
            f"{path}: key {key} {rule}; row {where[0]} has {values[where]:g} ({rows} of {len(bad)} rows are "
            f"at fault). {way_out}".rstrip()
        )


def _join(parts: list[Samples], source: str) -> Samples:
    """One value out of several files; places only where all have them."""
    lon = [part.lon for part in parts if part.lon is not None]
    lat = [part.lat for part in parts if part.lat is not None]
    placed = len(lon) == len(parts)
    return Samples(
        series=np.concatenate([part.series for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        class_names=NAMES,
        lon=np.concatenate(lon) if placed else None,
        lat=np.concatenate(lat) if placed else None,
        source=source,
    )


def _drop_duplicates(samples: Samples) -> Samples:
    """The first sample of each series (CropGlobe repeats some)."""
    rows = np.ascontiguousarray(samples.series).reshape(len(samples), -1)
    _, first = np.unique(rows.view(np.dtype((np.void, rows.shape[1] * 2))), return_index=True)
    return replace(samples.take(np.sort(first)), duplicates_dropped=len(samples) - len(first))


def _drop_sparse(samples: Samples, recipe: Recipe) -> Samples:
    """The samples that the map would not call "not enough observations" either."""
    enough = samples.observed[:, recipe.window].sum(axis=1) >= recipe.min_clear_bins
    if not enough.any():
        raise InputError(
            f"None of the {len(samples)} samples has {recipe.min_clear_bins} or more observed bins on days "
            f"{recipe.window_first_day} to {recipe.window_last_day} of the season. Give other files."
        )
    return replace(samples.take(enough), sparse_dropped=int((~enough).sum()))


def _occurring(samples: Samples) -> tuple[str, ...]:
    return choose_classes([name for name, count in samples.counts.items() if count])


def _choose(samples: Samples, names: tuple[str, ...]) -> Samples:
    """The samples relabelled for the chosen classes; each class must have some."""
    labels = np.array(class_index(names))[samples.labels]
    chosen = replace(samples.take(labels >= 0), labels=labels[labels >= 0], class_names=names)
    if empty := [name for name, count in chosen.counts.items() if not count]:
        raise InputError(
            f"Every class needs samples, but there are none of {', '.join(empty)}; the files hold "
            + ", ".join(f"{count} {name}" for name, count in samples.counts.items() if count)
            + ". Leave these classes out of --classes."
        )
    return chosen
