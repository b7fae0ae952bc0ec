"""Vector files that hold more, less or something else than one layer of polygons."""

import json
import os
from pathlib import Path

import geopandas
import pyproj
import pytest
import shapely

from gee_pipeline.errors import InputError
from gee_pipeline.vector_file import read_vectors

FIELD = shapely.box(11.0, 48.0, 11.1, 48.1)
REGION = shapely.box(10.0, 47.0, 12.0, 49.0)


def _layers(path: Path, **geometries: shapely.Geometry) -> Path:
    for name, geometry in geometries.items():
        geopandas.GeoDataFrame(geometry=[geometry], crs=4326).to_file(path, layer=name)
    return path


def _shapefile(folder: Path) -> Path:
    geopandas.GeoDataFrame({"name": ["ä"]}, geometry=[REGION], crs=4326).to_file(folder / "a.shp")
    return folder / "a.shp"


def test_of_several_layers_none_is_chosen_unasked(tmp_path: Path) -> None:
    path = _layers(tmp_path / "a.gpkg", fields=FIELD, region=REGION)
    with pytest.raises(InputError, match=r"2 layers: fields, region\. .* --layer region"):
        read_vectors(path)


@pytest.mark.parametrize(("name", "expected"), [("fields", FIELD), ("region", REGION)])
def test_the_layer_that_is_named_is_read(tmp_path: Path, name: str, expected: shapely.Geometry) -> None:
    path = _layers(tmp_path / "a.gpkg", fields=FIELD, region=REGION)
    assert read_vectors(path, name).geometries == (expected,)


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = _layers(tmp_path / "a.gpkg", fields=FIELD, region=REGION)
    with pytest.raises(InputError, match="no layer 'fild'; it has fields, region"):
        read_vectors(path, "fild")


def test_a_layer_of_points_is_no_choice(tmp_path: Path) -> None:
    path = _layers(tmp_path / "a.gpkg", wells=shapely.Point(11, 48), region=REGION)
    assert read_vectors(path).geometries == (REGION,)


@pytest.mark.parametrize("encoding", ["FOO-99", "UTF-16", ""])
def test_names_in_a_wrong_encoding_do_not_matter(tmp_path: Path, encoding: str) -> None:
    path = _shapefile(tmp_path)
    path.with_suffix(".cpg").write_text(encoding)
    assert read_vectors(path).geometries[0].equals(REGION)


def test_an_area_in_latin_1_is_read(tmp_path: Path) -> None:
    feature = {
        "type": "Feature",
        "properties": {"name": "ä"},
        "geometry": json.loads(shapely.to_geojson(REGION)),
    }
    (tmp_path / "a.geojson").write_bytes(json.dumps(feature, ensure_ascii=False).encode("latin-1"))
    assert read_vectors(tmp_path / "a.geojson").geometries[0].equals(REGION)


@pytest.mark.parametrize(
    ("name", "layer", "text", "by_gdal"),
    [
        ("a.geojson", None, "{}", False),
        ("a.JSON", None, "\ufeff{}", False),  # the mark with which some editors begin a text
        ("a.geojson", "a", "{}", True),
        ("a.txt", None, "{}", True),
        ("a.geojson", None, "{}" + " " * 2**24, True),
    ],
)
def test_plain_geojson_is_read_without_gdal(
    tmp_path: Path, monkeypatch, name: str, layer: str | None, text: str, by_gdal: bool
) -> None:
    path, asked = tmp_path / name, []
    path.write_text(text.replace("{}", shapely.to_geojson(REGION)), encoding="utf-8")
    read = geopandas.read_file
    monkeypatch.setattr("geopandas.read_file", lambda *a, **k: asked.append(a) or read(*a, **k))
    found = read_vectors(path, layer)
    assert (found.geometries, found.crs) == ((REGION,), pyproj.CRS("EPSG:4326"))
    assert bool(asked) is by_gdal


@pytest.mark.parametrize("text", ["[" * 5_000, "type", ""])
def test_what_is_no_json_is_left_to_gdal_which_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(InputError, match="cannot be read as vectors"):
        read_vectors(tmp_path / "a.geojson")


def _without_shx(folder: Path) -> Path:
    path = _shapefile(folder)
    path.with_suffix(".shx").unlink()
    return path


def _parquet(folder: Path) -> Path:
    geopandas.GeoDataFrame(geometry=[REGION], crs=4326).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def _utf_16(folder: Path) -> Path:
    (folder / "a.geojson").write_text(shapely.to_geojson(REGION), encoding="utf-16")
    return folder / "a.geojson"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_without_shx, "lacks a.shx"),
        (lambda folder: _shapefile(folder).with_suffix(".dbf"), "part of a Shapefile. Give a.shp"),
        (_parquet, "GeoParquet"),
        (_utf_16, "UTF-16"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_vectors(make(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("part", [".shp", ".shx", ".dbf", ".prj", ".cpg"])
def test_a_part_of_a_shapefile_that_is_a_pipe_is_refused_without_waiting(tmp_path: Path, part: str) -> None:
    path = _shapefile(tmp_path)
    path.with_suffix(part).unlink()
    os.mkfifo(path.with_suffix(part))
    with pytest.raises(InputError, match=rf"a\{part} is not a file, but a pipe or a device"):
        read_vectors(path)
