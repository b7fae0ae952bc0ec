"""Samples from the emulator against a plain look at map and scenes; order, interruption, faults, limits."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest

from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.errors import BudgetSpentError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.server import Emulator
from tests.support.sample_place import Land, quick_series
from training.samples.samples import read_samples
from training.sampling.field_samples import SampleListener, SampleProgress, take_samples
from training.sampling.plan import SampleRequest
from training.sampling.sample_file import SampleSummary
from training.sampling.squares.grid import SampleCell
from training.sampling.squares.rule import SamplingRule

pytestmark = pytest.mark.slow

SHORT = Recipe.of(bands=("B4", "B11"), bin_days=73, min_clear_bins=1)
"""Five bins of two bands: cheap to evaluate."""

RULE = SamplingRule(grid=0.01, per_cell=3)
LABELS = {1: 0, 5: 1, 24: 3, 36: 6}
"""Value of the made map -> label of CropGlobe; 111 and 176 are no crops."""


@pytest.fixture(scope="module")
def land() -> Land:
    return Land()


@pytest.fixture(scope="module")
def server(land: Land) -> Iterator[Emulator]:
    with Emulator(land.archive) as emulator:
        yield emulator


@pytest.fixture
def request_of(server: Emulator, land: Land, tmp_path: Path) -> Iterator[Any]:
    """Makes requests to the emulator; what it was told is forgotten afterwards."""
    server.log.clear()

    def make(**changes: Any) -> SampleRequest:
        values = {
            "aoi": land.area(tmp_path),
            "year": 2021,
            "reference": "cdl",
            "out": tmp_path / "samples.npz",
            "rule": RULE,
            "recipe": SHORT,
            "settings": settings_of(server, tmp_path),
        }
        return SampleRequest(**{**values, **changes})

    yield make
    server.rule = None
    assert server.errors == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is drawn: the series are not those of the scenes."""
    quick_series(monkeypatch)


