from itertools import combinations

import numpy as np
import pyproj
import pytest
import rasterio
from matplotlib.image import imread
from PIL import Image

from inference.models.crop_class import CropClass
from inference.product.legend import Legend
from inference.product.map_facts import CodeArea, MapSummary
from inference.product.map_writer import write_map
from inference.product.quicklook import PictureExtent, compose_sheet, draw_quicklook, round_length
from tests.support.made_runs import CROPS, made_facts, made_grid, made_run, random_layers

pytestmark = pytest.mark.slow

LEGEND = Legend.of(CROPS)


def class_map(path, codes, crs="EPSG:32615", west=704_000, north=3_924_480):
    """A class map without anything else."""
    height, width = codes.shape
    transform = rasterio.Affine(10, 0, west, 0, -10, north)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, nodata=0) as file:
        file.write(codes.astype(np.uint8), 1)
    return path


def summed(codes, legend=LEGEND) -> MapSummary:
    counts = {e.code: int((codes == e.code).sum()) for e in legend.entries}
    areas = tuple(
        CodeArea(e.code, e.name, counts[e.code], counts[e.code] / 100, 80.0, 20.0) for e in legend.entries
    )
    return MapSummary(None, 1, codes.shape, areas)


def drawn(folder, codes, legend=LEGEND, **facts):
    """The picture `(y, x, 3)`, 0 to 255, from the top."""
    crop_map = class_map(folder / "map.tif", codes)
    draw_quicklook(folder / "quicklook.png", crop_map, legend, summed(codes, legend), made_facts(**facts))
    return np.round(imread(folder / "quicklook.png")[..., :3] * 255).astype(int)


def texts(folder, codes, legend=LEGEND, **facts) -> list[str]:
    crop_map = class_map(folder / "map.tif", codes)
    sheet = compose_sheet(crop_map, legend, summed(codes, legend), made_facts(**facts))
    return [text.get_text() for text in sheet.axes[0].texts]


def colored(picture, color: str):
    """Rows and columns of the pixels of a colour."""
    return np.nonzero((picture == list(bytes.fromhex(color[1:]))).all(-1))


def quarters() -> np.ndarray:
    codes = np.zeros((64, 96), np.uint8)
    codes[:32, :48], codes[:32, 48:], codes[32:, :48], codes[32:, 48:] = 1, 2, 3, 255
    return codes


def test_the_picture_is_not_turned_or_mirrored(tmp_path):
    picture = drawn(tmp_path, quarters())
    upper = picture[: picture.shape[0] * 2 // 3]  # above the legend
    corn, soybeans, rice = (colored(upper, c.color) for c in CROPS[:3])
    assert corn[0].mean() < rice[0].mean()
    assert corn[1].mean() < soybeans[1].mean()
    assert abs(corn[0].mean() - soybeans[0].mean()) < 2
    assert abs(corn[1].mean() - rice[1].mean()) < 2


def test_each_class_takes_its_share_of_the_picture(tmp_path):
    codes = np.repeat(np.array([1, 2, 2, 3], np.uint8), 16)[None].repeat(64, 0)
    picture = drawn(tmp_path, codes)
    sizes = np.array([len(colored(picture, c.color)[0]) for c in CROPS[:3]])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.25, 0.5, 0.25], atol=0.01)


def test_pixels_are_square_on_the_picture(tmp_path):
    codes = np.zeros((128, 256), np.uint8)
    codes[40:90, 100:200] = 1
    rows, cols = colored(drawn(tmp_path, codes)[:1700], CROPS[0].color)  # above the legend
    assert np.ptp(cols) / np.ptp(rows) == pytest.approx(2, rel=0.02)


def test_too_few_observations_are_hatched(tmp_path):
    picture = drawn(tmp_path, np.full((64, 64), 255, np.uint8))
    part = picture[800:1400, 600:1200]  # inside the map
    dark = (part == 0x40).all(-1).mean()
    assert dark == pytest.approx(7 / 9, abs=0.02)
    assert ((part == 255).all(-1)).mean() == pytest.approx(2 / 9, abs=0.02)


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_scenes_are_marked_in_red(tmp_path, simulated):
    picture = drawn(tmp_path, quarters(), simulated=simulated)
    assert (len(colored(picture, "#b42318")[0]) > 1000) is simulated
    said = texts(tmp_path, quarters(), simulated=simulated)
    assert ("SIMULATED SCENES" in said) is simulated
    assert any("Contains modified Copernicus Sentinel data 2021" in text for text in said) is not simulated


def test_the_sheet_names_title_season_areas_crs_and_model(tmp_path):
    said = texts(tmp_path, quarters())
    assert said[0] == "Crop map of Poinsett County 2021"
    assert "Observed 1 May 2021 to 1 December 2021" in said[1]
    assert "61.4 ha" in said[1]  # 6,144 pixels of a hundredth of a hectare each
    line = said.index("corn")
    assert said[line : line + 3] == ["corn", "15.4", "25.0 %"]
    assert {"soybeans", "rice", "cotton", "other", "not enough observations"} <= set(said)
    assert "not cropland" not in said  # there is none
    assert any(text.startswith("Mean confidence 80 of 100. Areas are pixel counts") for text in said)
    assert "EPSG:32615" in said[-2]
    assert "compact.safetensors" in said[-2]
    assert said[-1].startswith("Source: Contains modified Copernicus Sentinel data 2021")
    assert "N" in said


