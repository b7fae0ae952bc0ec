"""Arithmetic of what a network on the servers takes; no server is asked here."""

import json

import pytest

from gee_pipeline.earthengine.composites.estimate import Estimate, MeasuredCell, Size
from gee_pipeline.earthengine.network.network_estimate import NetworkEstimate
from gee_pipeline.earthengine.network.network_weights import Convolution, NetworkWeights
from gee_pipeline.source import Spent

SIZE = Size(cells=200, cell_size=256, bins=43, bands=10, requests=400, network_bytes=1, disk_bytes=1)

WEIGHTS = NetworkWeights(
    factor=(1.0,) * 10,
    offset=(0.0,) * 10,
    bins=43,
    convolutions=(Convolution(((0.0,) * 10,) * 2, stride=1),),
    head=((0.0,) * 3,) * 5,
    temperature=1.0,
)
"""Two channels of ten numbers at 10 x 44 positions, and five classes of three numbers."""

MULTIPLICATIONS = 2 * 10 * 10 * 44 + 5 * 3


def cell(name: str, eecu: float, unmeasured: int = 0) -> MeasuredCell:
    return MeasuredCell(name, 1.0, 1_000, Spent(2, 1_000, eecu, unmeasured))


def estimate(alone: dict[str, float], maps: dict[str, float], pixel_area: float = 100.0) -> NetworkEstimate:
    """Of cells with EECU-seconds both ways."""
    composites = Estimate(SIZE, 1, tuple(cell(*one) for one in alone.items()))
    return NetworkEstimate(composites, WEIGHTS, pixel_area, 16, tuple(cell(*one) for one in maps.items()))


def test_the_difference_of_both_ways_is_the_price_of_the_network() -> None:
    found = estimate({"a": 20, "b": 30}, {"a": 26, "b": 40})
    price = found.network_eecu_seconds_a_cell
    assert price is not None
    assert (price.mean, price.low, price.high, price.measured) == (8, 6, 10, 2)
    hours = found.of_area(price)
    assert hours is not None
    assert hours.mean == pytest.approx(200 * 8 / 3_600)


def test_the_rate_follows_from_the_difference() -> None:
    found = estimate({"a": 20}, {"a": 24})
    assert found.multiplications_an_eecu_second == MULTIPLICATIONS * 256 * 256 / 4


def test_a_cell_that_was_measured_one_way_has_no_difference() -> None:
    found = estimate({"a": 20, "b": 1}, {"a": 26, "c": 90})
    assert found.network_eecu_seconds_a_cell is not None
    assert found.network_eecu_seconds_a_cell.mean == 6
    assert found.served_eecu_seconds_a_cell is not None
    assert found.served_eecu_seconds_a_cell.mean == 58


def test_a_cell_without_a_readable_profile_has_no_difference() -> None:
    composites = Estimate(SIZE, 1, (cell("a", 20), cell("b", 20, unmeasured=1)))
    found = NetworkEstimate(composites, WEIGHTS, 100, 16, (cell("a", 9, unmeasured=1), cell("b", 9)))
    assert found.network_eecu_seconds_a_cell is None
    assert found.multiplications_an_eecu_second is None


def test_a_map_that_takes_less_than_its_composites_gives_no_rate() -> None:
    found = estimate({"a": 20}, {"a": 15})
    assert found.network_eecu_seconds_a_cell is not None
    assert found.network_eecu_seconds_a_cell.mean == -5
    assert found.multiplications_an_eecu_second is None


@pytest.mark.parametrize(
    ("pixel_area", "pixels"),
    [
        (100.0, 10_000_000),  # 10 m
        (400.0, 2_500_000),  # 20 m
    ],
)
def test_prices_at_assumed_rates_are_of_a_thousand_square_kilometres(pixel_area: float, pixels: int) -> None:
    found = estimate({}, {}, pixel_area).assumed
    assert [price.multiplications_an_eecu_second for price in found] == [10**6, 10**7, 10**8]
    hours = [MULTIPLICATIONS * pixels / rate / 3_600 for rate in (1e6, 1e7, 1e8)]
    assert [price.eecu_hours for price in found] == pytest.approx(hours)
    assert [price.dollars for price in found] == pytest.approx([0.4 * one for one in hours])


def test_three_bytes_a_pixel_come_back_in_place_of_a_composite() -> None:
    found = estimate({}, {})
    assert (found.bytes_a_pixel_here, found.bytes_a_pixel_on_servers) == (43 * 10 * 2, 3)


def test_the_record_says_what_was_measured_and_what_is_assumed() -> None:
    network = json.loads(json.dumps(estimate({"a": 20}, {"a": 26}).to_dict()))["network"]
    assert network["multiplications_a_pixel"] == MULTIPLICATIONS
    assert {name: way["mean"] for name, way in network["measured"]["eecu_seconds_a_cell"].items()} == {
        "here": 20,
        "servers": 26,
        "network": 6,
    }
    assert json.loads(json.dumps(estimate({}, {}).to_dict()))["network"]["measured"] is None
