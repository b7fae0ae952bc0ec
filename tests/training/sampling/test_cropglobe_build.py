"""CropGlobe built again on made land: an emulated Earth Engine, and a register of parcels here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from click.testing import CliRunner, Result

from cli.commands import data_build
from cli.main import cropmap
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_emulator.values import Collection, Feature, Geometry
from tests.support.sample_place import Land, quick_series
from training.cropglobe.dataset import COUNTRIES
from training.sampling.cropglobe_build import FILE, OUTLINES, BuildRequest, sample_request
from training.sampling.reference.known_maps import known_maps
from training.sampling.squares.rule import SamplingRule
from training.transfer.protocol import FILE as READ

CODES = {1: "MIS", 5: "SOJ", 24: "BTH", 36: "LUZ", 111: "PPH", 176: "J5M"}


@pytest.fixture(scope="module")
def land() -> Land:
    return Land(asset="USDA/NASS/CDL/2023", days=("2023-05-03", "2023-07-16"))


@pytest.fixture
def server(land: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    quick_series(monkeypatch)
    short = Recipe.of(bands=("B4", "B11"), bin_days=73, min_clear_bins=1)
    ours = data_build.build_request
    monkeypatch.setattr(data_build, "build_request", lambda options: replace(ours(options), recipe=short))
    with Emulator(land.archive) as emulator:
        monkeypatch.setenv(URL_VARIABLE, emulator.url)
        yield emulator
        assert emulator.errors == []


@pytest.fixture
def build(server: Emulator, land: Land, tmp_path: Path) -> Any:
    parcels = tmp_path / "rpg.gpkg"
    land.parcels(CODES).rename(columns={"code": "CODE_CULTU"}).to_file(parcels)
    area = land.area(tmp_path)

    def run(*words: Any) -> Result:
        usual = ["data", "build", "cropglobe", "--to", tmp_path / "again", "--area", f"FRA={area}"]
        usual += [
            "--area",
            f"USA={area}",
            "--map",
            f"FRA={parcels}",
            "--countries",
            "fra,USA",
            "--buffer",
            20,
        ]
        access = ["--project", server.project, "--service-account", server.key_file(tmp_path)]
        return CliRunner().invoke(cropmap, [str(word) for word in (*usual, *access, *words)])

    return run


def test_countries_and_names_are_those_of_the_published_files() -> None:
    assert {known.country for known in known_maps().values()} == set(COUNTRIES)
    assert FILE == READ


@pytest.mark.slow
def test_each_country_is_sampled_by_the_rules_of_the_paper(build: Any, tmp_path: Path) -> None:
    result = build()
    assert result.exit_code == 0, result.output
    found = {}
    for code in ("FRA", "USA"):
        with np.load(tmp_path / "again" / FILE.format(code)) as file:
            found[code] = {key: file[key] for key in file.files}
        rule = json.loads(str(found[code]["metadata"]))["request"]
        assert (rule["per_cell"], rule["each_class"], rule["buffer"]) == (5 if code == "FRA" else 1, True, 20)
        assert rule["spacing"] == 60
    assert set(found["FRA"]["value"]) == {"MIS", "SOJ", "BTH", "LUZ"}
    assert set(found["USA"]["value"]) == {1, 5, 24, 36}
    lines = result.stdout.splitlines()
    counts = np.bincount(found["FRA"]["lbl"], minlength=7)
    assert lines[1].split()[:3] == ["FRA", str(counts[0]), "(24,906)"]
    assert "table 1 of Tong et al. 2025" in lines[-1]
    again = build("--json")
    told = json.loads(again.stdout)
    assert [country["code"] for country in told] == ["FRA", "USA"]
    assert told[0]["counts"]["found"] == counts.tolist()


@pytest.mark.slow
def test_a_country_that_fails_does_not_end_the_others(build: Any, tmp_path: Path) -> None:
    parcels = tmp_path / "rpg.gpkg"
    whole = parcels.read_bytes()
    parcels.write_text("no parcels")
    result = build()
    assert result.exit_code == 3
    assert "FRA: The parcels" in result.stderr
    assert "The same command continues" in result.stderr
    assert (tmp_path / "again" / FILE.format("USA")).exists()
    assert not (tmp_path / "again" / FILE.format("FRA")).exists()
    parcels.write_bytes(whole)
    assert build().exit_code == 0
    twice = build("--map", f"FRA={parcels}")
    assert twice.exit_code == 2
    assert "named twice" in twice.stderr


def test_a_dry_run_counts_each_country(build: Any, tmp_path: Path) -> None:
    told = json.loads(build("--dry-run", "--json").stdout)
    assert set(told) == {"FRA", "USA"}
    assert told["USA"]["samples"] == sum(one["drawn"] for one in told["USA"]["points"].values()) > 0
    assert not (tmp_path / "again").exists()


def test_an_outline_is_fetched_once(server: Emulator, land: Land, tmp_path: Path) -> None:
    from tests.training.sampling.test_field_samples import settings_of

    shape = shapely.box(-91.3, 35.0, -91.2, 35.1)
    others = Feature(Geometry(shapely.box(0, 0, 1, 1), geodesic=True), {"country_na": "France"})
    here = Feature(Geometry(shape, geodesic=True), {"country_na": "United States"})
    server.assets.put(OUTLINES, Collection((here, others)))
    request = BuildRequest(tmp_path / "again", ("USA",), settings=settings_of(server, tmp_path))
    aoi = sample_request(request, "USA").aoi
    found = shapely.from_geojson(aoi.read_text())  # edges there are the shortest ways on the earth
    assert found.symmetric_difference(shape).area < 1e-3 * shape.area
    server.log.clear()
    assert sample_request(request, "USA").aoi == aoi
    assert len(server.log) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"countries": ("FRA", "DEU")}, "got DEU"),
        ({"countries": ("USA",), "maps": {"FRA": "x"}}, "not among --countries USA"),
    ],
)
def test_a_country_that_is_not_built_is_named(options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        BuildRequest(tmp_path, **options)


def test_a_map_that_has_to_be_fetched_says_where_it_is(tmp_path: Path) -> None:
    request = BuildRequest(tmp_path, areas={"BEL": tmp_path / "area.geojson"})
    with pytest.raises(InputError, match=r"BEL takes its labels.*landbouwvlaanderen.*--map BEL=PATH"):
        sample_request(request, "BEL")
    assert BuildRequest(tmp_path).rule == SamplingRule()
