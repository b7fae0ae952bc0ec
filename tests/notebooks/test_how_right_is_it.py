"""The notebook goes the whole way on a small demo, and says everywhere that its figures are simulated."""

import csv
import json

import pytest
import rasterio

from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("exactextract", "pyarrow", "stac_geoparquet")]


def every_command_of_the_way_is_given_and_pictures_are_drawn(notebook):
    told = printed(notebook)
    given = [line.removeprefix("$ cropmap ") for line in told.splitlines() if line.startswith("$ cropmap ")]
    commands = [words.split("/")[0].strip() for words in given]
    assert commands == [
        "predict --config",
        "assess sheet",
        "smooth",
        "report",
        "publish",
        "verify",
    ]
    assert len(shown(notebook, "image/png")) == 4
    pages = [text for text in shown(notebook, "text/html") if "<iframe" in text]
    assert len(pages) == 2  # of a point, and of the map


def simulated_interpreters_say_the_truth_at_their_points(demo):
    sheet = demo / "run" / "assessment" / "sheet"
    with (sheet / "answers-1.csv").open(encoding="utf-8", newline="") as file:
        said = {row["id"]: row["answer"] for row in csv.DictReader(file)}
    with (demo / "run" / "assessment" / "key.csv").open(encoding="utf-8", newline="") as file:
        key = list(csv.DictReader(file))
    with (
        rasterio.open(demo / "run/map/crop_map.tif") as crop_map,
        rasterio.open(demo / "scenes/fields.tif") as file,
    ):
        window = file.window(*crop_map.bounds)
        truth = file.read(1, window=window, boundless=True, fill_value=0)
    names = ("other", "corn", "soybeans", "rice", "cotton", "other")
    assert said == {row["id"]: names[truth[int(row["row"]), int(row["col"])]] for row in key}
    report = json.loads((demo / "run/assessment/report/report.json").read_text(encoding="utf-8"))
    assert 0.9 < report["interpreters"]["same"] < 1  # the second one errs now and then


def estimates_lie_near_the_truth(demo):
    with rasterio.open(demo / "run/map/crop_map.tif") as file:
        codes, bounds, pixel = file.read(1), file.bounds, abs(file.transform.a * file.transform.e) / 10_000
    with rasterio.open(demo / "scenes/fields.tif") as file:
        truth = file.read(1, window=file.window(*bounds), boundless=True, fill_value=0)
    with (demo / "run/assessment/report/area.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["estimator"] == "plain"]
    code = {"corn": 1, "soybeans": 2, "rice": 3, "cotton": 4}
    for row in rows:
        if row["class"] in code:
            there = (truth[codes != 0] == code[row["class"]]).sum() * pixel
            assert abs(float(row["value"]) - there) < 3.5 * float(row["se"])


def the_published_folder_is_verified_and_its_files_are_listed(demo, notebook):
    told = printed(notebook)
    assert "Verified: yes" in told
    published = demo / "published"
    (item,) = published.glob("*/item.json")
    assets = json.loads(item.read_text(encoding="utf-8"))["assets"].values()
    for asset in assets:
        assert (item.parent / asset["href"]).is_file()
        assert f"  {item.parent.name}/{asset['href'].removeprefix('./')}: {asset['title']}\n" in told
    assert not (item.parent / "fields").exists()
    collection = json.loads((published / "collection.json").read_text(encoding="utf-8"))
    assert collection["description"].startswith("SIMULATED")


def every_figure_is_said_to_be_simulated(demo, notebook):
    page = (demo / "run" / "map" / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED scenes, fields and interpreters" in page
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "**Everything here is simulated**" in text
    for title in ("The truth (simulated)", "Areas with 95 % intervals (simulated)"):
        assert title in text


def test_accuracy_and_hectares_are_estimated_and_published(demo, monkeypatch):
    monkeypatch.setenv("CROPMAP_DEMO", str(demo))
    notebook = executed(NOTEBOOKS / "05_how_right_is_it.ipynb")
    every_command_of_the_way_is_given_and_pictures_are_drawn(notebook)
    simulated_interpreters_say_the_truth_at_their_points(demo)
    estimates_lie_near_the_truth(demo)
    the_published_folder_is_verified_and_its_files_are_listed(demo, notebook)
    every_figure_is_said_to_be_simulated(demo, notebook)
