"""The labels of an image, or of a table of polygons, on Earth Engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import ee
import numpy as np
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites import graph, reference
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.errors import EarthEngineError, InputError
from training.sampling.reference.class_table import OTHER_CODE, ClassTable
from training.sampling.reference.raster_labels import require_numbers
from training.sampling.reference.reference_maps import ServerImage, ServerTable
from training.sampling.reference.square_labels import SquareLabels
from training.sampling.squares.grid import SampleCell


@dataclass(frozen=True)
class ImageLabels:
    """An image whose values are classes; the servers merge them and cut borders away."""

    place: ServerImage
    """The image."""
    table: ClassTable
    """What its values mean."""
    fetcher: Fetcher
    """Asks Earth Engine."""

    def require(self) -> None:
        """Look at the image once.

        Raises:
            InputError: There is no such image, it lacks the band, or the table takes texts.
        """
        require_numbers(self.table, self.place.asset)
        asset, band = self.place.asset, self.place.band
        try:
            bands = self.fetcher.value(ee.Image(asset).bandNames(), _names)
        except EarthEngineError as error:
            raise InputError(
                f"The reference map {asset} cannot be read as an image of Earth Engine: {error} Check its "
                "id, that it is an image and not a collection, and that it is shared with you; a year of the "
                "Cropland Data Layer is published early in the next."
            ) from error
        if band is not None and band not in bands:
            raise InputError(
                f"The reference map {asset} has no band {band}; it has {', '.join(bands)}. Name one of "
                f"them, for example --reference asset:{asset}:{bands[0]}."
            )

    def read(self, cell: SampleCell, spacing: int, buffer: float) -> SquareLabels:
        """The labels of a square.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: The request failed for good.
        """
        codes = {value: label + 1 for value, label in self.table.labels.items()}
        left_out = {v: 0 for v in self.table.left_out if isinstance(v, int)} if self.table.rest else {}
        image = reference.pure_classes(
            self.place.asset,
            self.place.band,
            codes | left_out,
            cell.crs,
            buffer=buffer,
            rest=self.table.rest,
            cropland=_cropland(self.table),
            cropland_code=OTHER_CODE,
        )
        found, values = self.fetcher.raster(image, cell.lattice(spacing))
        return SquareLabels(found.astype(np.uint8), values.astype(np.int32), values != reference.NO_VALUE)


@dataclass(frozen=True)
class TableLabels:
    """A table of polygons with a code, which the servers paint."""

    place: ServerTable
    """The table."""
    table: ClassTable
    """What its codes mean."""
    fetcher: Fetcher
    """Asks Earth Engine."""

    def require(self) -> None:
        """Look at the first polygon.

        Raises:
            InputError: There is no such table, it is empty, or it lacks the property.
        """
        asset, column = self.place.asset, self.place.column
        first = ee.List(ee.FeatureCollection(asset).limit(1).toList(1).map(_properties))
        try:
            found = self.fetcher.value(first, _lists)
        except EarthEngineError as error:
            raise InputError(
                f"The reference {asset} cannot be read as a table of Earth Engine: {error} Check its id, "
                "that it is a table, and that it is shared with you."
            ) from error
        if not found or column not in found[0]:
            names = [name for name in (found[0] if found else []) if not name.startswith("system:")]
            raise InputError(
                f"The polygons of {asset} have no property {column!r}; they have "
                f"{', '.join(names) or 'none'}. Name one of these with --code-column."
            )

    def read(self, cell: SampleCell, spacing: int, buffer: float) -> SquareLabels:
        """The labels of a square: which codes are there, then the polygons painted; values are texts.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: A request failed for good.
        """
        lattice = cell.lattice(spacing)
        region = _around(lattice, buffer)
        parcels = reference.coded_parcels(self.place.asset, self.place.column, region)
        listed = self.fetcher.value(ee.List(parcels.aggregate_array(reference.CODE)).distinct(), _texts)
        names = [_plain(text) for text in listed]
        image = reference.pure_parcels(
            parcels,
            {text: self.table.code_of(name) for text, name in zip(listed, names, strict=True)},
            cell.crs,
            buffer=buffer,
            cropland=_cropland(self.table),
            cropland_code=OTHER_CODE,
        )
        found, places = self.fetcher.raster(image, lattice)
        known = places != reference.NO_VALUE
        values = np.array([*names, ""])[np.where(known, places, -1)]
        return SquareLabels(found.astype(np.uint8), values, known)


def _cropland(table: ClassTable) -> ee.Image | None:
    return graph.cropland(table.cropland_outside) if table.cropland_outside else None


def _around(lattice: GeoBox, buffer: float) -> ee.Geometry:
    box = lattice.boundingbox.buffered(buffer + lattice.resolution.x)
    return ee.Geometry.Rectangle(list(box.bbox), str(lattice.crs), False)


def _properties(feature: Any) -> Any:
    return ee.Feature(feature).propertyNames()


def _plain(text: str) -> str:
    """A code as text; numbers as whole numbers, for Earth Engine's are often 1.0."""
    value = json.loads(text)
    return str(int(value) if isinstance(value, float) and value == int(value) else value).strip()


def _names(values: Any) -> list[str]:
    """Names of bands; an image has one at least."""
    if not values or not all(isinstance(name, str) for name in values):
        raise ValueError("names are texts")
    return list(values)


def _lists(values: Any) -> list[list[str]]:
    if not isinstance(values, list):
        raise ValueError("a list is needed")
    return values


def _texts(values: Any) -> list[str]:
    """Codes of polygons as JSON."""
    if not isinstance(values, list) or not all(
        isinstance(json.loads(one), str | int | float) for one in values
    ):
        raise ValueError("codes are texts or numbers")
    return values
