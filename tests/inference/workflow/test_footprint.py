import math
from collections.abc import Callable
from dataclasses import replace

import pyproj
import pytest
import shapely
from shapely.geometry import mapping

from inference.models.checkpoint import Checkpoint
from inference.models.model_card import training_places
from inference.workflow.footprint import distance_km, training_gap

ARKANSAS = shapely.box(-91.5, 34.75, -90.05, 35.85)
INSIDE = shapely.box(-91.0, 35.0, -90.9, 35.1)


@pytest.fixture
def checkpoint(make_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    return replace(make_checkpoint(), provenance={"footprint": mapping(ARKANSAS)})


def test_an_area_inside_the_training_places_gets_no_warning(checkpoint: Checkpoint) -> None:
    assert training_gap(checkpoint, INSIDE) is None


def test_an_area_far_away_is_told_the_distance_and_the_classes(checkpoint: Checkpoint) -> None:
    """The haversine formula on a sphere of 6,371 km between the corners that face each other."""
    text = training_gap(checkpoint, shapely.box(1.3, 43.5, 1.5, 43.7))
    assert text is not None
    kilometres = float(text.split(" km")[0].split()[-1].replace(",", ""))
    a, b, across = math.radians(35.85), math.radians(43.7), math.radians(1.3 + 90.05)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(across / 2) ** 2
    assert kilometres == pytest.approx(2 * 6_371 * math.asin(math.sqrt(half)), rel=0.005)
    assert all(crop.name in text for crop in checkpoint.classes)


def test_an_area_beside_the_training_places_is_not_said_to_be_0_km_away(checkpoint: Checkpoint) -> None:
    _, _, east, north = training_places(checkpoint.provenance["footprint"]).bounds
    text = training_gap(checkpoint, shapely.box(east + 0.01, north - 0.01, east + 0.02, north))
    assert text is not None
    assert "lies less than 10 km from the nearest training place" in text


def test_an_area_that_reaches_beyond_is_told_so(checkpoint: Checkpoint) -> None:
    text = training_gap(checkpoint, shapely.box(-92.0, 35.0, -91.0, 35.5))
    assert text is not None
    assert "reaches beyond" in text


def test_a_model_without_known_places_gives_no_warning(make_checkpoint: Callable[..., Checkpoint]) -> None:
    assert training_gap(replace(make_checkpoint(), provenance={}), INSIDE) is None


@pytest.mark.parametrize(
    ("other", "point"),
    [
        (shapely.box(-89.0, 35.0, -88.0, 35.5), (-89.0, 35.25)),  # east: the same parallel
        (shapely.box(-91.0, 37.0, -90.5, 38.0), (-90.75, 37.0)),  # north: the same meridian
    ],
)
def test_distance_is_between_the_nearest_edges(other: shapely.Polygon, point: tuple[float, float]) -> None:
    geod = pyproj.Geod(ellps="WGS84")
    edge = (min(max(point[0], -91.5), -90.05), min(max(point[1], 34.75), 35.85))
    expected = geod.inv(*point, *edge)[2] / 1_000
    assert distance_km(ARKANSAS, other) == pytest.approx(expected, rel=0.01)


def test_distance_crosses_the_antimeridian_the_short_way() -> None:
    west, east = shapely.box(178, 0, 179, 1), shapely.box(-179, 0, -178, 1)
    assert distance_km(west, east) == pytest.approx(2 * 111.3, rel=0.01)


@pytest.mark.parametrize(
    "footprint", [3, [], {}, {"type": "Polygon"}, {"type": "Polygon", "coordinates": [[1]]}]
)
def test_a_footprint_that_cannot_be_read_is_said(make_checkpoint, footprint) -> None:
    model = make_checkpoint(provenance={"footprint": footprint})
    assert "where it was trained" in (training_gap(model, shapely.box(0, 0, 1, 1)) or "")
