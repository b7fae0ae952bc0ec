"""The notebook runs on a small made map; its tiles come from this computer and carry the legend's colours."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_first_map.ipynb"

pytest.importorskip("geemap", reason="the extra 'notebook' is not installed")
pytest.importorskip("localtileserver", reason="the extra 'notebook' is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra 'dev' is not installed")
nbformat = pytest.importorskip("nbformat", reason="the extra 'dev' is not installed")

LEGEND = [
    {"code": 0, "name": "outside", "color": None},
    {"code": 1, "name": "corn", "color": "#ffd400"},
    {"code": 2, "name": "soybeans", "color": "#267300"},
    {"code": 254, "name": "not cropland", "color": "#e4e4e4"},
    {"code": 255, "name": "not enough observations", "color": "#6b6b6b"},
]

FETCH_A_TILE = """
import io, math, re, requests
from PIL import Image

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
    """A run folder with a map of 128 x 128 pixels: outside, half corn, half soybeans, a bit unobserved."""
    folder = tmp_path / "run" / "map"
    folder.mkdir(parents=True)
    codes = np.zeros((128, 128), np.uint8)
    codes[8:120, :64], codes[8:120, 64:], codes[8:16, :64] = 1, 2, 255
    palette = {0: (0, 0, 0, 0), **{e["code"]: (*bytes.fromhex(e["color"][1:]), 255) for e in LEGEND[1:]}}
    write(folder / "crop_map.tif", codes, 0, palette)
    write(folder / "confidence.tif", np.where(codes == 0, 255, 80).astype(np.uint8), 255)
    (folder / "legend.json").write_text(json.dumps({"classes": LEGEND}), encoding="utf-8")
    return folder.parent


def write(path, values, nodata, palette=None):
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8"}
    place = {"crs": "EPSG:32615", "transform": Affine(10, 0, 696_320, 0, -10, 3_909_120)}
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, **shape, **place) as file:
        file.write(values, 1)
        if palette:
            file.write_colormap(1, palette)


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_the_notebook_shows_a_run_with_its_legend_from_local_tiles(run, monkeypatch):
    monkeypatch.setenv("CROPMAP_RUN", str(run))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(FETCH_A_TILE))
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    client.execute()
    text = "\n".join(
        o["text"] for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stdout"
    )
    assert "128 x 128 pixels of 10 m, EPSG:32615" in text
    # 112 x 128 pixels lie in the area: 112 * 64 soybeans, 8 * 64 without enough observations.
    assert " 50.0% of the pixels in the area" in next(x for x in text.splitlines() if "soybeans" in x)
    assert "  3.6% of the pixels in the area" in next(x for x in text.splitlines() if "not enough" in x)
    assert not any("not cropland" in line for line in text.splitlines())
    tile = next(line for line in text.splitlines() if line.startswith("TILE"))
    assert tile == "TILE ['#267300', '#ffd400']"
    assert any("widget-view+json" in str(o.get("data")) for c in notebook.cells for o in c.get("outputs", []))
