"""Arrays of reflectance become a local STAC catalog of Sentinel-2 scenes.

The scenes look like ESA's: one GeoTIFF a band at its own pixel size, digital numbers with the scale and
offset of their processing baseline, a Cloud Score+ asset, scene classes, and one STAC item a scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import pystac
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pystac.extensions.eo import Band, EOExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension
from pystac.layout import TemplateLayoutStrategy
from shapely.geometry import mapping

from gee_pipeline.bands import NODATA, REFLECTANCE_SCALE

ITEMS: Final = "items"
"""Folder of the scenes beside `catalog.json`."""

BLOCK: Final = 256
"""Pixels along a block of a tiled GeoTIFF."""

_WAVELENGTHS: Final = {
    "B2": ("blue", 0.490),
    "B3": ("green", 0.560),
    "B4": ("red", 0.665),
    "B5": ("rededge071", 0.704),
    "B6": ("rededge075", 0.740),
    "B7": ("rededge078", 0.783),
    "B8": ("nir", 0.842),
    "B8A": ("nir08", 0.865),
    "B11": ("swir16", 1.610),
    "B12": ("swir22", 2.190),
}
"""Common name (STAC eo extension) and centre in micrometres."""


@dataclass(frozen=True)
class Packing:
    """How a processing baseline stores reflectance: ``reflectance = number * scale + offset``."""

    baseline: str = "05.00"
    """Processing baseline; from 04.00 on the offset is -0.1."""
    scale: float = 0.0001
    """Reflectance of one step."""
    offset: float = -0.1
    """Reflectance of number 0."""

    def numbers(self, values: NDArray[np.int16]) -> NDArray[np.uint16]:
        """Digital numbers of reflectance x 10,000; nodata becomes 0, valid values stay at 1 or above."""
        steps = np.rint((values / REFLECTANCE_SCALE - self.offset) / self.scale)
        return np.where(values == NODATA, 0, np.clip(steps, 1, 65_535)).astype(np.uint16)


OLD_BASELINE: Final = Packing("03.01", offset=0.0)
"""Scenes processed before January 2022: no offset."""


def asset_key(band: str) -> str:
    """ESA's two-digit name of a band: `B2` is `B02`, `B8A` stays."""
    return f"B0{band[1:]}" if len(band) == 2 else band


def write_scene(
    folder: Path,
    item_id: str,
    *,
    acquired: datetime,
    geobox: GeoBox,
    bands: Mapping[str, NDArray[np.int16]],
    clear_score: NDArray[np.float32] | None = None,
    scene_classes: NDArray[np.uint8] | None = None,
    packing: Packing = Packing(),
    properties: Mapping[str, Any] | None = None,
    block: int = BLOCK,
) -> pystac.Item:
    """Write the assets of one scene and return its item, which `write_catalog` links and saves.

    Args:
        folder: Folder of the catalog.
        item_id: Name of the scene, unique in the catalog.
        acquired: Time of acquisition, with time zone.
        geobox: The scene's 10 m pixels.
        bands: `(y, x)` reflectance x 10,000, nodata -9999, by band (`B2`, `B8A`). An array covers the whole
            geobox; a coarser band has a whole fraction of its rows and columns.
        clear_score: `(y, x)` Cloud Score+ 0 to 1, NaN where there is none; None leaves the asset out.
        scene_classes: `(y, x)` Sen2Cor classes, 0 is nodata; None leaves the asset out.
        packing: How reflectance is stored.
        properties: Further properties of the item.
        block: Pixels along a block of the files.
    """
    item = _item(item_id, acquired, geobox, packing, properties or {})
    home = folder / ITEMS / item_id
    home.mkdir(parents=True, exist_ok=True)
    for band, values in bands.items():
        stored = RasterBand.create(
            nodata=0, data_type=DataType.UINT16, scale=packing.scale, offset=packing.offset
        )
        _add_asset(item, home, asset_key(band), packing.numbers(values), geobox, stored, block)
        common, centre = _WAVELENGTHS[band]
        described = Band.create(asset_key(band), common_name=common, center_wavelength=centre)
        EOExtension.ext(item.assets[asset_key(band)]).bands = [described]
    if clear_score is not None:
        steps = np.where(np.isnan(clear_score), 255, np.rint(np.nan_to_num(clear_score) * 100))
        stored = RasterBand.create(nodata=255, data_type=DataType.UINT8, scale=0.01, offset=0)
        _add_asset(item, home, "cs", steps.astype(np.uint8), geobox, stored, block)
    if scene_classes is not None:
        stored = RasterBand.create(nodata=0, data_type=DataType.UINT8)
        _add_asset(item, home, "SCL", scene_classes, geobox, stored, block)
    return item


def write_catalog(folder: Path, items: Iterable[pystac.Item], title: str, description: str) -> Path:
    """Write `catalog.json` and the items of a self-contained catalog; returns the path of the former."""
    catalog = pystac.Catalog(id=folder.resolve().name, title=title, description=description)
    catalog.add_items(items)
    layout = TemplateLayoutStrategy(item_template=f"{ITEMS}/${{id}}")
    catalog.normalize_hrefs(str(folder), strategy=layout)
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


def _item(
    item_id: str, acquired: datetime, geobox: GeoBox, packing: Packing, properties: Mapping[str, Any]
) -> pystac.Item:
    outline = geobox.extent.to_crs("EPSG:4326")
    item = pystac.Item(
        id=item_id,
        geometry=mapping(outline.geom),
        bbox=list(outline.boundingbox.bbox),
        datetime=acquired,
        properties={"s2:processing_baseline": packing.baseline, **properties},
    )
    ProjectionExtension.ext(item, add_if_missing=True).epsg = pyproj.CRS.from_user_input(geobox.crs).to_epsg()
    RasterExtension.add_to(item)
    EOExtension.add_to(item)
    return item


def _add_asset(
    item: pystac.Item,
    home: Path,
    key: str,
    values: NDArray[np.uint16] | NDArray[np.uint8],
    geobox: GeoBox,
    stored: RasterBand,
    block: int,
) -> None:
    pixels = _pixels_of(values, geobox, key)
    _write_tif(home / f"{key}.tif", values, pixels, stored.nodata, block)
    asset = pystac.Asset(f"./{key}.tif", media_type=pystac.MediaType.GEOTIFF, roles=["data"])
    item.add_asset(key, asset)
    stored.spatial_resolution = pixels.resolution.x
    RasterExtension.ext(asset).bands = [stored]
    projected = ProjectionExtension.ext(asset)
    projected.shape = list(pixels.shape)
    projected.transform = list(pixels.transform)[:6]


def _pixels_of(values: NDArray[Any], geobox: GeoBox, key: str) -> GeoBox:
    factor = geobox.shape[0] // values.shape[0]
    if tuple(size * factor for size in values.shape) != tuple(geobox.shape):
        raise ValueError(
            f"{key} must have a whole fraction of the scene's {tuple(geobox.shape)} pixels, "
            f"got {values.shape}."
        )
    return geobox.zoom_out(factor)


def _write_tif(path: Path, values: NDArray[Any], pixels: GeoBox, nodata: Any, block: int) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=values.dtype,
        count=1,
        height=values.shape[0],
        width=values.shape[1],
        crs=str(pixels.crs),
        transform=pixels.transform,
        nodata=nodata,
        tiled=True,
        blockxsize=block,
        blockysize=block,
        compress="deflate",
        predictor=2,
        zlevel=6,
    ) as file:
        file.write(values, 1)
