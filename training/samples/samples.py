"""Labelled pixel series, and how they are read from files: CropGlobe's packaging and plain tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.observations import group_slices, least_observed
from gee_pipeline.recipe import Recipe, RecipeOptions
from gee_pipeline.season import Hemisphere, Season
from gee_pipeline.season_of_area import hemispheres_of
from training.samples.class_choice import choose_classes, occurring_classes, relabel
from training.samples.class_legend import CROPGLOBE, LEFT_OUT, ClassLegend
from training.samples.npz_file import load_arrays
from training.samples.sample_origin import SampleOrigin, joint_recipe, origin_of
from training.samples.sample_part import Part, Reading
from training.samples.series_file import series_part
from training.samples.table import Table, table_part
from training.samples.table_file import TABLE_SUFFIXES, read_table

AS_FILES_SAY: Final = RecipeOptions()
"""Nothing that a user says."""

_OTHER_KINDS: Final = (".gpkg", ".shp", ".geojson", ".json", ".kml", ".fgb", ".xlsx", ".xls", ".ods")
"""Endings of files that users have samples in, and that are not read."""

_PER_SAMPLE: Final = ("lon", "lat", "groups", "country")
"""Fields of `Samples` that have a value for each sample, or none at all."""


@dataclass(frozen=True)
class Samples:
    """Labelled series of single pixels; gaps are nodata in all bands of a sensor, never filled."""

    series: NDArray[np.int16]
    """`(sample, band, bin)`, bins of the whole season as stored (reflectance x 10,000), nodata -9999."""
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
    """The days that the bins mean, where the files say."""
    groups: NDArray[np.str_] | None = None
    """`(sample,)`, a farm, a survey, a region: what is held out as a whole (`--split column`)."""
    country: NDArray[np.str_] | None = None
    """`(sample,)`, name or code of the country."""
    colors: tuple[str, ...] | None = None
    """`#rrggbb` of each class name; None takes those of CropGlobe's legend."""
    left_out: int = 0
    """Samples left out because their label has no class."""
    pseudo: bool = False
    """Labels of a file or more are a model's own answers (`cropmap forest pseudo-label`)."""

    def __post_init__(self) -> None:
        given = [getattr(self, name) for name in _PER_SAMPLE]
        lengths = {len(a) for a in (self.series, self.labels, *given) if a is not None}
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
        """`(sample, bin)`: True where a bin has an observation of any sensor."""
        firsts = [rows.start for rows in group_slices(self.recipe.group_sizes)]
        return (self.series[:, firsts] != NODATA).any(axis=1)

    def observed_bins(self, window: range) -> NDArray[np.intp]:
        """`(sample,)`: observed bins in a window, of the sensor that has the fewest."""
        inside = self.series[:, :, window.start : window.stop]
        return least_observed(inside, self.recipe.group_sizes)

    @property
    def counts(self) -> dict[str, int]:
        """Number of samples by class name."""
        numbers = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    def take(self, indices: NDArray[Any]) -> Samples:
        """The samples at some indices, or where a boolean array is True."""
        per_sample: dict[str, Any] = {name: _taken(getattr(self, name), indices) for name in _PER_SAMPLE}
        return replace(self, series=self.series[indices], labels=self.labels[indices], **per_sample)


class ReadingOptions(TypedDict, total=False):
    """What `read_samples` takes about files, besides their recipe and classes."""

    legend: ClassLegend | None
    source: str | None
    scale: float | None
    offset: float | None
    year: int | None
    hemisphere: Hemisphere | None
    asked: RecipeOptions
    label_column: str | None
    group_column: str | None


