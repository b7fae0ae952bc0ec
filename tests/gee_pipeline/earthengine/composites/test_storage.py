import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tenacity
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from gee_pipeline.earthengine.composites.blocks import Block
from gee_pipeline.earthengine.composites.storage import (
    DriveStorage,
    FolderStorage,
    StoredFile,
    fetch,
    files_by_cell,
    open_places,
    open_storage,
    read_export,
)
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.errors import AccessError, CorruptFileError, InputError, SceneReadError

GEOBOX = GeoBox((16, 16), Affine(10, 0, 640_000, 0, -10, 3_840_000), "EPSG:32615")
NAMES = ("B2_24", "B4_24")
FILE = StoredFile("cropmap-0a1b-r0000_c0000_1x1.tif", "somewhere", 0)


def values(bands: int = 2) -> NDArray[np.int16]:
    return np.random.default_rng(1).integers(-9999, 10_000, (bands, 16, 16)).astype(np.int16)


def tiff(array: Any = None, names: tuple[str, ...] | None = NAMES, **profile: Any) -> bytes:
    array = values() if array is None else array
    given = {
        "driver": "GTiff",
        "dtype": array.dtype,
        "count": len(array),
        "height": array.shape[1],
        "width": array.shape[2],
        "crs": "EPSG:32615",
        "transform": GEOBOX.transform,
        "compress": "lzw",
        "tiled": True,
        "blockxsize": 16,
        "blockysize": 16,
        "nodata": -9999,
    }
    with MemoryFile() as memory:
        with memory.open(**(given | profile)) as file:
            file.write(array)
            if names:
                file.descriptions = names
        return memory.read()


def test_a_whole_file_gives_its_values() -> None:
    found, mask = read_export(tiff(), FILE, GEOBOX, NAMES)
    np.testing.assert_array_equal(found, values())
    assert mask is None


def test_bands_without_names_are_taken_by_their_number() -> None:
    found, _ = read_export(tiff(names=None), FILE, GEOBOX, NAMES)
    np.testing.assert_array_equal(found, values())


def test_the_cropland_band_is_a_mask() -> None:
    array = values(3)
    array[2] = array[2] > 0
    found, mask = read_export(tiff(array, (*NAMES, "cropland")), FILE, GEOBOX, NAMES, masked=True)
    np.testing.assert_array_equal(found, array[:2])
    assert mask is not None
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, array[2] == 1)


