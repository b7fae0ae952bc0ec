"""`cropmap predict` as a user gives it: from an area and a year to the files of a map."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import shapely
import shapely.affinity
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

import cli.output.progress
from examples.scene_writer import write_catalog, write_scene
from gee_pipeline.bands import BANDS
from inference.models.networks.normalisation import Normalisation
from inference.run.execute import Progress
from tests.support.tiny_place import (
    CELL_SIZE,
    CROPS,
    FILES,
    YEAR,
    Place,
    codes,
    files,
    report,
    run_cropmap,
    times,
    tiny_model,
)

pytestmark = pytest.mark.slow


def within(place: Place, run: Path) -> NDArray[np.bool_]:
    """Pixels of the map whose centre lies in the area, by shapely."""
    with rasterio.open(run / "map" / "crop_map.tif") as file:
        rows, cols = np.indices(file.shape)
        x, y = file.transform.c + 10 * (cols + 0.5), file.transform.f - 10 * (rows + 0.5)
        to_map = pyproj.Transformer.from_crs("EPSG:4326", file.crs, always_xy=True).transform
    return shapely.contains_xy(shapely.transform(place.polygon, to_map, interleaved=False), x, y)


def on_fields(place: Place, run: Path) -> NDArray[np.uint8]:
    """The truth of the simulated fields on the pixels of the map."""
    with rasterio.open(run / "map" / "crop_map.tif") as chart, rasterio.open(place.fields) as fields:
        out = np.zeros(chart.shape, np.uint8)
        left = round((fields.transform.c - chart.transform.c) / 10)
        top = round((chart.transform.f - fields.transform.f) / 10)
        out[top : top + fields.height, left : left + fields.width] = fields.read(1)
    return out


def test_every_pixel_of_the_area_has_a_code_and_no_other(place: Place, finished: Path) -> None:
    inside = within(place, finished)
    assert 2_900 < inside.sum() < 3_100  # 0.3 km² of the 64 x 64 pixels; the hole is left out
    assert ((codes(finished) > 0) == inside).all()
    assert set(np.unique(codes(finished))) == {0, 1, 4, 255}  # corn, cotton, not enough observations


def test_confidence_and_observations_belong_to_the_codes(finished: Path) -> None:
    found = codes(finished)
    with rasterio.open(finished / "map" / "confidence.tif") as file:
        confidence = file.read(1)
    with rasterio.open(finished / "map" / "clear_observations.tif") as file:
        clear = file.read(1)
    mapped = (found > 0) & (found < 254)
    assert (confidence[mapped] <= 100).all()
    assert (confidence[~mapped] == 255).all()
    assert (clear[mapped] >= 2).all()  # the recipe's least number
    assert (clear[found == 255] < 2).all()


def test_the_run_leaves_its_files_and_nothing_half_written(finished: Path) -> None:
    assert files(finished) == FILES


def test_the_report_adds_up(finished: Path) -> None:
    values, found = report(finished), codes(finished)
    completeness = values["certificate"]
    assert (
        completeness["planned"]
        == completeness["done"] + completeness["skipped"]
        == completeness["in_map"]
        == 4
    )
    assert completeness["failed"] == 0
    counted = {str(code): int(n) for code, n in zip(*np.unique(found, return_counts=True), strict=True)}
    assert completeness["pixels"] == counted
    assert {str(c["code"]): c["pixels"] for c in values["classes"] if c["pixels"]} | {
        "0": counted["0"]
    } == counted
    assert values["area"]["pixels"] == (found > 0).sum()
    assert values["simulated"] is True
    assert "simulated" in values["notices"][0]


def test_the_stac_item_opens_and_leads_to_the_map(finished: Path) -> None:
    item = pystac.Item.from_file(str(finished / "map" / "item.json"))
    hrefs = {Path(asset.get_absolute_href() or "") for asset in item.assets.values()}
    assert finished / "map" / "crop_map.tif" in hrefs
    assert all(href.is_file() for href in hrefs)
    assert (
        item.properties["start_datetime"] == "2021-05-31T00:00:00Z"
    )  # day 151, with which the model's window begins


def test_it_tells_what_the_map_covers_and_where_it_is(place: Place, finished: Path) -> None:
    result = place.predict(finished)
    assert result.exit_code == 0
    *covers, counted, last = result.stdout.splitlines()
    assert counted == "Areas are pixel counts, not area estimates. 'cropmap assess' estimates them."
    assert last == f"Map: {finished / 'map' / 'crop_map.tif'}"
    assert [line.strip().split("  ")[0] for line in covers] == ["corn", "cotton", "not enough observations"]


def test_notices_and_progress_go_to_stderr(place: Place, tmp_path: Path) -> None:
    result = place.predict(tmp_path / "run")
    told = result.stderr.splitlines()
    assert told[0] == (
        "Model model.safetensors knows corn, soybeans, rice, cotton, other; trained on pixels made for tests."
    )
    assert told[1].startswith("Some readers cannot tell the colours of corn and soybeans")  # shades of green
    assert told[2] == "The scenes are simulated: no satellite saw them."
    assert "have no Cloud Score+" in told[3]
    assert told[4].startswith("0 of 4 cells")
    assert told[5].startswith("4 of 4 cells")  # within a minute, the first and the last state
    assert told[6].startswith("Warning: Only ")  # a few scenes make few observations
    assert told[7].startswith("Warning: The observed values are not like")  # the model is of random weights
    assert len(told) == 8


def test_quiet_is_quiet_and_json_is_json(place: Place, finished: Path) -> None:
    result = place.predict(finished, "--quiet", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    values, found = json.loads(result.stdout), codes(finished)
    assert values["crop_map"] == str(finished / "map" / "crop_map.tif")
    assert {a["name"]: a["pixels"] for a in values["areas"]} == {
        name: int((found == code).sum())
        for code, name in [*enumerate(CROPS, 1), (254, "not cropland"), (255, "not enough observations")]
    }


def test_run_toml_repeats_the_run_from_anywhere(
    place: Place, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    mine = place.copied(here)
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    relative = ["--aoi", "area.geojson", "--source", "catalog.json", "--model", "model.safetensors"]
    options = ["--year", YEAR, "--workers", 0, "--cropland-mask", "fields.tif:1-5", "--cell-size", CELL_SIZE]
    assert run_cropmap("predict", *relative, *options, "--out", "run").exit_code == 0
    monkeypatch.chdir(elsewhere)
    again = run_cropmap("predict", "--config", here / "run" / "run.toml", "--out", "other")
    assert again.exit_code == 0, again.stderr
    assert (codes(elsewhere / "other") == codes(here / "run")).all()
    masked = on_fields(mine, here / "run") == 0
    assert (codes(here / "run") == np.where(masked & (codes(finished) > 0), 254, codes(finished))).all()


def test_a_run_that_was_moved_with_what_it_is_made_of_goes_on(place: Place, tmp_path: Path) -> None:
    """The paths of run.toml begin where it lies, and the catalog is known by its scenes."""
    place.copied(tmp_path / "here")
    options = [
        "--year",
        YEAR,
        "--workers",
        0,
        "--cell-size",
        CELL_SIZE,
        "--aoi",
        tmp_path / "here" / "area.geojson",
    ]
    made_of = [
        "--source",
        tmp_path / "here" / "catalog.json",
        "--model",
        tmp_path / "here" / "model.safetensors",
    ]
    assert run_cropmap("predict", *options, *made_of, "--out", tmp_path / "here" / "run").exit_code == 0
    kept = tomllib.loads((tmp_path / "here" / "run" / "run.toml").read_text())
    assert [kept[key] for key in ("aoi", "source", "out")] == ["../area.geojson", "../catalog.json", "."]
    first = codes(tmp_path / "here" / "run")
    (tmp_path / "here").rename(tmp_path / "there")
    run = tmp_path / "there" / "run"
    (run / "predictions" / "r0000_c0000.tif").unlink()
    before = times(run)
    again = run_cropmap("predict", "--config", run / "run.toml")
    assert again.exit_code == 0, again.stderr
    assert not (tmp_path / "here").exists()
    assert (codes(run) == first).all()
    others = {name for name in before if name.startswith("predictions/")}
    assert len(others) == 3
    assert {name: times(run)[name] for name in others} == {name: before[name] for name in others}


def test_the_same_command_again_computes_nothing(place: Place, tmp_path: Path) -> None:
    place.predict(tmp_path / "run")
    before, first = times(tmp_path / "run"), codes(tmp_path / "run")
    result = place.predict(tmp_path / "run")
    assert result.exit_code == 0
    assert "Continuing the run" in result.stderr
    assert times(tmp_path / "run") == before
    assert (codes(tmp_path / "run") == first).all()


def test_an_interrupted_command_goes_on(
    place: Place, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    stopping = replace(cli.output.progress.WORDING, part=stop)
    with monkeypatch.context() as patch:
        patch.setattr(cli.output.progress, "WORDING", stopping)
        result = place.predict(tmp_path / "run")
    assert result.exit_code == 130
    assert "give the same command to continue" in result.stderr
    before = times(tmp_path / "run")
    assert len(before) == 6  # composites of a block of four cells, predictions of two of them
    assert not (tmp_path / "run" / "map").exists()
    assert place.predict(tmp_path / "run").exit_code == 0
    assert times(tmp_path / "run").items() >= before.items()
    assert (codes(tmp_path / "run") == codes(finished)).all()


def test_a_part_without_scenes_is_said_everywhere_and_may_make_the_map_incomplete(
    place: Place, tmp_path: Path
) -> None:
    beyond = shapely.affinity.translate(place.polygon, xoff=0.2)
    area = place.write_area(tmp_path / "large.geojson", shapely.union(place.polygon, beyond))
    run = tmp_path / "run"
    result = place.predict(run, aoi=area)
    assert result.exit_code == 0, result.stderr
    found = codes(run)
    with rasterio.open(run / "map" / "clear_observations.tif") as file:
        clear = file.read(1)
    asked = found > 0
    shares = {
        "mapped": (asked & (found < 254)).sum() / asked.sum(),
        "too_few_observations": ((found == 255) & (clear > 0)).sum() / asked.sum(),
        "no_observation": ((found == 255) & (clear == 0)).sum() / asked.sum(),
    }
    assert 0.2 < shares["mapped"] < 0.55 < 0.45 + shares["no_observation"]
    coverage = report(run)["certificate"]["coverage"]
    assert coverage == pytest.approx(shares, abs=1e-6)
    said = f"Only {shares['mapped']:.1%} of the pixels to map have a class."
    assert f"Warning: {said}" in result.stderr
    assert any(text.startswith(said) for text in report(run)["notices"])
    item = json.loads((run / "map" / "item.json").read_text(encoding="utf-8"))
    assert said in item["properties"]["description"]
    assert item["properties"]["cropmap:coverage"] == coverage
    assert place.predict(run, aoi=area, min_mapped=shares["mapped"] - 0.01).exit_code == 0
    wanted = place.predict(run, aoi=area, min_mapped=shares["mapped"] + 0.01)
    assert wanted.exit_code == 3
    assert "--min-mapped asks for a class on" in wanted.stderr
    assert (codes(run) == found).all()


def test_the_cropland_mask_leaves_out_the_rest(place: Place, finished: Path, tmp_path: Path) -> None:
    result = place.predict(tmp_path / "run", cropland_mask=f"{place.fields}:1,2")
    assert result.exit_code == 0
    left_out = ~np.isin(on_fields(place, finished), [1, 2])
    expected = np.where(left_out & (codes(finished) > 0), 254, codes(finished))
    assert (codes(tmp_path / "run") == expected).all()
    assert (expected == 254).sum() > 500
    assert "not cropland" in result.stdout


def test_a_map_without_any_class_is_told(place: Place, tmp_path: Path) -> None:
    result = place.predict(tmp_path / "run", cropland_mask=f"{place.fields}:77")
    assert result.exit_code == 0
    told = [line for line in result.stderr.splitlines() if line.startswith("Warning: No pixel")]
    assert len(told) == 1
    inside = int((codes(tmp_path / "run") > 0).sum())
    assert f"{inside:,} are not cropland (check --cropland-mask)" in told[0]
    assert report(tmp_path / "run")["certificate"]["skipped"] == 4
    assert told[0].removeprefix("Warning: ") in report(tmp_path / "run")["notices"]


def test_the_bare_command_takes_the_model_that_ships(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(place.area, tmp_path / "my_region.geojson")
    monkeypatch.chdir(tmp_path)
    bare = ["predict", "--aoi", "my_region.geojson", "--year", YEAR, "--source", place.catalog]
    result = run_cropmap(*bare, "--workers", 0)
    assert result.exit_code == 0, result.stderr
    assert "compact.safetensors knows corn, soybeans, rice, cotton, other; trained on" in result.stderr
    assert "Arkansas" in result.stderr
    assert "training place" not in result.stderr  # the area lies within
    assert report(tmp_path / "my_region-2021")["model"]["name"] == "compact.safetensors"
    assert set(np.unique(codes(tmp_path / "my_region-2021"))) <= {0, 1, 2, 3, 4, 5, 255}


@pytest.fixture(scope="module")
def southern(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two scenes of 16 pixels in southern Brazil, in the summer between two years."""
    folder = tmp_path_factory.mktemp("southern")
    box = GeoBox((16, 16), Affine(10, 0, 704_320, 0, -10, 6_899_200), "EPSG:32722")
    bands = {band: np.full((16, 16), 2_000, np.int16) for band in BANDS}
    moments = [datetime(2020, 12, 5, 13, tzinfo=UTC), datetime(2021, 1, 14, 13, tzinfo=UTC)]
    score = np.ones((16, 16), np.float32)
    items = [
        write_scene(folder, f"S{i}", acquired=moment, geobox=box, bands=bands, clear_score=score)
        for i, moment in enumerate(moments)
    ]
    write_catalog(folder, items, "South", "Two scenes made for tests.")
    place = Place(folder)
    place.write_area(place.area, box.extent.geom.buffer(-25), "EPSG:32722")
    return place


