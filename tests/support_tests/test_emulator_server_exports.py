import base64
import hashlib
import io
from typing import Any

import ee
import google_crc32c
import numpy as np
import pytest
import rasterio
import requests
from affine import Affine
from gcsfs.core import GCSFileSystem
from google.oauth2 import service_account

from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.server import Emulator

pytestmark = pytest.mark.slow

ORIGIN = (300_000, 4_500_000)
TRANSFORM = [10, 0, ORIGIN[0], 0, -10, ORIGIN[1]]
WIDTH, HEIGHT = 40, 24


def to_storage(image: Any = None, **options: Any) -> ee.batch.Task:
    task = ee.batch.Export.image.toCloudStorage(
        ee.Image.constant(1) if image is None else image,
        **{
            "description": "block",
            "bucket": "crops",
            "fileNamePrefix": "maps/block",
            "crs": "EPSG:32615",
            "crsTransform": TRANSFORM,
            "dimensions": f"{WIDTH}x{HEIGHT}",
            **options,
        },
    )
    task.start()
    return task


def to_drive(**options: Any) -> ee.batch.Task:
    task = ee.batch.Export.image.toDrive(
        ee.Image.constant(1),
        **{
            "description": "block",
            "folder": "crops",
            "crs": "EPSG:32615",
            "crsTransform": TRANSFORM,
            "dimensions": f"{WIDTH}x{HEIGHT}",
            **options,
        },
    )
    task.start()
    return task


def states(task: ee.batch.Task, looks: int = 3) -> list[str]:
    return [task.status()["state"] for _ in range(looks)]


def expected(nodata: int = 0) -> np.ndarray:
    """Values of the stand-in's two bands, pixel by pixel."""
    values = np.zeros((2, HEIGHT, WIDTH), dtype="int16")
    for y in range(HEIGHT):
        for x in range(WIDTH):
            values[0, y, x] = (ORIGIN[0] + 10 * x + 5) // 100
            values[1, y, x] = (ORIGIN[1] - 10 * y - 5) % 1000
    return values


def file_system(server: Emulator, **options: Any) -> GCSFileSystem:
    return GCSFileSystem(endpoint_url=server.url, skip_instance_cache=True, **{"token": "anon", **options})


