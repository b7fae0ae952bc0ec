"""Bad input: exit code 2, one message that ends in the way out, and nothing half-written."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import Result

from gee_pipeline.recipe import Recipe
from gee_pipeline.stac import catalog
from inference.run import scheduler
from tests.support.tiny_place import FILES, RECIPE, Place, codes, files, run_cropmap, times, tiny_model

pytestmark = pytest.mark.slow


@pytest.fixture
def spoiled(place: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of the place to spoil; what is remembered of its catalog is forgotten."""
    yield place.copied(tmp_path / "scenes")
    catalog._open.cache_clear()


def assert_refused(result: Result, out: Path, *named: str) -> None:
    """Refused with the rule, what was got and the way out; no folder was made."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    message = result.stderr.splitlines()[-1]
    assert message.startswith("Error: ")
    assert [part for part in named if part not in message] == []
    assert "Traceback" not in result.stderr
    assert not out.exists()


# The area


def triangle(place: Place) -> shapely.Polygon:
    west, south, east, north = place.polygon.bounds
    return shapely.Polygon([(west, south), (east, south), (east, north)])


def write_json(path: Path, values: Any) -> Path:
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


AREAS: dict[str, tuple[Callable[[Place, Path], Path], tuple[str, ...]]] = {
    "missing": (lambda place, folder: folder / "nowhere.gpkg", ("nowhere.gpkg does not exist", "--aoi")),
    "no file but a folder": (lambda place, folder: folder, ("cannot be read as vectors", "--aoi")),
    "of zero bytes": (
        lambda place, folder: write_json(folder / "a.geojson", ""),
        ("a.geojson cannot be read as vectors", "GeoPackage", "--aoi"),
    ),
    "without features": (
        lambda place, folder: write_json(folder / "a.geojson", {"type": "FeatureCollection", "features": []}),
        ("holds no polygon", "at least one polygon"),
    ),
    "a line": (
        lambda place, folder: place.write_area(
            folder / "a.gpkg", shapely.LineString(triangle(place).exterior.coords[:3])
        ),
        ("zero area", "Give polygons"),
    ),
    "flat": (
        lambda place, folder: place.write_area(
            folder / "a.gpkg", shapely.Polygon([(-90.812, 35.281), (-90.811, 35.282), (-90.812, 35.281)])
        ),
        ("zero area", "Give polygons"),
    ),
    "smaller than a pixel": (
        lambda place, folder: place.write_area(
            folder / "a.gpkg", shapely.box(698_881, 3_906_561, 698_883, 3_906_563), "EPSG:32615"
        ),
        ("centre of at least one pixel", "4.0 m²", "--aoi"),
    ),
    "in metres called degrees": (
        lambda place, folder: place.write_area(folder / "a.gpkg", shapely.box(500, 400, 510, 410)),
        ("longitude -180..180", "500.000..510.000", "CRS"),
    ),
    "on another continent": (
        lambda place, folder: place.write_area(folder / "a.gpkg", shapely.box(10, 45, 10.01, 45.01)),
        ("No scene", "longitude 10.0000 to 10.0100", "-90.81", "--aoi"),
    ),
    "next to the scenes": (
        lambda place, folder: place.write_area(
            folder / "a.gpkg", shapely.affinity.translate(triangle(place), 0.02)
        ),
        ("No scene", "the catalog covers", "--source"),
    ),
}


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("kind", AREAS)
def test_an_area_that_cannot_be_mapped_is_refused(place: Place, tmp_path: Path, kind: str) -> None:
    make, named = AREAS[kind]
    assert_refused(place.predict(tmp_path / "run", aoi=make(place, tmp_path)), tmp_path / "run", *named)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_an_area_without_crs_is_refused(place: Place, tmp_path: Path) -> None:
    geopandas.GeoDataFrame(geometry=[triangle(place)]).to_file(tmp_path / "a.shp")
    result = place.predict(tmp_path / "run", aoi=tmp_path / "a.shp")
    assert_refused(result, tmp_path / "run", "a.shp has no CRS", ".prj")


def test_a_self_intersecting_area_is_repaired_with_a_notice(place: Place, tmp_path: Path) -> None:
    west, south, east, north = place.polygon.bounds
    bow_tie = shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])
    result = place.predict(tmp_path / "run", aoi=place.write_area(tmp_path / "a.gpkg", bow_tie))
    assert result.exit_code == 0
    assert "The area was repaired: Self-intersection" in result.stderr
    box = 600 * 640 * (east - west) / 0.0072  # both triangles together are half of the box
    assert abs((codes(tmp_path / "run") > 0).sum() * 100 / (box / 2) - 1) < 0.15


# Options


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("year", 2019, ("2019-05-31 to 2019-08-28", "scenes there are from 2021-04-27", "--year")),
        ("year", 2015, ("2015-05-31 to 2015-08-28", "--year")),
        ("year", 20211, ("four digits", "--year 20211")),
        ("year", "next", ("--year", "'next'")),
        ("year", None, ("Missing option '--year'",)),
        ("aoi", None, ("Missing option '--aoi'",)),
        ("source", None, ("STAC catalog", "--source")),
        ("source", "nowhere/catalog.json", ("nowhere/catalog.json does not exist", "--source")),
        ("collection", "landsat", ("no scenes in the collection landsat", "--collection")),
        ("crs", "EPSG:999999", ("Unknown CRS 'EPSG:999999'", "EPSG:3035")),
        ("crs", "utm", ("Unknown CRS 'utm'", "EPSG:3035")),
        ("crs", "EPSG:4326", ("projected and in metres", "EPSG:4326 is in degree", "Omit --crs")),
        ("crs", "EPSG:2222", ("EPSG:2222 is in foot", "Omit --crs")),
        ("season_start", "1.7.2021", ("--season-start", "'1.7.2021'", "2022-07-01")),
        ("season_start", "2018-01-01", ("2021-01-01", "2018-01-01", "--season-start")),
        ("device", "tpu", ("auto, cpu, cuda or cuda:N", "'tpu'")),
        ("device", "cuda:99", ("cuda:99", "--device auto or cpu")),
        ("memory", 0, ("--memory", "'0'", "at least 0.1")),
        ("memory", -1, ("--memory", "'-1'", "at least 0.1")),
        ("memory", "nan", ("--memory", "'nan'", "such as 2")),
        ("memory", "inf", ("--memory", "'inf'", "such as 2")),
        ("memory", "much", ("--memory", "'much'", "such as 2")),
        ("workers", -1, ("--workers", "-1")),
        ("scheduler", "hostname", ("No Dask scheduler answers at hostname", "tcp://", "--scheduler")),
        ("scheduler", "tcp://127.0.0.1:9", ("tcp://127.0.0.1:9", "'dask scheduler'", "omit --scheduler")),
        ("config", "nowhere.toml", ("--config", "nowhere.toml", "does not exist")),
        ("cropland_mask", "nowhere.tif:40", ("nowhere.tif does not exist", "file.tif:40")),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: Any,
    named: tuple[str, ...],
) -> None:
    monkeypatch.setattr(scheduler, "_PATIENCE", 0.5)
    assert_refused(place.predict(tmp_path / "run", **{option: value}), tmp_path / "run", *named)


def test_an_unknown_option_in_the_config_is_refused(place: Place, tmp_path: Path) -> None:
    config = write_json(tmp_path / "c.toml", "colour = 'red'\n")
    result = place.predict(tmp_path / "run", config=config)
    assert_refused(result, tmp_path / "run", "unknown option colour", "predict --help")


@pytest.mark.parametrize(
    ("values", "named"), [("", "does not overlap"), (":1,two", "'1,two'"), (":9-3", "rises, got 9-3")]
)
def test_a_cropland_mask_that_says_nothing_of_the_area_is_refused(
    place: Place, tmp_path: Path, values: str, named: str
) -> None:
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:32615"}
    transform = rasterio.transform.from_origin(500_000, 3_900_000, 10, 10)
    with rasterio.open(tmp_path / "mask.tif", "w", transform=transform, **profile) as file:
        file.write(np.ones((1, 4, 4), np.uint8))
    result = place.predict(tmp_path / "run", cropland_mask=f"{tmp_path / 'mask.tif'}{values}")
    assert_refused(result, tmp_path / "run", named)


@pytest.mark.parametrize("name", ["fields.tif", "settings.json", "area.geojson", ""])
def test_a_source_that_is_no_catalog_is_refused(place: Place, tmp_path: Path, name: str) -> None:
    result = place.predict(tmp_path / "run", source=place.folder / name)
    assert_refused(result, tmp_path / "run", str(place.folder / name), "--source", "catalog.json")


# The catalog


def edit_items(place: Place, edit: Callable[[dict[str, Any]], Any]) -> None:
    for path in (place.folder / "items").glob("*/*.json"):
        item = json.loads(path.read_text())
        edit(item)
        path.write_text(json.dumps(item))


def test_a_catalog_without_a_needed_band_names_it(spoiled: Place, tmp_path: Path) -> None:
    edit_items(spoiled, lambda item: item["assets"].pop("B08"))
    result = spoiled.predict(tmp_path / "run")
    assert_refused(result, tmp_path / "run", "bands B2, B4, B8", "has no B8", "export --bands B2,B4")


def test_scenes_without_any_cloud_mask_are_refused(spoiled: Place, tmp_path: Path) -> None:
    edit_items(spoiled, lambda item: [item["assets"].pop(key, None) for key in ("cs", "SCL")])
    result = spoiled.predict(tmp_path / "run")
    assert_refused(result, tmp_path / "run", "`cs`", "`SCL`", "has neither")


@pytest.mark.parametrize("damage", ["missing", "no JSON"])
def test_a_catalog_with_a_damaged_item_is_refused(spoiled: Place, tmp_path: Path, damage: str) -> None:
    item = next((spoiled.folder / "items").glob("*/*.json"))
    item.unlink() if damage == "missing" else item.write_text("{")
    assert_refused(spoiled.predict(tmp_path / "run"), tmp_path / "run", "not readable as STAC", "--source")


# The model


def flip(path: Path, at: float) -> None:
    """Change one bit at a part of a file's length."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(bytes(content))


