"""Which source pixel is nearest, against GDAL's own warp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from gee_pipeline.stac.composites import reading
from gee_pipeline.stac.composites.nearest import look_up
from gee_pipeline.stac.composites.reading import read_bands
from tests.support.fake_catalog import LEFT, TOP, UTM32, Layer, cell_at


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    left=st.integers(-300, 300),
    top=st.integers(-300, 300),
    resolution=st.sampled_from([10, 20, 60]),
    kind=st.sampled_from(["uint8", "uint16", "int16", "float32"]),
)
def test_rows_and_columns_say_the_same_as_a_warp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, top: int, resolution: int, kind: str
) -> None:
    values = np.random.default_rng([left + 300, top + 300]).integers(0, 120, (40, 40)).astype(kind)
    if resolution == 10:  # a grid of 10 m that is shifted by part of a pixel is never warped
        left, top = left // 10 * 10, top // 10 * 10
    layer = Layer(values, LEFT + left, TOP + top, resolution, nodata=7)
    path, geobox = tmp_path / "layer.tif", cell_at().geobox
    layer.write(path)
    reading._profiles.clear()
    found = read_bands(str(path), [1], geobox)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "look_up", lambda source, cell: None)
        warped = read_bands(str(path), [1], geobox)
    np.testing.assert_array_equal(found, warped)
    nearest, there = layer.nearest(geobox)
    half_way = any(((5 + 10 * np.arange(24) - by) % resolution == 0).any() for by in (left, -top))
    if not half_way:  # else either is the nearest
        np.testing.assert_array_equal(found[0], np.where(there & (nearest != 7), nearest, np.nan))


def box(transform: Affine, crs: str = UTM32) -> GeoBox:
    return GeoBox((40, 40), transform, crs)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(box(Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32633"), id="another CRS"),
        pytest.param(box(Affine(10, 2, LEFT, 2, -10, TOP)), id="turned"),
        pytest.param(box(Affine(10, 0, LEFT, 0, 10, TOP - 400)), id="south up"),
        pytest.param(box(Affine(20, 0, LEFT + 5, 0, -20, TOP)), id="a centre on an edge"),
        pytest.param(box(Affine(5, 0, LEFT, 0, -5, TOP)), id="finer"),
    ],
)
def test_what_is_no_matter_of_rows_and_columns_is_left_to_the_warp(source: GeoBox) -> None:
    assert look_up(source, cell_at().geobox) is None


def test_a_cell_beside_the_file_needs_no_pixel() -> None:
    found = look_up(box(Affine(20, 0, LEFT + 50_000, 0, -20, TOP)), cell_at().geobox)
    assert found is not None
    assert found.window is None