@pytest.fixture(scope="module")
def whole(
    server: Emulator, land: Land, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, SampleSummary]:
    """Six squares in one go, and what was said of them."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        quick_series(patch)
        settings = settings_of(server, folder)
        out = folder / "samples.npz"
        request = SampleRequest(
            land.area(folder), 2021, "cdl", out, rule=RULE, recipe=SHORT, settings=settings
        )
        return out, take_samples(request)


def settings_of(server: Emulator, folder: Path, **changes: Any) -> EarthEngineSettings:
    return EarthEngineSettings(server.project, server.key_file(folder), server.url, **changes)


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def same_samples(one: Path, other: Path) -> None:
    first, second = arrays(one), arrays(other)
    for key in ("fea", "lbl", "observed", "lon", "lat", "value"):
        np.testing.assert_array_equal(first[key], second[key])


def square(lon: float, lat: float) -> tuple[int, int]:
    return math.floor(lat * 100), math.floor(lon * 100)


def distances(found: dict[str, np.ndarray]) -> np.ndarray:
    """Geodesic distances in metres of all pairs."""
    lon, lat = found["lon"], found["lat"]
    i, j = np.triu_indices(len(lon), 1)
    return np.asarray(pyproj.Geod(ellps="WGS84").inv(lon[i], lat[i], lon[j], lat[j])[2])


def test_samples_are_those_of_a_plain_look(
    request_of: Any, server: Emulator, land: Land, tmp_path: Path
) -> None:
    """The real recipe: 73 bins of ten bands, one sample in each of two squares."""
    request = request_of(
        aoi=land.area(tmp_path, cols=2, rows=1), recipe=Recipe(), rule=replace(RULE, per_cell=1)
    )
    summary = take_samples(request)
    found = arrays(request.out)
    assert found["fea"].shape == (2, 10, 73)
    assert found["fea"].dtype == np.int16
    for i in range(2):
        lon, lat = found["lon"][i], found["lat"][i]
        values = land.around(lon, lat, 60)
        assert len({LABELS.get(value) for value in values}) == 1
        assert found["lbl"][i] == LABELS[values.pop()]
        assert found["value"][i] == land.map[land.pixel(lon, lat, 30)]
        np.testing.assert_array_equal(found["fea"][i], land.series(lon, lat, date(2021, 1, 1)))
    np.testing.assert_array_equal(found["observed"], found["fea"][:, 0] != -9999)
    assert found["observed"].any()
    assert not (tmp_path / "samples.npz.parts").exists()
    assert (summary.samples, summary.cells, summary.scenes, summary.sparse) == (2, 2, 4, 2)
    asked = [json.dumps(entry.body) for entry in server.log.of("value")]
    assert sum("system:index" in text for text in asked) == 2  # the scenes of each square are listed once
    assert (
        len(server.log.of("pixels")) == 2 * 2
    )  # the reference map of a square, and the series of its sample


def test_squares_candidates_and_values_left_out_are_counted(
    whole: tuple[Path, SampleSummary], land: Land, tmp_path: Path
) -> None:
    out, summary = whole
    found = arrays(out)
    lattice = lattice_in(land, json.loads(land.area(tmp_path).read_text())["coordinates"][0])
    pure = [len({LABELS.get(v) for v in land.around(lon, lat, 60)}) == 1 for lon, lat in lattice]
    values = [int(land.map[land.pixel(lon, lat, 30)]) for lon, lat in lattice]
    candidates = [p and v in LABELS for p, v in zip(pure, values, strict=True)]
    assert summary.candidates == sum(candidates) > 200
    assert summary.left_out == {
        str(value): count for value, count in Counter(v for v in values if v not in LABELS).most_common()
    }
    there = Counter(square(*place) for place, ok in zip(lattice, candidates, strict=True) if ok)
    taken = Counter(map(square, found["lon"], found["lat"]))
    squares = {square(*place) for place in lattice}
    assert len(squares) == summary.cells == 6
    assert summary.cells_without == sum(there[name] == 0 for name in squares)
    assert taken == {name: min(3, count) for name, count in there.items()}
    assert summary.samples == sum(taken.values()) == len(found["lbl"])
    names = ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
    assert summary.classes == {name: int((found["lbl"] == i).sum()) for i, name in enumerate(names)}


def lattice_in(land: Land, ring: list[list[float]]) -> list[tuple[float, float]]:
    """Points of 60 m, 5 m north-east of whole multiples, within a box of degrees."""
    (west, south), (east, north) = ring[0], ring[2]
    x = 60 * np.arange(land.left // 60 - 1, (land.left + 4_800) // 60 + 2) + 5
    y = 60 * np.arange((land.top - 4_800) // 60 - 1, land.top // 60 + 2) + 5
    to_degrees = pyproj.Transformer.from_crs(land.crs, "EPSG:4326", always_xy=True)
    lon, lat = (a.ravel() for a in to_degrees.transform(*np.meshgrid(x, y)))
    inside = (lon > west) & (lon < east) & (lat > south) & (lat < north)
    return list(zip(lon[inside].tolist(), lat[inside].tolist(), strict=True))


@pytest.mark.usefixtures("quick")
def test_samples_are_apart_within_and_across_squares(request_of: Any, land: Land, tmp_path: Path) -> None:
    area = land.area(tmp_path, cols=2, rows=1)
    request = request_of(aoi=area, rule=replace(RULE, per_cell=25, buffer=0))
    take_samples(request)
    found = arrays(request.out)
    assert len(found["lbl"]) == 50
    assert 59.9 < distances(found).min() < 61


@pytest.mark.usefixtures("quick")
def test_zones_are_kept_apart(tmp_path: Path) -> None:
    """Squares on both sides of 90 degrees west, each on the pixels of its own zone."""
    land = Land(crs="EPSG:32616", lon=-90.0, values=(1,))
    with Emulator(land.archive) as server:
        request = SampleRequest(
            land.area(tmp_path, cols=4, rows=1),
            2021,
            "cdl",
            tmp_path / "samples.npz",
            rule=replace(RULE, per_cell=12),
            recipe=SHORT,
            settings=settings_of(server, tmp_path),
        )
        take_samples(request)
        grids = {(e.grid.crs, e.grid.width) for e in server.log.of("pixels") if e.grid}
    found = arrays(request.out)
    assert distances(found).min() > 59.9
    for crs, side in (("EPSG:32615", found["lon"] < -90), ("EPSG:32616", found["lon"] > -90)):
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(
            found["lon"][side], found["lat"][side]
        )
        np.testing.assert_allclose((x - 5) % 60, np.round((x - 5) % 60 / 60) * 60, atol=1e-3)
        np.testing.assert_allclose((y - 5) % 60, np.round((y - 5) % 60 / 60) * 60, atol=1e-3)
        assert side.sum() == 24
        assert (crs, 1) in grids


def test_south_of_the_equator_the_year_begins_in_july(tmp_path: Path) -> None:
    days = ("2020-07-02", "2020-11-20", "2021-06-29", "2021-07-02")
    asset = "projects/p/assets/crops"
    land = Land(crs="EPSG:32720", lon=-60.3, lat=-33.4, days=days, asset=asset)
    table = tmp_path / "table.toml"
    table.write_text("[classes]\ncorn = [1, 5]\nother = 36")
    with Emulator(land.archive) as server:
        request = SampleRequest(
            land.area(tmp_path, cols=2, rows=1),
            2021,
            f"asset:{asset}:cropland",
            tmp_path / "samples.npz",
            table,
            replace(RULE, per_cell=1, each_class=True),
            SHORT,
            settings=settings_of(server, tmp_path),
        )
        summary = take_samples(request)
    found = arrays(request.out)
    assert set(found["lbl"]) == {0, 6}
    for i in range(len(found["lbl"])):
        expected = land.series(found["lon"][i], found["lat"][i], date(2020, 7, 1), ("B4", "B11"), 73)
        np.testing.assert_array_equal(found["fea"][i], expected)
        assert found["lbl"][i] == {1: 0, 5: 0, 36: 6}[int(found["value"][i])]
    assert summary.scenes == 3
    assert list(summary.classes) == ["corn", "other"]
    assert set(summary.left_out) <= {"24", "111", "176"}
    samples = read_samples([request.out], ["corn", "other"])
    assert samples.season is not None
    assert (samples.season.start, samples.recipe.composite_part) == (date(2020, 7, 1), SHORT.composite_part)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("threads", [1, 3])
def test_the_result_does_not_hang_on_the_number_of_requests_at_once(
    threads: int, request_of: Any, server: Emulator, whole: tuple[Path, SampleSummary], tmp_path: Path
) -> None:
    request = request_of(settings=settings_of(server, tmp_path, most_requests=threads))
    take_samples(request)
    same_samples(request.out, whole[0])
    assert server.log.most_at_once() <= threads


@pytest.mark.usefixtures("quick")
def test_an_interrupted_sampling_continues_without_asking_again(
    request_of: Any, server: Emulator, whole: tuple[Path, SampleSummary], tmp_path: Path
) -> None:
    request = request_of(settings=settings_of(server, tmp_path, most_requests=1))

    def interrupt(progress: SampleProgress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_samples(request, SampleListener(progress=interrupt))
    assert not request.out.exists()
    kept = {path.name for path in (tmp_path / "samples.npz.parts").glob("*.npz")}
    assert 3 <= len(kept) <= 4  # one may have been in flight
    server.log.clear()
    states: list[SampleProgress] = []
    take_samples(
        replace(request, settings=settings_of(server, tmp_path)), SampleListener(progress=states.append)
    )
    assert states[0].done == len(kept)
    assert len(references(server)) - (6 - len(kept)) in (
        0,
        1,
    )  # the one in flight may ask after the interrupt
    same_samples(request.out, whole[0])


def corner(entry: LoggedRequest) -> tuple[float, float]:
    """West and north of what was asked for."""
    assert entry.body is not None
    grid = entry.body["grid"]["affineTransform"]
    return grid["translateX"], grid["translateY"]


def references(server: Emulator) -> list[LoggedRequest]:
    """Requests for the reference map of a square."""
    return [entry for entry in server.log.of("pixels") if entry.grid and entry.grid.width > 1]


@pytest.mark.usefixtures("quick")
def test_failed_squares_are_named_and_tried_again(
    request_of: Any, server: Emulator, whole: tuple[Path, SampleSummary], tmp_path: Path
) -> None:
    corners = {SampleCell(row, -9127, 600).lattice(60).transform for row in (3502, 3503)}
    west = {(transform.c, transform.f) for transform in corners}

    def rule(entry: LoggedRequest) -> Answer | None:
        there = entry.kind == "pixels" and corner(entry) in west
        return Answer.error(400, "Image.load: something is wrong here.") if there else None

    server.rule = rule
    request = request_of()
    with pytest.raises(IncompleteRunError) as caught:
        take_samples(request)
    message = str(caught.value)
    assert "2 of 6 squares failed" in message
    assert "something is wrong here" in message
    assert len([name for name in ("35.02N_91.27W", "35.03N_91.27W") if name in message]) == 2
    partial, full = arrays(request.out), arrays(whole[0])
    assert 0 < len(partial["lbl"]) < len(full["lbl"])
    assert set(partial["lon"]) < set(full["lon"])
    server.rule = None
    server.log.clear()
    take_samples(request)
    assert len(references(server)) == 2
    same_samples(request.out, whole[0])
    assert not (tmp_path / "samples.npz.parts").exists()


@pytest.mark.usefixtures("quick")
def test_a_budget_ends_the_sampling_and_a_larger_one_goes_on(
    request_of: Any, server: Emulator, whole: tuple[Path, SampleSummary]
) -> None:
    hours = whole[1].eecu_hours
    request = request_of(max_eecu_hours=hours / 2)
    with pytest.raises(BudgetSpentError, match="--max-eecu-hours") as caught:
        take_samples(request)
    assert caught.value.exit_code == 3
    assert server.eecu_seconds / 3600 <= hours / 2
    summary = take_samples(replace(request, max_eecu_hours=hours * 3))
    assert summary.eecu_hours == pytest.approx(hours, rel=0.2)
    same_samples(request.out, whole[0])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("hours", [0.0, -3.0, math.nan])
def test_a_budget_is_a_number_above_0(request_of: Any, server: Emulator, hours: float) -> None:
    with pytest.raises(InputError, match=r"--max-eecu-hours is a number above 0, got"):
        take_samples(request_of(max_eecu_hours=hours))
    assert len(server.log) == 0


def test_a_complete_file_is_not_made_twice(request_of: Any, server: Emulator) -> None:
    request = request_of()
    first = take_samples(request)
    server.log.clear()
    left = request.out.with_name(f"{request.out.name}.parts")  # as by a kill just after the file was written
    left.mkdir()
    (left / "facts.json").touch()
    assert take_samples(request) == first
    assert not left.exists()
    assert len(server.log) == 0
    with pytest.raises(MismatchError, match="seed: 0 against 1"):
        take_samples(replace(request, rule=replace(RULE, seed=1)))


def test_a_file_of_something_else_is_not_written_over(request_of: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", fea=np.zeros(3))
    with pytest.raises(InputError, match="not a file of 'cropmap sample'"):
        take_samples(request_of())


@pytest.mark.usefixtures("quick")
def test_another_seed_draws_other_samples(request_of: Any, whole: tuple[Path, SampleSummary]) -> None:
    request = request_of(rule=replace(RULE, seed=1))
    take_samples(request)
    shared = set(arrays(request.out)["lon"]) & set(arrays(whole[0])["lon"])
    assert len(shared) <= 3  # of 18, drawn from 530


@pytest.mark.usefixtures("quick")
def test_each_class_gives_its_own_samples(request_of: Any) -> None:
    request = request_of(rule=replace(RULE, per_cell=1, each_class=True))
    take_samples(request)
    found = arrays(request.out)
    counts = Counter(
        (square(lon, lat), label)
        for lon, lat, label in zip(found["lon"], found["lat"], found["lbl"], strict=True)
    )
    assert set(counts.values()) == {1}
    assert len(counts) > 6


def test_land_without_the_classes_is_an_error_that_tells_what_is_there(
    request_of: Any, tmp_path: Path
) -> None:
    table = tmp_path / "table.toml"
    table.write_text("[classes]\nrice = 3")
    request = request_of(classes_table=table)
    with pytest.raises(InputError) as caught:
        take_samples(request)
    message = str(caught.value)
    assert "rice" in message
    assert "111 (" in message
    assert not request.out.exists()
    assert not (tmp_path / "samples.npz.parts").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"reference": "asset:projects/p/assets/nothing"}, ["projects/p/assets/nothing", "Check its id"]),
        ({"year": 2020}, ["USDA/NASS/CDL/2020", "published"]),
        ({"reference": "asset:USDA/NASS/CDL/2021:crop"}, ["no band crop", "it has cropland"]),
    ],
)
def test_a_reference_that_is_not_there_is_one_error(
    changes: dict[str, Any], named: list[str], request_of: Any, server: Emulator, tmp_path: Path
) -> None:
    table = tmp_path / "table.toml"
    table.write_text("[classes]\ncorn = 1")
    with pytest.raises(InputError) as caught:
        take_samples(request_of(classes_table=table, **changes))
    assert [part for part in named if part not in str(caught.value)] == []
    assert server.log.of("pixels") == []
    assert not (tmp_path / "samples.npz").exists()


@pytest.mark.usefixtures("quick")
def test_progress_counts_squares_and_samples(request_of: Any) -> None:
    states: list[SampleProgress] = []
    summary: SampleSummary = take_samples(request_of(), SampleListener(progress=states.append))
    assert [(state.done, state.planned) for state in states] == [(i, 6) for i in range(7)]
    assert [state.samples for state in states] == sorted(state.samples for state in states)
    assert states[-1].samples == summary.samples
    assert (states[0].seconds_left, states[-1].seconds_left) == (None, 0)
