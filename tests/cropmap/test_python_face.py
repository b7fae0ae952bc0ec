"""`import cropmap`: areas as people have them, the requests of the commands, and results to look at."""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import requests
import shapely
import xarray
from click.testing import CliRunner
from PIL import Image

import cropmap
from cli.main import cropmap as command
from cropmap.places import area_file
from cropmap.run import CropMap, Run
from cropmap.show import bin_of, by_confidence, show, told, true_color
from cropmap.talk import listening
from gee_pipeline.errors import CropmapError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from gee_pipeline.store import open_composite
from tests.support.forest_map_place import made_forest
from tests.support.tiny_place import CELL_SIZE, CROPS, YEAR, Place, codes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of the tiny place, with probabilities."""
    out = tmp_path_factory.mktemp("python") / "run"
    return mapped(place, geopandas.read_file(place.area), out=out, layers=("probabilities",))


def mapped(place: Place, aoi: Any, **options: Any) -> Run:
    usual = {"source": str(place.catalog), "model": place.model, "workers": 0, "cell_size": CELL_SIZE}
    return cropmap.predict(aoi, YEAR, **{**usual, "progress": False, **options})


# --- areas


def as_people_have_it(place: Place) -> dict[str, Any]:
    frame, projected = geopandas.read_file(place.area), "EPSG:32615"
    shape = frame.to_crs(projected).geometry.iloc[0]
    return {
        "path": str(place.area),
        "frame": frame,
        "series in metres": frame.to_crs(projected).geometry,
        "pair": (shape, projected),
        "shapely in degrees": place.polygon,
        "geojson": frame.__geo_interface__,
        "feature": frame.__geo_interface__["features"][0],
        "geometry": shapely.geometry.mapping(place.polygon),
    }


def test_an_area_is_the_same_however_it_is_given(place: Place, tmp_path: Path) -> None:
    wanted = place.polygon
    for name, aoi in as_people_have_it(place).items():
        found = geopandas.read_file(area_file(aoi, tmp_path / "run")).to_crs("EPSG:4326").union_all()
        apart = shapely.hausdorff_distance(found, wanted)
        assert apart < 1e-7, name


def test_a_box_is_west_south_east_north(tmp_path: Path) -> None:
    found = geopandas.read_file(area_file((-90.2, 35.1, -90.0, 35.3), tmp_path / "run"))
    assert found.total_bounds.tolist() == [-90.2, 35.1, -90.0, 35.3]
    assert found.crs == "EPSG:4326"
    same = area_file(found.total_bounds, tmp_path / "run")  # an array of numpy
    assert list(tmp_path.iterdir()) == [same]


def test_a_geometry_of_earth_engine_is_an_area(offline_client: Any, tmp_path: Path) -> None:
    import ee

    box = ee.Geometry(shapely.geometry.mapping(shapely.box(-90.2, 35.1, -90.0, 35.3)))
    found = geopandas.read_file(area_file(box, tmp_path / "run"))
    assert found.total_bounds.tolist() == [-90.2, 35.1, -90.0, 35.3]


def test_one_area_is_written_once_and_another_beside_it(place: Place, tmp_path: Path) -> None:
    one = area_file(place.polygon, tmp_path / "run")
    assert one.parent == tmp_path
    assert area_file(place.polygon, tmp_path / "run") == one
    assert area_file(place.polygon.buffer(0.01), tmp_path / "run") != one


@pytest.mark.parametrize(
    ("aoi", "words"),
    [
        (shapely.box(700_000, 3_900_000, 701_000, 3_901_000), "with its CRS"),
        ((3, 2, 1, 0), "west, south, east, north"),
        ((1, 2, 3), "sequence of 3"),
        (geopandas.GeoSeries([shapely.box(0, 0, 1, 1)]), "set_crs"),
        ({"type": "Nonsense"}, "GeoJSON"),
        ({"type": "FeatureCollection"}, "GeoJSON"),
        ({"type": "Feature"}, "GeoJSON"),
        ((float("nan"), 0, 1, 1), "west, south, east, north"),
        ((179.9, 10, -179.9, 11), "crosses 180 degrees"),
        ((shapely.box(0, 0, 1, 1), "EPSG:nonsense"), "CRS"),
        (geopandas.GeoDataFrame({"name": ["a"]}), "set_geometry"),
        (geopandas.GeoDataFrame(geometry=[], crs=4326), "zero area"),
        (geopandas.GeoDataFrame(geometry=[None], crs=4326), "zero area"),
        (geopandas.GeoSeries([shapely.Point(1, 1)], crs=4326), "zero area"),
        (shapely.Polygon(), "zero area"),
        (7, "type int"),
    ],
)
def test_what_is_no_area_is_refused_with_the_ways_to_give_one(aoi: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        area_file(aoi, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# --- maps


def test_a_map_is_that_of_the_command(place: Place, run: Run, tmp_path: Path) -> None:
    assert place.predict(tmp_path / "command").exit_code == 0
    np.testing.assert_array_equal(codes(run.folder), codes(tmp_path / "command"))


def test_the_same_call_goes_on_and_another_area_is_refused(place: Place, run: Run) -> None:
    frame = geopandas.read_file(place.area)
    again = mapped(place, frame, out=run.folder)
    assert again.folder == run.folder
    with pytest.raises(MismatchError):
        mapped(place, place.polygon.buffer(0.01), out=run.folder)


def test_an_option_that_there_is_not_is_named(place: Place, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"colour is no option here.*cell_size"):
        mapped(place, place.area, out=tmp_path / "run", colour="red")
    with pytest.raises(InputError, match="omit source"):
        mapped(place, place.area, out=tmp_path / "run", on="servers")


def test_options_are_taken_as_a_notebook_has_them(place: Place, run: Run, tmp_path: Path) -> None:
    """Paths as text, numbers of numpy, one layer as text; the command can go on from another folder."""
    like = str(run.folder / "map" / "crop_map.tif")
    usual = {"source": str(place.catalog), "model": str(place.model), "workers": np.int64(0)}
    made = cropmap.predict(
        place.polygon,
        np.int64(YEAR),
        **usual,
        out=str(tmp_path / "rün 1"),
        cell_size=CELL_SIZE,
        like=like,
        layers="margin",
        progress=False,
    )
    assert made.map.layer("margin").shape[1:] == run.map.classes.shape
    assert made.map.classes.rio.bounds() == run.map.classes.rio.bounds()
    kept = tomllib.loads((made.folder / "run.toml").read_text(encoding="utf-8"))
    assert (made.folder / kept["like"]).resolve() == Path(like).resolve()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on": "server"}, "on='here' or on='servers', got on='server'"),
        ({"year": "2021"}, "year takes a whole number, got '2021'"),
        ({"hemisphere": "east"}, "hemisphere takes 'north', 'south' or None, got 'east'"),
        ({"bad_scenes": "x"}, "bad_scenes takes 'stop', 'leave-out', got 'x'"),
        ({"endpoint": "x"}, "endpoint takes 'standard', .*got 'x'"),
        ({"layers": 3}, "layers takes some of 'second', .*got 3"),
        ({"layers": ("second", "third")}, "layers takes some of 'second', .*got"),
        ({"workers": -1}, "--workers is 0 or more, got -1"),
        ({"workers": "2"}, "workers takes a whole number or None, got '2'"),
        ({"workers": True}, "workers takes a whole number or None, got True"),
        ({"memory": "2"}, "memory takes a number, got '2'"),
        ({"memory": -1}, "--memory is an amount of GiB of at least 0.1, got -1"),
        ({"min_mapped": 7}, "--min-mapped is a share, 0 to 1, got 7"),
        ({"colors": "corn"}, "corn is no file"),
        ({"like": 3}, "like takes a path or None, got 3"),
        ({"on": "servers", "source": None, "to": "gcs://maps/x"}, "batch tasks are the command's"),
    ],
)
def test_options_that_would_be_misread_are_refused(
    place: Place, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    usual = {"year": YEAR, "source": str(place.catalog), "model": place.model, "progress": False}
    with pytest.raises(InputError, match=words):
        cropmap.predict(str(place.area), out=tmp_path / "run", **{**usual, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_path_stands_for_a_text_and_colours_are_given_as_in_the_command(
    place: Place, tmp_path: Path
) -> None:
    run = cropmap.predict(
        place.area,
        YEAR,
        source=Path(place.catalog),
        out=tmp_path / "run",
        model=place.model,
        colors="corn=#ffd400",
        workers=np.int64(0),
        cell_size=32,
        progress=False,
    )
    assert {entry.name: entry.color for entry in run.map.legend.entries}["corn"] == "#ffd400"


def test_an_export_fetches_and_says_so_of_tasks(place: Place, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cropmap export --to"):
        cropmap.export(place.polygon, YEAR, out=tmp_path / "run", to="gcs://maps/x", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_takes_the_project_by_itself(place: Place) -> None:
    found = cropmap.estimate(str(place.area), 2023, project="my-project", samples=0, progress=False)
    assert found.size.cells > 0


def test_an_estimate_leaves_no_file_and_counts_a_network_too(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = cropmap.estimate(place.polygon, 2023, on="servers", model="fast", samples=0, progress=False)
    alone = cropmap.estimate(place.polygon, 2023, samples=0, progress=False)
    assert found.composites.size == alone.size
    assert found.weights.multiplications == 1_886_085  # docs/servers.md
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on": "servers"}, "on='servers' is of a model"),
        ({"model": "fast"}, "on='here', model='fast'"),
        ({"on": "there"}, "on='here' or on='servers'"),
    ],
)
def test_an_estimate_of_a_network_is_on_the_servers(
    place: Place, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        cropmap.estimate(place.polygon, 2023, samples=0, progress=False, **options)


def test_a_script_is_that_of_the_command(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usual = {"model": "fast", "progress": False, "cell_size": CELL_SIZE}
    script = cropmap.code(str(place.area), 2023, **usual, language="python", project="our-maps")
    flags = ("--language", "python", "--project", "our-maps", "--cell-size", str(CELL_SIZE), "--quiet")
    words = ("code", "--aoi", str(place.area), "--year", "2023", "--model", "fast", *flags)
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.stderr
    assert script == done.stdout
    assert 'PROJECT = "our-maps"' in script
    named = cropmap.code(place.polygon, 2023, **usual)
    assert 'var NAME = "area_2023";' in named
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="distill"):
        cropmap.code(place.polygon, 2023, "accurate", progress=False)


def test_a_forest_on_the_servers_is_that_of_its_file(place: Place, tmp_path: Path) -> None:
    """It goes the way of forests, which begins with where it was deployed."""
    made_forest(tmp_path / "forest.safetensors")
    for make in (
        lambda model: cropmap.predict(place.polygon, YEAR, model=model, on="servers", out=tmp_path / "run"),
        lambda model: cropmap.code(place.polygon, YEAR, model),
    ):
        with pytest.raises(InputError, match="cropmap forest deploy"):
            make(tmp_path / "forest.safetensors")


def test_notices_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Scene [red]S2[/red] of folder[1] is left out."
    with listening(progress=True) as listener:
        listener.notice(text)
    assert text in capsys.readouterr().out


def test_classes_have_names_and_colours_and_a_place(run: Run) -> None:
    classes = run.map.classes
    with rasterio.open(run.folder / "map" / "crop_map.tif") as file:
        np.testing.assert_array_equal(classes.values, file.read(1))
        assert classes.rio.crs == file.crs
    assert classes.dims == ("y", "x")
    assert classes.attrs["class_names"][1] == CROPS[0]
    assert len(classes.attrs["flag_values"]) == len(classes.attrs["flag_meanings"].split())
    assert set(np.unique(run.map.confidence.values)) <= {*range(101), 255}


def test_probabilities_have_the_names_of_the_classes(run: Run) -> None:
    shares = run.probabilities
    assert shares["class"].values.tolist() == list(CROPS)
    known = run.map.confidence.values != 255
    total = shares.values.astype(int).sum(axis=0)[known]
    assert known.any()
    assert (np.abs(total - 100) <= 3).all()  # five numbers that are rounded each
    np.testing.assert_array_equal(shares.values.max(axis=0)[known], run.map.confidence.values[known])


def test_a_layer_that_the_map_lacks_is_named_with_the_way_to_it(run: Run) -> None:
    with pytest.raises(InputError, match=r"no layer margin.*crop_map.*layers=\('margin',\)"):
        run.map.layer("margin")


def test_areas_are_those_of_the_report(run: Run) -> None:
    areas = run.areas
    inside = codes(run.folder)
    for code, row in areas.iterrows():
        assert row["pixels"] == (inside == code).sum()


# --- composites


def test_composites_are_one_lazy_dataset_of_all_cells(run: Run) -> None:
    found = run.composites
    assert set(found.data_vars) == {"B2", "B4", "B8"}
    assert found["B8"].dims == ("time", "y", "x")
    assert found["B8"].chunks is not None
    assert str(found["time"].values[0])[:10] == f"{YEAR}-05-31"  # day 151
    assert found.rio.crs == run.map.classes.rio.crs
    for path in sorted((run.folder / "composites").glob("*.tif")):
        cell = open_composite(path)
        part = found.sel(x=cell["x"], y=cell["y"])
        for band in ("B2", "B8"):
            np.testing.assert_array_equal(part[band].values, cell.sel(band=band).values)


def test_a_series_of_ndvi_in_three_lines(run: Run) -> None:
    composites = run.composites
    ndvi = (composites.B8 - composites.B4) / (composites.B8 + composites.B4)
    confidence = run.map.confidence.load()
    known = confidence.where(confidence != 255, drop=True)
    series = ndvi.sel(x=known["x"][0], y=known["y"][0])
    assert series.dims == ("time",)
    assert len(series) == len(composites["time"])


def test_composites_are_placed_as_the_map_is(run: Run) -> None:
    classes, composites = run.map.classes, run.composites
    inside = composites.sel(x=classes["x"], y=classes["y"])
    assert inside.sizes["x"] == classes.sizes["x"]


# --- a pixel


def test_a_pixel_tells_class_probabilities_and_series(run: Run) -> None:
    classes = run.map.classes
    row, col = np.argwhere((classes.values > 0) & (classes.values < 254))[7]
    x, y = float(classes["x"][col]), float(classes["y"][row])
    lon, lat = pyproj.Transformer.from_crs(classes.rio.crs, "EPSG:4326", always_xy=True).transform(x, y)
    found = run.pixel(lon, lat)
    assert found["class"] == CROPS[int(classes.values[row, col]) - 1]
    assert found["confidence"] == int(run.map.confidence.values[row, col])
    assert list(found["probabilities"]) == list(CROPS)
    series = found["series"]
    assert isinstance(series, pd.DataFrame)
    wanted = run.composites.sel(x=x, y=y, method="nearest")["B8"].values
    np.testing.assert_array_equal(series["B8"].to_numpy(), wanted)
    assert {"B2", "B4", "B8", "NDVI"} == set(series.columns)
    text = told(found)
    assert found["class"] in text
    assert text.count("<circle") == series.notna().to_numpy().sum()
    assert all(f"{name} <svg" in text for name in series)
    with pytest.raises(InputError, match="not on the map"):
        run.pixel(0, 0)


# --- spoilt


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("map/report.json", b"{}", "no report of a map of cropmap, or is damaged"),
        ("map/confidence.tif", b"no raster", "cannot be read"),
        ("map/confidence.tif", None, r"not whole: confidence.tif is missing"),
    ],
)
def test_what_was_spoilt_in_a_map_is_named(
    run: Run, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    copy = Run.open(shutil.copytree(run.folder, tmp_path / "run"))
    path = copy.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CropmapError, match=words):
        print(copy.areas, copy.map.confidence.max())


def test_composites_that_were_deleted_are_called_so(run: Run, tmp_path: Path) -> None:
    copy = Run.open(shutil.copytree(run.folder, tmp_path / "run"))
    shutil.rmtree(copy.folder / "composites")
    with pytest.raises(InputError, match="keeps no composites: they were deleted"):
        print(copy.composites)


def test_a_folder_that_is_not_there_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothere is no folder of a run"):
        cropmap.publish(tmp_path / "nothere", to=tmp_path / "published", agency="Office", licence="CC0-1.0")


# --- shown


def test_a_run_shows_itself_with_classes_and_a_warning_that_pixels_are_no_estimates(run: Run) -> None:
    text = run._repr_html_()
    assert "Pixel counts, not area estimates" in text
    assert "simulated" in text
    assert all(row["name"] in text for _, row in run.areas.iterrows())
    assert str(run.folder) in repr(run)


def test_a_map_of_the_world_has_layers_and_a_legend(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cropmap.show.TRUE_COLOR", ("B8", "B4", "B2"))  # the tiny model has no green
    view = show(run.map, run=run, composites=(f"{YEAR}-06-20",))
    assert {"Crops", "Confidence"} <= {layer.name for layer in view.layers}
    with pytest.raises(InputError, match="those of a run"):
        show(run.map, composites=(f"{YEAR}-06-20",))
    with pytest.raises(InputError, match=r"none\.gpkg does not exist"):
        show(run.map, parcels=Path("none.gpkg"))


def test_points_of_a_table_are_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("lon,lat,crop\n-90.8,35.3,rice\n")
    view = show(run.map, points=tmp_path / "visits.csv")
    assert "Points" in {layer.name for layer in view.layers}


def test_classes_are_the_paler_the_less_confident_they_are(run: Run, tmp_path: Path) -> None:
    path = by_confidence(run.map, tmp_path / "picture.tif")
    with rasterio.open(path) as file:
        assert file.colorinterp[3].name == "alpha"
        picture = file.read()
    codes, confidence = run.map.classes.values, run.map.confidence.values
    colors = {entry.code: bytes.fromhex(entry.color[1:]) for entry in run.map.legend.entries}
    for (row, col), code in np.ndenumerate(codes):
        red, green, blue, alpha = picture[:, row, col].tolist()
        sure = confidence[row, col]
        if code == 0:
            assert alpha == 0
        else:
            assert bytes((red, green, blue)) == colors[code]
            assert alpha == (255 if sure == 255 else round(40 + 2.15 * sure))
    assert len(np.unique(picture[3])) > 3


def test_tiles_keep_how_opaque_classes_are(run: Run) -> None:
    view = run.show(confidence="opacity")
    crops = next(layer for layer in view.layers if layer.name == "Crops")
    west, south, east, north = run.map.classes.rio.transform_bounds("EPSG:4326")
    lat = math.radians((south + north) / 2)
    x = int(((west + east) / 2 + 180) / 360 * 2**16)
    y = int((1 - math.asinh(math.tan(lat)) / math.pi) / 2 * 2**16)
    answer = requests.get(crops.url.format(x=x, y=y, z=16), timeout=30)
    image = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    assert len(np.unique(image[..., 3])) > 3


def slider_of(view: Any) -> Any:
    """The slider among the controls of a map."""
    widgets = [control.widget for control in view.controls if hasattr(control, "widget")]
    return next(widget for widget in widgets if getattr(widget, "description", "") == "Composite")


def composites_of(view: Any) -> dict[str, bool]:
    """The days that are layers, and whether each is seen."""
    found = {layer.name: layer.visible for layer in view.layers}
    return {name.split()[1]: seen for name, seen in found.items() if name.startswith("Composite")}


def test_a_slider_shows_one_composite_at_a_time_and_draws_it_when_it_is_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="B3"):
        run.show(composites="all")
    monkeypatch.setattr("cropmap.show.TRUE_COLOR", ("B8", "B4", "B2"))
    view = run.show(composites="all")
    slider = slider_of(view)
    none, first, second, *_ = slider.options
    assert (first, second) == (f"{YEAR}-05-31", f"{YEAR}-06-05")
    assert len(slider.options) == 1 + len(run.composites["time"])
    assert composites_of(view) == {}
    slider.value = second
    assert composites_of(view) == {second: True}
    slider.value = first
    assert composites_of(view) == {second: False, first: True}
    slider.value = none
    assert composites_of(view) == {second: False, first: False}


def test_days_of_the_slider_are_looked_at_before_anything_is_drawn(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cropmap.show.TRUE_COLOR", ("B8", "B4", "B2"))
    with pytest.raises(InputError, match=r"No composite holds 2021-01-01"):
        run.show(composites=("2021-01-01",))
    with pytest.raises(InputError, match=r"a list of days, or 'all', got '2021-06-20'"):
        run.show(composites="2021-06-20")


def test_a_map_is_laid_on_one_of_leafmap_that_is_given(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    leafmap = pytest.importorskip("leafmap.leafmap", reason="leafmap is not installed")
    monkeypatch.setattr("cropmap.show.TRUE_COLOR", ("B8", "B4", "B2"))
    mine = leafmap.Map()
    view = run.show(view=mine, composites=(f"{YEAR}-06-20",), beside=run)
    assert view is mine
    slider_of(view).value = f"{YEAR}-06-20"
    assert composites_of(view) == {f"{YEAR}-06-20": True}


def test_what_stands_beside_a_map_is_another_map_or_a_run_with_one(
    place: Place, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(run.map, beside=run)
    monkeypatch.setattr("cropmap.show.TRUE_COLOR", ("B8", "B4", "B2"))
    run.show(beside=f"{YEAR}-06-20")
    assert (run.folder / "map" / f"composite_{YEAR}-06-20.tif").is_file()
    with pytest.raises(InputError, match="those of a run"):
        show(run.map, beside=f"{YEAR}-06-20")
    bare = cropmap.export(
        place.polygon, YEAR, out=tmp_path / "bare", source=str(place.catalog), workers=0, progress=False
    )
    with pytest.raises(InputError, match=r"The run in .*bare has no finished map"):
        show(run.map, beside=bare)


@pytest.mark.parametrize(
    ("day", "at"),
    [("2021-04-01", 0), ("2021-04-30", 0), ("2021-05-01", 1), ("2021-05-31", 1)],  # 30 days, then 31
)
def test_a_day_is_in_its_month(run: Run, day: str, at: int) -> None:
    months = Recipe.of(bands=("B2", "B4", "B8"), window=(91, 151), bin_days="month")
    assert bin_of(replace(run.plan, model=None, recipe=months, bins=months.window), day) == at


def test_what_is_no_day_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match="written like 2023-06-20, got 'June'"):
        bin_of(run.plan, "June")


def test_false_colours_are_those_of_the_bin_that_holds_the_day(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="B3"):
        true_color(run, f"{YEAR}-06-20", tmp_path / "picture.tif")
    monkeypatch.setattr("cropmap.show.TRUE_COLOR", ("B8", "B4", "B2"))
    path = true_color(run, f"{YEAR}-06-09", tmp_path / "picture.tif")  # day 160: the last of the second bin
    with rasterio.open(path) as file:
        picture = file.read()
    nir = run.composites["B8"].isel(time=1).values
    wanted = np.where(np.isnan(nir), 0, np.clip(nir / 0.3 * 254 + 1, 1, 255)).astype(np.uint8)
    np.testing.assert_array_equal(picture[0], wanted)
    for day in (f"{YEAR}-05-30", f"{YEAR}-08-29"):
        with pytest.raises(InputError, match="No composite holds"):
            true_color(run, day, tmp_path / "picture.tif")


# --- what is no run


def test_what_is_no_run_or_no_map_is_said_in_one_line(place: Place, run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        cropmap.open_run(tmp_path)
    with pytest.raises(InputError, match="no map of cropmap"):
        cropmap.open_map(tmp_path)
    done = place.export(tmp_path / "export")
    assert done.exit_code == 0
    unfinished = cropmap.open_run(tmp_path / "export")
    assert "not finished" in unfinished._repr_html_()
    with pytest.raises(InputError, match="no finished map"):
        _ = unfinished.map
    assert isinstance(unfinished.composites, xarray.Dataset)
    assert isinstance(cropmap.open_map(run.folder), CropMap)


def test_importing_it_is_light() -> None:
    code = (
        "import sys, cropmap\n"
        "heavy = {'torch', 'numba', 'rasterio', 'dask', 'geopandas', 'matplotlib', 'ee', 'xarray'}\n"
        "print(','.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_function_is_documented() -> None:
    for name in cropmap.__all__:
        text = getattr(cropmap, name).__doc__
        assert "Raises:" in text, name
