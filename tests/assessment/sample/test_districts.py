from pathlib import Path

import geopandas
import pyproj
import pytest
import shapely

from assessment.sample.districts import read_districts
from gee_pipeline.errors import InputError
from tests.support.assessed_map import CRS

UTM = pyproj.CRS(CRS)


def written(path: Path, boxes, names, crs=CRS) -> Path:
    geopandas.GeoDataFrame({"name": names}, geometry=[shapely.box(*b) for b in boxes], crs=crs).to_file(
        path, driver="GPKG"
    )
    return path


def test_polygons_of_one_name_are_one_district_in_the_crs_of_the_map(tmp_path: Path) -> None:
    path = written(tmp_path / "d.gpkg", [(14, 45, 15, 46), (16, 45, 17, 46)], ["A", " A "], "EPSG:4326")
    found = read_districts(path, "name", UTM)
    assert found.names == ("outside the districts", "A")
    assert found.areas[0].geom_type == "MultiPolygon"
    assert found.areas[0].bounds[0] == pytest.approx(421_000, abs=2_000)


@pytest.mark.parametrize(
    ("boxes", "names", "column", "words"),
    [
        ([(0, 0, 10, 10), (5, 0, 15, 10)], ["A", "B"], "name", "A and B share"),
        ([(0, 0, 10, 10)], ["A"], "region", "no column 'region'; they have name"),
        ([(0, 0, 10, 10), (20, 0, 30, 10)], ["A", None], "name", r"rows \[1\]"),
        ([(0, 0, 10, 10)], [" outside the districts"], "name", "Rename it"),
    ],
)
def test_districts_that_cannot_be_used_are_refused(tmp_path: Path, boxes, names, column, words) -> None:
    with pytest.raises(InputError, match=words):
        read_districts(written(tmp_path / "d.gpkg", boxes, names), column, UTM)


def test_the_only_layer_of_areas_is_read_and_of_two_none(tmp_path: Path) -> None:
    path = written(tmp_path / "d.gpkg", [(0, 0, 10, 10)], ["A"])
    towns = geopandas.GeoDataFrame({"name": ["T"]}, geometry=[shapely.Point(1, 1)], crs=CRS)
    towns.to_file(path, layer="a towns", driver="GPKG")
    assert read_districts(path, "name", UTM).names[1:] == ("A",)
    other = geopandas.GeoDataFrame({"name": ["B"]}, geometry=[shapely.box(20, 0, 30, 9)], crs=CRS)
    other.to_file(path, layer="others", driver="GPKG")
    with pytest.raises(InputError, match="have 2 layers: d, others"):
        read_districts(path, "name", UTM)


def test_neighbours_may_share_a_border(tmp_path: Path) -> None:
    path = written(tmp_path / "d.gpkg", [(0, 0, 10, 10), (10, 0, 20, 10)], ["A", "B"])
    assert len(read_districts(path, "name", UTM).areas) == 2


def test_a_file_that_is_no_vectors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.gpkg").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read as vectors"):
        read_districts(tmp_path / "d.gpkg", "name", UTM)