def test_south_of_the_equator_the_season_starts_half_a_year_earlier(southern: Place, tmp_path: Path) -> None:
    result = southern.predict(tmp_path / "run", model=None)
    assert result.exit_code == 0, result.stderr
    plan = json.loads((tmp_path / "run" / "run.json").read_text())
    assert plan["season"] == {"year": 2021, "start": "2020-07-01", "hours_ahead": -3}
    assert "EPSG:32722" in plan["grid"]["crs"] or "22S" in plan["grid"]["crs"]
    assert report(tmp_path / "run")["model_window"]["first_day"] == "2020-10-29"  # day 121 from 1 July
    with rasterio.open(tmp_path / "run" / "map" / "clear_observations.tif") as file:
        assert set(np.unique(file.read(1))) == {2, 255}  # both scenes fall into the window


def test_far_from_the_training_places_the_command_warns(southern: Place, tmp_path: Path) -> None:
    result = southern.predict(tmp_path / "run", model=None)
    warnings = [line for line in result.stderr.splitlines() if line.startswith("Warning:")]
    geod = pyproj.Geod(ellps="WGS84")
    centre = southern.polygon.centroid
    to_map = pyproj.Transformer.from_crs("EPSG:32722", "EPSG:4326", always_xy=True)
    _, _, metres = geod.inv(-90.05, 34.75, *to_map.transform(centre.x, centre.y))  # south-east of Arkansas
    told = int(warnings[0].split(" km ")[0].split()[-1].replace(",", ""))
    assert abs(told - metres / 1_000) < 100
    assert "knows only corn, soybeans, rice, cotton, other" in warnings[0]
    assert "cropmap train" in warnings[0]
    assert "fewer than 8 clear observations" in warnings[1]
    assert any("nearest training place" in text for text in report(tmp_path / "run")["notices"])


