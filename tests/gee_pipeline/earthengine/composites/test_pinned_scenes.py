"""Lists of scenes that a run keeps: asked for once a block, whatever grid, order and number of cells."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import product
from pathlib import Path

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites import pinned_scenes as module
from gee_pipeline.earthengine.composites.block_scenes import SIDE
from gee_pipeline.earthengine.composites.pinned_scenes import PinnedScenes
from gee_pipeline.earthengine.composites.scene_list import ListedScene, Scenes
from gee_pipeline.grid import Cell
from gee_pipeline.season import TimeBin

SPAN = TimeBin(date(2021, 5, 1), date(2021, 6, 1))
SENSORS = ("sentinel-2",)
LEFT, TOP = 500_000.3, 5_000_000.7  # of a grid that is that of a raster


def cell(row: int, col: int, left: float = LEFT, size: int = 8) -> Cell:
    corner = Affine(10, 0, left + 10 * size * col, 0, -10, TOP - 10 * size * row)
    return Cell(row, col, GeoBox((size, size), corner, "EPSG:32632"))


class Survey:
    """Lists one scene a row of cells, named by its place, and one that touches everything."""

    def __init__(self) -> None:
        self.boxes: list[GeoBox] = []

    def __call__(self, box: GeoBox, parts: Sequence[GeoBox], span: TimeBin) -> list[Scenes]:
        self.boxes.append(box)
        assert len(parts) == SIDE**2
        return [
            {"sentinel-2": (ListedScene(1, "all"), ListedScene(2, f"{part.affine.f:.1f}"))} for part in parts
        ]


def names(scenes: Scenes) -> list[str]:
    return [scene.index for scene in scenes["sentinel-2"]]


def all_cells(rows: int, cols: int) -> Iterator[Cell]:
    return (cell(row, col) for row, col in product(range(rows), range(cols)))


def test_each_block_is_asked_for_once_and_each_cell_has_its_own_scenes() -> None:
    survey, pinned = Survey(), PinnedScenes()
    for one in all_cells(5, 9):
        assert names(pinned.of([one], SPAN, SENSORS, survey)) == ["all", f"{one.geobox.affine.f:.1f}"]
    assert len(survey.boxes) == 2 * 3
    assert all(box.shape == (8 * SIDE, 8 * SIDE) for box in survey.boxes)
    assert survey.boxes[0].affine.almost_equals(cell(0, 0).geobox.affine, precision=1e-6)


def test_cells_of_several_blocks_have_the_scenes_of_all_of_them() -> None:
    survey, pinned = Survey(), PinnedScenes()
    found = names(pinned.of(all_cells(5, 2), SPAN, SENSORS, survey))
    assert found == ["all", *sorted({f"{cell(row, 0).geobox.affine.f:.1f}" for row in range(5)})]
    assert len(survey.boxes) == 2


def test_blocks_of_two_grids_are_not_mixed_up() -> None:
    survey, pinned = Survey(), PinnedScenes()
    for left in (LEFT, LEFT + 40_000, LEFT):
        pinned.of([cell(0, 0, left)], SPAN, SENSORS, survey)
    assert len(survey.boxes) == 2


def test_lists_beyond_the_memory_are_read_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 2)
    survey, pinned = Survey(), PinnedScenes(tmp_path)
    for _ in range(2):
        for one in all_cells(1, 20):
            pinned.of([one], SPAN, SENSORS, survey)
    assert len(survey.boxes) == 5
    assert len(pinned._known) == 2
    assert len(list((tmp_path / "scenes").glob("*.json"))) == 5


def test_it_travels_without_what_it_remembers(tmp_path: Path) -> None:
    survey, pinned = Survey(), PinnedScenes(tmp_path)
    small = len(pickle.dumps(pinned))
    pinned.of(all_cells(8, 8), SPAN, SENSORS, survey)
    assert len(pickle.dumps(pinned)) == small < 500
    again = pickle.loads(pickle.dumps(pinned))
    again.of(all_cells(8, 8), SPAN, SENSORS, survey)
    assert len(survey.boxes) == 4


def test_only_blocks_that_list_a_scene_are_surveyed_again() -> None:
    survey, pinned = Survey(), PinnedScenes()
    cells = list(all_cells(8, 4))
    pinned.of(cells, SPAN, SENSORS, survey)
    lower = f"{cell(6, 0).geobox.affine.f:.1f}"
    again = pinned.survey_again(cells, lower, SPAN, SENSORS, survey)
    assert [block.name for block in again] == ["r0004_c0000_4x4"]
    assert pinned.survey_again(cells, "unheard of", SPAN, SENSORS, survey) == []
    assert len(survey.boxes) == 3
