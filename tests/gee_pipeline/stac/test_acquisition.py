"""Processings of one acquisition: which is the newest, and which scenes are one acquisition at all."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import numpy as np
import pytest
import shapely

from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac.acquisition import newest_last, processing_of, tile_of
from gee_pipeline.stac.composites.source import StacSource
from gee_pipeline.stac.item import Item
from tests.support.fake_catalog import FakeCatalog, Layer, cell_at, raster_v1

NOON = datetime(2021, 5, 2, 10, 30, tzinfo=UTC)
PLACE = shapely.box(9, 46, 10, 47)


def item(name="A", **properties):
    return Item(name, None, None, None, {key.replace("__", ":"): v for key, v in properties.items()}, {}, "/")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"s2__processing_baseline": "02.14"}, {"s2__processing_baseline": "05.00"}),
        (
            {"s2__processing_baseline": "03.00"},
            {"processing__version": "N0500"},
        ),  # one baseline, two spellings
        ({}, {"s2__processing_baseline": "02.00"}),
        ({"processing__version": "1.9.2"}, {"processing__version": "1.10.0"}),  # numbers, not letters
        ({"updated": "2021-05-03T00:00:00Z"}, {"updated": "2021-05-03T00:30:00-01:00"}),  # moments, not text
        ({"created": "2021-05-03T00:00:00Z"}, {"updated": "2021-06-03T00:00:00Z"}),
        # the baseline comes first, whenever an entry was last touched
        (
            {"s2__processing_baseline": "03.00", "updated": "2024-01-01T00:00:00Z"},
            {"s2__processing_baseline": "05.00", "updated": "2023-01-01T00:00:00Z"},
        ),
    ],
)
def test_a_newer_processing_compares_greater(older, newer):
    assert processing_of(item(**older)) < processing_of(item(**newer))


def test_what_is_no_version_and_no_time_is_no_processing():
    assert processing_of(item(updated="yesterday", processing__version=None)) == ((), "")


@pytest.mark.parametrize(
    ("name", "properties", "tile"),
    [
        ("A", {"s2__mgrs_tile": "15SYV"}, "15SYV"),
        ("A", {"grid__code": "MGRS-15SYV"}, "15SYV"),
        ("A", {"s2__mgrs_tile": "5SYV"}, "05SYV"),
        ("S2A_MSIL2A_20210610T170901_N0300_R112_T15SYV_20210610T213014", {}, "15SYV"),
        ("S2B_5QKB_20210610_0_L2A", {}, "05QKB"),
        ("A", {}, "9.00 46.00 10.00 47.00"),
    ],
)
def test_the_tile_of_an_item(name, properties, tile):
    assert tile_of(item(name, **properties), PLACE) == tile


def test_only_processings_of_one_pass_over_one_tile_change_places():
    later = NOON + timedelta(milliseconds=3)
    orbit = NOON + timedelta(minutes=100)
    entries = [
        ("a", "T1", NOON, 5),
        ("b", "T2", NOON, 1),
        ("c", "T1", later, 3),
        ("d", "T2", orbit, 9),
        ("e", "T1", orbit, 0),
    ]
    found = newest_last(
        entries, take=lambda e: ("s2", e[1]), time=lambda e: e[2], processing=lambda e: ((e[3],), "")
    )
    assert "".join(e[0] for e in found) == "cbade"


def stored(folder, number, **fields):
    layer = Layer(np.full((40, 40), number, np.uint16), fields=raster_v1(scale=0.0001, offset=0, nodata=0))
    return {"B04": layer, "cs": Layer(np.ones((40, 40), np.float32))}


@pytest.mark.slow
@pytest.mark.parametrize("names", list(permutations(("S1", "S2", "S3"))))
def test_the_newest_processing_is_what_a_composite_shows_whatever_ids_say(tmp_path, names):
    catalog = FakeCatalog(tmp_path)
    for name, baseline in zip(names, (2, 3, 5), strict=True):
        properties = {"s2:processing_baseline": f"{baseline:02}.00"}
        catalog.add(name, "2021-05-02", stored(tmp_path, 1_000 * baseline), **properties)
    source = StacSource(str(catalog.save()), Recipe.of(bands=("B4",)))
    composite = source.read_cell(cell_at(), SUMMER.season(2021, "north"), range(24, 25))
    assert np.unique(composite.values).tolist() == [5_000]
    assert composite.counts.same_day == 3
