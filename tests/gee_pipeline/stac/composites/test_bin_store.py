"""Bins on the disk come back by cell; what was not kept is nodata."""

from pathlib import Path

import numpy as np

from gee_pipeline.stac.composites.bin_store import BinStore


def test_bins_come_back_by_cell_and_the_others_are_nodata(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 9_000, (2, 3, 4, 5, 5)).astype(np.int16)
    with BinStore(tmp_path / "folder") as store:
        for place in (2, 0):
            for cell in (0, 1):
                store.put(cell, place, values[cell, place])
        out = np.empty((3, 4, 5, 5), np.int16)
        for cell in (1, 0):
            store.read(cell, out)
            np.testing.assert_array_equal(out[[0, 2]], values[cell][[0, 2]])
            assert (out[1] == -9999).all()


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    with BinStore(tmp_path) as store:
        store.put(0, 0, np.zeros((1, 8, 8), np.int16))
    assert list(tmp_path.iterdir()) == []
