"""Patches: images of one date and their labels on the same pixels, read one by one."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.warp import Resampling, reproject, transform_bounds
from rasterio.windows import Window, from_bounds

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import in_words, require_no_pipe_beside
from training.foundation.crop_classes import BEYOND, CLASSES, NO_DATA, ClassTable

BANDS: Final = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A"),
    *("B09", "B10", "B11", "B12"),
)
"""Bands of an image, in order: level 1C of Sentinel-2, all thirteen."""

SHRINKING: Final = 32
"""An encoder halves an image five times: its sides are multiples of this."""

UNIT: Final = 10_000.0
"""The number that stands for a reflectance of 1 in level 1C."""


@dataclass(frozen=True)
class Patch:
    """One image with its labels."""

    image: NDArray[np.float32]
    """`(band, y, x)` in the order of `BANDS`, reflectance times 10,000."""
    labels: NDArray[np.uint8]
    """`(y, x)`: 0 no data, 1 to 5 as `CLASSES`."""

    @property
    def digest(self) -> str:
        """Sixteen hex digits of image and labels."""
        return hashlib.sha256(self.image.tobytes() + self.labels.tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class PatchDataset:
    """Patches of a data set, by the names of their files."""

    name: str
    """Name of the data set."""
    images: Path
    """Folder of the images, GeoTIFFs."""
    labels: Path
    """Folder of the labels: files of the same names, or any rasters that cover the images."""
    table: ClassTable | None = None
    """How the labels' codes become the classes; None where they are 0 to 5 already."""
    scale: float = UNIT
    """The number in the images that stands for a reflectance of 1."""

    def read(self, name: str) -> Patch:
        """One patch.

        Args:
            name: File name of the image.

        Raises:
            InputError: The image has other bands or sides than can be used, or no labels.
            CorruptFileError: A raster cannot be read.
        """
        path = self.images / name
        with opened_raster(path) as file:
            _require_sides(path, file)
            image = np.asarray(file.read(_band_numbers(path, file)), np.float32)
            labels = self._labels(name, file)
        image *= UNIT / self.scale
        return Patch(np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0), labels)

    def require(self, names: Sequence[str]) -> None:
        """Refuse names whose images are not there.

        Raises:
            InputError: Some are missing.
        """
        if missing := [name for name in names if not (self.images / name).is_file()]:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise InputError(
                f"The lists of {self.name} name images that {self.images} does not hold: "
                f"{', '.join(missing[:3])}{more}. Fetch them, or take them out of the lists."
            )

    def _labels(self, name: str, image: Any) -> NDArray[np.uint8]:
        same = self.labels / name
        rasters = [same] if same.is_file() else self._covering(name, image)
        codes = np.full(image.shape, BEYOND, np.int64)
        for path in rasters:
            with opened_raster(path) as file:
                found = on_pixels_of(image, path, file)
                if self.table is None and file.nodata is not None:
                    found[found == file.nodata] = NO_DATA
            codes = np.where(codes == BEYOND, found, codes)
        if self.table is not None:
            return self.table.harmonised(codes)
        return _harmonised_already(self, name, codes)

    def _covering(self, name: str, image: Any) -> list[Path]:
        """The rasters of the folder that an image of another name lies on."""
        if image.crs is None:
            raise InputError(
                f"{self.labels} has no labels named {name}, and the image has no CRS to look by."
            )
        outline = transform_bounds(image.crs, "EPSG:4326", *image.bounds)
        found = [path for path, box in self._outlines if _meet(box, outline)]
        if not found:
            raise InputError(
                f"{self.labels} has no labels for {self.images / name}: no file of that name, and "
                "no raster that covers it. Leave the image out of the lists, or add its labels."
            )
        return found

    @cached_property
    def _outlines(self) -> list[tuple[Path, tuple[float, float, float, float]]]:
        """West, south, east and north of each raster of labels, degrees."""
        found = []
        for path in sorted(self.labels.rglob("*.tif")):
            with opened_raster(path) as file:
                if file.crs is not None:
                    found.append((path, transform_bounds(file.crs, "EPSG:4326", *file.bounds)))
        return found


