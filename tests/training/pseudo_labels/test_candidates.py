"""Candidates are found block by block; a slow loop over all pixels at once says which there must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.errors import IncompleteRunError
from gee_pipeline.grid import Cell
from inference.run.plan import load_plan
from tests.support.pseudo_place import NAMES, SIZE, made_checkpoint, overwrite, planned
from training.pseudo_labels import candidates
from training.pseudo_labels.candidates import (
    CANDIDATE,
    Reserve,
    Scan,
    confidence_limits,
    one_a_square,
    priorities,
    require_finished,
    reserve_size,
    scan,
)
from training.pseudo_labels.rules import PseudoRules
from training.pseudo_labels.statistics import Stage, StageCounts

pytestmark = pytest.mark.slow

ROWS, COLS = 2 * SIZE, 3 * SIZE


def made_layers(seed: int = 0) -> NDArray[np.uint8]:
    """Fields of 5 pixels of every code, with speckle; cell 0, 2 is not planned."""
    rng = np.random.default_rng(seed)
    fields = rng.choice(np.array([0, 1, 2, 3, 3, 254, 255], np.uint8), (ROWS // 5 + 1, COLS // 5 + 1))
    codes = fields.repeat(5, 0).repeat(5, 1)[:ROWS, :COLS]
    codes = np.where(rng.random(codes.shape) < 0.03, np.uint8(2), codes)
    confidence = rng.integers(30, 101, codes.shape).astype(np.uint8)
    clear = rng.integers(3, 13, codes.shape).astype(np.uint8)
    layers = np.stack([codes, confidence, clear])
    layers[1, (codes == 0) | (codes > 3)] = 255
    layers[2, (codes == 0) | (codes == 254)] = 255
    layers[:, :SIZE, 2 * SIZE :] = 0
    return layers


@pytest.fixture(scope="module")
def layers() -> NDArray[np.uint8]:
    return made_layers()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, layers: NDArray[np.uint8]) -> Path:
    run = tmp_path_factory.mktemp("candidates") / "run"
    planned(run, made_checkpoint())
    overwrite(run, layers)
    return run


class Truth:
    """A reference that is one array over the whole grid."""

    def __init__(self, values: NDArray[np.uint8], whole: GeoBox) -> None:
        self.values, self.whole = values, whole

    def read(self, geobox: GeoBox) -> NDArray[np.uint8]:
        top = round((self.whole.transform.f - geobox.transform.f) / 10)
        left = round((geobox.transform.c - self.whole.transform.c) / 10)
        height, width = geobox.shape
        return self.values[top : top + height, left : left + width]

    def describe(self) -> dict[str, Any]:
        return {}


def slow_stages(
    layers: NDArray[np.uint8], rules: PseudoRules, composites: frozenset[str], limits: dict[int, float]
) -> dict[Stage, set[tuple[int, int]]]:
    """Pixels `(row, column)` that are left after each rule."""
    codes, confidence, clear = layers.astype(int)
    stages: dict[Stage, set[tuple[int, int]]] = {stage: set() for stage in Stage}
    for y in range(ROWS):
        for x in range(COLS):
            code = codes[y, x]
            if not 1 <= code <= 3:
                continue
            around = [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
            alike = sum(0 <= r < ROWS and 0 <= c < COLS and codes[r, c] == code for r, c in around)
            passed = [
                (Stage.MAPPED, True),
                (Stage.COMPOSITE, f"r{y // SIZE:04d}_c{x // SIZE:04d}" in composites),
                (Stage.CONFIDENCE, confidence[y, x] >= limits[code]),
                (Stage.CLEAR, clear[y, x] >= (3 if rules.min_clear is None else rules.min_clear)),
                (Stage.NEIGHBOURS, alike >= rules.neighbours),
            ]
            for stage, holds in passed:
                if not holds:
                    break
                stages[stage].add((y, x))
    stages[Stage.SQUARE] = slow_squares(stages[Stage.NEIGHBOURS], codes, rules)
    return stages


def slow_squares(left: set[tuple[int, int]], codes: Any, rules: PseudoRules) -> set[tuple[int, int]]:
    """The pixel with the least random number of each class in each square of each cell."""
    side, best = rules.spacing // 10, {}
    draws = {}
    for row in range(2):
        for col in range(3):
            draws[row, col] = np.random.default_rng([rules.seed, row, col]).random((SIZE, SIZE))
    for y, x in left:
        row, col, v, u = y // SIZE, x // SIZE, y % SIZE, x % SIZE
        key = (row, col, v // side, u // side, codes[y, x])
        best[key] = min(best.get(key, (2.0, (0, 0))), (draws[row, col][v, u], (y, x)))
    return {place for _, place in best.values()}


def run_scan(
    folder: Path, rules: PseudoRules, composites: frozenset[str], truth: NDArray[np.uint8] | None = None
) -> tuple[Scan, StageCounts]:
    plan, stage_counts = load_plan(folder), StageCounts(len(NAMES))
    reference = None if truth is None else Truth(truth, plan.grid.geobox)
    return scan(folder, plan, rules, stage_counts, composites=composites, reference=reference), stage_counts


def places(found: Scan) -> set[tuple[int, int]]:
    return {
        (int(one["row"]) * SIZE + int(one["y"]), int(one["col"]) * SIZE + int(one["x"]))
        for code in (1, 2, 3)
        for one in found.reserve.of(code)
    }


ALL = frozenset(f"r{row:04d}_c{col:04d}" for row in range(2) for col in range(3))


@pytest.mark.parametrize("block", [SIZE, 2 * SIZE, 4_096])  # one cell, four cells, all in one
@pytest.mark.parametrize(
    ("rules", "composites"),
    [
        (PseudoRules(confidence=0, spacing=10), ALL),
        (PseudoRules(confidence=60, neighbours=5, min_clear=6, spacing=40), ALL),
        (PseudoRules(confidence=0, neighbours=0, spacing=60, seed=3), ALL - {"r0000_c0001"}),
    ],
)
def test_each_rule_leaves_what_a_loop_over_pixels_leaves(
    folder: Path,
    layers: NDArray[np.uint8],
    rules: PseudoRules,
    composites: frozenset[str],
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "BLOCK", block)
    truth = np.random.default_rng(9).choice(np.array([0, 1, 2, 3, 254], np.uint8), (ROWS, COLS))
    found, stage_counts = run_scan(folder, rules, composites, truth)
    stages = slow_stages(layers, rules, composites, dict.fromkeys((1, 2, 3), rules.confidence))
    for stage in list(Stage)[:6]:
        wanted = [sum(layers[0][place] == code for place in stages[stage]) for code in (1, 2, 3)]
        assert stage_counts.left(stage).tolist() == wanted, stage
        known = [place for place in stages[stage] if truth[place]]
        wrong = sum(truth[place] != layers[0][place] for place in known)
        assert (stage_counts.noise(stage).compared, stage_counts.noise(stage).wrong) == (len(known), wrong)
    assert places(found) == stages[Stage.SQUARE]
    assert found.cells == len({(y // SIZE, x // SIZE) for y, x in stages[Stage.SQUARE]})
    for name, code in zip(NAMES, (1, 2, 3), strict=True):
        of_class = [p for p in stages[Stage.NEIGHBOURS] if layers[0][p] == code and truth[p]]
        noise = stage_counts.noise_by_class(Stage.NEIGHBOURS, NAMES)[name]
        assert (noise.compared, noise.wrong) == (len(of_class), sum(truth[p] != code for p in of_class))


def test_candidates_carry_what_the_map_says_of_them(folder: Path, layers: NDArray[np.uint8]) -> None:
    truth = np.full((ROWS, COLS), 2, np.uint8)
    found, _ = run_scan(folder, PseudoRules(confidence=50, neighbours=3), ALL, truth)
    for one in found.reserve.of(3):
        y, x = int(one["row"]) * SIZE + int(one["y"]), int(one["col"]) * SIZE + int(one["x"])
        assert (one["code"], one["confidence"], one["clear"]) == tuple(layers[:, y, x])
        window = layers[0, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        assert one["alike"] == (window == 3).sum() - 1
        assert one["truth"] == 2


def test_the_surest_of_each_class_pass_beside_the_common_limit(
    folder: Path, layers: NDArray[np.uint8]
) -> None:
    plan, rules = load_plan(folder), PseudoRules(confidence=95, best_share=20)
    limits = confidence_limits(folder, plan, rules)
    for code in (1, 2, 3):
        values = layers[1][layers[0] == code].astype(int)
        own = max(limit for limit in range(101) if (values >= limit).sum() >= 0.2 * len(values))
        assert limits[code] == min(95, own)
        assert (values >= limits[code]).mean() >= 0.2
    assert limits[7] == 95  # a code without pixels
    loose = confidence_limits(folder, plan, PseudoRules(confidence=40, best_share=20))
    assert set(loose[1:4]) == {40.0}  # a share never makes the limit stricter


def test_the_share_decides_what_the_scan_lets_through(folder: Path, layers: NDArray[np.uint8]) -> None:
    rules = PseudoRules(confidence=100, best_share=30, neighbours=0)
    limits = confidence_limits(folder, load_plan(folder), rules)
    _, stage_counts = run_scan(folder, rules, ALL)
    stages = slow_stages(layers, rules, ALL, {code: float(limits[code]) for code in (1, 2, 3)})
    assert stage_counts.left(Stage.CONFIDENCE).sum() == len(stages[Stage.CONFIDENCE])
    assert (stage_counts.left(Stage.CONFIDENCE) >= 0.3 * stage_counts.left(Stage.MAPPED)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.lists(st.lists(st.integers(0, 40), max_size=9), max_size=8), st.randoms())
def test_a_reserve_keeps_the_least_priorities_in_any_order(
    most: int, groups: list[list[int]], shuffler: Any
) -> None:
    numbers = [number for group in groups for number in group]
    shuffler.shuffle(groups)
    reserve = Reserve(2, most)
    for place, group in enumerate(groups):
        some = np.zeros(len(group), CANDIDATE)
        some["priority"], some["code"], some["x"] = group, 2, place
        reserve.add(some)
    assert reserve.of(2)["priority"].tolist() == sorted(numbers)[:most]
    assert len(reserve.of(1)) == 0


def test_a_reserve_is_larger_than_what_is_wanted_and_bounded() -> None:
    assert [reserve_size(n) for n in (1, 1_000, 50_000, 400_000)] == [20, 20_000, 200_000, 800_000]


def test_a_square_gives_one_candidate_of_each_class() -> None:
    left = np.zeros((5, 7), bool)
    codes, turns = np.ones((5, 7), np.uint8), np.full((5, 7), 0.9)
    for y, x, code, turn in [(0, 0, 1, 0.5), (1, 1, 1, 0.1), (1, 2, 2, 0.8), (4, 0, 1, 0.7), (4, 6, 1, 0.6)]:
        left[y, x], codes[y, x], turns[y, x] = True, code, turn
    kept = np.argwhere(one_a_square(left, codes, turns, 4)).tolist()
    assert kept == [[1, 1], [1, 2], [4, 0], [4, 6]]  # 0, 0 comes after 1, 1; the rest fill squares alone
    assert (one_a_square(left, codes, turns, 1) == left).all()
    assert (
        one_a_square(left, codes, turns, 50).sum(),
        one_a_square(~left & left, codes, turns, 4).any(),
    ) == (
        2,
        False,
    )


def test_the_turn_of_a_pixel_hangs_on_seed_and_cell_alone(folder: Path) -> None:
    grid = load_plan(folder).grid

    def first(seed: int, cell: Cell) -> float:
        return float(priorities(seed, cell)[0, 0])

    assert first(1, grid.cell(0, 1)) == first(1, grid.cell(0, 1))
    assert len({first(1, grid.cell(0, 1)), first(2, grid.cell(0, 1)), first(1, grid.cell(1, 0))}) == 3


def test_a_run_that_lacks_cells_is_refused_with_their_names(
    tmp_path: Path, layers: NDArray[np.uint8]
) -> None:
    folder = tmp_path / "run"
    plan = planned(folder, made_checkpoint())
    overwrite(folder, layers)
    require_finished(folder, plan)
    (folder / "predictions" / "r0001_c0002.tif").write_bytes(b"damaged")
    require_finished(folder, plan)
    with pytest.raises(IncompleteRunError, match="r0001_c0002"):
        run_scan(folder, PseudoRules(), ALL)
    with pytest.raises(IncompleteRunError, match="r0001_c0002"):
        run_scan(folder, PseudoRules(best_share=10), ALL)
    (folder / "predictions" / "r0001_c0002.tif").unlink()
    (folder / "predictions" / "r0000_c0000.tif").unlink()
    with pytest.raises(IncompleteRunError, match=r"2 lack .*r0000_c0000, r0001_c0002.*--config"):
        require_finished(folder, plan)
