"""The samples that an explanation looks at, with the classes of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final, Unpack

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from training.explain.options import GROUP_LIMIT
from training.fit.training_data import season_of
from training.samples.crops import OTHER
from training.samples.samples import ReadingOptions, Samples, read_samples

UNKNOWN_YEAR: Final = 2001
"""Of a season whose year nobody says; only its months are shown."""

LEFT_OUT: Final = -1


@dataclass(frozen=True)
class Region:
    """Samples of one region, labelled by the classes of a model."""

    domain: str
    """`source` or `target`."""
    samples: Samples
    """Their labels are indices of the model's logits; only classes that are explained."""
    season_start: date | None
    """First day of the season, for months on an axis; None where neither files nor places say."""

    def pick(self, per_class: int, seed: int) -> Samples:
        """So many samples of each class by chance, at most `GROUP_LIMIT` in all, in the order of the file."""
        labels = self.samples.labels
        present = np.unique(labels)
        most = min(per_class, GROUP_LIMIT // len(present))
        rng = np.random.default_rng(seed)
        chosen = [rng.permutation(np.flatnonzero(labels == label))[:most] for label in present]
        return self.samples.take(np.sort(np.concatenate(chosen)))


def chosen_classes(checkpoint: Checkpoint, names: Sequence[str] | None) -> tuple[int, ...]:
    """Indices of the classes to explain, in the order of the model; None is all of them.

    Raises:
        InputError: A name is unknown to the model.
    """
    known = {_plain(crop.name): index for index, crop in enumerate(checkpoint.classes)}
    asked = list(known) if names is None else [_plain(name) for name in names]
    if unknown := [name for name in asked if name not in known]:
        raise InputError(
            f"The model has the classes {', '.join(crop.name for crop in checkpoint.classes)}; got --classes "
            f"with {', '.join(unknown)}. Name classes of the model."
        )
    return tuple(sorted({known[name] for name in asked}))


def read_region(
    domain: str,
    paths: Sequence[Path],
    checkpoint: Checkpoint,
    classes: Sequence[int],
    **reading: Unpack[ReadingOptions],
) -> Region:
    """The samples of some files that have one of the classes.

    A class that the model does not know becomes its "other", and is left out where it has none. The source
    must have samples of each class; the target of one at least.

    Args:
        domain: `source` or `target`.
        paths: One or more files, as for a training.
        checkpoint: The model; its recipe is that of the series.
        classes: Indices of its classes.
        **reading: How the files are read.

    Raises:
        InputError: There are no samples of a class.
        MismatchError: The files were made by another recipe than the model takes.
    """
    read = read_samples(paths, recipe=checkpoint.recipe, **reading)
    labels = _model_labels(read, checkpoint)
    names = tuple(crop.name for crop in checkpoint.classes)
    kept = np.isin(labels, classes)
    _require_classes(domain, paths, names, classes, labels)
    colors = tuple(crop.color for crop in checkpoint.classes)
    samples = replace(read.take(kept), labels=labels[kept], class_names=names, colors=colors)
    return Region(domain, samples, _season_start(samples))


def _plain(name: str) -> str:
    """A name as it is compared."""
    return name.strip().casefold()


def _model_labels(samples: Samples, checkpoint: Checkpoint) -> NDArray[np.int64]:
    """`(sample,)`: index of the model's class, or `LEFT_OUT`."""
    known = {_plain(crop.name): index for index, crop in enumerate(checkpoint.classes)}
    rest = known.get(OTHER, LEFT_OUT)
    table = np.array([known.get(_plain(name), rest) for name in samples.class_names], np.int64)
    return table[samples.labels]


def _require_classes(
    domain: str,
    paths: Sequence[Path],
    names: Sequence[str],
    classes: Sequence[int],
    labels: NDArray[np.int64],
) -> None:
    files = ", ".join(path.name for path in paths)
    there = [index for index in classes if (labels == index).any()]
    if not there:
        raise InputError(
            f"Source and target need classes of the model ({', '.join(names[i] for i in classes)}), but the "
            f"{domain} {files} has samples of none. Give others, or say what their labels mean (--legend)."
        )
    if domain == "source" and len(there) < len(classes):
        lacking = ", ".join(names[index] for index in classes if index not in there)
        raise InputError(
            f"Every class that is explained needs samples in the source, but {files} has none of {lacking}. "
            f"Leave it out: --classes {','.join(names[index] for index in there)}"
        )


def _season_start(samples: Samples) -> date | None:
    """What the files say; else the rule of the hemisphere in which all samples lie, of an unknown year."""
    season = samples.season or season_of(samples, UNKNOWN_YEAR)
    return season.start if season else None