def read_samples(
    paths: Sequence[Path],
    classes: Sequence[str] | None = None,
    *,
    legend: ClassLegend | None = None,
    recipe: Recipe | None = None,
    source: str | None = None,
    scale: float | None = None,
    offset: float | None = None,
    year: int | None = None,
    hemisphere: Hemisphere | None = None,
    asked: RecipeOptions = AS_FILES_SAY,
    label_column: str | None = None,
    group_column: str | None = None,
    any_classes: bool = False,
    unlabelled: bool = False,
) -> Samples:
    """The samples of some files, joined, without duplicates and without series of too many gaps.

    An npz has `fea`, reflectance x 10,000 in the recipe's band order: (sample, 10, 73) for whole seasons, or
    (sample, 10, 43) for the model's window, beyond which all is a gap; and `lbl` (sample,), labels of the
    legend. Where it also has `observed` (sample, bins), bins that are False there become gaps again, so
    that training and mapping fill gaps by one rule. `lon` and `lat` (sample,) in degrees, or `group`
    (sample,), make a validation split by place or group possible. A file of `cropmap sample` also says
    its recipe and season. A CSV or Parquet file is a table as in `training.samples.table`.

    Args:
        paths: One or more files.
        classes: Class names in the order of the codes; None takes every class that occurs, or all of a legend
            that is given. Other classes become "other" where that is among the names, and are left out where
            not.
        legend: What the labels mean; None is CropGlobe's.
        recipe: That of the model that reads the series; None is that of the files, or the default one.
        asked: What the user says of the recipe, bins and season.
        source: One sentence for the provenance; None names the files.
        scale: Value that the files store for reflectance 1; None is 10,000, and is checked.
        offset: Value that the files store for reflectance 0; None is 0, and is checked.
        year: Year of the season; of tables None takes the season in which all their dates lie.
        hemisphere: Side of the equator whose season the bins mean; None follows the latitudes.
        label_column: Key or column of the labels; None is that of the legend, or `lbl` and `label`.
        group_column: Key or column of the groups; None is `group`, where there is one.
        any_classes: Keep all classes of the legend, however few occur, for labels that nothing is trained on.
        unlabelled: Take files without labels too, for who leaves labels behind.

    Raises:
        InputError: A file lacks a key or column, or a value is outside its range; key or column and row are
            named.
        CorruptFileError: A file is damaged or of another kind.
        MismatchError: Two files have different recipes, or a file has not the one that is asked for.
    """
    if not paths:
        raise InputError(
            "Training needs at least one file of samples, got none. Name an npz file or a table."
        )
    known = legend or CROPGLOBE
    names = choose_classes(known, classes) if classes is not None else None
    files = [_open(path) for path in paths]
    origins = [file.origin for file in files if file.origin]
    if not unlabelled:
        _require_labels(origins)
    named = next((origin.season.year for origin in origins), None) if year is None else year
    joint = joint_recipe(origins, recipe, asked, named)
    if year is None and isinstance(asked.season_start, date):
        year = asked.season_start.year - joint.season.north.year_offset  # a date is the same in the south
    reading = Reading(
        recipe=joint,
        scale=scale,
        offset=offset,
        year=year,
        hemisphere=hemisphere,
        label_column=label_column or known.label_column,
        group_column=group_column,
    )
    parts = [file.part(reading) for file in files]
    _require_season(origins, reading)
    series = _join([_samples(part, known) for part in parts], known)
    joined = replace(
        series,
        source=source or _default_source(paths, origins, known),
        recipe=reading.recipe,
        season=_joint_season(parts) or _started(asked, reading, parts, series.lat),
        pseudo=any(origin.pseudo for origin in origins),
    )
    kept = _drop_duplicates(_drop_sparse(joined, reading.recipe))
    if any_classes:
        return kept
    if names is None:
        names = occurring_classes(known, kept.labels) if known.built_in else known.names
    return _choose(kept, names, known)


@dataclass(frozen=True)
class _File:
    """A file that is open, but whose series await the recipe."""

    path: Path
    content: dict[str, NDArray[Any]] | Table
    origin: SampleOrigin | None = None

    def part(self, reading: Reading) -> Part:
        if isinstance(self.content, Table):
            return table_part(self.content, reading)
        return series_part(self.path, self.content, self.origin, reading)


def _open(path: Path) -> _File:
    if path.name.lower().endswith(TABLE_SUFFIXES):
        return _File(path, read_table(path))
    if path.is_file() and path.suffix.lower() in _OTHER_KINDS:
        raise InputError(
            f"{path} is no file of samples, which is an npz, a CSV, a Parquet or a GeoParquet. Save it as "
            "one of these."
        )
    arrays = load_arrays(path)
    return _File(path, arrays, origin_of(path, arrays))


def _default_source(paths: Sequence[Path], origins: Sequence[SampleOrigin], legend: ClassLegend) -> str:
    silent = [path.name for path in paths if path not in {origin.path for origin in origins}]
    sources = list(dict.fromkeys(origin.source for origin in origins))
    sentences = [legend.source, *sources, f"Samples of {', '.join(silent)}." if silent else ""]
    return " ".join(sentence for sentence in sentences if sentence)


def _require_labels(origins: Sequence[SampleOrigin]) -> None:
    """Refuse series that nobody has labelled."""
    for origin in origins:
        if origin.unlabelled:
            raise InputError(
                f"The samples {origin.path} were drawn with --unlabelled: what grows there is not known. "
                "They serve as --target of 'cropmap adapt'; draw others with --reference to train on."
            )


