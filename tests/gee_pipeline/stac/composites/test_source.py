"""Composites of fake scenes against a nearest-pixel oracle, and what happens when scenes are broken."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac.composites.source import StacSource
from tests.support.fake_catalog import LEFT, TOP, UTM32, FakeCatalog, Layer, cell_at, raster_v1
from tests.support.slow_composite import slow_composite

NODATA = -9999
SEASON = SUMMER.season(2021, "north")
FIRST = 24  # bin 24 begins on 1 May
BINS = range(FIRST, FIRST + 2)
TWO_BANDS = Recipe.of(bands=("B4", "B11"))
ONE_BAND = Recipe.of(bands=("B4",))
HERE = shapely.box(9.15, 46.22, 9.17, 46.24)
RAW = raster_v1(scale=0.0001, offset=-0.1, nodata=0, data_type="uint16")
CLEAR = Layer(np.full((40, 40), 0.9, np.float32))


def numbers(seed, size=40, low=1_000, high=9_000):
    return np.random.default_rng(seed).integers(low, high, (size, size)).astype(np.uint16)


def read(path, recipe, cell=None, bins=BINS, **options):
    return StacSource(str(path), recipe, **options).read_cell(cell or cell_at(), SEASON, bins)


def single(folder, layers, recipe=ONE_BAND, cell=None, **properties):
    """The composite of a catalog with one scene."""
    catalog = FakeCatalog(folder)
    catalog.add("S1", "2021-05-02", layers, **properties)
    return read(catalog.save(), recipe, cell)


def expected_values(layer, geobox, scale=1.0, bias=0.0):
    """Whole-numbered expectation: nearest numbers, scaled, nodata where there are none."""
    values, there = layer.nearest(geobox)
    return np.where(there, np.floor(values * scale + bias + 0.5), NODATA)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(Layer(numbers(1), fields=RAW), id="the same grid"),
        pytest.param(
            Layer(numbers(2), left=LEFT - 70, top=TOP + 50, fields=RAW), id="shifted by whole pixels"
        ),
        pytest.param(Layer(numbers(3), left=LEFT + 90, top=TOP - 60, fields=RAW), id="covers a part"),
        pytest.param(
            Layer(numbers(4), left=LEFT - 43, top=TOP + 38, fields=RAW), id="shifted by part of a pixel"
        ),
        pytest.param(
            Layer(numbers(5), left=LEFT - 47, top=TOP + 32, fields=RAW), id="by more than half a pixel"
        ),
        pytest.param(Layer(numbers(6), resolution=20, fields=RAW), id="20 m"),
        pytest.param(
            Layer(numbers(7), left=LEFT - 110, top=TOP + 130, resolution=20, fields=RAW), id="20 m, odd 10 m"
        ),
        pytest.param(
            Layer(numbers(8), left=LEFT - 106, top=TOP + 133, resolution=20, fields=RAW), id="20 m, shifted"
        ),
        pytest.param(Layer(numbers(9), left=LEFT - 60, top=TOP + 60, resolution=60, fields=RAW), id="60 m"),
        pytest.param(
            Layer(numbers(10, 8), left=LEFT + 40, top=TOP - 60, fields=RAW), id="smaller than the cell"
        ),
    ],
)
def test_every_pixel_has_the_value_of_the_nearest_source_pixel(tmp_path, layer):
    composite = single(tmp_path, {"B04": layer, "cs": CLEAR})
    expected = expected_values(layer, composite.geobox, bias=-1_000)
    np.testing.assert_array_equal(composite.values[0, 0], expected)
    assert (composite.values[1] == NODATA).all()


def test_a_scene_of_the_next_utm_zone_is_laid_on_the_grid(tmp_path):
    cell = cell_at()
    to_zone_33 = pyproj.Transformer.from_crs(UTM32, "EPSG:32633", always_xy=True).transform
    x, y = to_zone_33(LEFT + 120, TOP - 120)  # 6 degrees west of its axis: pixels lie turned by 4 degrees
    left, top = np.floor(x / 10) * 10 - 600, np.ceil(y / 10) * 10 + 600
    layer = Layer(numbers(11, 120), left, top, crs="EPSG:32633", fields=RAW)
    score = Layer(np.ones((120, 120), np.float32), left, top, crs="EPSG:32633")
    values = single(tmp_path, {"B04": layer, "cs": score}, cell=cell).values[0, 0]
    assert (values != NODATA).all()
    # GDAL follows the projection to within an eighth of a pixel, so a centre at an edge may fall outside.
    assert (values == expected_values(layer, cell.geobox, bias=-1_000)).mean() > 0.99


def test_scenes_of_several_tiles_days_and_bins_equal_the_loop(tmp_path):
    """Two tiles that overlap, four days, duplicates of a day, clouds, each scene with its own scale."""
    rng = np.random.default_rng(5)
    catalog, cell = FakeCatalog(tmp_path), cell_at()
    days = ["2021-05-01", "2021-05-01T10:30:20Z", "2021-05-03", "2021-05-05", "2021-05-05", "2021-05-06"]
    stack = np.zeros((len(days), 2, 24, 24), np.int16)
    clear = np.zeros((len(days), 24, 24), bool)
    for i, day in enumerate(days):
        left, scale = LEFT + (-200, 100)[i % 2], (1e-4, 2e-4)[i % 2]
        fine = Layer(numbers(i, 40), left=left, fields=raster_v1(scale=scale, offset=-0.1, nodata=0))
        coarse = Layer(numbers(90 + i, 20), left=left, resolution=20, fields=RAW)
        score = Layer(rng.random((40, 40)).astype(np.float32), left=left)
        catalog.add(f"S{i}", day, {"B04": fine, "B11": coarse, "cs": score})
        stack[i, 0] = expected_values(fine, cell.geobox, scale * 10_000, -1_000)
        stack[i, 1] = expected_values(coarse, cell.geobox, bias=-1_000)
        nearest, there = score.nearest(cell.geobox)
        clear[i] = (nearest >= 0.75) & there
    composite = read(catalog.save(), TWO_BANDS, cell)
    expected, dropped = slow_composite(stack, clear, [0, 0, 2, 4, 4, 5], range(2), 5)
    np.testing.assert_array_equal(composite.values, expected)
    assert dropped > 0
    assert composite.counts.duplicates_dropped == dropped
    assert (composite.counts.scenes, composite.counts.without_score) == (6, 0)
    assert (composite.bins, composite.bands) == (BINS, ("B4", "B11"))


def test_one_file_of_many_bands_gives_each_its_own(tmp_path):
    cube = np.stack([numbers(1), numbers(2), numbers(3), np.full((40, 40), 4, np.uint16)])
    names = [{"name": name} for name in ("B11", "B02", "B04", "SCL")]
    declared = [{"scale": 0.0001, "offset": 0, "nodata": 0}] * 3 + [{}]
    layer = Layer(cube, fields={"eo:bands": names, "raster:bands": declared})
    composite = single(tmp_path, {"data": layer}, TWO_BANDS)
    np.testing.assert_array_equal(composite.values[0], cube[[2, 0], :24, :24])


def test_the_threshold_itself_is_clear_also_for_scaled_scores(tmp_path):
    steps = np.tile(np.array([74, 75, 76, 255], np.uint8), (40, 10))
    score = Layer(steps, fields=raster_v1(scale=0.01, nodata=255, data_type="uint8"))
    composite = single(tmp_path, {"B04": Layer(numbers(1), fields=RAW), "cs": score})
    assert (composite.values[0, 0, 0, :4] != NODATA).tolist() == [False, True, True, False]


def test_the_band_and_threshold_of_the_recipe_decide(tmp_path):
    low = Layer(np.full((40, 40), 0.6, np.float32))
    layers = {"B04": Layer(numbers(1), fields=RAW), "cs": low, "cs_cdf": CLEAR}
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", layers)
    path = catalog.save()
    for rule, clear in ((CloudRule(), False), (CloudRule("cs_cdf"), True), (CloudRule(threshold=0.6), True)):
        # 0.6 as float32 is a little more than 0.6
        composite = read(path, Recipe.of(bands=("B4",), clear=rule))
        assert (composite.values[0] != NODATA).all() == clear


def test_scene_classes_decide_where_there_is_no_score(tmp_path):
    classes = np.tile(np.arange(12, dtype=np.uint8), (20, 2))
    layers = {"B04": Layer(numbers(1), fields=RAW), "SCL": Layer(classes, resolution=20)}
    composite = single(tmp_path, layers)
    expected = np.isin(np.repeat(np.arange(12), 2), (4, 5, 6, 7))
    np.testing.assert_array_equal(composite.values[0, 0, 0] != NODATA, expected)
    assert composite.counts.without_score == 1


def test_an_observation_is_whole_or_absent(tmp_path):
    """A pixel that lacks one band is a gap in all of them."""
    first, second = numbers(1), numbers(2)
    first[0, 0] = 0
    second[0, 1] = 0
    layers = {"B04": Layer(first, fields=RAW), "B11": Layer(second, fields=RAW), "cs": CLEAR}
    values = single(tmp_path, layers, TWO_BANDS).values[0]
    assert (values[:, 0, :3] == NODATA).tolist() == [[True, True, False]] * 2


def test_fractions_with_undeclared_nodata_are_reflectance(tmp_path):
    values = np.full((40, 40), 0.12345, np.float32)
    values[0, :4] = np.nan, 1e20, np.inf, -0.01
    composite = single(tmp_path, {"B04": Layer(values), "cs": CLEAR}, **{"s2:processing_baseline": "05.00"})
    assert composite.values[0, 0, 0, :5].tolist() == [NODATA, NODATA, NODATA, -100, 1_235]


def test_undeclared_whole_numbers_follow_the_processing_baseline(tmp_path):
    layers = {"B04": Layer(numbers(1)), "cs": CLEAR}
    for baseline, bias in (("03.01", 0), ("04.00", -1_000)):
        composite = single(tmp_path / baseline, layers, **{"s2:processing_baseline": baseline})
        np.testing.assert_array_equal(composite.values[0, 0], numbers(1)[:24, :24].astype(int) + bias)


def test_the_nodata_of_the_file_counts_too(tmp_path):
    values = numbers(1)
    values[0, :2] = 0, 65_535
    layer = Layer(values, nodata=65_535, fields=raster_v1(scale=0.0001, offset=0))
    assert single(tmp_path, {"B04": layer, "cs": CLEAR}).values[0, 0, 0, :2].tolist() == [0, NODATA]


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("key", ["B04", "cs"])
def test_the_mask_of_a_file_counts_too(tmp_path, key, nodata):
    catalog, band = FakeCatalog(tmp_path), Layer(numbers(7), left=LEFT - 43, top=TOP + 38, fields=RAW)
    layers = {"B04": band, "cs": Layer(CLEAR.values)}
    layer = layers[key]
    layer.nodata = nodata
    catalog.add("S1", "2021-05-02", layers)
    valid = np.random.default_rng(8).random(layer.values.shape) < 0.7
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "S1" / f"{key}.tif", "r+") as file,
    ):
        file.write_mask(valid)
    masked = Layer(valid, left=layer.left, top=layer.top)
    seen = masked.nearest(cell_at().geobox)[0] & masked.nearest(cell_at().geobox)[1]
    expected = np.where(seen, expected_values(band, cell_at().geobox, bias=-1_000), NODATA)
    found = read(catalog.save(), ONE_BAND).values[0, 0]
    np.testing.assert_array_equal(found, expected)
    assert 0.2 < (found == NODATA).mean() < 0.6


def test_scenes_that_give_nothing_and_pixels_without_a_value_are_counted(tmp_path):
    catalog = FakeCatalog(tmp_path)
    empty = Layer(np.zeros((40, 40), np.uint16), fields=raster_v1(nodata=0, scale=0.0001, data_type="uint16"))
    nothing = Layer(np.full((40, 40), np.nan, np.float32))
    half = numbers(5)
    half[:, 12:] = 0  # of 24 columns that the cell sees
    catalog.add("S1", "2021-05-02", {"B04": empty, "cs": nothing})
    catalog.add("S2", "2021-05-03", {"B04": Layer(half, fields=RAW), "cs": CLEAR})
    counts = read(catalog.save(), ONE_BAND).counts
    assert (counts.scenes, counts.empty) == (1, 1)
    assert (counts.clear, counts.struck) == (24 * 24, 24 * 12)


def test_only_scenes_of_the_bins_and_the_cell_are_read(tmp_path):
    catalog = FakeCatalog(tmp_path)
    for day in ("2021-04-30T23:59:59Z", "2021-05-01T00:00:00Z", "2021-05-10T23:59:59Z", "2021-05-11"):
        catalog.add(f"S{day[:10]}", day, {"B04": Layer(numbers(1), fields=RAW), "cs": CLEAR})
    far = Layer(numbers(1), left=LEFT + 50_000)
    catalog.add("far", "2021-05-02", {"B04": far, "cs": far})
    path = catalog.save()
    for name in ("S2021-04-30", "S2021-05-11", "far"):
        (tmp_path / name / "B04.tif").unlink()
        (tmp_path / name / "cs.tif").unlink()
    composite = read(path, ONE_BAND)
    assert composite.counts.scenes == 2
    assert (composite.values != NODATA).all()


def test_the_day_is_the_day_in_utc(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-01T23:30:00-02:00", {"B04": Layer(numbers(1), fields=RAW), "cs": CLEAR})
    catalog.add("S2", "2021-05-02T12:00:00Z", {"B04": Layer(numbers(2), fields=RAW), "cs": CLEAR})
    composite = read(catalog.save(), ONE_BAND)  # 23:30 at -02:00 is 2 May: one day, the later wins
    np.testing.assert_array_equal(composite.values[0, 0], numbers(2)[:24, :24].astype(int) - 1_000)


@pytest.mark.parametrize(
    ("time", "bins_seen"), [("T00:00:00Z", [True, False]), ("T03:59:59Z", [False, True])]
)
def test_where_only_the_day_is_known_no_clock_moves_it(tmp_path, time, bins_seen):
    """Four hours west of UTC 03:59 is on the day before; midnight is how catalogs write a day."""
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", f"2021-05-06{time}", {"B04": Layer(numbers(1), fields=RAW), "cs": CLEAR})
    season = replace(SEASON, hours_ahead=-4)
    source = StacSource(str(catalog.save()), ONE_BAND)
    seen = source.read_cell(cell_at(), season, BINS).values != NODATA
    assert seen.any(axis=(1, 2, 3)).tolist() == bins_seen[::-1]
    assert source.survey(HERE, season, BINS).scenes == 1


def test_bands_are_not_read_where_nothing_is_clear(tmp_path):
    catalog = FakeCatalog(tmp_path)
    cloudy = Layer(np.full((40, 40), 0.2, np.float32))
    catalog.add("S1", "2021-05-02", {"B04": Layer(numbers(1)), "cs": cloudy})
    path = catalog.save()
    (tmp_path / "S1" / "B04.tif").unlink()
    composite = read(path, ONE_BAND)
    assert (composite.values == NODATA).all()
    assert composite.counts.scenes == 1


def test_an_item_linked_twice_counts_once(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", {"B04": Layer(numbers(1), fields=RAW), "cs": CLEAR})
    catalog.items *= 2
    composite = read(catalog.save(), ONE_BAND)
    assert (composite.counts.scenes, composite.counts.duplicates_dropped) == (1, 0)


def test_a_cell_without_scenes_is_all_nodata(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", {"B04": Layer(numbers(1)), "cs": CLEAR})
    composite = read(catalog.save(), ONE_BAND, cell_at(LEFT + 30_720))
    assert composite.counts.scenes == 0
    assert composite.values.shape == (2, 1, 24, 24)
    assert (composite.values == NODATA).all()


def _truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _overwrite_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = b"\xff" * (len(content) // 2 - len(content) // 3)
    path.write_bytes(content)


def _lose(path, **lost):
    with rasterio.open(path) as file:
        profile, values = file.profile | lost, file.read()
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)


BREAK = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>Service unavailable</html>"),
    "truncated": _truncate,
    "scribbled": _overwrite_middle,
    "without CRS": lambda path: _lose(path, crs=None),
    "without transform": lambda path: _lose(path, transform=None),
}


@pytest.mark.parametrize("asset", ["B04", "B11", "cs"])
@pytest.mark.parametrize("damage", list(BREAK))
def test_a_broken_asset_is_an_error_that_names_it_and_never_blank_pixels(tmp_path, damage, asset):
    catalog = FakeCatalog(tmp_path)
    layers = {
        "B04": Layer(numbers(1), fields=RAW),
        "B11": Layer(numbers(2, 20), resolution=20, fields=RAW),  # warped, not pasted
        "cs": Layer(np.random.default_rng(1).uniform(0.8, 1, (40, 40)).astype(np.float32)),
    }
    catalog.add("S1", "2021-05-02", layers)
    path = catalog.save()
    BREAK[damage](tmp_path / "S1" / f"{asset}.tif")
    with pytest.raises(SceneReadError) as caught:
        read(path, TWO_BANDS, retries=1)
    for word in ("scene S1", f"{asset}.tif", "r0003_c0012", "run the same command again"):
        assert word in str(caught.value)


def test_a_file_with_fewer_bands_than_its_item_says_is_an_error(tmp_path):
    layer = Layer(numbers(1), fields={"eo:bands": [{"name": "B02"}, {"name": "B04"}]})
    with pytest.raises(SceneReadError, match="data of scene S1"):
        single(tmp_path, {"data": layer, "cs": CLEAR})


def test_a_score_that_is_no_score_is_an_error(tmp_path):
    percent = Layer(np.full((40, 40), 87, np.uint8))
    with pytest.raises(SceneReadError, match=r"between 0 and 1.*goes up to 87.*scale"):
        single(tmp_path, {"B04": Layer(numbers(1)), "cs": percent})


def test_a_read_that_fails_once_is_tried_again(tmp_path, monkeypatch):
    import rasterio.errors

    from gee_pipeline.stac.composites import observation

    failures = iter([True, True, False, False])
    original = observation.read_bands

    def flaky(*arguments):
        if next(failures):
            raise rasterio.errors.RasterioIOError("a hiccup of the file system")
        return original(*arguments)

    monkeypatch.setattr(observation, "read_bands", flaky)
    composite = single(tmp_path, {"B04": Layer(numbers(1)), "cs": CLEAR})
    assert (composite.values[0] != NODATA).all()


def surveyed(path, area=HERE, season=SEASON, recipe=TWO_BANDS, **options):
    return StacSource(str(path), recipe, **options).survey(area, season, BINS)


def two_bands(**more):
    return {"B04": Layer(numbers(1)), "B11": Layer(numbers(2))} | more


def test_a_survey_counts_scenes_and_says_how_clouds_are_found(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    catalog.add("S2", "2021-05-03", two_bands(SCL=CLEAR))
    catalog.add("S3", "2021-05-04", two_bands(SCL=CLEAR, cs=CLEAR))
    catalog.add("S4", "2021-06-04", two_bands(SCL=CLEAR))
    survey = surveyed(catalog.save())
    assert survey.scenes == 3
    assert not survey.simulated
    (notice,) = survey.notices
    assert "1 of 3 scenes have no Cloud Score+" in notice
    assert "4 vegetation, 5 not vegetated, 6 water, 7 unclassified" in notice


def test_a_survey_says_when_scenes_are_simulated(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR), simulated=True)
    survey = surveyed(catalog.save())
    assert survey.simulated
    assert survey.notices == ()


def test_a_missing_band_is_named_with_the_way_out(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    catalog.add("S2", "2021-05-03", {"B04": Layer(numbers(1)), "cs": CLEAR})
    path = catalog.save()
    with pytest.raises(InputError, match=r"S2 has no B11\..*cropmap export --bands B4`"):
        surveyed(path)
    with pytest.raises(SceneReadError, match=r"r0003_c0012.*S2 has no B11"):
        read(path, TWO_BANDS)


def test_a_scene_without_any_cloud_asset_is_refused(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands())
    with pytest.raises(InputError, match=r"`cs`.*`SCL`.*S1 has neither"):
        surveyed(catalog.save())


def test_an_area_outside_the_catalog_is_told_where_the_catalog_is(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    with pytest.raises(InputError, match=r"covers longitude 9\.15.*lies in longitude 20\.0000 to 20\.1000"):
        surveyed(catalog.save(), area=shapely.box(20, 46, 20.1, 46.1))


def test_an_area_whose_coordinates_are_swapped_is_told_so(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    turned = shapely.box(
        46, 9.1, 46.3, 9.3
    )  # longitude 9.1 to 9.3 and latitude 46 to 46.3, where the scene is
    with pytest.raises(InputError, match="scenes would touch it: write the longitude first"):
        surveyed(catalog.save(), area=turned)


@pytest.mark.parametrize(
    "area",
    [
        shapely.box(20, 46, 20.1, 46.1),  # elsewhere, however it is read
        shapely.box(120, 9.1, 120.1, 9.3),  # no latitude
    ],
)
def test_an_area_that_lies_elsewhere_is_not_called_swapped(tmp_path, area):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    with pytest.raises(InputError, match=r"Check --aoi \(also its CRS\)"):
        surveyed(catalog.save(), area=area)


def test_a_season_without_scenes_is_told_which_days_there_are(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    catalog.add("S2", "2021-08-30", two_bands(cs=CLEAR))
    with pytest.raises(
        InputError, match=r"from 2023-05-01 to 2023-05-10;.*from 2021-05-02 to 2021-08-30.*--year"
    ):
        surveyed(catalog.save(), season=SUMMER.season(2023, "north"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("", "not JSON"),
        ("[1, 2]", "not hold a JSON object"),
        ('{"name": "not a catalog"}', "not readable as STAC"),
        (
            '{"type": "Catalog", "stac_version": "1.0.0", "id": "x", "description": "", "links": []}',
            "no scenes",
        ),
        ('{"type": "FeatureCollection", "features": []}', "no scenes"),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature"}]}', "not readable as STAC"),
    ],
)
def test_what_is_no_catalog_is_refused(tmp_path, content, message):
    path = tmp_path / "catalog.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        surveyed(path)
    assert "--source" in str(caught.value)


def test_a_link_to_a_missing_item_is_refused(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    path = catalog.save()
    (tmp_path / "S1" / "item.json").unlink()
    with pytest.raises(InputError, match=r"S1/item\.json"):
        surveyed(path)


def test_an_item_collection_and_nested_collections_give_the_same_composite(tmp_path):
    catalog = FakeCatalog(tmp_path)
    item = catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    item["collection"] = "s2"
    catalog.add("S2", "2021-05-03", two_bands(cs=CLEAR))
    path = catalog.save()
    (tmp_path / "root.json").write_text(
        json.dumps(
            {
                "type": "Catalog",
                "stac_version": "1.0.0",
                "id": "root",
                "description": "a catalog of a catalog",
                "links": [{"rel": "child", "href": "./catalog.json"}],
            }
        )
    )
    features = json.loads(json.dumps(catalog.items))
    for feature in features:
        for asset in feature["assets"].values():
            asset["href"] = f"./{feature['id']}/{asset['href'].split('/')[-1]}"
    (tmp_path / "list.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    expected = read(path, TWO_BANDS)
    assert expected.counts.scenes == 2
    for name in ("root.json", "list.json"):
        composite = read(tmp_path / name, TWO_BANDS)
        np.testing.assert_array_equal(composite.values, expected.values)
    assert read(path, TWO_BANDS, collection="s2").counts.scenes == 1
    with pytest.raises(InputError, match="collection s3; there are s2"):
        surveyed(path, collection="s3")


def test_the_source_travels_to_a_worker_as_a_few_bytes_and_means_the_same_there(tmp_path, monkeypatch):
    catalog = FakeCatalog(tmp_path / "scenes")
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    catalog.save()
    monkeypatch.chdir(tmp_path)
    source = StacSource("scenes/catalog.json", TWO_BANDS)
    source.describe()
    package = pickle.dumps(source)
    monkeypatch.chdir("/")
    assert len(package) < 2_000
    assert pickle.loads(package).describe() == source.describe()
    assert source.describe()["href"] == str((tmp_path / "scenes" / "catalog.json").resolve())


def test_the_description_changes_with_the_scenes_and_only_with_them(tmp_path):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    source = StacSource(str(catalog.save()), TWO_BANDS)
    before = source.describe()
    assert source.describe() == before
    json.dumps(before)
    catalog.items.append({**catalog.items[0], "id": "S2"})
    (tmp_path / "S2").mkdir()
    catalog.save()
    assert source.describe()["digest"] != before["digest"]
    assert source.describe()["scenes"] == 2


CHANGES = {
    "offset": lambda scene, asset: asset["raster:bands"][0].update(offset=-0.2),
    "scale": lambda scene, asset: asset["raster:bands"][0].update(scale=0.001),
    "nodata": lambda scene, asset: asset["raster:bands"][0].update(nodata=7),
    "type": lambda scene, asset: asset["raster:bands"][0].update(data_type="int16"),
    "another file": lambda scene, asset: asset.update(href="./B11.tif"),
    "no mask": lambda scene, asset: scene["assets"].pop("cs"),
}


def fingerprint(catalog):
    """That of the only scene of a catalog."""
    (found,) = StacSource(str(catalog.save()), TWO_BANDS).fingerprints(HERE, SEASON, BINS).values()
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_a_fingerprint_changes_with_what_decides_a_pixel(tmp_path, change):
    catalog = FakeCatalog(tmp_path)
    declared = Layer(numbers(1), fields=copy.deepcopy(RAW))
    scene = catalog.add("S1", "2021-05-02", two_bands(B04=declared, cs=CLEAR, SCL=CLEAR))
    before = fingerprint(catalog)
    CHANGES[change](scene, scene["assets"]["B04"])
    assert fingerprint(catalog) != before


def test_a_fingerprint_changes_with_the_rule_of_the_baseline(tmp_path):
    catalog = FakeCatalog(tmp_path)
    scene = catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR), **{"s2:processing_baseline": "04.00"})
    before = fingerprint(catalog)
    scene["properties"]["s2:processing_baseline"] = "03.01"
    assert fingerprint(catalog) != before


@pytest.mark.parametrize("key", ["B04", "cs"])
def test_a_fingerprint_changes_with_the_files_that_are_read_and_with_no_other(tmp_path, key):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR, B9=Layer(numbers(3))))
    before = fingerprint(catalog)
    (tmp_path / "S1" / "B9.tif").write_bytes(b"another")
    assert fingerprint(catalog) == before
    (Layer(np.full((40, 40), 0.1, np.float32)) if key == "cs" else Layer(numbers(9), fields=RAW)).write(
        tmp_path / "S1" / f"{key}.tif"
    )
    assert fingerprint(catalog) != before


def test_a_renewed_token_is_the_same_source(tmp_path):
    def signed(access):
        catalog = FakeCatalog(tmp_path / str(len(list(tmp_path.iterdir()))))
        scene = catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
        for name, asset in scene["assets"].items():
            asset["href"] = access.format(f"example.org/scenes/{name}.tif")
        return fingerprint(catalog)

    assert signed("https://{}?sv=1&sig=one") == signed("https://{}?sv=1&sig=another")
    assert signed("https://{}?sv=1&sig=one") == signed("https://me:secret@{}")
    assert signed("https://{}?sv=1&sig=one") != signed("https://elsewhere.{}")


def test_two_tiles_whose_id_is_the_day_both_count(tmp_path):
    """Their ids and times are the same; one lies in the west of the cell, the other in the east."""
    catalog = FakeCatalog(tmp_path)
    west, east = (Layer(np.full((40, 12), n, np.uint16), left=LEFT + x, fields=RAW) for n, x in PARTS)
    for name, layer in (("west", west), ("east", east)):
        score = Layer(np.ones((40, 12), np.float32), left=layer.left)
        catalog.add(name, "2021-05-02", {"B04": layer, "cs": score})
    for item in catalog.items:
        item["assets"] = {
            key: asset | {"href": f"./{item['id']}/{key}.tif"} for key, asset in item["assets"].items()
        }
        item["id"] = "2021-05-02"
    (tmp_path / "list.json").write_text(json.dumps({"type": "FeatureCollection", "features": catalog.items}))
    values = read(tmp_path / "list.json", ONE_BAND).values[0, 0]
    assert (values[:, :12] == 2_000).all()
    assert (values[:, 12:] == 4_000).all()


PARTS = ((3_000, 0), (5_000, 120))
"""Number and place, metres from the left, of two tiles; ESA's offset makes 2,000 and 4,000 of the numbers."""


