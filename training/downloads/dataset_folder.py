"""Files of a dataset on the Hub in a folder: of one version, checked, resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from filelock import FileLock, Timeout

from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError
from gee_pipeline.files import ODD_VALUES, read_sealed, require_writable, room_for, size_text, write_sealed
from training.downloads.hub import Hub, HubFile, Source, Version

PIECE: Final = 8 * 2**20
"""Bytes of a file on disk that are read at once."""


@dataclass(frozen=True)
class FetchProgress:
    """How far a download is."""

    path: str
    """File that is being fetched."""
    done: int
    """Bytes that are there, of all files."""
    total: int
    """Bytes of all files."""


@dataclass(frozen=True)
class LocalFile:
    """A file that lies in the folder and was checked."""

    path: str
    """On this computer."""
    size: int
    """Bytes."""
    fetched: bool
    """False where it was there before."""


@dataclass(frozen=True)
class DatasetSummary:
    """What lies in the folder now."""

    dataset: str
    """Owner and name on the Hub."""
    commit: str
    """The version."""
    to: str
    """The folder."""
    files: tuple[LocalFile, ...]
    """In the order in which they were asked for."""
    absent: tuple[str, ...]
    """Names that the version does not have."""
    licence: str = ""
    """As the dataset's page names it; empty where it names none, or an older record does not say."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def fetched(self) -> int:
        """Bytes of the files that were not there before."""
        return sum(file.size for file in self.files if file.fetched)

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {**asdict(self), "size": self.size, "fetched": self.fetched}


@dataclass(frozen=True)
class DatasetFolder:
    """A folder that keeps files of a dataset, all of the version of its first download."""

    folder: Path
    """Where the files lie, in the folders that they are published in."""
    record: str
    """Name of the file in it that says which version it has, and the checksums of its files."""
    keep: Callable[[Version], tuple[HubFile, ...]]
    """The files of a version that can be asked for; it raises where there are none."""
    choose: Callable[[Version], tuple[list[HubFile], tuple[str, ...]]]
    """Those that are asked for, and the names of those that the version lacks."""

    def fetch(
        self,
        hub: Hub,
        *,
        say: Callable[[str], None] = lambda sentence: None,
        progress: Callable[[FetchProgress], None] = lambda progress: None,
    ) -> DatasetSummary:
        """Make sure that the files lie in the folder; whole files that do are not fetched again.

        When all files are there, nothing is asked of the network.

        Args:
            hub: The dataset on the Hub.
            say: Told the licence and the size before the first byte is fetched.
            progress: Told after each block of bytes.

        Raises:
            InputError: The dataset lacks what was asked for, or cannot be used at all.
            DownloadError: The connection broke for good; the same call continues.
            CorruptFileError: A file in the folder, or the bytes that came, are not those that were published.
            DiskFullError: The disk has no room.
        """
        require_writable(self.folder / self.record)
        with _alone(self.folder, self.record):
            version = self._version(hub)
            files, absent = self.choose(version)
            there = [file for file in files if is_there(self.folder, file)]
            missing = [file for file in files if file not in there]
            _require_room(self.folder, missing)
            if missing:
                say(_announced(version, missing))
            done = sum(file.size for file in there)
            for file in missing:
                for got in fetch_file(hub, version.commit, file, self.folder):
                    progress(FetchProgress(file.path, done + got, sum(file.size for file in files)))
                done += file.size
        local = [LocalFile(str(self.folder / file.path), file.size, file in missing) for file in files]
        return DatasetSummary(
            version.dataset, version.commit, str(self.folder), tuple(local), absent, version.licence
        )

    def _version(self, hub: Hub) -> Version:
        """The version that the folder has begun with, or the newest, which is written down."""
        record = self.folder / self.record
        if record.is_file():
            return _read_record(record)
        version = hub.version()
        kept = Version(version.dataset, version.commit, self.keep(version), version.licence)
        write_sealed(record, asdict(kept))
        return kept


