from typing import Any

import ee
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites.tasks import Destination, export_request, square_of
from gee_pipeline.errors import InputError

UTM = GeoBox((512, 768), Affine(10, 0, 640_000, 0, -10, 3_840_000), "EPSG:32615")


@pytest.mark.parametrize(
    ("text", "kind", "place", "prefix"),
    [
        ("gcs://crops/north/2021", "gcs", "crops", "north/2021"),
        ("gs://crops/north/2021/", "gcs", "crops", "north/2021"),
        ("gcs://crops", "gcs", "crops", ""),
        ("gcs://crops.example.org//a//b", "gcs", "crops.example.org", "a/b"),
        ("drive:Field maps 2021", "drive", "Field maps 2021", ""),
        ("drive:crops/", "drive", "crops", ""),
    ],
)
def test_destinations(text: str, kind: str, place: str, prefix: str) -> None:
    destination = Destination.parse(text)
    assert (destination.kind, destination.place, destination.prefix) == (kind, place, prefix)
    assert Destination.parse(str(destination)) == destination


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("crops/north", "gcs://BUCKET/PREFIX"),
        ("s3://crops/north", "gcs://BUCKET/PREFIX"),
        ("gcs:crops", "gcs://BUCKET/PREFIX"),
        ("drive", "drive:FOLDER"),
        ("gcs://", "A bucket's name"),
        ("gcs://Crops/north", "lower-case"),
        ("gcs://crops/../other", "no '..'"),
        ("gcs://crops/north*", "none of"),
        ("drive:", "name of a folder"),
        ("drive:maps/crops", "--to drive:crops;"),
    ],
)
def test_impossible_destinations_name_the_way_out(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Destination.parse(text)
    assert told in str(caught.value)
    assert text.split(":")[-1].strip("/") in str(caught.value)


def request(to: str, geobox: GeoBox = UTM, file_size: int = 256, tile: int = 256) -> dict[str, Any]:
    return export_request(
        ee.Image.constant(1).toInt16(),
        geobox,
        file_size=file_size,
        tile=tile,
        destination=Destination.parse(to),
        file_prefix="cropmap-0a1b-r0000_c0000_2x3",
        description="cropmap-0a1b-1",
    )


@pytest.mark.usefixtures("offline_client")
def test_a_request_to_a_bucket_asks_for_whole_cells_as_files() -> None:
    asked = request("gcs://crops/north")
    assert asked["description"] == "cropmap-0a1b-1"
    assert asked["maxPixels"] == {"value": "10000000000000"}
    assert asked["fileExportOptions"] == {
        "fileFormat": "GEO_TIFF",
        "cloudStorageDestination": {
            "bucket": "crops",
            "filenamePrefix": "north/cropmap-0a1b-r0000_c0000_2x3",
        },
        "geoTiffOptions": {
            "noData": {"floatValue": -9999},
            "tileDimensions": {"width": 256, "height": 256},
        },
    }


@pytest.mark.usefixtures("offline_client")
def test_a_request_to_a_drive_names_the_folder() -> None:
    options = request("drive:maps")["fileExportOptions"]
    assert options["driveDestination"] == {
        "folder": "maps",
        "filenamePrefix": "cropmap-0a1b-r0000_c0000_2x3",
    }


@pytest.mark.usefixtures("offline_client")
@pytest.mark.parametrize(
    ("file_size", "tile", "asked"),
    [(256, 256, None), (256, 64, {"value": 64}), (512, 256, None), (32, 256, {"value": 32})],
)
def test_a_file_is_a_whole_number_of_computed_squares(file_size: int, tile: int, asked: Any) -> None:
    options = request("drive:maps", file_size=file_size, tile=tile)["fileExportOptions"]
    assert options["geoTiffOptions"].get("tileSize") == asked


def nodes(body: dict[str, Any], function: str) -> list[dict[str, Any]]:
    """Arguments of the calls of a function in the expression of a request."""
    expression = ee.serializer.encode(body["expression"], for_cloud_api=True)["values"]
    found, places = [], list(expression.values())
    while places:
        place = places.pop()
        call = place.get("functionInvocationValue", {}) if isinstance(place, dict) else {}
        if call.get("functionName") == function:
            found.append({k: v.get("constantValue", v) for k, v in call["arguments"].items()})
        places += place.values() if isinstance(place, dict) else place if isinstance(place, list) else []
    return found


@pytest.mark.usefixtures("offline_client")
def test_the_grid_is_that_of_the_geobox_and_no_scale_is_left_to_the_server() -> None:
    body = request("drive:maps")
    assert [call["crsTransform"] for call in nodes(body, "Image.reproject")] == [
        [10, 0, 640_000, 0, -10, 3_840_000]
    ]
    assert nodes(body, "Projection") == [{"crs": "EPSG:32615"}]
    assert [call["coordinates"] for call in nodes(body, "GeometryConstructors.Rectangle")] == [
        [0, 0, 768, 512]
    ]
    assert set(nodes(body, "Image.clipToBoundsAndScale")[0]) == {"input", "geometry"}


@pytest.mark.usefixtures("offline_client")
def test_a_crs_without_a_code_goes_as_wkt() -> None:
    crs = "+proj=laea +lat_0=-15 +lon_0=-55 +ellps=WGS84 +units=m"
    body = request("drive:maps", GeoBox((256, 256), Affine(10, 0, 0, 0, -10, 0), crs))
    sent = nodes(body, "Projection")[0]["crs"]
    assert sent.startswith("PROJCS[")
    assert 'PROJECTION["Lambert_Azimuthal_Equal_Area"]' in sent


@pytest.mark.parametrize(
    ("most", "side"),
    [(None, 256), (65_536, 256), (65_535, 128), (8_192, 64), (4_096, 64), (100, 32), (1, 32)],
)
def test_squares_hold_no_more_pixels_than_arrays_allow(most, side):
    assert square_of(most) == side
