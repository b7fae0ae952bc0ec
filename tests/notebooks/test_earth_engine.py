"""The notebook goes from an estimate to maps made here and on the servers, against the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from examples.simulated_scenes import Settings
from tests.support.emulated_demo import YEAR, EmulatedDemo, emulated_demo
from tests.support.forest_map_place import run_cropmap
from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("geemap", "localtileserver")]

NAME = "02_earth_engine.ipynb"
SAY_SERIES = """
pixel = ndvi.isel(x=ndvi.x.size // 2, y=ndvi.y.size // 2)
print("PLACE", float(pixel.x), float(pixel.y))
print("SERIES", pixel.values.tolist())
"""


@dataclass(frozen=True)
class Done:
    """The place after the notebook."""

    demo: EmulatedDemo
    area: Path
    notebook: Any

    def raster(self, run: str, name: str) -> NDArray[np.uint8]:
        """A raster of one of its maps."""
        with rasterio.open(self.demo.folder / "runs" / run / "map" / f"{name}.tif") as file:
            return np.asarray(file.read(1))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    with (
        emulated_demo(tmp_path_factory.mktemp("place"), Settings(size=64, acquisitions=52)) as demo,
        pytest.MonkeyPatch.context() as patch,
    ):
        area = demo.box("area", east=range(-32, 0), north=range(32))
        patch.setenv("CROPMAP_AREA", str(area))
        yield Done(demo, area, executed(demo.notebook(NAME), SAY_SERIES))


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads((NOTEBOOKS / NAME).read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_the_map_is_that_of_the_fields(done: Done) -> None:
    """The truth is that of the simulation, on pixels within fields."""
    truth = done.demo.truth(done.demo.folder / "runs" / "here" / "map" / "crop_map.tif")
    mapped = done.raster("here", "crop_map")
    known = (truth > 0) & (mapped < 254)
    assert known.sum() > 500
    assert (mapped[known] == truth[known]).mean() > 0.8


def test_the_servers_give_the_same_map_and_nothing_but_the_map(done: Done) -> None:
    np.testing.assert_array_equal(done.raster("servers", "crop_map"), done.raster("here", "crop_map"))
    here, there = (done.raster(run, "confidence").astype(int) for run in ("here", "servers"))
    assert np.abs(here - there).max() <= 1
    assert "0 of 1024 pixels have another class." in printed(done.notebook)
    assert not (done.demo.folder / "runs" / "servers" / "composites").exists()
    asked = [request.bands for request in done.demo.server.log.of("pixels")]
    assert asked.count(("class", "confidence", "clear")) == 2  # compared, then mapped


def test_the_greenness_of_a_pixel_is_that_of_the_file_of_its_cell(done: Done) -> None:
    lines = dict(
        line.split(" ", 1)
        for line in printed(done.notebook).splitlines()
        if line.startswith(("PLACE ", "SERIES "))
    )
    shown = np.array([np.nan if v == "nan" else float(v) for v in lines["SERIES"].strip("[]").split(", ")])
    x, y = map(float, lines["PLACE"].split())
    (path,) = (done.demo.folder / "runs" / "here" / "composites").glob("*.tif")
    with rasterio.open(path) as file:
        row, col = file.index(x, y)
        names = [name for name in file.descriptions if name.startswith("B4_")]
        bands = {name: float(file.read(1 + file.descriptions.index(name))[row, col]) for name in (
            *names, *(name.replace("B4_", "B8_") for name in names)
        )}  # fmt: skip
    expected = []
    for name in names:
        red, infrared = bands[name], bands[name.replace("B4_", "B8_")]
        gap = red == -9999 or infrared == -9999
        expected.append(np.nan if gap else (infrared - red) / (infrared + red))
    assert np.isfinite(expected).sum() > 7
    np.testing.assert_allclose(shown, expected, rtol=1e-5)


def test_the_script_is_that_of_the_command(done: Done) -> None:
    place = ("--aoi", done.area, "--year", YEAR, "--cell-size", 32, "--model", "fast")
    result = run_cropmap("code", *place, "--language", "javascript", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert (done.demo.folder / "runs" / "map.js").read_text(encoding="utf-8") == result.stdout


def test_a_map_is_shown_and_pages_say_that_scenes_are_simulated(done: Done) -> None:
    assert len(shown(done.notebook, "image/png")) == 1
    assert sum(text.startswith("Map(") for text in shown(done.notebook, "text/plain")) == 1
    pages = shown(done.notebook, "text/html")
    assert any("Pixel counts" in text and "Its scenes are simulated." in text for text in pages)


def test_it_says_that_nothing_was_tried_live() -> None:
    text = (NOTEBOOKS / NAME).read_text(encoding="utf-8")
    assert "Nobody has run this against the live service yet." in text
    assert "simulated" in text
