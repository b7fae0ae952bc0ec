"""Where the data sets of a folder lie, and which of their images train and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import read_limited
from training.foundation.crop_classes import DATASETS, KnownDataset
from training.foundation.patches import UNIT, PatchDataset

SPLITS: Final = "train-test-splits"
"""Folder of the lists, as in the authors' repository."""

SIZES: Final = (10, 100, 900)
"""Images of the lists of the paper."""

LAYOUT: Final = (
    "NAME/images/*.tif, NAME/labels/*.tif (0 to 5) or NAME/original_labels/*.tif (codes of the map itself), "
    "NAME/train_10.csv, NAME/train_100.csv, NAME/train_900.csv and NAME/test.csv"
)
"""How a folder of one's own is laid out, for messages."""


@dataclass(frozen=True)
class Listed:
    """A data set, and the images that its lists name."""

    data: PatchDataset
    """Its patches."""
    training: Mapping[int, tuple[str, ...]]
    """Size in the name of a list -> file names of its images."""
    test: tuple[str, ...]
    """File names of the test images; none of them is in a list of training images."""

    def local(self, images: int) -> tuple[str, ...]:
        """The images of the list of a size; none for 0.

        Raises:
            InputError: There is no such list.
        """
        if images == 0:
            return ()
        if images not in self.training:
            there = ", ".join(map(str, sorted(self.training))) or "none"
            raise InputError(
                f"{self.data.name} has no list of {images} training images; it has lists of {there}. Choose "
                "others with --images."
            )
        return self.training[images]

    @property
    def all_training(self) -> tuple[str, ...]:
        """The images of the longest list."""
        return self.training[max(self.training)]


def find_datasets(folder: Path, names: tuple[str, ...] = (), *, scale: float = UNIT) -> dict[str, Listed]:
    """The data sets of a folder by name, in the order asked for.

    Args:
        folder: Laid out as `LAYOUT` says, or as the published data set with the authors' lists beside it.
        names: Which; empty takes all that are there.
        scale: The number in the images that stands for a reflectance of 1.

    Raises:
        InputError: A data set or one of its lists is missing, or a list trains with a test image.
    """
    own = sorted(path.name for path in folder.iterdir() if (path / "images").is_dir())
    published = [one.name for one in DATASETS.values() if (folder / one.images).is_dir()]
    there = list(dict.fromkeys([*own, *published]))
    if not there:
        raise InputError(
            f"{folder} holds no data set. It is laid out as {LAYOUT}, or as 'cropmap data harmonized-crops' "
            f"leaves it, with the authors' lists in {SPLITS}."
        )
    if missing := [name for name in names if name not in there]:
        raise InputError(f"{folder} has the data sets {', '.join(there)}; got {', '.join(missing)}.")
    return {
        name: _own(folder / name, name, scale) if name in own else _published(folder, DATASETS[name], scale)
        for name in names or there
    }


def _own(folder: Path, name: str, scale: float) -> Listed:
    labels, original = folder / "labels", folder / "original_labels"
    if labels.is_dir() == original.is_dir():
        has = "both" if labels.is_dir() else "neither"
        raise InputError(
            f"{folder} has either labels or original_labels; it has {has}. Lay it out as {LAYOUT}."
        )
    if original.is_dir() and name not in DATASETS:
        raise InputError(
            f"How the codes of original_labels become classes is known for {', '.join(DATASETS)}, not for "
            f"{name}. Translate them to 0 to 5 in a folder labels."
        )
    table = DATASETS[name].table if original.is_dir() else None
    data = PatchDataset(name, folder / "images", original if table else labels, table, scale)
    sizes = {path.stem.removeprefix("train_"): path for path in sorted(folder.glob("train_*.csv"))}
    lists = {int(size): path for size, path in sizes.items() if size.isdecimal()}
    return _listed(data, lists, folder / "test.csv")


def _published(folder: Path, known: KnownDataset, scale: float) -> Listed:
    data = PatchDataset(known.name, folder / known.images, folder / known.labels, None, scale)
    splits = folder / SPLITS
    names = {size: [f"{known.lists}_{size}.csv", f"{known.lists}_{size}_train.csv"] for size in SIZES}
    lists = {size: splits / name for size in SIZES for name in names[size] if (splits / name).is_file()}
    return _listed(data, lists, splits / f"{known.lists}_test.csv")


def _listed(data: PatchDataset, lists: Mapping[int, Path], test: Path) -> Listed:
    if not test.is_file():
        raise InputError(
            f"{data.name} has no list of test images: there is no {test}. Each line of a list is a file "
            f"name; those of the paper are in the folder {SPLITS} of "
            "github.com/yichiac/crop-type-transfer-learning."
        )
    if not lists:
        raise InputError(
            f"{data.name} has no list of training images beside {test}. Lists are laid out as {LAYOUT}."
        )
    training = {size: _names(path) for size, path in sorted(lists.items())}
    tested = _names(test)
    for size, names in training.items():
        if both := sorted(set(names) & set(tested)):
            raise InputError(
                f"No test image may train: {', '.join(both[:3])} stand in {lists[size]} and in {test}. Take "
                "them out of one of the lists."
            )
    data.require([*tested, *dict.fromkeys(name for names in training.values() for name in names)])
    return Listed(data, training, tested)


def _names(path: Path) -> tuple[str, ...]:
    """The file names of a list: the first column, without a heading that is no image."""
    try:
        lines = read_limited(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{path} is not text in UTF-8. Restore it.") from error
    names = [line.split(",")[0].strip().strip('"') for line in lines if line.strip()]
    if names and not names[0].lower().endswith((".tif", ".tiff")):
        names = names[1:]
    if strange := [name for name in names if Path(name).name != name or "\\" in name or not name]:
        raise InputError(
            f"A line of a list is the file name of an image, without folders; {path} has {strange[0]}."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path} names images more than once: {', '.join(twice[:3])}.")
    if not names:
        raise InputError(f"{path} names no image. Each of its lines is a file name.")
    return tuple(names)