def test_a_season_start_that_is_the_models_is_kept_with_the_run(southern: Place, tmp_path: Path) -> None:
    result = southern.predict(tmp_path / "run", model=None, season_start="2020-07-01")
    assert result.exit_code == 0, result.stderr
    assert tomllib.loads((tmp_path / "run" / "run.toml").read_text())["season_start"].year == 2020


def test_a_chosen_crs_is_that_of_the_map(place: Place, tmp_path: Path) -> None:
    assert place.predict(tmp_path / "run", crs="EPSG:5070").exit_code == 0
    with rasterio.open(tmp_path / "run" / "map" / "crop_map.tif") as file:
        assert file.crs.to_epsg() == 5070
        mapped = int((file.read(1) > 0).sum())
    hectares = sum(c["hectares"] for c in report(tmp_path / "run")["classes"])
    assert abs(hectares - mapped / 100) < 0.01 * hectares  # an equal-area CRS


def test_the_installed_command_works_with_worker_processes(
    place: Place, finished: Path, tmp_path: Path
) -> None:
    command = [Path(sys.executable).parent / "cropmap", "predict", "--aoi", place.area, "--year", YEAR]
    command += ["--source", place.catalog, "--model", place.model, "--out", "run", "--workers", 1]
    command += ["--cell-size", CELL_SIZE]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"Map: {Path('run', 'map', 'crop_map.tif')}"
    assert "Traceback" not in result.stderr
    assert (codes(tmp_path / "run") == codes(finished)).all()


