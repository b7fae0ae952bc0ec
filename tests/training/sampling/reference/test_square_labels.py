"""Blocks of a lattice and borders cut away, against a distance transform."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from odc.geo.geobox import GeoBox

from training.sampling.reference import square_labels
from training.sampling.reference.square_labels import blocks, pure_at_points
from training.sampling.squares.grid import SampleCell

LATTICE = SampleCell(3503, -9125, 600).lattice(60)


def ten_metres(box: GeoBox, margin: int = 0) -> tuple[float, float]:
    """North-west corner of the 10 m pixel at the first centre, some pixels further out."""
    x, y = box.transform * (0.5, 0.5)
    return x - 5 - 10 * margin, y + 5 + 10 * margin


@pytest.mark.parametrize("size", [7, 30, 2048])
def test_blocks_hold_every_point_once_at_its_place(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(square_labels, "BLOCK", size)
    seen = np.zeros(LATTICE.shape, int)
    x, y = np.full(LATTICE.shape, np.nan), np.full(LATTICE.shape, np.nan)
    for block in blocks(LATTICE, 60, 45):
        seen[block.rows, block.cols] += 1
        rows, cols = np.mgrid[: block.geobox.shape[0], : block.geobox.shape[1]] + 0.5
        across, down = block.geobox.transform * (cols, rows)
        x[block.rows, block.cols] = block.at_points(across)
        y[block.rows, block.cols] = block.at_points(down)
        assert max(block.geobox.shape) <= max(size, 1) + 2 * 4
        assert (block.geobox.transform.c % 10, block.geobox.transform.f % 10) == (0, 0)
    assert (seen == 1).all()
    rows, cols = np.mgrid[: LATTICE.shape[0], : LATTICE.shape[1]] + 0.5
    across, down = LATTICE.transform * (cols, rows)
    np.testing.assert_allclose(x, across)
    np.testing.assert_allclose(y, down)


@pytest.mark.parametrize("metres", [0, 9, 10, 20, 45, 60, 100])
def test_a_point_keeps_its_class_where_all_within_the_buffer_have_it(metres: float) -> None:
    rng = np.random.default_rng(3)
    found, expected = [], []
    for block in blocks(LATTICE, 60, metres):
        height, width = block.geobox.shape
        fields = rng.choice([0, 1, 4, 7], (height // 31 + 1, width // 31 + 1))
        codes = fields.repeat(31, 0).repeat(31, 1)[:height, :width].astype(np.uint8)
        found.append(pure_at_points(codes, block, metres))
        away = np.zeros(codes.shape, np.uint8)
        for code in (1, 4, 7):
            distance = scipy.ndimage.distance_transform_edt(codes == code, sampling=10)
            away[distance > metres + 1e-6 if metres >= 10 else distance > 0] = code
        expected.append(block.at_points(away))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum((one > 0).sum() for one in found) > 0
