"""A map of the season on the test patches: the same pixels, the same classes, another input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.map_codes import NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from training.foundation.crop_classes import BEYOND, CLASSES, DATASETS, NO_DATA, OTHER
from training.foundation.patch_folders import Listed
from training.foundation.patch_scores import confusion_of
from training.foundation.patches import on_pixels_of, opened_raster

NAMES: Final = {
    "corn": 1,
    "maize": 1,
    "grain maize": 1,
    "soybean": 2,
    "soybeans": 2,
    "soy": 2,
    "rice": 3,
    "paddy rice": 3,
    "wheat": 4,
    "winter wheat": 4,
    "spring wheat": 4,
    "durum wheat": 4,
}
"""Class of a map, in small letters -> code of `CLASSES`; every other class is other."""

NO_ANSWER: Final = 0
"""Stands for a pixel that the map covers and says nothing of."""


@dataclass(frozen=True)
class MapOnPatches:
    """What a map says of the test patches that it covers."""

    path: Path
    """The raster."""
    covered: tuple[str, ...]
    """Test images of which the map covers every labelled pixel."""
    left_out: tuple[str, ...]
    """The other test images."""
    counts: NDArray[np.int64]
    """`(covered image, class, answer)`."""
    legend: Mapping[str, str]
    """Class of the map -> class that it counts as."""
    notices: tuple[str, ...]
    """What the reader of its row should know, one sentence each."""


def map_on_patches(place: Path, listed: Listed) -> MapOnPatches:
    """A map on the test patches of a data set.

    The map is brought onto the pixels of a patch by the nearest one. Not cropland counts as other. Where the
    map says that there were too few observations, it has no answer, which is never right.

    Args:
        place: Folder of a run, or the raster of a map with its class names.
        listed: The data set.

    Raises:
        InputError: There is no such map, it does not name its classes, or it covers no test patch.
        CorruptFileError: It cannot be read.
    """
    path = crop_map_of(place)
    with opened_raster(path) as file:
        names = class_names(path, file.tags(1) | file.tags())
        ours = codes_of(names)
        covered, counts = [], []
        for name in listed.test:
            labels = listed.data.read(name).labels
            with opened_raster(listed.data.images / name) as image:
                _require_places(path, file, image)
                found = on_pixels_of(image, path, file)
            if bool((labels > 0).any()) and not bool(
                ((found == OUTSIDE) | (found == BEYOND))[labels > 0].any()
            ):
                covered.append(name)
                counts.append(confusion_of(labels, _translated(found, ours, path)))
        tags = file.tags()
    if not covered:
        raise InputError(
            f"{path} covers none of the {len(listed.test)} test patches of {listed.data.name}. Map the area "
            "of the patches, or leave out --map."
        )
    left_out = tuple(name for name in listed.test if name not in covered)
    legend = {name: CLASSES[ours[code] - 1] for code, name in names.items() if ours[code] != NO_ANSWER}
    stacked = np.stack(counts)
    return MapOnPatches(
        path, tuple(covered), left_out, stacked, legend, tuple(_notices(listed, legend, tags, stacked))
    )


def crop_map_of(place: Path) -> Path:
    """The raster of a run folder, or the raster itself.

    Raises:
        InputError: There is no such raster, or the folder holds no finished map.
    """
    if place.is_file():
        return place
    if not place.is_dir():
        raise InputError(
            f"The map {place} does not exist. Give the folder of a run, or a GeoTIFF of classes."
        )
    for path in (place / "map" / "crop_map.tif", place / "crop_map.tif"):
        if path.is_file() and path.with_name("report.json").is_file():
            return path
    raise InputError(
        f"{place} holds no finished map. Finish the run with 'cropmap predict', or name a raster."
    )


def class_names(path: Path, tags: Mapping[str, str]) -> dict[int, str]:
    """The legend in a map's tags, `CLASS_1=corn`, without the code of what lies outside.

    Raises:
        InputError: The map names no classes.
    """
    keys = {key: key.removeprefix("CLASS_") for key in tags if key.startswith("CLASS_")}
    names = {int(code): tags[key] for key, code in keys.items() if code.isdecimal() and int(code) != OUTSIDE}
    if not names:
        raise InputError(
            f"{path} does not name its classes in tags as CLASS_1=corn. Give a map that cropmap made, or add "
            "the tags with gdal_edit.py -mo CLASS_1=corn."
        )
    return names


def codes_of(names: Mapping[int, str]) -> dict[int, int]:
    """Code of a map -> code of `CLASSES`, or `NO_ANSWER`."""
    special = {NOT_CROPLAND: OTHER, NOT_ENOUGH: NO_ANSWER}
    return special | {
        code: special.get(code, NAMES.get(name.strip().lower(), OTHER)) for code, name in names.items()
    }


def _translated(found: NDArray[np.int64], ours: Mapping[int, int], path: Path) -> NDArray[np.uint8]:
    codes, where = np.unique(found, return_inverse=True)
    if strange := [int(code) for code in codes if code not in (OUTSIDE, BEYOND) and int(code) not in ours]:
        raise InputError(f"{path} has the code {strange[0]}, which its legend does not name. Name it there.")
    table = np.array([ours.get(int(code), NO_DATA) for code in codes], np.uint8)
    return table[where].reshape(found.shape)


def _notices(
    listed: Listed, legend: Mapping[str, str], tags: Mapping[str, str], counts: NDArray[np.int64]
) -> Iterator[str]:
    name = listed.data.name
    labelled = [one for one, pixels in zip(CLASSES, counts.sum(axis=(0, 2)), strict=True) if pixels]
    if lacking := [one for one in labelled if one not in legend.values()]:
        yield f"The map of {name} has no class for {', '.join(lacking)}, so that it never finds it."
    silent = counts[..., -1].sum() / counts.sum()
    if silent:
        yield (
            f"The map of {name} has no answer on {silent:.1%} of the labelled pixels, which counts as wrong."
        )
    year = DATASETS[name].year if name in DATASETS else None
    if year and tags.get("YEAR") not in (None, str(year)):
        yield f"The map of {name} is of {tags['YEAR']}, the labels of {year}."
    if tags.get("SIMULATED") == "true":
        yield f"The map of {name} was made from simulated scenes."


def _require_places(path: Path, file: Any, image: Any) -> None:
    if file.crs is None or image.crs is None:
        without = path if file.crs is None else image.name
        raise InputError(f"A map is laid on patches by their CRS, and {without} has none. Give it one.")
