import errno
import hashlib
import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from filelock import FileLock

from cli.commands.data import KINDS as CLI_KINDS
from cli.commands.data import data
from cli.output.fetching import WORDING
from cli.output.reporting import MinuteLines
from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError
from training.cropglobe.dataset import COUNTRIES, KINDS, CropGlobeRequest, fetch_cropglobe
from training.downloads.dataset_folder import FetchProgress
from training.downloads.hub import DownloadError, Hub

pytest.importorskip("huggingface_hub", reason="needs the extra cropmap[training]")

from tests.support.fake_hub import DATASET, FakeHub, serve

FRANCE = "for_CropNet/median_S2_FRA_month1-12_day5.npz"
BELGIUM = "for_CropNet/median_S2_BEL_month1-12_day5.npz"
HARMONIC = "Harmonic/harmonic_FRA_month5-11.npz"


def content(seed: int, size: int = 300_000) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@pytest.fixture
def hub():
    files = {FRANCE: content(1), BELGIUM: content(2, 70_000), HARMONIC: content(3, 500), "README.md": b"#"}
    with serve(FakeHub(files)) as server:
        yield server


def fetch(hub, to, kind="median", countries=("FRA",), **options):
    ours = Hub(hub.dataset, hub.url, attempts=3, wait=0.01)
    return fetch_cropglobe(CropGlobeRequest(to, kind, countries), hub=ours, **options)


def test_files_keep_their_folders_and_are_what_was_published(hub, tmp_path):
    summary = fetch(hub, tmp_path, countries=("FRA", "BEL"))
    assert (tmp_path / FRANCE).read_bytes() == hub.files[FRANCE]
    assert (tmp_path / BELGIUM).read_bytes() == hub.files[BELGIUM]
    assert not (tmp_path / "Harmonic").exists()
    assert (summary.size, summary.fetched, summary.absent) == (370_000, 370_000, ())


def test_the_licence_is_said_before_the_first_byte_and_stays_in_the_record(hub, tmp_path):
    hub.licence = "cc-by-4.0"
    said = []
    summary = fetch(hub, tmp_path, say=lambda sentence: said.append((sentence, len(hub.downloads))))
    assert said == [("Fetching 1 file, 293.0 KiB, of x-ytong/CropGlobe, under the licence cc-by-4.0.", 0)]
    assert summary.licence == fetch(hub, tmp_path, say=said.append).licence == "cc-by-4.0"
    assert len(said) == 1  # nothing was fetched the second time


def test_a_page_without_a_licence_is_said_to_have_none(hub, tmp_path):
    said = []
    fetch(hub, tmp_path, say=said.append)
    assert said[0].endswith("whose page names no licence.")


def test_a_second_run_needs_no_network(hub, tmp_path):
    fetch(hub, tmp_path)
    before = len(hub.asked)
    summary = fetch(hub, tmp_path)
    assert len(hub.asked) == before
    assert (summary.size, summary.fetched) == (300_000, 0)


def test_a_broken_connection_is_resumed_where_it_broke(hub, tmp_path):
    hub.break_after = [100_000, 50_000]
    fetch(hub, tmp_path)
    spans = [span for _, span in hub.downloads]
    assert spans == ["bytes=0-", "bytes=100000-", "bytes=150000-"]
    assert (tmp_path / FRANCE).read_bytes() == hub.files[FRANCE]


def test_the_next_run_goes_on_where_the_last_was_cut_off(hub, tmp_path):
    def cut_off(progress: FetchProgress) -> None:
        if progress.done >= 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(hub, tmp_path, progress=cut_off)
    assert not (tmp_path / FRANCE).exists()
    (part,) = tmp_path.glob("for_CropNet/*.part")
    there = part.stat().st_size
    assert 100_000 <= there < 300_000
    fetch(hub, tmp_path)
    assert [span for _, span in hub.downloads] == ["bytes=0-", f"bytes={there}-"]
    assert (tmp_path / FRANCE).read_bytes() == hub.files[FRANCE]
    assert list(tmp_path.glob("**/*.part")) == []


def test_a_connection_that_breaks_again_and_again_is_an_error_that_keeps_what_came(hub, tmp_path):
    hub.break_after = [40_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"median_S2_FRA.*the same command continues"):
        fetch(hub, tmp_path)
    (part,) = tmp_path.glob("for_CropNet/*.part")
    assert part.read_bytes() == hub.files[FRANCE][:40_000]


