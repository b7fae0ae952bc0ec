"""Where there is cropland: a raster whose other pixels are never sent to the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.incoming.addresses import has_secrets, is_endless, without_secrets

_FORM = "Write file.tif for every non-zero value, or file.tif:40 or file.tif:1,2,5-9 for some values."


@dataclass(frozen=True)
class CroplandMask:
    """A raster in any CRS and the values of it that are cropland."""

    path: str
    """File, or anything else that rasterio opens."""
    values: tuple[tuple[int, int], ...] = ()
    """Spans of values, first and last included; empty means every value but 0."""

    def __post_init__(self) -> None:
        for first, last in self.values:
            if first > last:
                raise InputError(f"A span of cropland values rises, got {first}-{last}. {_FORM}")

    def __str__(self) -> str:
        """The text that `parse` reads back."""
        values = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in self.values)
        return f"{self.path}:{values}" if values else self.path

    @classmethod
    def parse(cls, text: str) -> CroplandMask:
        r"""The mask that `file.tif` or `file.tif:values` names; `C:\mask.tif` and URLs keep their colons.

        Args:
            text: For example `worldcover.tif:40` or `mask.tif:1,2,5-9`.

        Raises:
            InputError: The values are not whole numbers, or no file is named.
        """
        head, colon, tail = text.rpartition(":")
        has_values = bool(colon) and not _belongs_to_path(head, tail) and not Path(text).is_file()
        path = head if has_values else text
        if not path.strip():
            raise InputError(f"A cropland mask needs a file, got {text!r}. {_FORM}")
        # Workers of a run may have another working directory.
        whole = path if "://" in path or path.startswith("/vsi") else str(Path(path).absolute())
        if has_secrets(whole):
            raise InputError(
                f"A run keeps the address of its cropland mask; {without_secrets(whole)} came with a user or "
                "query, which may be a password or token. Save the file here and give its path, or give "
                "GDAL the credentials by its environment variables."
            )
        return cls(whole, _parse_values(tail) if has_values else ())

    def require_overlap(self, aoi: Aoi) -> None:
        """Refuse a mask that cannot say anything about an area.

        Raises:
            InputError: The file is missing, has no CRS or lies elsewhere.
            CorruptFileError: The file cannot be read as a raster.
        """
        with self._open() as raster:
            if raster.crs is None:
                raise InputError(
                    f"The cropland mask {self.path} has no CRS, so its pixels have no place. Assign one, for "
                    "example with gdal_edit.py -a_srs EPSG:32633 mask.tif."
                )
            crs, bounds = pyproj.CRS.from_user_input(raster.crs.to_wkt()), raster.bounds
        if aoi.to(crs).intersection(shapely.box(*bounds)).area == 0:
            raise InputError(
                f"The cropland mask {self.path} does not overlap the area: it spans "
                f"{', '.join(f'{v:g}' for v in bounds)} in {crs.name}. Give a mask of this place with "
                "--cropland-mask, or omit it to map every pixel."
            )

    def read(self, geobox: GeoBox) -> NDArray[np.bool_]:
        """Mask `(y, x)`: True where the nearest pixel of the raster is cropland.

        Nodata and places outside the raster are not cropland.

        Args:
            geobox: Pixels of a cell.

        Raises:
            CorruptFileError: The raster cannot be read.
        """
        try:
            with self._open() as raster:
                values, valid = nearest_values(raster, geobox)
                return self._select(values) & valid
        except RasterioError as error:
            raise CorruptFileError(_damaged(self.path, error)) from error

    def describe(self) -> dict[str, Any]:
        """What identifies the mask, as JSON values: its place, its values and the header of its raster.

        Raises:
            InputError: The file is missing.
            CorruptFileError: The file cannot be read as a raster.
        """
        with self._open() as raster:
            header = [str(raster.crs), list(raster.transform)[:6], list(raster.shape), raster.dtypes[0]]
        local = Path(self.path)
        size = local.stat().st_size if local.is_file() else None
        return {
            "path": self.path,
            "values": [list(span) for span in self.values],
            "header": header,
            "size": size,
        }

    def _select(self, raster: NDArray[Any]) -> NDArray[np.bool_]:
        if not self.values:
            return (raster != 0) & ~np.isnan(raster)
        spans = [(raster >= first) & (raster <= last) for first, last in self.values]
        return np.logical_or.reduce(spans)

    def _open(self) -> Any:
        local = "://" not in self.path and not self.path.startswith("/vsi")
        if local and not Path(self.path).exists():
            raise InputError(f"The cropland mask {self.path} does not exist. {_FORM}")
        if local and is_endless(self.path):
            raise InputError(f"The cropland mask {self.path} is a pipe or a device, not a file. {_FORM}")
        try:
            return rasterio.open(self.path)
        except RasterioError as error:
            raise CorruptFileError(_damaged(self.path, error)) from error


def nearest_values(raster: DatasetReader, geobox: GeoBox) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The nearest value of a raster's first band to each pixel, and where it has one, `(y, x)` each.

    Args:
        raster: An open raster in any CRS.
        geobox: The pixels.
    """
    height, width = geobox.shape
    with WarpedVRT(
        raster,
        crs=str(geobox.crs),
        transform=geobox.transform,
        width=width,
        height=height,
        resampling=Resampling.nearest,
        # Without nodata or alpha, GDAL fills the outside with 0 and calls it valid.
        add_alpha=raster.nodata is None and ColorInterp.alpha not in raster.colorinterp,
    ) as warped:
        return warped.read(1), warped.read_masks(1) > 0


def _belongs_to_path(head: str, tail: str) -> bool:
    """Whether the last colon is part of the path: a drive letter, a URL's scheme or port."""
    drive = re.fullmatch(r"[A-Za-z]", head) is not None
    return drive or tail.startswith("//") or ("://" in head and "/" in tail)


def _parse_values(text: str) -> tuple[tuple[int, int], ...]:
    spans = [re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part) for part in text.split(",")]
    found = [(int(span[1]), int(span[2] or span[1])) for span in spans if span]
    if len(found) != len(spans):
        raise InputError(f"Cropland values are whole numbers and spans of them, got {text!r}. {_FORM}")
    return tuple(found)


def _damaged(path: str, error: Exception) -> str:
    return f"The cropland mask {path} cannot be read as a raster: {error}. Restore the file or give another."
