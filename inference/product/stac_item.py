"""The map as a STAC Item, so that catalogs and clients find and read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pyproj
import pystac
import shapely
from odc.geo.geobox import GeoBox
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension, Sampling, Statistics
from shapely.geometry.base import BaseGeometry

from gee_pipeline.aoi import Aoi
from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.files import SHA_256, file_digest
from gee_pipeline.incoming.geometry import bbox_of
from gee_pipeline.layers import BASE, CROP_MAP, ON_REQUEST, Layer
from inference.product.class_table import AREAS
from inference.product.legend import Legend, slug
from inference.product.map_facts import MapFacts, MapSummary
from inference.product.qgis_style import SCALE
from inference.product.report import attribution, model_window, notices

PRECISION: Final = 1e-6
"""Degrees to which the footprint is written, 0.1 m."""

TOLERANCE: Final = 1e-4
"""Degrees by which the footprint may be simplified: a pixel."""

LONGEST: Final = 80
"""Letters of a title in the id, which names a folder when the map is published; file systems take 255."""

FILE_EXTENSION: Final = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING_EXTENSION: Final = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
RENDER_EXTENSION: Final = "https://stac-extensions.github.io/render/v2.0.0/schema.json"

_FILES: Final = (
    ("areas", AREAS, "text/csv", "Pixels and hectares by class", "metadata"),
    ("legend", "legend.json", pystac.MediaType.JSON, "Codes, names and colours", "metadata"),
    ("quicklook", "quicklook.png", pystac.MediaType.PNG, "Quicklook", "overview"),
    ("report", "report.json", pystac.MediaType.JSON, "Report", "metadata"),
)


def build_item(geobox: GeoBox, legend: Legend, summary: MapSummary, facts: MapFacts) -> dict[str, Any]:
    """The STAC Item of a map, as JSON values, with hrefs relative to itself.

    Args:
        geobox: CRS, transform and shape of the rasters.
        legend: What the codes mean.
        summary: What stands in the map.
        facts: What went into it.
    """
    footprint, window = facts.area if facts.area is not None else _outline(geobox), model_window(facts)
    item = pystac.Item(
        id=_item_id(facts),
        geometry=shapely.geometry.mapping(_plain(footprint)),
        bbox=bbox_of(_plain(footprint)),
        datetime=None,
        start_datetime=datetime.combine(window.start, time(), UTC),
        end_datetime=datetime.combine(window.end, time(), UTC) - timedelta(seconds=1),
        properties=_properties(facts),
    )
    _project(item, geobox)
    layers = (*BASE, *(layer for layer in ON_REQUEST if layer.name in summary.means))
    for layer in layers:
        _add_raster(item, layer, legend, summary)
    _classify(item.assets[CROP_MAP.name], legend, _shares(summary))
    for layer in (layer for layer in ON_REQUEST if layer.is_class and layer.name in summary.means):
        _classify(item.assets[layer.name], legend.of_classes(), {})
    for key, name, media_type, title, role in (*map(_style, layers), *_FILES):
        item.add_asset(key, pystac.Asset(f"./{name}", title=title, media_type=media_type, roles=[role]))
    _say_how_to_show(item, legend, len(facts.recipe.window))
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def with_files(item: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The item with size and SHA-256 of every file.

    Args:
        item: What `build_item` gives.
        folder: Where the files of its assets are.
    """
    assets = {key: asset | _measured(folder / asset["href"]) for key, asset in item["assets"].items()}
    return {**item, "stac_extensions": [*item["stac_extensions"], FILE_EXTENSION], "assets": assets}


def _measured(path: Path) -> dict[str, Any]:
    return {"file:size": path.stat().st_size, "file:checksum": f"{SHA_256}{file_digest(path)}"}


def _say_how_to_show(item: pystac.Item, legend: Legend, bins: int) -> None:
    """Software, and how servers of tiles draw the layers: the render and processing extensions."""
    item.stac_extensions += [PROCESSING_EXTENSION, RENDER_EXTENSION]
    colors = {str(code): list(color) for code, color in legend.colormap().items()}
    values: dict[str, Any] = {
        layer.name: {
            "title": layer.title,
            "assets": [layer.name],
            "nodata": layer.nodata,
            "rescale": [[0, layer.highest or bins]],
            "colormap_name": SCALE,
            "resampling": "nearest",
        }
        for layer in BASE
        if not layer.is_class
    }
    crops = {"title": CROP_MAP.title, "assets": [CROP_MAP.name], "nodata": CROP_MAP.nodata}
    item.properties["renders"] = {
        CROP_MAP.name: {**crops, "colormap": colors, "resampling": "nearest"},
        **values,
    }


def _style(layer: Layer) -> tuple[str, str, str, str, str]:
    """The style of a layer, as an entry of `_FILES`."""
    key = "style" if layer == CROP_MAP else f"style_{layer.name}"
    return key, f"{layer.name}.qml", "application/xml", f"QGIS style: {layer.title}", "metadata"


def _sensors(facts: MapFacts) -> str:
    return " and ".join(group.sensor.title for group in facts.recipe.sensors)


def _item_id(facts: MapFacts) -> str:
    """The title and the year; a title in another script, or a long one, is told by the run."""
    name, readable = slug(facts.title), re.search("[a-z]", slug(facts.title))
    if not readable or len(name) > LONGEST:
        start = (name if readable else f"crop-map-{name}")[:LONGEST].strip("-")
        name = "-".join(filter(None, (start, facts.run_digest[:8])))
    return name if str(facts.year) in name else f"{name}-{facts.year}"