def test_values_unlike_those_of_the_training_are_told_and_stand_in_the_report(
    place: Place, tmp_path: Path
) -> None:
    narrow = Normalisation((0.02, 0.02, 0.02), (0.01, 0.01, 0.01))
    model = tiny_model(tmp_path / "narrow.safetensors", normalisation=narrow)
    result = place.predict(tmp_path / "run", model=model)
    assert result.exit_code == 0, result.stderr
    (notice,) = [text for text in report(tmp_path / "run")["notices"] if "not like those" in text]
    assert f"Warning: {notice}" in result.stderr
    assert "3 of 3 bands" in notice
    observed = report(tmp_path / "run")["observed"]
    assert [band["band"] for band in observed["bands"]] == ["B2", "B4", "B8"]
    with rasterio.open(tmp_path / "run" / "composites" / "r0000_c0000.tif") as file:
        values = file.read(list(range(1, 1 + file.count, 3)))[:, ::4, ::4]
    assert observed["bands"][0]["values"] >= (values != -9999).sum() > 0
    assert observed["bands"][0]["training"] == {"mean": 0.02, "standard_deviation": 0.01}


def test_chosen_colours_are_in_every_file_and_a_finished_map_is_written_again_in_them(
    place: Place, finished: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    before = codes(run)
    assert place.predict(run, colors="corn=#0A0B0C,not cropland=#FFFFFF").exit_code == 0
    legend = {e["name"]: e["color"] for e in json.loads((run / "map/legend.json").read_text())["classes"]}
    with rasterio.open(run / "map" / "crop_map.tif") as file:
        assert file.colormap(1)[1] == (10, 11, 12, 255)
    assert (legend["corn"], legend["not cropland"], legend["cotton"]) == ("#0a0b0c", "#ffffff", "#a08040")
    assert 'color="#0a0b0c"' in (run / "map" / "crop_map.qml").read_text()
    np.testing.assert_array_equal(codes(run), before)
    options = tomllib.loads((run / "run.toml").read_text())
    assert options["colors"] == {"corn": "#0A0B0C", "not cropland": "#FFFFFF"}
    kept = run_cropmap("predict", "--config", run / "run.toml", "--quiet")
    assert kept.exit_code == 0, kept.stderr
    assert 'color="#0a0b0c"' in (run / "map" / "crop_map.qml").read_text()


def test_colours_of_a_class_that_the_model_does_not_know_are_refused_before_anything(
    place: Place, tmp_path: Path
) -> None:
    refused = place.predict(tmp_path / "run", colors="maize=#ffd300")
    assert refused.exit_code == 2
    assert "names 'maize', but the map has corn, " in refused.stderr
    assert not (tmp_path / "run").exists()
