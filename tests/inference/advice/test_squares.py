"""Squares of an area: cells of the area's own grid, drawn by a seed, within the area."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from gee_pipeline.aoi import read_aoi
from gee_pipeline.grid import make_grid
from inference.advice.squares import SIDE, trial_of
from inference.workflow.request import MapRequest

AREA = shapely.Polygon([(-90.82, 35.30), (-90.70, 35.28), (-90.66, 35.40), (-90.80, 35.42)])


@pytest.fixture
def request_(tmp_path: Path) -> MapRequest:
    path = tmp_path / "area.geojson"
    geopandas.GeoDataFrame(geometry=[AREA], crs="EPSG:4326").to_file(path)
    return MapRequest(aoi=path, year=2021, source=str(tmp_path / "catalog.json"))


def cells_of(request: MapRequest) -> set[tuple[float, ...]]:
    """Outlines of the cells that a map of a request plans."""
    aoi = read_aoi(request.aoi)
    grid = make_grid(aoi, request.crs, request.cell_size)
    planned = grid.cells_touching(aoi.to(str(grid.geobox.crs)))
    return {tuple(cell.geobox.boundingbox.bbox) for cell in grid.cells(planned)}


def test_squares_are_cells_of_the_areas_own_grid(request_: MapRequest, tmp_path: Path) -> None:
    trial = trial_of(request_, tmp_path / "trial", 6, seed=1)
    drawn, all_of_them = cells_of(trial), cells_of(replace(request_, cell_size=SIDE))
    assert len(drawn) == 6  # and no neighbour that an edge touches
    assert drawn < all_of_them
    frame = geopandas.read_file(trial.aoi)
    assert frame.geometry.union_all().difference(AREA.buffer(1e-9)).area < 1e-9


def test_the_trial_names_the_areas_crs_as_people_do(request_: MapRequest, tmp_path: Path) -> None:
    assert trial_of(request_, tmp_path / "a", 2, seed=1).crs == "EPSG:32615"
    asked = replace(request_, crs="EPSG:5070")
    assert trial_of(asked, tmp_path / "b", 2, seed=1).crs == "EPSG:5070"


def test_a_seed_draws_the_same_squares_again_and_another_draws_others(
    request_: MapRequest, tmp_path: Path
) -> None:
    first, again, other = (
        cells_of(trial_of(request_, tmp_path / name, 6, seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other


def test_of_a_small_area_all_of_it_is_tried(request_: MapRequest, tmp_path: Path) -> None:
    trial = trial_of(request_, tmp_path / "trial", 100_000, seed=1)
    assert cells_of(trial) == cells_of(replace(request_, cell_size=SIDE))
    assert np.isclose(geopandas.read_file(trial.aoi).geometry.union_all().area, AREA.area, rtol=0.01)
