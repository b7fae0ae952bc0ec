"""What an expression can evaluate to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

if TYPE_CHECKING:
    from tests.support.ee_emulator.decision_trees import ParsedTree
    from tests.support.ee_emulator.grid import Grid
    from tests.support.ee_emulator.reading import Reader

INDEX = "system:index"
TIME = "system:time_start"

Properties = Mapping[str, Any]

IDENTITY = Affine.identity()


class EmulatorError(Exception):
    """An expression that Earth Engine would refuse, or that this emulator does not know."""


@dataclass(frozen=True)
class Pixels:
    """Values and their mask `(y, x)`, True where valid; the value of a masked pixel has no meaning.

    Values are `(y, x)`; those of an array band have the axes of the arrays after these, of the same lengths
    at all pixels.
    """

    values: NDArray[Any]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Projection:
    """A CRS and the transform from its pixels to its coordinates."""

    crs: str
    transform: Affine = IDENTITY


WGS84 = Projection("EPSG:4326")
"""What Earth Engine gives to images without pixels of their own: one degree."""

Compute = Callable[["Reader", "Grid"], Pixels]


@dataclass(frozen=True)
class Band:
    """A band that is computed when it is asked for."""

    name: str
    dtype: np.dtype[Any]
    """Type of its values."""
    compute: Compute
    """Its pixels on a grid; its identity is that of the band, whatever name that goes by."""
    projection: Projection = WGS84
    """The grid it would have by default."""
    shape: tuple[int, int] | None = None
    """Rows and columns of an asset; None for computed bands."""
    dimensions: int = 0
    """Axes of the array that each pixel holds; 0 where it is a number."""


Inside = Callable[["Grid"], NDArray[np.bool_]]


@dataclass(frozen=True)
class Footprint:
    """Where an image reaches."""

    shape: BaseGeometry
    """Outline in EPSG:4326."""
    inside: Inside
    """Which pixel centres of a grid lie within: `(y, x)`."""


@dataclass(frozen=True)
class Image:
    """Named bands with properties."""

    bands: tuple[Band, ...]
    properties: Properties = field(default_factory=dict)
    footprint: Footprint | None = None
    """None is everywhere."""
    id: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the bands, in order."""
        return [band.name for band in self.bands]

    def with_properties(self, properties: Properties) -> Image:
        """The same bands with other properties."""
        return replace(self, properties=properties)


@dataclass(frozen=True)
class Geometry:
    """A shape in some CRS."""

    shape: BaseGeometry
    crs: str = "EPSG:4326"
    geodesic: bool = False
    """Whether edges follow the shortest path on the earth, and not a straight line in the CRS."""


@dataclass(frozen=True)
class Feature:
    """A geometry with properties."""

    geometry: Geometry | None
    properties: Properties = field(default_factory=dict)

    def with_properties(self, properties: Properties) -> Feature:
        """The same place with other properties."""
        return replace(self, properties=properties)


Element = Image | Feature


@dataclass(frozen=True)
class Collection:
    """Elements in order: images or features."""

    elements: tuple[Element, ...]
    id: str | None = None
    properties: Properties = field(default_factory=dict)

    @property
    def images(self) -> tuple[Image, ...]:
        """The elements, all of which must be images."""
        for element in self.elements:
            if not isinstance(element, Image):
                raise EmulatorError(f"A collection of images is needed, it holds a {type(element).__name__}.")
        return self.elements  # type: ignore[return-value]

    def with_properties(self, properties: Properties) -> Collection:
        """The same elements with other properties of the collection."""
        return replace(self, properties=properties)


@dataclass(frozen=True)
class Filter:
    """A condition on one element, or on two of a join."""

    accepts: Callable[[Any, Any], bool]
    """Takes the left element and the right one (None in a plain filter)."""


@dataclass(frozen=True)
class Join:
    """How elements of two collections are put together."""

    apply: Callable[[Collection, Collection, Filter], Collection]


@dataclass(frozen=True)
class Kernel:
    """Weights `(y, x)` about a pixel, of odd size; a radius in metres waits for the size of a pixel."""

    weights: Callable[[float], NDArray[np.float64]]
    """Takes metres a pixel."""


@dataclass(frozen=True)
class Date:
    """Milliseconds since 1970 in UTC."""

    millis: int


@dataclass(frozen=True)
class DateRange:
    """Start included, end excluded, in milliseconds; None is unbounded."""

    start: int | None
    end: int | None

    def contains(self, millis: float) -> bool:
        """Whether a moment lies within."""
        return (self.start is None or self.start <= millis) and (self.end is None or millis < self.end)


@dataclass(frozen=True)
class ErrorMargin:
    """How exact a geometry must be; the emulator is always as exact as it can be."""

    value: float
    unit: str = "meters"


@dataclass(frozen=True, eq=False)
class Array:
    """Numbers in a box."""

    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Classifier:
    """An ensemble of decision trees."""

    trees: tuple[ParsedTree, ...]
    mode: str = "CLASSIFICATION"
    """What it tells of the trees' answers."""

    @property
    def schema(self) -> list[str]:
        """Names of the inputs."""
        return list(dict.fromkeys(name for tree in self.trees for name in tree.schema))


@dataclass(frozen=True)
class Function:
    """A function of the expression, with what it closes over."""

    call: Callable[..., Any]
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class PixelType:
    """Type of a band."""

    dtype: np.dtype[Any]