def flip_pixels(path: Path) -> None:
    """Change one bit in the middle of the first block of a GeoTIFF."""
    with rasterio.open(path) as file:
        start, size = (
            int(file.get_tag_item(f"BLOCK_{part}_0_0", "TIFF", bidx=1)) for part in ("OFFSET", "SIZE")
        )
    flip(path, (start + size // 2 + 0.5) / path.stat().st_size)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda path: path.unlink(), ("does not exist", "--model")),
        (cut, ("cannot be read as safetensors", "copy or train it again")),
        (lambda path: flip(path, 0.99), ("is damaged", "Copy or train")),
        (lambda path: path.write_text("weights"), ("cannot be read as safetensors", "of another kind")),
    ],
    ids=["missing", "cut off", "a bit flipped", "text"],
)
def test_a_corrupt_model_is_refused(
    place: Place, tmp_path: Path, damage: Callable[[Path], Any], named: tuple[str, ...]
) -> None:
    model = Path(shutil.copy(place.model, tmp_path / "mine.safetensors"))
    damage(model)
    assert_refused(place.predict(tmp_path / "run", model=model), tmp_path / "run", "mine.safetensors", *named)


def other(**changed: Any) -> Recipe:
    values = {"bands": RECIPE.bands, "window": (151, 240), "min_clear_bins": 2}
    return Recipe.of(**{**values, **changed})


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (other(bands=("B2", "B4")), ("recipe bands: B2, B4, B8 in the run, B2, B4 now",)),
        (other(window=(121, 240)), ("bins: 30 to 47 in the run, 24 to 47 now",)),
        (other(bin_days=10), ("recipe bin_days: 5 in the run, 10 now",)),
        (other(min_clear_bins=5), ("recipe min_clear_bins: 2 in the run, 5 now",)),
    ],
    ids=["bands", "window", "bins", "gap rule"],
)
def test_a_model_of_another_recipe_does_not_join_the_run(
    place: Place, finished: Path, tmp_path: Path, recipe: Recipe, named: tuple[str, ...]
) -> None:
    model = tiny_model(tmp_path / "other.safetensors", recipe)
    assert_not_joined(place.predict(finished, model=model), finished, "model: model.safetensors", *named)


