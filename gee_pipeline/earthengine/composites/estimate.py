"""What an area takes on Earth Engine: counted beforehand, and measured on a random sample of cells."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.earthengine.client.session import connect, find_access
from gee_pipeline.earthengine.client.settings import Cropland, EarthEngineSettings
from gee_pipeline.earthengine.composites.fetch import plan_requests
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.errors import EarthEngineError, InputError, NoCredentialsError
from gee_pipeline.grid import CELL_SIZE, Cell, Grid, make_grid, on_grid, require_cell_size
from gee_pipeline.recipe import USUAL, Recipe
from gee_pipeline.season import Hemisphere, Season
from gee_pipeline.season_of_area import require_imagery, season_of_area
from gee_pipeline.source import Composite, RemoteSource, Spent
from gee_pipeline.store import write_composite

T = TypeVar("T")

TABLE_DATE: Final = date(2026, 4, 27)
"""The day on which the tiers of `TARIFFS` came into force; the table was not looked up live since."""

PIXEL_BYTES: Final = 2
"""int16, in answers and in composites."""

MAP_BYTES: Final = 7
"""Bytes per pixel in addition to the composites: three layers of predictions, and three of the map with
overviews (a third more)."""

HOUR: Final = 3600.0


@dataclass(frozen=True)
class Tariff:
    """A monthly tier that is free, or a price of commercial use."""

    name: str
    """Google's name of it."""
    eecu_hours: int | None
    """EECU-hours a project and month; None where they are paid for one by one."""
    dollars: float | None
    """US dollars an EECU-hour; None where it is free."""
    condition: str
    """Who gets it."""
    source: str
    """Where the number stands, or "from memory"."""

    def __post_init__(self) -> None:
        if (self.eecu_hours is None) == (self.dollars is None):
            raise ValueError(f"A tariff has hours or a price, got {self.eecu_hours} and {self.dollars}.")


_TIERS_PAGE: Final = "documented: guides/noncommercial_tiers"

TARIFFS: Final = (
    Tariff("Community", 150, None, "noncommercial; the default", _TIERS_PAGE),
    Tariff("Contributor", 1_000, None, "noncommercial; a billing account, not charged", _TIERS_PAGE),
    Tariff("Partner", 100_000, None, "noncommercial; by application", _TIERS_PAGE),
    Tariff(
        "Commercial, exports (batch)",
        None,
        0.40,
        "a plan with a monthly fee, not counted here",
        "from memory",
    ),
    Tariff(
        "Commercial, requests (online)",
        None,
        0.40,
        "the same; since 2025-09-01 the price of batch (google/Xee discussion 250)",
        "from memory",
    ),
)
"""The only place in the code with tiers and prices; docs/earth_engine.md shows the same table."""


@dataclass(frozen=True)
class EstimateRequest:
    """What `cropmap estimate` is asked for; the fields are the options of the command."""

    aoi: Path
    """Vector file of the area of interest."""
    year: int
    """Mapped year."""
    layer: str | None = None
    """Layer of the vector file; None takes its only one."""
    hemisphere: Hemisphere | None = None
    """Side of the equator whose season is counted; None takes that of the area."""
    crs: str | None = None
    """Projected CRS of the grid; None takes the UTM zone."""
    like: Path | None = None
    """Raster whose pixels the map has, in place of `crs`."""
    cell_size: int = CELL_SIZE
    """Pixels along one side of a cell."""
    whole_season: bool = False
    """True for all 73 bins, False for the model window."""
    samples: int = 5
    """Cells to measure; 0 only counts."""
    seed: int = 1
    """Chooses which cells; the same seed chooses the same ones."""
    cropland: Cropland = "none"
    """Cropland mask that Earth Engine applies; cells without cropland are not fetched."""
    recipe: Recipe = USUAL
    """How the composites are made."""
    settings: EarthEngineSettings = field(default_factory=EarthEngineSettings)
    """Access, endpoint and limits."""

    def __post_init__(self) -> None:
        require_cell_size(self.cell_size)
        if self.samples < 0:
            raise InputError(f"A sample has 0 or more cells, got --samples {self.samples}.")
        if self.seed < 0:
            raise InputError(f"A seed is 0 or larger, got --seed {self.seed}.")


@dataclass(frozen=True)
class Workload:
    """An area and a season as cells and bins: what would be computed."""

    aoi: Aoi
    """The area."""
    grid: Grid
    """Its pixels."""
    cells: NDArray[np.int32]
    """Rows and columns `(n, 2)` of the cells."""
    season: Season
    """The days."""
    bins: range
    """Bins of the composites."""
    recipe: Recipe
    """How they are made."""


