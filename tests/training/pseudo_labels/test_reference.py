"""True labels on the pixels of a run: rasters and places."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from inference.run.plan import RunPlan
from tests.support.pseudo_place import CRS, LEFT, SIZE, TOP, made_checkpoint, planned, row_col, write_raster
from training.pseudo_labels.reference import ANOTHER, read_reference, reference_code

ROWS, COLS = 2 * SIZE, 3 * SIZE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("reference") / "run"
    planned(run, made_checkpoint())
    return run


@pytest.fixture
def plan(folder: Path) -> RunPlan:
    return planned(folder, made_checkpoint())


def test_a_raster_without_a_table_holds_codes_of_the_run(plan: RunPlan, folder: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (ROWS, COLS)).astype(np.uint8)
    reference = read_reference(write_raster(tmp_path / "r.tif", values, folder), plan)
    assert (reference.read(plan.grid.geobox) == np.where(values <= 3, values, 0)).all()
    part = plan.grid.geobox[10:20, 30:80]
    assert (reference.read(part) == np.where(values <= 3, values, 0)[10:20, 30:80]).all()


def test_a_table_says_what_values_mean(plan: RunPlan, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.toml"
    table.write_text("[classes]\ncorn = [1, 4]\nsoybeans = [500]\nrice = [7]\n")
    values = np.random.default_rng(1).choice(np.array([0, 1, 4, 7, 9, 500], np.int16), (ROWS, COLS))
    reference = read_reference(write_raster(tmp_path / "r.tif", values, folder), plan, table=table)
    meaning = {0: 0, 1: 1, 4: 1, 500: 2, 7: 3, 9: 0}  # rice has no class here, but "other" has
    assert reference.read(plan.grid.geobox).tolist() == [[meaning[v] for v in row] for row in values.tolist()]


def test_the_table_of_the_cropland_data_layer_is_built_in(
    plan: RunPlan, folder: Path, tmp_path: Path
) -> None:
    values = np.zeros((ROWS, COLS), np.uint8)
    values[0, :5] = [1, 5, 3, 22, 63]  # corn, soybeans, rice, wheat, forest
    path = write_raster(tmp_path / "cdl.tif", values, folder)
    reference = read_reference(path, plan, table=Path("cdl"))
    assert reference.read(plan.grid.geobox)[0, :5].tolist() == [1, 2, 3, 3, 0]


def test_a_coarse_raster_in_degrees_gives_its_nearest_value(plan: RunPlan, tmp_path: Path) -> None:
    step, west, north = 0.001, 14.995, 45.165
    values = np.random.default_rng(2).integers(1, 4, (40, 40)).astype(np.uint8)
    path = tmp_path / "degrees.tif"
    profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "crs": "EPSG:4326", "dtype": "uint8"}
    transform = Affine(step, 0, west, 0, -step, north)
    with rasterio.open(path, "w", height=40, width=40, transform=transform, **profile) as file:
        file.write(values, 1)
    to_degrees = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    y, x = np.mgrid[0:ROWS, 0:COLS]
    lon, lat = to_degrees.transform(LEFT + 10 * (x + 0.5), TOP - 10 * (y + 0.5))
    row, col = (north - lat) / step, (lon - west) / step
    inside = (row >= 0) & (row < 40) & (col >= 0) & (col < 40)
    wanted = np.where(inside, values[row.clip(0, 39).astype(int), col.clip(0, 39).astype(int)], 0)
    found = read_reference(path, plan).read(plan.grid.geobox)
    assert (found == wanted).mean() > 0.99  # GDAL's warping is exact to an eighth of a pixel
    assert found.any()


def points(path: Path, rows: Any, cols: Any, labels: list[str]) -> Path:
    x, y = LEFT + 10 * (np.array(cols) + 0.3), TOP - 10 * (np.array(rows) + 0.8)
    lon, lat = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)
    days = [f"2021-{month:02d}-{day:02d}" for month in (5, 6, 7) for day in (1, 11, 21)]
    series = {
        f"{band}_{day}": np.arange(len(labels)) * 37 + 300 + place
        for place, day in enumerate(days)
        for band in ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")
    }
    table = geopandas.GeoDataFrame({"label": labels, "lon": lon, "lat": lat, **series})
    table.to_csv(path, index=False)
    return path


def test_places_tell_about_the_pixels_that_hold_them(plan: RunPlan, tmp_path: Path) -> None:
    rows, cols = [0, 5, 40, 63, 5, 500], [0, 90, 33, 95, 90, 10]
    labels = ["corn", "soybeans", "rice", "corn", "corn", "corn"]
    reference = read_reference(points(tmp_path / "p.csv", rows, cols, labels), plan)
    wanted = np.zeros((ROWS, COLS), np.uint8)
    wanted[0, 0], wanted[40, 33], wanted[63, 95] = 1, 3, 1  # at 5, 90 two places contradict each other
    assert (reference.read(plan.grid.geobox) == wanted).all()
    assert (reference.read(plan.grid.geobox[32:64, 32:64]) == wanted[32:64, 32:64]).all()
    assert reference.describe()["places"] == 6


def test_a_reference_may_hold_one_class_alone(plan: RunPlan, tmp_path: Path) -> None:
    reference = read_reference(points(tmp_path / "p.csv", [3, 4], [5, 6], ["corn", "corn"]), plan)
    assert np.argwhere(reference.read(plan.grid.geobox) == 1).tolist() == [[3, 5], [4, 6]]
    legend = tmp_path / "legend.toml"
    legend.write_text(
        '[[classes]]\nname = "corn"\ncolor = "#ffd300"\n[[classes]]\nname = "rye"\ncolor = "#267000"\n'
    )
    reference = read_reference(tmp_path / "p.csv", plan, legend=legend)
    assert np.argwhere(reference.read(plan.grid.geobox) == 1).tolist() == [[3, 5], [4, 6]]


def test_a_corrected_file_is_another_reference(plan: RunPlan, folder: Path, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "r.tif", np.ones((ROWS, COLS), np.uint8), folder)
    former, size = read_reference(path, plan).describe(), path.stat().st_size
    assert read_reference(path, plan).describe() == former
    write_raster(path, np.full((ROWS, COLS), 2, np.uint8), folder)
    assert path.stat().st_size == size
    assert read_reference(path, plan).describe() != former


def test_places_beyond_the_projection_tell_about_no_pixel(plan: RunPlan, tmp_path: Path) -> None:
    path = points(tmp_path / "p.csv", [3, 4, 5], [5, 6, 7], ["corn", "corn", "corn"])
    table = geopandas.pd.read_csv(path)
    table.loc[1:, "lon"], table.loc[1:, "lat"] = (105.0, -75.0), (0.0, 0.0)  # a quarter of the earth away
    table.to_csv(path, index=False)
    assert np.argwhere(read_reference(path, plan).read(plan.grid.geobox)).tolist() == [[3, 5]]


def test_a_crop_without_a_class_is_other_or_wrong_everywhere() -> None:
    assert reference_code("soybeans", ("corn", "soybeans")) == 2
    assert reference_code("rice", ("corn", "other")) == 2
    assert reference_code("rice", ("corn", "soybeans")) == ANOTHER


def test_samples_of_another_season_are_refused(plan: RunPlan, tmp_path: Path) -> None:
    path = points(tmp_path / "p.csv", [0, 1], [0, 1], ["corn", "soybeans"])
    path.write_text(path.read_text().replace("_2021-", "_2020-"))
    with pytest.raises(MismatchError, match=r"2020-01-01.*2021-01-01"):
        read_reference(path, plan)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nowhere.tif", {}, "does not exist"),
        ("nowhere.npz", {}, "do not exist"),
        ("labels.shp", {}, "--reference"),
        ("p.csv", {"table": Path("cdl")}, "--classes-table"),
    ],
)
def test_what_is_no_reference_is_refused(
    plan: RunPlan, tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_reference(tmp_path / name, plan, **options)


def test_rasters_of_nowhere_and_damaged_ones_are_refused(plan: RunPlan, folder: Path, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "r.tif", np.ones((4, 4), np.uint8), folder)
    with rasterio.open(path, "r+") as file:
        file.transform = Affine(10, 0, LEFT + 1e6, 0, -10, TOP)
    with pytest.raises(InputError, match="does not overlap"):
        read_reference(path, plan)
    path.write_bytes(b"II*\0 no tiff")
    with pytest.raises(CorruptFileError, match=r"r\.tif"):
        read_reference(path, plan)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting_for_a_writer(plan: RunPlan, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.tif")
    with pytest.raises(CorruptFileError, match="a pipe or a device"):
        read_reference(tmp_path / "r.tif", plan)


def test_samples_without_places_are_refused(plan: RunPlan, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fea = rng.integers(300, 3_000, (4, 10, 73)).astype(np.int16)
    np.savez(tmp_path / "s.npz", fea=fea, lbl=np.array([0, 1, 0, 1]))
    with pytest.raises(InputError, match="has no places"):
        read_reference(tmp_path / "s.npz", plan)


def test_places_are_found_again() -> None:
    lon, lat = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(LEFT + 15, TOP - 25)
    assert [int(v) for v in row_col(np.array(lon), np.array(lat))] == [2, 1]
    assert shapely.Point(lon, lat).is_valid
