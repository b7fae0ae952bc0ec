"""The notebook runs on a small made map; its tiles come from this computer and carry the legend's colours."""

import re

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.source import Composite, SceneCounts
from gee_pipeline.store import write_composite
from inference.models.crop_class import CropClass
from inference.product.map_facts import MapFacts
from inference.product.map_writer import write_map
from inference.run.plan import RunPlan
from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("geemap", "localtileserver")]

CLASSES = (CropClass(1, "corn", "#ffd400"), CropClass(2, "soybeans", "#267300"))

FETCH_A_TILE = """
import io, math, re, requests
import numpy as np
from PIL import Image

west, south, east, north = run.map.classes.rio.transform_bounds("EPSG:4326")
lat, lon, n = (south + north) / 2, (west + east) / 2, 2 ** 16
x = int((lon + 180) / 360 * n)
y = int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * n)
crops = next(layer for layer in view.layers if layer.name == "Crops")
# Jupyter hands requests for /localtileserver-proxy/PORT on to that port of this computer.
port, path = re.fullmatch(r"/localtileserver-proxy/([0-9]+)/(.*)", crops.url).groups()
answer = requests.get(f"http://127.0.0.1:{port}/{path}".format(z=16, x=x, y=y), timeout=20)
image = np.array(Image.open(io.BytesIO(answer.content)).convert("RGBA")).reshape(-1, 4)
opaque = np.unique(image[image[:, 3] == 255], axis=0)
print("TILE", ["#%02x%02x%02x" % tuple(pixel[:3]) for pixel in opaque])
"""


@pytest.fixture
def run(tmp_path):
    """A run with a map of 128 x 128 pixels: outside, half corn, half soybeans, some without observations."""
    codes = np.zeros((128, 128), np.uint8)
    codes[8:120, :64], codes[8:120, 64:], codes[8:16, :64] = 1, 2, 255
    without = np.isin(codes, (0, 255))
    bands = np.stack([codes, np.where(without, 255, 80), np.where(codes == 0, 255, 20)]).astype(np.uint8)
    transform = Affine(10, 0, 696_320, 0, -10, 3_909_120)
    grid = Grid(GeoBox((128, 128), transform, "EPSG:32615"), cell_size=128)
    path = tmp_path / "run" / "predictions" / "r0000_c0000.tif"
    path.parent.mkdir(parents=True)
    shape = {"height": 128, "width": 128, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", crs="EPSG:32615", transform=transform, **shape) as file:
        file.write(bands)
    recipe, season, bins = Recipe.of(bands=("B4", "B8")), SUMMER.season(2021, "north"), range(24, 27)
    values = np.full((3, 2, 128, 128), 2_000, np.int16)
    composite = Composite(values, grid.geobox, bins, recipe.bands, SceneCounts())
    write_composite(tmp_path / "run" / "composites" / "r0000_c0000.tif", composite, recipe, season, {})
    facts = MapFacts(
        title="A made map",
        season=SUMMER.season(2021, "north"),
        recipe=Recipe(),
        source={"kind": "made"},
        model="made",
        version="0",
    )
    area = shapely.box(*grid.geobox.boundingbox.bbox)
    RunPlan(grid, area, season, recipe, bins, {"kind": "made"}).save(tmp_path / "run")
    write_map(tmp_path / "run", grid, np.array([[0, 0]], np.int32), CLASSES, facts)
    return tmp_path / "run"


def test_the_notebook_shows_a_run_with_its_legend_from_local_tiles(run, monkeypatch):
    monkeypatch.setenv("CROPMAP_RUN", str(run))
    notebook = executed(NOTEBOOKS / "01_first_map.ipynb", FETCH_A_TILE)
    page = next(text for text in shown(notebook, "text/html") if "Pixel counts" in text)
    # 112 x 128 pixels lie in the area: 112 * 64 soybeans, 8 * 64 without enough observations.
    rows = re.findall(r"<tr>.*?</tr>", page)
    assert "<td>50.0%</td>" in next(row for row in rows if "soybeans" in row)
    assert "<td>3.6%</td>" in next(row for row in rows if "not enough" in row)
    tile = next(line for line in printed(notebook).splitlines() if line.startswith("TILE"))
    assert tile == "TILE ['#267300', '#ffd400']"
    assert shown(notebook, "application/vnd.jupyter.widget-view+json")
