"""Arithmetic and sampling of estimates; no server is asked here."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any, Self
from unittest.mock import MagicMock

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.earthengine.client.session import NO_CREDENTIALS
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites import estimate as module
from gee_pipeline.earthengine.composites.estimate import (
    TABLE_DATE,
    TARIFFS,
    Estimate,
    EstimateRequest,
    MeasuredCell,
    Size,
    Tariff,
    choose,
    count,
    dollars,
    estimate_area,
    measure,
    months,
    plan_workload,
    spread,
)
from gee_pipeline.errors import AccessError, EarthEngineError, InputError, NoCredentialsError
from gee_pipeline.grid import Cell
from gee_pipeline.season import Season
from gee_pipeline.source import Composite, SceneCounts, Spent, Survey

DOCS = Path(__file__).resolve().parents[4] / "docs" / "earth_engine.md"
SIXTEEN_MIB = 16 * 1024 * 1024
SIZE = Size(cells=200, cell_size=256, bins=43, bands=10, requests=800, network_bytes=1, disk_bytes=1)


def test_without_measurement_googles_figures_give_an_order_of_magnitude() -> None:
    """1,000 patches took 8.13 EECU-hours for six months and 14.92 for twelve."""
    size = module.Size(1_000, 256, 43, 10, 1, 1, 1)
    assert size.published_eecu_hours == pytest.approx((8.13, 14.92))
    quarter = module.Size(1_000, 128, 43, 10, 1, 1, 1)
    assert quarter.published_eecu_hours == pytest.approx((8.13 / 4, 14.92 / 4))


def _area(folder: Path, width: float, height: float) -> Path:
    """A rectangle in UTM 15N whose corner is a corner of cells; metres."""
    left, top = 245 * 2_560.0, 1_500 * 2_560.0
    path = folder / "area.gpkg"
    box = shapely.box(left, top - height, left + width, top)
    geopandas.GeoDataFrame(geometry=[box], crs="EPSG:32615").to_file(path)
    return path


def _cell(name: str, seconds: float, eecu: float, unmeasured: int = 0) -> MeasuredCell:
    return MeasuredCell(name, seconds, 1_000, Spent(5, 10_000, eecu, unmeasured))


def test_an_area_of_ten_by_five_cells_is_counted(tmp_path: Path) -> None:
    workload = plan_workload(EstimateRequest(_area(tmp_path, 25_600, 12_800), 2021))
    size = count(workload, SIXTEEN_MIB)
    # 43 bins of 10 bands of int16 are 56.4 MB a cell: 12 bins (15.7 MB) fit into 16 MiB, so 4 requests
    assert (size.cells, size.bins, size.bands, size.requests) == (50, 43, 10, 200)
    assert size.network_bytes == 50 * 256 * 256 * 43 * 10 * 2
    assert size.disk_bytes == 50 * 256 * 256 * (43 * 10 * 2 + 7)


def test_a_whole_season_has_seventy_three_bins(tmp_path: Path) -> None:
    workload = plan_workload(EstimateRequest(_area(tmp_path, 2_560, 2_560), 2021, whole_season=True))
    size = count(workload, SIXTEEN_MIB)
    assert (size.cells, size.bins, size.requests) == (1, 73, 7)  # 12 bins per request: 73 / 12 = 6.1


def test_smaller_cells_are_more_and_need_fewer_requests_each(tmp_path: Path) -> None:
    workload = plan_workload(EstimateRequest(_area(tmp_path, 2_560, 2_560), 2021, cell_size=128))
    size = count(workload, SIXTEEN_MIB)
    # 43 bins of 128 x 128 pixels and 10 bands are 14.1 MB
    assert (size.cells, size.cell_size, size.requests) == (4, 128, 4)
    assert size.network_bytes == 256 * 256 * 43 * 10 * 2


def test_a_cell_has_whole_tiles(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of 16 from 32 to 1024 pixels, got 100"):
        EstimateRequest(tmp_path, 2021, cell_size=100)


def test_smaller_requests_are_more_requests(tmp_path: Path) -> None:
    workload = plan_workload(EstimateRequest(_area(tmp_path, 2_560, 2_560), 2021))
    assert count(workload, 256 * 256 * 10 * 2).requests == 43  # one bin each


@given(cells=st.integers(1, 60), samples=st.integers(0, 80), seed=st.integers(0, 9))
def test_a_sample_has_each_cell_once_and_no_other(cells: int, samples: int, seed: int) -> None:
    indices = np.column_stack([np.arange(cells), np.arange(cells) + 100]).astype(np.int32)
    chosen = [tuple(row) for row in choose(indices, samples, seed)]
    assert len(chosen) == len(set(chosen)) == min(cells, samples)
    assert set(chosen) <= {(i, i + 100) for i in range(cells)}


def test_a_seed_chooses_the_same_cells_and_another_seed_others() -> None:
    indices = np.column_stack([np.arange(1_000)] * 2).astype(np.int32)
    first = choose(indices, 5, seed=1)
    assert np.array_equal(first, choose(indices, 5, seed=1))
    assert not np.array_equal(first, choose(indices, 5, seed=2))


def test_a_sample_comes_from_the_whole_area() -> None:
    indices = np.column_stack([np.arange(100)] * 2).astype(np.int32)
    found = {int(row[0]) // 25 for seed in range(20) for row in choose(indices, 5, seed)}
    assert found == {0, 1, 2, 3}


def test_mean_and_range_are_scaled_to_all_cells() -> None:
    found = Estimate(SIZE, 1, (_cell("a", 10, 36), _cell("b", 20, 72), _cell("c", 60, 18)), at_once=4)
    hours, seconds = found.eecu_hours, found.seconds
    assert hours is not None
    assert seconds is not None
    # mean 42 s, 18 to 72 s; times 200 cells / 3600
    assert (hours.mean, hours.low, hours.high) == pytest.approx((42 / 18, 1, 4))
    # mean 30 s, 10 to 60 s; 200 cells, 4 at once
    assert (seconds.mean, seconds.low, seconds.high) == pytest.approx((1_500, 500, 3_000))
    assert hours.measured == 3


def test_a_cell_without_profile_does_not_count_in_computing() -> None:
    found = Estimate(SIZE, 1, (_cell("a", 10, 36), _cell("b", 20, 1, unmeasured=2)))
    assert found.eecu_hours is not None
    assert (found.eecu_hours.mean, found.eecu_hours.measured) == (2, 1)
    assert found.seconds_a_cell is not None
    assert found.seconds_a_cell.measured == 2


def test_computing_is_unknown_where_no_profile_was_read() -> None:
    found = Estimate(SIZE, 1, (_cell("a", 10, 0, unmeasured=1),))
    assert found.eecu_hours is None
    assert found.to_dict()["measured"]["eecu_hours"] is None


def test_one_cell_is_not_fetched_faster_than_it_comes() -> None:
    found = Estimate(Size(1, 256, 43, 10, 4, 1, 1), 1, (_cell("a", 10, 36),), at_once=8)
    assert found.seconds is not None
    assert found.seconds.mean == 10


def test_nothing_has_no_spread() -> None:
    assert spread([]) is None


def test_hours_become_months_of_a_tier_or_dollars() -> None:
    tier, price = Tariff("t", 150, None, "", ""), Tariff("p", None, 0.4, "", "")
    assert (months(tier, 300), dollars(tier, 300)) == (2, None)
    assert (months(price, 300), dollars(price, 300)) == (None, 120)


def test_a_tariff_has_hours_or_a_price() -> None:
    with pytest.raises(ValueError, match="hours or a price"):
        Tariff("both", 150, 0.4, "", "")


def test_the_documents_show_the_table_of_the_code() -> None:
    text = DOCS.read_text(encoding="utf-8")
    after = text.split("| tariff | EECU-hours per month | US$ per EECU-hour | condition | source |\n")[1]
    table = after.split("\n\n")[0].splitlines()[1:]
    assert [[part.strip() for part in line.split("|")[1:-1]] for line in table] == [
        [
            tariff.name,
            "" if tariff.eecu_hours is None else f"{tariff.eecu_hours:,}",
            "free" if tariff.dollars is None else f"{tariff.dollars:.2f}",
            tariff.condition,
            tariff.source,
        ]
        for tariff in TARIFFS
    ]
    assert f"As of {TABLE_DATE.isoformat()}" in text


def test_each_number_of_the_table_says_where_it_comes_from() -> None:
    assert all(re.match("documented: |from memory", tariff.source) for tariff in TARIFFS)
    assert {tariff.eecu_hours for tariff in TARIFFS} == {150, 1_000, 100_000, None}


class FakeSource:
    """Takes as many EECU-seconds for a cell as its column number plus one; some cells fail."""

    def __init__(self, failing: frozenset[int] = frozenset()) -> None:
        self.failing = failing
        self.total = Spent(3, 300, 0.5)  # something was asked before
        self.asked: list[tuple[str, Season, range]] = []

    def spent(self) -> Spent:
        return self.total

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        self.asked.append((cell.name, season, bins))
        self.total += Spent(5, 1_000, cell.col + 1.0)
        if cell.col in self.failing:
            raise EarthEngineError(f"{cell.name} is too much.")
        values = np.zeros((len(bins), 10, *cell.geobox.shape), np.int16)
        return Composite(values, cell.geobox, bins, module.Recipe().bands, SceneCounts())

    def survey(self, area: Any, season: Season, bins: range) -> Survey:
        return Survey(7, ("Seven scenes.",))

    def settle(self) -> None:
        pass

    def keeping(self, folder: Path) -> Self:
        return self

    def take_notices(self) -> list[str]:
        return ["Restricted."]

    def label(self, name: str) -> None:
        pass

    def cells_ahead(self, bins: int, cell_size: int) -> int:
        return 3

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def workload(tmp_path: Path) -> module.Workload:
    return plan_workload(EstimateRequest(_area(tmp_path, 3 * 2_560, 2_560), 2021))


def test_a_cell_takes_what_was_spent_while_it_was_read(workload: module.Workload) -> None:
    source, lines = FakeSource(), list[str]()
    ticks = iter([0.0, 2.0, 10.0, 15.0])
    cells = [workload.grid.cell(0, 2), workload.grid.cell(0, 0)]
    measured, failed = measure(workload, source, cells, lines.append, clock=lambda: next(ticks))
    assert [(cell.name, cell.eecu_seconds, cell.seconds) for cell in measured] == [
        ("r0000_c0002", 3, 2),
        ("r0000_c0000", 1, 5),
    ]
    assert [cell.spent.bytes for cell in measured] == [1_000, 1_000]
    assert all(0 < cell.disk_bytes < 256 * 256 * 43 * 10 * 2 for cell in measured)
    assert failed == []
    assert lines == ["1 of 2 cells measured: r0000_c0002", "2 of 2 cells measured: r0000_c0000"]
    assert source.asked[0][1:] == (Season(2021, date(2021, 1, 1), hours_ahead=-6), range(24, 67))


def test_profiles_are_read_before_the_first_cell_and_after_each(workload: module.Workload) -> None:
    """Otherwise the first cell would pay for the survey, and the next for a cell that failed."""
    source = FakeSource(frozenset({0}))
    pending = [10.0]  # EECU-seconds asked for and not yet read

    def settle() -> None:
        source.total += Spent(0, 0, pending.pop() if pending else 0.0)

    read_cell = source.read_cell
    source.read_cell = lambda *asked: pending.append(5.0) or read_cell(*asked)  # type: ignore[method-assign]
    cells = [workload.grid.cell(0, 0), workload.grid.cell(0, 1)]
    measured, _ = measure(workload, source, cells, lambda text: None, settle=settle)
    assert [cell.eecu_seconds for cell in measured] == [2 + 5]


def test_a_cell_that_fails_is_named_and_does_not_count(workload: module.Workload) -> None:
    cells = [workload.grid.cell(0, 0), workload.grid.cell(0, 1)]
    measured, failed = measure(workload, FakeSource(frozenset({1})), cells, lambda text: None)
    assert [cell.name for cell in measured] == ["r0000_c0000"]
    assert failed == [("r0000_c0001", "r0000_c0001 is too much.")]


def test_an_estimate_is_an_error_where_every_cell_fails(workload: module.Workload) -> None:
    cells = [workload.grid.cell(0, 0), workload.grid.cell(0, 1)]
    with pytest.raises(EarthEngineError, match="too much"):
        measure(workload, FakeSource(frozenset({0, 1})), cells, lambda text: None)


def test_a_negative_sample_or_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--samples"):
        EstimateRequest(tmp_path, 2021, samples=-1)
    with pytest.raises(InputError, match="--seed"):
        EstimateRequest(tmp_path, 2021, seed=-1)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    source = FakeSource()
    monkeypatch.setattr(module, "find_access", lambda settings: None)
    monkeypatch.setattr(module, "connect", lambda settings: MagicMock())
    monkeypatch.setattr(module, "EarthEngineSource", lambda recipe, settings, cropland: source)
    return source


def test_the_whole_estimate_writes_nothing_and_tells_what_it_does(
    tmp_path: Path, offered: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    aoi = _area(tmp_path, 3 * 2_560, 2_560)
    monkeypatch.chdir(tmp_path)
    told = list[str]()
    found = estimate_area(EstimateRequest(aoi, 2021, samples=2), told.append)
    assert [path.name for path in tmp_path.iterdir()] == ["area.gpkg"]
    assert (len(found.cells), found.size.cells, found.at_once) == (2, 3, 3)
    assert (told[0], told[-1]) == ("Seven scenes.", "Restricted.")
    assert json.loads(json.dumps(found.to_dict()))["measured"]["a_sample_of_cells"] == 2


def test_without_credentials_an_area_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(settings: EarthEngineSettings) -> None:
        raise NoCredentialsError(NO_CREDENTIALS)

    monkeypatch.setattr(module, "find_access", none)
    found = estimate_area(EstimateRequest(_area(tmp_path, 2_560, 2_560), 2021))
    assert (found.size.cells, found.cells) == (1, ())
    assert found.why_not == NO_CREDENTIALS
    assert found.to_dict()["measured"] is None


def test_credentials_that_do_not_work_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: EarthEngineSettings) -> None:
        raise AccessError("The key cannot be read.")

    monkeypatch.setattr(module, "find_access", broken)
    with pytest.raises(AccessError, match="cannot be read"):
        estimate_area(EstimateRequest(_area(tmp_path, 2_560, 2_560), 2021))


def test_no_sample_asks_for_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module, "find_access")
    found = estimate_area(EstimateRequest(_area(tmp_path, 2_560, 2_560), 2021, samples=0))
    assert found.why_not is not None
    assert "--samples 0" in found.why_not
