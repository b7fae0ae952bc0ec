"""The benchmark of intervals: its truth, its simulated interpreters, and what it counts as a missed limit."""

import sys
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from assessment.report.results import results
from assessment.sample.request import DesignRequest
from benchmarks import assessment
from benchmarks.assessment import SIMPLE, STRATIFIED, Tally, draw_many, main, missed, rows_of
from benchmarks.known_maps import KnownDesign, KnownMap, fill_in, made_map, whole_way
from tests.support.assessed_map import NORTH, SIDE, WEST, made_place, write_raster

POINTS = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> KnownMap:
    return made_map(tmp_path_factory.mktemp("made"), shape=(60, 80))


def designed(place: KnownMap, **words) -> KnownDesign:
    return KnownDesign.of(place, DesignRequest(place.place, points=POINTS, **words))


def test_the_truth_is_counted_over_all_pixels(place):
    truths = place.truths()
    shown, truth = place.shown.ravel().tolist(), place.truth.ravel().tolist()
    pairs = [(s, t + 1) for s, t in zip(shown, truth, strict=True)]
    mapped = [pair for pair in pairs if pair[0] != 255]
    assert truths["overall", ""] == pytest.approx(sum(s == t for s, t in mapped) / len(mapped), rel=1e-6)
    hits, there = sum(pair == (2, 2) for pair in pairs), sum(t == 2 for _, t in pairs)
    assert truths["area", "maize"] == pytest.approx(there * 0.01, rel=2e-3)  # scale of UTM: 0.9992 to 1
    assert truths["users", "maize"] == pytest.approx(hits / sum(s == 2 for s, _ in pairs), rel=1e-6)
    assert truths["producers", "maize"] == pytest.approx(hits / there, rel=1e-6)


def test_simulated_interpreters_say_what_is_there(place):
    sampled, known = designed(place).sample(3)
    assert len(sampled.units) == POINTS
    for number, unit in enumerate(sampled.units):
        assert unit.answer == place.classes[place.truth[unit.row, unit.col]]
        assert known[1].values[number] == place.probabilities[1, unit.row, unit.col]


def test_two_seeds_draw_two_samples(place):
    design = designed(place)
    first, again, other = (design.sample(seed)[0].units for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"strata": "confidence"},
        {"strata": "none"},
        {"strata": "none", "blocks": 50.0, "blocks_drawn": 20},
    ],
)
def test_a_sample_by_way_of_files_says_the_same_as_one_in_the_loop(place, words, tmp_path):
    design = designed(place, **words)
    found = list(rows_of(whole_way(design, tmp_path / "sample")))
    assert found == list(rows_of(results(*design.sample(0))))
    assert (tmp_path / "sample" / "report" / "report.json").is_file()
    assert {key[0] for key, _ in found} >= {"plain", "model-assisted"}


def test_estimates_of_many_samples_are_the_truth_on_average(place):
    found = draw_many(designed(place), range(60))
    values = np.array([row[0] for row in found["plain", "area", "wheat"]])
    truth = place.truths()["area", "wheat"]
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(60)
    assert values.std() > 0.01 * truth


def test_fields_on_another_grid_are_the_truth_and_between_them_is_other(tmp_path):
    run = made_place(tmp_path / "run").folder
    fields = np.zeros((30, 40), np.uint8)
    fields[:, :20], fields[5:, 20:] = 1, 2
    corner = Affine(SIDE, 0, WEST + 10 * SIDE, 0, -SIDE, NORTH - 20 * SIDE)
    write_raster(tmp_path / "fields.tif", fields[None], None, transform=corner)
    place = KnownMap.read("made", run, tmp_path / "fields.tif")
    assert place.classes == ("wheat", "maize", "other")
    corners = ((20, 10), (49, 29), (25, 30), (20, 30), (0, 0))
    found = [place.classes[place.truth[y, x]] for y, x in corners]
    assert found == ["wheat", "wheat", "maize", "other", "other"]


def test_answers_come_into_a_sheet_by_id(tmp_path):
    sheet = tmp_path / "answers-1.csv"
    sheet.write_text("id,lon,answer,note\n7,1.5,,\n2,2.5,,far\n", encoding="utf-8")
    fill_in(sheet, {"2": "rice", "7": "corn"})
    assert sheet.read_text(encoding="utf-8") == "id,lon,answer,note\n7,1.5,corn,\n2,2.5,rice,far\n"


def tally_of(held: float, *, se=1.0, without=1.0, units=50.0, cv=0.0) -> Tally:
    """A hundred samples of a figure that is 10, of which a share has intervals with 10 in them."""
    inside = np.arange(100) < 100 * held
    low = np.where(inside, 9.0, 10.5)
    ses = se * np.where(np.arange(100) % 2, 1 - cv, 1 + cv)
    value, high, *rest = (np.full(100, v) for v in (11.0, 12.0, without, units, 0.1))
    return Tally(10.0, np.column_stack([value, low, high, ses, *rest]))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"held": 0.95}, []),
        ({"held": 0.92}, ["holds the truth in 0.920"]),
        ({"held": 0.98}, ["holds the truth in 0.980"]),
        ({"held": 0.80, "units": 29}, []),  # too few units: reported
        ({"held": 0.80, "cv": 0.13, "without": 1.2}, []),  # 1 / (2 * 0.13 ** 2) = 29.6 degrees of freedom
        ({"held": 0.80, "cv": 0.12, "without": 1.2}, ["holds the truth in 0.800"]),  # 34.7
        ({"held": 0.95, "se": 1.03}, ["1.030 times as wide as without the map"]),
        ({"held": 0.95, "se": 1.03, "units": 29}, ["1.030 times as wide as without the map"]),
        ({"held": 0.95, "se": 1.42, "without": 1.42}, ["0.71 times as wide as a simple random sample"]),
    ],
)
def test_limits(words, found):
    key = ("model-assisted", "area", "corn")
    simple = {("plain", "area", "corn"): tally_of(0.95, se=2.0)}
    told = list(missed({SIMPLE: simple, STRATIFIED[0]: {key: tally_of(**words)}}))
    assert len(told) == len(found)
    assert all(part in line and "corn" in line for part, line in zip(found, told, strict=True))


def test_a_tally_says_how_wide_and_how_much_is_gained():
    one = tally_of(0.9, se=0.6, without=0.8)
    assert (one.held, one.error, one.units) == (0.9, 1.0, 50)
    assert one.gain == pytest.approx(0.25)
    assert one.widest == pytest.approx(0.75)


@pytest.mark.slow
def test_the_table_is_printed_and_missed_limits_end_with_1(monkeypatch, capsys):
    monkeypatch.setattr(assessment, "made_map", lambda folder: made_map(folder, shape=(100, 100)))
    monkeypatch.setattr(sys, "argv", ["assessment", "made", "--samples", "2"])
    assert main() == 1  # two samples hold in 0, 50 or 100 of 100
    told = capsys.readouterr().out
    assert "SIMULATED" in told
    for name in assessment.DESIGNS:
        assert f"\n{name} " in told
    assert "\nmodel-assisted area wheat " in told
    assert f"{SIMPLE}: plain overall holds the truth in " in told


def test_without_a_map_of_real_pixels_the_way_to_one_is_said(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["assessment", "real", "--run", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert f"python -m benchmarks.real_map --out {tmp_path}" in capsys.readouterr().err