def test_a_dollar_sign_is_no_formula(tmp_path):
    assert drawn(tmp_path, quarters(), title=r"Cost $\frac{x$ 2021").shape[2] == 3


@pytest.mark.parametrize("shape", [(4096, 16), (16, 4096), (1, 1), (3000, 2000)])
def test_areas_of_any_shape_are_drawn_at_a_printable_size(tmp_path, shape):
    picture = drawn(tmp_path, np.ones(shape, np.uint8))
    height, width = picture.shape[:2]
    assert width == round(210 / 25.4 * 300)  # A4 in portrait, 300 dots an inch
    assert 6 * 300 <= height <= 297 / 25.4 * 300
    assert len(colored(picture, CROPS[0].color)[0]) > 3_000  # also a strip four dots wide


def test_empty_space_around_the_area_is_cut_away(tmp_path):
    codes = np.zeros((2000, 2000), np.uint8)
    codes[1500:1600, 200:300] = 1
    assert len(colored(drawn(tmp_path, codes), CROPS[0].color)[0]) > 0.6 * (7 * 300) ** 2


def test_a_map_without_any_pixel_is_a_sheet_all_the_same(tmp_path):
    said = texts(tmp_path, np.zeros((64, 64), np.uint8))
    assert "0.0 ha" in said[1]
    assert drawn(tmp_path, np.zeros((64, 64), np.uint8)).shape[2] == 3


def test_of_many_classes_the_smallest_are_summed_up(tmp_path):
    crops = tuple(CropClass(k, f"crop {k}", f"#{k * 5:02x}4080") for k in range(1, 41))
    codes = np.minimum(np.arange(64 * 64).reshape(64, 64) // 64 + 1, 40)  # crop 40 is the largest
    said = texts(tmp_path, codes, Legend.of(crops))
    assert "22 smaller classes" in said
    assert "crop 40" in said
    named = [text for text in said if text.startswith("crop ")]
    assert len(named) == 18
    shares = [float(text.removesuffix(" %")) for text in said if text.endswith(" %")]
    assert sum(shares) == pytest.approx(100, abs=1)


@pytest.mark.parametrize(
    ("metres", "expected"),
    [(1, 1), (1.99, 1), (2, 2), (4999, 2000), (5000, 5000), (99_999, 50_000), (0.7, 0.5)],
)
def test_a_scale_bar_has_a_round_length(metres, expected):
    assert round_length(metres) == pytest.approx(expected)


def test_the_scale_bar_measures_ground_and_not_the_projection():
    mercator = PictureExtent(pyproj.CRS("EPSG:3857"), 1_000_000, 8_399_738, 10_000)  # 60 degrees north
    assert mercator.ground_width == pytest.approx(5_000, rel=0.01)
    utm = PictureExtent(pyproj.CRS("EPSG:32615"), 500_000, 3_900_000, 10_000)
    assert utm.ground_width == pytest.approx(10_000 / 0.9996, rel=1e-5)


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:32615", 500_000, 3_900_000),  # central meridian: straight up
        ("EPSG:32615", 800_000, 3_900_000),  # east of it
        ("EPSG:5070", 1_800_000, 2_300_000),  # Maine in the map of the lower 48: 17 degrees
        ("EPSG:32721", 200_000, 6_000_000),  # the southern hemisphere, west of the meridian
    ],
)
def test_the_arrow_points_to_true_north(crs, x, y):
    place = PictureExtent(pyproj.CRS(crs), x, y, 10_000)
    factors = pyproj.Proj(crs).get_factors(*place.lonlat)
    east, north = place.north
    assert np.degrees(np.arctan2(-east, north)) == pytest.approx(factors.meridian_convergence, abs=0.01)


def test_the_written_map_has_a_quicklook_of_its_own(tmp_path):
    run = made_run(tmp_path, made_grid(1, 1), random_layers((256, 256)))
    summary = write_map(run.folder, run.grid, run.cells, CROPS, run.facts)
    assert imread(summary.folder / "quicklook.png").ndim == 3


def test_the_file_says_its_size_in_print_and_the_map_fills_the_sheet(tmp_path):
    codes = np.ones((500, 500), np.uint8)
    picture = drawn(tmp_path, codes)
    with Image.open(tmp_path / "quicklook.png") as file:
        assert file.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    share = len(colored(picture, CROPS[0].color)[0]) / (picture.shape[0] * picture.shape[1])
    assert share > 0.5


@pytest.mark.parametrize("classes", [1, 18, 30])
def test_nothing_stands_outside_of_the_sheet_or_on_another_text(tmp_path, classes):
    crops = tuple(CropClass(k, f"crop {k}", f"#{k * 5:02x}4080") for k in range(1, classes + 1))
    codes = np.arange(64 * 64, dtype=np.int64).reshape(64, 64) % classes + 1
    legend = Legend.of(crops)
    completeness = {"coverage": {"mapped": 0.01}}
    crop_map = class_map(tmp_path / "map.tif", codes)
    facts = made_facts(simulated=True, completeness=completeness)
    sheet = compose_sheet(crop_map, legend, summed(codes, legend), facts)
    boxes = [text.get_window_extent() for text in sheet.axes[0].texts]
    width, height = sheet.get_size_inches() * sheet.dpi
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes)
    assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