PUBLISHED: Final = (8.13 * 3600 / 1000, 14.92 * 3600 / 1000)
"""EECU-seconds of a patch of 256 x 256 pixels by Google: 1,000 patches in Germany, medians of five bands of
Sentinel-2 at 10 m under a mask of cloud probability, of 6 and of 12 months, on the high-volume endpoint
(developers.google.com/earth-engine/guides/computation_benchmarks)."""

PUBLISHED_PIXELS: Final = 256 * 256


@dataclass(frozen=True)
class Size:
    """What a workload takes, counted without asking anybody."""

    cells: int
    """Cells that share area with the polygon; each is computed whole."""
    cell_size: int
    """Pixels along one side of a cell."""
    bins: int
    """Bins of a composite."""
    bands: int
    """Bands of a bin."""
    requests: int
    """Requests for pixels at most, when none has to be split or repeated; bins without scenes need none."""
    network_bytes: int
    """Pixels of the answers without compression: the most that they take."""
    disk_bytes: int
    """Composites, predictions and map without compression: the most that they take."""

    @property
    def published_eecu_hours(self) -> tuple[float, float]:
        """EECU-hours if cells took what Google's patches took, which are fewer bands and one bin."""
        patches = self.cells * self.cell_size**2 / PUBLISHED_PIXELS
        low, high = (patches * seconds / HOUR for seconds in PUBLISHED)
        return low, high


@dataclass(frozen=True)
class MeasuredCell:
    """What one cell really took."""

    name: str
    """Name of the cell."""
    seconds: float
    """Wall clock, with the requests of this cell alone."""
    disk_bytes: int
    """Size of what is kept of it: its composite as it is stored, or its prediction without compression."""
    spent: Spent
    """What Earth Engine was asked for it."""

    @property
    def eecu_seconds(self) -> float | None:
        """Computing, or None where a profile of it could not be read."""
        return None if self.spent.unmeasured else self.spent.eecu_seconds


@dataclass(frozen=True)
class Spread:
    """Mean and range of what was measured."""

    mean: float
    low: float
    high: float
    measured: int
    """Cells behind it."""

    def times(self, factor: float) -> Spread:
        """The spread of as many times the amount."""
        return Spread(self.mean * factor, self.low * factor, self.high * factor, self.measured)


@dataclass(frozen=True)
class Estimate:
    """A workload's size and, where cells were measured, what it will take."""

    size: Size
    """Counted."""
    seed: int
    """What chose the cells."""
    cells: tuple[MeasuredCell, ...] = ()
    """The measured cells; empty where there were no credentials or none was wanted."""
    failed: tuple[tuple[str, str], ...] = ()
    """Cells of the sample that failed: name and reason."""
    at_once: int = 1
    """Cells that a source fetches at the same time."""
    why_not: str | None = None
    """Why nothing was measured."""

    @property
    def cells_at_once(self) -> int:
        """Cells that a run of this workload fetches at the same time."""
        return min(self.at_once, self.size.cells)

    @property
    def eecu_hours(self) -> Spread | None:
        """EECU-hours of the whole workload."""
        a_cell = self.eecu_seconds_a_cell
        return a_cell and a_cell.times(self.size.cells / HOUR)

    @property
    def eecu_seconds_a_cell(self) -> Spread | None:
        """EECU-seconds of a cell; cells without a readable profile do not count."""
        return spread(s for s in (cell.eecu_seconds for cell in self.cells) if s is not None)

    @property
    def seconds_a_cell(self) -> Spread | None:
        """Wall clock of a cell that is fetched alone."""
        return spread(cell.seconds for cell in self.cells)

    @property
    def seconds(self) -> Spread | None:
        """Wall clock of the whole workload, cells at once as in a run, none slowed by another."""
        a_cell = self.seconds_a_cell
        return a_cell and a_cell.times(self.size.cells / self.cells_at_once)

    @property
    def network_bytes(self) -> Spread | None:
        """Bytes of the answers of the whole workload."""
        a_cell = spread(cell.spent.bytes for cell in self.cells)
        return a_cell and a_cell.times(self.size.cells)

    @property
    def disk_bytes(self) -> Spread | None:
        """Bytes of the composites of the whole workload as they are stored."""
        a_cell = spread(cell.disk_bytes for cell in self.cells)
        return a_cell and a_cell.times(self.size.cells)

    def to_dict(self) -> dict[str, Any]:
        """The estimate as JSON values."""
        return {
            "counted": asdict(self.size),
            "published_eecu_hours": list(self.size.published_eecu_hours),
            "measured": self._measured() if self.cells else None,
            "why_not_measured": self.why_not,
            "tariffs": {
                "date": TABLE_DATE.isoformat(),
                "rows": [asdict(tariff) | _burden(tariff, self.eecu_hours) for tariff in TARIFFS],
            },
        }

    def _measured(self) -> dict[str, Any]:
        whole = {
            "eecu_seconds_a_cell": self.eecu_seconds_a_cell,
            "eecu_hours": self.eecu_hours,
            "seconds_a_cell": self.seconds_a_cell,
            "seconds": self.seconds,
            "network_bytes": self.network_bytes,
            "disk_bytes": self.disk_bytes,
        }
        return {
            "a_sample_of_cells": len(self.cells),
            "seed": self.seed,
            "cells_at_once": self.cells_at_once,
            "cells": [asdict(cell) for cell in self.cells],
            "failed": dict(self.failed),
        } | {name: value and asdict(value) for name, value in whole.items()}


