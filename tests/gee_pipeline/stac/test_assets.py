"""Names of bands, and the numbers that catalogs declare, as the known providers write them."""

from dataclasses import replace

import pytest

from gee_pipeline.bands import BANDS
from gee_pipeline.stac import assets
from gee_pipeline.stac.assets import ItemAssets, find_bands, find_layer
from gee_pipeline.stac.item import item_of as stac_item


def item_of(assets, **properties):
    values = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2",
        "geometry": None,
        "properties": {"datetime": "2021-05-03T10:30:00Z", **properties},
        "assets": {key: {"href": f"./{key}.tif", **fields} for key, fields in assets.items()},
    }
    return ItemAssets.of(stac_item(values, "/somewhere/item.json"))


def eo(name, common=None, **fields):
    return {"eo:bands": [{"name": name, **({"common_name": common} if common else {})}], **fields}


ESA = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12"]

EARTH_SEARCH = {
    "blue": eo("blue", "blue"),
    "blue-jp2": eo("blue", "blue"),
    "green": eo("green", "green"),
    "red": eo("red", "red"),
    "nir": eo("nir", "nir"),
    "nir08": eo("nir08", "nir08"),
    "nir09": eo("nir09", "nir09"),
    "rededge1": eo("rededge1", "rededge"),
    "rededge2": eo("rededge2", "rededge"),
    "rededge3": eo("rededge3", "rededge"),
    "swir16": eo("swir16", "swir16"),
    "swir22": eo("swir22", "swir22"),
    "visual": {
        "roles": ["visual"],
        "eo:bands": [{"name": n, "common_name": n} for n in ("red", "green", "blue")],
    },
    "scl": {},
}
PLANETARY = {
    **{
        key: eo(key, "rededge" if key in ("B05", "B06", "B07", "B8A") else None, roles=["data"])
        for key in ESA
    },
    "B09": eo("B09", "nir09"),
    "visual": {"roles": ["data"], "eo:bands": [{"name": n} for n in ("B04", "B03", "B02")]},
    "preview": {"roles": ["overview"], "eo:bands": [{"name": "B02"}]},
    "SCL": {},
}


@pytest.mark.parametrize(
    ("assets", "keys"),
    [
        pytest.param({k: {} for k in BANDS}, list(BANDS), id="short names"),
        pytest.param({k: {} for k in ESA}, ESA, id="two digits"),
        pytest.param({k.lower(): {} for k in ESA}, [k.lower() for k in ESA], id="lower case"),
        pytest.param(
            {f"{k}_{m}m": {} for k in ESA for m in (60, 20, 10)},
            [f"{k}_10m" for k in ESA],
            id="finest of several",
        ),
        pytest.param({f"{k}-20m": {} for k in ESA}, [f"{k}-20m" for k in ESA], id="with a resolution"),
        pytest.param(
            EARTH_SEARCH,
            ["blue", "green", "red", "nir", "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22"],
            id="colours",
        ),
        pytest.param(PLANETARY, ESA, id="a picture of three bands repeats names"),
        pytest.param(
            {f"asset{i}": eo(k) for i, k in enumerate(ESA)}, [f"asset{i}" for i in range(10)], id="names"
        ),
    ],
)
def test_the_ten_bands_are_found_by_the_names_in_use(assets, keys):
    found = find_bands(item_of(assets))
    assert {band: asset.key for band, asset in found.items()} == dict(zip(BANDS, keys, strict=True))
    assert {asset.index for asset in found.values()} == {1}


@pytest.mark.parametrize("field", ["eo:bands", "raster:bands", "bands"])
def test_one_file_may_hold_many_bands(field):
    names = ["B02", "B04", "B8A", "SCL", "cs"]
    item = item_of({"data": {field: [{"name": name} for name in names]}})
    found = find_bands(item)
    assert {band: (asset.key, asset.index) for band, asset in found.items()} == {
        "B2": ("data", 1),
        "B4": ("data", 2),
        "B8A": ("data", 3),
    }
    assert find_layer(item, "SCL").index == 4
    assert find_layer(item, "cs").index == 5
    assert find_layer(item, "cs_cdf") is None