def drive(server: Emulator, path: str = "", **query: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {server.tokens.new()}"}
    return requests.get(f"{server.url}/drive/v3/files{path}", params=query, headers=headers, timeout=5)


def test_an_export_waits_runs_and_succeeds(server: Emulator) -> None:
    task = to_storage()
    assert states(task) == ["READY", "RUNNING", "COMPLETED"]
    status = task.status()
    assert status["attempt"] == 1
    assert status["destination_uris"] == ["https://console.developers.google.com/storage/browser/crops/maps/"]
    assert status["batch_eecu_usage_seconds"] == server.batch_eecu_seconds > 0
    assert server.log.of("export")[0].grid is not None


def test_one_file_has_the_prefix_as_its_name(server: Emulator) -> None:
    states(to_storage())
    assert server.storage.names("crops") == ["maps/block.tif"]
    with rasterio.open(io.BytesIO(server.storage.get("crops", "maps/block.tif"))) as raster:
        assert raster.transform == Affine(*TRANSFORM)
        assert raster.crs == "EPSG:32615"
        assert raster.descriptions == ("east", "north")
        values = raster.read()
    np.testing.assert_array_equal(values[0], expected()[0])
    np.testing.assert_array_equal(values[1, :, ::2], expected()[1, :, ::2])
    assert not values[1, :, 1::2].any()


def test_a_split_export_is_named_by_row_and_column(server: Emulator) -> None:
    states(to_storage(fileDimensions=(32, 16), shardSize=16, formatOptions={"noData": -9999}))
    whole = np.full((2, HEIGHT, WIDTH), -1, dtype="int16")
    for row, column in ((0, 0), (0, 32), (16, 0), (16, 32)):
        data = server.storage.get("crops", f"maps/block-{row:010d}-{column:010d}.tif")
        with rasterio.open(io.BytesIO(data)) as raster:
            assert raster.nodata == -9999
            assert raster.transform == Affine(*TRANSFORM) * Affine.translation(column, row)
            part = raster.read()
        whole[:, row : row + 16, column : column + 32] = part
    assert len(server.storage.names("crops")) == 4
    np.testing.assert_array_equal(whole[0], expected()[0])
    np.testing.assert_array_equal(whole[1, :, ::2], expected()[1, :, ::2])
    assert (whole[1, :, 1::2] == -9999).all()


def test_a_grid_in_the_request_is_taken_too(server: Emulator) -> None:
    affine = {"scaleX": 10, "translateX": ORIGIN[0], "scaleY": -10, "translateY": ORIGIN[1]}
    request = {
        "expression": ee.Image.constant(1),
        "description": "block",
        "grid": {
            "dimensions": {"width": WIDTH, "height": HEIGHT},
            "affineTransform": affine,
            "crsCode": "EPSG:32615",
        },
        "fileExportOptions": {
            "fileFormat": "GEO_TIFF",
            "cloudStorageDestination": {"bucket": "crops", "filenamePrefix": "gridded"},
        },
    }
    ee.data.exportImage("id-1", request)
    server.advance(2)
    with rasterio.open(io.BytesIO(server.storage.get("crops", "gridded.tif"))) as raster:
        np.testing.assert_array_equal(raster.read(1), expected()[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": None, "region": [0, 0, 1, 1]}, "exact grid"),
        ({"crsTransform": None, "scale": 10, "dimensions": None}, "exact grid"),
        ({"fileDimensions": 100}, "multiple of shardSize"),
        ({"fileFormat": "TFRecord"}, "GEO_TIFF only"),
    ],
)
def test_an_export_that_the_emulator_cannot_do_is_refused(
    server: Emulator, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ee.EEException, match=message):
        to_storage(**change)


def test_the_same_request_id_starts_one_task(server: Emulator) -> None:
    request = to_storage().config
    first, second = (ee.data.exportImage("cell-1", dict(request)) for _ in range(2))
    assert first["name"] == second["name"]
    assert len(server.tasks) == 2
    with pytest.raises(ee.EEException, match="A different Operation was already started"):
        ee.data.exportImage("cell-1", dict(request) | {"description": "other"})
    with pytest.raises(ee.EEException, match="Invalid request_id"):
        ee.data.exportImage("cell_1", dict(request))


def test_a_task_whose_answer_was_lost_is_found_by_its_request_id(server: Emulator) -> None:
    request = to_storage().config
    server.script("export", Answer.truncated())
    with pytest.raises(ConnectionError):
        ee.data.exportImage("cell-1", dict(request))
    found = ee.data.exportImage("cell-1", dict(request))
    assert [task.name for task in server.tasks][-1] == found["name"]
    assert len(server.tasks) == 2


def test_scripted_tasks_fail_with_their_message(server: Emulator) -> None:
    server.script_tasks("Execution failed; out of memory.", None)
    failing, working = to_storage(), to_storage(fileNamePrefix="other")
    assert states(failing) == ["READY", "RUNNING", "FAILED"]
    assert failing.status()["error_message"] == "Execution failed; out of memory."
    assert states(working)[-1] == "COMPLETED"
    assert server.storage.names("crops") == ["other.tif"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maxPixels": 900}, "Export too large: specified 960 pixels (max: 900)."),
        ({"image": "float"}, "inconsistent types: Int16 and Float32"),
        ({"bucket": "nowhere"}, "bucket nowhere (does not exist)"),
    ],
)
def test_a_task_fails_for_google_s_reasons(server: Emulator, options: dict[str, Any], message: str) -> None:
    server.storage.missing_buckets.add("nowhere")
    if options.get("image"):
        options = {"image": ee.Image.constant(1).toFloat()}
    task = to_storage(**options)
    assert states(task)[-1] == "FAILED"
    assert message in task.status()["error_message"]


def test_empty_files_are_skipped_on_request(start: Any) -> None:
    def left_half(image: Any, grid: Any) -> list[Any]:
        values = np.ones((grid.height, grid.width), "int16")
        return [("b", values, values * (grid.transform.c < ORIGIN[0] + 160) > 0)]

    server = start(image_pixels=left_half)
    states(to_storage(fileDimensions=16, shardSize=16, skipEmptyTiles=True))
    assert server.storage.names("crops") == [
        "maps/block-0000000000-0000000000.tif",
        "maps/block-0000000016-0000000000.tif",
    ]


def test_a_full_queue_refuses(start: Any) -> None:
    server = start(queue_limit=2, auto_advance=False)
    to_storage(), to_storage()
    with pytest.raises(ee.EEException, match=r"Too many tasks already in the queue \(2\)"):
        to_storage()
    assert server.log[-1].status == 429
    server.advance()
    to_storage()


