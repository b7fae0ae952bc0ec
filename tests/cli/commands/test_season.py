"""`cropmap season`."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import pytest
import shapely

from tests.support.tiny_place import run_cropmap

pytestmark = pytest.mark.slow


def area(path: Path, lon: float, lat: float, size: float = 0.3) -> Path:
    box = shapely.box(lon, lat, lon + size, lat + size)
    geopandas.GeoDataFrame(geometry=[box], crs="EPSG:4326").to_file(path)
    return path


def test_the_seasons_of_an_area_and_the_options_that_fit(tmp_path: Path) -> None:
    result = run_cropmap("season", "--aoi", area(tmp_path / "a.geojson", -91.3, 35.1))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "winter crops: 1 November of the year before to 30 June, 242 days"
    assert lines[3].split() == ["options", "--season", "winter"]
    assert lines[4].startswith("summer crops: 1 April to 30 September")
    assert "summer 84%" in lines[6]


def test_one_crop_as_json(tmp_path: Path) -> None:
    found = run_cropmap(
        "season", "--aoi", area(tmp_path / "a.geojson", -91.3, 35.1), "--crop", "wheat", "--json"
    )
    (season,) = json.loads(found.stdout)
    assert (season["crops"], season["start"], season["end"]) == ("winter", "11-01", "06-30")
    assert season["preset"] == "winter"


@pytest.mark.parametrize(
    ("lon", "lat", "options", "named"),
    [
        (-40.0, 30.0, (), ("degrees from the area", "--aoi")),  # the Atlantic
        (36.0, -0.15, (), ("--hemisphere",)),  # half on each side
        (-91.3, 35.1, ("--crop", "bananas"), ("bananas",)),
    ],
)
def test_where_there_is_no_season_the_command_says_why(
    tmp_path: Path, lon: float, lat: float, options: tuple[str, ...], named: tuple[str, ...]
) -> None:
    result = run_cropmap("season", "--aoi", area(tmp_path / "a.geojson", lon, lat), *options)
    assert result.exit_code == 2
    assert [part for part in named if part not in result.stderr] == []


def test_the_area_is_the_layer_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    for name, lat in (("north", 35.1), ("south", -35.1)):
        box = shapely.box(-62.0, lat, -61.7, lat + 0.3)
        geopandas.GeoDataFrame(geometry=[box], crs="EPSG:4326").to_file(path, layer=name)
    assert "2 layers: north, south" in run_cropmap("season", "--aoi", path).stderr
    by_name = {n: run_cropmap("season", "--aoi", path, "--layer", n, "--json") for n in ("north", "south")}
    starts = {name: json.loads(result.stdout)[-1]["start"] for name, result in by_name.items()}
    assert starts["south"] > "07" > starts["north"]  # summer crops are sown in spring
