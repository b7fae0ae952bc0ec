"""The samples of one square, and how they are kept on disk until all squares are done."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, read_sealed, require_no_pipe, write_bytes, write_sealed
from gee_pipeline.source import Spent
from training.samples.npz_file import DAMAGED_NPZ, require_room
from training.sampling.series.raw_series import RawSeries
from training.sampling.squares.grid import SampleCell

_REQUEST_FILE: Final = "request.json"
_FACTS_FILE: Final = "facts.json"

_PATIENCE: Final = 1.0
"""Seconds to wait for the lock of a folder."""


@dataclass(frozen=True)
class CellSamples:
    """What one square gave."""

    series: NDArray[np.int16]
    """`(sample, band, bin)`, whole season, reflectance x 10,000, gaps -9999."""
    labels: NDArray[np.uint8]
    """`(sample,)`, labels of CropGlobe."""
    lon: NDArray[np.float64]
    """`(sample,)`, degrees east of the pixel's centre."""
    lat: NDArray[np.float64]
    """`(sample,)`, degrees north."""
    values: NDArray[Any]
    """`(sample,)`, value of the reference map: whole numbers, or texts."""
    candidates: int
    """Points that samples could have taken."""
    left_out: NDArray[Any]
    """`(value, 2)`: values of the map that are in no class, and how many points have them; texts where the
    values are."""
    raw: RawSeries | None = None
    """Every acquisition by itself, where that was asked for."""

    def __post_init__(self) -> None:
        count = len(self.labels)
        shapes = [getattr(self, name).shape for name in ("labels", "lon", "lat", "values")]
        if shapes != [(count,)] * 4 or self.series.ndim != 3 or len(self.series) != count:
            raise InputError(
                "A square has one series, label, place and value a sample, got "
                f"{self.series.shape}, {shapes}."
            )
        if self.left_out.ndim != 2 or self.left_out.shape[1] != 2:
            raise InputError(f"Values left out come with their counts, got {self.left_out.shape}.")

    def to_bytes(self) -> bytes:
        """The content of an npz file."""
        content = io.BytesIO()
        arrays: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "raw"}
        if self.raw:
            arrays |= {f"raw_{name}": values for name, values in self.raw.arrays.items()}
        np.savez_compressed(content, **arrays)
        return content.getvalue()

    @classmethod
    def read(cls, path: Path) -> CellSamples:
        """What `to_bytes` made.

        Raises:
            CorruptFileError: The file is damaged.
        """
        require_no_pipe(path)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                require_room(path, arrays.zip)
                values = {name: arrays[name] for name in cls.__dataclass_fields__ if name != "raw"}
                own = {name.removeprefix("raw_"): arrays[name] for name in arrays if name.startswith("raw_")}
                raw = RawSeries(**own) if own else None
                return cls(**{**values, "candidates": int(values["candidates"]), "raw": raw})
        except (*ODD_VALUES, *DAMAGED_NPZ, InputError) as error:
            raise CorruptFileError(f"{path} is not a whole file of samples: {error}. Delete it.") from error


@dataclass(frozen=True)
class Facts:
    """What is known of a sampling besides its squares."""

    scenes: int | None = None
    """Scenes that touch the area within the season; None before it was looked."""
    spent: Spent = field(default_factory=Spent)
    """What all starts have spent."""
    simulated: bool = False
    """Whether the scenes say of themselves that they are simulated."""


class PartFolder:
    """Folder next to the result with the squares that are done."""

    def __init__(self, out: Path) -> None:
        """The folder of a result; nothing is made yet.

        Args:
            out: The file that the squares shall become.
        """
        self.out, self.folder = out, out.with_name(f"{out.name}.parts")

    @contextmanager
    def held(self, request: dict[str, Any]) -> Iterator[None]:
        """Hold the folder, which is of this request alone.

        Args:
            request: What decides the samples, as JSON values.

        Raises:
            InputError: Another process works in the folder, or it cannot be made.
            MismatchError: The folder holds squares of another request.
        """
        lock = _locked(self.folder, self.out)
        try:
            self._require_same(request)
            yield
        finally:
            lock.release()

    def read(self, cell: SampleCell) -> CellSamples | None:
        """The samples of a square that is done; a damaged file is deleted, so that it is made again."""
        path = self._path(cell)
        if not path.exists():
            return None
        try:
            return CellSamples.read(path)
        except CorruptFileError:
            path.unlink()
            return None

    def write(self, cell: SampleCell, samples: CellSamples) -> None:
        """Keep a square.

        Raises:
            DiskFullError: The disk has no room.
        """
        write_bytes(self._path(cell), samples.to_bytes())

    @property
    def facts(self) -> Facts:
        """What the starts so far have found and spent."""
        path = self.folder / _FACTS_FILE
        if not path.exists():
            return Facts()
        values = read_sealed(path, self._way_out)
        try:
            return Facts(values["scenes"], Spent(**values["spent"]), values.get("simulated", False))
        except ODD_VALUES as error:
            raise CorruptFileError(f"{path} is damaged ({error!r}). {self._way_out}") from error

    def keep_facts(self, facts: Facts) -> None:
        """Keep what was found and spent, former starts included."""
        write_sealed(self.folder / _FACTS_FILE, asdict(facts))

    def remove(self) -> None:
        """Delete the folder, once the result stands."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _way_out(self) -> str:
        return f"Delete {self.folder}: its squares are drawn again."

    def _path(self, cell: SampleCell) -> Path:
        return self.folder / f"{cell.name}.npz"

    def _require_same(self, request: dict[str, Any]) -> None:
        path = self.folder / _REQUEST_FILE
        if path.exists() and any(self.folder.glob("*.npz")):
            require_same_request(read_sealed(path, self._way_out), request, self.folder)
        elif not path.exists() or read_sealed(path, self._way_out) != request:
            (self.folder / _FACTS_FILE).unlink(missing_ok=True)  # nothing is lost where no square is done
            write_sealed(path, request)


def require_same_request(theirs: dict[str, Any], mine: dict[str, Any], path: Path) -> None:
    """Refuse to mix samples of two requests.

    Args:
        theirs: The request that is on disk.
        mine: The present one.
        path: Where the other lies, for the message.

    Raises:
        MismatchError: Naming what differs.
    """
    differing = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
    if differing:
        named = "; ".join(
            f"{key}: {_short(theirs.get(key))} against {_short(mine.get(key))}" for key in differing
        )
        raise MismatchError(
            f"{path} holds samples of another request, which differs in {named}. Choose another --out, or "
            "delete it to start over."
        )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _locked(folder: Path, out: Path) -> FileLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise InputError(
            f"One process at a time draws the samples of {out}, and another does. Wait for it, or choose "
            "another --out."
        ) from error
    except OSError as error:
        raise InputError(
            f"No folder can be written at {folder}: {error.strerror}. Choose another --out."
        ) from error
    return lock
