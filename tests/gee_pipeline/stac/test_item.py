"""Items as they are read, compared with pystac, which reads all of them."""

from datetime import UTC, datetime

import pystac
import pytest
from pystac.errors import STACError

from gee_pipeline.stac.item import _folder, item_of

BASES = [
    "/home/me/scenes/item.json",
    "https://host.example/scenes/S2A/item.json",
    "https://user:password@host.example/item.json?token=x",
    "s3://bucket/scenes/item.json",
]

HREFS = [
    "B02.tif",
    "./B02.tif",
    "../B02.tif",
    "S2A/R10m/B02.tif",
    "./S2A//B02.tif",
    ".",
    "..",
    "a/..",
    "/data/B02.tif",
    "/data/../B02.tif",
    "B02.tif?sig=a%2Fb",
    "a?b/B02.tif",
    "#B02",
    "a;b/B02.tif",
    "B02;1.tif",
    "a b/B 2.tif",
    "a b/B02.tif",
    "%20/B02.tif",
    "rot\\grün\\B02.tif",
    "grün/B02.tif",
    "https://other.example/a/B02.tif",
    "https://other.example/B02.tif?sig=x",
    "https://other.example",
    "s3://bucket/B02.tif",
    "file:///data/B02.tif",
    "//other.example/a/B02.tif",
    "/vsizip/a.zip/B02.tif",
    "/vsicurl/https://other.example/B02.tif",
]


def values(**given):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2",
        "geometry": None,
        "bbox": [1, 2, 3, 4],
        "properties": {"datetime": "2021-05-03T10:30:00Z"},
        "links": [],
        "assets": {},
        **given,
    }


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("href", HREFS)
def test_a_link_leads_where_pystac_finds_it(href, base):
    document = values(assets={"B02": {"href": href}})
    theirs = pystac.Item.from_dict(document, href=base).assets["B02"].get_absolute_href()
    assert item_of(document, base).href_of("B02") == theirs


@pytest.mark.parametrize(
    "said",
    [
        "2021-05-03T10:30:00Z",
        "2021-05-03T10:30:00.123456789Z",
        "2021-05-03T10:30:00.1+02:00",
        "2021-05-03",
        "20210503T103000Z",
        "2021-05",
        "2021-05-03T24:00:00Z",
    ],
)
def test_a_time_is_the_one_that_pystac_reads(said):
    document = values(properties={"datetime": said})
    assert item_of(document, "/item.json").acquired == pystac.Item.from_dict(document).datetime


def test_without_an_instant_the_beginning_counts():
    span = {"start_datetime": "2021-05-03T00:00:00Z", "end_datetime": "2021-05-04T00:00:00Z"}
    found = item_of(values(properties={"datetime": None, **span}), "/item.json")
    assert found.acquired == datetime(2021, 5, 3, tzinfo=UTC)
    assert item_of(values(properties={"datetime": None}), "/item.json").acquired is None


def test_an_item_of_an_early_version_is_migrated():
    old = values(stac_version="0.8.0", stac_extensions=["eo"], assets={"B02": {"href": "./B02.tif"}})
    old["properties"] |= {"eo:epsg": 32632, "eo:cloud_cover": 3}
    found = item_of(old, "/somewhere/item.json")
    assert found.id == "S2"
    assert found.href_of("B02") == "/somewhere/B02.tif"
    assert found.properties["proj:code"] == "EPSG:32632"


@pytest.mark.parametrize(
    "broken",
    [
        {"id": 7},
        {"id": ""},
        {"collection": ["a"]},
        {"type": "Catalog"},
        {"stac_version": "0.6.0", "type": "x"},
    ],
)
def test_what_is_no_item_is_refused(broken):
    with pytest.raises((ValueError, STACError, pystac.STACTypeError)):
        item_of(values(**broken), "/item.json")


def test_a_host_that_cannot_be_one_is_refused():
    with pytest.raises(ValueError, match="Invalid IPv6"):
        item_of(values(assets={"B02": {"href": "https://[host/B02.tif"}}), "/item.json").href_of("B02")


def test_a_folder_is_looked_into_once_for_all_assets_in_it():
    names = [f"B{number:02}" for number in range(1, 13)]
    hrefs = {name: {"href": f"https://host.example/one/scene/{name}.tif"} for name in names}
    found = item_of(values(assets=hrefs), "/somewhere/item.json")
    before = _folder.cache_info()
    assert [found.href_of(name) for name in names] == [hrefs[name]["href"] for name in names]
    after = _folder.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 11)
