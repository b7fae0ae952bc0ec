import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import product
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from assessment.sample.design import Designed, design_sample
from assessment.sample.record import load_design
from assessment.sample.request import DesignRequest
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from tests.support.assessed_map import CRS, NORTH, WEST, AssessedPlace, key_rows, write_raster

BLIND = ("points.csv", "points.geojson", "points.gpkg", "points.kml", "ceo_plots.csv", "ceo_project.json")


@pytest.fixture
def request_(place: AssessedPlace) -> DesignRequest:
    return DesignRequest(place.folder, points=200, seed=7)


def test_a_design_says_sizes_and_probabilities_of_all_strata(
    place: AssessedPlace, request_: DesignRequest
) -> None:
    design = design_sample(request_).design
    pixels = {s.name: s.pixels for s in design.strata}
    names = {1: "wheat", 2: "maize", 3: "other", 254: "not cropland", 255: "not enough observations"}
    assert pixels == {name: (place.codes == code).sum() for code, name in names.items()}
    assert sum(s.units for s in design.strata) == len(design.units) == 200
    assert all(s.probability == s.units / s.pixels for s in design.strata)
    assert design.classes == ("wheat", "maize", "other", "not cropland")
    assert design.unmapped == ("not enough observations",)
    for unit in design.units:
        assert names[place.codes[unit.row, unit.col]] == unit.map == unit.stratum
    assert load_design(place.sample) == design


def test_what_interpreters_get_says_nothing_of_the_map(place: AssessedPlace, request_: DesignRequest) -> None:
    design = design_sample(request_).design
    columns = set(geopandas.read_file(place.sample / "points.gpkg").columns)
    assert columns == {"id", "answer", "sure", "note", "geometry"}
    for name in BLIND:
        if name not in ("points.gpkg", "ceo_project.json"):
            text = (place.sample / name).read_text(encoding="utf-8")
            assert not any(label in text for label in ("wheat", "maize", "not cropland", "stratum", "prob"))
    project = json.loads((place.sample / "ceo_project.json").read_text(encoding="utf-8"))
    asked = [one["answer"] for one in project["surveyQuestions"]["0"]["answers"].values()]
    assert asked == list(design.classes)
    assert project["plotSize"] == 10


def test_all_files_have_the_same_points(place: AssessedPlace, request_: DesignRequest) -> None:
    units = design_sample(request_).design.units
    expected = {unit.id: pytest.approx((unit.lon, unit.lat), abs=1e-7) for unit in units}
    for name in ("points.gpkg", "points.geojson"):
        frame = geopandas.read_file(place.sample / name)
        assert frame.crs == "EPSG:4326"
        found = zip(frame["id"], frame.geometry.x, frame.geometry.y, strict=True)
        assert {str(i): (x, y) for i, x, y in found} == expected
    kml = ET.parse(place.sample / "points.kml").getroot()
    space = {"k": "http://www.opengis.net/kml/2.2"}
    marks = {
        mark.findtext("k:name", "", space): mark.findtext("k:Point/k:coordinates", "", space)
        for mark in kml.iterfind(".//k:Placemark", space)
    }
    assert {i: tuple(map(float, text.split(","))) for i, text in marks.items()} == expected
    plots = (place.sample / "ceo_plots.csv").read_text().splitlines()
    assert plots[0] == "LON,LAT,PLOTID"
    assert len(plots) == 201


def test_the_same_design_is_drawn_again_and_answers_are_kept(
    place: AssessedPlace, request_: DesignRequest
) -> None:
    design_sample(request_)
    before = {path.name: path.read_bytes() for path in place.sample.iterdir() if path.suffix != ".gpkg"}
    (place.sample / "points.csv").write_text("id,answer\n1,wheat\n")
    design_sample(request_)
    assert (place.sample / "points.csv").read_text() == "id,answer\n1,wheat\n"
    (place.sample / "points.csv").unlink()
    design_sample(request_)
    after = {path.name: path.read_bytes() for path in place.sample.iterdir() if path.suffix != ".gpkg"}
    assert after == before


def test_points_of_a_sample_that_was_not_finished_are_replaced(
    place: AssessedPlace, request_: DesignRequest
) -> None:
    design_sample(request_)
    (place.sample / "design.json").unlink()  # a command that was killed before it wrote it
    design_sample(replace(request_, seed=8))
    with (place.sample / "points.csv").open(newline="") as file:
        points = [(row["id"], float(row["lon"])) for row in csv.DictReader(file)]
    key = [(row["id"], round(float(row["lon"]), 7)) for row in key_rows(place.sample)]
    assert points == key


def test_another_sample_is_not_written_over_answers(place: AssessedPlace, request_: DesignRequest) -> None:
    design_sample(request_)
    key = (place.sample / "key.csv").read_bytes()
    with pytest.raises(MismatchError, match="holds another sample"):
        design_sample(replace(request_, seed=8))
    assert (place.sample / "key.csv").read_bytes() == key


