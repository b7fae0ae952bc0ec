"""Images that the emulator ingests from its buckets, and how files come into these."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from affine import Affine
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError
from rasterio.io import MemoryFile

from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.server import Emulator

pytestmark = pytest.mark.slow

NAME = "projects/crop-maps/assets/image"
TRANSFORM = Affine(10, 0, 300_000, 0, -10, 4_500_000)
VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
"""`(band, y, x)`."""


@pytest.fixture
def server(start: Any) -> Emulator:
    """A server with its own evaluator, whose tasks move on when they are told to."""
    started: Emulator = start(archive=Archive(), evaluate=None, image_pixels=None, auto_advance=False)
    return started


def tiff(values: Any = VALUES, **profile: Any) -> bytes:
    count, height, width = values.shape
    given = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    place = {"crs": "EPSG:32615", "transform": TRANSFORM}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **(given | place | profile)) as file:
            file.write(values)
        return memory.read()


def manifest(**more: Any) -> dict[str, Any]:
    return {
        "name": NAME,
        "tilesets": [{"id": "a", "sources": [{"uris": ["gs://maps/a.tif"]}]}],
        "bands": [{"id": "one", "tilesetId": "a", "tilesetBandIndex": 1}],
        **more,
    }


def ingested(server: Emulator, *, overwrite: bool = False, **more: Any) -> dict[str, Any]:
    """The operation in the end; the client's own function asks for it."""
    server.storage.put("maps", "a.tif", tiff())
    started = ee.data.startIngestion(None, manifest(**more), allow_overwrite=overwrite)
    server.advance(2)
    operation: dict[str, Any] = ee.data.getOperation(started["name"])
    return operation


def pixels(band: str, fill: int) -> Any:
    """A band on its own grid, masked pixels filled."""
    affine = {"scaleX": 10, "translateX": 300_000, "scaleY": -10, "translateY": 4_500_000}
    grid = {
        "crsCode": "EPSG:32615",
        "affineTransform": affine,
        "dimensions": {"width": 4, "height": 3},
    }
    image = ee.Image(NAME).select([band]).unmask(fill, False)
    content = ee.data.computePixels({"expression": image, "fileFormat": "GEO_TIFF", "grid": grid})
    with rasterio.open(io.BytesIO(content)) as file:
        return file.read(1)


def test_an_image_has_the_band_that_the_manifest_names(server: Emulator) -> None:
    assert ingested(server)["metadata"]["state"] == "SUCCEEDED"
    assert np.array_equal(pixels("one", 99), VALUES[1])


def test_missing_data_are_masked(server: Emulator) -> None:
    band = {"id": "one", "tilesetId": "a", "missingData": {"values": [3, 7]}}
    ingested(server, bands=[band])
    assert np.array_equal(pixels("one", 99), np.where(np.isin(VALUES[0], (3, 7)), 99, VALUES[0]))


def test_times_and_properties_are_told_and_can_be_computed_with(server: Emulator) -> None:
    times = {"startTime": "2021-01-01T00:00:00Z", "endTime": "2022-01-01T00:00:00Z"}
    ingested(server, **times, properties={"year": 2021, "title": "a map"})
    found = ee.data.getAsset(NAME)
    assert (found["type"], found["startTime"], found["endTime"]) == ("IMAGE", *times.values())
    assert found["properties"] == {"year": 2021, "title": "a map"}
    image = ee.Image(NAME)
    told = [image.get(name) for name in ("year", "system:time_start", "system:time_end")]
    assert ee.List(told).getInfo() == [2021, 1_609_459_200_000, 1_640_995_200_000]
    assert found["bands"][0]["grid"]["dimensions"] == {"width": 4, "height": 3}
    assert found["bands"][0]["dataType"] == {"precision": "INT", "range": {"max": 255}}


def test_an_image_is_replaced_on_request_only(server: Emulator) -> None:
    ingested(server)
    refused = ingested(server, properties={"year": 2022})
    assert refused["error"]["message"] == f"Cannot overwrite asset '{NAME}'."
    assert ingested(server, overwrite=True, properties={"year": 2022})["metadata"]["state"] == "SUCCEEDED"
    assert ee.data.getAsset(NAME)["properties"] == {"year": 2022}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"properties": {"classes": [1, 2]}}, "neither a number nor a string"),
        ({"properties": {"": "x"}}, "Invalid property name"),
        ({"properties": {"system:index": "x"}}, "Invalid property name"),
        ({"name": "users/me/map"}, "Invalid asset name"),
        ({"name": "projects/other/assets/map"}, "project other"),
        ({"tilesets": [{"id": "a", "sources": [{"uris": ["/tmp/a.tif"]}]}]}, "Cloud Storage URI"),
        ({"bands": [{"id": "one", "tilesetId": "b"}]}, "of no tileset"),
        ({"bands": [{"id": "one", "tilesetId": "a"}] * 2}, "not unique"),
        ({"bands": [{"id": "one", "tilesetId": "a", "pyramidingPolicy": "MOST"}]}, "pyramiding_policy"),
        ({"startTime": "summer"}, "timestamp"),
        ({"footprint": {}}, "without footprint"),
        ({"colour": "red"}, 'Unknown name "colour"'),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_at_once(
    server: Emulator, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ee.EEException, match=message):
        ee.data.startIngestion(None, manifest(**change))
    assert len(server.tasks) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such object: maps/a.tif"),
        (b"no picture", "as a TIFF"),
        (tiff(VALUES[:1]), "band 1 of a file with 1 bands"),
        (tiff(crs=None), "has no CRS"),
    ],
)
def test_a_file_that_cannot_be_read_ends_the_task(
    server: Emulator, content: bytes | None, message: str
) -> None:
    if content is not None:
        server.storage.put("maps", "a.tif", content)
    started = ee.data.startIngestion(None, manifest())
    server.advance(2)
    assert message in ee.data.getOperation(started["name"])["error"]["message"]
    assert NAME not in server.assets


def test_gcsfs_uploads_in_one_request_and_in_parts(server: Emulator, tmp_path: Path) -> None:
    files = GCSFileSystem(token="anon", endpoint_url=server.url, skip_instance_cache=True)
    server.anonymous = True
    whole = np.random.default_rng(1).bytes(5 * 2**20 + 17)
    for name, content, options in (
        ("small.tif", b"some bytes", {}),
        ("empty.tif", b"", {}),
        ("large.tif", whole, {}),
        ("parts.tif", whole, {"chunksize": 2**20}),
    ):
        (tmp_path / name).write_bytes(content)
        files.put_file(str(tmp_path / name), f"maps/{name}", consistency="md5", **options)
        assert server.storage.get("maps", name) == content
    assert len(server.log.of("upload")) == 1 + 1 + 2 + 7


def test_a_bucket_that_may_only_be_read_refuses_uploads(server: Emulator, tmp_path: Path) -> None:
    server.anonymous = True
    server.storage.locked_buckets.add("maps")
    (tmp_path / "a.tif").write_bytes(b"some bytes")
    files = GCSFileSystem(token="anon", endpoint_url=server.url, skip_instance_cache=True)
    with pytest.raises(OSError, match=r"storage\.objects\.create"):
        files.put_file(str(tmp_path / "a.tif"), "maps/a.tif")
    assert server.storage.names("maps") == []


def test_an_upload_needs_a_token(server: Emulator, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"some bytes")
    files = GCSFileSystem(token="anon", endpoint_url=server.url, skip_instance_cache=True)
    with pytest.raises(HttpError, match="authentication credential"):
        files.put_file(str(tmp_path / "a.tif"), "maps/a.tif")
