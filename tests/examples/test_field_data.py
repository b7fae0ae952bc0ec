"""Field data of a made place: what is written is true, but for the declarations that are not to be."""

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

from examples.field_data import EDGE, crops_at, read_parcels, read_visits, write_parcels, write_visits
from examples.simulated_scenes import Settings, write_truth
from gee_pipeline.bands import PIXEL_SIZE

SETTINGS = Settings(size=64)
SIDE = 10
"""Pixels along a side of a field; two more lie between fields."""


@pytest.fixture(scope="module")
def codes():
    """Twenty-five square fields of five classes."""
    out = np.zeros((64, 64), np.uint8)
    for number in range(25):
        row, col = 2 + 12 * (number // 5), 2 + 12 * (number % 5)
        out[row : row + SIDE, col : col + SIDE] = 1 + number % 5
    return out


@pytest.fixture(scope="module")
def truth(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("truth") / "fields.tif"
    write_truth(path, codes, SETTINGS.geobox)
    return path


NAMES = np.array(["nothing", "corn", "soybeans", "rice", "cotton", "other"])


def pixel_of(places):
    """`(row, col)` of places in the CRS of the truth."""
    to_pixel = ~Affine(*SETTINGS.geobox.transform[:6])
    col, row = to_pixel * (places.x.to_numpy(), places.y.to_numpy())
    return row.astype(int), col.astype(int)


def test_parcels_are_the_fields_with_their_crops(codes, truth):
    parcels = read_parcels(truth)
    assert len(parcels) == 25
    assert parcels.area.tolist() == [(SIDE * PIXEL_SIZE) ** 2] * 25
    assert parcels["parcel"].tolist() == list(range(1, 26))
    assert (NAMES[codes[pixel_of(parcels.centroid)]] == parcels["crop"]).all()


def test_some_declarations_are_false_and_the_file_does_not_say_which(truth, tmp_path):
    write_parcels(tmp_path / "parcels.gpkg", truth, false=0.2)
    written = geopandas.read_file(tmp_path / "parcels.gpkg")
    assert set(written.columns) == {"parcel", "declared", "geometry"}
    assert (written["declared"] != read_parcels(truth)["crop"]).sum() == 5
    assert set(written["declared"]) <= set(NAMES[1:])


def test_visits_name_what_grows_there_and_keep_away_from_borders(codes, truth, tmp_path):
    write_visits(tmp_path / "visits.csv", truth, each=3)
    table = pd.read_csv(tmp_path / "visits.csv")
    assert list(table.columns) == ["parcel", "lon", "lat", "crop"]
    assert table.groupby("parcel").size().tolist() == [3] * 25
    visits = read_visits(tmp_path / "visits.csv").to_crs(SETTINGS.geobox.crs)
    assert (NAMES[codes[pixel_of(visits.geometry)]] == visits["crop"]).all()
    outlines = read_parcels(truth).set_index("parcel").geometry.boundary
    apart = visits.geometry.distance(outlines[visits["parcel"]], align=False)
    assert (apart > EDGE - 0.2).all()  # degrees are rounded to a tenth of a metre


def test_parcels_with_a_place_are_not_visited(truth, tmp_path):
    places = read_parcels(truth).iloc[[3, 7]].assign(geometry=lambda frame: frame.centroid)
    write_visits(tmp_path / "visits.csv", truth, without=places.to_crs("EPSG:4326"))
    assert set(pd.read_csv(tmp_path / "visits.csv")["parcel"]) == set(range(1, 26)) - {4, 8}


def test_between_the_fields_there_is_what_is_said(truth):
    with rasterio.open(truth) as file:
        left, top = file.transform * (0.5, 0.5)
        field = file.transform * (5.5, 5.5)
    places = geopandas.GeoDataFrame(
        geometry=geopandas.points_from_xy(*zip((left, top), field, strict=True), crs=SETTINGS.geobox.crs)
    )
    assert crops_at(truth, places.to_crs("EPSG:4326")) == ["other", "corn"]
    assert crops_at(truth, places, between="road") == ["road", "corn"]