Measured = tuple[list[MeasuredCell], list[tuple[str, str]]]
"""The measured cells, and name and reason of each that failed."""


@dataclass(frozen=True)
class Way(Generic[T]):
    """Something that is fetched of cells to see what it takes."""

    read: Callable[[Cell], T]
    """Fetches a cell."""
    kept: Callable[[T], int]
    """Bytes of what a run would keep of it."""
    what: str = "cells"
    """What cells are called in this way."""


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and range of some values, or None of none."""
    found = list(values)
    if not found:
        return None
    return Spread(sum(found) / len(found), min(found), max(found), len(found))


def months(tariff: Tariff, eecu_hours: float) -> float | None:
    """Months of a free tier that some EECU-hours use up; None of a price."""
    return None if tariff.eecu_hours is None else eecu_hours / tariff.eecu_hours


def dollars(tariff: Tariff, eecu_hours: float) -> float | None:
    """US dollars that some EECU-hours cost, without a plan's monthly fee; None of a free tier."""
    return None if tariff.dollars is None else eecu_hours * tariff.dollars


def plan_workload(request: EstimateRequest) -> Workload:
    """The cells and bins of a request; the area is read, nothing is written.

    Raises:
        InputError: The area or the CRS cannot be used.
    """
    aoi = read_aoi(request.aoi, request.layer)
    season = season_of_area(aoi, request.recipe, request.year, request.hemisphere)
    require_imagery(request.recipe, season)
    grid = make_grid(aoi, request.crs, request.cell_size, like=request.like)
    aoi = on_grid(aoi, grid)
    cells = grid.cells_touching(aoi.to(str(grid.geobox.crs)))
    recipe = request.recipe
    bins = range(recipe.bins_in_season) if request.whole_season else recipe.window
    return Workload(aoi, grid, cells, season, bins, recipe)


def count(workload: Workload, request_bytes: int) -> Size:
    """The size of a workload.

    Args:
        workload: Cells and bins.
        request_bytes: Bytes of pixels that one request asks for at most.
    """
    cells, bands = len(workload.cells), len(workload.recipe.bands)
    one = workload.grid.cell(0, 0).geobox
    pixels = cells * workload.grid.cell_size**2
    values = pixels * len(workload.bins) * bands * PIXEL_BYTES
    return Size(
        cells=cells,
        cell_size=workload.grid.cell_size,
        bins=len(workload.bins),
        bands=bands,
        requests=cells * len(plan_requests(one, workload.bins, bands, request_bytes)),
        network_bytes=values,
        disk_bytes=values + pixels * MAP_BYTES,
    )


def choose(cells: NDArray[np.int32], samples: int, seed: int) -> NDArray[np.int32]:
    """Rows and columns of cells chosen at random, each at most once, in random order.

    Args:
        cells: Rows and columns `(n, 2)`.
        samples: How many; all where there are fewer.
        seed: The same seed chooses the same cells.
    """
    order = np.random.default_rng(seed).permutation(len(cells))
    return cells[order[:samples]]


