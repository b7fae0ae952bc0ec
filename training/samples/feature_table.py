"""Feature files of CropGlobe that are not series: harmonic coefficients and embeddings, for baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import Recipe
from training.samples.class_choice import choose_classes, occurring_classes, relabel
from training.samples.class_legend import CROPGLOBE, LEFT_OUT, ClassLegend
from training.samples.npz_file import column, load_arrays, numbers, refuse
from training.samples.packaging import SERIES, Kind, kind_of
from training.samples.series_file import LABELS, countries, groups, places


@dataclass(frozen=True)
class FeatureTable:
    """Labelled features of single pixels; `training.fit.split` splits it as it splits series."""

    values: NDArray[np.float32]
    """`(sample, feature)`, finite."""
    labels: NDArray[np.int64]
    """`(sample,)`, index into `class_names`."""
    class_names: tuple[str, ...]
    """Names in the order of the class codes 1 to K."""
    kind: Kind
    """What the features are."""
    lon: NDArray[np.float64] | None = None
    """`(sample,)`, degrees east in EPSG:4326, or None where the places are unknown."""
    lat: NDArray[np.float64] | None = None
    """`(sample,)`, degrees north."""
    groups: NDArray[np.str_] | None = None
    """`(sample,)`, what is held out as a whole."""
    country: NDArray[np.str_] | None = None
    """`(sample,)`, name or code of the country."""
    duplicates_dropped: int = 0
    """Samples left out because an earlier one had the same features."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[Any]) -> FeatureTable:
        """The samples at some indices, or where a boolean array is True."""
        names = ("values", "labels", "lon", "lat", "groups", "country")
        arrays = {name: getattr(self, name) for name in names}
        taken: dict[str, Any] = {k: None if a is None else a[indices] for k, a in arrays.items()}
        return replace(self, **taken)


def read_features(
    paths: Sequence[Path], classes: Sequence[str] | None = None, *, legend: ClassLegend | None = None
) -> FeatureTable:
    """The features of some npz files of one kind, joined, without duplicates.

    A file has `fea` (sample, feature) and `lbl` (sample,), and may have `lon`, `lat`, `group` and `country`.

    Args:
        paths: One or more files.
        classes: Class names in the order of the codes; None takes every class that occurs, or all of a legend
            that is given.
        legend: What the labels mean; None is CropGlobe's.

    Raises:
        InputError: A file holds series, lacks a key, or a value is not finite; key and row are named.
        CorruptFileError: A file is damaged or no npz.
        MismatchError: Two files hold different kinds of features.
    """
    if not paths:
        raise InputError("Baselines need at least one file of features, got none. Name an npz file.")
    known = legend or CROPGLOBE
    names = None if classes is None else choose_classes(known, classes)
    tables = [_table(path, known) for path in paths]
    _require_alike(paths, tables)
    kept = _without_duplicates(_join(tables))
    if names is None:
        names = known.names if legend else occurring_classes(known, kept.labels)
    labels = relabel(known, kept.labels, names)
    chosen = kept.take(labels != LEFT_OUT)
    return replace(chosen, labels=labels[labels != LEFT_OUT], class_names=names)


def _table(path: Path, legend: ClassLegend) -> FeatureTable:
    arrays = load_arrays(path)
    fea = numbers(path, arrays, "fea")
    kind = kind_of(path, fea.shape, Recipe())
    if kind in SERIES:
        raise InputError(f"{path} holds series ({kind}), not features. Read it with read_samples.")
    refuse(path, "fea", ~np.isfinite(fea), fea, "must hold finite numbers", "Leave such rows out.")
    label_key = legend.label_column or LABELS
    index = legend.index_of(column(path, arrays, label_key, len(fea), text=True), f"{path}: key {label_key}")
    lon, lat = places(path, arrays, len(fea))
    everything = FeatureTable(
        values=fea.astype(np.float32),
        labels=index,
        class_names=legend.names,
        kind=kind,
        lon=lon,
        lat=lat,
        groups=groups(path, arrays, len(fea), None),
        country=countries(path, arrays, len(fea)),
    )
    return everything.take(index != LEFT_OUT)


def _require_alike(paths: Sequence[Path], tables: Sequence[FeatureTable]) -> None:
    first = tables[0]
    for path, table in zip(paths, tables, strict=True):
        if (table.kind, table.values.shape[1]) != (first.kind, first.values.shape[1]):
            raise MismatchError(
                f"Files of features must be of one kind, but {paths[0]} holds {first.values.shape[1]} "
                f"{first.kind} features and {path} {table.values.shape[1]} {table.kind} features. Give files "
                "of one kind."
            )


def _join(tables: Sequence[FeatureTable]) -> FeatureTable:
    """One value out of several; places, groups and countries only where all have them."""

    def joined(name: str) -> Any:
        arrays = [getattr(table, name) for table in tables]
        return None if any(array is None for array in arrays) else np.concatenate(arrays)

    names = ("values", "labels", "lon", "lat", "groups", "country")
    return replace(tables[0], **{name: joined(name) for name in names})


def _without_duplicates(table: FeatureTable) -> FeatureTable:
    _, first = np.unique(table.values, axis=0, return_index=True)
    return replace(table.take(np.sort(first)), duplicates_dropped=len(table) - len(first))
