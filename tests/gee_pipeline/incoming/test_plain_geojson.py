"""What is read without GDAL is what GDAL reads; everything else is left to it."""

import json
import math
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from gee_pipeline.incoming.plain_geojson import plain_polygons

RING = [[11, 48], [11.1, 48.000000001], [11.1, 48.1], [11, 48]]
HOLE = [[11.08, 48.05], [11.09, 48.05], [11.09, 48.06], [11.08, 48.05]]
POLYGON = {"type": "Polygon", "coordinates": [RING, HOLE]}
PARTS = {"type": "MultiPolygon", "coordinates": [[RING], [HOLE]]}
CRS84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}


def _feature(geometry: Any, **members: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"name": "ä"}, "geometry": geometry, **members}


def _collection(*features: Any, **members: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), **members}


def _by_gdal(folder: Path, values: Any) -> geopandas.GeoDataFrame:
    (folder / "a.geojson").write_text(json.dumps(values))
    return geopandas.read_file(folder / "a.geojson")


def _ring(*corners: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(corners)]}


@pytest.mark.parametrize(
    "values",
    [
        POLYGON,
        PARTS,
        _feature(POLYGON, id=7, bbox=[11, 48, 11.1, 48.1]),
        _collection(),
        _collection(_feature(POLYGON), _feature(PARTS), name="fields", crs=CRS84),
        _ring([11, 48], [11.2, 48.2], [11.2, 48], [11, 48.2], [11, 48]),  # it crosses itself
        {"type": "Polygon", "coordinates": []},
    ],
)
def test_plain_polygons_are_those_that_gdal_reads(tmp_path: Path, values: Any) -> None:
    expected, found = _by_gdal(tmp_path, values), plain_polygons(values)
    assert found is not None
    assert [g.wkb for g in found] == [g.wkb for g in expected.geometry]
    assert expected.crs.to_epsg() == 4326


def test_numbers_of_any_length_are_read_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    corners = [
        f"[{x:.{digits}f}, {x / 2:.{digits}e}]"
        for x, digits in zip(rng.uniform(-170, 170, 2_000), rng.integers(1, 22, 2_000), strict=True)
    ]
    text = f'{{"type": "Polygon", "coordinates": [[{", ".join([*corners, corners[0]])}]]}}'
    (tmp_path / "a.geojson").write_text(text)
    found, expected = plain_polygons(json.loads(text)), geopandas.read_file(tmp_path / "a.geojson").geometry
    assert found is not None
    np.testing.assert_array_equal(shapely.get_coordinates(found), shapely.get_coordinates(expected))


@pytest.mark.parametrize(
    "values",
    [
        _collection(_feature(POLYGON), crs={"type": "name", "properties": {"name": "EPSG:32632"}}),
        _feature({**POLYGON, "crs": {"type": "name", "properties": {"name": "EPSG:32632"}}}),
        _feature(None, place=POLYGON, coordRefSys="[EPSG:32632]"),
        _feature(None),
        _collection(_feature(POLYGON), _feature({"type": "Point", "coordinates": [11, 48]})),
        _collection(POLYGON),  # no feature
        _ring(*RING[:3]),  # not closed
        _ring(RING[0], RING[1], RING[0]),  # two corners
        _ring(*([*corner, 500] for corner in RING)),  # heights
        _ring(["11", 48], *RING[1:3], ["11", 48]),
        _ring([True, 48], *RING[1:3], [True, 48]),
        _ring([math.nan, 48], *RING[1:3], [math.nan, 48]),
        _ring([11, math.inf], *RING[1:3], [11, math.inf]),
        _ring([11, 10**400], *RING[1:3], [11, 10**400]),
        {"type": "Polygon", "coordinates": [RING, []]},
        {"type": "Topology", "objects": {}},
        {"type": ["Polygon"]},
        {"type": "Polygon"},
        [POLYGON],
        "Polygon",
        None,
    ],
)
def test_anything_else_is_left_to_gdal(values: Any) -> None:
    assert plain_polygons(values) is None
