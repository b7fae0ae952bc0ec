"""What Earth Engine's catalog has of a place and time: scenes found, counted and listed by their ids.

It costs looks at the catalog and no pixel. Expressions are pure, as those of `graph`; functions that ask take
what asks as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import ee
import pyproj
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites.scene_list import ListedScene, Scenes, dated
from gee_pipeline.errors import EarthEngineError
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import TimeBin
from gee_pipeline.sensors import CloudMask

T = TypeVar("T")

Ask = Callable[[ee.ComputedObject, Callable[[Any], Any]], Any]
"""Asks for the value of an expression and gives what a function makes of it: `Fetcher.value`."""

MARGIN: Final = 0.005
"""Degrees, about 500 m: how far a tile may reach beyond the straight edges of its footprint in degrees."""

LISTED: Final = 1_000
"""Scenes that one request lists at most; Earth Engine answers with up to 5,000 elements of a collection."""

COUNTED: Final = 5_000
"""Scenes of an area up to which those without Cloud Score+ are counted before work starts."""

_INDEX: Final = "system:index"
_TIME: Final = "system:time_start"


def search_region(geobox: GeoBox) -> ee.Geometry:
    """The box of longitude and latitude in which the scenes of some pixels are looked for.

    It reaches 0.005 degrees further, and may cross the antimeridian.

    Args:
        geobox: Pixels, in any CRS.
    """
    west, south, east, north = lonlat_bounds(geobox)
    corners = (west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN)
    return ee.Geometry.BBox(*(round(value, 6) for value in corners))  # to 0.1 m


def lonlat_bounds(geobox: GeoBox) -> tuple[float, float, float, float]:
    """West, south, east and north of some pixels in degrees; across the antimeridian east is the smaller.

    Args:
        geobox: Pixels, in any CRS.
    """
    crs = pyproj.CRS.from_user_input(str(geobox.crs))
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, north = to_lonlat.transform_bounds(*geobox.boundingbox.bbox)
    return west, south, east, north


@dataclass(frozen=True)
class Found:
    """The scenes of one sensor in an area, counted."""

    scenes: int
    """How many there are."""
    without_score: int | None
    """Scenes of these without Cloud Score+; None of more than `COUNTED`."""
    simulated: bool
    """Whether any says of itself that no satellite saw it, as an emulator's may."""


def count_scenes(ask: Ask, region: ee.Geometry, span: TimeBin, group: SensorGroup) -> Found:
    """How many scenes of a sensor touch an area, in one request.

    Args:
        ask: Asks Earth Engine.
        region: Polygon in EPSG:4326.
        span: Days, by their own clock.
        group: The sensor, and the bands that they must have.

    Raises:
        AccessError: Earth Engine cannot be used.
        EarthEngineError: The request failed for good.
    """
    found: Found = ask(scene_counts(region, span, group), _counted)
    return found


def find_scenes(
    ask: Ask, box: GeoBox, parts: Sequence[GeoBox], span: TimeBin, recipe: Recipe
) -> list[Scenes]:
    """The scenes that may touch each of some parts of a box, of all sensors of a recipe.

    One request a sensor lists them, or a few where there are more than `LISTED`.

    Args:
        ask: Asks Earth Engine.
        box: Pixels that hold all parts.
        parts: Pixels.
        span: Days, by their own clock.
        recipe: Whose sensors are looked for.

    Returns:
        The scenes of each part.

    Raises:
        AccessError: Earth Engine cannot be used.
        EarthEngineError: A request failed for good.
    """
    regions = [search_region(part) for part in parts]
    by_sensor = {
        group.sensor.name: _find(ask, search_region(box), regions, span, group) for group in recipe.sensors
    }
    return [{name: tuple(sorted(found[n])) for name, found in by_sensor.items()} for n in range(len(parts))]


