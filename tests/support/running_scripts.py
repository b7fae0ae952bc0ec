"""Scripts that map without cropmap, run by Python and by node, and what cropmap's own graph says of the same.

What both ask of Earth Engine is evaluated by the emulator.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from functools import cache
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ee
import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client.assets import AssetRequest
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.prediction.map_image import prediction
from gee_pipeline.grid import inside
from inference.scripts.map_script import ScriptRequest, write_script
from tests.support import forest_scenes
from tests.support.ee_asking import scenes_at
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.assets import Assets
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid as Pixels
from tests.support.forest_scenes import add_worldcover, area


def scenes() -> Archive:
    """Scenes over the place of the scripts."""
    return forest_scenes.scenes(count=18)


def archive_of(request: ScriptRequest) -> Archive:
    """The scenes, and the cropland of a script that asks for it."""
    archive = scenes()
    if request.cropland != "none":
        add_worldcover(archive)
    return archive


def drawn(
    image: Any, archive: Archive, geobox: GeoBox, assets: Assets | None = None
) -> dict[str, np.ma.MaskedArray]:
    """Bands by name of an image, or of an expression as JavaScript wrote it."""
    expression = image if isinstance(image, dict) else ee.serializer.encode(image)
    height, width = geobox.shape
    pixels = Pixels(str(geobox.crs), geobox.transform, width, height)
    bands = image_pixels(evaluate(expression, archive, assets), pixels)
    return {name: np.ma.array(values, mask=~mask) for name, values, mask in bands}


def run_python(request: ScriptRequest, name: str = "script") -> Any:
    """The names that the Python script defines; with `__main__` it also runs."""
    found: dict[str, Any] = {"__name__": name}
    exec(compile(write_script(request, "python"), "map.py", "exec"), found)
    return SimpleNamespace(**found)


def own_image(request: ScriptRequest, archive: Archive, geobox: GeoBox) -> ee.Image:
    """The prediction as cropmap asks for it: by the ids of scenes, which a script searches for."""
    mask = None if request.cropland == "none" else graph.cropland(request.cropland)
    recipe = request.model.recipe
    listed = scenes_at(archive, geobox, request.season, recipe.window, recipe)
    return prediction(
        listed, request.season, recipe, request.model.served, cropland=mask, layers=request.layers
    )


def expected_map(request: ScriptRequest, archive: Archive, geobox: GeoBox) -> dict[str, np.ndarray]:
    """cropmap's own prediction, cut to the area as a run cuts it."""
    within = inside(area(), geobox)
    bands = drawn(own_image(request, archive, geobox), archive, geobox)
    return {name: np.where(within, band.data, 0 if name == "class" else 255) for name, band in bands.items()}


def assert_same(found: dict[str, np.ma.MaskedArray], expected: dict[str, np.ndarray]) -> None:
    """The same bands, none of them masked, the same pixels."""
    assert list(found)[:3] == ["class", "confidence", "clear"]
    assert list(found) == list(expected)
    for name, band in found.items():
        assert band.dtype == np.uint8
        assert not band.mask.any()
        np.testing.assert_array_equal(band.data, expected[name], name)


def served(made: Any) -> Any:
    """The value of a classifier, or of what a table is made of."""
    expression = made.body["expression"] if isinstance(made, AssetRequest) else ee.serializer.encode(made)
    return evaluate(expression, Archive([]))


def javascript_asks(texts: list[str], folder: Path) -> list[dict[str, Any]]:
    """What scripts ask for: lines, layers and exports, images as expressions; one process runs all."""
    modules = _node_modules()
    if modules is None:
        pytest.skip(
            "node with @google/earthengine is not there: 'npm install --prefix FOLDER @google/earthengine', "
            "then set CROPMAP_NODE_MODULES to FOLDER/node_modules"
        )
    paths = [folder / f"script_{i}.js" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    runner = Path(__file__).parent / "ee_javascript" / "run_scripts.js"
    algorithms = resources.files("ee") / "tests" / "algorithms.json"
    done = subprocess.run(
        ["node", str(runner), str(algorithms), *map(str, paths)],
        env={**os.environ, "NODE_PATH": modules},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@cache
def _node_modules() -> str | None:
    """Where node finds Google's client: CROPMAP_NODE_MODULES, or where node looks by itself."""
    place = os.environ.get("CROPMAP_NODE_MODULES", os.environ.get("NODE_PATH", ""))
    if shutil.which("node") is None:
        return None
    check = subprocess.run(
        ["node", "-e", "require.resolve('@google/earthengine')"],
        env={**os.environ, "NODE_PATH": place},
        capture_output=True,
        check=False,
    )
    return place if check.returncode == 0 else None


def assert_tidy(request: ScriptRequest) -> None:
    """No marks of the template, no unused constant, no constant that is missing, and old dialects."""
    python, javascript = write_script(request, "python"), write_script(request, "javascript")
    for text, mark in ((python, "#: "), (javascript, "//: ")):
        assert mark not in text
        assert max(map(len, text.split("SENTINEL_2", 1)[1].splitlines())) < 10_000
        body = text.split("---- 1.", 1)[1]
        constants = re.findall(r"^(?:var )?([A-Z][A-Z_0-9]+) = ", text.split("---- 1.", 1)[0], re.M)
        assert [constant for constant in constants if not re.search(rf"\b{constant}\b", body)] == []
    ast.parse(python, feature_version=(3, 7))
    assert not re.search(r"=>|`|\b(let|const|class|import|async|yield)\s", _without_text(javascript))
    assert sorted(_constants_used(python) - _defined(python)) == []


def _without_text(text: str) -> str:
    """A script without comments and texts in quotes."""
    return re.sub(r"""'[^'\n]*'|"(?:[^"\\\n]|\\.)*\"""", "''", re.sub(r"//[^\n]*", "", text))


def _constants_used(text: str) -> set[str]:
    return {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and n.id.isupper()}


def _defined(text: str) -> set[str]:
    assigned = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assign))
    return {target.id for n in assigned for target in n.targets if isinstance(target, ast.Name)}