def test_bands_that_only_look_alike_are_not_taken():
    found = find_bands(
        item_of({"B1": {}, "B10": {}, "B80": {}, "B2_mask": {}, "rededge": {}, "AOT": {}, "B09": {}})
    )
    assert found == {}


def test_scene_classes_are_found_in_any_case_and_at_the_finest_resolution():
    assert find_layer(item_of({"scl": {}}), "SCL").key == "scl"
    assert find_layer(item_of({"SCL_60m": {}, "SCL_20m": {}}), "SCL").key == "SCL_20m"


def test_hrefs_become_absolute():
    assert find_bands(item_of({"B02": {}}))["B2"].href == "/somewhere/B02.tif"


@pytest.mark.parametrize(
    ("fields", "properties"),
    [
        pytest.param({"raster:bands": [{"scale": 0.0002, "offset": -0.05, "nodata": 7}]}, {}, id="raster 1"),
        pytest.param(
            {"bands": [{"raster:scale": 0.0002, "raster:offset": -0.05, "nodata": 7}]},
            {},
            id="raster 2, band",
        ),
        pytest.param({"raster:scale": 0.0002, "raster:offset": -0.05, "nodata": 7}, {}, id="raster 2, asset"),
        pytest.param({"nodata": 7}, {"raster:scale": 0.0002, "raster:offset": -0.05}, id="raster 2, item"),
    ],
)
def test_scale_and_offset_are_read_from_every_version_of_the_raster_extension(fields, properties):
    asset = find_bands(item_of({"B02": fields}, **properties))["B2"]
    assert (asset.scale, asset.offset, asset.nodata) == (0.0002, -0.05, 7)


def test_not_a_number_can_be_declared_nodata():
    asset = find_bands(item_of({"B02": {"raster:bands": [{"nodata": "nan"}]}}))["B2"]
    assert asset.nodata != asset.nodata


@pytest.mark.parametrize(
    ("properties", "offset"),
    [
        ({}, 0),
        ({"s2:processing_baseline": "03.01"}, 0),
        ({"s2:processing_baseline": "04.00"}, -0.1),
        ({"s2:processing_baseline": "05.11"}, -0.1),
        ({"processing:version": "N0510"}, -0.1),
        ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, 0),
        ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False}, -0.1),
        ({"sentinel:processing_baseline": "04.00", "sentinel:boa_offset_applied": True}, 0),
        ({"sentinel:processing_baseline": "04.00", "sentinel:boa_offset_applied": "true"}, 0),
        ({"sentinel:processing_baseline": "04.00", "sentinel:boa_offset_applied": False}, -0.1),
        ({"s2:processing_baseline": "04.00", "boa_offset_applied": True}, 0),
    ],
)
def test_undeclared_numbers_follow_the_processing_baseline(properties, offset):
    asset = find_bands(item_of({"B02": {}}, **properties))["B2"]
    assert (asset.scale, asset.offset, asset.default_offset) == (None, None, offset)


def test_an_offset_that_is_declared_but_was_applied_is_not_applied_again():
    declared = {"raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}]}
    applied = item_of({"red": declared}, **{"earthsearch:boa_offset_applied": True})
    raw = item_of({"red": declared}, **{"earthsearch:boa_offset_applied": False})
    assert find_bands(applied)["B4"].offset == 0
    assert find_bands(raw)["B4"].offset == -0.1


def test_items_that_say_the_same_are_parsed_once_and_lie_where_each_says():
    calls = assets._entries.cache_info().misses
    first, second = (item_of(EARTH_SEARCH, **{"proj:code": "EPSG:32619"}) for _ in range(2))
    moved = replace(second, item=replace(second.item, base="/else/item.json"))
    assert find_bands(first)["B2"].href == "/somewhere/blue.tif"
    assert find_bands(moved)["B2"].href == "/else/blue.tif"
    assert find_layer(moved, "SCL").href == "/else/scl.tif"
    assert assets._entries.cache_info().misses == calls + 1
