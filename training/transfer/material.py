"""The samples of a benchmark, read and checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Clock
from training.fit.resume_state import labelled_digest, samples_digest
from training.fit.split import split_samples
from training.models.registry import MODELS
from training.samples.class_legend import ClassLegend, read_legend
from training.samples.feature_table import FeatureTable, read_features
from training.samples.npz_file import DAMAGED_NPZ
from training.samples.sample_origin import METADATA, origin_of
from training.samples.samples import Samples, read_samples
from training.transfer.alignment import Alignment, align
from training.transfer.protocol import FINEST_BIN, Protocol

Labels = Samples | FeatureTable
"""Samples of a region: series, or features of another kind."""


@dataclass(frozen=True)
class Packaged:
    """Features that come in files of their own, for the models that take them."""

    source: FeatureTable
    """Of the region that trains, with the classes of its series."""
    targets: Mapping[str, FeatureTable]
    """Code -> features of a test region."""
    digests: Mapping[str, str]
    """Code -> digest of its features and those of the source; of the source too."""


@dataclass(frozen=True)
class Material:
    """The samples of all regions, with the bins of the protocol's recipe."""

    source: Samples
    """Of the region that trains; its class names are those of the models."""
    targets: Mapping[str, Samples]
    """Code -> samples of a test region, with the classes that occur in it."""
    alignments: Mapping[str, Alignment]
    """Code -> how a region is evaluated; the source among them where it is tested too."""
    digests: Mapping[str, str]
    """Code -> digest of the samples, of the source too."""
    packaged: Mapping[str, Packaged] = field(default_factory=dict)
    """Name of a model -> its features, where it does not look at series."""

    def source_of(self, model: str) -> Labels:
        """What a model is fitted to."""
        return self.packaged[model].source if model in self.packaged else self.source

    def targets_of(self, model: str) -> Mapping[str, Labels]:
        """Code -> what a model is tested on."""
        return self.packaged[model].targets if model in self.packaged else self.targets

    def digest_of(self, model: str, code: str) -> str:
        """Digest of what a model is tested on in a region."""
        return self.packaged[model].digests[code] if model in self.packaged else self.digests[code]

    @property
    def has_places(self) -> bool:
        """Whether the source can be split by place."""
        return self.source.lon is not None


@dataclass(frozen=True)
class Parts:
    """The samples of the source for one training, no sample in two of them."""

    training: Labels
    """What the model is fitted to."""
    validation: Labels
    """What chooses the best epoch."""
    test: Labels | None
    """What tests in the region itself; None where only other regions test."""
    split: str
    """The rule, in words."""


def load(protocol: Protocol) -> Material:
    """The samples of a protocol.

    Raises:
        InputError: A file is missing, source and a target share too few classes, a class has a single
            sample, or the source cannot be split.
        CorruptFileError: A file is damaged.
    """
    paths = {code: _find(protocol.data, code, protocol.file) for code in (protocol.source, *protocol.targets)}
    legend = read_legend(protocol.legend) if protocol.legend else None
    source = _read(paths[protocol.source], protocol, legend, protocol.classes)
    targets = {code: _read(paths[code], protocol, legend) for code in protocol.targets}
    merged = protocol.classes is not None
    alignments = {
        code: align(
            code,
            _occurring(samples),
            source.class_names,
            own=protocol.target_classes.get(code),
            merged=merged,
            rules=protocol.class_rules,
        )
        for code, samples in targets.items()
    }
    for code, alignment in alignments.items():
        _require_pairs(code, targets[code], alignment)
    if protocol.in_region:
        names = source.class_names
        same = {name: name for name in names}
        text = f"{protocol.source}: all classes as they are."
        alignments = {protocol.source: Alignment(names, same, same, text), **alignments}
    digests = {code: samples_digest(one) for code, one in {protocol.source: source, **targets}.items()}
    material = Material(source, targets, alignments, digests, _packaged(protocol, legend, source, alignments))
    _require_splits(material, protocol)
    return material


def parts_of(source: Labels, protocol: Protocol, seed: int, *, in_region: bool) -> Parts:
    """The samples of one training.

    Args:
        source: All samples of the region that trains.
        protocol: How to split.
        seed: Chooses what is held out.
        in_region: Whether a part is kept for testing in the region itself.

    Raises:
        InputError: The samples cannot be split so.
    """
    rule = protocol.split_rule(seed, has_places=source.lon is not None)
    rest: Labels = source
    test: Labels | None = None
    if in_region:
        outer = split_samples(rest, rule)
        rest, test = rest.take(outer.training), rest.take(outer.validation)
    inner = split_samples(rest, rule)
    return Parts(rest.take(inner.training), rest.take(inner.validation), test, inner.description)


def coarser(samples: Samples, recipe: Recipe) -> Samples:
    """Samples whose bins are as long as those of a recipe: medians of the medians of five days.

    A coarser bin without any observation stays a gap. Days at the end that fill no bin are left off.

    Args:
        samples: With bins of five days.
        recipe: Its bins are a multiple of five days.
    """
    factor = round(recipe.mean_bin_days / samples.recipe.mean_bin_days)
    if factor == 1:
        return replace(samples, recipe=recipe)
    bins = recipe.bins_in_season
    series = samples.series[:, :, : bins * factor].reshape(*samples.series.shape[:2], bins, factor)
    return replace(samples, series=_medians(series), recipe=recipe)


