"""Districts of an area: polygons with a name, on the pixels of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window, bounds
from rasterio.windows import transform as window_transform
from shapely.geometry.base import BaseGeometry

from assessment.sample.layer import read_layer
from assessment.sample.map_file import AssessedMap
from gee_pipeline.aoi import Aoi, polygonal_part
from gee_pipeline.errors import InputError
from gee_pipeline.incoming.geometry import GeometryError, sound

_REACH: Final = 20.0
"""Degrees around the area of use of a CRS in which it has coordinates too."""

ELSEWHERE = "outside the districts"
"""What pixels in no district are called."""


@dataclass(frozen=True)
class Districts:
    """Polygons in the CRS of a map; a pixel belongs to the one that holds its centre."""

    names: Sequence[str]
    """Their names; index 0 is what lies in none of them."""
    areas: Sequence[BaseGeometry]
    """The polygons of the names from index 1 on."""

    def indices(self, assessed: AssessedMap, window: Window) -> NDArray[np.intp]:
        """`(y, x)`: index of the district of each pixel of a window, 0 for none."""
        from rasterio.features import rasterize

        shape, transform = (window.height, window.width), window_transform(window, assessed.transform)
        frame = bounds(window, assessed.transform)
        parts = [
            (shapely.clip_by_rect(area, *frame), index)
            for index, area in enumerate(self.areas, start=1)
            if area.intersects(shapely.box(*frame))
        ]
        shapes = [(part, index) for part, index in parts if part.area > 0]
        if not shapes:
            return np.zeros(shape, np.intp)
        return np.asarray(rasterize(shapes, shape, transform=transform, dtype="int32"), np.intp)


NO_DISTRICTS = Districts((ELSEWHERE,), ())


def read_districts(path: Path, column: str, crs: pyproj.CRS) -> Districts:
    """The districts in a vector file; polygons of one name are one district.

    Args:
        path: GeoJSON, GeoPackage or Shapefile with polygons.
        column: Column of the names.
        crs: CRS of the map.

    Raises:
        InputError: The file cannot be read, lacks the column, a CRS, a name or polygons; districts overlap.
    """
    frame = _read(path)
    if column not in frame.columns:
        known = [str(name) for name in frame.columns if name != frame.geometry.name]
        raise InputError(
            f"The districts {path} have no column {column!r}; they have {', '.join(known) or 'none'}. Name "
            "one with --district-column."
        )
    if frame.crs is None:
        raise InputError(f"The districts {path} have no CRS. Save them as GeoPackage with their CRS set.")
    named = frame[column]
    if missing := np.flatnonzero(named.isna() | (named.astype(str).str.strip() == "")).tolist():
        raise InputError(
            f"Every district needs a name; rows {missing[:20]} of {path} have none in {column!r}. Fill them."
        )
    if (named.astype(str).str.strip() == ELSEWHERE).any():
        raise InputError(
            f"A district of {path} is called {ELSEWHERE!r}, as what lies in no district is. Rename it."
        )
    groups: dict[str, list[BaseGeometry]] = {}
    for name, geometry in zip(named.astype(str).str.strip(), frame.geometry, strict=True):
        groups.setdefault(name, []).append(geometry)
    names = sorted(groups)
    areas = [_joined(groups[name], frame.crs, crs, f"{path}, {name}") for name in names]
    _require_apart(names, areas)
    return Districts((ELSEWHERE, *names), areas)


def _read(path: Path) -> Any:
    import geopandas

    frame = read_layer(path, "districts", areas=True)
    if not isinstance(frame, geopandas.GeoDataFrame) or len(frame) == 0:
        raise InputError(f"The districts {path} hold no polygon. Give a file with polygons.")
    return frame


def _joined(geometries: Sequence[BaseGeometry], source: Any, target: pyproj.CRS, owner: str) -> BaseGeometry:
    """The polygons of one district as one, in the CRS of the map."""
    try:
        valid = [shapely.make_valid(sound(one)) for one in geometries if one is not None]
    except GeometryError as error:
        raise InputError(f"A polygon of {owner} cannot be used: {error}. Correct it.") from error
    joined = polygonal_part(shapely.union_all(valid))
    if joined.is_empty:
        raise InputError(f"The district {owner} has no area. Give polygons.")
    system = pyproj.CRS.from_user_input(source)
    near = _near(joined, system, target)
    return near if near.is_empty else Aoi(near, system).to(target)


def _near(area: BaseGeometry, source: pyproj.CRS, target: pyproj.CRS) -> BaseGeometry:
    """The part of a district that the CRS of the map can show: its formulas have no answer far away."""
    use = target.area_of_use
    if use is None or not source.is_geographic:
        return area
    east = use.east + 360 * (use.east < use.west)
    low, high = max(use.south - _REACH, -90), min(use.north + _REACH, 90)
    turns = (-360, 0, 360)
    reach = shapely.union_all(
        [shapely.box(use.west - _REACH + t, low, east + _REACH + t, high) for t in turns]
    )
    return area if reach.covers(area) else polygonal_part(area.intersection(reach))


def _require_apart(names: Sequence[str], areas: Sequence[BaseGeometry]) -> None:
    """Refuse districts that share more than slivers: a pixel would be in two."""
    tree = shapely.STRtree(areas)
    for one, other in sorted(zip(*tree.query(areas, predicate="intersects").tolist(), strict=True)):
        shared = shapely.intersection(areas[one], areas[other]).area if one < other else 0.0
        if shared > 0.001 * min(areas[one].area, areas[other].area):
            raise InputError(
                f"Districts do not overlap; {names[one]} and {names[other]} share {shared / 10_000:,.1f} ha. "
                "Correct the polygons."
            )
