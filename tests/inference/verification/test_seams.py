"""Changes of class at borders of cells and inside, counted by loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from inference.verification.seams import HIGHEST, Changes, class_changes

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def changes_of(codes: NDArray[np.uint8], size: int, folder: Path) -> tuple[Changes, Changes]:
    height, width = codes.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8"}
    with rasterio.open(folder / "map.tif", "w", **profile) as file:
        file.write(codes, 1)
    with rasterio.open(folder / "map.tif") as file:
        return class_changes(file, size)


def test_neighbours_are_counted_by_their_place_in_a_cell(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).choice(np.array([0, 1, 2, 3, 254, 255], np.uint8), (21, 26))
    found = changes_of(codes, 8, tmp_path)
    for axis, one in ((1, found[0]), (0, found[1])):
        turned = np.moveaxis(codes, axis, 0)
        pairs, changes = np.zeros(8, int), np.zeros(8, int)
        for at in range(1, len(turned)):
            for a, b in zip(turned[at - 1], turned[at], strict=True):
                if 0 < a < 254 and 0 < b < 254:
                    pairs[at % 8] += 1
                    changes[at % 8] += a != b
        assert one.pairs.tolist() == pairs.tolist()
        assert one.changes.tolist() == changes.tolist()


def fields(seed: int) -> NDArray[np.uint8]:
    """512 x 512 pixels of fields of many sizes, whose borders have nothing to do with cells."""
    rng = np.random.default_rng(seed)
    codes = np.ones((512, 512), np.uint8)
    for _ in range(4_000):
        top, left = rng.integers(0, 512, 2)
        height, width = rng.integers(5, 30, 2)
        codes[top : top + height, left : left + width] = rng.integers(1, 6)
    return codes


@pytest.mark.parametrize("seed", range(12))
def test_a_map_without_seams_has_none(seed: int, tmp_path: Path) -> None:
    for one in changes_of(fields(seed), 64, tmp_path):
        assert one.deviations is not None
        assert one.deviations <= HIGHEST


def test_cells_of_their_own_show(tmp_path: Path) -> None:
    codes = fields(1)
    codes[:, 64:128] = codes[:, 64:128] % 5 + 1  # one column of cells was made with something else
    across, down = changes_of(codes, 64, tmp_path)
    assert across.deviations is not None
    assert across.deviations > HIGHEST
    assert down.deviations is not None
    assert down.deviations <= HIGHEST


def test_of_few_neighbours_nothing_is_said(tmp_path: Path) -> None:
    for one in changes_of(fields(1)[:40, :40], 32, tmp_path):
        assert one.deviations is None
