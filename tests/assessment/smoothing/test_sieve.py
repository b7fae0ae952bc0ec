"""The sieve strip by strip is GDAL's on the whole array at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio.features
from numpy.typing import NDArray

from assessment.smoothing.sieve import sieve


def by_strips(
    codes: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    least: int,
    folder: Path,
    rows: int,
    connectivity: int = 4,
) -> NDArray[np.uint8]:
    def strips() -> Iterator[NDArray[np.uint8]]:
        return (codes[top : top + rows].copy() for top in range(0, len(codes), rows))

    return np.concatenate(list(sieve(strips, classes, least, folder, connectivity=connectivity)))


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("seed", range(20))
def test_every_strip_is_as_gdal_has_the_whole(seed: int, connectivity: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, rng.integers(3, 6), (31, 23)).astype(np.uint8)
    if seed % 2:
        codes = np.kron(codes, np.ones((2, 3), np.uint8))  # larger parts
    codes[rng.random(codes.shape) < 0.05] = 255
    classes, least = np.array([1, 2, 3, 4], np.uint8), int(rng.integers(2, 12))
    mask = np.isin(codes, classes)
    expected = rasterio.features.sieve(codes, least, mask=mask, connectivity=connectivity)
    found = by_strips(codes, classes, least, tmp_path, int(rng.integers(1, 9)), connectivity)
    assert np.array_equal(found, expected)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_exactly_the_size_stays(tmp_path: Path) -> None:
    codes = np.ones((6, 6), np.uint8)
    codes[1, 1:4] = 2
    codes[4, 1:3] = 3
    expected = np.where(codes == 3, 1, codes)
    assert np.array_equal(by_strips(codes, np.array([1, 2, 3], np.uint8), 3, tmp_path, 2), expected)


def test_small_parts_without_a_large_neighbour_stay(tmp_path: Path) -> None:
    codes = np.array([[1, 2, 0, 3, 0, 1]], np.uint8)
    assert np.array_equal(by_strips(codes, np.array([1, 2, 3], np.uint8), 2, tmp_path, 1), codes)


def test_a_map_without_a_class_stays(tmp_path: Path) -> None:
    codes = np.full((4, 4), 255, np.uint8)
    assert np.array_equal(by_strips(codes, np.array([1], np.uint8), 5, tmp_path, 3), codes)