# The folder of the run


def assert_not_joined(result: Result, run: Path, *named: str) -> None:
    """Another run's folder stays as it is, and the message says what differs."""
    assert result.exit_code == 2
    message = result.stderr.splitlines()[-1]
    assert [part for part in (*named, "Choose another --out", "run.toml") if part not in message] == []
    assert files(run) == FILES


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"crs": "EPSG:5070"}, ("CRS: EPSG:32615 in the run, EPSG:5070 now", "grid:")),
        ({"cropland_mask": "{folder}/fields.tif:1"}, ("cropland mask: none in the run", "(values 1,")),
    ],
)
def test_a_folder_of_another_run_is_left_alone(
    place: Place, finished: Path, options: dict[str, str], named: tuple[str, ...]
) -> None:
    before = times(finished)
    given = {key: value.format(folder=place.folder) for key, value in options.items()}
    assert_not_joined(place.predict(finished, **given), finished, *named)
    assert times(finished) == before


def test_another_area_does_not_join_the_run(place: Place, finished: Path, tmp_path: Path) -> None:
    area = place.write_area(tmp_path / "other.gpkg", triangle(place))
    assert_not_joined(place.predict(finished, aoi=area), finished, "area: 0.302 km²")


def test_a_folder_with_other_files_is_left_alone(place: Place, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.doc").touch()
    result = place.predict(tmp_path / "thesis")
    assert result.exit_code == 2
    assert "takes an empty folder" in result.stderr
    assert "chapter1.doc. Choose another --out" in result.stderr
    assert files(tmp_path / "thesis") == {"chapter1.doc"}


def test_a_file_is_no_folder(place: Place, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    for out in (tmp_path / "run", tmp_path / "run" / "deeper"):
        result = place.predict(out)
        assert result.exit_code == 2
        assert "--out" in result.stderr
    assert (tmp_path / "run").read_text() == "mine"


# What a finished run holds


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


CELL = "r0000_c0001.tif"


@pytest.mark.parametrize("damage", [cut, flip_pixels, lambda path: path.write_text("x")])
@pytest.mark.parametrize("kind", ["composites", "predictions"])
def test_a_damaged_cell_is_made_again(
    place: Place, finished: Path, again: Path, damage: Callable[[Path], None], kind: str
) -> None:
    (again / "predictions" / CELL).unlink() if kind == "composites" else None
    damage(again / kind / CELL)
    before = times(again)
    result = place.predict(again)
    assert result.exit_code == 0
    told = "Damaged composites were made again from the scenes: 1 (r0000_c0001)." in result.stderr
    assert told == (kind == "composites")
    after = times(again)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {f"{kind}/{CELL}", f"predictions/{CELL}"}
    assert (codes(again) == codes(finished)).all()


def test_a_composite_of_another_run_is_never_used(place: Place, again: Path, tmp_path: Path) -> None:
    place.export(tmp_path / "other", bands="B2,B4,B8", cloud_threshold=0.1)
    shutil.copy(tmp_path / "other" / "composites" / CELL, again / "composites" / CELL)
    (again / "predictions" / CELL).unlink()
    result = place.predict(again)
    assert result.exit_code == 2
    assert "must share one recipe" in result.stderr
    assert "threshold 0.1" in result.stderr
    assert "Delete it to have it made again" in result.stderr
    (again / "composites" / CELL).unlink()
    assert place.predict(again).exit_code == 0


def test_a_damaged_plan_stops_the_run(place: Place, again: Path) -> None:
    (again / "run.json").write_text("{")
    result = place.predict(again)
    assert result.exit_code == 2
    assert "run.json is damaged" in result.stderr
    assert "Restore it from a copy, or choose another --out" in result.stderr


# Scenes that cannot be read


def test_a_broken_scene_costs_its_cells_and_the_same_command_completes(
    spoiled: Place, finished: Path, tmp_path: Path
) -> None:
    asset = next((spoiled.folder / "items").glob("*20210601_R026_T15SYV/cs.tif"))
    content = asset.read_bytes()
    asset.write_bytes(content[:-60])  # of the pixels; its header still tells where they lie
    run = tmp_path / "run"
    result = spoiled.predict(run)
    assert result.exit_code == 2
    assert "2 of 4 cells, 2 failed" in result.stderr
    assert "Error: 2 of 4 cells are missing:\n" in result.stderr
    for cell in ("r0000_c0001", "r0001_c0001"):  # the tile covers the east only
        (line,) = (text for text in result.stderr.splitlines() if text.startswith(f"  {cell}: "))
        assert f"Asset cs of scene {asset.parent.name} ({asset})" in line
    assert f"cropmap predict --config {run / 'run.toml'}" in result.stderr
    assert not (run / "map").exists()
    assert times(run).keys() == {
        f"{kind}/r000{row}_c0000.tif" for kind in ("composites", "predictions") for row in (0, 1)
    }

    asset.write_bytes(content)
    repaired = run_cropmap("predict", "--config", run / "run.toml")
    assert repaired.exit_code == 0, repaired.stderr
    assert (codes(run) == codes(finished)).all()


def test_a_missing_asset_is_never_blank_pixels(spoiled: Place, tmp_path: Path) -> None:
    asset = next((spoiled.folder / "items").glob("*20210616_R026_T15SXV/SCL.tif"))
    asset.unlink()
    result = spoiled.predict(tmp_path / "run")
    assert result.exit_code == 2
    assert "4 of 4 cells are missing" in result.stderr
    assert f"Asset SCL of scene {asset.parent.name}" in result.stderr
    assert "after 1 attempt(s)" in result.stderr  # a file that is not there is not waited for
    assert not (tmp_path / "run" / "map").exists()


# A full disk


def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_space(
    place: Place, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, flush = tmp_path / "run", os.fsync

    def fill(descriptor: int) -> None:
        if run.exists() and len(times(run)) == 5:  # the second cell's prediction finds no room
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        result = place.predict(run)
    assert result.exit_code == 2
    before = times(run)
    assert len(before) == 5  # the composites of all cells, which are read together, and one prediction
    predictions = 3 * (run / "predictions" / "r0000_c0000.tif").stat().st_size
    assert "are needed for r0000_c0001.tif. Free some space and run the same command again" in result.stderr
    assert f"left take about {predictions / 1024:.1f} KiB" in result.stderr
    assert not [name for name in files(run) if "part" in name]

    assert place.predict(run).exit_code == 0
    assert times(run).items() >= before.items()
    assert (codes(run) == codes(finished)).all()
    assert files(run) == FILES


def test_a_disk_without_room_for_the_map_names_the_space_needed(
    place: Place, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 2**20))
        result = place.predict(run)
    assert result.exit_code == 2
    assert "Writing the map takes up to 8 MiB" in result.stderr
    assert "has 1 MiB" in result.stderr
    assert not (run / "map").exists()
    assert not (run / "map.part").exists()
    before = times(run)
    assert len(before) == 8
    assert place.predict(run).exit_code == 0
    assert times(run) == before
    assert (codes(run) == codes(finished)).all()
