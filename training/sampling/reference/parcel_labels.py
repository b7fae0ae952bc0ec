"""The labels of polygons on this machine: painted on the 10 m pixels of a square."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import InputError
from gee_pipeline.vectors.parcels import Bounds, ParcelFile, open_parcels, read_batches
from inference.run.cropland import CroplandMask
from training.sampling.reference.class_table import NO_CLASS, ClassTable
from training.sampling.reference.raster_labels import require_cropland, with_cropland
from training.sampling.reference.reference_maps import ParcelsFile
from training.sampling.reference.square_labels import SquareLabels, blocks, pure_at_points
from training.sampling.squares.grid import SampleCell

INDEXED: Final = (".gpkg", ".fgb", ".gdb")
"""Endings of files that have an index of places, so that a square is read without the rest."""

COPY: Final = "parcels_{}.gpkg"
"""The parcels of an area in a file that has an index, in the folder of a sampling; named by what it is of."""

_WHOLE: Final = re.compile(r"(-?[0-9]+)\.0")
"""A column of numbers that has empty cells holds 259.0 for 259."""

_LAYER: Final = "parcels"
_CODE: Final = "code"
_MARGIN: Final = 0.01
"""Degrees around an area whose parcels are read: some more than the largest buffer."""

# Painting into arrays makes rasterio warn of files without georeference.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning, module="rasterio")


@dataclass(frozen=True)
class ParcelLabels:
    """Polygons with a code; a pixel belongs to the one that holds its centre.

    Land that polygons of two classes claim has none, also where one of them is left out.
    """

    place: ParcelsFile
    """The file."""
    table: ClassTable
    """What its codes mean."""
    aoi: Aoi
    """The area that samples are drawn in."""
    folder: Path
    """Where a file without an index is copied to."""
    cropland: CroplandMask | None = None
    """Where land without a class is "other"; None where it has none then."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def require(self) -> None:
        """Look at file, layer, column and CRS, and make the copy where one is needed.

        Raises:
            InputError: The file cannot be used, or has no parcel around the area.
        """
        require_cropland(self.table, self.cropland, self.aoi)
        first = next(read_batches(self._parcels, self._around_area(self._parcels.crs)), None)
        if first is None or not len(first):
            raise InputError(
                f"The parcels {self.place.path} have none around the area. Check their CRS "
                f"({self._parcels.crs.name}) and their place."
            )

    def read(self, cell: SampleCell, spacing: int, buffer: float) -> SquareLabels:
        """The labels of a square; values are the codes as texts.

        Raises:
            InputError: The file cannot be read there.
        """
        lattice = cell.lattice(spacing)
        codes = np.zeros(lattice.shape, np.uint8)
        values = np.full(lattice.shape, "", object)
        for block in blocks(lattice, spacing, buffer):
            at = block.rows, block.cols
            painted = self._painted(block.geobox)
            classes = painted.classes
            if self.cropland is not None:
                classes = with_cropland(classes, self.cropland, block.geobox)
            codes[at] = pure_at_points(classes, block, buffer)
            values[at] = painted.names[block.at_points(painted.ids)]
        return SquareLabels(codes, values.astype(np.str_), values != "")

    def _painted(self, geobox: GeoBox) -> _Painted:
        shapes, texts = self._polygons(geobox)
        return paint(shapes, texts, geobox, self.table)

    def _polygons(self, geobox: GeoBox) -> tuple[NDArray[np.object_], list[str]]:
        """Polygons in the CRS of some pixels that touch them, and their codes; those without a code fall
        away."""
        parcels = self._parcels
        to_pixels = pyproj.Transformer.from_crs(parcels.crs, str(geobox.crs), always_xy=True)
        bounds = to_pixels.transform_bounds(*geobox.boundingbox.bbox, densify_pts=21, direction="INVERSE")
        shapes, texts = list[Any](), list[str]()
        for batch in read_batches(parcels, bounds):
            assert batch.declared is not None
            for shape, text in zip(batch.geometries(), batch.declared, strict=True):
                if shape is not None and text is not None and shapely.get_dimensions(shape) == 2:
                    shapes.append(_near(shape, bounds))
                    texts.append(whole[1] if (whole := _WHOLE.fullmatch(text)) else text)

        def project(points: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.column_stack(to_pixels.transform(points[:, 0], points[:, 1]))

        return shapely.transform(np.array(shapes, dtype=object), project), texts

    @property
    def _parcels(self) -> ParcelFile:
        with self._lock:  # one thread makes the copy
            return self._indexed

    @cached_property
    def _indexed(self) -> ParcelFile:
        """The parcels in a file that has an index."""
        place = self.place
        found = open_parcels(
            place.path, place.layer, declared_column=place.column, layer_option="--reference-layer"
        )
        if place.path.suffix.lower() in INDEXED:
            return found
        bounds = self._around_area(found.crs)
        told = json.dumps([place.describe(), bounds], sort_keys=True)
        copy = self.folder / COPY.format(hashlib.sha256(told.encode()).hexdigest()[:12])
        if not copy.exists():
            _copy(found, bounds, copy)
        return open_parcels(copy, _LAYER, declared_column=_CODE)

    def _around_area(self, crs: pyproj.CRS) -> Bounds:
        west, south, east, north = self.aoi.lonlat.bounds
        box = (west - _MARGIN, max(south - _MARGIN, -90), east + _MARGIN, min(north + _MARGIN, 90))
        to_file = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        return to_file.transform_bounds(*box, densify_pts=21)


def _near(shape: Any, bounds: Bounds) -> Any:
    """A polygon whose edges bend as a projection does: of one that is much larger, the part near a box.

    Args:
        shape: In the CRS of the box.
        bounds: The box that is looked at.
    """
    west, south, east, north = bounds
    step = max(east - west, north - south) / 16
    around = shapely.box(west - step, south - step, east + step, north + step)
    if not shapely.contains(around, shapely.box(*shape.bounds)):
        shape = shapely.intersection(shapely.make_valid(shape), around)
    return shapely.segmentize(shape, step / 4)


@dataclass(frozen=True)
class _Painted:
    """Polygons on pixels."""

    classes: NDArray[np.uint8]
    """`(y, x)`: codes of classes, 0 for none and for land that two classes claim."""
    ids: NDArray[np.int32]
    """`(y, x)`: place in `names`."""
    names: NDArray[np.str_]
    """Codes of the map; the first is empty, for land without a polygon."""


def paint(shapes: NDArray[np.object_], texts: Sequence[str], geobox: GeoBox, table: ClassTable) -> _Painted:
    """Polygons on pixels; each pixel is of the polygon that holds its centre, of several the last.

    Args:
        shapes: Polygons in the CRS of the pixels.
        texts: Code of each.
        geobox: The pixels.
        table: What the codes mean.
    """
    distinct = dict.fromkeys(texts)
    names = np.array(["", *distinct], dtype=np.str_)
    number = {text: index for index, text in enumerate(distinct, 1)}
    code = {text: table.code_of(text) for text in distinct}
    ids = _burnt(geobox, [(shape, number[text]) for shape, text in zip(shapes, texts, strict=True)])
    classes, claims = np.zeros(geobox.shape, np.uint8), np.zeros(geobox.shape, np.uint8)
    for one in sorted(set(code.values())):
        burnt = _burnt(geobox, [(s, 1) for s, text in zip(shapes, texts, strict=True) if code[text] == one])
        claims += burnt.astype(np.uint8)
        classes[burnt > 0] = one
    return _Painted(np.where(claims == 1, classes, NO_CLASS).astype(np.uint8), ids, names)


def _burnt(geobox: GeoBox, shapes: list[tuple[Any, int]]) -> NDArray[np.int32]:
    usable = [(shape, value) for shape, value in shapes if not shape.is_empty]
    if not usable:
        return np.zeros(geobox.shape, np.int32)
    return np.asarray(rasterize(usable, geobox.shape, transform=geobox.transform, dtype=np.int32))


def _copy(parcels: ParcelFile, bounds: Bounds, path: Path) -> None:
    """Write the parcels around an area into a GeoPackage, batch by batch; it is whole or not there."""
    from pyogrio.raw import write

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"part_{path.name}")
    part.unlink(missing_ok=True)
    for place, (wkb, codes) in enumerate(_touching(parcels, bounds)):
        write(
            part, wkb, [codes], [_CODE], layer=_LAYER, driver="GPKG", geometry_type="Unknown",
            crs=parcels.crs.to_wkt(), append=place > 0,
        )  # fmt: skip
    if not part.exists():
        raise InputError(
            f"The parcels {parcels.path} have none around the area. Check their CRS ({parcels.crs.name}) and "
            "their place."
        )
    part.replace(path)


def _touching(parcels: ParcelFile, bounds: Bounds) -> Iterator[tuple[Any, Any]]:
    """WKB and codes of the parcels that touch a box, batch by batch."""
    box = shapely.box(*bounds)
    for batch in read_batches(parcels, bounds):
        shapes = batch.geometries()
        kept = np.array([shape is not None for shape in shapes]) & shapely.intersects(shapes, box)
        if kept.any():
            codes = np.array(batch.declared, dtype=object)[kept]
            yield shapely.to_wkb(shapes[kept]), codes
