"""`cropmap assess`: from a finished run to a report, as typed."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.support.assessed_map import AssessedPlace, key_rows, made_place, write_rows
from tests.support.tiny_place import codes, run_cropmap


@pytest.fixture
def mapped(tmp_path: Path) -> AssessedPlace:
    return made_place(tmp_path / "run")


def test_a_design_prints_strata_and_what_to_do_next(mapped: AssessedPlace) -> None:
    result = run_cropmap("assess", "design", mapped.folder, "--points", 120)
    assert result.exit_code == 0, result.stderr
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert "not enough observations" in result.stdout
    assert lines["Points:"].startswith(f"Points: 120 in {mapped.sample}")
    assert f"'cropmap assess sheet {mapped.folder}'" in lines["Next:"]
    raster = mapped.folder / "map" / "crop_map.tif"
    result = run_cropmap("assess", "design", raster, "--points", 120)
    assert "wheat, maize, other, not cropland" in result.stdout.splitlines()[-1]


def test_a_design_as_json_is_what_design_json_says(mapped: AssessedPlace) -> None:
    result = run_cropmap("assess", "design", mapped.folder, "--target-se", 0.04, "--json", "--quiet")
    values = json.loads(result.stdout)
    kept = json.loads((mapped.sample / "design.json").read_text(encoding="utf-8"))
    assert values["points"] == kept["frame"]["units"]
    assert [s["name"] for s in values["strata"]] == [s["name"] for s in kept["strata"]]
    assert values["expected"]["overall_se"] <= 0.04
    assert result.stderr == ""


def test_expectations_are_read_from_the_command_line(mapped: AssessedPlace) -> None:
    given = ("--expect", "wheat=0.9,maize=0.8,other=0.95")
    assert run_cropmap("assess", "design", mapped.folder, "--points", 90, *given).exit_code == 0
    bad = run_cropmap("assess", "design", mapped.folder, "--points", 90, "--expect", "wheat")
    assert bad.exit_code == 2
    assert "Write it as maize=0.8,wheat=0.9" in bad.stderr


def test_a_report_prints_areas_accuracy_and_districts(mapped: AssessedPlace, tmp_path: Path) -> None:
    districts = mapped.write_districts(tmp_path / "d.gpkg")
    given = ("--districts", districts, "--district-column", "name")
    assert run_cropmap("assess", "design", mapped.folder, "--points", 200, *given).exit_code == 0
    answers = mapped.answer(tmp_path / "a.csv")
    result = run_cropmap("assess", "report", mapped.folder, answers, "--by", "district")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(
        "Estimated from 200 points drawn at random; mapped areas are pixel counts."
    )
    for words in (
        "model-assisted",
        "Overall accuracy of the mapped area",
        "District North",
        f"{mapped.sample}",
    ):
        assert words in result.stdout
    again = run_cropmap("assess", "report", mapped.folder, answers, "--json", "--quiet")
    assert json.loads(again.stdout)["plain"]["units"] == 200


def test_bad_answers_are_exit_2_and_leave_nothing(mapped: AssessedPlace, tmp_path: Path) -> None:
    run_cropmap("assess", "design", mapped.folder, "--points", 100)
    answers = mapped.answer(tmp_path / "a.csv", lambda row: {**row, "answer": "rye"})
    result = run_cropmap("assess", "report", mapped.folder, answers)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'rye' of id 1" in result.stderr
    assert not (mapped.sample / "report").exists()


def test_gaps_are_decided_by_options(mapped: AssessedPlace, tmp_path: Path) -> None:
    run_cropmap("assess", "design", mapped.folder, "--points", 100)
    answers = mapped.answer(tmp_path / "a.csv", lambda row: None if row["id"] == "7" else row)
    given = (
        "--missing",
        "at-random",
        "--merge-strata",
        "wheat+maize",
        "--leave-out",
        "not enough observations",
    )
    result = run_cropmap("assess", "report", mapped.folder, answers, *given)
    assert result.exit_code == 0, result.stderr
    for words in ("left out as missing at random", "wheat and maize were merged", "of the area"):
        assert words in result.stderr


def test_agreement_says_first_what_it_is_not(mapped: AssessedPlace, tmp_path: Path) -> None:
    run_cropmap("assess", "design", mapped.folder, "--points", 50)
    rows = [{"lon": row["lon"], "lat": row["lat"], "crop": "wheat"} for row in key_rows(mapped.sample)]
    points = write_rows(tmp_path / "p.csv", rows)
    result = run_cropmap("assess", "agreement", mapped.folder, points, "--label-column", "crop")
    assert "not a probability sample" in result.stdout.splitlines()[0]
    assert "ha" not in result.stdout.split()
    values = json.loads(
        run_cropmap("assess", "agreement", mapped.folder, points, "--label-column", "crop", "--json").stdout
    )
    assert values["probability_sample"] is False
    assert "not a probability sample" in values["note"]


@pytest.mark.slow
def test_a_real_run_is_assessed_from_its_folder(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    result = run_cropmap("assess", "design", run, "--points", 60, "--floor", 2)
    assert result.exit_code == 0, result.stderr
    design = json.loads((run / "assessment" / "design.json").read_text(encoding="utf-8"))
    shown = codes(run)
    assert design["frame"]["pixels"] == (shown != 0).sum()
    report = json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))
    assert design["frame"]["hectares"] == pytest.approx(report["area"]["hectares"], rel=1e-6)
    for row in key_rows(run / "assessment"):
        assert shown[int(row["row"]), int(row["col"])] != 0
    with (run / "assessment" / "points.csv").open(newline="") as file:
        rows = [{**row, "answer": "rice"} for row in csv.DictReader(file)]
    answers = write_rows(tmp_path / "a.csv", rows)
    assert run_cropmap("assess", "report", run, answers).exit_code == 0
    areas = json.loads((run / "assessment" / "report" / "report.json").read_text(encoding="utf-8"))
    rice = next(one for one in areas["plain"]["classes"] if one["name"] == "rice")
    assert rice["area"]["value"] == pytest.approx(report["area"]["hectares"], rel=1e-6)
    # The folder of the run is as it was but for the assessment.
    assert run_cropmap("status", run).exit_code == 0


@pytest.mark.slow
def test_pages_of_another_map_than_that_of_the_sample_are_refused(
    finished: Path, mapped: AssessedPlace
) -> None:
    run_cropmap("assess", "design", mapped.folder, "--points", 20)
    result = run_cropmap("assess", "sheet", finished, "--sample", mapped.sample)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "drawn from a map of other pixels than those of" in result.stderr
    assert not (mapped.sample / "sheet" / "index.html").exists()
    assert not (mapped.sample / "sheet" / "answers-1.csv").exists()


def test_sheets_of_a_run_are_blind_and_each_interpreter_has_an_order(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert run_cropmap("assess", "design", run, "--points", 30, "--floor", 2).exit_code == 0
    result = run_cropmap("assess", "sheet", run, "--interpreters", 2)
    assert result.exit_code == 0, result.stderr
    folder = run / "assessment" / "sheet"
    orders = []
    for number in (1, 2):
        with (folder / f"answers-{number}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert set(rows[0]) == {"id", "lon", "lat", "page", "answer", "sure", "note"}
        orders.append([row["id"] for row in rows])
        assert all((folder / row["page"]).is_file() for row in rows)
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(row["id"] for row in key_rows(folder.parent))
    pages = [(folder / "pages" / f"{n}.html").read_text(encoding="utf-8") for n in range(1, 31)]
    assert all("<svg" in text and "corn, soybeans" in text for text in pages)
    assert not any(word in text for text in pages for word in ("stratum", "confidence", "not enough"))
    (folder / "answers-1.csv").write_text("id,answer\n1,rice\n")
    again = run_cropmap("assess", "sheet", run, "--interpreters", 2, "--no-pages", "--json", "--quiet")
    assert json.loads(again.stdout)["pages"] == 0
    assert (folder / "answers-1.csv").read_text() == "id,answer\n1,rice\n"  # begun
