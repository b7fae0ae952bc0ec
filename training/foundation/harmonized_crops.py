"""The data set that the paper's authors published: fetched, checked, of one version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gee_pipeline.errors import InputError
from training.downloads.dataset_folder import DatasetFolder, DatasetSummary, FetchProgress, inside
from training.downloads.hub import Hub, HubFile, Version
from training.foundation.crop_classes import DATASETS

DATASET: Final = "torchgeo/harmonized_global_crops"
"""Owner and name on the Hugging Face Hub."""

RECORD: Final = "harmonized_crops.json"
"""File in the folder that says which version is fetched, its licence, and the checksums of its files."""

PARTS: Final = {name: (f"{one.images}/", f"{one.labels}/") for name, one in DATASETS.items()}
"""Name of a data set -> folders of its images and its labels."""


@dataclass(frozen=True)
class HarmonizedRequest:
    """Which data sets shall lie where."""

    to: Path
    """Folder; the files keep the folders that they are published in."""
    datasets: tuple[str, ...] = ()
    """Names of `DATASETS`; empty is all."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.datasets if name not in DATASETS]:
            raise InputError(
                f"The data sets are {', '.join(DATASETS)}; got --datasets {', '.join(unknown)}. "
                "AgriFieldNet, which is published beside them, is in no later version of the paper."
            )

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of what is asked for, data set by data set."""
        return tuple(part for name in dict.fromkeys(self.datasets or DATASETS) for part in PARTS[name])


def fetch_harmonized_crops(
    request: HarmonizedRequest,
    *,
    hub: Hub | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    progress: Callable[[FetchProgress], None] = lambda progress: None,
) -> DatasetSummary:
    """Make sure that data sets lie in a folder; whole files that do are not fetched again.

    Args:
        request: Which, and where.
        hub: The published data set on the Hub; None is that of `DATASET`.
        say: Told the licence and the size before the first byte is fetched.
        progress: Told after each block of bytes.

    Raises:
        InputError: The published data set lacks what was asked for, or cannot be used at all.
        DownloadError: The connection broke for good; the same call continues.
        CorruptFileError: A file in the folder, or the bytes that came, are not those that were published.
        DiskFullError: The disk has no room.
    """
    place = DatasetFolder(request.to, RECORD, _known, lambda version: _choose(version, request))
    return place.fetch(hub or Hub(DATASET), say=say, progress=progress)


def _known(version: Version) -> tuple[HubFile, ...]:
    """The files of the five data sets."""
    folders = tuple(part for parts in PARTS.values() for part in parts)
    files = tuple(file for file in version.files if file.path.startswith(folders) and inside(file))
    if not files:
        raise InputError(
            f"The dataset {version.dataset} has none of the folders that it was published with, such as "
            f"{folders[0]}. They may have got other names; see its page."
        )
    return files


def _choose(version: Version, request: HarmonizedRequest) -> tuple[list[HubFile], tuple[str, ...]]:
    """The files asked for; a folder without any is an error, as a data set needs images and labels."""
    by_folder = {
        folder: [file for file in version.files if file.path.startswith(folder)] for folder in request.folders
    }
    if absent := [folder for folder, files in by_folder.items() if not files]:
        raise InputError(
            f"The dataset {version.dataset} has no files in {', '.join(absent)} in the version "
            f"{version.commit[:12]}. Choose other --datasets, or delete {request.to / RECORD} to take the "
            "newest version."
        )
    return [file for files in by_folder.values() for file in files], ()