DAMAGES: dict[str, Callable[[], bytes]] = {
    "no file at all": lambda: b"",
    "a page of HTML": lambda: b"<html>Sign in</html>",
    "torn": lambda: tiff()[:-200],
    "another type": lambda: tiff(values().astype(np.float32)),
    "a band too many": lambda: tiff(values(3), None),
    "bands in another order": lambda: tiff(names=("B4_24", "B2_24")),
    "another size": lambda: tiff(values()[:, :, :8]),
    "another place": lambda: tiff(transform=GEOBOX.transform * Affine.translation(0, 1)),
    "other pixels": lambda: tiff(transform=GEOBOX.transform * Affine.scale(2)),
    "another zone": lambda: tiff(crs="EPSG:32616"),
    "no CRS": lambda: tiff(crs=None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_the_export_is_refused_by_name(damage: str) -> None:
    with pytest.raises(CorruptFileError, match=FILE.name):
        read_export(DAMAGES[damage](), FILE, GEOBOX, NAMES)


# Folders


def test_files_of_a_folder_and_of_folders_below_are_found_by_cell(tmp_path: Path) -> None:
    for place, name in (
        ("", "cropmap-0a1b-r0000_c0000_2x2-0000000000-0000000016.tif"),
        ("drive-download-1", "cropmap-0a1b-r0000_c0000_2x2-0000000016-0000000000.tif"),
        ("drive-download-1", "cropmap-0a1b-r0001_c0000_1x1.tif"),  # the same cell, exported alone
        ("", "cropmap-ffff-r0000_c0000_1x1.tif"),  # another run
        ("", "cropmap-0a1b-notes.txt"),
    ):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / name).write_bytes(b"12345")
    found = files_by_cell(open_places(str(tmp_path)), "cropmap-0a1b-", 16)
    assert {cell: [block for block, _ in files] for cell, files in found.items()} == {
        (0, 1): [Block(0, 0, 2, 2)],
        (1, 0): [Block(1, 0, 1, 1), Block(0, 0, 2, 2)],  # the smaller one first
    }
    _, file = found[0, 1][0]
    assert file.size == 5
    assert fetch(open_places(str(tmp_path)), file) == b"12345"


def test_a_file_that_vanished_is_told(tmp_path: Path) -> None:
    with pytest.raises(SceneReadError, match=r"gone\.tif"):
        open_places(str(tmp_path)).content(StoredFile("gone.tif", str(tmp_path / "gone.tif"), 1))


@pytest.mark.parametrize("name", ["nowhere", "a-file", "unknown-scheme://x"])
def test_a_place_that_is_no_folder_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").write_bytes(b"")
    with pytest.raises(InputError, match=name):
        open_places(name if "//" in name else str(tmp_path / name))


def test_a_bucket_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.delitem(sys.modules, "gcsfs.core", raising=False)
    with pytest.raises(InputError, match=r"pip install 'cropmap\[gcs\]'"):
        open_storage(Destination.parse("gcs://crops/north"), None)


class Stubborn:
    """A storage whose answers come in order, whatever is asked."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = list(contents)

    def files(self, prefix: str) -> Any:
        raise AssertionError

    def content(self, file: StoredFile) -> bytes:
        return self.contents.pop(0)


def stored(content: bytes, md5: bool = True) -> StoredFile:
    digest = hashlib.md5(content).hexdigest() if md5 else None
    return StoredFile("a.tif", "a", len(content), digest)


def test_bytes_that_were_damaged_on_the_way_are_fetched_again() -> None:
    assert fetch(Stubborn(b"12", b"1x345", b"12345"), stored(b"12345")) == b"12345"


def test_bytes_that_never_come_whole_are_no_damage_of_the_file() -> None:
    with pytest.raises(SceneReadError, match="MD5"):
        fetch(Stubborn(*[b"1x345"] * 3), stored(b"12345"))
    with pytest.raises(SceneReadError, match="2 of 5 bytes"):
        fetch(Stubborn(*[b"12"] * 3), stored(b"12345", md5=False))


def test_a_bucket_that_cannot_be_listed_is_told() -> None:
    class Closed:
        protocol = ("gs", "gcs")

        def find(self, root: str, **options: Any) -> Any:
            raise OSError("Forbidden: https://storage/b/crops/o\nno permission")

    with pytest.raises(AccessError, match=r"crops.*Forbidden"):
        list(FolderStorage("crops", Closed()).files("cropmap-"))


# Drive


class Drive:
    """What `requests` would bring from a Drive: pages of files, and faults in between."""

    def __init__(self, folders: int = 1, faults: tuple[Any, ...] = ()) -> None:
        self.faults = list(faults)
        self.folders = [{"id": f"folder{n}", "name": "crops"} for n in range(folders)]
        self.asked: list[dict[str, str]] = []

    def get(self, address: str, params: dict[str, str], timeout: Any) -> requests.Response:
        assert timeout
        if self.faults and (fault := self.faults.pop(0)):
            if isinstance(fault, Exception):
                raise fault
            return answer(fault, {"error": {"message": "Drive is busy."}})
        if address.endswith("/drive/v3/files/id7"):
            assert params == {"alt": "media"}
            return answer(200, content=b"12345")
        assert address == "http://drive.test/drive/v3/files"
        self.asked.append(params)
        if "mimeType = " in params["q"]:
            return answer(200, {"files": self.folders})
        page = int(params.get("pageToken", 0))
        names = [["cropmap-0a1b-r0000_c0000_1x1.tif"], ["cropmap-0a1b-r0000_c0001_1x1.tif", "x.tif"]][page]
        files = [{"id": f"id{page}", "name": n, "size": "5", "md5Checksum": "abc"} for n in names]
        return answer(200, {"files": files, **({"nextPageToken": "1"} if page == 0 else {})})


def answer(status: int, values: Any = None, content: bytes | None = None) -> requests.Response:
    import json

    made = requests.Response()
    made.status_code = status
    made._content = content if content is not None else json.dumps(values).encode()
    return made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DriveStorage._get.retry, "wait", tenacity.wait_none())  # type: ignore[attr-defined]


def drive(web: Drive, folder: str = "crops") -> DriveStorage:
    return DriveStorage(folder, web, url="http://drive.test/")


def test_all_pages_of_all_folders_of_the_name_are_listed() -> None:
    """Earth Engine makes a folder of the name once more where several tasks begin at a time."""
    web = Drive(folders=2)
    found = list(drive(web).files("cropmap-0a1b-"))
    assert [file.name for file in found] == [
        "cropmap-0a1b-r0000_c0000_1x1.tif",
        "cropmap-0a1b-r0000_c0001_1x1.tif",
    ] * 2
    assert (found[0].size, found[0].md5) == (5, "abc")
    assert "'folder1' in parents" in web.asked[-1]["q"]


def test_names_with_quotes_are_quoted() -> None:
    web = Drive()
    list(drive(web, "farmer's \\ maps").files("cropmap-0a1b-"))
    assert r"name = 'farmer\'s \\ maps'" in web.asked[0]["q"]


@pytest.mark.parametrize(
    "fault", [429, 503, requests.ConnectionError("reset"), requests.exceptions.ChunkedEncodingError("cut")]
)
def test_faults_of_a_drive_that_pass_are_waited_out(fault: Any) -> None:
    web = Drive(faults=(fault, fault, None, fault))
    assert len(list(drive(web).files("cropmap-0a1b-"))) == 2
    assert drive(web).content(StoredFile("a.tif", "id7", 5)) == b"12345"


def test_a_drive_that_may_not_be_read_is_told_at_once_in_its_own_words() -> None:
    web = Drive(faults=(403, 403))
    with pytest.raises(AccessError, match=r"drive:crops.*Drive is busy"):
        list(drive(web).files("cropmap-0a1b-"))
    assert web.faults == [403]


def test_a_drive_without_the_folder_is_told() -> None:
    with pytest.raises(AccessError, match="no folder 'crops'"):
        list(drive(Drive(folders=0)).files("cropmap-0a1b-"))


def test_a_file_that_a_drive_does_not_give_is_told() -> None:
    web = Drive(faults=(404,))
    with pytest.raises(SceneReadError, match=r"a\.tif.*Drive is busy"):
        drive(web).content(StoredFile("a.tif", "id7", 5))


def test_a_bucket_tells_its_troubles_once_and_without_tracebacks(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    open_storage(Destination.parse("gcs://crops/north"), "anon", "crop-maps")
    logging.getLogger("gcsfs").exception("out of retries")
    assert caplog.records == []
