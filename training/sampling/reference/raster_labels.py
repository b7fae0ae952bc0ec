"""The labels of a raster on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from shapely.geometry.base import BaseGeometry

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import require_no_pipe
from inference.run.cropland import CroplandMask, nearest_values
from training.samples.crops import NAMES
from training.sampling.reference.class_table import LARGEST_VALUE, NO_CLASS, OTHER_CODE, ClassTable
from training.sampling.reference.square_labels import SquareLabels, blocks, pure_at_points
from training.sampling.squares.grid import SampleCell


@dataclass(frozen=True)
class RasterLabels:
    """A raster in any CRS, of which each 10 m pixel takes the nearest value."""

    path: Path
    """The file."""
    table: ClassTable
    """What its values mean."""
    aoi: Aoi
    """The area that it has to show."""
    cropland: CroplandMask | None = None
    """Where land without a class is "other"; None where it has none then."""

    def require(self) -> None:
        """Look at file, CRS, place and nodata value.

        Raises:
            InputError: The file is missing, has no CRS, lies elsewhere, or its nodata value is a class; the
                table takes texts, or asks for cropland that is not given.
            CorruptFileError: It cannot be read as a raster.
        """
        require_numbers(self.table, str(self.path))
        require_cropland(self.table, self.cropland, self.aoi)
        with self._opened() as raster:
            if raster.crs is None:
                raise InputError(
                    f"The reference {self.path} has no CRS, so its pixels have no place. Assign one, for "
                    "example with gdal_edit.py -a_srs EPSG:32633 map.tif."
                )
            if (bands := sum(kind != ColorInterp.alpha for kind in raster.colorinterp)) > 1:
                raise InputError(
                    f"The reference {self.path} has {bands} bands, and a map of classes has one. Take it out "
                    "with gdal_translate -b NUMBER map.tif one.tif."
                )
            if not _touches(raster, self.aoi.lonlat):
                raise InputError(
                    f"The reference {self.path} does not overlap the area. Give one of this place."
                )
            self._require_classes_seen(raster.nodata)

    def read(self, cell: SampleCell, spacing: int, buffer: float) -> SquareLabels:
        """The labels of a square.

        Raises:
            CorruptFileError: The raster cannot be read there.
            InputError: A value is no whole number of 32 bits.
        """
        lattice = cell.lattice(spacing)
        codes = np.zeros(lattice.shape, np.uint8)
        values, known = np.zeros(lattice.shape, np.int32), np.zeros(lattice.shape, np.bool_)
        for block in blocks(lattice, spacing, buffer):
            at = block.rows, block.cols
            found, valid = self._values(block.geobox)
            classes = self._classes(found, valid)
            if self.cropland is not None:
                classes = with_cropland(classes, self.cropland, block.geobox)
            codes[at] = pure_at_points(classes, block, buffer)
            values[at], known[at] = block.at_points(found), block.at_points(valid)
        return SquareLabels(codes, values, known)

    def _values(self, geobox: GeoBox) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Whole numbers `(y, x)`, 0 where there are none, and where there are."""
        with self._opened() as raster:
            values, valid = nearest_values(raster, geobox)
        valid = valid & np.isfinite(values)
        values = np.where(valid, values, 0)
        if (values != np.rint(values)).any() or np.abs(values.astype(np.float64)).max() > LARGEST_VALUE:
            raise InputError(
                f"A reference holds whole numbers of up to {LARGEST_VALUE:,}, and {self.path} has others. Is "
                "it a map of classes?"
            )
        return values.astype(np.int32), valid

    def _classes(self, values: NDArray[np.int32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        distinct, place = np.unique(values, return_inverse=True)
        codes = np.array([self.table.code_of(value) for value in distinct.tolist()], np.uint8)
        return np.where(valid, codes[place.reshape(values.shape)], NO_CLASS).astype(np.uint8)

    def _require_classes_seen(self, nodata: float | None) -> None:
        if nodata is None or not np.isfinite(nodata) or nodata != int(nodata):
            return
        if self.table.labels.get(int(nodata)) is not None:
            name = NAMES[self.table.labels[int(nodata)]]
            raise InputError(
                f"{self.path} says that {nodata:g} is no data, and the class table that it is {name}. If it "
                "is, take the mark away with gdal_edit.py -unsetnodata map.tif; if not, take the value out "
                "of the table (--classes-table)."
            )

    @contextmanager
    def _opened(self) -> Any:
        require_no_pipe(self.path)
        try:
            with rasterio.open(self.path) as raster:
                yield raster
        except RasterioError as error:
            raise CorruptFileError(
                f"The reference {self.path} cannot be read as a raster: {error}. Restore the file or give "
                "another."
            ) from error


def require_numbers(table: ClassTable, owner: str) -> None:
    """Refuse texts for a raster, whose values are whole numbers of 32 bits.

    Raises:
        InputError: The table names others.
    """
    wrong = [*table.texts, *(value for value in table.labels if abs(value) > LARGEST_VALUE)]
    if wrong:
        raise InputError(
            f"The values of {owner} are whole numbers of up to {LARGEST_VALUE:,}, and the class table names "
            f"{wrong[0]!r}. Texts and beginnings are for the codes of polygons; list the numbers, or write "
            '"*" for all the rest.'
        )


def require_cropland(table: ClassTable, cropland: CroplandMask | None, aoi: Aoi) -> None:
    """Refuse a table that completes a map by cropland where nobody says where that is.

    Raises:
        InputError: The mask is missing, superfluous or elsewhere.
    """
    if cropland is not None:
        cropland.require_overlap(aoi)
    if (table.cropland_outside is None) is (cropland is None):
        return
    if cropland is None:
        raise InputError(
            "The map knows some crops only, and its class table takes other cropland from ESA WorldCover. "
            "Give that raster with --cropland-mask worldcover.tif:40, or a class table without "
            "cropland_outside."
        )
    raise InputError(
        "--cropland-mask shows which land without a class is other, and the class table does not ask for "
        'that. Omit it, or write cropland_outside = "worldcover" into the table (--classes-table).'
    )


def with_cropland(classes: NDArray[np.uint8], cropland: CroplandMask, geobox: GeoBox) -> NDArray[np.uint8]:
    """The classes `(y, x)`, and "other" where there is none and cropland is."""
    return np.where((classes == NO_CLASS) & cropland.read(geobox), OTHER_CODE, classes).astype(np.uint8)


def _touches(raster: Any, area: BaseGeometry) -> bool:
    west, south, east, north = rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
    left, bottom, right, top = area.bounds
    return bool(left < east and right > west and bottom < north and top > south)
