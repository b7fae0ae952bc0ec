"""`cropmap fields`, as typed."""

import json
from pathlib import Path

import geopandas
import pytest
import shapely

from tests.support.assessed_map import CRS, NORTH, WEST, AssessedPlace, made_place
from tests.support.tiny_place import run_cropmap


@pytest.fixture
def mapped(tmp_path: Path) -> AssessedPlace:
    return made_place(tmp_path / "run")


@pytest.fixture
def parcels(tmp_path: Path) -> Path:
    boxes = [shapely.box(WEST + 90 * i, NORTH - 90, WEST + 90 * i + 80, NORTH) for i in range(12)]
    columns = {"key": [f"P{i}" for i in range(12)], "crop": ["wheat", "other", "hops"] * 4}
    geopandas.GeoDataFrame(columns, geometry=boxes, crs=CRS).to_file(tmp_path / "p.gpkg")
    return tmp_path / "p.gpkg"


def test_parcels_get_their_class(mapped: AssessedPlace, parcels: Path) -> None:
    given = ("--parcels", parcels, "--id", "key", "--declared", "crop", "--inner-buffer", 5)
    result = run_cropmap("fields", mapped.folder, *given)
    assert result.exit_code == 0, result.stderr
    assert f"Parcels: 12 in {mapped.folder / 'fields'}" in result.stdout
    assert "of 8 parcels" in result.stdout
    assert "no accuracy of the map" in result.stdout
    assert "4 parcels are declared as no class of the map: hops (4)" in result.stderr
    again = json.loads(run_cropmap("fields", mapped.folder, *given, "--json", "--quiet").stdout)
    assert (again["parcels"], sum(again["by_class"].values())) == (12, 12)
    kept = json.loads((mapped.folder / "fields" / "report.json").read_text(encoding="utf-8"))
    assert kept["by_class"] == again["by_class"]


def test_the_map_itself_is_cut_into_polygons(mapped: AssessedPlace) -> None:
    result = run_cropmap("fields", mapped.folder, "--vectorize", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Parcels: " in result.stdout


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "Give --parcels FILE, or --vectorize"),
        (("--vectorize", "--id", "key"), "belong to --parcels"),
        (("--vectorize", "--parcels", "{parcels}"), "Give --parcels FILE, or --vectorize"),
        (("--parcels", "{parcels}", "--id", "nothing"), "have no column 'nothing'; they have key, crop"),
    ],
)
def test_bad_input_is_exit_2_and_leaves_nothing(
    mapped: AssessedPlace, parcels: Path, given: tuple[str, ...], words: str
) -> None:
    result = run_cropmap("fields", mapped.folder, *(one.format(parcels=parcels) for one in given))
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert not (mapped.folder / "fields").exists()
