"""Local STAC catalogs of Sentinel-2 scenes as an archive of Earth Engine images.

Nothing of cropmap reads the items here: what both engines make of one catalog can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pystac
import rasterio
from affine import Affine
from numpy.typing import NDArray

from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.values import Pixels

COLLECTION: Final = "COPERNICUS/S2_SR_HARMONIZED"
CLOUD_SCORE: Final = "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"

BANDS: Final = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
"""Bands of the collection, in its order; SCL follows."""
SCORES: Final = ("cs", "cs_cdf")

OFFSET_BASELINE: Final = 4.0
"""First processing baseline whose whole numbers have an offset of -0.1."""
SMALL: Final = 2**18
"""Pixels of a file that is kept in memory."""
ABSURD: Final = 10.0
"""Reflectance from which a number is no measurement."""


def archive_of_catalog(catalog: Path, *, signed: bool = False) -> Archive:
    """The scenes of a catalog as Sentinel-2 and Cloud Score+ images under their item ids.

    Reflectance becomes DN = reflectance x 10,000 as uint16, halves up, at least 0; nodata is masked. A scene
    without a score asset has no image in the Cloud Score+ collection. Files are read when they are needed.

    Args:
        catalog: Path of `catalog.json`.
        signed: Keep reflectance below 0, as int32. The real collection cuts it off and a local catalog
            does not, so this compares the two engines to the last pixel.

    Raises:
        ValueError: An item has no bands.
    """
    archive = Archive(collections=[COLLECTION, CLOUD_SCORE])
    for item in pystac.Catalog.from_file(str(catalog)).get_items(recursive=True):
        archive.add(_scene(item, np.dtype(np.int32 if signed else np.uint16)))
        if scores := {name: _plain_raster(item, name, np.float32) for name in SCORES if _asset(item, name)}:
            archive.add(ImageAsset(f"{CLOUD_SCORE}/{item.id}", item.datetime, scores))
    return archive


@dataclass(frozen=True, eq=False)
class FileRaster(Raster):
    """A raster whose window is read from a file when it is needed."""

    path: str = ""
    gain: float = 1.0
    """Value of one step of the stored numbers."""
    offset: float = 0.0
    stored_nodata: float | None = None
    """Stored number without meaning."""
    most: float = np.inf
    """Values beyond it, in either direction, are masked."""

    @cached_property
    def _limits(self) -> tuple[float, float]:
        info = np.iinfo(self.dtype) if self.dtype.kind in "iu" else np.finfo(self.dtype)
        return float(info.min), float(info.max)

    def read(self, rows: slice, cols: slice) -> Pixels:
        """A window, decoded."""
        numbers, valid = _stored(self.path, rows, cols)
        mask = valid.copy()
        values = numbers.astype(np.float64) * self.gain + self.offset
        mask &= np.isfinite(values) & (np.abs(values) <= self.most)
        if self.stored_nodata is not None:
            mask &= numbers != self.stored_nodata
        if self.dtype.kind in "iu":
            values = np.floor(np.where(mask, values, 0) + 0.5)
        return Pixels(values.clip(*self._limits).astype(self.dtype), mask)


def _stored(path: str, rows: slice, cols: slice) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Stored numbers of a window and where they count."""
    if (whole := _small_file(path, Path(path).stat().st_mtime_ns)) is not None:
        numbers, valid = whole
        return numbers[rows, cols], valid[rows, cols]
    with rasterio.open(path) as file:
        return _numbers(file, rasterio.windows.Window.from_slices(rows, cols))


@lru_cache(maxsize=2_000)
def _small_file(path: str, changed: int) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    """A whole small file, which many requests look at; None of a larger one."""
    with rasterio.open(path) as file:
        return _numbers(file, None) if file.width * file.height <= SMALL else None


def _numbers(file: Any, window: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    return file.read(1, window=window), file.read_masks(1, window=window) > 0


def _scene(item: pystac.Item, dtype: np.dtype[Any]) -> ImageAsset:
    found = {name: _reflectance_raster(item, name, dtype) for name in BANDS if _asset(item, name)}
    if not found:
        raise ValueError(f"Item {item.id} has no asset of a Sentinel-2 band, only {sorted(item.assets)}.")
    if _asset(item, "SCL"):
        found["SCL"] = _plain_raster(item, "SCL", np.uint8)
    tile = item.properties.get("s2:mgrs_tile")
    facts = {"MGRS_TILE": tile} if tile else {}
    simulated = {"simulated": 1} if item.properties.get("simulated") else {}
    return ImageAsset(f"{COLLECTION}/{item.id}", item.datetime, found, facts | simulated)


def _asset(item: pystac.Item, name: str) -> pystac.Asset | None:
    """The asset of a band: `B02` or `B2`."""
    keys = (name, f"B0{name[1:]}" if name.startswith("B") and len(name) == 2 else name)
    return next((item.assets[key] for key in keys if key in item.assets), None)


def _reflectance_raster(item: pystac.Item, name: str, dtype: np.dtype[Any]) -> Raster:
    """Stored steps become whole numbers of 0.0001, by the declared scale and offset or those of ESA."""
    raster, fields = _opened(item, name)
    whole = raster.values.dtype.kind in "iu"
    declared = "scale" in fields or "offset" in fields
    scale = fields.get("scale", 1.0) if declared or not whole else 0.0001
    offset = fields.get("offset", 0.0) if declared or not whole else _default_offset(item)
    nodata = raster.stored_nodata
    if nodata is None and raster.nodata is None and whole:
        nodata = 0
    return _finished(
        raster,
        dtype,
        gain=round(scale * 10_000, 9),
        offset=round(offset * 10_000, 9),
        stored_nodata=nodata,
        most=ABSURD * 10_000,
    )


def _plain_raster(item: pystac.Item, name: str, dtype: Any) -> Raster:
    raster, fields = _opened(item, name)
    return _finished(raster, dtype, gain=fields.get("scale", 1.0), offset=fields.get("offset", 0.0))


def _finished(raster: FileRaster, dtype: Any, **fields: Any) -> FileRaster:
    shape = raster.values.shape
    return replace(raster, values=np.broadcast_to(np.zeros((), dtype), shape), nodata=None, **fields)


def _default_offset(item: pystac.Item) -> float:
    baseline = str(item.properties.get("s2:processing_baseline", "0")).removeprefix("N")
    number = float(baseline) if "." in baseline else float(baseline) / 100
    return -0.1 if number >= OFFSET_BASELINE else 0.0


def _opened(item: pystac.Item, name: str) -> tuple[FileRaster, dict[str, Any]]:
    """The raster of an asset, its values not read, and what the item declares of it."""
    asset = _asset(item, name)
    assert asset is not None
    fields = (asset.extra_fields.get("raster:bands") or [{}])[0]
    path = asset.get_absolute_href()
    assert path is not None
    with rasterio.open(path) as file:
        shape, stored, crs, transform, nodata = (
            file.shape,
            file.dtypes[0],
            file.crs,
            file.transform,
            file.nodata,
        )
    empty: NDArray[Any] = np.broadcast_to(np.zeros((), stored), shape)
    code = f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else crs.to_wkt()
    raster = FileRaster(
        empty, Affine(*transform[:6]), code, nodata, None, path=path, stored_nodata=fields.get("nodata")
    )
    return raster, fields
