"""The simulated catalog as a whole: what a reader of scenes meets in it."""

import hashlib
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import shapely
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

from examples.demo import DEMO_SIZE
from examples.fields import make_landscape
from examples.phenology import load_phenology
from examples.simulated_scenes import (
    CRS,
    Settings,
    acquisitions,
    area_polygon,
    ground,
    is_complete,
    simulate,
    write_area,
)
from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.bands import BANDS
from gee_pipeline.errors import InputError
from gee_pipeline.grid import inside, make_grid
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER

pytestmark = pytest.mark.slow

SMALL = Settings(size=64, acquisitions=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("scenes")
    simulate(place, SMALL)
    return place


@pytest.fixture(scope="module")
def items(folder):
    return list(pystac.Catalog.from_file(str(folder / "catalog.json")).get_items())


def read(item, key):
    with rasterio.open(item.assets[key].get_absolute_href()) as file:
        return file.read(1)


def reflectance(item, key):
    """Reflectance `(y, x)`, NaN where nodata, as the item's raster extension says."""
    numbers, stored = read(item, key), item.assets[key].extra_fields["raster:bands"][0]
    return np.where(numbers == 0, np.nan, numbers * stored["scale"] + stored["offset"])


def test_everything_says_that_it_is_simulated(folder, items):
    assert "SIMULATED" in pystac.Catalog.from_file(str(folder / "catalog.json")).description
    assert "SIMULATED" in (folder / "README.txt").read_text(encoding="utf-8")
    assert all(item.properties["simulated"] is True for item in items)
    assert all("SIMULATED" in item.properties["description"] for item in items)
    assert all(item.id.startswith("SIM_") for item in items)


def test_every_scene_has_ten_bands_at_their_own_pixel_size(items):
    for item in items:
        for band in BANDS:
            key = band if len(band) == 3 else f"B0{band[1:]}"
            with rasterio.open(item.assets[key].get_absolute_href()) as file:
                assert file.res == ((10, 10) if band in ("B2", "B3", "B4", "B8") else (20, 20))
                assert file.crs.to_string() == CRS


def test_scenes_lie_where_the_default_model_was_trained(items):
    for item in items:
        west, south, east, north = item.bbox
        assert -91.5 < west < east < -90.05
        assert 34.75 < south < north < 35.85


def test_two_satellites_fly_two_orbits_every_two_or_three_days():
    passes = acquisitions(Settings())
    days = [p.moment.date() for p in passes]
    steps = {(later - earlier).days for earlier, later in pairwise(days)}
    assert steps == {2, 3}
    assert {(p.platform, p.orbit) for p in passes} == {(s, o) for s in ("S2A", "S2B") for o in (26, 69)}
    season, recipe = SUMMER.season(2021, "north"), Recipe()
    seen = {season.bin_of(day) for day in days}
    assert set(recipe.window) <= seen


def test_fewer_acquisitions_are_spread_over_the_season():
    days = [p.moment.timetuple().tm_yday for p in acquisitions(SMALL)]
    assert len(days) == 16
    assert days[0] < 121
    assert days[-1] > 334
    assert max(np.diff(days)) < 20


def test_pixels_between_two_tiles_occur_twice_on_a_day_and_nearly_equal(items):
    datatakes = defaultdict(list)
    for item in items:
        datatakes[item.properties["s2:datatake_id"]].append(item)
    pairs = [sorted(pair, key=lambda i: i.id) for pair in datatakes.values() if len(pair) == 2]
    assert len(pairs) >= 5
    for west, east in pairs:
        assert west.datetime == east.datetime
        left = [i.assets["B08"].extra_fields["proj:transform"][2] for i in (west, east)]
        overlap = west.assets["B08"].extra_fields["proj:shape"][1] - int(left[1] - left[0]) // 10
        assert overlap >= 4
        difference = reflectance(west, "B08")[:, -overlap:] - reflectance(east, "B08")[:, :overlap]
        assert 0 < np.abs(difference).mean() < 0.01


def test_the_western_swath_ends_within_the_place(items):
    western = [i for i in items if i.properties["sat:relative_orbit"] == 69]
    empty = [(read(i, "B08") == 0).mean() for i in western]
    assert all(0.05 < share < 0.6 for share in empty)
    for item in western:
        np.testing.assert_array_equal(read(item, "B08")[::2, ::2] == 0, read(item, "SCL") == 0)


def test_some_scenes_have_no_score_and_some_an_older_baseline(items):
    without = [i for i in items if "cs" not in i.assets]
    assert 0 < len(without) < len(items) / 3
    assert all("SCL" in i.assets for i in items)
    offsets = {
        i.properties["s2:processing_baseline"]: i.assets["B02"].extra_fields["raster:bands"][0]["offset"]
        for i in items
    }
    assert offsets == {"05.00": -0.1, "03.01": 0.0}


def test_baselines_agree_on_the_ground_once_scale_and_offset_are_applied(items):
    # Without the offset the two would differ by 0.1, as much as the red reflectance of the fields.
    means = defaultdict(list)
    for item in items:
        if item.properties["eo:cloud_cover"] < 5:
            means[item.properties["s2:processing_baseline"]].append(np.nanmean(reflectance(item, "B04")))
    assert abs(np.mean(means["05.00"]) - np.mean(means["03.01"])) < 0.05


def test_clouds_are_bright_and_the_score_is_low_on_them(items):
    cloudy = [i for i in items if 20 < i.properties["eo:cloud_cover"] < 80 and "cs" in i.assets]
    assert cloudy
    for item in cloudy:
        blue, score = reflectance(item, "B02"), read(item, "cs")
        clear = (score >= 100 * CloudRule().threshold) & (score != 255)
        assert np.nanmean(blue[~clear & (score != 255)]) > np.nanmean(blue[clear]) + 0.1


def test_the_season_has_clear_and_overcast_days():
    # All acquisitions of the default settings, without writing them.
    from examples.clouds import draw_cover

    covers = [
        draw_cover(np.random.default_rng([1, 1, 2021, p.moment.timetuple().tm_yday - 1]))
        for p in acquisitions(Settings())
    ]
    assert 0.3 < np.mean(covers) < 0.6
    assert min(covers) < 0.01
    assert max(covers) == 1


def test_the_truth_holds_the_classes_on_the_grid_of_the_scenes(folder, items):
    with rasterio.open(folder / "fields.tif") as file:
        truth = file.read(1)
        assert file.tags()["rice"] == "3"
        assert (file.transform.c, file.transform.f) == (698_880 - 320, 3_906_560 + 320)
        assert file.crs.to_string() == CRS
    assert set(np.unique(truth)) <= {0, 1, 2, 3, 4, 5}
    assert {0, 1, 2, 3} <= set(np.unique(truth))


def test_the_area_has_a_hole_and_covers_most_of_the_scenes_on_whole_cells(folder):
    aoi = read_aoi(folder / "area.geojson")
    assert aoi.notices == ()
    assert len(aoi.geometry.interiors) == 1
    assert aoi.geometry.area < 0.9 * aoi.geometry.envelope.area
    grid = make_grid(aoi)
    assert grid.geobox.crs.to_epsg() == 32615
    share = inside(aoi.to(CRS), SMALL.geobox).mean()
    assert 0.7 < share < 0.9


@pytest.mark.parametrize("size", [DEMO_SIZE, 512])
def test_the_place_lies_on_four_cells(size):
    polygon = area_polygon(Settings(size=size))
    grid = make_grid(Aoi(polygon, pyproj.CRS("EPSG:4326")))
    assert grid.shape == (2, 2)
    assert len(grid.cells_touching(shapely.box(*Settings(size=size).geobox.boundingbox.bbox))) == 4


def test_the_committed_area_is_the_one_of_the_demo(tmp_path):
    write_area(tmp_path / "area.geojson", Settings(size=DEMO_SIZE))
    committed = Path(__file__).resolve().parents[2] / "examples" / "area.geojson"
    made, kept = (
        shapely.from_geojson(json.dumps(json.loads(path.read_text(encoding="utf-8"))["features"][0]))
        for path in (tmp_path / "area.geojson", committed)
    )
    assert shapely.equals_exact(made, kept, tolerance=2e-6)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.*"))
        if path.suffix in (".tif", ".geojson")
    }


