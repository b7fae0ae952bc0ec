import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites.blocks import Block, cell_of_file, file_prefix, plan_blocks
from gee_pipeline.grid import Grid

places = st.sets(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=150)


def as_cells(chosen: set[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted(chosen), np.int32)


def covered(block: Block) -> set[tuple[int, int]]:
    return {
        (row, col)
        for row in range(block.row, block.row + block.rows)
        for col in range(block.col, block.col + block.cols)
    }


def files_of(block: Block, size: int) -> list[str]:
    """The names Earth Engine gives: the first row and column of pixels, ten digits each."""
    return [
        f"cropmap-0a1b-{block.name}-{top:010d}-{left:010d}.tif"
        for top in range(0, block.rows * size, size)
        for left in range(0, block.cols * size, size)
    ]


@given(chosen=places, side=st.integers(1, 9))
def test_each_planned_cell_lies_in_exactly_one_block(chosen: set[tuple[int, int]], side: int) -> None:
    blocks = plan_blocks(as_cells(chosen), side)
    for cell in chosen:
        assert sum(cell in covered(block) for block in blocks) == 1
    for block in blocks:
        held = covered(block) & chosen
        assert 1 <= block.rows <= side
        assert 1 <= block.cols <= side
        # clipped: a planned cell touches each of the four sides
        assert {r for r, _ in held} >= {block.row, block.row + block.rows - 1}
        assert {c for _, c in held} >= {block.col, block.col + block.cols - 1}


@given(chosen=places, data=st.data())
def test_blocks_that_are_quartered_again_and_again_still_hold_each_cell_once(
    chosen: set[tuple[int, int]], data: st.DataObject
) -> None:
    cells = as_cells(chosen)
    blocks = plan_blocks(cells)
    for _ in range(data.draw(st.integers(1, 12))):
        parent = blocks.pop(data.draw(st.integers(0, len(blocks) - 1)))
        children = parent.quarters(cells)
        assert len(children) <= 4
        assert len(children) == 1 or all(len(c.cells(cells)) < len(parent.cells(cells)) for c in children)
        blocks += children
    held = [tuple(cell) for block in blocks for cell in block.cells(cells).tolist()]
    assert sorted(held) == sorted(chosen)


@given(chosen=places, size=st.sampled_from([32, 256]))
def test_each_planned_cell_is_exactly_one_file(chosen: set[tuple[int, int]], size: int) -> None:
    found = [
        cell_of_file(name, size) for block in plan_blocks(as_cells(chosen)) for name in files_of(block, size)
    ]
    cells = [place[1] for place in found if place]
    assert len(cells) == len(found) == len(set(cells))
    assert chosen <= set(cells)


def test_the_quarters_of_a_single_cell_are_itself() -> None:
    assert Block(3, 4, 1, 1).quarters(as_cells({(3, 4)})) == [Block(3, 4, 1, 1)]


def test_a_file_of_an_image_that_was_not_cut_is_its_first_cell() -> None:
    assert cell_of_file("cropmap-0a1b-r0002_c0005_1x1.tif", 256) == (Block(2, 5, 1, 1), (2, 5))


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "crop_map.tif",
        "cropmap-0a1b-r0002_c0005_1x1.tif.aux.xml",
        "cropmap-0a1b-r0002_c0005_1x1-0000000256-0000000000.tif",  # beyond the block
        "cropmap-0a1b-r0002_c0005_2x2-0000000100-0000000000.tif",  # no multiple of the cell size
    ],
)
def test_other_files_are_no_cells(name: str) -> None:
    assert cell_of_file(name, 256) is None


def test_a_block_lies_where_its_cells_lie() -> None:
    grid = Grid(GeoBox((40 * 32, 50 * 32), Affine(10, 0, 640_000, 0, -10, 3_840_000), "EPSG:32615"), 32)
    geobox = Block(3, 7, 2, 5).geobox(grid)
    assert geobox.shape == (64, 160)
    assert geobox.transform == Affine(10, 0, 640_000 + 7 * 320, 0, -10, 3_840_000 - 3 * 320)


def test_names_of_blocks_sort_as_text_and_come_back() -> None:
    block = Block(12, 345, 8, 5)
    assert block.name == "r0012_c0345_8x5"
    assert Block.named(block.name) == block
    assert file_prefix("0a1b", block) == "cropmap-0a1b-r0012_c0345_8x5"
    assert file_prefix("0a1b", block).startswith(file_prefix("0a1b"))
    with pytest.raises(ValueError, match="not the name of a block"):
        Block.named("r1_c2")