def test_a_server_that_only_sends_whole_files_is_understood(hub, tmp_path):
    hub.ranges, hub.break_after = False, [120_000]
    fetch(hub, tmp_path)
    assert (tmp_path / FRANCE).read_bytes() == hub.files[FRANCE]


def test_other_bytes_than_published_are_thrown_away(hub, tmp_path):
    changed = bytearray(hub.files[FRANCE])
    changed[200_000] ^= 1
    hub.altered[FRANCE] = bytes(changed)
    with pytest.raises(CorruptFileError, match="sha256:" + hashlib.sha256(hub.files[FRANCE]).hexdigest()):
        fetch(hub, tmp_path)
    assert [path.name for path in (tmp_path / "for_CropNet").iterdir()] == []
    hub.altered.clear()
    fetch(hub, tmp_path)
    assert (tmp_path / FRANCE).read_bytes() == hub.files[FRANCE]


def test_a_damaged_part_is_found_out_and_begun_anew(hub, tmp_path):
    hub.break_after = [40_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(hub, tmp_path)
    (part,) = tmp_path.glob("for_CropNet/*.part")
    part.write_bytes(bytes(40_000))
    hub.break_after = []
    with pytest.raises(CorruptFileError):
        fetch(hub, tmp_path)
    fetch(hub, tmp_path)
    assert (tmp_path / FRANCE).read_bytes() == hub.files[FRANCE]


def test_a_file_outside_the_large_file_store_is_checked_by_its_git_hash(hub, tmp_path):
    hub.plain.add(HARMONIC)
    fetch(hub, tmp_path, "harmonic")
    assert (tmp_path / HARMONIC).read_bytes() == hub.files[HARMONIC]
    (tmp_path / HARMONIC).write_bytes(content(4, 500))
    with pytest.raises(CorruptFileError, match="git-sha1"):
        fetch(hub, tmp_path, "harmonic")


def test_a_local_file_that_changed_is_named_and_kept(hub, tmp_path):
    fetch(hub, tmp_path)
    (tmp_path / FRANCE).write_bytes(b"mine")
    with pytest.raises(CorruptFileError, match="Delete it or move it away"):
        fetch(hub, tmp_path)
    assert (tmp_path / FRANCE).read_bytes() == b"mine"


def test_a_folder_keeps_to_the_version_it_began_with(hub, tmp_path):
    fetch(hub, tmp_path)
    old, hub.commit = hub.commit, "b" * 40
    with pytest.raises(InputError, match="There is no for_CropNet/median_S2_BEL"):
        fetch(hub, tmp_path, countries=("BEL",))
    (tmp_path / "cropglobe.json").unlink()
    assert fetch(hub, tmp_path, countries=("BEL",)).commit == "b" * 40 != old


@pytest.mark.parametrize("what", ["info", "file"])
def test_a_server_that_is_busy_for_a_while_is_asked_again(hub, tmp_path, what):
    hub.unavailable[what] = 2
    fetch(hub, tmp_path)
    assert (tmp_path / FRANCE).read_bytes() == hub.files[FRANCE]


@pytest.mark.parametrize("what", ["info", "file"])
def test_a_server_that_stays_busy_is_named(hub, tmp_path, what):
    hub.unavailable[what] = 99
    with pytest.raises(DownloadError, match=f"{hub.url} answered 503"):
        fetch(hub, tmp_path)


def test_an_unknown_dataset_is_named_with_its_server(hub, tmp_path):
    ours = Hub("somebody/else", hub.url, attempts=2, wait=0.01)
    with pytest.raises(InputError, match=f"no dataset somebody/else at {hub.url}"):
        fetch_cropglobe(CropGlobeRequest(tmp_path), hub=ours)


def test_no_network_is_told_with_what_to_look_at(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = Hub(DATASET, f"http://127.0.0.1:{port}", attempts=2, wait=0.01)
    with pytest.raises(DownloadError, match=r"cannot be reached.*HTTPS_PROXY"):
        fetch_cropglobe(CropGlobeRequest(tmp_path), hub=ours)


def test_forbidden_network_is_told(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids"):
        fetch(hub, tmp_path)


def test_countries_that_the_dataset_lacks_are_refused_by_name_before_anything_is_fetched(hub, tmp_path):
    with pytest.raises(InputError, match=r"does not have median_S2_USA_month1-12_day5\.npz"):
        fetch(hub, tmp_path, countries=("FRA", "USA"))
    assert hub.downloads == []


def test_without_a_choice_of_countries_what_is_absent_is_told(hub, tmp_path):
    summary = fetch(hub, tmp_path, "all", None)
    assert {Path(file.path).name for file in summary.files} == {
        path.rpartition("/")[2] for path in (FRANCE, BELGIUM, HARMONIC)
    }
    assert len(summary.absent) == 6 * 8 - 3


def test_a_dataset_with_other_names_is_refused(hub, tmp_path):
    hub.files = {"README.md": b"#"}
    with pytest.raises(InputError, match="none of the files"):
        fetch(hub, tmp_path)


def test_a_path_that_leads_out_of_the_folder_is_not_followed(hub, tmp_path):
    hub.files = {"../median_S2_FRA_month1-12_day5.npz": b"1", BELGIUM: b"2"}
    with pytest.raises(InputError, match="does not have median_S2_FRA"):
        fetch(hub, tmp_path / "inner")


def test_a_disk_without_room_is_told_before_the_download(hub, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 299_999))
    with pytest.raises(DiskFullError, match=r"293\.0 KiB are needed"):
        fetch(hub, tmp_path)
    assert hub.downloads == []


def test_a_disk_that_fills_up_on_the_way_keeps_what_came(hub, tmp_path, monkeypatch):
    class Full(Hub):
        def read(self, commit, file, start=0):
            yield hub.files[file.path][:1000]
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError, match="run the same command again"):
        fetch_cropglobe(CropGlobeRequest(tmp_path, countries=("FRA",)), hub=Full(DATASET, hub.url))
    (part,) = tmp_path.glob("for_CropNet/*.part")
    assert part.stat().st_size == 1000


def test_two_downloads_into_one_folder_do_not_mix(hub, tmp_path):
    with FileLock(tmp_path / ".cropglobe.lock"), pytest.raises(InputError, match="Another process"):
        fetch(hub, tmp_path)


def test_a_broken_record_is_named(hub, tmp_path):
    (tmp_path / "cropglobe.json").write_text('{"commit": 3}')
    with pytest.raises(CorruptFileError, match=r"cropglobe\.json.*Delete it"):
        fetch(hub, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"kind": "raw"}, "--kind raw"), ({"countries": ("FRA", "DEU")}, "--countries DEU")],
)
def test_a_request_names_what_it_does_not_know(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        CropGlobeRequest(tmp_path, **options)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'cropmap\[training\]'"):
        fetch_cropglobe(CropGlobeRequest(tmp_path))


def invoke(*arguments):
    return CliRunner().invoke(data, ["cropglobe", *map(str, arguments)], catch_exceptions=False)


def test_the_command_takes_its_server_from_the_environment(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    result = invoke("--to", tmp_path, "--countries", "fra,BEL")
    assert result.exit_code == 0
    assert "2 files, 361.3 KiB" in result.stdout  # 370,000 / 1,024
    assert "median_S2_FRA" in result.stderr
    told = json.loads(invoke("--to", tmp_path, "--countries", "FRA", "--json", "--quiet").stdout)
    assert told["files"] == [{"path": str(tmp_path / FRANCE), "size": 300_000, "fetched": False}]


def test_the_command_knows_the_kinds_and_countries(tmp_path):
    assert tuple(KINDS) == CLI_KINDS
    help_text = " ".join(invoke("--help").stdout.split())
    assert ", ".join(COUNTRIES) in help_text


def test_a_log_gets_a_line_as_each_file_begins():
    lines = []
    with MinuteLines(WORDING, lines.append) as log:
        for path, done in (("a.npz", 1024), ("a.npz", 1500), ("b.npz", 3072), ("b.npz", 4096)):
            log.report(FetchProgress(path, done, 4096))
    assert lines == [
        "a.npz: 1.0 KiB of 4.0 KiB",
        "b.npz: 3.0 KiB of 4.0 KiB",
        "b.npz: 4.0 KiB of 4.0 KiB",
    ]
