import json

import pytest

pytest.importorskip("huggingface_hub", reason="needs the extra cropmap[training]")

from gee_pipeline.errors import CorruptFileError, InputError
from tests.support.fake_hub import FakeHub, serve
from tests.support.tiny_place import run_cropmap
from training.downloads.hub import Hub
from training.foundation.harmonized_crops import DATASET, HarmonizedRequest, fetch_harmonized_crops

IMAGES = "sentinel2_subsample_1000/sentinel2_cdl_2023_subsampled"
FILES = {
    f"{IMAGES}/2023_1.tif": b"image 1" * 9000,
    f"{IMAGES}/2023_2.tif": b"image 2" * 9000,
    "cdl_harmonized_block/2023_30m_cdls.tif": b"labels" * 20_000,
    "sact_harmonized/train/labels/1034.tif": b"chip",
    "agrifieldnet_harmonized/train_labels/1.tif": b"left out",
    "README.md": b"---\nlicense: cc-by-sa-4.0\n---",
}


@pytest.fixture
def hub():
    with serve(FakeHub(dict(FILES), dataset=DATASET, licence="cc-by-sa-4.0")) as server:
        yield server


def fetch(hub, to, *datasets, **options):
    ours = Hub(hub.dataset, hub.url, attempts=3, wait=0.01)
    return fetch_harmonized_crops(HarmonizedRequest(to, datasets), hub=ours, **options)


def test_images_and_labels_of_a_data_set_keep_their_folders(hub, tmp_path):
    summary = fetch(hub, tmp_path, "CDL")
    there = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.tif"))
    assert there == sorted(path for path in FILES if path.startswith(("sentinel2", "cdl")))
    assert (tmp_path / IMAGES / "2023_2.tif").read_bytes() == FILES[f"{IMAGES}/2023_2.tif"]
    assert summary.licence == "cc-by-sa-4.0"
    assert json.loads((tmp_path / "harmonized_crops.json").read_text())["licence"] == "cc-by-sa-4.0"


def test_the_licence_and_the_size_are_said_before_the_first_byte(hub, tmp_path):
    said = []
    fetch(hub, tmp_path, "CDL", say=lambda text: said.append((text, list(hub.downloads))))
    ((sentence, before),) = said
    assert before == []
    assert sentence == f"Fetching 3 files, 240.2 KiB, of {DATASET}, under the licence cc-by-sa-4.0."


def test_a_broken_connection_is_resumed_and_other_bytes_are_refused(hub, tmp_path):
    hub.break_after = [30_000]
    fetch(hub, tmp_path, "CDL")
    assert ("2023_1.tif", "bytes=30000-") in hub.downloads
    (tmp_path / IMAGES / "2023_1.tif").unlink()
    hub.altered[f"{IMAGES}/2023_1.tif"] = bytes(63_000)
    with pytest.raises(CorruptFileError, match="not what was published"):
        fetch(hub, tmp_path, "CDL")


def test_a_data_set_without_images_is_refused_by_folder(hub, tmp_path):
    with pytest.raises(
        InputError, match="no files in sentinel2_subsample_1000/sentinel2_sact_2017_subsampled/"
    ):
        fetch(hub, tmp_path, "SACT")
    assert hub.downloads == []


def test_other_names_are_refused(hub, tmp_path):
    with pytest.raises(InputError, match="got --datasets AgriFieldNet"):
        HarmonizedRequest(tmp_path, ("AgriFieldNet",))
    hub.files = {"README.md": b"#"}
    with pytest.raises(InputError, match="none of the folders"):
        fetch(hub, tmp_path)


def test_the_command_says_folders_licence_and_what_is_lacking(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    result = run_cropmap("data", "harmonized-crops", "--to", tmp_path, "--datasets", "CDL")
    assert result.exit_code == 0
    assert "under the licence cc-by-sa-4.0" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == [IMAGES, "2", "files", "123.0", "KiB"]
    assert "The lists of images are not there: train-test-splits" in lines
    assert "Licence: cc-by-sa-4.0" in lines
    again = run_cropmap(
        "data", "harmonized-crops", "--to", tmp_path, "--datasets", "CDL", "--json", "--quiet"
    )
    told = json.loads(again.stdout)
    assert (told["fetched"], told["size"], len(told["files"])) == (0, 246_000, 3)
    assert again.stderr == ""
