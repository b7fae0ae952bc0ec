"""What the codes of a map mean, and the same legend for GDAL, QGIS and people."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES, in_words, read_json
from gee_pipeline.legends.crosswalk import standard_codes
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from inference.drawing.class_colors import (
    NOT_CROPLAND_COLOR,
    NOT_ENOUGH_COLOR,
    require_colors,
    shown_color,
)

if TYPE_CHECKING:
    from inference.models.crop_class import CropClass


def slug(text: str) -> str:
    """A text for machines: ASCII letters, digits and dashes; empty where it has none of them."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^0-9a-z]+", "-", plain).strip("-")


@dataclass(frozen=True)
class LegendEntry:
    """One code of a map."""

    code: int
    """Pixel value, 1 to 255."""
    name: str
    """Name for people."""
    color: str
    """Colour as `#rrggbb`."""

    @property
    def slug(self) -> str:
        """Name for machines: ASCII letters, digits and dashes."""
        return slug(self.name) or f"class-{self.code}"

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        red, green, blue = bytes.fromhex(self.color[1:])
        return red, green, blue


def _entry_values(entry: LegendEntry) -> dict[str, Any]:
    """An entry as JSON values, with its codes in standard lists where the crop has some."""
    values = {"code": entry.code, "name": entry.name, "color": entry.color}
    standard = {name: list(codes) for name, codes in standard_codes(entry.name).items()}
    return {**values, "standard_codes": standard} if standard else values


_SPECIAL: Final = (
    LegendEntry(NOT_CROPLAND, "not cropland", NOT_CROPLAND_COLOR),
    LegendEntry(NOT_ENOUGH, "not enough observations", NOT_ENOUGH_COLOR),
)


@dataclass(frozen=True)
class Legend:
    """Every code that a pixel inside the area can have, in order."""

    entries: tuple[LegendEntry, ...]
    """The classes by code, then "not cropland" and "not enough observations"."""
    nodata: int = OUTSIDE
    """Code of pixels that are not part of the map."""

    def __post_init__(self) -> None:
        repeated = [code for code, n in Counter(e.code for e in self.entries).items() if n > 1]
        if repeated:
            raise InputError(f"Each code of a map has one meaning, got several for {repeated}.")

    @classmethod
    def of(cls, classes: Sequence[CropClass], colors: Mapping[str, str] | None = None) -> Legend:
        """The legend of a model's classes.

        Args:
            classes: Their codes, names and colours.
            colors: `#rrggbb` by name, in place of those of the classes and of the special codes.

        Raises:
            InputError: Two classes share a code, or a chosen colour cannot be used.
        """
        ordered = sorted(classes, key=lambda c: c.code)
        crops = [LegendEntry(c.code, c.name, shown_color(c.name, c.color)) for c in ordered]
        return cls((*crops, *_SPECIAL)).recolored(colors or {})

    def recolored(self, colors: Mapping[str, str]) -> Legend:
        """The same legend in chosen colours.

        Args:
            colors: `#rrggbb` by name.

        Raises:
            InputError: A name is none of the legend's, or a colour is none.
        """
        require_colors(colors, [entry.name for entry in self.entries])
        entries = (replace(one, color=colors.get(one.name, one.color).lower()) for one in self.entries)
        return replace(self, entries=tuple(entries))

    @property
    def crops(self) -> tuple[LegendEntry, ...]:
        """The entries of the model's classes."""
        return tuple(entry for entry in self.entries if entry.code < NOT_CROPLAND)

    def of_classes(self) -> Legend:
        """The legend of a layer that holds codes of classes alone, and 255 where there is none."""
        return Legend(self.crops, NONE)

    @property
    def codes(self) -> frozenset[int]:
        """Every code that a pixel may have, outside included."""
        return frozenset({self.nodata, *(entry.code for entry in self.entries)})

    def colormap(self) -> dict[int, tuple[int, int, int, int]]:
        """Red, green, blue and alpha of each code, for a GeoTIFF's colour table."""
        colors = {entry.code: (*entry.rgb, 255) for entry in self.entries}
        return {self.nodata: (0, 0, 0, 0), **colors}

    def tags(self) -> dict[str, str]:
        """The names as metadata, `CLASS_1=corn`: readable by every GDAL program, inside the file."""
        return {f"CLASS_{code}": name for code, name in self.names().items()}

    def names(self) -> dict[int, str]:
        """The name of each code, first that of pixels that are not part of the map."""
        return {self.nodata: "outside" if self.nodata == OUTSIDE else "none"} | {
            e.code: e.name for e in self.entries
        }

    def to_dict(self) -> dict[str, Any]:
        """The legend as JSON values."""
        outside = {"code": OUTSIDE, "name": "outside", "color": None}
        return {"classes": [outside, *map(_entry_values, self.entries)]}

    def to_pam(self, counted: Mapping[int, tuple[int, float]] | None = None) -> bytes:
        """The `.aux.xml` next to the map: category names and an attribute table for GDAL.

        Args:
            counted: Pixels and hectares by code; None leaves them out.
        """
        root = ET.Element("PAMDataset")
        band = ET.SubElement(root, "PAMRasterBand", band="1")
        names = self.names()
        categories = ET.SubElement(band, "CategoryNames")
        for code in range(256):  # the list has no keys: the position is the code
            ET.SubElement(categories, "Category").text = names.get(code, "")
        _attribute_table(band, self.entries, counted)
        return _xml(root)


def read_legend(path: Path) -> Legend:
    """The legend that `Legend.to_dict` wrote.

    Args:
        path: `legend.json` beside a map.

    Raises:
        InputError: It cannot be read, or holds no legend.
    """
    try:
        entries = read_json(path)["classes"]
        return Legend(
            tuple(LegendEntry(int(e["code"]), e["name"], e["color"]) for e in entries if e["code"] != OUTSIDE)
        )
    except ODD_VALUES as error:
        raise InputError(
            f"The legend {path} cannot be used: {in_words(error)}. Make the map again."
        ) from error


# Columns of a GDAL attribute table: name, type (0 integer, 1 real, 2 string), usage (GDALRATFieldUsage).
_COLUMNS: Final = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
_COUNTED: Final = (("Count", 1, 1), ("Hectares", 1, 0))  # real: an integer there has 32 bits, a country more


def _attribute_table(
    band: ET.Element, entries: Sequence[LegendEntry], counted: Mapping[int, tuple[int, float]] | None
) -> None:
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS if counted is None else (*_COLUMNS, *_COUNTED)):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = name
        ET.SubElement(column, "Type").text = str(kind)
        ET.SubElement(column, "Usage").text = str(usage)
    for index, entry in enumerate(entries):
        row = ET.SubElement(table, "Row", index=str(index))
        more = () if counted is None else counted.get(entry.code, (0, 0.0))
        for value in (entry.code, entry.name, *entry.rgb, *more):
            ET.SubElement(row, "F").text = str(value)


def _xml(root: ET.Element) -> bytes:
    ET.indent(root)
    return f"{ET.tostring(root, encoding='unicode')}\n".encode()