def measure(
    workload: Workload,
    source: RemoteSource,
    cells: Sequence[Cell],
    report: Callable[[str], None],
    *,
    settle: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """What the composites of some cells really take, fetched one after another; they are not kept.

    Args:
        workload: Season, bins and recipe.
        source: Who fetches.
        cells: The sample.
        report: Takes one line per cell.
        settle: Reads the profiles of the requests so far, so that each cell counts its own.
        clock: Seconds.

    Raises:
        EarthEngineError: Every cell failed.
        AccessError: Earth Engine cannot be used.
    """
    season, recipe = workload.season, workload.recipe
    way = Way(
        lambda cell: source.read_cell(cell, season, workload.bins),
        lambda composite: stored_bytes(composite, recipe, season),
    )
    return measure_way(way, source, cells, report, settle=settle, clock=clock)


def measure_way(
    way: Way[T],
    source: RemoteSource,
    cells: Sequence[Cell],
    report: Callable[[str], None],
    *,
    settle: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """The same for anything that is fetched of a cell.

    Args:
        way: What is fetched.
        source: Counts what was spent.
        cells: The sample.
        report: Takes one line per cell.
        settle: Reads the profiles of the requests so far.
        clock: Seconds.

    Raises:
        EarthEngineError: Every cell failed.
        AccessError: Earth Engine cannot be used.
    """
    measured: list[MeasuredCell] = []
    failed: list[tuple[str, str]] = []
    settle()
    for place, cell in enumerate(cells, 1):
        try:
            measured.append(_measure_cell(way, source, cell, settle, clock))
        except EarthEngineError as error:
            failed.append((cell.name, str(error)))
            if len(failed) == len(cells):
                raise
            settle()
        report(f"{place} of {len(cells)} {way.what} measured: {cell.name}")
    return measured, failed


def _measure_cell(
    way: Way[T],
    source: RemoteSource,
    cell: Cell,
    settle: Callable[[], None],
    clock: Callable[[], float],
) -> MeasuredCell:
    before, start = source.spent(), clock()
    fetched = way.read(cell)
    seconds = clock() - start
    settle()
    return MeasuredCell(cell.name, seconds, way.kept(fetched), source.spent() - before)


def stored_bytes(composite: Composite, recipe: Recipe, season: Season) -> int:
    """Size of a composite as a run stores it; it is written to a temporary folder and removed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.tif"
        write_composite(path, composite, recipe, season, {})
        return path.stat().st_size


def _burden(tariff: Tariff, hours: Spread | None) -> dict[str, Any]:
    """Months or dollars of a workload."""
    if hours is None:
        return {}
    rule, name = (months, "job_months") if tariff.dollars is None else (dollars, "job_dollars")
    return {name: {key: rule(tariff, getattr(hours, key)) for key in ("mean", "low", "high")}}


def estimate_area(request: EstimateRequest, report: Callable[[str], None] = lambda text: None) -> Estimate:
    """The estimate of an area; no run folder is written.

    Without any credentials it is counted only; credentials that do not work are an error.

    Args:
        request: Area, year and sample.
        report: Takes notices and progress, one sentence each.

    Raises:
        InputError: The area cannot be used, or has no scenes.
        AccessError: There are credentials, but Earth Engine cannot be used with them.
        EarthEngineError: Every cell of the sample failed.
    """
    workload, size = counted(request, report)
    if why := why_not_measured(request):
        return Estimate(size, request.seed, why_not=why)
    source = EarthEngineSource(workload.recipe, request.settings, cropland=request.cropland)
    return estimate_by(source, request, workload, size, report)


def counted(request: EstimateRequest, report: Callable[[str], None]) -> tuple[Workload, Size]:
    """The cells and bins of a request, and their size; nobody is asked.

    Raises:
        InputError: The area or the CRS cannot be used.
    """
    workload = plan_workload(request)
    for text in workload.aoi.notices:
        report(text)
    return workload, count(workload, request.settings.request_bytes)


def why_not_measured(request: EstimateRequest) -> str | None:
    """Why no cell can be measured; None where some can.

    Raises:
        AccessError: There are credentials, but they cannot be used.
    """
    if not request.samples:
        return "--samples 0 asks for no measurement."
    try:
        find_access(request.settings)
    except NoCredentialsError as error:
        return str(error)
    return None


def estimate_by(
    source: EarthEngineSource,
    request: EstimateRequest,
    workload: Workload,
    size: Size,
    report: Callable[[str], None],
) -> Estimate:
    """The estimate of an area whose composites a source fetches, of a sample of its cells.

    Args:
        source: Who fetches.
        request: Sample and settings.
        workload: What is estimated.
        size: Its size.
        report: Takes notices and progress, one sentence each.

    Raises:
        InputError: The area has no scenes.
        AccessError: Earth Engine cannot be used.
        EarthEngineError: Every cell of the sample failed.
    """
    for text in source.survey(workload.aoi.lonlat, workload.season, workload.bins).notices:
        report(text)
    settle = settling(request)
    measured, failed = measure(workload, source, drawn(request, workload), report, settle=settle)
    for text in source.take_notices():
        report(text)
    at_once = source.cells_ahead(size.bins, size.cell_size)
    return Estimate(size, request.seed, tuple(measured), tuple(failed), at_once)


def drawn(request: EstimateRequest, workload: Workload) -> list[Cell]:
    """The cells of the sample."""
    return list(workload.grid.cells(choose(workload.cells, request.samples, request.seed)))


def settling(request: EstimateRequest) -> Callable[[], None]:
    """What reads the profiles of all requests so far.

    Raises:
        AccessError: Earth Engine cannot be used.
    """
    session = connect(request.settings)
    return functools.partial(session.meter.settle, session)