def _medians(series: NDArray[np.int16]) -> NDArray[np.int16]:
    """Medians along the last axis; gaps do not count, and where all are gaps the median is one."""
    values = np.ma.masked_equal(series, NODATA)
    medians = np.ma.median(values.astype(np.float32), axis=-1)  # type: ignore[no-untyped-call]
    return np.floor(medians.filled(NODATA) + 0.5).astype(np.int16)


def _require_splits(material: Material, protocol: Protocol) -> None:
    """Draw the parts of every seed: what cannot be split is better reported now than after hours."""
    sources: list[Labels] = [material.source, *(one.source for one in material.packaged.values())]
    for seed, source in product(range(1, protocol.seeds + 1), sources):
        try:
            parts_of(source, protocol, seed, in_region=protocol.in_region)
        except InputError as error:
            raise InputError(f"{protocol.source} cannot be split with seed {seed}: {error}") from error


def _packaged(
    protocol: Protocol, legend: ClassLegend | None, source: Samples, alignments: Mapping[str, Alignment]
) -> dict[str, Packaged]:
    """The features of the models that take files of their own."""
    files = {name: MODELS[name].file for name in protocol.models}
    return {
        name: _read_packaged(protocol, file, legend, source.class_names, alignments)
        for name, file in files.items()
        if file is not None
    }


def _read_packaged(
    protocol: Protocol,
    file: str,
    legend: ClassLegend | None,
    classes: tuple[str, ...],
    alignments: Mapping[str, Alignment],
) -> Packaged:
    paths = {code: _find(protocol.data, code, file) for code in (protocol.source, *protocol.targets)}
    source = read_features([paths[protocol.source]], classes, legend=legend)
    targets = {code: read_features([paths[code]], legend=legend) for code in protocol.targets}
    for code, table in targets.items():
        if unknown := {*table.class_names} - {*alignments[code].label_to}:
            raise MismatchError(
                f"The features of a region have the classes of its series, but {paths[code]} has "
                f"{', '.join(sorted(unknown))} in addition. Take both from one version of the dataset."
            )
    own = labelled_digest(source.values, source)
    digests = {code: f"{own} {labelled_digest(table.values, table)}" for code, table in targets.items()}
    return Packaged(source, targets, {protocol.source: own, **digests})


def _find(folder: Path, code: str, file: str) -> Path:
    """The file of a region, in a folder or in one of those in it, as the published dataset has several."""
    name = file.format(code)
    found = [path for path in (folder / name, *sorted(folder.glob(f"*/{name}"))) if path.is_file()]
    if len(found) > 1:
        places = " and ".join(str(path.parent) for path in found)
        raise InputError(
            f"The samples of {code} stand in one file, but {name} lies in {places}. "
            "Name one of these folders with --data, or move the other files away."
        )
    if found:
        return found[0]
    prefix, suffix = file.split("{}")
    everywhere = [*folder.glob(file.format("*")), *folder.glob(f"*/{file.format('*')}")]
    there = {path.name.removeprefix(prefix).removesuffix(suffix) for path in everywhere}
    raise InputError(
        f"The samples of {code} are expected in {folder}, or in a folder in it, under the name {name}, which "
        f"is not there. The regions there are {', '.join(sorted(there)) or 'none'}. Choose one of them, "
        "another --data, or fetch CropGlobe with 'cropmap data cropglobe'."
    )


def _read(
    path: Path, protocol: Protocol, legend: ClassLegend | None, classes: tuple[str, ...] | None = None
) -> Samples:
    recipe = replace(_as_in_files(protocol), clock=_clock_of(path))
    given: dict[str, Any] = {"legend": legend, "recipe": recipe, "scale": protocol.scale}
    samples = read_samples([path], classes, **given)
    if classes is None and (there := _occurring(samples)) != samples.class_names:  # a legend names all it has
        samples = read_samples([path], there, **given)
    made = coarser(samples, protocol.recipe)
    if protocol.min_clear_bins is None:
        return made
    return made.take(made.observed_bins(made.recipe.window) >= protocol.min_clear_bins)


def _clock_of(path: Path) -> Clock:
    """The clock that a file of `cropmap sample` names: its series have their days already."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            said = {METADATA: arrays[METADATA]} if METADATA in arrays.files else {}
    except DAMAGED_NPZ:
        said = {}  # who reads the file says what is wrong with it
    origin = origin_of(path, said)
    return origin.recipe.clock if origin else "utc"


def _as_in_files(protocol: Protocol) -> Recipe:
    """The recipe of the files: bins of five days, whose samples serve every longer bin; or their own."""
    recipe = protocol.recipe
    if not protocol.cropglobe or isinstance(recipe.bin_days, str) or recipe.bin_days == FINEST_BIN:
        return recipe
    return replace(recipe, bin_days=FINEST_BIN, min_clear_bins=Recipe.min_clear_bins)


def _occurring(samples: Samples) -> tuple[str, ...]:
    return tuple(name for name, count in samples.counts.items() if count)


def _require_pairs(code: str, samples: Samples, alignment: Alignment) -> None:
    """Refuse a class with a single sample: its F1 is chance, and has the say of all other classes."""
    counts: dict[str, int] = {}
    for name, count in samples.counts.items():
        if (to := alignment.label_to.get(name)) is not None:
            counts[to] = counts.get(to, 0) + count
    if single := [name for name, count in counts.items() if count == 1]:
        kept = [name for name in counts if name not in single]
        raise InputError(
            f"A class is tested on two or more samples, but {', '.join(single)} has one in {code}. Merge it: "
            f"--target-classes {code}={','.join(kept)}, with other among them."
        )