def opened_raster(path: Path) -> Any:
    """A raster, open for reading, to be closed by `with`.

    Raises:
        CorruptFileError: It cannot be read as one.
    """
    require_no_pipe_beside(path)
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise CorruptFileError(
            f"{path} cannot be read as a raster: {in_words(error)}. Restore it."
        ) from error


def _require_sides(path: Path, file: Any) -> None:
    if file.height % SHRINKING or file.width % SHRINKING:
        raise InputError(
            f"The sides of a patch are multiples of {SHRINKING} pixels, as 256; {path} has {file.height} x "
            f"{file.width}. Cut the images again."
        )


def _band_numbers(path: Path, file: Any) -> list[int]:
    """Numbers of the bands of an image in the order of `BANDS`, by their descriptions where it has them."""
    told = [_plain_band(text or "") for text in file.descriptions]
    if set(BANDS) <= set(told):
        return [told.index(band) + 1 for band in BANDS]
    named = [band for band in told if band]
    if len(named) == file.count or file.count != len(BANDS):
        has = ", ".join(named) if named else f"{file.count} bands"
        raise InputError(
            f"An image has the {len(BANDS)} bands of level 1C, {BANDS[0]} to {BANDS[-1]} with B10; {path} "
            f"has {has}. Fetch the images again with all bands."
        )
    return list(range(1, file.count + 1))


def _plain_band(text: str) -> str:
    """`B02` of `B2` or `b02`; empty of a text that names no band."""
    match = re.fullmatch(r"B0?(\d{1,2})(A?)", text.strip().upper())
    if not match:
        return ""
    return f"B{match[1]}A" if match[2] else f"B{int(match[1]):02d}"


def on_pixels_of(image: Any, path: Path, file: Any) -> NDArray[np.int64]:
    """Codes of a raster on the pixels of an image, by the nearest; `BEYOND` where it does not reach.

    Args:
        image: The image, open; `(y, x)` of it are those of the result.
        path: The raster.
        file: The raster, open. Its own nodata value is not looked at.

    Raises:
        InputError: There is no CRS to place it by.
    """
    if file.shape == image.shape and (
        file.crs is None
        or image.crs is None
        or (file.crs == image.crs and file.transform.almost_equals(image.transform, 1e-6))
    ):
        return np.asarray(file.read(1)).astype(np.int64)
    if file.crs is None or image.crs is None:
        raise InputError(f"{path} has other sides than its image and no CRS to place it by. Give it one.")
    window = _window_around(image, file)
    found = np.full(image.shape, np.nan)  # codes of 10 digits do not fit in 32 bits
    if window is not None:
        reproject(
            np.asarray(file.read(1, window=window)).astype(np.float64),
            found,
            src_transform=file.window_transform(window),
            src_crs=file.crs,
            dst_transform=image.transform,
            dst_crs=image.crs,
            resampling=Resampling.nearest,
            init_dest_nodata=False,
        )
    return np.where(np.isnan(found), BEYOND, found).astype(np.int64)


def _window_around(image: Any, file: Any) -> Window | None:
    """The part of a raster that an image lies on, two pixels wider; None where they do not meet."""
    bounds = transform_bounds(image.crs, file.crs, *image.bounds)
    exact = from_bounds(*bounds, transform=file.transform)
    top, left = math.floor(exact.row_off) - 2, math.floor(exact.col_off) - 2
    bottom = math.ceil(exact.row_off + exact.height) + 2
    right = math.ceil(exact.col_off + exact.width) + 2
    top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, file.height), min(right, file.width)
    return Window(left, top, right - left, bottom - top) if top < bottom and left < right else None


def _harmonised_already(data: PatchDataset, name: str, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
    codes = np.where(codes == BEYOND, NO_DATA, codes)
    if strange := sorted({int(code) for code in np.unique(codes)} - set(range(len(CLASSES) + 1))):
        raise InputError(
            f"Labels are 0 (no data) to {len(CLASSES)} ({', '.join(CLASSES)}); those of {name} in "
            f"{data.labels} hold {', '.join(map(str, strange[:5]))}. Where they are codes of the map itself, "
            "name the folder original_labels."
        )
    return codes.astype(np.uint8)


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
