"""The benchmark of scenes compares like with like, and counts what a server sends."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from benchmarks import scenes
from benchmarks.scenes import Fetched
from gee_pipeline.stac.composites.reading import OpenFiles


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> scenes.Place:
    folder = tmp_path_factory.mktemp("benchmark") / "scenes"
    return scenes.make_place(folder, block=128, cells=2, scenes=8, cell_size=64)


def test_the_cells_of_the_engine_are_the_scenes_medians(place: scenes.Place, tmp_path: Path) -> None:
    found = scenes.engine(place, tmp_path / "spill")
    with rasterio.open(place.catalog.parent / "items" / "MADE_000" / "B02.tif") as file:
        numbers = file.read(1)[522 : 522 + 128, 522 : 522 + 128].astype(int) - 1_000
    with rasterio.open(place.catalog.parent / "items" / "MADE_000" / "cs.tif") as file:
        clear = file.read(1)[522 : 522 + 128, 522 : 522 + 128] == 90
    expected = np.where(clear, numbers, -9_999)  # the first bin has one scene
    np.testing.assert_array_equal(found[3, 0, 0], expected[64:, 64:])
    assert (found[:, 0] != found[:, 10]).any()


def test_a_method_that_differs_stops_the_benchmark(
    place: scenes.Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes.importlib.util, "find_spec", lambda name: True)
    shape = (len(scenes.RECIPE.window), 10, 128, 128)
    monkeypatch.setattr(scenes, "reference", lambda place: np.zeros(shape, np.int16))
    with pytest.raises(AssertionError, match="differ"):
        scenes.measure(place, tmp_path / "spill", 1)


def test_what_is_fetched_is_little_more_than_the_blocks_of_the_area(
    place: scenes.Place, tmp_path: Path
) -> None:
    fetched = scenes.fetch(place, tmp_path / "spill")
    assert 0.9 * fetched.needed < fetched.bytes
    assert fetched.bytes < fetched.needed + fetched.requests * 16_384  # GDAL asks for whole 16 KiB


def test_nothing_is_fetched_beyond_the_last_cell_of_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL alone reads ahead of blocks that it is asked for one by one."""
    place = scenes.make_place(tmp_path / "scenes", block=64, cells=8, scenes=1, cell_size=64)
    west = place.geobox[:, :256]
    half = replace(place, geobox=west, cells=[cell for cell in place.cells if cell.col < 4])
    rows = scenes.fetch(half, tmp_path / "spill")
    assert rows.bytes < rows.needed + rows.requests * 16_384
    monkeypatch.setattr(OpenFiles, "fetch_row", lambda *_: None)
    one_by_one = scenes.fetch(half, tmp_path / "spill")
    assert rows.bytes < 0.8 * one_by_one.bytes
    assert rows.requests < 0.8 * one_by_one.requests


def test_the_server_answers_ranges_and_counts_them(place: scenes.Place) -> None:
    name = "items/MADE_000/B02.tif"
    with scenes.serving(place.catalog.parent) as (url, sent):
        asked = urllib.request.Request(f"{url}/{name}", headers={"Range": "bytes=10-19"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            content = answer.read()
    assert content == (place.catalog.parent / name).read_bytes()[10:20]
    assert sent == [10]


@pytest.mark.parametrize(
    ("other", "sent", "expected"),
    [
        (66_000.0, (130, 180), []),
        (67_000.0, (130, 180), ["blocks of 1024: not 1.5 times as fast as other"]),
        (25_000.0, (131, 180), ["blocks of 1024: more than 1.3 bytes fetched for each of a block"]),
        (25_000.0, (130, 181), ["blocks of 1024: more than 1.8 bytes fetched for each of an area"]),
    ],
)
def test_limits_that_are_missed_are_named(other: float, sent: tuple[int, int], expected: list[str]) -> None:
    rates = {"cropmap": 100_000.0, "other": other}
    fetched = {name: Fetched(3, count, 100) for name, count in zip(("a block", "an area"), sent, strict=True)}
    assert scenes.missed(1_024, rates, fetched) == expected
    assert "100,000 px/s and core" in scenes.report(1_024, rates, fetched)[0]


def test_an_area_in_blocks_of_cells_fetches_their_borders_twice(place: scenes.Place, tmp_path: Path) -> None:
    whole, split = scenes.fetch(place, tmp_path / "spill"), scenes.fetch(place, tmp_path / "spill", 1)
    assert split.needed == whole.needed
    assert split.bytes > 1.2 * whole.bytes  # four cells in turn, on files whose blocks are larger
    assert split.requests > 1.2 * whole.requests


def test_a_server_gives_the_composites_of_the_disk(place: scenes.Place, tmp_path: Path) -> None:
    with scenes.serving(place.catalog.parent) as (url, sent):
        there = replace(place, catalog=f"{url}/{place.catalog.name}")  # type: ignore[arg-type]
        found = scenes.engine(there, tmp_path / "spill")
    assert sum(sent) > 0
    np.testing.assert_array_equal(found, scenes.engine(place, tmp_path / "spill"))
