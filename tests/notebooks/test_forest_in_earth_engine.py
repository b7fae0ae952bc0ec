"""The notebook grows a forest from labels of a network and maps with it on the emulated servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio

from examples.simulated_scenes import CRS, Settings
from tests.support.emulated_demo import YEAR, EmulatedDemo, emulated_demo
from tests.support.forest_map_place import run_cropmap
from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("geemap", "localtileserver")]

NAME = "04_forest_in_earth_engine.ipynb"
CLASSES = ("corn", "soybeans", "rice", "cotton", "other")


@dataclass(frozen=True)
class Done:
    """The place after the notebook."""

    demo: EmulatedDemo
    region: Path
    notebook: Any

    @property
    def runs(self) -> Path:
        """What it has written."""
        return self.demo.folder / "runs"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    with (
        emulated_demo(tmp_path_factory.mktemp("place"), Settings(size=64, acquisitions=52)) as demo,
        pytest.MonkeyPatch.context() as patch,
    ):
        part = demo.box("part", east=range(-32, 0), north=range(-32, 32))
        region = demo.box("region", east=range(32), north=range(32))  # none of it labels anything
        patch.setenv("CROPMAP_PART", str(part))
        patch.setenv("CROPMAP_AREA", str(region))
        patch.setenv("CROPMAP_PROJECT", demo.server.project)
        yield Done(demo, region, executed(demo.notebook(NAME)))


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads((NOTEBOOKS / NAME).read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_each_step_is_a_command(done: Done) -> None:
    lines = [line for line in printed(done.notebook).splitlines() if line.startswith("$ cropmap ")]
    assert [" ".join(line.split()[2:4]) for line in lines] == [
        "forest pseudo-label",
        "forest train",
        "forest deploy",
    ]


def test_labels_of_the_network_are_nearly_all_those_of_the_fields(done: Done) -> None:
    with np.load(done.runs / "pseudo.npz") as file:
        names, lon, lat = file["lbl"].astype(str), file["lon"], file["lat"]
    places = geopandas.GeoSeries(geopandas.points_from_xy(lon, lat), crs="EPSG:4326").to_crs(CRS)
    with rasterio.open(done.demo.folder / "scenes" / "fields.tif") as fields:
        codes = np.array([code[0] for code in fields.sample(zip(places.x, places.y, strict=True))])
    within = codes > 0
    truth = np.array(CLASSES)[codes[within] - 1]
    assert within.sum() > 30
    assert (names[within] == truth).mean() > 0.95


def test_the_forest_maps_fields_that_labelled_nothing(done: Done) -> None:
    path = done.runs / "forest" / "map" / "crop_map.tif"
    legend = json.loads(path.with_name("legend.json").read_text(encoding="utf-8"))["classes"]
    name_of = {entry["code"]: entry["name"] for entry in legend}
    with rasterio.open(path) as file:
        codes = file.read(1)
    fields = done.demo.truth(path)
    known = (fields > 0) & (codes < 254)
    assert known.sum() > 500
    truth = np.array(CLASSES)[fields[known] - 1]
    mapped = np.array([name_of[code] for code in codes[known].tolist()])
    commonest = max((truth == name).mean() for name in CLASSES)
    assert (mapped == truth).mean() > commonest + 0.2
    assert f"projects/{done.demo.server.project}/assets/crops_{YEAR}" in printed(done.notebook)


def test_the_servers_answer_what_the_forest_says_on_this_machine(done: Done) -> None:
    """From the same scenes in files, by the local engine."""
    out = done.demo.folder / "local"
    place = ("--aoi", done.region, "--year", YEAR, "--cell-size", 32, "--source", done.demo.catalog)
    model = ("--model", done.runs / "forest.safetensors", "--workers", 0)
    result = run_cropmap("predict", *place, *model, "--out", out, "--quiet")
    assert result.exit_code == 0, result.stderr
    with (
        rasterio.open(out / "map" / "crop_map.tif") as here,
        rasterio.open(done.runs / "forest" / "map" / "crop_map.tif") as there,
    ):
        # Scenes in files may hold reflectance below 0, which Earth Engine cuts off.
        assert (here.read(1) == there.read(1)).mean() > 0.99


def test_the_script_is_that_of_the_command(done: Done) -> None:
    place = ("--aoi", done.region, "--year", YEAR, "--cell-size", 32)
    forest = ("--forest", done.runs / "forest.safetensors")
    result = run_cropmap("forest", "code", *place, *forest, "--language", "javascript", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert (done.runs / "forest.js").read_text(encoding="utf-8") == result.stdout


def test_both_maps_are_shown_side_by_side(done: Done) -> None:
    assert sum(text.startswith("Map(") for text in shown(done.notebook, "text/plain")) == 1


def test_it_says_that_nothing_was_tried_live() -> None:
    text = (NOTEBOOKS / NAME).read_text(encoding="utf-8")
    assert "Nobody has run this against the live service yet." in text
    assert "simulated" in text
