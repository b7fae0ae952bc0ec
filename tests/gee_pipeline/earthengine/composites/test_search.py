"""What is asked of the catalog: where scenes are looked for, and what a list of them holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites import search
from gee_pipeline.errors import EarthEngineError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from tests.support.ee_asking import graph_of
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.evaluate import evaluate
from tests.support.ee_emulator.plain import plain
from tests.support.fake_catalog import LEFT, TOP, UTM32
from tests.support.made_scene_list import evaluated

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("offline_client")]

SEASON = SUMMER.season(2021, "north")
S2, SCORES = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
MAY = SEASON.span(range(24, 30))


@pytest.mark.parametrize(
    ("crs", "left", "top", "size"),
    [
        ("EPSG:32632", 512_000, 5_120_000, 256),
        ("EPSG:32756", 300_000, 6_250_000, 64),  # south
        ("EPSG:3035", 4_321_000, 3_210_000, 256),  # axes in the order north, east
        ("EPSG:3035", 2_800_000, 5_200_000, 20_000),  # 200 km, turned by 20 degrees: the edges are bowed
        ("EPSG:32760", 819_000, 8_130_000, 256),  # across the antimeridian
        ("EPSG:32701", 178_000, 8_130_000, 256),  # the same from the other side
    ],
)
def test_the_search_region_is_a_planar_box_around_all_pixels(crs, left, top, size):
    geobox = GeoBox((size, size), Affine(10, 0, left, 0, -10, top), crs)
    region = search.search_region(geobox).toGeoJSON()
    assert region["geodesic"] is False
    corners = np.array(region["coordinates"][0])
    (west, south), (east, north) = corners.min(0), corners.max(0)
    along, across = np.meshgrid(np.linspace(0, 10 * size, 41), np.linspace(0, 10 * size, 41))
    to = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x, y = to.transform(left + along, top - across)
    x = np.where(x < west - 180, x + 360, x)
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    np.testing.assert_allclose([west, south], low - 0.005, atol=2e-4)
    np.testing.assert_allclose([east, north], high + 0.005, atol=2e-4)
    assert (west, south) < tuple(low)
    assert (east, north) > tuple(high)


def box(col: int, size: int = 100) -> GeoBox:
    """1 km, some kilometres to the right."""
    return GeoBox((size, size), Affine(10, 0, LEFT + 1_000 * col, 0, -10, TOP), UTM32)


def archive(*scenes: tuple[str, str, int, int, bool], **about: Any) -> Archive:
    """Scenes by name, time, first and last kilometre, and whether they have a score, which is elsewhere."""
    found = Archive(collections=[S2, SCORES])
    for name, time, first, last, scored in scenes:
        when = datetime.fromisoformat(time).replace(tzinfo=UTC)
        raster = Raster(np.ones((100, 100 * (last - first))), box(first).affine, UTM32)
        found.add(ImageAsset(f"{S2}/{name}", when, {"B2": raster}, about))
        if scored:
            far = Raster(np.ones((1, 1)), Affine(10, 0, LEFT + 900_000, 0, -10, TOP), UTM32)
            found.add(ImageAsset(f"{SCORES}/{name}", when + timedelta(days=9), {"cs": far}))
    return found


class Asked:
    """Asks the emulator, and remembers what."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.expressions = archive, list[Any]()

    def __call__(self, expression: Any, read: Any) -> Any:
        self.expressions.append(expression)
        return read(plain(evaluate(graph_of(expression), self.archive)))


SCENES = (
    ("A", "2021-05-03T10:30:00", 0, 20, True),
    ("B", "2021-05-03T10:30:00", 10, 30, False),  # the same moment: by id
    ("C", "2021-05-02T23:59:59", 0, 20, True),  # before both
    ("D", "2021-04-30T23:59:59", 0, 20, True),  # too early
    ("E", "2021-05-31T00:00:00", 0, 20, True),  # too late
    ("F", "2021-05-04T10:30:00", 60, 70, True),  # elsewhere
)


def test_one_request_lists_the_scenes_of_all_parts_in_order_and_which_have_a_score() -> None:
    ask = Asked(archive(*SCENES))
    found = search.find_scenes(ask, box(0, 2_000), [box(2), box(17), box(23), box(45)], MAY, Recipe())
    names = [[(scene.index, scene.scored) for scene in part["sentinel-2"]] for part in found]
    assert names == [
        [("C", True), ("A", True)],
        [("C", True), ("A", True), ("B", False)],
        [("B", False)],
        [],
    ]
    assert len(ask.expressions) == 1
    assert found[0]["sentinel-2"][0].when == datetime(2021, 5, 2, 23, 59, 59, tzinfo=UTC)


def test_a_list_has_no_join_and_looks_for_no_score_by_its_place() -> None:
    ask = Asked(archive(*SCENES))
    search.find_scenes(ask, box(0, 400), [box(n) for n in range(4)], MAY, Recipe())
    used = evaluated(ask.expressions[0], ask.archive)
    assert not [name for name in used if name.startswith("Join.")]
    assert used["Filter.intersects"] == 1 + 4  # the box, and each part
    assert used["Filter.dateRangeContains"] == 1


def test_a_list_that_one_answer_cannot_hold_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LISTED", 5)
    many = [(f"S{n:02}", f"2021-05-{n + 1:02}T10:30:00", 0, 9, n % 3 == 0) for n in range(20)]
    ask = Asked(archive(*many))
    ((found),) = search.find_scenes(ask, box(0), [box(0)], MAY, Recipe())
    assert [scene.index for scene in found["sentinel-2"]] == [name for name, *_ in many]
    assert [scene.scored for scene in found["sentinel-2"]] == [n % 3 == 0 for n in range(20)]
    assert len(ask.expressions) > 4  # 30 days with up to 4 scenes each, halved


def test_a_day_with_more_scenes_than_can_be_listed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LISTED", 3)
    same = [(name, "2021-05-03T10:30:00", 0, 9, True) for name in "ABCD"]
    with pytest.raises(EarthEngineError, match="more on 2021-05-03"):
        search.find_scenes(Asked(archive(*same)), box(0), [box(0)], MAY, Recipe())


def test_an_area_is_counted_in_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    (group,) = Recipe().sensors
    region, ask = search.search_region(box(0, 2_000)), Asked(archive(*SCENES))
    found = search.count_scenes(ask, region, MAY, group)
    assert (found.scenes, found.without_score, found.simulated) == (3, 1, False)
    assert len(ask.expressions) == 1
    simulated = search.count_scenes(Asked(archive(*SCENES, simulated=1)), region, MAY, group)
    assert simulated.simulated
    monkeypatch.setattr(search, "COUNTED", 2)
    assert search.count_scenes(ask, region, MAY, group).without_score is None
