import json
import os
from pathlib import Path
from typing import Any

import geopandas
import pyproj
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.errors import InputError
from gee_pipeline.grid import grid_like

SQUARE = shapely.box(11.0, 48.0, 11.1, 48.1)
HOLED = SQUARE.difference(shapely.box(11.04, 48.04, 11.06, 48.06))


def _geojson(path: Path, value: dict[str, Any]) -> Path:
    path.write_text(json.dumps(value))
    return path


def _geometry(shape: BaseGeometry) -> dict[str, Any]:
    return json.loads(shapely.to_geojson(shape))


def _feature(shape: BaseGeometry) -> dict[str, Any]:
    return {"type": "Feature", "properties": {}, "geometry": _geometry(shape)}


@pytest.mark.parametrize(
    "value",
    [
        _geometry(HOLED),
        _feature(HOLED),
        {"type": "FeatureCollection", "features": [_feature(HOLED)]},
    ],
    ids=["geometry", "feature", "collection"],
)
def test_any_form_of_geojson_is_read_with_its_holes(tmp_path: Path, value: dict[str, Any]) -> None:
    aoi = read_aoi(_geojson(tmp_path / "a.geojson", value))
    assert aoi.geometry.equals(HOLED)
    assert aoi.crs == pyproj.CRS("EPSG:4326")
    assert aoi.notices == ()


@pytest.mark.parametrize("name", ["area.gpkg", "area.shp"])
def test_geopackage_and_shapefile_keep_their_crs(tmp_path: Path, name: str) -> None:
    shape = shapely.box(600_000, 5_300_000, 601_000, 5_302_000)
    geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:32632").to_file(tmp_path / name)
    aoi = read_aoi(tmp_path / name)
    assert aoi.crs.to_epsg() == 32632
    assert aoi.geometry.equals(shape)


def test_several_features_become_one_multipolygon(tmp_path: Path) -> None:
    far = shapely.box(11.5, 48.0, 11.6, 48.1)
    path = _geojson(
        tmp_path / "a.geojson", {"type": "FeatureCollection", "features": [_feature(SQUARE), _feature(far)]}
    )
    assert read_aoi(path).geometry.equals(shapely.MultiPolygon([SQUARE, far]))


def test_a_self_intersecting_polygon_is_repaired_with_a_notice(tmp_path: Path) -> None:
    bowtie = shapely.Polygon([(11, 48), (11.1, 48.1), (11.1, 48), (11, 48.1)])
    aoi = read_aoi(_geojson(tmp_path / "a.geojson", _feature(bowtie)))
    assert aoi.geometry.is_valid
    assert aoi.geometry.area == pytest.approx(0.005)
    assert "repaired" in aoi.notices[0]
    assert "Self-intersection" in aoi.notices[0]


def _without_crs(folder: Path) -> Path:
    geopandas.GeoDataFrame(geometry=[SQUARE], crs="EPSG:4326").to_file(folder / "area.shp")
    (folder / "area.prj").unlink()
    return folder / "area.shp"