def test_as_many_tasks_run_as_are_allowed(start: Any) -> None:
    server = start(tasks_at_once=1, auto_advance=False)
    tasks = [to_storage(fileNamePrefix=name) for name in "ab"]
    server.advance()
    assert [task.status()["state"] for task in tasks] == ["RUNNING", "READY"]
    server.advance()
    assert [task.status()["state"] for task in tasks] == ["COMPLETED", "RUNNING"]


def test_tasks_can_be_cancelled(start: Any) -> None:
    server = start(auto_advance=False)
    waiting, running = to_storage(), to_storage()
    running_name = running.operation_name
    waiting.cancel()
    server.advance()
    assert waiting.status()["state"] == "CANCELLED"
    running.cancel()
    assert ee.data.getOperation(running_name)["metadata"]["state"] == "CANCELLING"
    server.advance()
    operation = ee.data.getOperation(running_name)
    assert (operation["done"], operation["error"]["message"]) == (True, "Cancelled.")
    assert server.storage.names("crops") == []


def test_all_tasks_are_listed_page_by_page(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(auto_advance=False)
    monkeypatch.setattr(ee.data, "_TASKLIST_PAGE_SIZE", 2)
    names = {to_storage().operation_name for _ in range(5)}
    assert {task.operation_name for task in ee.batch.Task.list()} == names
    assert len(server.log.of("operations")) == 3


def test_an_unknown_task_is_404(server: Emulator) -> None:
    with pytest.raises(ee.EEException, match="not found"):
        ee.data.getOperation("projects/crop-maps/operations/ABC")


def test_gcsfs_lists_and_reads(server: Emulator) -> None:
    states(to_storage(fileDimensions=16, shardSize=16))
    files = file_system(server)
    names = files.find("crops/maps")
    assert names == [f"crops/{name}" for name in server.storage.names("crops")]
    assert len(names) == 6
    assert files.ls("crops") == ["crops/maps"]
    data = files.cat_file(names[0])
    assert data == server.storage.get("crops", names[0].removeprefix("crops/"))
    assert files.cat_file(names[0], start=4, end=20) == data[4:20]
    with files.open(names[0]) as stream, rasterio.open(stream) as raster:
        np.testing.assert_array_equal(raster.read(1), expected()[0, :16, :16])


def test_gcsfs_checks_the_md5_that_is_told(server: Emulator, tmp_path: Any) -> None:
    server.storage.put("crops", "a.tif", b"some bytes")
    info = file_system(server).info("crops/a.tif")
    assert base64.b64decode(info["md5Hash"]) == hashlib.md5(b"some bytes").digest()
    assert base64.b64decode(info["crc32c"]) == google_crc32c.Checksum(b"some bytes").digest()
    assert info["size"] == 10
    file_system(server, consistency="md5").get_file("crops/a.tif", str(tmp_path / "a.tif"))
    assert (tmp_path / "a.tif").read_bytes() == b"some bytes"


def test_gcsfs_removes_and_finds_nothing(server: Emulator) -> None:
    server.storage.put("crops", "a.tif", b"some bytes")
    files = file_system(server)
    files.rm_file("crops/a.tif")
    assert server.storage.names("crops") == []
    with pytest.raises(FileNotFoundError):
        file_system(server).cat_file("crops/a.tif")


def test_gcsfs_reads_with_a_service_account(start: Any, tmp_path: Any) -> None:
    server = start(private_storage=True)
    server.storage.put("crops", "a.tif", b"some bytes")
    account = service_account.Credentials.from_service_account_file(
        str(server.key_file(tmp_path)), scopes=["https://www.googleapis.com/auth/devstorage.read_only"]
    )
    assert file_system(server, token=account).cat_file("crops/a.tif") == b"some bytes"
    answer = requests.get(f"{server.url}/storage/v1/b/crops/o/a.tif", timeout=5)
    assert answer.status_code == 401


def test_storage_lists_in_pages(server: Emulator) -> None:
    for number in range(5):
        server.storage.put("crops", f"{number // 2}/{number}", b"x")
    url = f"{server.url}/storage/v1/b/crops/o"
    names, token = [], ""
    for _ in range(3):
        page = requests.get(url, params={"maxResults": "2", "pageToken": token}, timeout=5).json()
        names += [item["name"] for item in page["items"]]
        token = page.get("nextPageToken", "")
    assert names == ["0/0", "0/1", "1/2", "1/3", "2/4"]
    assert token == ""
    assert requests.get(url, params={"delimiter": "/"}, timeout=5).json()["prefixes"] == ["0/", "1/", "2/"]


def test_a_bucket_is_empty_or_missing(server: Emulator) -> None:
    server.storage.missing_buckets.add("nowhere")
    answers = [
        requests.get(f"{server.url}/storage/v1/b/{name}/o", timeout=5) for name in ("crops", "nowhere")
    ]
    assert [answer.status_code for answer in answers] == [200, 404]
    assert answers[0].json() == {"kind": "storage#objects"}


def test_a_range_beyond_the_end_is_416(server: Emulator) -> None:
    server.storage.put("crops", "a", b"0123456789")
    url = f"{server.url}/storage/v1/b/crops/o/a?alt=media"
    asked = {
        "bytes=2-4": (206, b"234"),
        "bytes=-3": (206, b"789"),
        "bytes=7-": (206, b"789"),
        "bytes=10-": (416, b""),
    }
    for header, told in asked.items():
        answer = requests.get(url, headers={"Range": header}, timeout=5)
        assert (answer.status_code, answer.content) == told


def test_an_export_to_drive_can_be_found_and_read(server: Emulator) -> None:
    assert states(to_drive(fileDimensions=32, shardSize=16))[-1] == "COMPLETED"
    assert server.drive.names("crops") == [
        "block-0000000000-0000000000.tif",
        "block-0000000000-0000000032.tif",
    ]
    folders = drive(
        server,
        q="name = 'crops' and mimeType = 'application/vnd.google-apps.folder' and trashed = false",
    ).json()["files"]
    assert len(folders) == 1
    query = f"'{folders[0]['id']}' in parents and name contains 'block'"
    first = drive(server, q=query, pageSize="1").json()
    second = drive(server, q=query, pageSize="1", pageToken=first["nextPageToken"]).json()
    assert "nextPageToken" not in second
    (file,) = second["files"]
    assert file["name"] == "block-0000000000-0000000000.tif"
    data = drive(server, f"/{file['id']}", alt="media").content
    assert hashlib.md5(data).hexdigest() == file["md5Checksum"]
    with rasterio.open(io.BytesIO(data)) as raster:
        np.testing.assert_array_equal(raster.read(1), expected()[0, :, :32])


def test_drive_writes_into_the_newest_folder_of_a_name(server: Emulator) -> None:
    server.drive.make_folder("crops")
    newest = server.drive.make_folder("crops")
    states(to_drive())
    (file,) = drive(server, q=f"'{newest}' in parents").json()["files"]
    assert file["name"] == "block.tif"


def test_a_folder_s_name_may_hold_the_word_and(server: Emulator) -> None:
    server.drive.make_folder("corn and soy")
    (folder,) = drive(server, q="name='corn and soy' and trashed=false").json()["files"]
    assert folder["name"] == "corn and soy"
    assert drive(server, q="name = 'corn' and trashed = false").json()["files"] == []


def test_drive_needs_a_token_and_a_query_that_it_knows(server: Emulator) -> None:
    assert requests.get(f"{server.url}/drive/v3/files", timeout=5).status_code == 401
    answer = drive(server, q="fullText contains 'x'")
    assert answer.status_code == 400
    assert "fullText" in answer.json()["error"]["message"]


def test_storage_and_drive_can_fail_too(server: Emulator) -> None:
    server.storage.put("crops", "a", b"x")
    server.script("storage", Answer.error(503, "Later"))
    server.script("drive", Answer.error(403, "User rate limit exceeded."))
    statuses = [requests.get(f"{server.url}/storage/v1/b/crops/o/a", timeout=5).status_code for _ in range(2)]
    assert statuses == [503, 200]
    assert [drive(server).status_code for _ in range(2)] == [403, 200]


def test_a_classifier_can_be_exported(start: Any) -> None:
    start(evaluate=None, image_pixels=None)
    classifier = ee.Classifier.decisionTree("1) root 2 1 1 (1) *\n")
    task = ee.batch.Export.classifier.toAsset(classifier, "forest", "projects/crop-maps/assets/forest")
    task.start()
    assert states(task) == ["READY", "RUNNING", "COMPLETED"]