def test_a_simple_random_sample_has_one_stratum(place: AssessedPlace, request_: DesignRequest) -> None:
    design = design_sample(replace(request_, strata="none")).design
    assert (design.method, len(design.strata)) == ("simple", 1)
    shown = {unit.map for unit in design.units}
    assert shown >= {"wheat", "maize", "other", "not cropland"}
    assert design.mapped_pixels()["wheat"] == (place.codes == 1).sum()


def test_strata_by_confidence_split_each_class(place: AssessedPlace, request_: DesignRequest) -> None:
    found = design_sample(replace(request_, strata="confidence", allocate="neyman"))
    names = [s.name for s in found.design.strata]
    assert sum(name.startswith("wheat, confidence") for name in names) == 3
    assert "not enough observations" in names
    plain = design_sample(replace(request_, allocate="neyman", out=place.folder / "plain"))
    assert found.expected.overall_se < plain.expected.overall_se


@pytest.fixture
def sizes(place: AssessedPlace) -> NDArray[np.uint8]:
    """`(y, x)`: sets of the classes with at least a quarter; of nothing where all have less than a half."""
    known = np.isin(place.codes, (1, 2, 3))
    found = (place.probabilities >= 25).sum(axis=0)
    found = np.where(place.confidence < 50, 0, found)
    sizes = np.where(known, found, 255).astype(np.uint8)
    write_raster(place.folder / "map" / "sets.tif", sizes[None], 255)
    return sizes


def test_strata_by_prediction_sets_split_each_class_by_what_is_in_doubt(
    place: AssessedPlace, request_: DesignRequest, sizes: NDArray[np.uint8]
) -> None:
    found = design_sample(replace(request_, strata="sets", allocate="neyman", floor=5))
    names, kinds = {1: "wheat", 2: "maize", 3: "other"}, ("empty set", "set of one", "set of several")
    expected = {"not cropland": 254, "not enough observations": 255}
    expected = {name: int((place.codes == code).sum()) for name, code in expected.items()}
    for (code, name), (low, kind) in product(names.items(), enumerate(kinds)):
        inside = (sizes == low) if low < 2 else (sizes >= 2) & (sizes < 255)
        expected[f"{name}, {kind}"] = int((inside & (place.codes == code)).sum())
    assert {s.name: s.pixels for s in found.design.strata} == expected
    rate = {s.name: s.units / s.pixels for s in found.design.strata}
    for name in names.values():  # where the map is in doubt, more points are drawn
        assert min(rate[f"{name}, empty set"], rate[f"{name}, set of several"]) > rate[f"{name}, set of one"]
    plain = design_sample(replace(request_, allocate="neyman", floor=5, out=place.folder / "plain"))
    assert found.expected.overall_se < plain.expected.overall_se


def test_a_set_that_no_pixel_has_makes_no_stratum(
    place: AssessedPlace, request_: DesignRequest, sizes: NDArray[np.uint8]
) -> None:
    some = np.where(sizes == 0, 1, sizes)
    write_raster(place.folder / "map" / "sets.tif", some[None], 255)
    found = design_sample(replace(request_, strata="sets", floor=5))
    assert not [s.name for s in found.design.strata if "empty" in s.name]
    assert len(found.design.strata) == 8


def test_strata_by_prediction_sets_need_that_layer(request_: DesignRequest) -> None:
    with pytest.raises(InputError, match=r"need sets\.tif beside .*predict --layers sets.*--strata class"):
        design_sample(replace(request_, strata="sets"))


def test_strata_by_district_are_named_and_count_their_pixels(
    place: AssessedPlace, request_: DesignRequest, tmp_path: Path
) -> None:
    asked = replace(
        request_,
        strata="class+district",
        districts=place.write_districts(tmp_path / "d.gpkg"),
        district_column="name",
        floor=2,
    )
    design = design_sample(asked).design
    sizes = {s.name: s.pixels for s in design.strata}
    assert sizes["wheat, North"] == (place.codes[:40, :100] == 1).sum()
    assert design.districts == ("outside the districts", "North", "South")
    assert sum(design.mapped_hectares("North").values()) == pytest.approx(40, rel=2e-3)
    for unit in design.units:
        assert unit.stratum == f"{unit.map}, {unit.district}"


def test_districts_that_the_map_lacks_or_cuts_are_named(
    place: AssessedPlace, request_: DesignRequest, tmp_path: Path
) -> None:
    boxes = {
        "far": (WEST + 9000, NORTH - 900, WEST + 9900, NORTH),
        "cut": (WEST - 500, NORTH - 400, WEST + 500, NORTH),
        "whole": (WEST + 500, NORTH - 400, WEST + 1000, NORTH),
    }

    def designed(*names: str, out: str) -> Designed:
        frame = geopandas.GeoDataFrame(
            {"name": names}, geometry=[shapely.box(*boxes[name]) for name in names], crs=CRS
        )
        frame.to_file(tmp_path / f"{out}.gpkg")
        districts = {"districts": tmp_path / f"{out}.gpkg", "district_column": "name"}
        return design_sample(replace(request_, **districts, out=tmp_path / out))

    *_, none, cut = designed(*boxes, out="all").notices
    assert "No pixel of the map lies in the districts far:" in none
    assert "The districts cut reach beyond the area of the map" in cut
    with pytest.raises(InputError, match="No district of"):
        designed("far", out="far")
    assert not (tmp_path / "far").exists()


