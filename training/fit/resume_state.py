"""Where an interrupted training stands: a folder next to the checkpoint, until that is written."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import read_limited, read_sealed, write_bytes, write_sealed
from training.fit.split import Labelled
from training.samples.samples import Samples

FACTS_FILE: Final = "training.json"
STATE_FILE: Final = "state.pt"
LOCK_FILE: Final = "training.lock"


LARGEST_STATE: Final = 2**32
"""Most bytes of a state: 4 GiB, a hundred times that of the largest network."""

_HEADER_BYTES: Final = 65
"""A SHA-256 in hex digits and a line end, before the state itself."""

_WAY_OUT: Final = "Start the training over with --restart."


@dataclass(frozen=True)
class ResumeState:
    """A folder that keeps the state of one training; who continues it must want the same training."""

    folder: Path
    """Made when the first state is kept."""
    facts: dict[str, Any]
    """JSON values by name: everything that decides the result. All must be equal to continue."""
    unnamed: dict[str, Any] = field(default_factory=dict)
    """What held in the states of earlier versions, which did not name it yet."""

    def read(self) -> dict[str, Any] | None:
        """The last state kept, on the CPU, or None where the training has not begun.

        Raises:
            MismatchError: The folder is of a training with other options or data; they are named.
            CorruptFileError: A file of the folder is damaged.
        """
        path = self.path
        if not path.is_file():
            return None
        self._require_same(self.unnamed | read_sealed(self.folder / FACTS_FILE, _WAY_OUT))
        with intact(path):
            state: dict[str, Any] = torch.load(
                io.BytesIO(_verified(read_limited(path, LARGEST_STATE))),
                map_location="cpu",
                weights_only=True,
            )
        return state

    @property
    def path(self) -> Path:
        """File of the state."""
        return self.folder / STATE_FILE

    def keep(self, state: dict[str, Any]) -> None:
        """Write a state: tensors, numbers, texts, lists and dictionaries of them.

        Raises:
            DiskFullError: The disk has no room; the former state stays.
        """
        if not (self.folder / STATE_FILE).exists():
            write_sealed(self.folder / FACTS_FILE, self.facts)
        buffer = io.BytesIO()
        buffer.write(bytes(_HEADER_BYTES))
        torch.save(state, buffer)
        content = buffer.getbuffer()
        content[:_HEADER_BYTES] = _header(content[_HEADER_BYTES:])
        write_bytes(self.folder / STATE_FILE, content)

    def _require_same(self, former: dict[str, Any]) -> None:
        names = sorted(former.keys() | self.facts.keys())
        changed = [name for name in names if former.get(name) != self.facts.get(name)]
        if changed:
            pairs = (f"{name}: {_text(former, name)} then, {_text(self.facts, name)} now" for name in changed)
            raise MismatchError(
                f"{self.folder} holds an unfinished training of something else; a training continues only "
                f"with the same options and data. Different are {'; '.join(pairs)}. Give the former options "
                "to continue, --restart to start over, or another --out."
            )


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Turn whatever a state raises where it is read or taken up into damage: no other cause is left.

    Raises:
        CorruptFileError: The state is not whole, or not one of this training.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # torch raises many kinds for a state that is not what it seems
        reason = str(error).split("\n")[0] or type(error).__name__
        raise CorruptFileError(f"{path} is damaged: {reason}. {_WAY_OUT}") from error


def _header(content: memoryview | bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


def _verified(content: bytes) -> bytes:
    """A state without its digest; those of earlier versions begin as zip files do, and have none."""
    if content.startswith(b"PK"):
        return content
    header, state = content[:_HEADER_BYTES], content[_HEADER_BYTES:]
    if header != _header(state):
        raise ValueError("it does not have the digest that was written with it")
    return state


def forget(folder: Path) -> None:
    """Remove what resume states keep in a folder and below: the training is over, or shall start over."""
    for name in (STATE_FILE, FACTS_FILE):  # in this order: a state is never left without its facts
        for path in folder.rglob(name):
            path.unlink(missing_ok=True)


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Hold the folder of one resume state or several; it is removed at the end where none is left in it.

    Raises:
        InputError: Another process trains the same checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=1)
    except Timeout as error:
        raise InputError(
            f"Another process trains with {folder} now. Wait for it, end it, or choose another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()
        if not any(folder.rglob(STATE_FILE)):
            shutil.rmtree(folder, ignore_errors=True)


def samples_digest(samples: Samples) -> str:
    """Sixteen hex digits that are equal exactly when series, labels, classes, places and groups are."""
    return labelled_digest(samples.series, samples)


def labelled_digest(features: NDArray[Any], samples: Labelled) -> str:
    """Sixteen hex digits that are equal exactly when features, labels, classes, places and groups are.

    Args:
        features: `(sample, ...)`.
        samples: What the features belong to.
    """
    digest = hashlib.sha256(repr((features.shape, samples.class_names)).encode())
    for values in (features, samples.labels, samples.lon, samples.lat, samples.groups):
        digest.update(b"-" if values is None else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]


def _text(facts: dict[str, Any], name: str) -> str:
    return str(facts[name]) if name in facts else "none"
