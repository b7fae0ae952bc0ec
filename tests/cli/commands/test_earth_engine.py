"""`cropmap predict` and `export` from Earth Engine: the whole command over HTTP against the emulator."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import Result

from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.earthengine.composites import source
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.server import Emulator
from tests.support.tiny_place import YEAR, Place, codes, files, report, run_cropmap, times

pytestmark = pytest.mark.slow

PROJECT = "crop-maps"
CELL = "r0001_c0001.tif"
"""A cell in the middle of the area."""

RASTERS = ("crop_map.tif", "confidence.tif", "clear_observations.tif")


SIZE = 32
"""Pixels of a cell: the emulator computes a cell of the usual 256 for seconds."""


@pytest.fixture(scope="session")
def local(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the local engine on the same scenes."""
    out = tmp_path_factory.mktemp("local") / "run"
    succeeds(place.predict(out, cell_size=SIZE))
    return out


@pytest.fixture(scope="module")
def images(place: Place) -> list[ImageAsset]:
    """The scenes of the place as Earth Engine would hold them."""
    return list(archive_of_catalog(place.catalog))


@pytest.fixture
def server(images: list[ImageAsset]) -> Iterator[Emulator]:
    with Emulator(Archive(images), project=PROJECT) as emulator:
        yield emulator


