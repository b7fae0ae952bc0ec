import numpy as np
import pytest

from assessment.planning.confidence_strata import cut_points
from assessment.planning.expected import Assumed, expect


def test_what_is_wrong_is_of_the_other_classes_by_their_area() -> None:
    assumed = Assumed(
        np.array([0, 1, 2, -1]), np.array([0.9, 0.8, 0.7, 0]), np.array([0.3, 0.1, 0.4, 0.2]), ("a", "b", "c")
    )
    expected = [
        [0.9, 0.1 * 0.1 / 0.5, 0.1 * 0.4 / 0.5],
        [0.2 * 0.3 / 0.7, 0.8, 0.2 * 0.4 / 0.7],
        [0.3 * 0.3 / 0.4, 0.3 * 0.1 / 0.4, 0.7],
        [0.3 / 0.8, 0.1 / 0.8, 0.4 / 0.8],
    ]
    assert assumed.shares() == pytest.approx(np.array(expected))


def test_standard_errors_to_expect_are_those_of_many_samples() -> None:
    assumed = Assumed(np.array([0, 1]), np.array([0.9, 0.7]), np.array([0.6, 0.4]), ("a", "b"))
    units, sizes = np.array([60, 40]), np.array([6e7, 4e7])
    found = expect(assumed, units, sizes)
    rng = np.random.default_rng(1)
    drawn = rng.binomial(units, [0.9, 0.3], (20_000, 2)) / units @ np.array([0.6, 0.4])
    assert found.areas[0] == pytest.approx(drawn.mean(), abs=0.002)
    assert found.area_se[0] == pytest.approx(drawn.std(), rel=0.02)
    assert found.area_se[1] == pytest.approx(found.area_se[0])
    assert found.overall_se == pytest.approx(np.sqrt(0.36 * 0.09 / 60 + 0.16 * 0.21 / 40))
    assert found.simple_units == pytest.approx(0.66 * 0.34 / drawn.var(), rel=0.05)


def test_a_single_class_has_no_error() -> None:
    found = expect(
        Assumed(np.array([0]), np.array([0.8]), np.ones(1), ("a",)), np.array([10]), np.array([99.0])
    )
    assert found.area_se.tolist() == [0]


@pytest.mark.parametrize(
    ("at", "parts", "cuts"),
    [
        ({40: 100, 90: 100}, 2, [41]),
        ({40: 100, 60: 100, 90: 100}, 3, [41, 61]),
        ({50: 100}, 3, []),
        ({}, 3, []),
        ({90: 10_000, 30: 100}, 2, [31]),
    ],
)
def test_confidence_is_cut_where_the_roots_of_the_frequencies_are_even(
    at: dict[int, int], parts: int, cuts: list[int]
) -> None:
    pixels = np.zeros(101, np.int64)
    for value, count in at.items():
        pixels[value] = count
    assert cut_points(pixels, parts) == cuts
