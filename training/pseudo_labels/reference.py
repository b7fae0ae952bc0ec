"""True labels on the pixels of a run, to measure how many pseudo-labels are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import require_no_pipe
from inference.run.cropland import nearest_values
from inference.run.plan import RunPlan
from training.samples.class_legend import read_legend
from training.samples.crops import NAMES, OTHER
from training.samples.samples import Samples, read_samples
from training.samples.table_file import TABLE_SUFFIXES
from training.sampling.reference.class_table import ClassTable
from training.sampling.reference.reference_maps import RASTERS, named_table

ANOTHER: Final = 254
"""Reference code of a crop that the run's model has no class for: every pseudo-label there is wrong."""


class Reference(Protocol):
    """Where true labels come from."""

    def read(self, geobox: GeoBox) -> NDArray[np.uint8]:
        """Reference codes `(y, x)` of some pixels: codes of the run, `ANOTHER`, or 0 where unknown."""

    def describe(self) -> dict[str, Any]:
        """What identifies it, as JSON values."""


@dataclass(frozen=True)
class RasterReference:
    """A raster in any CRS; each pixel takes the nearest value."""

    path: Path
    """The file."""
    codes: Mapping[int, int]
    """Value of the raster -> reference code; other values are unknown."""

    def read(self, geobox: GeoBox) -> NDArray[np.uint8]:
        """Reference codes `(y, x)` of some pixels.

        Raises:
            CorruptFileError: The raster cannot be read.
        """
        try:
            with rasterio.open(self.path) as raster:
                values, valid = nearest_values(raster, geobox)
        except RasterioError as error:
            raise _damaged(self.path, error) from error
        out = np.zeros(geobox.shape, np.uint8)
        for value, code in self.codes.items():
            out[(values == value) & valid] = code
        return out

    def describe(self) -> dict[str, Any]:
        """What identifies it, as JSON values."""
        codes = {str(value): code for value, code in sorted(self.codes.items())}
        return {**_state(self.path), "codes": codes}


@dataclass(frozen=True)
class PointReference:
    """Labelled places, each of which labels the pixel that holds it."""

    path: Path
    """The file."""
    x: NDArray[np.float64]
    """`(place,)`, in the CRS of the run."""
    y: NDArray[np.float64]
    """`(place,)`."""
    codes: NDArray[np.uint8]
    """`(place,)`, reference codes."""

    def read(self, geobox: GeoBox) -> NDArray[np.uint8]:
        """Reference codes `(y, x)`; two places in one pixel that contradict each other make it unknown."""
        height, width = geobox.shape
        col, row = ~geobox.transform * (self.x, self.y)
        row, col = np.floor(row).astype(np.int64), np.floor(col).astype(np.int64)
        here = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        row, col, codes = row[here], col[here], self.codes[here]
        out = np.zeros(geobox.shape, np.uint8)
        out[row, col] = codes
        contradicted = out[row, col] != codes
        out[row[contradicted], col[contradicted]] = 0
        return out

    def describe(self) -> dict[str, Any]:
        """What identifies it, as JSON values."""
        return {**_state(self.path), "places": len(self.codes)}


def read_reference(
    path: Path, plan: RunPlan, *, table: Path | None = None, legend: Path | None = None
) -> Reference:
    """The reference of a file: a raster, or samples with places.

    A crop that has no class of the run counts as "other" where the run has that, else as wrong wherever it
    stands.

    Args:
        path: A raster (.tif, .vrt, ...), or samples as `cropmap train` reads them.
        plan: The run.
        table: TOML file of classes, or a name such as `cdl`: what the values of a raster mean; None takes
            them for the codes of the run's own classes.
        legend: What the labels of samples mean; None takes CropGlobe's legend.

    Raises:
        InputError: The file, table or legend cannot be used, or lies elsewhere.
        CorruptFileError: The file is damaged.
        MismatchError: The samples are of another season.
    """
    if path.name.lower().endswith(RASTERS):
        return _raster(path, plan, table)
    if not path.name.lower().endswith((*TABLE_SUFFIXES, ".npz")):
        raise InputError(
            f"A reference is a raster ({', '.join(RASTERS)}) or samples (.npz, {', '.join(TABLE_SUFFIXES)}), "
            f"got {path}. Give another file with --reference."
        )
    if table is not None:
        raise InputError(
            f"--classes-table says what the values of a raster mean, and {path} holds samples. Say with "
            "--legend what their labels mean."
        )
    samples = read_samples([path], legend=read_legend(legend) if legend else None, any_classes=True)
    return _points(path, plan, samples)


def _raster(path: Path, plan: RunPlan, table: Path | None) -> RasterReference:
    if not path.exists():
        raise InputError(f"The reference {path} does not exist. Give a raster or samples with --reference.")
    require_no_pipe(path)
    try:
        with rasterio.open(path) as raster:
            crs, bounds = raster.crs, raster.bounds
    except RasterioError as error:
        raise _damaged(path, error) from error
    if crs is None:
        raise InputError(f"The reference {path} has no CRS, so its pixels have no place. Assign one to it.")
    west, south, east, north = transform_bounds(crs, str(plan.grid.geobox.crs), *bounds)
    box = plan.grid.geobox.boundingbox
    if east <= box.left or west >= box.right or north <= box.bottom or south >= box.top:
        raise InputError(f"The reference {path} does not overlap the run. Give one of this place.")
    if table is None:
        return RasterReference(path, {code: code for code in range(1, len(_names(plan)) + 1)})
    return RasterReference(path, _codes_of_values(named_table(table), plan))


def _codes_of_values(table: ClassTable, plan: RunPlan) -> dict[int, int]:
    return {value: reference_code(NAMES[label], _names(plan)) for value, label in table.labels.items()}


def _points(path: Path, plan: RunPlan, samples: Samples) -> PointReference:
    if samples.lon is None or samples.lat is None:
        raise InputError(f"The reference {path} has no places. Give samples with lon and lat, or a raster.")
    if samples.season and samples.season.start != plan.season.start:
        raise MismatchError(
            f"The reference {path} is of the season from {samples.season.start}, the run of that from "
            f"{plan.season.start}: crops change from year to year. Give a reference of {plan.season.year}."
        )
    to_map = pyproj.Transformer.from_crs("EPSG:4326", str(plan.grid.geobox.crs), always_xy=True)
    x, y = to_map.transform(samples.lon, samples.lat)
    codes = np.array([reference_code(name, _names(plan)) for name in samples.class_names], np.uint8)
    here = np.isfinite(x) & np.isfinite(y)  # the projection has no place for the other side of the earth
    return PointReference(path, np.asarray(x)[here], np.asarray(y)[here], codes[samples.labels][here])


def reference_code(name: str, classes: tuple[str, ...]) -> int:
    """Code of a reference's class in a run: its own, that of "other", or `ANOTHER`."""
    if name in classes:
        return classes.index(name) + 1
    return classes.index(OTHER) + 1 if OTHER in classes else ANOTHER


def _names(plan: RunPlan) -> tuple[str, ...]:
    assert plan.model is not None
    return plan.model.classes


def _state(path: Path) -> dict[str, Any]:
    """What changes with a file: a corrected raster has the same size, so its time counts as well."""
    state = path.stat()
    return {"file": str(path), "size": state.st_size, "modified": state.st_mtime_ns}


def _damaged(path: Path, error: Exception) -> CorruptFileError:
    return CorruptFileError(
        f"The reference {path} cannot be read as a raster: {error}. Restore the file or give another."
    )
