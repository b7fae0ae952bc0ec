"""One finished training of a benchmark as a small JSON file, and what must be equal to believe it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, MismatchError
from gee_pipeline.files import ODD_VALUES, read_sealed, write_sealed

WAY_OUT: Final = "Delete it, and it is trained again."
"""What to do about a damaged record."""


RENAMED: Final = {"code": "code-bins"}
"""Augmentations that were another operation in version 0.1.0, whose records are not taken for theirs."""

NOT_ADAPTED: Final = "none"


class NamedJob(Protocol):
    """One training of any benchmark."""

    @property
    def name(self) -> str:
        """Short name, unique within a benchmark; also that of the file."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""


@dataclass(frozen=True)
class Job:
    """One training: a model, how its samples are changed, and a seed."""

    model: str
    """Name in `training.models.registry.MODELS`."""
    augmentation: str
    """One of `protocol.AUGMENTATIONS`."""
    seed: int
    """Chooses the split, the first weights and all draws."""
    in_region: bool = False
    """Whether the source tests it, so that a further part of it does not train."""
    adaptation: str = NOT_ADAPTED
    """`none`, or how the network is adapted to a target, one of `training.adaptation.options.METHODS`."""
    target: str = ""
    """Code of the region it is adapted to; the others are not tested. Empty where it is not adapted."""

    @property
    def name(self) -> str:
        """Short name, unique within a benchmark; also that of the file."""
        augmentation = RENAMED.get(self.augmentation, self.augmentation)
        adapted = f"_{self.adaptation}_to-{self.target}" if self.target else ""
        return f"{self.model}_{augmentation}{adapted}_seed{self.seed}{'_in-region' if self.in_region else ''}"

    @property
    def method(self) -> tuple[str, str, str]:
        """Model, augmentation and adaptation."""
        return self.model, self.augmentation, self.adaptation

    def regions_of(self, source: str, targets: tuple[str, ...]) -> tuple[str, ...]:
        """Codes of the regions that test it.

        Args:
            source: The region that trains.
            targets: The test regions of the benchmark.
        """
        if self.in_region:
            return (source,)
        return (self.target,) if self.target else targets

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; without those of an adaptation where there is none, as before."""
        values = asdict(self)
        if not self.target:
            del values["adaptation"], values["target"]
        return values


@dataclass(frozen=True)
class Evaluation:
    """What a model predicted in a region, before classes are aligned."""

    samples: str
    """Digest of the samples."""
    names: tuple[str, ...]
    """Classes of the rows: all that occur in the region."""
    confusion: tuple[tuple[int, ...], ...]
    """`(class of the region, class of the model)`, counts."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """The counts as an array."""
        return np.array(self.confusion, np.int64)


@dataclass(frozen=True)
class TrainingRecord:
    """What one training gave."""

    job: Job
    """Which training."""
    facts: Mapping[str, Any]
    """Everything that decides the result and is the same for all trainings of the benchmark; JSON values."""
    names: tuple[str, ...]
    """Classes of the model."""
    regions: Mapping[str, Evaluation]
    """Code of a region -> what the model said there."""
    split: str
    """What was held out of the source, in words."""
    training_samples: int
    """Samples the model was fitted to."""
    held_out_accuracy: float
    """Overall accuracy on the held-out part of the source, which chose the epoch; 0 to 1."""
    held_out_macro_f1: float
    """Macro-F1 there."""
    best_epoch: int | None
    """Epoch whose weights were taken; None for a forest."""
    seconds: float
    """How long it took."""

    @property
    def digest(self) -> str:
        """Sixteen hex digits that are equal exactly when job and facts are."""
        return digest_of(self.job, self.facts)

    def save(self, folder: Path) -> None:
        """Write the file of the training."""
        write_sealed(
            record_path(folder, self.job), {"digest": self.digest, **asdict(self), "job": self.job.to_dict()}
        )


def digest_of(job: NamedJob, facts: Mapping[str, Any]) -> str:
    """Sixteen hex digits of what decides the result of a training."""
    text = json.dumps([job.to_dict(), dict(facts)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def record_path(folder: Path, job: NamedJob) -> Path:
    """Path of the file of a training."""
    return folder / f"{job.name}.json"


def read_record(
    folder: Path, job: Job, facts: Mapping[str, Any], regions: Mapping[str, str]
) -> TrainingRecord | None:
    """The record of a finished training, or None where it is not finished or lacks a region.

    Args:
        folder: Folder of the records.
        job: Which training.
        facts: What decides the result now.
        regions: Code of each region to test in -> digest of its samples.

    Raises:
        MismatchError: The training was finished with something else; it is named.
        CorruptFileError: The file is damaged.
    """
    path = record_path(folder, job)
    if not path.is_file():
        return None
    record = _parse(path)
    require_same_facts(path, record.facts, facts)
    wanted = regions.items()
    complete = all(
        code in record.regions and record.regions[code].samples == digest for code, digest in wanted
    )
    return record if complete else None


def _parse(path: Path) -> TrainingRecord:
    values = read_sealed(path, WAY_OUT)
    try:
        digest = values.pop("digest")
        regions = {
            code: Evaluation(r["samples"], tuple(r["names"]), tuple(map(tuple, r["confusion"])))
            for code, r in values["regions"].items()
        }
        changed = {"job": Job(**values["job"]), "names": tuple(values["names"]), "regions": regions}
        record = TrainingRecord(**{**values, **changed})
        intact = record.digest == digest
    except ODD_VALUES as error:
        raise damaged_record(path) from error
    if not intact:
        raise damaged_record(path)
    return record


def damaged_record(path: Path) -> CorruptFileError:
    """What to raise where a file is not the record of a training."""
    return CorruptFileError(f"{path} is not the record of a training. {WAY_OUT}")


def require_same_facts(path: Path, former: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Refuse the record of a training that was made under other facts.

    Args:
        path: The record.
        former: What decided its result.
        facts: What decides it now.

    Raises:
        MismatchError: They differ; the differences are named.
    """
    changed = [name for name in sorted({*former, *facts}) if former.get(name) != facts.get(name)]
    if changed:
        pairs = (
            f"{name}: {former.get(name, 'none')} then, {facts.get(name, 'none')} now" for name in changed
        )
        raise MismatchError(
            f"{path.parent.parent} holds a benchmark of something else; one folder is for one protocol and "
            f"one source. Different are {'; '.join(pairs)}. Give the former options to continue, --restart "
            "to start over, or another --out."
        )