def scenes(region: ee.Geometry, span: TimeBin, group: SensorGroup) -> ee.ImageCollection:
    """The scenes of a span that touch a region; the servers find them by their index of times and places.

    Args:
        region: Where scenes are looked for: a polygon of known corners in EPSG:4326.
        span: Days, by their own clock.
        group: The sensor, and the bands that they must have.
    """
    sensor = group.sensor
    instants = (f"{instant:%Y-%m-%dT%H:%M:%S}" for instant in dated(span, sensor).instants)
    found = ee.ImageCollection(sensor.collection).filterDate(*instants).filterBounds(region)
    for name, value in sensor.image_properties:
        found = found.filter(ee.Filter.eq(name, value))
    for band in group.bands if sensor.bands_listed_in else ():
        found = found.filter(ee.Filter.listContains(sensor.bands_listed_in, band))
    return found


def scene_counts(region: ee.Geometry, span: TimeBin, group: SensorGroup) -> ee.Dictionary:
    """How many scenes there are, and of the first `COUNTED` how many have no score; and any simulated."""
    found = scenes(region, span, group)
    some = found.limit(COUNTED)
    scored = _scored(some, group.sensor.clouds).size() if group.clear and group.sensor.clouds else some.size()
    simulated = found.filter(ee.Filter.eq("simulated", 1)).limit(1).size()
    without = some.size().subtract(scored)
    return ee.Dictionary({"scenes": found.size(), "without_score": without, "simulated": simulated})


def scene_list(
    region: ee.Geometry, parts: Sequence[ee.Geometry], span: TimeBin, group: SensorGroup
) -> ee.Dictionary:
    """The first `LISTED` scenes of a region: `index` and `time` of each, and the indices of some of them.

    `scored` are those to which a Cloud Score+ image belongs, `parts` those that touch each part.

    Args:
        region: Where scenes are looked for: a polygon of known corners in EPSG:4326.
        parts: Polygons within it.
        span: Days, by their own clock.
        group: The sensor, and the bands that they must have.
    """
    found, clouds = scenes(region, span, group).limit(LISTED), group.sensor.clouds
    scored: Any = _indices(_scored(found, clouds)) if group.clear and clouds else []
    return ee.Dictionary(
        {
            "index": _indices(found),
            "time": found.aggregate_array(_TIME),
            "scored": scored,
            "parts": [_indices(found.filterBounds(part)) for part in parts],
        }
    )


def _scored(found: ee.ImageCollection, clouds: CloudMask) -> ee.ImageCollection:
    """Those of some scenes to which a Cloud Score+ image belongs: it has their index, and a time."""
    scores = ee.ImageCollection(clouds.score_collection)
    return found.linkCollection(scores, linkedProperties=[_TIME]).filter(ee.Filter.notNull([_TIME]))


def _indices(found: ee.ImageCollection) -> ee.List:
    return found.aggregate_array(_INDEX)


def _find(
    ask: Ask, region: ee.Geometry, parts: Sequence[ee.Geometry], span: TimeBin, group: SensorGroup
) -> list[set[ListedScene]]:
    """The scenes of one sensor that touch each part; days are halved where one answer cannot list all."""
    count, found = ask(scene_list(region, parts, span, group), _listed)
    if count < LISTED:
        return found
    days = (span.end - span.start).days
    if days == 1:
        raise EarthEngineError(
            f"A list of scenes has fewer than {LISTED:,} of one day, and Earth Engine's "
            f"{group.sensor.collection} has more on {span.start}. Use smaller cells (--cell-size)."
        )
    middle = span.start + timedelta(days=days // 2)
    halves = (replace(span, end=middle), replace(span, start=middle))
    first, second = (_find(ask, region, parts, half, group) for half in halves)
    return [one | other for one, other in zip(first, second, strict=True)]


def _counted(values: Any) -> Found:
    """What `scene_counts` gives."""
    count, without = int(values["scenes"]), int(values["without_score"])
    return Found(count, without if count <= COUNTED else None, int(values["simulated"]) > 0)


def _listed(values: Any) -> tuple[int, list[set[ListedScene]]]:
    """Number of scenes, and those of each part, of what `scene_list` gives."""
    scored = set(values["scored"])
    pairs = zip(values["index"], values["time"], strict=True)
    by_index = {index: ListedScene(int(time), str(index), index in scored) for index, time in pairs}
    return len(values["index"]), [{by_index[index] for index in part} for part in values["parts"]]
