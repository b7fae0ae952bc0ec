"""The map that is assessed: of a run, or any raster of class codes, read window by window."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from assessment.sample.text_table import read_csv
from gee_pipeline.errors import CorruptFileError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, in_words, read_json, require_no_pipe_beside
from gee_pipeline.grid import name_crs
from gee_pipeline.map_codes import NOT_ENOUGH
from inference.product.pixel_area import ground_area
from inference.product.statistics import SQUARE_METRES
from inference.run.plan import CONFIG_FILE, RUN_FILE
from inference.run.prediction import bounded_gdal

TILE: Final = 2048
"""Pixels along a side of a window: its codes, confidence, strata and areas take about 100 MB."""

DIGEST_TILE: Final = 2048
"""Pixels along a side of the windows in which pixels are digested; another number gives another digest."""

AREA_BLOCK: Final = 256
"""Pixels along a side of a block whose pixels count as equally large: its mean is right to 1e-7."""

PROBABILITIES: Final = "probabilities.tif"
CONFIDENCE: Final = "confidence.tif"


@dataclass(frozen=True)
class AssessedMap:
    """A raster of class codes and what is known of it."""

    path: Path
    """The raster."""
    names: Mapping[int, str]
    """What the codes mean; one that is not here is called by its number."""
    outside: int | None
    """Code of pixels that are no part of the frame; None where every pixel is."""
    crs: pyproj.CRS
    """Projected, in metres."""
    transform: Affine
    """Of its pixels."""
    shape: tuple[int, int]
    """Rows and columns."""
    run: str = ""
    """Digest of the run that made it; empty where that is not known."""

    @property
    def unmapped(self) -> frozenset[int]:
        """Codes of pixels of the frame for which the map has no class."""
        return frozenset({NOT_ENOUGH} if NOT_ENOUGH in self.names else ())

    def name(self, code: int) -> str:
        """What a code means."""
        return self.names.get(code, str(code))

    def beside(self, file: str) -> Path | None:
        """Another raster of the same map, such as its confidence; None where there is none.

        Raises:
            MismatchError: It says that it is of another run, or another layer.
        """
        path = self.path.with_name(file)
        if not path.is_file():
            return None
        with opened_raster(path) as raster:
            tags = raster.tags()
        run, layer = tags.get("RUN_DIGEST", self.run), tags.get("LAYER", path.stem)
        if (self.run and run != self.run) or layer != path.stem:
            raise MismatchError(
                f"{path} is the layer {layer} of the run {run}, not of the run {self.run} that made "
                f"{self.path.name}. Make the map again."
            )
        return path

    def digest(self) -> str:
        """SHA-256 of place and pixels: the same for a file that was written again with the same map."""
        place = [*map(repr, map(float, self.transform[:6])), *map(str, self.shape), str(self.outside)]
        digest = hashlib.sha256(" ".join(place).encode())
        with reading(self.path, self) as file:
            for window in self.windows(DIGEST_TILE):
                digest.update(file.read(1, window=window).tobytes())
        return digest.hexdigest()

    def windows(self, side: int | None = None) -> Iterator[Window]:
        """The map in pieces, row by row.

        Args:
            side: Pixels along a side of a window; None is 2,048.
        """
        step, (height, width) = side or TILE, self.shape
        for top in range(0, height, step):
            for left in range(0, width, step):
                yield Window(left, top, min(step, width - left), min(step, height - top))

    def pixel_hectares(self, window: Window) -> NDArray[np.float64]:
        """Hectares of ground of each pixel `(y, x)` of a window."""
        rows, cols = np.meshgrid(*map(_block_centres, (window.height, window.width)), indexing="ij")
        x, y = self.xy(window.row_off + rows.ravel(), window.col_off + cols.ravel())
        pixel = abs(self.transform.a * self.transform.e)
        blocks = ground_area(self.crs, x, y, pixel).reshape(rows.shape) / SQUARE_METRES
        each = np.ones((AREA_BLOCK, AREA_BLOCK))
        return np.asarray(np.kron(blocks, each)[: window.height, : window.width])

    def xy(self, rows: NDArray[Any], cols: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates in the CRS of the map; a pixel's centre is half a row and column further."""
        t = self.transform
        return t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f

    def places(
        self, rows: NDArray[Any], cols: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of the centres of pixels, degrees."""
        x, y = self.xy(rows + 0.5, cols + 0.5)
        to_degrees = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        lon, lat = to_degrees.transform(x, y)
        return np.asarray(lon), np.asarray(lat)


def _block_centres(size: int) -> NDArray[np.float64]:
    """Middles of blocks along a side, the last one cut off, in pixels."""
    starts = np.arange(0, size, AREA_BLOCK)
    return np.asarray((starts + np.minimum(starts + AREA_BLOCK, size)) / 2)


def map_path(place: Path) -> Path:
    """The raster of class codes of a run folder, or the raster itself.

    Raises:
        IncompleteRunError: The run has no whole map yet.
        InputError: The folder holds no run.
    """
    if not place.is_dir():
        return place
    path = place / "map" / "crop_map.tif"
    if not (place / RUN_FILE).is_file() and not path.is_file():
        raise InputError(
            f"{place} holds no run: there is no {RUN_FILE}. Name the --out of predict, or a map."
        )
    if not (path.with_name("report.json").is_file() and path.is_file()):
        raise IncompleteRunError(
            f"The map of {place} is not whole, and this command begins with a finished map. Finish the run "
            f"with 'cropmap predict --config {place / CONFIG_FILE}'."
        )
    return path


def open_map(place: Path, legend: Path | None = None) -> AssessedMap:
    """The map of a run folder, or of a raster.

    Args:
        place: Folder of a run, or a raster of whole numbers 0 to 255.
        legend: CSV of `code` and `name`; None takes the names in the raster.

    Raises:
        IncompleteRunError: The run has no whole map yet.
        InputError: There is no such map, or it is no raster of classes, north up, in a projected CRS in
            metres.
        CorruptFileError: The raster cannot be read.
    """
    path = map_path(place)
    with opened_raster(path) as file:
        _require_classes(path, file)
        tags, nodata = file.tags(1) | file.tags(), file.nodata
        crs, transform, shape = file.crs, file.transform, file.shape
    names = _names_in_tags(tags) if legend is None else _names_in_file(legend)
    outside = int(nodata) if nodata is not None and 0 <= nodata <= 255 else None
    inside = {code: name for code, name in names.items() if code != outside}
    run = tags.get("RUN_DIGEST", "")
    return AssessedMap(path, inside, outside, _projected(path, crs), transform, shape, run)


@contextmanager
def opened_raster(path: Path) -> Iterator[Any]:
    """A raster of a map that is open for reading.

    Raises:
        InputError: It does not exist.
        CorruptFileError: It, or a part of it that is read, is damaged.
    """
    require_no_pipe_beside(path)
    if not path.is_file():
        raise InputError(f"The map {path} does not exist. Give the folder of a run, or a GeoTIFF of classes.")
    try:
        with rasterio.open(path) as file:
            yield file
    except RasterioIOError as error:
        raise CorruptFileError(
            f"{path} cannot be read as a raster: {in_words(error)}. Restore it."
        ) from error


@contextmanager
def reading(path: Path, like: AssessedMap) -> Iterator[Any]:
    """A raster on the pixels of the map, open for reading.

    Raises:
        MismatchError: It has other pixels.
        CorruptFileError: It cannot be read.
    """
    with bounded_gdal(), opened_raster(path) as file:
        if file.shape != like.shape or not file.transform.almost_equals(like.transform, 1e-6):
            raise MismatchError(
                f"{path} has other pixels than {like.path}: they are not of one map. Make the map again."
            )
        yield file


def _require_classes(path: Path, file: Any) -> None:
    if file.count != 1 or file.dtypes[0] != "uint8":
        raise InputError(
            f"A map of classes has one band of codes 0 to 255 (uint8); {path} has {file.count} of "
            f"{file.dtypes[0]}. Convert it with gdal_translate -b 1 -ot Byte."
        )
    t = file.transform
    if t.b or t.d or t.a <= 0 or t.e >= 0:
        raise InputError(f"A map of classes is north up, {path} is not. Warp it with gdalwarp -r near.")


def _projected(path: Path, crs: Any) -> pyproj.CRS:
    found = pyproj.CRS.from_user_input(crs) if crs else None
    units = {axis.unit_name for axis in found.axis_info} if found else set()
    if found is None or not found.is_projected or units != {"metre"}:
        raise InputError(
            f"A sample of pixels needs a map in a projected CRS in metres; the CRS of {path} is "
            f"{name_crs(found) if found else 'none'}. Warp it to an equal-area CRS with gdalwarp -r near "
            "-t_srs, such as EPSG:3035 (Europe), EPSG:5070 (USA) or EPSG:6933 (world)."
        )
    return found


def _names_in_tags(tags: Mapping[str, str]) -> dict[int, str]:
    """The legend that a map of cropmap has in its tags, `CLASS_1=corn`."""
    keys = {key: key.removeprefix("CLASS_") for key in tags if key.startswith("CLASS_")}
    return {int(code): tags[key] for key, code in keys.items() if code.isdecimal()}


def _names_in_file(path: Path) -> dict[int, str]:
    try:
        rows = read_json(path)["classes"] if path.suffix.lower() == ".json" else read_csv(path)
        return _each_once([(int(row["code"]), str(row["name"]).strip()) for row in rows])
    except ODD_VALUES as error:
        raise InputError(
            f"The legend {path} cannot be used: {in_words(error)}. It has the columns code and name."
        ) from error


def _each_once(entries: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Names by code; each code has one, and it is not empty."""
    codes = [code for code, _ in entries]
    if twice := sorted({code for code in codes if codes.count(code) > 1}):
        raise ValueError(f"it names the codes {twice} more than once")
    if nameless := [code for code, name in entries if not name]:
        raise ValueError(f"the codes {nameless} have no name")
    if not entries:
        raise ValueError("it names no code")
    return dict(entries)
