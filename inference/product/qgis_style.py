"""How QGIS shows the rasters of a map: the same elements in a style file and in a project."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Final

from gee_pipeline.bands import BRIGHTEST
from gee_pipeline.layers import Layer
from inference.product.legend import Legend

QGIS_VERSION: Final = "3.22"
"""The oldest version of QGIS that these files were opened with."""

DOCTYPE: Final = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no document of XML holds (XML 1.0, section 2.2)."""

SCALE: Final = "cividis"
"""Colours of layers with values: they look alike to all readers (Nunez, Anderton and Renslow 2018)."""

STOPS: Final = 5
"""Colours between which QGIS draws a line; more do not change what one sees."""


def layer_style(layer: Layer, legend: Legend, bins: int) -> bytes:
    """The `.qml` of a raster; beside it and of its name, QGIS takes it by itself.

    Args:
        layer: The layer.
        legend: What the codes of the map mean.
        bins: Bins of the model's window: the most clear observations that a pixel has.
    """
    return class_style(legend) if layer.is_class else _style_file(layer_pipe(layer, legend, bins))


def class_style(legend: Legend) -> bytes:
    """The `.qml` of a raster of codes."""
    return _style_file(_palette(legend))


def true_color_style(bands: tuple[int, int, int]) -> bytes:
    """The `.qml` of composites: reflectance from 0 to `BRIGHTEST` of three bands.

    QGIS shows the first three bands of a raster as red, green and blue whatever the file says they are.

    Args:
        bands: Which are red, green and blue, from 1.
    """
    pipe, renderer = _pipe("multibandcolor")
    for color, band in zip(("red", "green", "blue"), bands, strict=True):
        renderer.set(f"{color}Band", str(band))
        stretch = ET.SubElement(renderer, f"{color}ContrastEnhancement")
        ET.SubElement(stretch, "minValue").text = "0"
        ET.SubElement(stretch, "maxValue").text = str(BRIGHTEST)
        ET.SubElement(stretch, "algorithm").text = "StretchToMinimumMaximum"
    return _style_file(pipe)


def layer_pipe(layer: Layer, legend: Legend, bins: int, band: int = 1) -> ET.Element:
    """The `pipe` of a raster: codes in the colours of the legend, values from the lowest that there can be to
    the highest, so that two maps are compared by eye.

    Args:
        layer: The layer.
        legend: What the codes of the map mean.
        bins: Bins of the model's window.
        band: Which of its bands is shown, from 1.
    """
    return _palette(legend) if layer.is_class else _pseudocolor(layer.highest or bins, band)


def style_document(kind: str) -> ET.Element:
    """The element around everything that QGIS is told.

    Args:
        kind: `Symbology` for a style, and what else it holds.
    """
    return ET.Element("qgis", version=QGIS_VERSION, styleCategories=kind)


def to_xml(root: ET.Element) -> bytes:
    """A document of QGIS as it is written."""
    ET.indent(root)
    return xml_bytes(f"{DOCTYPE}\n{ET.tostring(root, encoding='unicode')}\n")


def xml_bytes(document: str) -> bytes:
    """A document of XML as UTF-8, without the control characters that XML cannot hold."""
    return _NO_XML.sub("", document).encode()


def _style_file(pipe: ET.Element) -> bytes:
    root = style_document("Symbology")
    root.append(pipe)
    ET.SubElement(root, "blendMode").text = "0"
    return to_xml(root)


def _palette(legend: Legend) -> ET.Element:
    pipe, renderer = _pipe("paletted", 1)
    palette = ET.SubElement(renderer, "colorPalette")
    for entry in legend.entries:
        ET.SubElement(
            palette, "paletteEntry", value=str(entry.code), label=entry.name, color=entry.color, alpha="255"
        )
    return pipe


def _pseudocolor(highest: int, band: int) -> ET.Element:
    pipe, renderer = _pipe("singlebandpseudocolor", band)
    renderer.set("classificationMin", "0")
    renderer.set("classificationMax", str(highest))
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        minimumValue="0",
        maximumValue=str(highest),
        clip="0",
    )
    for value, color in _scale(highest):
        ET.SubElement(shader, "item", value=f"{value:g}", label=f"{value:g}", color=color, alpha="255")
    return pipe


def _scale(highest: int) -> list[tuple[float, str]]:
    """Values from 0 on and their colours."""
    import matplotlib
    from matplotlib.colors import to_hex

    colors = matplotlib.colormaps[SCALE]
    shares = [step / (STOPS - 1) for step in range(STOPS)]
    return [(highest * share, to_hex(colors(share))) for share in shares]


def _pipe(kind: str, band: int | None = None) -> tuple[ET.Element, ET.Element]:
    """A pipe of one band, or of several that are set later, and its renderer."""
    pipe = ET.Element("pipe")
    renderer = ET.SubElement(pipe, "rasterrenderer", type=kind)
    if band is not None:
        renderer.set("band", str(band))
    for name, value in (("opacity", "1"), ("alphaBand", "-1"), ("nodataColor", "")):
        renderer.set(name, value)
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="1")  # 1: codes are never blended
    return pipe, renderer
