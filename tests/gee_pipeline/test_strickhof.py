"""Real scenes: 37 Sentinel-2 files of 2022 as they were shared, made a catalog where they lie.

They are messy: reflectance only inside a few wheat fields, nodata 0, NaN or 1e20, two deliveries of the same
scene, grids that differ by a pixel, files that reach over a second place, nine of the ten bands.
"""

import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import BANDS
from gee_pipeline.errors import InputError
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac.composites.source import StacSource

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "strickhof-2022"
SCENES = sorted(DATA.glob("S2*.tif"))
NAMES = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL")  # as the files are described
NINE = tuple(band for band in BANDS if band != "B8")
SEASON = SUMMER.season(2022, "north")
BINS = range(12, 43)  # 2 March to 3 August
AREA = shapely.box(8.67, 47.44, 8.69, 47.46)
TOO_BRIGHT = 10  # no reflectance: undeclared nodata

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SCENES, reason="the real scenes of strickhof-2022 are not next to this checkout (../shared/data)"
    ),
]


def acquired(path):
    return datetime.strptime(path.stem.split("_")[2] + "Z", "%Y%m%dT%H%M%S%z")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """An item a file, named like it; the file is its one asset, with the names of its bands."""
    root = pystac.Catalog("strickhof-2022", "Sentinel-2 L2A over wheat fields")
    for path in SCENES:
        with rasterio.open(path) as file:
            to = pyproj.Transformer.from_crs(file.crs, "EPSG:4326", always_xy=True)
            outline = shapely.box(*to.transform_bounds(*file.bounds))
        properties = {"s2:processing_baseline": f"{path.stem.split('_')[3][1:3]}.00"}
        item = pystac.Item(
            path.stem, shapely.geometry.mapping(outline), list(outline.bounds), acquired(path), properties
        )
        bands = {"eo:bands": [{"name": name} for name in NAMES]}
        item.add_asset("data", pystac.Asset(str(path.resolve()), extra_fields=bands))
        root.add_item(item)
    folder = tmp_path_factory.mktemp("strickhof")
    root.normalize_and_save(str(folder), pystac.CatalogType.ABSOLUTE_PUBLISHED)
    return folder / "catalog.json"


def cell():
    """Pixels around all grids, the taller files included."""
    return Cell(0, 0, GeoBox((160, 100), Affine(10, 0, 475_740, 0, -10, 5_255_680), "EPSG:32632"))


def observed(path, geobox, clear_classes):
    """Reflectance x 10,000 of a file on a cell, pixel by pixel: {(y, x): values of the nine bands}."""
    with rasterio.open(path) as file:
        cube, origin, nodata = file.read(), file.transform, file.nodata
    rows, cols = cube.shape[1:]
    down = round((origin.f - geobox.transform.f) / 10)
    right = round((geobox.transform.c - origin.c) / 10)
    found = {}
    for y, x in np.ndindex(*geobox.shape):
        row, col = y + down, x + right
        if not (0 <= row < rows and 0 <= col < cols) or cube[9, row, col] not in clear_classes:
            continue
        values = [float(cube[NAMES.index(name), row, col]) for name in ORDER]
        if all(math.isfinite(v) and v != nodata and abs(v) <= TOO_BRIGHT for v in values):
            found[y, x] = [math.floor(v * 10_000 + 0.5) for v in values]
    return found


ORDER = tuple(name for band in NINE for name in NAMES if name.replace("B0", "B") == band)


def oracle(geobox, clear_classes):
    """Medians of every bin, from the files alone."""
    days = {}
    for path in sorted(SCENES, key=lambda p: (acquired(p), p.stem)):
        day = (acquired(path).date() - SEASON.start).days
        days.setdefault(day, {}).update(observed(path, geobox, clear_classes))  # the last of a day stays
    out = np.full((len(BINS), len(NINE), *geobox.shape), -9_999, np.int16)
    for place, index in enumerate(BINS):
        of_bin = [days[day] for day in range(index * 5, index * 5 + 5) if day in days]
        for y, x in set().union(*of_bin) if of_bin else ():
            stack = np.array([day[y, x] for day in of_bin if (y, x) in day])
            out[place, :, y, x] = np.floor(np.median(stack, axis=0) + 0.5)
    return out


def test_composites_of_the_nine_bands_equal_the_files_pixel_by_pixel(catalog):
    recipe = Recipe.of(bands=NINE)
    composite = StacSource(str(catalog), recipe).read_cell(cell(), SEASON, BINS)
    expected = oracle(cell().geobox, recipe.sensors[0].clear.scl_clear)
    np.testing.assert_array_equal(composite.values, expected)
    filled = expected[:, 0] != -9_999
    assert filled.any((1, 2)).sum() >= 20  # bins with data, so that equality means something
    assert filled.any(0).sum() >= 700  # pixels inside the fields
    assert composite.counts.scenes == composite.counts.without_score == 37
    assert composite.counts.duplicates_dropped > 500


def test_the_survey_says_that_scene_classes_are_used(catalog):
    survey = StacSource(str(catalog), Recipe.of(bands=NINE)).survey(AREA, SEASON, BINS)
    assert survey.scenes == 37
    assert "37 of 37 scenes have no Cloud Score+" in survey.notices[0]


def test_the_ten_band_recipe_stops_and_names_the_missing_band(catalog):
    with pytest.raises(
        InputError, match=r"has no B8\. .*`cropmap export --bands B2,B3,B4,B5,B6,B7,B8A,B11,B12`"
    ):
        StacSource(str(catalog), Recipe()).survey(AREA, SEASON, BINS)


def test_another_year_stops_and_names_the_days_there_are(catalog):
    with pytest.raises(InputError, match="from 2022-03-05 to 2022-07-30"):
        StacSource(str(catalog), Recipe.of(bands=NINE)).survey(AREA, SUMMER.season(2023, "north"), BINS)
