"""What a network on Earth Engine's servers takes, beside composites that are fetched to be mapped here.

Of the same cells the composites are fetched, and then the map that the servers make of them. What the map
takes in addition is the price of filling gaps and of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from gee_pipeline.earthengine.composites.estimate import (
    HOUR,
    PIXEL_BYTES,
    TARIFFS,
    Estimate,
    EstimateRequest,
    MeasuredCell,
    Spread,
    Way,
    counted,
    dollars,
    drawn,
    estimate_by,
    measure_way,
    settling,
    spread,
    why_not_measured,
)
from gee_pipeline.earthengine.composites.fetch import VALUE_BYTES, plan_requests
from gee_pipeline.earthengine.network.network_weights import NetworkWeights
from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.earthengine.prediction.prediction_source import PredictionSource
from gee_pipeline.earthengine.prediction.served_model import PREDICTION_BANDS
from gee_pipeline.grid import Grid

ASSUMED_RATES: Final = (1_000_000, 10_000_000, 100_000_000)
"""Multiplications an EECU-second, assumed where none was measured: two orders of magnitude, since nobody has
said how fast the servers multiply arrays."""

SHOWN_AREA: Final = 1_000
"""Square kilometres for which prices at assumed rates are given."""

PRICE: Final = next(tariff for tariff in TARIFFS if tariff.dollars is not None)
"""Tariff of these prices."""


@dataclass(frozen=True)
class AssumedPrice:
    """What a network would take of `SHOWN_AREA` if the servers multiplied at a rate."""

    multiplications_an_eecu_second: int
    """The rate, which is assumed."""
    eecu_hours: float
    """Computing time of the network alone."""
    dollars: float
    """The same in US dollars, at `PRICE`."""


@dataclass(frozen=True)
class NetworkEstimate:
    """What an area takes both ways: composites that are mapped here, and a map of the servers."""

    composites: Estimate
    """The composites alone."""
    weights: NetworkWeights
    """The network."""
    pixel_area: float
    """Square metres."""
    requests_a_cell: int
    """Requests for the map of a cell, when none is split or repeated; each has the whole expression."""
    served: tuple[MeasuredCell, ...] = ()
    """The same cells as maps of the servers; empty where nothing was measured."""
    failed: tuple[tuple[str, str], ...] = ()
    """Cells whose maps failed: name and reason."""

    @property
    def bytes_a_pixel_here(self) -> int:
        """What is fetched of a pixel that is mapped here, without compression."""
        return self.composites.size.bins * self.composites.size.bands * PIXEL_BYTES

    @property
    def bytes_a_pixel_on_servers(self) -> int:
        """What is fetched of a pixel that the servers map, without compression."""
        return len(PREDICTION_BANDS)

    @property
    def served_eecu_seconds_a_cell(self) -> Spread | None:
        """EECU-seconds of a cell that the servers map, composites included."""
        return spread(s for s in (cell.eecu_seconds for cell in self.served) if s is not None)

    @property
    def network_eecu_seconds_a_cell(self) -> Spread | None:
        """What a cell takes more where the servers map it; of cells that were measured both ways.

        It may be below zero: the servers keep results for a while, and the map comes second.
        """
        before = {cell.name: cell.eecu_seconds for cell in self.composites.cells}
        pairs = [(before.get(cell.name), cell.eecu_seconds) for cell in self.served]
        return spread(map_ - alone for alone, map_ in pairs if alone is not None and map_ is not None)

    @property
    def multiplications_an_eecu_second(self) -> float | None:
        """The rate that follows from the measured cells; None where it does not."""
        price = self.network_eecu_seconds_a_cell
        if price is None or price.mean <= 0:
            return None
        return self.weights.multiplications * self.composites.size.cell_size**2 / price.mean

    @property
    def assumed(self) -> tuple[AssumedPrice, ...]:
        """Prices of the network alone at `ASSUMED_RATES`."""
        pixels = SHOWN_AREA * 1e6 / self.pixel_area
        hours = {rate: self.weights.multiplications * pixels / rate / HOUR for rate in ASSUMED_RATES}
        return tuple(AssumedPrice(rate, time, dollars(PRICE, time) or 0) for rate, time in hours.items())

    def of_area(self, a_cell: Spread | None) -> Spread | None:
        """EECU-hours of all cells, of EECU-seconds of one."""
        return a_cell and a_cell.times(self.composites.size.cells / HOUR)

    def to_dict(self) -> dict[str, Any]:
        """The estimate as JSON values: that of the composites, and `network`."""
        return self.composites.to_dict() | {
            "network": {
                "multiplications_a_pixel": self.weights.multiplications,
                "weights": self.weights.count,
                "requests_a_cell": self.requests_a_cell,
                "bytes_a_pixel": {"here": self.bytes_a_pixel_here, "servers": self.bytes_a_pixel_on_servers},
                "measured": self._measured() if self.served else None,
                "assumed_of_1000_km2": [asdict(price) for price in self.assumed],
            }
        }

    def _measured(self) -> dict[str, Any]:
        ways = {
            "here": self.composites.eecu_seconds_a_cell,
            "servers": self.served_eecu_seconds_a_cell,
            "network": self.network_eecu_seconds_a_cell,
        }
        return {
            "eecu_seconds_a_cell": {name: way and asdict(way) for name, way in ways.items()},
            "eecu_hours": {
                name: total and asdict(total)
                for name, total in ((name, self.of_area(way)) for name, way in ways.items())
            },
            "multiplications_an_eecu_second": self.multiplications_an_eecu_second,
            "cells": [asdict(cell) for cell in self.served],
            "failed": dict(self.failed),
        }


def estimate_network(
    request: EstimateRequest, model: ServedNetwork, report: Callable[[str], None] = lambda text: None
) -> NetworkEstimate:
    """The estimate of an area both ways; no run folder is written.

    Without any credentials it is counted only; credentials that do not work are an error.

    Args:
        request: Area, year and sample, with the recipe of the network.
        model: The network, as the servers find it.
        report: Takes notices and progress, one sentence each.

    Raises:
        InputError: The area cannot be used, has no scenes, or the weights are not where they should be.
        MismatchError: The tables hold the weights of another network.
        AccessError: There are credentials, but Earth Engine cannot be used with them.
        EarthEngineError: Every cell of the sample failed.
    """
    workload, size = counted(request, report)
    unmeasured = NetworkEstimate(
        Estimate(size, request.seed),
        model.weights,
        pixel_area=_pixel_area(workload.grid),
        requests_a_cell=_requests(workload.grid, model),
    )
    if why := why_not_measured(request):
        return replace(unmeasured, composites=replace(unmeasured.composites, why_not=why))
    source = PredictionSource(workload.recipe, request.settings, cropland=request.cropland, model=model)
    composites = estimate_by(source, request, workload, size, report)
    way = Way(
        lambda cell: source.read_prediction(cell, workload.season)[0], lambda map: map.nbytes, "maps of cells"
    )
    served, failed = measure_way(way, source, drawn(request, workload), report, settle=settling(request))
    return replace(unmeasured, composites=composites, served=tuple(served), failed=tuple(failed))


def _pixel_area(grid: Grid) -> float:
    """Square metres."""
    resolution = grid.geobox.resolution
    return abs(resolution.x * resolution.y)


def _requests(grid: Grid, model: ServedNetwork) -> int:
    """Requests for the map of a cell, each of as many pixels as the network's arrays leave room for."""
    return len(plan_requests(grid.cell(0, 0).geobox, (0,), 1, model.most_pixels * VALUE_BYTES))