def inside(file: HubFile) -> bool:
    """Whether a path stays within the folder it is joined to; that of a mirror need not."""
    path = PurePosixPath(file.path)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in file.path


def _announced(version: Version, missing: Sequence[HubFile]) -> str:
    licence = f"under the licence {version.licence}" if version.licence else "whose page names no licence"
    count = f"{len(missing):,} file{'' if len(missing) == 1 else 's'}"
    size = size_text(sum(file.size for file in missing))
    return f"Fetching {count}, {size}, of {version.dataset}, {licence}."


@contextmanager
def _alone(folder: Path, record: str) -> Iterator[None]:
    try:
        with FileLock(folder / f".{Path(record).stem}.lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"Another process is fetching into {folder}. Wait for it, or choose another --to."
        ) from error


def _read_record(path: Path) -> Version:
    values = read_sealed(path, "Delete it.")
    try:
        files = tuple(HubFile(f["path"], f["size"], f["checksum"]) for f in values["files"])
        return Version(values["dataset"], values["commit"], files, values.get("licence", ""))
    except ODD_VALUES as error:
        raise CorruptFileError(
            f"{path} does not say which version of the dataset is here: {error}. Delete it."
        ) from error


def is_there(folder: Path, file: HubFile) -> bool:
    """Whether a file lies in the folder, whole.

    Args:
        folder: Where it would be, under its path.
        file: Which.

    Raises:
        CorruptFileError: Another file has its name; it may be somebody's work, so it is not overwritten.
    """
    path = folder / file.path
    if not path.is_file():
        return False
    if path.stat().st_size != file.size or not file.fits(_fed(file, path)):
        raise CorruptFileError(
            f"{path} is not the file that was published: its checksum is not {file.checksum}. Delete it or "
            "move it away, and give the same command again."
        )
    return True


def _fed(file: HubFile, path: Path) -> Any:
    """A hasher that has seen what a file on disk holds."""
    hasher = file.hasher()
    with path.open("rb") as content:
        while piece := content.read(PIECE):
            hasher.update(piece)
    return hasher


def _part(folder: Path, file: HubFile) -> Path:
    """Where a file grows; the name holds the checksum, so another version never continues it."""
    path = folder / file.path
    return path.with_name(f"{path.name}.{file.checksum.split(':')[1][:12]}.part")


def _require_room(folder: Path, files: Sequence[HubFile]) -> None:
    parts = [_part(folder, file) for file in files]
    needed = sum(file.size for file in files) - sum(p.stat().st_size for p in parts if p.is_file())
    if needed > (free := shutil.disk_usage(folder).free):
        raise DiskFullError(
            f"The disk that holds {folder} has {size_text(free)} free, but {size_text(needed)} are needed. "
            "Free some space or choose another --to; what is there already is kept."
        )


def fetch_file(hub: Source, commit: str, file: HubFile, folder: Path) -> Iterator[int]:
    """Fetch a file from where a former attempt stopped; yields how many of its bytes are there.

    Args:
        hub: Where it is.
        commit: Of the version that has it.
        file: Which.
        folder: Where it goes, under its path.

    Raises:
        DownloadError: The connection broke for good; the same call continues.
        CorruptFileError: The bytes that came are not those that were published.
        DiskFullError: The disk has no room.
    """
    part = _part(folder, file)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    if part.stat().st_size > file.size:
        part.write_bytes(b"")
    hasher, got = _fed(file, part), part.stat().st_size
    with room_for(folder / file.path, file.size - got), part.open("ab") as content:
        for block in hub.read(commit, file, got):
            content.write(block)
            hasher.update(block)
            got += len(block)
            yield got
    _require_published(file, hasher, got, part)
    part.replace(folder / file.path)


def _require_published(file: HubFile, hasher: Any, got: int, part: Path) -> None:
    if got == file.size and file.fits(hasher):
        return
    part.unlink()
    raise CorruptFileError(
        f"What came for {file.path} is not what was published: the checksum is not {file.checksum}. Nothing "
        "of it was kept; give the same command again. If it happens twice, look at "
        "proxies and at the mirror, if one is named."
    )
