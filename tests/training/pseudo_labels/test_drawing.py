"""From candidates to samples, with a stability check that refuses what the test says."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import CorruptFileError, MismatchError
from inference.run.plan import load_plan
from tests.support.pseudo_place import SIZE, copied, made_run, series_at, whole
from training.pseudo_labels.candidates import Reserve, scan, stems
from training.pseudo_labels.drawing import Drawn, draw, read_series
from training.pseudo_labels.rules import PseudoRules
from training.pseudo_labels.stability import Verdicts
from training.pseudo_labels.statistics import Stage, StageCounts

pytestmark = pytest.mark.slow

LOOSE: dict[str, Any] = {"confidence": 0, "neighbours": 0}


@dataclass
class FakeStability:
    """Agrees with pixels by their first value of the window, and writes down what it was asked."""

    keep: int = 1
    """One of this many pixels is stable."""
    again: bool = True
    asked: list[int] = field(default_factory=list)

    def check(self, series: NDArray[np.int16], codes: NDArray[np.uint8]) -> Verdicts:
        self.asked.append(len(codes))
        numbers = np.where(series == NODATA, 0, series).astype(int).sum(axis=(1, 2))
        stable = numbers % self.keep == 0
        return Verdicts(
            np.full(len(codes), self.again),
            np.where(stable, 10, 3).astype(np.uint8),
            np.ones(len(codes), bool),
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("drawing") / "run")


def drawn_from(folder: Path, stability: FakeStability, **options: Any) -> tuple[Drawn, StageCounts, Reserve]:
    plan, rules, stage_counts = load_plan(folder), PseudoRules(**{**LOOSE, **options}), StageCounts(3)
    found = scan(folder, plan, rules, stage_counts, composites=stems(folder / "composites"))
    return draw(folder, plan, rules, found.reserve, stability, stage_counts), stage_counts, found.reserve


def places(drawn: Drawn) -> list[tuple[int, int]]:
    some = drawn.candidates
    return [(int(one["row"]) * SIZE + int(one["y"]), int(one["col"]) * SIZE + int(one["x"])) for one in some]


def by_class(drawn: Drawn) -> list[int]:
    return [int((drawn.candidates["code"] == code).sum()) for code in (1, 2, 3)]


@pytest.mark.parametrize("spacing", [10, 30, 70])
def test_classes_are_filled_and_samples_stand_apart(folder: Path, spacing: int) -> None:
    drawn, stage_counts, reserve = drawn_from(folder, FakeStability(), per_class=25, spacing=spacing)
    some = places(drawn)
    assert some == sorted(some, key=lambda p: (p[0] // SIZE, p[1] // SIZE, p[0], p[1]))
    distances = [math.dist(a, b) for a, b in combinations(some, 2)]
    assert min(distances) * 10 >= spacing
    wanted = [min(25, len(reserve.of(code))) for code in (1, 2, 3)]
    if spacing < 70:
        assert by_class(drawn) == wanted == [25, 25, 25]
    else:  # the land is full; nothing that was looked at and refused would have had room
        assert by_class(drawn)[0] < 25
        for code in (1, 2, 3):
            for one in reserve.of(code) if by_class(drawn)[code - 1] < 25 else ():
                own = (int(one["row"]) * SIZE + int(one["y"]), int(one["col"]) * SIZE + int(one["x"]))
                assert min(math.dist(own, other) for other in some) * 10 < spacing
    assert stage_counts.left(Stage.SAMPLES).tolist() == by_class(drawn)


def test_series_are_those_of_the_source_in_the_season(folder: Path) -> None:
    plan = load_plan(folder)
    drawn, _, _ = drawn_from(folder, FakeStability(), per_class=15)
    assert drawn.series.shape[1:] == (2, 73)
    for place, series in zip(places(drawn), drawn.series, strict=True):
        wanted = np.full((2, 73), NODATA)
        wanted[:, plan.bins.start : plan.bins.stop] = series_at(*place, plan.bins)
        assert (series == wanted).all()
    codes = whole(folder)[0]
    assert [codes[place] for place in places(drawn)] == drawn.candidates["code"].tolist()


def test_what_stability_refuses_is_made_good_from_the_reserve(folder: Path) -> None:
    stability = FakeStability(keep=5)
    drawn, stage_counts, reserve = drawn_from(folder, stability, per_class=12, spacing=10)
    assert by_class(drawn) == [12, 12, 12]
    assert len(stability.asked) > 1
    assert (
        sum(stability.asked)
        == stage_counts.left(Stage.DRAWN).sum()
        < sum(len(reserve.of(c)) for c in (1, 2, 3))
    )
    assert (drawn.agreeing == 10).all()
    assert (np.where(drawn.series == NODATA, 0, drawn.series).astype(int).sum(axis=(1, 2)) % 5 == 0).all()
    left = [int(stage_counts.left(stage).sum()) for stage in list(Stage)[6:]]
    assert left == sorted(left, reverse=True)
    assert left[0] == left[1] > left[2] == left[3]  # only the passes refused something


def test_a_class_that_runs_out_takes_what_there_is(folder: Path) -> None:
    drawn, stage_counts, reserve = drawn_from(folder, FakeStability(), per_class=5_000, spacing=10)
    assert by_class(drawn) == [len(reserve.of(code)) for code in (1, 2, 3)]
    codes = whole(folder)[0]
    assert by_class(drawn) == [int((codes == code).sum()) for code in (1, 2, 3)]
    assert stage_counts.left(Stage.DRAWN).tolist() == by_class(drawn)


def test_the_larger_classes_are_cut_to_the_ratio(folder: Path) -> None:
    free, _, _ = drawn_from(folder, FakeStability(keep=9), per_class=300, spacing=10)
    cut, stage_counts, _ = drawn_from(
        folder, FakeStability(keep=9), per_class=300, spacing=10, largest_ratio=1.5
    )
    smallest = min(by_class(free))
    assert max(by_class(free)) > 1.5 * smallest
    assert by_class(cut) == [min(count, math.floor(1.5 * smallest)) for count in by_class(free)]
    assert set(places(cut)) < set(places(free))
    assert stage_counts.left(Stage.SAMPLES).tolist() == by_class(cut)


def test_a_seed_draws_the_same_and_another_others(folder: Path) -> None:
    first, again, other = (
        drawn_from(folder, FakeStability(), per_class=20, seed=seed)[0] for seed in (4, 4, 5)
    )
    assert (first.candidates == again.candidates).all()
    assert (first.series == again.series).all()
    assert set(places(first)) != set(places(other))


def test_without_passes_their_number_decides_nothing(folder: Path) -> None:
    drawn, stage_counts, _ = drawn_from(folder, FakeStability(keep=10**9), per_class=10, spacing=10, passes=0)
    assert by_class(drawn) == [10, 10, 10]
    assert stage_counts.left(Stage.PASSES).tolist() == stage_counts.left(Stage.MODEL).tolist()


def test_no_candidate_at_all_gives_no_sample(folder: Path) -> None:
    plan, rules = load_plan(folder), PseudoRules()
    drawn = draw(folder, plan, rules, Reserve(3, 9), FakeStability(), StageCounts(3))
    assert drawn.series.shape == (0, 2, 73)


def test_a_model_that_maps_otherwise_is_refused(folder: Path) -> None:
    with pytest.raises(MismatchError, match="another class than the map to 75 of 75"):
        drawn_from(folder, FakeStability(again=False), per_class=20, spacing=10)


def test_composites_that_the_map_was_not_made_of_are_refused(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path / "run")
    plan = load_plan(run)
    _, _, reserve = drawn_from(run, FakeStability(), per_class=10)
    some = reserve.of(1)
    other = some.copy()
    other["clear"] += 1
    with pytest.raises(MismatchError, match=r"not the one that its prediction was made of.*Delete"):
        read_series(run, plan, other)
    name = plan.grid.cell(int(some["row"][0]), int(some["col"][0])).name
    (run / "composites" / f"{name}.tif").write_bytes(b"damaged")
    with pytest.raises(CorruptFileError, match=name):
        read_series(run, plan, some)
    shutil.rmtree(run)