def _require_season(origins: Sequence[SampleOrigin], reading: Reading) -> None:
    """Refuse another year or hemisphere than a file says."""
    for origin in origins:
        own, asked = origin.season, origin.season
        if reading.year is not None and own.year != reading.year:
            raise MismatchError(
                f"The samples {origin.path} are of {own.year}, from {own.start} on, not of --year "
                f"{reading.year}. Leave --year out, or give other files."
            )
        if reading.hemisphere is not None:
            asked = reading.recipe.season.season(own.year, reading.hemisphere)
        if asked.start != own.start:
            raise MismatchError(
                f"The samples {origin.path} start on {own.start}, not on {asked.start} as in the "
                f"{reading.hemisphere}. Leave --hemisphere out, or give other files."
            )


def _started(
    asked: RecipeOptions, reading: Reading, parts: Sequence[Part], lat: NDArray[np.float64] | None
) -> Season | None:
    """The season of files that do not say it, where the user says the year; None where it is not one."""
    silent = [part.path for part in parts if not part.own_seasons]
    rule, side = reading.recipe.season, reading.hemisphere
    if not silent:
        return None
    if reading.year is None:
        if side is not None and not rule.same_everywhere:
            raise InputError(
                f"--hemisphere chooses the season of a year, which {silent[0]} does not say. Add --year."
            )
        return None
    if isinstance(asked.season_start, date):
        return Season(reading.year, asked.season_start)
    sides = {side} if side else set() if lat is None else set(hemispheres_of(lat).tolist())
    if rule.same_everywhere:
        return rule.season(reading.year, "north")
    return rule.season(reading.year, sides.pop()) if len(sides) == 1 else None


def _joint_season(parts: Sequence[Part]) -> Season | None:
    """The season of all parts; None where not all say it, or they differ."""
    seasons = {part.season for part in parts}
    return seasons.pop() if len(seasons) == 1 else None


def _samples(part: Part, legend: ClassLegend) -> Samples:
    """The samples of a part whose label has a class in the legend."""
    index = legend.index_of(part.labels, f"{part.path}: {part.label_place}", first_row=part.first_row)
    everything = Samples(
        series=part.series,
        labels=index.clip(0),
        class_names=legend.names,
        lon=part.lon,
        lat=part.lat,
        groups=part.groups,
        country=part.country,
    )
    return replace(everything.take(index >= 0), left_out=int((index < 0).sum()))


def _join(parts: Sequence[Samples], legend: ClassLegend) -> Samples:
    """One value out of several; places, groups and countries only where all have them."""
    lon, lat, groups, country = (_joined([getattr(part, name) for part in parts]) for name in _PER_SAMPLE)
    return Samples(
        series=np.concatenate([part.series for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        class_names=legend.names,
        lon=lon,
        lat=lat,
        groups=groups,
        country=country,
        left_out=sum(part.left_out for part in parts),
    )


def _joined(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None


def _taken(array: NDArray[Any] | None, indices: NDArray[Any]) -> NDArray[Any] | None:
    return None if array is None else array[indices]


def _drop_duplicates(samples: Samples) -> Samples:
    """The first sample of each series (CropGlobe repeats some)."""
    rows = np.ascontiguousarray(samples.series).reshape(len(samples), -1)
    _, first = np.unique(rows.view(np.dtype((np.void, rows.shape[1] * 2))), return_index=True)
    return replace(samples.take(np.sort(first)), duplicates_dropped=len(samples) - len(first))


def _drop_sparse(samples: Samples, recipe: Recipe) -> Samples:
    """The samples that the map would not call "not enough observations" either."""
    enough = samples.observed_bins(recipe.window) >= recipe.min_clear_bins
    if not enough.any():
        raise InputError(
            f"None of the {len(samples)} samples has {recipe.min_clear_bins} or more observed bins on days "
            f"{recipe.season.first_day} to {recipe.season.last_day} of the season. Give other files, "
            "or accept fewer with --min-clear-bins."
        )
    return replace(samples.take(enough), sparse_dropped=int((~enough).sum()))


def _choose(samples: Samples, names: tuple[str, ...], legend: ClassLegend) -> Samples:
    """The samples relabelled for the chosen classes; each class must have some."""
    labels = relabel(legend, samples.labels, names)
    kept = labels != LEFT_OUT
    return replace(
        samples.take(kept),
        labels=labels[kept],
        class_names=names,
        colors=tuple(legend.colors[name] for name in names),
        left_out=samples.left_out + int((~kept).sum()),
    )
