"""What a manifest says of an image, and what of an asset is told as a difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from typing import Any

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client.image_manifest import ImageToIngest, ManifestBand

IMAGE = ImageToIngest(
    "projects/crop-maps/assets/map",
    (
        ManifestBand("class", "crop_map.tif", 0, 0, "MODE"),
        ManifestBand("probability_1", "probabilities.tif", 0, 255, "MEAN"),
        ManifestBand("probability_2", "probabilities.tif", 1, 255, "MEAN"),
    ),
    GeoBox((30, 20), Affine(10, 0, 704_000, 0, -10, 3_924_480), "EPSG:32615"),
    date(2021, 1, 1),
    date(2022, 1, 1),
    {"year": 2021, "title": "A map"},
)

GRID = {
    "crsCode": "EPSG:32615",
    "dimensions": {"width": 20, "height": 30},
    "affineTransform": {"scaleX": 10, "translateX": 704_000, "scaleY": -10, "translateY": 3_924_480},
}
ASSET = {
    "type": "IMAGE",
    "bands": [{"id": name, "grid": GRID} for name in ("class", "probability_1", "probability_2")],
    "startTime": "2021-01-01T00:00:00Z",
    "endTime": "2022-01-01T00:00:00.000Z",
    "properties": {"year": 2021.0, "title": "A map", "system:footprint": "more"},
}


def test_the_manifest_is_of_the_form_of_google_s_guide() -> None:
    assert IMAGE.manifest("gs://maps/county") == {
        "name": "projects/crop-maps/assets/map",
        "tilesets": [
            {"id": "crop_map.tif", "sources": [{"uris": ["gs://maps/county/crop_map.tif"]}]},
            {"id": "probabilities.tif", "sources": [{"uris": ["gs://maps/county/probabilities.tif"]}]},
        ],
        "bands": [
            {
                "id": "class",
                "tilesetId": "crop_map.tif",
                "tilesetBandIndex": 0,
                "missingData": {"values": [0]},
                "pyramidingPolicy": "MODE",
            },
            {
                "id": "probability_1",
                "tilesetId": "probabilities.tif",
                "tilesetBandIndex": 0,
                "missingData": {"values": [255]},
                "pyramidingPolicy": "MEAN",
            },
            {
                "id": "probability_2",
                "tilesetId": "probabilities.tif",
                "tilesetBandIndex": 1,
                "missingData": {"values": [255]},
                "pyramidingPolicy": "MEAN",
            },
        ],
        "startTime": "2021-01-01T00:00:00Z",
        "endTime": "2022-01-01T00:00:00Z",
        "properties": {"year": 2021, "title": "A map"},
    }


def test_an_asset_as_it_was_asked_for_has_no_differences() -> None:
    assert IMAGE.differences(ASSET) == []


def band(place: int, **change: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(asset: dict[str, Any]) -> None:
        asset["bands"][place]["grid"].update(change)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda asset: asset.update(type="TABLE"), "of the type TABLE"),
        (lambda asset: asset["bands"].pop(), "its bands are class, probability_1, not class"),
        (lambda asset: asset["bands"].reverse(), "its bands are probability_2"),
        (band(1, dimensions={"width": 20, "height": 29}), "20 x 29 pixels, not 20 x 30"),
        (band(2, affineTransform={**GRID["affineTransform"], "translateX": 704_005}), "its transform is"),
        (band(0, affineTransform={**GRID["affineTransform"], "shearX": 0.1}), "its transform is"),
        (band(0, crsCode="EPSG:32616"), "its CRS is EPSG:32616, not EPSG:32615"),
        (band(0, dimensions={}), "None x None pixels"),
        (lambda asset: asset.update(startTime="2021-05-01T00:00:00Z"), "startTime is 2021-05-01"),
        (lambda asset: asset.pop("endTime"), "endTime is None"),
        (lambda asset: asset["properties"].update(year=2022), "differ in year"),
        (lambda asset: asset["properties"].update(year="2021"), "differ in year"),
        (lambda asset: asset["properties"].update(title=1), "differ in title"),
        (lambda asset: asset.pop("properties"), "differ in title, year"),
    ],
)
def test_every_difference_is_told(spoil: Callable[[dict[str, Any]], None], said: str) -> None:
    asset = deepcopy(ASSET)
    for one in asset["bands"]:
        one["grid"] = deepcopy(GRID)
    spoil(asset)
    (told,) = IMAGE.differences(asset)
    assert said in told


def test_a_grid_in_words_is_not_compared_by_its_code() -> None:
    """Earth Engine tells WKT where a CRS has no code; spellings of WKT differ."""
    asset = deepcopy(ASSET)
    for one in asset["bands"]:
        one["grid"] = {**GRID, "crsWkt": "PROJCS[...]"}
        del one["grid"]["crsCode"]
    assert IMAGE.differences(asset) == []


def test_a_request_takes_less_than_earth_engine_takes_at_most() -> None:
    request = IMAGE.request("gs://maps", "cropmap-map-1", overwrite=False)
    assert (request.kind, request.asset) == ("image", IMAGE.name)
    assert request.body["description"] == request.name
    assert len(json.dumps(request.body)) < request.bytes < 10_000