def _table(folder: Path) -> Path:
    (folder / "area.csv").write_text("a,b\n1,2\n")
    return folder / "area.csv"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "absent.geojson", "does not exist"),
        (lambda d: _geojson(d / "a.geojson", {"type": "FeatureCollection", "features": []}), "no polygon"),
        (lambda d: _geojson(d / "a.geojson", {"type": "Nothing"}), "cannot be read"),
        (lambda d: _geojson(d / "a.geojson", _geometry(shapely.Point(11, 48))), "zero area"),
        (
            lambda d: _geojson(d / "a.geojson", _geometry(shapely.LineString([(11, 48), (12, 48)]))),
            "zero area",
        ),
        (lambda d: _geojson(d / "a.geojson", _geometry(shapely.box(179, 10, 181, 11))), "antimeridian"),
        (lambda d: _geojson(d / "a.geojson", _geometry(shapely.box(-179, 10, 179, 11))), "antimeridian"),
        (
            lambda d: _geojson(d / "a.geojson", _geometry(shapely.box(6e5, 5e6, 7e5, 6e6))),
            "metres, as of UTM",
        ),
        (lambda d: _geojson(d / "a.geojson", _geometry(shapely.box(36, 126, 37, 127))), "longitude first"),
        (lambda d: _geojson(d / "a.geojson", _geometry(shapely.box(120, 100, 121, 101))), "check its CRS"),
        (_without_crs, "no CRS"),
        (_table, "without geometry"),
    ],
    ids=[
        "missing",
        "empty",
        "no json",
        "point",
        "line",
        "over",
        "spans",
        "metres",
        "swapped",
        "off",
        "no crs",
        "table",
    ],
)
def test_an_area_that_means_no_place_is_refused(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_aoi(make(tmp_path))


def test_long_edges_keep_their_course_when_reprojected() -> None:
    """A parallel is curved in LAEA: 2 degrees at 50 north bulge by far more than a pixel."""
    wide = Aoi(shapely.box(8, 49, 10, 50), pyproj.CRS("EPSG:4326"))
    to_laea = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3035", always_xy=True)
    outline = wide.to("EPSG:3035").exterior
    for lon in (8.3, 9.0, 9.77):
        assert outline.distance(shapely.Point(to_laea.transform(lon, 50))) < 1


def test_the_same_crs_returns_the_polygon_untouched() -> None:
    assert Aoi(SQUARE, pyproj.CRS("EPSG:4326")).lonlat is SQUARE


def _raw(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


CORNERS = "[11, 48], [11.1, 48], [11.1, 48.1]"


def _ring(*rings: str) -> str:
    return '{"type": "Polygon", "coordinates": [' + ", ".join(f"[{ring}]" for ring in rings) + "]}"


def _tin(folder: Path) -> Path:
    (folder / "tin.csv").write_text('id,WKT\n1,"TIN(((11 48 0,11.1 48.1 0,11.2 48 0,11 48 0)))"\n')
    layer = (
        '<OGRVRTLayer name="tin"><SrcDataSource relativeToVRT="1">tin.csv</SrcDataSource>'
        '<GeometryField encoding="WKT" field="WKT"/><LayerSRS>EPSG:4326</LayerSRS></OGRVRTLayer>'
    )
    return _raw(folder / "tin.vrt", f"<OGRVRTDataSource>{layer}</OGRVRTDataSource>")


@pytest.mark.parametrize(
    "make",
    [
        lambda d: _raw(d / "a.geojson", _ring(CORNERS)),
        lambda d: _raw(d / "a.geojson", _ring(f"{CORNERS}, [NaN, NaN], [11, 48]")),
        lambda d: _raw(d / "a.geojson", _ring(f"{CORNERS}, [1e999, 48], [11, 48]")),
        _tin,
    ],
    ids=["not closed", "nan", "infinite", "triangles"],
)
def test_a_geometry_that_geos_refuses_is_named(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=r"cannot be|holds no polygon") as caught:
        read_aoi(path)
    assert str(path) in str(caught.value)


def test_an_empty_hole_does_not_crash_the_interpreter(tmp_path: Path) -> None:
    """GEOS 3.14 does so when such a polygon is densified, or asked whether it covers another."""
    aoi = read_aoi(_raw(tmp_path / "a.geojson", _ring(f"{CORNERS}, [11, 48]", "")))
    assert shapely.get_num_interior_rings(aoi.geometry) == 0
    assert aoi.to("EPSG:32632").covers(aoi.to("EPSG:32632").centroid)
    assert aoi.geometry.area == pytest.approx(0.005)


def test_longitudes_beyond_180_are_the_same_places(tmp_path: Path) -> None:
    beyond = read_aoi(_geojson(tmp_path / "a.geojson", _geometry(shapely.box(181, 10, 182, 11))))
    assert beyond.lonlat.bounds == (-179, 10, -178, 11)


def test_an_area_that_ends_at_the_antimeridian_stays_on_its_side() -> None:
    """In UTM zone 60; its corners come back from the projection as 180 or -180."""
    edge = Aoi(shapely.box(179.5, -17, 180, -16.5), pyproj.CRS("EPSG:4326"))
    there = Aoi(edge.to("EPSG:32760"), pyproj.CRS("EPSG:32760"))
    west, _, east, _ = there.lonlat.bounds
    assert west == pytest.approx(179.5, abs=1e-3)
    assert east == pytest.approx(180, abs=1e-6)
    assert there.lonlat.area == pytest.approx(0.25, rel=1e-3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.geojson")
    with pytest.raises(InputError, match="pipe"):
        read_aoi(tmp_path / "a.geojson")
    with pytest.raises(InputError, match="pipe"):
        grid_like(tmp_path / "a.geojson")
