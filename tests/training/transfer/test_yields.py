"""Yields beside what was found: the pairs, their gap, and a rank correlation against scipy's on the same."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from gee_pipeline.errors import InputError
from training.transfer.tables import MethodScores
from training.transfer.yields import read_yields, yield_pairs, yield_section

YIELDS = {
    ("USA", "corn"): 11.0,
    ("USA", "rice"): 8.5,
    ("FRA", "corn"): 9.8,
    ("FRA", "rice"): 5.6,
    ("CHN", "rice"): 7.1,
}


def cell(target: str, names: tuple[str, ...], confusion: tuple[tuple[int, ...], ...]) -> MethodScores:
    return MethodScores("USA", target, "cropnet", "paper", 1, 0.9, None, 0.9, None, names, confusion, 0.9)


FRANCE = cell("FRA", ("corn", "rice", "other"), ((8, 1, 1), (0, 3, 1), (0, 0, 9)))
CHINA = cell("CHN", ("rice", "other"), ((9, 1), (2, 8)))


def test_pairs_are_of_classes_whose_yield_is_known_at_both_ends() -> None:
    pairs = yield_pairs([FRANCE, CHINA], YIELDS)
    assert [(one.target, one.name, one.recall) for one in pairs] == [
        ("FRA", "corn", 0.8), ("FRA", "rice", 0.75), ("CHN", "rice", 0.9),
    ]  # fmt: skip
    assert pairs[1].gap == pytest.approx(math.log(8.5 / 5.6))


def test_few_pairs_have_no_correlation() -> None:
    text = yield_section(yield_pairs([FRANCE, CHINA], YIELDS))
    assert "| USA → CHN | rice | 8.5 | 7.1 | cropnet paper | 90.0 |" in text
    assert "3 pairs, too few" in text


def test_the_correlation_is_of_ranks() -> None:
    names = ("corn", "soybeans", "rice", "wheat", "cotton", "other")
    counts = tuple(tuple(10 - k if k == j else (k if j == 5 else 0) for j in range(6)) for k in range(5))
    cells = [cell("FRA", names, (*counts, (0, 0, 0, 0, 0, 5)))]
    yields = {("USA", name): 10.0 for name in names} | {
        ("FRA", name): value for name, value in zip(names, (9.0, 11.5, 7.0, 4.0, 15.0, 10.0), strict=True)
    }
    gaps = [abs(math.log(yields["FRA", name] / 10)) for name in names]
    found = [1.0, 0.9, 0.8, 0.7, 0.6, 1.0]
    assert f"{spearmanr(gaps, found).statistic:+.2f}" in yield_section(yield_pairs(cells, yields))


def test_no_pair_is_said() -> None:
    assert "No class has a yield" in yield_section(yield_pairs([CHINA], {("USA", "corn"): 1.0}))


@pytest.mark.parametrize(
    "text", ["", "region,class\nUSA,corn\n", "region,class,yield\nUSA,corn,0\n", "a\nb\n"]
)
def test_a_table_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "yields.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="region, class, yield"):
        read_yields(path)


def test_a_table_is_read_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "yields.csv"
    path.write_bytes(b"\xef\xbb\xbfregion,class,yield\nUSA,corn,11130.6\n")
    assert read_yields(path) == {("USA", "corn"): 11130.6}
