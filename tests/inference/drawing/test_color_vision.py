"""Colours of classes, for readers with all cones and without some."""

from itertools import combinations

import numpy as np
import pytest

from inference.drawing.color_vision import FAR, distance, safe_colors


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("#ffffff", "#000000", 100.0), ("#ff0000", "#00ff00", 170.58), ("#777777", "#777777", 0.0)],
)
def test_for_full_sight_the_distance_is_that_of_cie_1976(one: str, other: str, expected: float) -> None:
    """L*a*b* of red is 53.24, 80.09, 67.20 and of green 87.73, -86.18, 83.18 (published conversions)."""
    assert distance(one, other, seen=[np.eye(3)]) == pytest.approx(expected, abs=0.1)


def test_red_and_green_of_one_lightness_are_near_for_some() -> None:
    assert distance("#b04030", "#50702a") < FAR < distance("#b04030", "#50702a", seen=[np.eye(3)])


def test_colors_that_all_tell_apart_stay() -> None:
    assert safe_colors(["#ffd300", "#00a8e2", "#222222"]) == ["#ffd300", "#00a8e2", "#222222"]


def test_a_color_that_some_take_for_an_earlier_one_is_replaced() -> None:
    shipped, fixed = ["#ffd300", "#267000", "#00a8e2", "#ff2626", "#b8b8a0"], ["#e4e4e4", "#6b6b6b"]
    found = safe_colors(shipped, fixed)
    assert found[:3] == shipped[:3]
    assert found[3] != "#ff2626"
    assert all(distance(one, other) >= FAR for one, other in combinations([*found, *fixed], 2))


def test_where_no_color_is_left_its_own_stays() -> None:
    many = [f"#{level:02x}{level:02x}{level:02x}" for level in range(0, 250, 10)]
    assert len(safe_colors(many)) == len(many)
    palette = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
    assert safe_colors(["#101010"], [*many, *palette]) == ["#101010"]
