"""CropGlobe, the published samples of the paper (Tong et al. 2025): fetched, checked, of one version."""

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
from training.cropglobe.hub import Hub, HubFile, Version

DATASET: Final = "x-ytong/CropGlobe"
"""Owner and name on the Hugging Face Hub."""

COUNTRIES: Final = ("ARG", "AUS", "BEL", "CHN", "FRA", "GBR", "NLD", "USA")
"""Codes in the file names (Tong et al. 2025, table 1)."""

_SINGLE_KINDS: Final = {
    "median": ("median_S2_{}_month1-12_day5.npz",),
    "harmonic": ("harmonic_{}_month5-11.npz",),
    "presto": ("presto_embedding_S2_{}.npz", "presto_embedding_S2_{}_MayNov.npz"),
    "alphaearth": ("alphaearth_embedding_{}.npz",),
}

KINDS: Final = {
    **_SINGLE_KINDS,
    "all": ("median_S2_{}_month5-11_day5.npz", *(name for names in _SINGLE_KINDS.values() for name in names)),
}
"""Kind of features -> names of its files; "all" also has the medians that are cut to the model's months."""

RECORD: Final = "cropglobe.json"
"""File in the folder that says which version is being fetched, and the checksums of its files."""

PIECE: Final = 8 * 2**20
"""Bytes of a file on disk that are read at once."""


@dataclass(frozen=True)
class CropGlobeRequest:
    """Which files of CropGlobe shall lie where."""

    to: Path
    """Folder; the files keep the folders that they are published in."""
    kind: str = "median"
    """One of `KINDS`."""
    countries: tuple[str, ...] | None = None
    """Codes of `COUNTRIES`; None is all."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"A kind of features is one of {', '.join(KINDS)}; got --kind {self.kind}.")
        if unknown := [code for code in self.countries or () if code not in COUNTRIES]:
            raise InputError(
                f"CropGlobe has the countries {', '.join(COUNTRIES)}; got --countries {', '.join(unknown)}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files, country by country."""
        codes = dict.fromkeys(self.countries or COUNTRIES)
        return tuple(name.format(code) for code in codes for name in KINDS[self.kind])


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
class CropGlobeSummary:
    """What lies in the folder now."""

    dataset: str
    """Owner and name on the Hub."""
    commit: str
    """The version."""
    to: str
    """The folder."""
    files: tuple[LocalFile, ...]
    """Country by country."""
    absent: tuple[str, ...]
    """Names that the version does not have."""

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


def fetch_cropglobe(
    request: CropGlobeRequest,
    *,
    hub: Hub | None = None,
    progress: Callable[[FetchProgress], None] = lambda progress: None,
) -> CropGlobeSummary:
    """Make sure that files of CropGlobe lie in a folder; whole files that do are not fetched again.

    The folder keeps to the version of its first download, so that all its files belong together. When all
    files are there, nothing is asked of the network.

    Args:
        request: Which files, and where.
        hub: The dataset on the Hub; None is the published one.
        progress: Told after each block of bytes.

    Raises:
        InputError: The dataset lacks files that were asked for by country, or cannot be used at all.
        DownloadError: The connection broke for good; the same call continues.
        CorruptFileError: A file in the folder, or the bytes that came, are not those that were published.
        DiskFullError: The disk has no room.
    """
    require_writable(request.to / RECORD)
    with _alone(request.to):
        hub = hub or Hub(DATASET)
        version = _version(request.to, hub)
        files, absent = _choose(version, request)
        there = [file for file in files if _is_there(request.to, file)]
        missing = [file for file in files if file not in there]
        _require_room(request.to, missing)
        done = sum(file.size for file in there)
        for file in missing:
            for got in _fetch(hub, version.commit, file, request.to):
                progress(FetchProgress(file.path, done + got, sum(file.size for file in files)))
            done += file.size
    local = [LocalFile(str(request.to / file.path), file.size, file in missing) for file in files]
    return CropGlobeSummary(version.dataset, version.commit, str(request.to), tuple(local), absent)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".cropglobe.lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"Another process is fetching into {folder}. Wait for it, or choose another --to."
        ) from error


def _version(folder: Path, hub: Hub) -> Version:
    """The version that the folder has begun with, or the newest, which is written down."""
    record = folder / RECORD
    if record.is_file():
        return _read_record(record)
    version = hub.version()
    known = {name.format(code) for name in KINDS["all"] for code in COUNTRIES}
    files = tuple(file for file in version.files if file.path.rpartition("/")[2] in known and _inside(file))
    if not files:
        raise InputError(
            f"The dataset {version.dataset} has none of the files that CropGlobe was published with, such as "
            f"{CropGlobeRequest(folder).names[0]}. Its files may have got other names; look at its page."
        )
    version = Version(version.dataset, version.commit, files)
    write_sealed(record, asdict(version))
    return version


def _inside(file: HubFile) -> bool:
    """Whether a path stays within the folder it is joined to; that of a mirror need not."""
    path = PurePosixPath(file.path)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in file.path


def _read_record(path: Path) -> Version:
    values = read_sealed(path, "Delete it.")
    try:
        files = tuple(HubFile(f["path"], f["size"], f["checksum"]) for f in values["files"])
        return Version(values["dataset"], values["commit"], files)
    except ODD_VALUES as error:
        raise CorruptFileError(
            f"{path} does not say which version of the dataset is here: {error}. Delete it."
        ) from error


def _choose(version: Version, request: CropGlobeRequest) -> tuple[list[HubFile], tuple[str, ...]]:
    """The files asked for, and the names of those that the version lacks."""
    by_name = {file.path.rpartition("/")[2]: file for file in version.files}
    files = [by_name[name] for name in request.names if name in by_name]
    absent = tuple(name for name in request.names if name not in by_name)
    if absent and (request.countries or not files):
        raise InputError(
            f"The dataset {version.dataset} does not have {', '.join(absent)} in the version "
            f"{version.commit[:12]}; choose other --countries or another --kind, or delete "
            f"{request.to / RECORD} to take the newest version."
        )
    return files, absent


def _is_there(folder: Path, file: HubFile) -> bool:
    """Whether a file lies in the folder, whole.

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


def _fetch(hub: Hub, commit: str, file: HubFile, folder: Path) -> Iterator[int]:
    """Fetch a file from where a former attempt stopped; yields how many of its bytes are there."""
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
        "of it was kept; give the same command again. If it happens twice, look at HF_ENDPOINT and proxies."
    )
