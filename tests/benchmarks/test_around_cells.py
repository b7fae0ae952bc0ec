"""The benchmark of what is around the cells maps a run without work, and names limits that are missed."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from benchmarks.around_cells import Measured, made_bands, measure, report


@pytest.mark.slow
def test_the_made_country_is_mapped(tmp_path: Path) -> None:
    found = measure(tmp_path / "run", 20)
    assert set(found.cpu) == {"resume", "verify and write", "overviews, COGs, report"}
    assert found.peak > 0
    with rasterio.open(tmp_path / "run" / "map" / "crop_map.tif") as raster:
        assert raster.shape == (6 * 256, 6 * 256)
        np.testing.assert_array_equal(raster.read(1)[:256, :256], made_bands(0)[0])
        assert not raster.read(1)[:256, 256:].any()  # the triangle leaves half of its box empty


def test_limits_that_are_missed_are_named() -> None:
    found = Measured(100, {"one": 0.5, "two": 0.2}, {"resume": 0.05}, 2**31)
    assert [text.split()[0] for text in found.missed] == ["CPU", "memory"]
    assert "7.00 ms of CPU a cell" in report(found)
    assert Measured(100, {"one": 0.5}, {"resume": 0.01}, 2**20).missed == []
