import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assessment.planning.sizes import allocate, default_floor, required_units
from gee_pipeline.errors import InputError
from tests.support.published import find_case


def test_sizes_are_those_that_were_published() -> None:
    case = find_case("08-sample-size")
    rows = case.rows("olofsson.csv")
    weights = np.array([float(row["weight"]) for row in rows])
    users = np.array([float(row["expected_ua"]) for row in rows])
    deviations = np.sqrt(users * (1 - users))
    simple, strata = case.json("simple.json"), case.json("stratified.json")
    p, u = simple["overall_accuracy"], strata["expected_ua"]
    pixels = np.array(list(strata["pixels"].values()), float)
    total = required_units(pixels / pixels.sum(), np.full(3, np.sqrt(u * (1 - u))), strata["overall_se"])
    units = required_units(weights, deviations, 0.01)
    found = {
        "n.olofsson": units,
        "n.simple": required_units(
            np.ones(1), np.array([np.sqrt(p * (1 - p))]), simple["half_width"] / simple["z"]
        ),
        **{f"s.{row['class']}": s for row, s in zip(rows, deviations, strict=True)},
        **{f"n.{name}": n for name, n in zip(strata["pixels"], total * pixels / pixels.sum(), strict=True)},
    }
    sizes = np.full(4, 10**6)
    for key, parts in (("prop", weights), ("equal", np.ones(4))):
        numbers = allocate(round(units), parts, sizes)
        assert numbers.sum() == 641
        found |= {f"n.{key}.{row['class']}": n for row, n in zip(rows, numbers, strict=True)}
    found["n.equal"] = found["n.equal.Stable forest"]
    assert {key: found[key] for key in case.values} == {key: case.printed(key) for key in case.values}


def test_a_small_frame_needs_fewer_units() -> None:
    weights, deviations = np.array([0.5, 0.5]), np.array([0.5, 0.5])
    free = required_units(weights, deviations, 0.05)
    assert free == pytest.approx(100)
    assert required_units(weights, deviations, 0.05, 400) == pytest.approx(100 / (1 + 100 / 400))


def test_rare_strata_get_the_floor_and_the_rest_is_proportional() -> None:
    sizes = np.array([20, 10, 320, 650]) * 1000
    found = allocate(640, sizes, sizes, floor=75)
    assert found.tolist() == [75, 75, 162, 328]  # 490 units shared 320 to 650: 161.6 and 328.4


def test_a_stratum_gives_no_more_than_it_has() -> None:
    assert allocate(30, np.array([1, 1, 1]), np.array([3, 100, 100]), floor=10).tolist() == [3, 14, 13]
    assert allocate(6, np.array([0, 1]), np.array([100, 2])).tolist() == [4, 2]


@given(
    st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=9),
    st.integers(2, 20),
    st.integers(0, 400),
)
def test_the_units_are_all_shared_out_within_the_limits(
    strata: list[tuple[int, float]], floor: int, more: int
) -> None:
    sizes = np.array([size for size, _ in strata])
    least = np.minimum(floor, sizes)
    units = min(least.sum() + more, sizes.sum())
    found = allocate(int(units), np.array([part for _, part in strata]), sizes, floor=floor)
    assert found.sum() == units
    assert (found >= least).all()
    assert (found <= sizes).all()


@pytest.mark.parametrize(("units", "words"), [(99, "need 100 units, got 99"), (4000, "has 3,000 pixels")])
def test_what_cannot_be_shared_out_is_refused(units: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        allocate(units, np.ones(2), np.array([1000, 2000]), floor=50)


@pytest.mark.parametrize("se", [0.0, -1.0, float("nan")])
def test_a_standard_error_to_reach_is_above_0(se: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        required_units(np.ones(1), np.ones(1), se)


def test_the_usual_floor_leaves_half_of_the_points() -> None:
    assert [default_floor(600, 5), default_floor(200, 5), default_floor(10, 9)] == [50, 20, 2]