def _properties(facts: MapFacts) -> dict[str, Any]:
    window = model_window(facts)
    values = {
        "title": facts.title,
        "description": " ".join([f"{facts.title}, from {_sensors(facts)}.", *notices(facts)]),
        "created": facts.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "gsd": PIXEL_SIZE,
        "processing:software": {"cropmap": facts.version},
        "cropmap:version": facts.version,
        "cropmap:model": facts.model,
        "cropmap:model_digest": facts.model_digest,
        "cropmap:recipe_digest": facts.recipe.digest,
        "cropmap:model_window": [window.start.isoformat(), window.last.isoformat()],
        "cropmap:simulated": facts.simulated,
        "cropmap:coverage": facts.completeness.get("coverage", {}),
    }
    if facts.confidence:
        values["cropmap:confidence"] = facts.confidence
    credit = attribution(facts)
    return {**values, "cropmap:attribution": credit} if credit else values


def _project(item: pystac.Item, geobox: GeoBox) -> None:
    crs = pyproj.CRS.from_user_input(str(geobox.crs))
    code = crs.to_epsg()
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        epsg=code,
        wkt2=None if code else crs.to_wkt(),
        shape=list(geobox.shape),
        transform=list(geobox.transform)[:6],
        bbox=list(geobox.boundingbox.bbox),
    )


def _add_raster(item: pystac.Item, layer: Layer, legend: Legend, summary: MapSummary) -> None:
    asset = pystac.Asset(
        f"./{layer.name}.tif",
        title=layer.title,
        description=layer.description.capitalize(),
        media_type=pystac.MediaType.COG,
        roles=["data"],
    )
    item.add_asset(layer.name, asset)
    bands = [
        RasterBand.create(
            nodata=layer.nodata,
            data_type=DataType(layer.dtype),
            sampling=Sampling.AREA,
            spatial_resolution=PIXEL_SIZE,
            statistics=statistics,
            unit=layer.unit if layer in ON_REQUEST and layer.unit else None,
        )
        for statistics in _statistics(layer, summary)
    ]
    for band, entry in zip(bands, legend.crops if layer.per_class else (), strict=layer.per_class):
        band.properties["name"] = entry.name
    # both forms: `bands` of STAC 1.1, and the one that odc-stac and others still take types and nodata from
    RasterExtension.ext(asset, add_if_missing=True).apply(bands)
    asset.extra_fields["bands"] = [_common(band, layer) for band in bands]


def _common(band: RasterBand, layer: Layer) -> dict[str, Any]:
    """A band by the common metadata of STAC 1.1."""
    kept: dict[str, Any] = {key: value for key, value in band.properties.items() if key in _COMMON}
    return {"name": layer.label, "description": layer.description, **kept}


_COMMON: Final = ("name", "nodata", "data_type", "statistics", "unit")
"""What a band of the raster extension 1.1 has in common with one of STAC 1.1."""


def _statistics(layer: Layer, summary: MapSummary) -> list[Statistics | None]:
    """The mean of each band of a layer where it has one; a mean of class codes means nothing."""
    if layer.is_class:
        return [None]
    if layer in BASE:
        return [_mean_of_all(layer, summary)]
    return [None if mean is None else Statistics.create(mean=mean) for mean in summary.means[layer.name]]


def _mean_of_all(layer: Layer, summary: MapSummary) -> Statistics | None:
    means = {
        "confidence": [(area.pixels, area.mean_confidence) for area in summary.areas],
        "clear_observations": [(area.pixels, area.mean_clear) for area in summary.areas],
    }
    known = [(pixels, mean) for pixels, mean in means.get(layer.name, []) if mean is not None and pixels]
    if not known:
        return None
    return Statistics.create(mean=sum(p * m for p, m in known) / sum(p for p, _ in known))


def _shares(summary: MapSummary) -> dict[int, dict[str, Any]]:
    """Pixels of each code, and their percentage."""
    total = summary.pixels or 1
    return {
        area.code: {"count": area.pixels, "percentage": round(100 * area.pixels / total, 4)}
        for area in summary.areas
    }


def _classify(asset: pystac.Asset, legend: Legend, shares: Mapping[int, dict[str, Any]]) -> None:
    name = legend.names()[legend.nodata]
    outside = Classification.create(value=legend.nodata, name=name, title=name, nodata=True)
    ClassificationExtension.ext(asset, add_if_missing=True).apply(
        [
            outside,
            *(
                Classification.create(
                    value=entry.code,
                    name=entry.slug,
                    title=entry.name,
                    description=entry.name,
                    color_hint=entry.color[1:].upper(),
                    **shares.get(entry.code, {}),
                )
                for entry in legend.entries
            ),
        ]
    )


def _outline(geobox: GeoBox) -> BaseGeometry:
    crs = pyproj.CRS.from_user_input(str(geobox.crs))
    return Aoi(shapely.box(*geobox.boundingbox.bbox), crs).lonlat


def _plain(geometry: BaseGeometry) -> BaseGeometry:
    """No more points than a pixel can tell, outer rings counterclockwise (RFC 7946, 3.1.6)."""
    return shapely.orient_polygons(shapely.set_precision(shapely.simplify(geometry, TOLERANCE), PRECISION))
