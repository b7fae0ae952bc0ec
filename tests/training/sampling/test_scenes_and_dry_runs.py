"""Samples of scenes that are read here beside Earth Engine's, and what a dry run counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cli.commands.sample import sample
from gee_pipeline.earthengine.client.settings import URL_VARIABLE, EarthEngineSettings
from gee_pipeline.errors import IncompleteRunError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from tests.support.ee_emulator.server import Emulator
from tests.support.sample_place import Land
from tests.training.sampling.test_field_samples import settings_of
from training.sampling.dry_run import dry_run
from training.sampling.field_samples import take_samples
from training.sampling.plan import SampleRequest
from training.sampling.squares.grid import cells_touching, lattice_points
from training.sampling.squares.rule import SamplingRule

SHORT = Recipe.of(bands=("B4", "B11"), bin_days=73, min_clear_bins=1)
RULE = SamplingRule(grid=0.01, per_cell=2, buffer=20)
LABELS = {1: 0, 5: 1, 24: 3, 36: 6}


@pytest.fixture(scope="module")
def land() -> Land:
    return Land()


@pytest.fixture(scope="module")
def server(land: Land) -> Iterator[Emulator]:
    with Emulator(land.archive) as emulator:
        yield emulator
        assert emulator.errors == []


@pytest.fixture(scope="module")
def catalog(land: Land, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return land.catalog(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> EarthEngineSettings:
    """Settings with which Earth Engine cannot be reached."""
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    return EarthEngineSettings("nobody", None, "http://127.0.0.1:9")


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.slow
def test_scenes_here_give_the_samples_of_the_same_scenes_there(
    land: Land, server: Emulator, catalog: Path, nobody: EarthEngineSettings, tmp_path: Path
) -> None:
    usual = {"aoi": land.area(tmp_path, cols=2, rows=1), "year": 2021, "rule": RULE, "recipe": SHORT}
    there = SampleRequest(
        **usual, reference="cdl", out=tmp_path / "there.npz", settings=settings_of(server, tmp_path)
    )
    here = SampleRequest(
        **usual,
        reference="cdl",
        out=tmp_path / "here.npz",
        reference_at=str(land.raster(tmp_path / "cdl.tif")),
        source=str(catalog),
        settings=nobody,
    )
    take_samples(there)
    summary = take_samples(here)
    one, other = arrays(there.out), arrays(here.out)
    for key in ("fea", "lbl", "observed", "lon", "lat", "value"):
        np.testing.assert_array_equal(one[key], other[key])
    assert (one["fea"] != -9999).any(axis=(1, 2)).sum() > 2
    assert (summary.samples, summary.eecu_hours, summary.scenes) == (4, 0, 4)
    told = json.loads(str(other["metadata"]))
    assert f"from the scenes of {catalog}, labels of Cropland Data Layer" in told["source"]
    again = take_samples(here)
    assert again.samples == 4
    with pytest.raises(MismatchError, match="imagery"):
        take_samples(replace(here, leave_out_scene=("S2_20210503",)))


@pytest.mark.slow
def test_a_square_whose_scene_cannot_be_read_fails_and_is_tried_again(
    land: Land, nobody: EarthEngineSettings, tmp_path: Path
) -> None:
    catalog = land.catalog(tmp_path / "scenes")
    band = tmp_path / "scenes" / "S2_20210716" / "B04.tif"
    whole = band.read_bytes()
    band.write_bytes(whole[: len(whole) // 2])
    request = SampleRequest(
        land.area(tmp_path, cols=2, rows=1),
        2021,
        "cdl",
        tmp_path / "samples.npz",
        rule=RULE,
        recipe=SHORT,
        reference_at=str(land.raster(tmp_path / "cdl.tif")),
        source=str(catalog),
        settings=nobody,
    )
    with pytest.raises(IncompleteRunError, match=r"squares failed.*B04\.tif"):
        take_samples(request)
    band.write_bytes(whole)
    assert take_samples(request).samples == 4


def test_a_dry_run_counts_what_each_rule_leaves(
    land: Land, nobody: EarthEngineSettings, tmp_path: Path
) -> None:
    rule = replace(RULE, each_class=True)
    request = SampleRequest(
        land.area(tmp_path),
        2021,
        "cdl",
        tmp_path / "samples.npz",
        rule=rule,
        reference_at=str(land.raster(tmp_path / "cdl.tif")),
        source="nowhere/catalog.json",
        settings=nobody,
    )
    found = dry_run(request)
    expected = [Counter[int](), Counter[int](), Counter[int]()]
    values = Counter[int]()
    from gee_pipeline.aoi import read_aoi

    area = read_aoi(request.aoi).lonlat
    cells = cells_touching(area, rule)
    for cell in cells:
        points = lattice_points(cell, area, rule)
        in_cell = Counter[int]()
        for lon, lat in zip(points.lon[points.allowed], points.lat[points.allowed], strict=True):
            value = int(land.map[land.pixel(lon, lat, 30)])
            around = {LABELS.get(v) for v in land.around(lon, lat, 20)}
            if value not in LABELS:
                values[value] += 1
                continue
            expected[0][LABELS[value]] += 1
            if around == {LABELS[value]}:
                expected[1][LABELS[value]] += 1
                in_cell[LABELS[value]] += 1
        expected[2].update({label: min(count, 2) for label, count in in_cell.items()})
    names = ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
    assert found.points == {name: tuple(step[label] for step in expected) for label, name in enumerate(names)}
    assert found.left_out == {str(value): count for value, count in values.most_common()}
    assert found.without_class == values.total()
    assert (found.cells, found.samples) == (len(cells), expected[2].total())
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".geojson", ".tif"]


def test_the_command_prints_a_dry_run(land: Land, tmp_path: Path) -> None:
    words = ["--aoi", land.area(tmp_path), "--year", 2021, "--reference", "cdl", "--grid", 0.01]
    words += ["--reference-at", land.raster(tmp_path / "cdl.tif"), "--dry-run"]
    result = CliRunner().invoke(sample, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0
    assert "inside the buffer" in result.stdout
    assert result.stdout.splitlines()[-2].startswith("Samples: ")
    as_json = json.loads(CliRunner().invoke(sample, [*map(str, words), "--json"]).stdout)
    assert as_json["points"]["corn"]["of the class"] >= as_json["points"]["corn"]["inside the buffer"]
    without = CliRunner().invoke(sample, list(map(str, words[:-1])))
    assert without.exit_code == 2
    assert "--out samples.npz, or give --dry-run" in without.output


@pytest.mark.slow
def test_accuracies_of_regions_leave_values_out(
    land: Land, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corn is right in the west alone; of the others soybeans are nowhere right enough."""
    import geopandas
    import shapely

    from tests.support.sample_place import quick_series

    quick_series(monkeypatch)
    halves = geopandas.GeoDataFrame(
        {"state": ["West", "East"]},
        geometry=[shapely.box(-93, 34, land.lon - 0.005, 36), shapely.box(land.lon - 0.005, 34, -90, 36)],
        crs="EPSG:4326",
    )
    halves.to_file(tmp_path / "states.gpkg")
    (tmp_path / "accuracy.csv").write_text(
        "region,value,user,producer\nWest,1,90,90\nEast,1,90,70\nWest,24,90,90\nEast,24,90,90\n"
        "West,36,81,10\nEast,36,81,10\nWest,5,60,60\n"
    )
    request = SampleRequest(
        land.area(tmp_path),
        2021,
        "cdl",
        tmp_path / "samples.npz",
        rule=replace(RULE, each_class=True),
        recipe=SHORT,
        accuracy=tmp_path / "accuracy.csv",
        regions=str(tmp_path / "states.gpkg"),
        region_column="state",
        settings=settings_of(server, tmp_path),
    )
    take_samples(request)
    found = arrays(request.out)
    assert set(found["value"]) == {1, 24, 36}
    assert (found["lon"][found["value"] == 1] < land.lon - 0.005).all()
    assert (found["lon"] > land.lon - 0.005).any()


def test_options_of_scenes_need_a_source(land: Land, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no --source is given"):
        SampleRequest(land.area(tmp_path), 2021, "cdl", tmp_path / "s.npz", collection="x")


def test_a_file_may_hold_texts_as_values(tmp_path: Path) -> None:
    from training.sampling.cell_samples import CellSamples

    square: dict[str, Any] = {
        "series": np.zeros((2, 1, 3), np.int16),
        "labels": np.zeros(2, np.uint8),
        "lon": np.zeros(2),
        "lat": np.zeros(2),
        "values": np.array(["MIS", "MIE"]),
        "left_out": np.array([["PPH", "123456"], ["J5M", "7"]]),
    }
    (tmp_path / "a.npz").write_bytes(CellSamples(**square, candidates=9).to_bytes())
    again = CellSamples.read(tmp_path / "a.npz")
    assert again.values.tolist() == ["MIS", "MIE"]
    assert again.left_out.tolist() == [["PPH", "123456"], ["J5M", "7"]]
