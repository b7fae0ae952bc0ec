"""`cropmap publish --asset`: a map on its way to the emulator, and its pixels read back from there."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from click.testing import Result
from odc.geo.geobox import GeoBox

import assessment.publication.map_asset
import cropmap
from assessment.publication.map_asset import RECORD
from gee_pipeline.earthengine.client.session import Session, connect
from gee_pipeline.earthengine.client.settings import URL_VARIABLE, EarthEngineSettings
from gee_pipeline.earthengine.composites.storage import FolderStorage
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json
from tests.support.assessed_run import made_map, write_again
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.server import Emulator
from tests.support.made_runs import CROPS, MadeRun, made_facts, made_grid, made_run, random_layers
from tests.support.tiny_place import run_cropmap

pytestmark = pytest.mark.slow

PROJECT = "crop-maps"
ASSET = f"projects/{PROJECT}/assets/county_2021"
BUCKET = "gs://maps/county"
EMPTY = 200
"""A value that no layer has."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Path]]:
    with Emulator(Archive([]), project=PROJECT) as emulator:
        yield emulator, emulator.key_file(tmp_path_factory.mktemp("key"))


@pytest.fixture
def server(running: tuple[Emulator, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The emulator as Earth Engine and Cloud Storage, empty; nobody waits for it."""
    emulator, _ = running
    emulator.log.clear()
    emulator._scripts.clear()
    emulator.tasks._tasks.clear()
    emulator.tasks._requests.clear()
    emulator.tasks.failures.clear()
    emulator.assets.clear()
    emulator.storage._buckets.clear()
    emulator.storage.missing_buckets.clear()
    emulator.storage.locked_buckets.clear()
    monkeypatch.setenv(URL_VARIABLE, emulator.url)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    quick = partial(
        assessment.publication.map_asset.publish_asset, poll_seconds=0, sleep=lambda seconds: None
    )
    monkeypatch.setattr(assessment.publication.map_asset, "publish_asset", quick)
    yield emulator
    assert not emulator.errors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    return made_map(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made: MadeRun, tmp_path: Path) -> MadeRun:
    """A finished map, to spoil."""
    return replace(made, folder=Path(shutil.copytree(made.folder, tmp_path / "run")))


Publish = Callable[..., Result]


@pytest.fixture
def publish(server: Emulator, running: tuple[Emulator, Path], run: MadeRun) -> Publish:
    def asked(
        *options: object, asset: str = ASSET, bucket: str | None = BUCKET, folder: Any = None
    ) -> Result:
        place = [] if bucket is None else ["--bucket", bucket]
        access = ["--project", PROJECT, "--service-account", running[1]]
        return run_cropmap("publish", folder or run.folder, "--asset", asset, *place, *access, *options)

    return asked


def session_of(running: tuple[Emulator, Path]) -> Session:
    emulator, key = running
    return connect(EarthEngineSettings(project=PROJECT, service_account=key, url=emulator.url))


def pixels_of(running: tuple[Emulator, Path], band: str, geobox: GeoBox, asset: str = ASSET) -> Any:
    """What Earth Engine has in a band, masked pixels as `EMPTY`."""
    image = ee.Image(asset).select([band]).unmask(EMPTY, False)
    with rasterio.open(io.BytesIO(session_of(running).pixels(image, geobox))) as file:
        return file.read(1)


def expected_pixels(path: Path, index: int = 1) -> Any:
    """What a raster of the map has, pixels without a value as `EMPTY`."""
    with rasterio.open(path) as file:
        return np.where(file.read(index) == file.nodata, EMPTY, file.read(index))


def imports(server: Emulator) -> list[Any]:
    return server.log.of("import")


def uploads(server: Emulator) -> list[Any]:
    return server.log.of("upload")


def test_the_asset_has_the_pixels_of_the_map(
    publish: Publish, server: Emulator, running: tuple[Emulator, Path], run: MadeRun
) -> None:
    result = publish()
    assert result.exit_code == 0, result.output
    files = {"class": "crop_map", "confidence": "confidence", "clear": "clear_observations"}
    for band, name in files.items():
        wanted = expected_pixels(run.folder / "map" / f"{name}.tif")
        assert np.array_equal(pixels_of(running, band, run.grid.geobox), wanted)
        assert {EMPTY} < set(np.unique(wanted))  # some are masked, and some are not
    assert "96 x 64 pixels, bands class, confidence, clear" in result.stdout
    assert server.storage.names("maps") == []  # what was uploaded is gone
    assert not (run.folder / RECORD).exists()


def test_layers_on_request_are_bands_too(
    publish: Publish, running: tuple[Emulator, Path], tmp_path: Path
) -> None:
    layers = random_layers((32, 32))
    rng = np.random.default_rng(3)
    more = rng.integers(0, 101, (1 + len(CROPS), 32, 32), dtype=np.uint8)
    facts = made_facts(layers=("entropy", "probabilities"))
    made = made_run(tmp_path / "more", made_grid(1, 1, cell_size=32), np.concatenate([layers, more]))
    from inference.product.map_writer import write_map

    write_map(made.folder, made.grid, made.cells, CROPS, facts)
    assert publish(folder=made.folder).exit_code == 0
    found = session_of(running).asset(ASSET)
    assert found is not None
    bands = ["class", "confidence", "clear", "entropy", *(f"probability_{code}" for code in range(1, 6))]
    assert [band["id"] for band in found["bands"]] == bands
    for code in range(1, 6):
        wanted = expected_pixels(made.folder / "map" / "probabilities.tif", code)
        assert np.array_equal(pixels_of(running, f"probability_{code}", made.grid.geobox), wanted)


def test_the_smoothed_map_is_one_more_band(
    publish: Publish, running: tuple[Emulator, Path], run: MadeRun
) -> None:
    assert run_cropmap("smooth", run.folder, "--method", "majority", "--quiet").exit_code == 0
    assert publish("--smoothed").exit_code == 0
    wanted = expected_pixels(run.folder / "smoothed" / "crop_map_smoothed.tif")
    assert np.array_equal(pixels_of(running, "smoothed", run.grid.geobox), wanted)


def test_the_asset_says_what_it_is(publish: Publish, running: tuple[Emulator, Path], run: MadeRun) -> None:
    assert publish("--licence", "CC BY 4.0", "--agency", "Office of Fields").exit_code == 0
    found = session_of(running).asset(ASSET)
    assert found is not None
    assert (found["type"], found["startTime"], found["endTime"]) == (
        "IMAGE",
        "2021-01-01T00:00:00Z",
        "2022-01-01T00:00:00Z",
    )
    assert [band["pyramidingPolicy"] for band in found["bands"]] == ["MODE", "MEAN", "MEAN"]
    known = found["properties"]
    assert known["class_values"] == "1,2,3,4,5,254,255"
    assert known["class_names"] == "corn,soybeans,rice,cotton,other,not cropland,not enough observations"
    assert known["class_palette"] == "f2c200,2f7d32,2a9df4,d05a8a,9c7a54,c6c6c6,404040"
    assert (known["licence"], known["agency"], known["year"]) == ("CC BY 4.0", "Office of Fields", 2021)
    assert (known["model"], known["model_digest"]) == ("compact.safetensors", "0123456789abcdef")
    assert known["cropmap_version"] == "0.1.0"
    assert "Sentinel data 2021" in known["attribution"]
    assert re.fullmatch("[0-9a-f]{64}", known["map_sha256"])
    assert "simulated" not in known
    assert all(isinstance(value, str | int | float) for value in known.values())  # Google's guide: no lists
    with rasterio.open(run.folder / "map" / "crop_map.tif") as file:
        grid = found["bands"][0]["grid"]
        assert grid["crsCode"] == file.crs.to_string()
        assert (grid["dimensions"]["width"], grid["dimensions"]["height"]) == (file.width, file.height)
        affine = grid["affineTransform"]
        assert (affine["translateX"], affine["translateY"]) == (file.transform.c, file.transform.f)


def test_an_image_of_a_season_is_found_by_its_day(publish: Publish, running: tuple[Emulator, Path]) -> None:
    assert publish().exit_code == 0
    start = session_of(running).value(ee.Image(ASSET).get("system:time_start"))
    assert start == datetime(2021, 1, 1, tzinfo=UTC).timestamp() * 1000


def test_a_map_of_simulated_scenes_says_so(
    publish: Publish, running: tuple[Emulator, Path], tmp_path: Path
) -> None:
    made = made_map(tmp_path / "made", simulated=True)
    result = publish(folder=made.folder)
    found = session_of(running).asset(ASSET)
    assert found is not None
    assert found["properties"]["simulated"] == "true"
    assert "are simulated" in found["properties"]["description"]
    assert "attribution" not in found["properties"]
    assert "2021 (simulated)" in result.stdout


def test_the_lines_for_the_code_editor_hold_codes_names_and_colours(publish: Publish) -> None:
    first, second = publish().stdout.splitlines()[-2:]
    held = re.fullmatch(r"  var map = ee\.Image\((.+?)\)\.select\(\"class\"\)\.set\((.+)\);", first)
    assert held
    assert json.loads(held[1]) == ASSET
    lists = json.loads(held[2])
    assert lists["class_class_values"][-2:] == [254, 255]
    assert lists["class_class_names"][2] == "rice"
    assert lists["class_class_palette"][0] == "f2c200"
    assert second.strip().startswith('Map.centerObject(map); Map.addLayer(map, {}, "Crop map of')


def test_the_manifest_alone_needs_no_account_and_makes_the_same_asset(
    server: Emulator, running: tuple[Emulator, Path], run: MadeRun, tmp_path: Path
) -> None:
    path = tmp_path / "manifest.json"
    result = run_cropmap("publish", run.folder, "--asset", ASSET, "--bucket", BUCKET, "--manifest", path)
    assert result.exit_code == 0, result.output
    assert len(server.log) == 0
    assert f'earthengine upload image --manifest "{path}"' in result.stdout
    for file in (run.folder / "map").glob("*.tif"):
        server.storage.put("maps", f"county/{file.name}", file.read_bytes())
    session = session_of(running)
    operation = session.start_import({"imageManifest": read_json(path)}, "by-hand")
    while not session.operation(operation["name"]).get("done"):
        pass
    wanted = expected_pixels(run.folder / "map" / "crop_map.tif")
    assert np.array_equal(pixels_of(running, "class", run.grid.geobox), wanted)


def test_the_same_command_again_sends_nothing(publish: Publish, server: Emulator) -> None:
    first = publish()
    again = publish()
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert len(imports(server)) == 1
    assert len(uploads(server)) == 3


def test_uploads_are_kept_on_request(publish: Publish, server: Emulator) -> None:
    assert publish("--keep-upload").exit_code == 0
    names = [name.rpartition("/")[2] for name in server.storage.names("maps", "county/")]
    assert names == ["clear_observations.tif", "confidence.tif", "crop_map.tif"]


def test_an_asset_that_exists_is_replaced_on_request_only(
    publish: Publish, server: Emulator, running: tuple[Emulator, Path], run: MadeRun
) -> None:
    assert publish().exit_code == 0
    refused = publish("--licence", "CC BY 4.0")
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert len(imports(server)) == 1
    assert server.storage.names("maps") == []
    assert publish("--licence", "CC BY 4.0", "--overwrite").exit_code == 0
    found = session_of(running).asset(ASSET)
    assert found is not None
    assert found["properties"]["licence"] == "CC BY 4.0"


def test_a_folder_is_not_replaced_by_a_map(publish: Publish, server: Emulator) -> None:
    server.assets.create_folder(ASSET)
    refused = publish("--overwrite")
    assert refused.exit_code == 2
    assert "of another type (folder)" in refused.stderr


def test_without_waiting_the_same_command_looks_again(publish: Publish, server: Emulator) -> None:
    started = publish("--no-wait")
    assert started.exit_code == 0
    assert "is writing" in started.stdout
    assert server.storage.names("maps", "county/") != []
    assert ASSET not in server.assets
    done = publish()
    assert done.exit_code == 0, done.output
    assert "bands class" in done.stdout
    assert len(imports(server)) == 1
    assert len(uploads(server)) == 3
    assert server.storage.names("maps") == []


def test_progress_is_told_as_far_as_earth_engine_tells_it(publish: Publish, server: Emulator) -> None:
    def at(share: float) -> Answer:
        def told(body: bytes) -> bytes:
            found = json.loads(body)
            found["metadata"]["progress"] = share
            return json.dumps(found).encode()

        return Answer.changed(told)

    server.script("operation", at(0.2), at(0.25), at(1))
    said = publish().stderr
    assert re.findall(r"has done (\d+)%", said) == ["20", "100"]


def test_killed_between_upload_and_request_nothing_is_uploaded_twice(
    publish: Publish, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.start_import

    def killed(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "start_import", killed)
    publish()
    assert len(uploads(server)) == 3
    monkeypatch.setattr(Session, "start_import", real)
    assert publish().exit_code == 0
    assert len(uploads(server)) == 3
    assert len(imports(server)) == 1
    assert server.storage.names("maps") == []


def test_killed_before_the_answer_came_the_task_is_found_again(
    publish: Publish, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.start_import

    def killed(self: Session, *arguments: Any) -> Any:
        real(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "start_import", killed)
    publish()
    monkeypatch.setattr(Session, "start_import", real)
    assert publish().exit_code == 0
    assert len(server.tasks) == 1
    assert len(imports(server)) == 1


def test_a_request_whose_answer_was_lost_starts_one_task(publish: Publish, server: Emulator) -> None:
    server.script("import", Answer.truncated())
    assert publish().exit_code == 0
    assert len(server.tasks) == 1
    first, again = (request.body for request in imports(server))
    assert first == again
    assert first["requestId"] == first["description"]


def test_killed_in_the_middle_of_an_upload_the_rest_is_uploaded(
    publish: Publish, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = FolderStorage.put, iter(range(2))

    def killed(self: FolderStorage, path: Path, name: str) -> bool:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(self, path, name)

    monkeypatch.setattr(FolderStorage, "put", killed)
    publish()
    assert len(uploads(server)) == 2
    monkeypatch.setattr(FolderStorage, "put", real)
    assert publish().exit_code == 0
    assert len(uploads(server)) == 3


def test_killed_while_uploads_are_deleted_the_rest_is_deleted(
    publish: Publish, server: Emulator, run: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = FolderStorage.remove, iter(range(1))

    def killed(self: FolderStorage, name: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(self, name)

    monkeypatch.setattr(FolderStorage, "remove", killed)
    publish()
    assert len(server.storage.names("maps")) == 2
    monkeypatch.setattr(FolderStorage, "remove", real)
    assert publish().exit_code == 0
    assert server.storage.names("maps") == []
    assert len(imports(server)) == 1
    assert not (run.folder / RECORD).exists()


def test_an_upload_of_other_bytes_is_not_taken_for_the_file(
    publish: Publish, server: Emulator, running: tuple[Emulator, Path], run: MadeRun
) -> None:
    server.script_tasks("Internal error.", "Internal error.", "Internal error.")
    assert publish().exit_code == 2
    name = next(name for name in server.storage.names("maps") if name.endswith("crop_map.tif"))
    spoiled = bytearray(server.storage.get("maps", name))
    spoiled[-1] ^= 1
    server.storage.put("maps", name, bytes(spoiled))
    assert publish().exit_code == 0
    assert len(uploads(server)) == 4
    wanted = expected_pixels(run.folder / "map" / "crop_map.tif")
    assert np.array_equal(pixels_of(running, "class", run.grid.geobox), wanted)


def test_an_ingestion_that_fails_says_why_and_is_started_again(publish: Publish, server: Emulator) -> None:
    server.script_tasks("The file has no CRS.")
    failed = publish()
    assert failed.exit_code == 2
    assert f"Not written at Earth Engine: {ASSET}: The file has no CRS. Mend the reason" in failed.stderr
    assert server.storage.names("maps") != []
    assert publish().exit_code == 0
    assert len(uploads(server)) == 3
    assert len(imports(server)) == 2


def test_an_asset_that_came_meanwhile_is_not_overwritten(
    publish: Publish, server: Emulator, run: MadeRun
) -> None:
    assert publish("--no-wait").exit_code == 0
    server.assets.create_folder(ASSET)
    failed = publish()
    assert failed.exit_code == 2
    assert "Cannot overwrite asset" in failed.stderr
    assert "--overwrite" in failed.stderr


def test_an_asset_that_came_out_otherwise_is_told(publish: Publish, server: Emulator, run: MadeRun) -> None:
    def other(body: bytes) -> bytes:
        found = json.loads(body)
        found["bands"][1]["id"] = "b2"
        found["bands"][0]["grid"]["affineTransform"]["translateX"] += 5
        del found["properties"]["model"]
        return json.dumps(found).encode()

    missing = Answer.ok()
    server.script("asset", missing, missing, Answer.changed(other))
    result = publish()
    assert result.exit_code == 2
    assert "its bands are class, b2, clear, not class, confidence, clear" in result.stderr
    assert "its transform is" in result.stderr
    assert "its properties differ in model" in result.stderr
    assert server.storage.names("maps") == []
    assert not (run.folder / RECORD).exists()


def test_another_publication_of_the_run_waits_for_the_first(publish: Publish, server: Emulator) -> None:
    assert publish("--no-wait").exit_code == 0
    other = publish(asset=f"{ASSET}_b")
    assert other.exit_code == 2
    assert RECORD in other.stderr
    assert len(imports(server)) == 1


def test_a_bucket_that_may_not_be_written_to_is_named(publish: Publish, server: Emulator) -> None:
    server.storage.locked_buckets.add("maps")
    refused = publish()
    assert refused.exit_code == 2
    assert "storage.objects.create" in refused.stderr
    assert "--bucket" in refused.stderr
    assert imports(server) == []
    server.storage.locked_buckets.clear()
    server.storage.missing_buckets.add("maps")
    assert publish().exit_code == 2
    server.storage.missing_buckets.clear()
    assert publish().exit_code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bucket": None}, "--bucket gs://BUCKET/PREFIX"),
        ({"bucket": "s3://maps/county"}, "--bucket takes gs://BUCKET/PREFIX"),
        ({"bucket": "maps"}, "--bucket takes gs://BUCKET/PREFIX"),
        ({"bucket": "gs://M/county"}, "Write --bucket gs://BUCKET/PREFIX"),
        ({"asset": "users/me/map"}, "--asset takes projects/PROJECT/assets/NAME"),
        ({"asset": f"{ASSET} 2021"}, "--asset takes projects/PROJECT/assets/NAME"),
        ({"asset": f"projects/{PROJECT}/assets/none/map"}, "earthengine create folder"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_sent(
    publish: Publish, server: Emulator, options: dict[str, Any], said: str
) -> None:
    refused = publish(**options)
    assert refused.exit_code != 0
    assert said in refused.stderr
    assert server.storage.names("maps") == []


def test_the_project_of_somebody_else_is_named(publish: Publish) -> None:
    refused = publish(asset="projects/other-project/assets/map")
    assert refused.exit_code == 2
    assert "other-project" in refused.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--to FOLDER, --asset"),
        (["--to", "out", "--bucket", BUCKET], "go with --asset alone"),
        (["--asset", ASSET, "--bucket", BUCKET, "--fields"], "go with --to"),
    ],
)
def test_options_that_do_not_fit_are_refused(run: MadeRun, options: list[str], said: str) -> None:
    refused = run_cropmap("publish", run.folder, *options)
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.split())


def test_an_asset_is_of_one_map(run: MadeRun, tmp_path: Path) -> None:
    other = made_map(tmp_path / "other")
    refused = run_cropmap("publish", run.folder, other.folder, "--asset", ASSET, "--bucket", BUCKET)
    assert refused.exit_code == 2
    assert "one RUN, not 2" in refused.stderr


def test_a_run_without_a_whole_map_is_refused(publish: Publish, server: Emulator, run: MadeRun) -> None:
    (run.folder / "map" / "report.json").unlink()
    refused = publish()
    assert refused.exit_code == 3
    assert "is not whole" in refused.stderr
    assert len(server.log) == 0


def test_a_folder_of_something_else_is_refused(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    refused = publish(folder=tmp_path / "photos")
    assert refused.exit_code == 2
    assert "holds no run" in refused.stderr


def test_a_layer_of_another_run_is_refused(publish: Publish, server: Emulator, run: MadeRun) -> None:
    write_again(run, run_digest="second")
    other = (run.folder / "map" / "confidence.tif").read_bytes()
    write_again(run, run_digest="first")
    (run.folder / "map" / "confidence.tif").write_bytes(other)
    refused = publish()
    assert refused.exit_code != 0
    assert "second" in refused.stderr
    assert len(server.log) == 0


def test_no_key_or_token_is_left_in_a_file(
    publish: Publish, running: tuple[Emulator, Path], run: MadeRun
) -> None:
    assert publish("--no-wait").exit_code == 0
    key = json.loads(running[1].read_text())
    record = (run.folder / RECORD).read_text()
    assert str(running[1]) not in record
    for secret in (key["private_key"][:60], key["client_email"]):
        assert secret not in record


def test_a_folder_and_an_asset_at_once(publish: Publish, server: Emulator, tmp_path: Path) -> None:
    result = publish("--to", tmp_path / "published")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "published" / "SHA256SUMS").is_file()
    assert ASSET in server.assets


def test_the_same_in_python(
    server: Emulator, running: tuple[Emulator, Path], run: MadeRun, tmp_path: Path
) -> None:
    access = {"project": PROJECT, "service_account": running[1], "progress": False}
    made = cropmap.publish(run.folder, asset=ASSET, bucket=BUCKET, licence="CC BY 4.0", **access)
    assert made.done
    assert server.assets.get(ASSET)["properties"]["licence"] == "CC BY 4.0"
    published = cropmap.publish([run.folder], to=tmp_path / "out", agency="Fields", progress=False)
    assert (published.folder / "SHA256SUMS").is_file()
    for options, said in (
        ({}, "Give one"),
        ({"to": tmp_path / "out", "asset": ASSET}, "Give one"),
        ({"asset": ASSET}, "--bucket"),
        ({"asset": ASSET, "bucket": BUCKET, "shape": "round"}, "shape is no option here"),
    ):
        with pytest.raises(InputError, match=said):
            cropmap.publish(run.folder, progress=False, **options)
    with pytest.raises(InputError, match="of one map, got 2 runs"):
        cropmap.publish([run.folder, run.folder], asset=ASSET, bucket=BUCKET, progress=False)
