"""How polygons go to exactextract as WKB and results come back as arrays: its own classes write GeoJSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from exactextract.feature import Feature, FeatureSource
from exactextract.writer import Writer


class Polygon(Feature):
    """A polygon that goes there, or the results that come back."""

    def __init__(self, wkb: bytes | None = None) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._wkb = wkb

    def geometry(self) -> bytes | None:
        """Its WKB."""
        return self._wkb

    def set(self, name: str, value: Any) -> None:
        """Keep a result."""
        self.values[name] = value

    def get(self, name: str) -> Any:
        """A result."""
        return self.values[name]

    def fields(self) -> list[str]:
        """Columns of its own: none."""
        return []

    def set_geometry(self, geometry: Any) -> None:
        """Results have no geometry."""

    def set_geometry_format(self) -> str:
        """In what form a geometry comes."""
        return "wkb"


class Polygons(FeatureSource):
    """Polygons as WKB."""

    def __init__(self, polygons: Sequence[bytes]) -> None:
        super().__init__()
        self._polygons = polygons

    def count(self) -> int:
        """How many there are."""
        return len(self._polygons)

    def __iter__(self) -> Iterator[Polygon]:
        return (Polygon(wkb) for wkb in self._polygons)

    def srs_wkt(self) -> None:
        """They are in the CRS of the raster."""


class Results(Writer):
    """Takes the results of each polygon."""

    def __init__(self) -> None:
        super().__init__()
        self._found: list[dict[str, Any]] = []

    def add_operation(self, operation: Any) -> None:
        """Each result has its name already."""

    def write(self, feature: Any) -> None:
        """Take those of one polygon."""
        result = Polygon()
        feature.copy_to(result)
        self._found.append(result.values)

    def features(self) -> list[dict[str, Any]]:
        """The results, in the order of the polygons."""
        return self._found
