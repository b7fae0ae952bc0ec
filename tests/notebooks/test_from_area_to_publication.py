"""The notebook goes the whole way on a small demo, and says everywhere that its figures are simulated."""

import csv
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from examples.demo import run_demo
from examples.simulated_scenes import Settings

NEEDED = ("exactextract", "ipykernel", "nbclient", "nbformat", "pyarrow", "stac_geoparquet")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, NEEDED)), reason="the extra 'dev' or 'notebook' is not installed"
    ),
]

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_from_area_to_publication.ipynb"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("place") / "demo"
    assert run_demo(folder, Settings(size=64, acquisitions=40)) == 0
    return folder


@pytest.fixture(scope="module")
def executed(demo):
    """The notebook with its outputs."""
    nbclient, nbformat = import_module("nbclient"), import_module("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROPMAP_DEMO", str(demo))
        client.execute()
    return notebook


def outputs(notebook, kind):
    found = [o for c in notebook.cells for o in c.get("outputs", [])]
    if kind == "stdout":
        return ["".join(o["text"] for o in found if o.get("name") == "stdout")]
    return [o["data"][kind] for o in found if kind in o.get("data", {})]


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_every_command_of_the_way_is_given_and_pictures_are_drawn(executed):
    (told,) = outputs(executed, "stdout")
    given = [line.removeprefix("$ cropmap ") for line in told.splitlines() if line.startswith("$ cropmap ")]
    commands = [words.split("/")[0].strip() for words in given]
    assert commands == [
        "predict --config",
        "assess design",
        "assess sheet",
        "assess report",
        "fields",
        "smooth",
        "assess report",
        "report",
        "publish",
        "verify",
    ]
    assert len(outputs(executed, "image/png")) == 4
    pages = [text for text in outputs(executed, "text/html") if "<iframe" in text]
    assert len(pages) == 2  # of a point, and of the map


def test_simulated_interpreters_say_the_truth_at_their_points(demo, executed):
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


def test_estimates_lie_near_the_truth_and_parcels_have_what_was_declared(demo, executed):
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
    parcels = geopandas.read_file(demo / "run" / "fields" / "fields.gpkg")
    declared = dict(zip(parcels["id"].astype(int), parcels["declared"], strict=True))
    given = geopandas.read_file(demo / "parcels.gpkg")
    assert declared == dict(zip(given["parcel"], given["crop"], strict=True))
    agree = parcels["agrees"][parcels["class"].notna()].astype(bool)
    assert np.mean(agree) > 0.7


def test_the_published_folder_is_verified_and_its_files_are_listed(demo, executed):
    (told,) = outputs(executed, "stdout")
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


def test_every_figure_is_said_to_be_simulated(demo, executed):
    page = (demo / "run" / "map" / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED scenes, fields and interpreters" in page
    text = "\n".join(cell.source for cell in executed.cells)
    assert "**Everything here is simulated**" in text
    for title in ("The truth (simulated)", "Areas with 95 % intervals (simulated)"):
        assert title in text