@pytest.mark.parametrize("allocate", ["proportional", "neyman", "equal"])
@pytest.mark.parametrize("strata", ["class", "none"])
def test_a_standard_error_to_reach_is_reached_with_no_point_too_many(
    place: AssessedPlace, allocate: str, strata: str
) -> None:
    asked = DesignRequest(place.folder, target_se=0.03, allocate=allocate, strata=strata, floor=2)
    found = design_sample(asked)
    n = len(found.design.units)
    assert found.expected.overall_se <= 0.03
    fewer = replace(asked, target_se=None, points=n - 12, out=place.folder / "fewer")
    assert design_sample(fewer).expected.overall_se > 0.03


def test_what_to_expect_rests_on_the_confidence_or_on_what_is_hoped_for(
    place: AssessedPlace, request_: DesignRequest
) -> None:
    high = design_sample(replace(request_, expect={"wheat": 0.99, "maize": 0.99, "other": 0.99}))
    low = design_sample(replace(request_, out=place.folder / "low"))
    assert high.expected.overall_se < low.expected.overall_se
    areas = np.array(low.expected.areas)
    assert areas.sum() == pytest.approx(1)
    with (low.folder / "plan.csv").open(newline="") as file:
        *rows, overall = csv.DictReader(file)
    assert [row["class"] for row in rows] == ["wheat", "maize", "other", "not cropland"]
    assert sum(float(row["hectares"]) for row in rows) == pytest.approx(low.design.hectares)
    for row, share, se in zip(rows, areas, low.expected.area_se, strict=True):
        assert float(row["cv"]) == pytest.approx(se / share)
    assert float(overall["se"]) == low.expected.overall_se


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": None}, "Give either --points"),
        ({"target_se": 0.01}, "Give either --points"),
        ({"district_column": "name"}, "Districts need a file"),
        ({"strata": "class+district"}, "need --districts"),
        ({"expect": {"wheat": 1.2}}, "at most 1"),
        ({"expect": {"rye": 0.9}}, "--expect names"),
        ({"blocks": 200.0}, "need a side and a number"),
        ({"blocks": 200.0, "blocks_drawn": 9}, "need --strata none"),
        ({"blocks": 200.0, "blocks_drawn": 999, "strata": "none"}, "the map has 30 blocks, got 999"),
        ({"blocks": float("nan"), "blocks_drawn": 9, "strata": "none"}, "a side in metres"),
        ({"blocks": float("inf"), "blocks_drawn": 9, "strata": "none"}, "a side in metres"),
        ({"classes": ("Wheat",)}, "which is 'wheat' already"),
        ({"blocks": 9.0, "blocks_drawn": 9, "strata": "none"}, "side of 2 pixels or more"),
        ({"points": 9}, "need 10 units, got 9"),
        ({"floor": 50}, "need 250 units, got 200"),
        ({"points": 20_000}, "fewer than 20,000 --points"),
        ({"points": None, "target_se": 1e-5}, "larger --target-se"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(
    place: AssessedPlace, request_: DesignRequest, change, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        design_sample(replace(request_, **change))
    assert not place.sample.exists()


def test_a_map_without_a_class_is_refused(place: AssessedPlace, request_: DesignRequest) -> None:
    place.codes[place.codes != 0] = 255
    place.confidence[:] = 255
    (place.folder / "map" / "crop_map.tif").unlink()
    from tests.support.assessed_map import NAMES, write_raster

    tags = {f"CLASS_{code}": name for code, name in NAMES.items()}
    write_raster(place.folder / "map" / "crop_map.tif", place.codes[None], 0, tags)
    with pytest.raises(InputError, match="shows no class anywhere"):
        design_sample(request_)


@pytest.mark.parametrize("name", ["design.json", "key.csv"])
def test_a_damaged_sample_is_refused(place: AssessedPlace, request_: DesignRequest, name: str) -> None:
    design_sample(request_)
    path = place.sample / name
    path.write_bytes(path.read_bytes().replace(b"wheat", b"maize", 1))
    with pytest.raises(CorruptFileError, match=name):
        load_design(place.sample)


def test_key_and_design_say_the_same_probability(place: AssessedPlace, request_: DesignRequest) -> None:
    design = design_sample(request_).design
    kept = {row["stratum"]: float(row["probability"]) for row in key_rows(place.sample)}
    assert kept == {s.name: s.probability for s in design.strata}
