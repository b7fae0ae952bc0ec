"""What the benchmark of patches compares: targets, weights, what trains; and the record of one training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES, read_sealed, write_sealed
from training.foundation.encoder import ENCODERS
from training.foundation.known_weights import KNOWN, RANDOM
from training.foundation.patch_folders import SIZES
from training.foundation.patch_training import PatchOptions
from training.foundation.patches import UNIT
from training.foundation.segmentation import DECODERS
from training.transfer.training_record import (
    WAY_OUT,
    damaged_record,
    digest_of,
    record_path,
    require_same_facts,
)

SETTINGS: Final = ("ood", "id")
"""What trains: the other data sets with some local images, or local images alone."""

FROZEN: Final = "frozen"
TUNED: Final = "tuned"
WEIGHTS_FACT: Final = "SHA-256 of the weights"
"""Name of that fact in a record."""

TRAININGS: Final = (FROZEN, TUNED)
"""Whether the encoder stays as it is, or is fitted too."""


@dataclass(frozen=True)
class PatchProtocol:
    """What a benchmark does; the defaults are those of the paper, but for the cache."""

    data: Path
    """Folder of the data sets."""
    targets: tuple[str, ...] = ()
    """Data sets that are tested; empty is all that are there."""
    datasets: tuple[str, ...] = ()
    """Data sets that may train or be tested; empty is all that are there."""
    weights: Mapping[str, Path | None] = field(default_factory=lambda: {RANDOM: None})
    """Names in `KNOWN` -> file; None for `random`."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Names in `weights` -> digest to expect of the file."""
    encoder: str = "resnet50"
    """One of `ENCODERS`."""
    decoder: str = "unet"
    """One of `DECODERS`."""
    trainings: tuple[str, ...] = (FROZEN,)
    """Out of `TRAININGS`."""
    settings: tuple[str, ...] = SETTINGS
    """Out of `SETTINGS`."""
    images: tuple[int, ...] = (0, *SIZES)
    """Sizes of the lists of local images that train; 0 goes with `ood` only."""
    other_images: int | None = None
    """Size of the list that each other data set trains with; None takes its longest."""
    seeds: int = 1
    """Trainings of each method."""
    options: PatchOptions = field(default_factory=PatchOptions)
    """How each is fitted."""
    views: int = 4
    """Views of each training image that a frozen encoder sees and that are kept; 0 keeps none."""
    scale: float = UNIT
    """The number in the images that stands for a reflectance of 1."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        _require_among("--weights", self.weights, KNOWN)
        _require_among("--encoder", (self.encoder,), ENCODERS)
        _require_among("--decoder", (self.decoder,), DECODERS)
        _require_among("--training", self.trainings, TRAININGS)
        _require_among("--settings", self.settings, SETTINGS)
        if without := [name for name in self.sha256 if self.weights.get(name) is None]:
            raise InputError(f"--sha256 is of a file of --weights; there is none for {', '.join(without)}.")
        if not self.images or min(self.images) < 0 or self.seeds < 1 or self.views < 0:
            raise InputError(
                "A benchmark has lists of at least 0 images, one seed and no negative number of views; got "
                f"--images {','.join(map(str, self.images))}, --seeds {self.seeds}, --views {self.views}."
            )
        if set(self.images) == {0} and "ood" not in self.settings:
            raise InputError("Without local images only --settings ood trains. Give other --images.")
        if not 0 < self.scale < math.inf:
            raise InputError(f"The scale of the images is above 0; got --scale {self.scale}.")
        if unknown := [name for name in self.targets if self.datasets and name not in self.datasets]:
            raise InputError(f"--targets are among --datasets; {', '.join(unknown)} is not.")


def _require_among(option: str, given: Any, known: Any) -> None:
    strange = [name for name in given if name not in known]
    if strange or not list(given):
        raise InputError(f"{option} is out of {', '.join(known)}; got {', '.join(strange) or 'nothing'}.")


@dataclass(frozen=True)
class PatchJob:
    """One training."""

    target: str
    """Data set that it is tested on."""
    weights: str
    """Name in `KNOWN`."""
    training: str
    """One of `TRAININGS`."""
    setting: str
    """One of `SETTINGS`."""
    images: int
    """Size of the list of local images that train."""
    seed: int
    """Chooses what is held out, the decoder's first weights, those of a random encoder, and all draws."""

    @property
    def name(self) -> str:
        """Short name, unique within a benchmark; also that of the file."""
        target = re.sub(r"[^\w-]", "-", self.target)
        return f"{target}_{self.weights}_{self.training}_{self.setting}{self.images}_seed{self.seed}"

    @property
    def method(self) -> tuple[str, str, str, str, int]:
        """All but the seed."""
        return self.target, self.weights, self.training, self.setting, self.images

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def patch_jobs(protocol: PatchProtocol, targets: tuple[str, ...]) -> Iterator[PatchJob]:
    """The trainings of a protocol, seed by seed, so that an early stop leaves all methods comparable.

    Args:
        protocol: What to do.
        targets: Names of the data sets that are tested.
    """
    for seed in range(1, protocol.seeds + 1):
        for target in targets:
            for weights in protocol.weights:
                for training in protocol.trainings:
                    for setting in protocol.settings:
                        for images in protocol.images:
                            if setting == "ood" or images:
                                yield PatchJob(target, weights, training, setting, images, seed)


@dataclass(frozen=True)
class PatchRecord:
    """What one training gave."""

    job: PatchJob
    """Which training."""
    facts: Mapping[str, Any]
    """Everything that decides the result; JSON values."""
    test: tuple[str, ...]
    """File names of the test images."""
    confusion: tuple[tuple[tuple[int, ...], ...], ...]
    """`(image, class, answer)`, counts of pixels."""
    training_images: int
    """Images that the weights were fitted to."""
    held_out_images: int
    """Images that chose the epoch."""
    best_epoch: int
    """Epoch whose weights were tested."""
    losses: tuple[tuple[float, float], ...]
    """Training loss and held-out loss of each epoch, nats a labelled pixel."""
    seconds: float
    """How long it took."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """The counts as an array."""
        return np.array(self.confusion, np.int64)

    def save(self, folder: Path) -> None:
        """Write the file of the training."""
        digest = digest_of(self.job, self.facts)
        write_sealed(record_path(folder, self.job), {"digest": digest, **asdict(self)})


def read_patch_record(folder: Path, job: PatchJob, facts: Mapping[str, Any]) -> PatchRecord | None:
    """The record of a finished training, or None where it is not finished.

    Args:
        folder: Folder of the records.
        job: Which training.
        facts: What decides the result now.

    Raises:
        MismatchError: The training was finished with something else; it is named.
        CorruptFileError: The file is damaged.
    """
    path = record_path(folder, job)
    if not path.is_file():
        return None
    values = read_sealed(path, WAY_OUT)
    try:
        digest = values.pop("digest")
        confusion = tuple(tuple(tuple(row) for row in image) for image in values["confusion"])
        losses = tuple((float(one), float(other)) for one, other in values["losses"])
        changed = {"job": PatchJob(**values["job"]), "test": tuple(values["test"])}
        record = PatchRecord(**{**values, **changed, "confusion": confusion, "losses": losses})
        intact = digest_of(record.job, record.facts) == digest and len(record.test) == len(confusion)
    except ODD_VALUES as error:
        raise damaged_record(path) from error
    if not intact:
        raise damaged_record(path)
    require_same_facts(path, record.facts, facts)
    return record
