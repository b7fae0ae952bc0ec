"""CropGlobe, the published samples of the paper (Tong et al. 2025): fetched, checked, of one version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gee_pipeline.errors import InputError
from training.downloads.dataset_folder import DatasetFolder, DatasetSummary, FetchProgress, inside
from training.downloads.hub import Hub, HubFile, Version

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


def fetch_cropglobe(
    request: CropGlobeRequest,
    *,
    hub: Hub | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    progress: Callable[[FetchProgress], None] = lambda progress: None,
) -> DatasetSummary:
    """Make sure that files of CropGlobe lie in a folder; whole files that do are not fetched again.

    The folder keeps to the version of its first download, so that all its files belong together. When all
    files are there, nothing is asked of the network.

    Args:
        request: Which files, and where.
        hub: The dataset on the Hub; None is the published one.
        say: Told the licence and the size before the first byte is fetched.
        progress: Told after each block of bytes.

    Raises:
        InputError: The dataset lacks files that were asked for by country, or cannot be used at all.
        DownloadError: The connection broke for good; the same call continues.
        CorruptFileError: A file in the folder, or the bytes that came, are not those that were published.
        DiskFullError: The disk has no room.
    """
    place = DatasetFolder(request.to, RECORD, _known, lambda version: _choose(version, request))
    return place.fetch(hub or Hub(DATASET), say=say, progress=progress)


def _known(version: Version) -> tuple[HubFile, ...]:
    """The files of a version that CropGlobe was published with."""
    known = {name.format(code) for name in KINDS["all"] for code in COUNTRIES}
    files = tuple(file for file in version.files if file.path.rpartition("/")[2] in known and inside(file))
    if not files:
        raise InputError(
            f"The dataset {version.dataset} has none of the files that CropGlobe was published with, such as "
            f"{KINDS['median'][0].format(COUNTRIES[0])}. Its files may have got other names; see its page."
        )
    return files


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