def test_the_same_settings_make_the_same_bytes_and_another_seed_others(tmp_path):
    few = {"size": 64, "acquisitions": 3}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, Settings(seed=seed, **few))
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    a, c = digests(tmp_path / "a"), digests(tmp_path / "c")
    assert all(a[name] != c[name] for name in a if name.endswith("B08.tif"))


def test_a_finished_folder_is_left_as_it_is(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    simulate(folder, SMALL)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_of_other_settings_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="holds simulated scenes with the settings"):
        simulate(folder, Settings(size=64, acquisitions=16, seed=9))
    assert not is_complete(tmp_path / "nothing", SMALL)


@pytest.mark.parametrize("size", [60, 130])
def test_a_size_that_cuts_20_m_pixels_is_refused(size):
    with pytest.raises(InputError, match="multiple of 4"):
        Settings(size=size)


def test_classes_are_separable_but_not_trivially():
    # One pixel a field, one value a 10 days: what a Random Forest reaches on fields it has not seen. On the
    # real pixels it reaches about 0.96.
    phenology = load_phenology()
    landscape = make_landscape(np.random.default_rng(2), 400, phenology)
    _, first = np.unique(landscape.field, return_index=True)
    pixels, codes = first[1:], landscape.codes[1:]
    rng = np.random.default_rng(3)
    images = [ground(rng, day, landscape, phenology) for day in range(122, 334, 10)]
    series = np.stack([image.reshape(10, -1)[:, pixels] for image in images], axis=-1)
    forest = RandomForestClassifier(100, random_state=0, class_weight="balanced")
    predicted = cross_val_predict(
        forest, series.reshape(10, len(pixels), -1).swapaxes(0, 1).reshape(len(pixels), -1), codes, cv=4
    )
    accuracy = (predicted == codes).mean()
    assert len(pixels) > 250
    assert 0.85 < accuracy < 0.995