@pytest.fixture
def access(server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options with which a command reaches the emulator, and nothing else."""
    monkeypatch.setenv(URL_VARIABLE, server.url)
    key = server.key_file(tmp_path)
    return {"source": None, "project": PROJECT, "service_account": key, "cell_size": SIZE}


OF_THE_SOURCE = {"RUN_DIGEST"}
"""Tags that say where pixels came from."""


def pixels(run: Path) -> dict[str, Any]:
    """The three rasters of a map: pixels, place and all that is said of them but where they came from."""
    found = {}
    for name in RASTERS:
        with rasterio.open(run / "map" / name) as file:
            tags = {key: value for key, value in file.tags().items() if key not in OF_THE_SOURCE}
            place = (file.transform, str(file.crs), file.shape)
            said = (file.nodata, file.descriptions, tags, file.tags(1))
            colors = file.colormap(1) if name == "crop_map.tif" else None
            found[name] = (file.read(1).tobytes(), place, said, colors)
    return found


def asked(server: Emulator, status: int = 200) -> list[tuple[Any, ...]]:
    """Where and for which bands pixels of composites were asked, with an answer of that status."""
    return [
        (tuple(request.grid.transform)[:6], request.bands)
        for request in server.log.of("pixels")
        if request.status == status and request.grid and request.bands and len(request.bands) > 1
    ]


def succeeds(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


def test_earth_engine_gives_the_same_map_as_the_scenes_themselves(
    place: Place, local: Path, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    succeeds(place.predict(tmp_path / "run", **access))
    assert pixels(tmp_path / "run") == pixels(local)
    found = report(tmp_path / "run")
    assert found["source"]["kind"] == "earthengine"
    assert any("which is not Google's Earth Engine" in text for text in found["notices"])
    assert found["spent"]["requests"] == len([r for r in server.log if r.kind in ("pixels", "value")])
    assert found["spent"]["eecu_hours"] == pytest.approx(server.eecu_seconds / 3600)
    assert max(Counter(asked(server)).values()) == 1


def test_workers_need_no_access_to_earth_engine(
    place: Place, local: Path, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    succeeds(place.predict(tmp_path / "run", **{**access, "workers": 2}))
    assert pixels(tmp_path / "run") == pixels(local)
    assert len([request for request in server.log if request.kind == "token"]) == 1


def test_every_fault_together_changes_nothing_in_the_map(
    place: Place, local: Path, access: dict[str, Any], server: Emulator, tmp_path: Path, quick: None
) -> None:
    too_many = Answer.error(
        429, "Too Many Requests: Request was rejected because the request rate limit was exceeded."
    )
    server.script("value", Answer.error(503, "The service is currently unavailable."), too_many)
    server.script(
        "pixels",
        too_many,
        Answer.truncated(),
        Answer.error(500, "An internal error has occurred"),
        Answer.garbage(),
        Answer.slow(0.3),
        Answer.error(401, "Request had invalid authentication credentials."),
        Answer.close(),
        too_many,
    )

    def memory(request: LoggedRequest) -> Answer | None:
        bins = set(re.findall(r"B2_(\d+)", json.dumps(request.body)))
        big = request.kind == "pixels" and len(bins) > 5
        return Answer.error(400, "User memory limit exceeded.") if big else None

    server.rule = memory
    result = succeeds(place.predict(tmp_path / "run", **access))
    assert pixels(tmp_path / "run") == pixels(local)
    assert max(Counter(asked(server)).values()) == 1
    too_large = [bands for _, bands in asked(server) if len(bands) > 5 * 3]
    assert len(too_large) <= 2  # the truncated and the slow answer; the rule lets 5 bins of 3 bands pass
    assert "Traceback" not in result.stderr


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a request is tried again."""
    monkeypatch.setattr(source, "Fetcher", partial(source.Fetcher, sleep=lambda seconds: None))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_command_killed_at_a_random_moment_fetches_no_finished_cell_again(
    place: Place, local: Path, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = {"aoi": place.area, "year": YEAR, "out": run, "model": place.model, "workers": 0, **access}
    words = [str(w) for k, v in options.items() if v is not None for w in (f"--{k.replace('_', '-')}", v)]
    server.rule = lambda request: Answer.slow(0.2) if request.kind == "pixels" else None
    with subprocess.Popen([sys.executable, "-m", "cli.main", "predict", *words]) as process:
        while not list((run / "composites").glob("*.tif")):
            time.sleep(0.02)
            assert process.poll() is None
        time.sleep(random.random() * 0.4)
        process.send_signal(signal.SIGKILL)
    kept = {name for name in times(run) if name.startswith("composites")}
    before, server.rule = len(asked(server)), None
    origins = {origin_of(run / name) for name in kept}

    succeeds(place.predict(run, **access))
    assert pixels(run) == pixels(local)
    again = {(where[2], where[5]) for where, _ in asked(server)[before:]}
    assert kept
    assert not origins & again
    assert not [name for name in files(run) if name.endswith(".part")]


def origin_of(path: Path) -> tuple[float, float]:
    with rasterio.open(path) as file:
        return file.transform.c, file.transform.f


def test_a_whole_season_of_ten_bands_equals_the_local_one(
    place: Place, local: Path, access: dict[str, Any], tmp_path: Path
) -> None:
    with rasterio.open(local / "composites" / CELL) as cell:
        box = shapely.box(*cell.bounds).buffer(-10)
        aoi = place.write_area(tmp_path / "cell.gpkg", box, cell.crs)
    names = "B2,B3,B4,B8,B5,B6,B7,B8A,B11,B12"
    for run, options in (("local", {"cell_size": SIZE}), ("run", access)):
        succeeds(place.export(tmp_path / run, "--whole-season", **{"bands": names, "aoi": aoi, **options}))
    (path,) = (tmp_path / "local" / "composites").glob("*.tif")
    with rasterio.open(path) as here, rasterio.open(tmp_path / "run" / "composites" / path.name) as there:
        assert here.count == there.count == 730
        assert here.descriptions == there.descriptions
        values = here.read()
        assert (values == there.read()).all()
        assert (values != -9999).any(axis=0).all()  # each pixel is seen


def lists(server: Emulator) -> int:
    """Requests for lists of scenes."""
    return sum("system:index" in json.dumps(request.body) for request in server.log.of("value"))


def test_a_run_without_lists_of_scenes_goes_on_and_lists_those_of_what_is_left(
    place: Place, local: Path, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    """As runs of earlier versions are."""
    run = tmp_path / "run"
    succeeds(place.predict(run, **access))
    names = {path.name for path in (run / "scenes").iterdir()}
    assert lists(server) == len(names)  # one request a block
    shutil.rmtree(run / "scenes")
    for folder in ("composites", "predictions"):
        (run / folder / CELL).unlink()
    server.log.clear()
    succeeds(place.predict(run, **access))
    assert pixels(run) == pixels(local)
    assert lists(server) == 1
    assert [path.name for path in (run / "scenes").iterdir()] == ["r0000_c0000_4x4.json"]
    assert report(run)["certificate"]["scenes_listed"]["blocks"] == 1


def test_a_scene_that_is_withdrawn_is_told_and_counted(
    place: Place, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeds(place.predict(run, **access))
    before = report(run)["certificate"]["scenes_listed"]
    window = [image for image in server.archive if 151 <= image.time_start.timetuple().tm_yday <= 240]
    assert before["scenes"] == sum(image.id.startswith("COPERNICUS/S2") for image in window)
    assert (before["withdrawn"], before["cells_of_withdrawn"]) == ({}, 0)
    kept = {path.name: path.read_bytes() for path in (run / "predictions").iterdir() if path.name != CELL}
    for folder in ("composites", "predictions"):
        (run / folder / CELL).unlink()
    listed = json.loads((run / "scenes" / "r0000_c0000_4x4.json").read_text())["sensors"]["sentinel-2"]
    gone = next(text.split()[0] for text in listed if text.endswith(" ffff"))
    server.archive.withdraw(f"COPERNICUS/S2_SR_HARMONIZED/{gone}")
    result = succeeds(place.predict(run, **access))
    assert f"withdrawn the scene COPERNICUS/S2_SR_HARMONIZED/{gone}" in result.stderr
    assert "stay as they are" in result.stderr
    after = report(run)["certificate"]["scenes_listed"]
    assert list(after["withdrawn"]) == [gone]
    assert 0 < after["cells_of_withdrawn"] <= len(kept)
    assert any("stay as they are" in text for text in report(run)["notices"])
    assert {
        path.name: path.read_bytes() for path in (run / "predictions").iterdir() if path.name != CELL
    } == kept


def test_cropland_of_the_servers_is_mapped_and_nothing_else(
    place: Place, local: Path, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    with rasterio.open(local / "map" / "crop_map.tif") as chart:
        transform, crs, shape = chart.transform, str(chart.crs), chart.shape
    classes = np.full(shape, 30, np.uint8)  # grassland
    with rasterio.open(local / "composites" / CELL) as cell:
        origin = cell.transform.c, cell.transform.f
    col, row = (round(v) for v in ~transform * origin)
    classes[row : row + SIZE, col + 20 : col + SIZE] = 40  # cropland in a part of one cell
    world = ImageAsset("ESA/WorldCover/v200/2021", None, {"Map": Raster(classes, transform, crs)}, {})
    server.archive.add(world)
    succeeds(place.predict(tmp_path / "run", "--cropland", "worldcover", **access))
    before, after = codes(local), codes(tmp_path / "run")
    assert (after[classes == 40] == before[classes == 40]).all()
    assert (after[(classes != 40) & (before > 0)] == 254).all()
    with rasterio.open(tmp_path / "run" / "composites" / CELL) as file:
        assert file.descriptions[-1] == "cropland"
        assert (file.read(1)[file.read(file.count) == 0] == -9999).all()
    origins = {(where[2], where[5]) for where, _ in asked(server)}
    assert origins == {origin}  # the other cells are not fetched
    completeness = report(tmp_path / "run")["certificate"]
    assert completeness["skipped"] == completeness["planned"] - 1


def test_a_run_stops_before_its_budget_and_continues_with_more(
    place: Place, local: Path, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    succeeds(place.predict(tmp_path / "whole", **access))
    needed = server.eecu_seconds / 3600
    result = place.predict(tmp_path / "run", "--max-eecu-hours", str(needed * 0.8), **access)
    assert result.exit_code == 3
    assert "The run stopped within its budget" in result.stderr
    assert server.eecu_seconds / 3600 - needed <= needed * 0.8
    succeeds(place.predict(tmp_path / "run", "--max-eecu-hours", str(needed * 10), **access))
    assert pixels(tmp_path / "run") == pixels(local)


def test_restricted_mode_is_told_and_kept(
    place: Place, access: dict[str, Any], server: Emulator, tmp_path: Path
) -> None:
    server.script("value", Answer.restricted())
    result = succeeds(place.predict(tmp_path / "run", **access))
    assert result.stderr.count("restricted") == 1
    assert max(request.threads_at_once for request in server.log if request.kind == "pixels") <= 2


def test_scenes_without_cloud_score_are_told(
    place: Place, images: list[ImageAsset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [image for image in images if 151 <= image.time_start.timetuple().tm_yday <= 240]
    scored = [image for image in seen if image.id.startswith("GOOGLE/CLOUD_SCORE_PLUS")]
    scenes = len(seen) - len(scored)
    kept = [image for image in images if image not in scored[:3]]
    with Emulator(Archive(kept), project=PROJECT) as server:
        monkeypatch.setenv(URL_VARIABLE, server.url)
        access = {"source": None, "project": PROJECT, "service_account": server.key_file(tmp_path)}
        result = succeeds(place.predict(tmp_path / "run", cell_size=SIZE, **access))
    notice = f"{scenes - len(scored[3:])} of {scenes} scenes have no Cloud Score+"
    assert notice in result.stderr
    assert any(notice in text for text in report(tmp_path / "run")["notices"])


def test_an_area_without_scenes_is_refused_before_anything_is_written(
    place: Place, access: dict[str, Any], tmp_path: Path
) -> None:
    result = place.predict(tmp_path / "run", **{**access, "year": 2019})
    assert result.exit_code == 2
    assert "S2_SR_HARMONIZED has no scene of this area from 2019-05-31 to 2019-08-28" in result.stderr
    assert not (tmp_path / "run").exists()


def test_without_credentials_all_ways_are_named(
    place: Place, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, server.url)
    for name in ("HOME", "USERPROFILE", "APPDATA", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    result = place.predict(tmp_path / "run", source=None)
    assert result.exit_code == 2
    for way in ("--service-account", "gcloud auth application-default login", "cropmap ee login", "--source"):
        assert way in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option",
    ["--project crop-maps", "--service-account key.json", "--cropland worldcover", "--max-eecu-hours 3"],
)
def test_options_of_earth_engine_do_not_go_with_scenes(place: Place, tmp_path: Path, option: str) -> None:
    (tmp_path / "key.json").touch()
    result = place.predict(tmp_path / "run", *option.replace("key.json", f"{tmp_path / 'key.json'}").split())
    assert result.exit_code == 2
    assert f"{option.split()[0]} concern Earth Engine, but --source" in result.stderr


def test_a_collection_without_source_is_refused(place: Place, tmp_path: Path) -> None:
    result = place.predict(tmp_path / "run", source=None, collection="sentinel-2-l2a")
    assert result.exit_code == 2
    assert "--collection names a collection of a STAC API" in result.stderr


@pytest.mark.parametrize("hours", ["0", "-1", "nan"])
def test_a_budget_is_above_zero(place: Place, tmp_path: Path, hours: str) -> None:
    result = place.predict(tmp_path / "run", "--max-eecu-hours", hours, source=None)
    assert result.exit_code == 2
    assert "--max-eecu-hours is a number above 0" in result.stderr


def test_the_json_of_an_export_tells_what_was_spent(
    place: Place, access: dict[str, Any], tmp_path: Path
) -> None:
    result = succeeds(place.export(tmp_path / "run", "--json", "--quiet", **access))
    assert json.loads(result.stdout)["spent"]["requests"] > 4
    assert run_cropmap("status", tmp_path / "run").exit_code == 0