def test_a_cell_at_the_antimeridian_finds_scenes_however_their_footprints_are_written(tmp_path):
    """In zone 60 of the south; the margin of the cell reaches over 180 degrees."""
    crs = "EPSG:32760"
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(179.9985, -16.9)
    left, top = np.floor(x / 10) * 10, np.ceil(y / 10) * 10
    catalog, cell = FakeCatalog(tmp_path), cell_at(left, top, 16, crs)
    wide = ((179.99, -179.99), (-180.01, -179.99), (179.99, 180.01))
    for number, (west, east) in enumerate(wide):
        layer = Layer(np.full((40, 40), 2_000 + 1_000 * number, np.uint16), left, top, crs=crs, fields=RAW)
        score = Layer(np.ones((40, 40), np.float32), left, top, crs=crs)
        item = catalog.add(f"S{number}", f"2021-05-0{number + 1}", {"B04": layer, "cs": score})
        corners = [(west, -17), (east, -17), (east, -16), (west, -16), (west, -17)]
        item["geometry"] = {"type": "Polygon", "coordinates": [[list(corner) for corner in corners]]}
    composite = read(catalog.save(), ONE_BAND, cell)
    assert composite.counts.scenes == 3
    assert (composite.values[0] == 2_000).all()  # the median of 1,000, 2,000 and 3,000


def _triangle(*corners):
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (_triangle([9, 46], [10, 46], [float("nan"), 47]), "not a finite"),
        ({"type": "Polygon", "coordinates": []}, "empty"),
        (_triangle([512_000, 5_120_000], [512_400, 5_120_000], [512_400, 5_119_600]), "no longitudes"),
        ("POLYGON ((9 46, 10 46, 10 47, 9 46))", "not a GeoJSON geometry"),
    ],
)
def test_a_footprint_that_cannot_be_used_names_its_item(tmp_path, geometry, message):
    catalog = FakeCatalog(tmp_path)
    catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))["geometry"] = geometry
    with pytest.raises(InputError, match=f"item S1 cannot be used.*{message}"):
        surveyed(catalog.save())


def test_an_open_ring_and_an_empty_hole_are_a_footprint(tmp_path):
    catalog = FakeCatalog(tmp_path)
    item = catalog.add("S1", "2021-05-02", two_bands(cs=CLEAR))
    ring = item["geometry"]["coordinates"][0]
    item["geometry"]["coordinates"] = [ring[:-1], []]
    assert surveyed(catalog.save()).scenes == 1
