"""A QGIS project of all published maps: each layer with its colours, none of them looked for by hand."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyproj
import rasterio
from rasterio.warp import transform_bounds

from assessment.document.facts import recipe_of
from assessment.fields import fields, tables
from assessment.publication.folder import ITEM
from assessment.smoothing import request
from gee_pipeline.files import read_json, write_bytes
from gee_pipeline.layers import BASE, CROP_MAP, ON_REQUEST, Layer
from inference.product.legend import Legend, read_legend
from inference.product.qgis_style import layer_pipe, style_document, to_xml

PROJECT: Final = "maps.qgz"

_SMOOTHED: Final = f"{request.SMOOTHED}/{request.SMOOTHED_MAP}"
_FIELDS: Final = f"{fields.FOLDER}/{tables.GEOPACKAGE}"

_VECTOR: Final = "ogr"
_RASTER: Final = "gdal"


@dataclass(frozen=True)
class ProjectLayer:
    """One layer of a project."""

    id: str
    """What the project calls it."""
    title: str
    """What people call it."""
    source: str
    """Its file as seen from the project."""
    provider: str
    """`gdal` for rasters, `ogr` for vectors."""
    crs: pyproj.CRS
    """Its CRS."""
    style: Sequence[ET.Element]
    """What says how it is drawn."""
    visible: bool
    """Whether it is shown when the project opens."""


def write_project(folder: Path, maps: Sequence[str], title: str) -> None:
    """Write the project of the maps in a folder.

    Args:
        folder: Folder with a folder for each map.
        maps: Their names.
        title: Title of the project.

    Raises:
        DiskFullError: The disk has no room.
    """
    groups = {name: list(map_layers(folder, name)) for name in maps}
    titles = {name: read_json(folder / name / ITEM)["properties"]["title"] for name in maps}
    root = style_document("AllStyleCategories")
    root.set("projectname", title)
    ET.SubElement(root, "title").text = title
    crs = next(iter(groups.values()))[0].crs
    root.append(_crs("projectCrs", crs))
    _add_tree(root, {titles[name]: layers for name, layers in groups.items()})
    _add_canvas(root, crs, _extent(folder, maps, crs))
    layers = ET.SubElement(root, "projectlayers")
    for one in (layer for group in groups.values() for layer in group):
        layers.append(_layer(one))
    _add_properties(root)
    write_bytes(folder / PROJECT, _zipped(to_xml(root)))


def map_layers(folder: Path, name: str) -> Iterator[ProjectLayer]:
    """The layers of one map, the uppermost first.

    Args:
        folder: Folder of the publication.
        name: Folder of the map in it.
    """
    place = folder / name
    legend = read_legend(place / "legend.json")
    bins = len(recipe_of(read_json(place / "report.json")).window)
    shown = read_json(place / ITEM)["properties"]["cropmap:areas_of"]
    with rasterio.open(place / f"{CROP_MAP.name}.tif") as file:
        crs = pyproj.CRS.from_user_input(file.crs)

    def layer(key: str, title: str, file: str, style: Sequence[ET.Element], provider: str = _RASTER) -> Any:
        source = f"./{name}/{file}"
        return ProjectLayer(f"{name}_{key}", title, source, provider, crs, style, Path(file).name == shown)

    if (place / _FIELDS).is_file():
        yield layer("fields", "Parcels", f"{_FIELDS}|layername=fields", _polygons(legend), _VECTOR)
    if (place / _SMOOTHED).is_file():
        yield layer("smoothed", "Without speckle", _SMOOTHED, _drawn(CROP_MAP, legend, bins))
    for one in (*BASE, *ON_REQUEST):
        codes = legend if one in BASE else legend.of_classes()
        if (place / f"{one.name}.tif").is_file():
            for band, title in enumerate(_titles(one, legend), start=1):
                key = f"{one.name}_{band}" if one.per_class else one.name
                yield layer(key, title, f"{one.name}.tif", _drawn(one, codes, bins, band))


def _titles(layer: Layer, legend: Legend) -> list[str]:
    """What each band of a layer is called."""
    return [f"{layer.title}: {entry.name}" for entry in legend.crops] if layer.per_class else [layer.title]


def _drawn(layer: Layer, legend: Legend, bins: int, band: int = 1) -> list[ET.Element]:
    return [layer_pipe(layer, legend, bins, band), _text("blendMode", "0")]


def _polygons(legend: Legend) -> list[ET.Element]:
    """Parcels in the colours of their classes."""
    renderer = ET.Element("renderer-v2", type="categorizedSymbol", attr="class", enableorderby="0")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, entry in enumerate(legend.crops):
        known = {"symbol": str(number), "value": entry.name, "label": entry.name, "render": "true"}
        ET.SubElement(categories, "category", known)
        symbol = ET.SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1")
        fill = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "pass": "0", "enabled": "1"})
        red, green, blue = entry.rgb
        for key, value in (
            ("color", f"{red},{green},{blue},255"),
            ("style", "solid"),
            ("outline_color", "60,60,60,255"),
            ("outline_width", "0.1"),
        ):
            ET.SubElement(fill, "prop", k=key, v=value)
    return [renderer]


def _layer(one: ProjectLayer) -> ET.Element:
    kind = {"type": "raster"} if one.provider == _RASTER else {"type": "vector", "geometry": "Polygon"}
    element = ET.Element("maplayer", kind)
    for name, text in (("id", one.id), ("datasource", one.source), ("layername", one.title)):
        element.append(_text(name, text))
    element.append(_crs("srs", one.crs))
    element.append(_text("provider", one.provider))
    element.extend(one.style)
    return element


def _add_tree(root: ET.Element, groups: dict[str, list[ProjectLayer]]) -> None:
    """The layers as the panel shows them, a group for each map."""
    tree = ET.SubElement(root, "layer-tree-group")
    for title, layers in groups.items():
        group = ET.SubElement(tree, "layer-tree-group", name=title, checked="Qt::Checked", expanded="1")
        for one in layers:
            ET.SubElement(
                group,
                "layer-tree-layer",
                id=one.id,
                name=one.title,
                source=one.source,
                providerKey=one.provider,
                checked="Qt::Checked" if one.visible else "Qt::Unchecked",
                expanded="1" if one.visible else "0",
            )


def _add_canvas(root: ET.Element, crs: pyproj.CRS, extent: Sequence[float]) -> None:
    """What is seen when the project opens, in the words of QGIS before and since 3.26."""
    limits = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(repr, map(float, extent)), strict=True))
    canvas = ET.SubElement(root, "mapcanvas", name="theMapCanvas")
    canvas.append(_text("units", "meters"))
    box = ET.SubElement(canvas, "extent")
    for name, value in limits.items():
        box.append(_text(name, value))
    canvas.append(_crs("destinationsrs", crs))
    settings = ET.SubElement(root, "ProjectViewSettings", UseProjectScales="0")
    ET.SubElement(settings, "DefaultViewExtent", limits).extend(_crs("", crs))


def _add_properties(root: ET.Element) -> None:
    """The project has a CRS, and finds its layers from where it lies."""
    properties = ET.SubElement(root, "properties")
    paths, system = (ET.SubElement(properties, name) for name in ("Paths", "SpatialRefSys"))
    ET.SubElement(paths, "Absolute", type="bool").text = "false"
    ET.SubElement(system, "ProjectionsEnabled", type="int").text = "1"


def _extent(folder: Path, maps: Sequence[str], crs: pyproj.CRS) -> tuple[float, float, float, float]:
    """The box that holds all maps, in the CRS of the project."""
    boxes = []
    for name in maps:
        with rasterio.open(folder / name / f"{CROP_MAP.name}.tif") as file:
            boxes.append(transform_bounds(file.crs, crs.to_wkt(), *file.bounds))
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def _crs(name: str, crs: pyproj.CRS) -> ET.Element:
    element = ET.Element(name)
    system, code = ET.SubElement(element, "spatialrefsys"), crs.to_epsg()
    system.append(_text("wkt", crs.to_wkt()))
    if code:
        system.append(_text("authid", f"EPSG:{code}"))
    return element


def _text(name: str, text: str) -> ET.Element:
    element = ET.Element(name)
    element.text = text
    return element


def _zipped(project: bytes) -> bytes:
    """A `.qgz`: the project in an archive, the same bytes for the same project."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(f"{Path(PROJECT).stem}.qgs", (1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, project)
    return content.getvalue()
