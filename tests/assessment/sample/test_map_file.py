from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from assessment.sample.map_file import open_map
from gee_pipeline.errors import CropmapError, IncompleteRunError, InputError, MismatchError
from inference.product.pixel_area import cell_pixel_area
from tests.support.assessed_map import CRS, AssessedPlace, write_raster


def test_a_run_is_opened_by_its_folder_and_a_map_by_its_path(place: AssessedPlace) -> None:
    of_run = open_map(place.folder)
    assert of_run == open_map(place.folder / "map" / "crop_map.tif")
    assert (of_run.outside, of_run.unmapped) == (0, frozenset({255}))
    assert [of_run.name(code) for code in (1, 254, 77)] == ["wheat", "not cropland", "77"]


def test_pixels_have_the_ground_area_of_their_place(place: AssessedPlace) -> None:
    assessed = open_map(place.folder)
    box = GeoBox((90, 120), assessed.transform, CRS)
    areas = assessed.pixel_hectares(Window(0, 0, 120, 90))
    assert areas.shape == (90, 120)
    assert areas[0, 0] == pytest.approx(cell_pixel_area(box) / 10_000, rel=1e-6)


def test_places_are_the_centres_of_pixels(place: AssessedPlace) -> None:
    lon, lat = open_map(place.folder).places(np.array([0, 89]), np.array([0, 119]))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", CRS, always_xy=True).transform(lon, lat)
    assert x == pytest.approx([500_005, 501_195], abs=1e-3)
    assert y == pytest.approx([4_999_995, 4_999_105], abs=1e-3)


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_legend_names_the_codes_of_any_raster(tmp_path: Path, ending: str) -> None:
    codes = np.array([[[1, 2], [2, 9]]], np.uint8)
    path = write_raster(tmp_path / "map.tif", codes, None)
    legend = tmp_path / f"legend.{ending}"
    texts = {
        "csv": "\ufeffcode;name\n1; wheat\n2;maize\n;\n",
        "json": '{"classes": [{"code": 1, "name": "wheat"}, {"code": 2, "name": "maize"}]}',
    }
    legend.write_text(texts[ending], encoding="utf-8")
    assessed = open_map(path, legend)
    assert [assessed.name(code) for code in (1, 2, 9)] == ["wheat", "maize", "9"]
    assert assessed.unmapped == frozenset()


TWICE = "code,name\n1,wheat\n1,maize\n"
NAMELESS = "code;name\n1;wheat\n2;\n"
TEXTS = ["name\nwheat\n", "code,name\none,wheat\n", '{"classes": 3}', "[]", "\x00", TWICE, NAMELESS]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_legend_that_cannot_be_used_is_named(tmp_path: Path, text: str, ending: str) -> None:
    path = write_raster(tmp_path / "map.tif", np.ones((1, 2, 2), np.uint8), None)
    legend = tmp_path / f"legend.{ending}"
    legend.write_text(text, encoding="utf-8")
    with pytest.raises(CropmapError, match=f"legend.{ending}"):
        open_map(path, legend)


def test_a_run_without_a_whole_map_is_to_be_finished(place: AssessedPlace) -> None:
    (place.folder / "map" / "report.json").unlink()
    with pytest.raises(IncompleteRunError, match="is not whole"):
        open_map(place.folder)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"crs": "EPSG:4326", "transform": (0.1, 0, 10, 0, -0.1, 50)}, "projected CRS in metres"),
        ({"crs": None}, "is none"),
        ({"dtype": "int16"}, "1 of int16"),
        ({"transform": (10, 0, 5e5, 0, 10, 5e6)}, "north up"),
        ({"transform": (0, 10, 5e5, -10, 0, 5e6)}, "north up"),
        ({"transform": (8, 6, 5e5, 6, -8, 5e6)}, "north up"),
    ],
)
def test_a_raster_that_cannot_be_sampled_is_refused(tmp_path: Path, profile, words: str) -> None:
    from affine import Affine

    if "transform" in profile:
        profile = profile | {"transform": Affine(*profile["transform"])}
    path = write_raster(tmp_path / "map.tif", np.ones((1, 4, 4), profile.get("dtype", "uint8")), 0, **profile)
    with pytest.raises(InputError, match=words):
        open_map(path)


@pytest.mark.parametrize(("name", "words"), [("no.tif", "does not exist"), ("text.tif", "cannot be read")])
def test_a_map_that_is_not_there_or_no_raster_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(CropmapError, match=words):
        open_map(tmp_path / name)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        open_map(tmp_path)


def test_a_layer_of_another_run_is_not_taken_for_that_of_the_map(place: AssessedPlace) -> None:
    """Two years of one area have the same pixels."""
    folder = place.folder / "map"
    for name, digest, layer in (
        ("crop_map", "1234", "crop_map"),
        ("confidence", "1234", "confidence"),
        ("probabilities", "5678", "probabilities"),
    ):
        with rasterio.open(folder / f"{name}.tif", "r+") as file:
            file.update_tags(RUN_DIGEST=digest, LAYER=layer)
    assessed = open_map(place.folder)
    assert assessed.beside("confidence.tif") == folder / "confidence.tif"
    assert assessed.beside("margin.tif") is None
    with pytest.raises(MismatchError, match="probabilities of the run 5678, not of the run 1234"):
        assessed.beside("probabilities.tif")
    with rasterio.open(folder / "confidence.tif", "r+") as file:
        file.update_tags(LAYER="clear_observations")
    with pytest.raises(MismatchError, match="is the layer clear_observations"):
        assessed.beside("confidence.tif")
