"""Scenes on disk, read back with rasterio and pystac."""

from datetime import UTC, datetime

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from examples.scene_writer import OLD_BASELINE, Packing, asset_key, write_catalog, write_scene

PLACE = GeoBox((8, 12), Affine(10, 0, 696_320, 0, -10, 3_909_120), "EPSG:32615")
MOMENT = datetime(2021, 7, 1, 16, 48, 51, tzinfo=UTC)


def reflectance(band):
    shape = (4, 6) if band in ("B5", "B11") else (8, 12)
    return np.random.default_rng(len(band)).integers(0, 10_000, shape).astype(np.int16)


@pytest.mark.parametrize("packing", [Packing(), OLD_BASELINE])
def test_reflectance_comes_back_through_the_scale_and_offset_of_the_item(tmp_path, packing):
    bands = {band: reflectance(band) for band in ("B2", "B5", "B8A", "B11")}
    bands["B2"][0, 0] = -9999
    bands["B2"][0, 1] = 0
    item = write_scene(tmp_path, "one", acquired=MOMENT, geobox=PLACE, bands=bands, packing=packing)
    write_catalog(tmp_path, [item], "A title", "A sentence.")
    read = next(pystac.Catalog.from_file(str(tmp_path / "catalog.json")).get_items())
    for band, values in bands.items():
        asset = read.assets[asset_key(band)]
        stored = asset.extra_fields["raster:bands"][0]
        with rasterio.open(asset.get_absolute_href()) as file:
            numbers = file.read(1)
            assert file.dtypes == ("uint16",)
            assert file.nodata == stored["nodata"] == 0
        again = (numbers * stored["scale"] + stored["offset"]) * 10_000
        valid = values != -9999
        assert (numbers[~valid] == 0).all()
        assert (numbers[valid] > 0).all()  # a dark pixel is not nodata
        np.testing.assert_allclose(again[valid], values[valid], atol=1.001)


def test_every_band_has_its_own_pixel_size_and_the_same_corner(tmp_path):
    bands = {band: reflectance(band) for band in ("B2", "B11")}
    write_scene(tmp_path, "one", acquired=MOMENT, geobox=PLACE, bands=bands)
    for key, size, shape in (("B02", 10, (8, 12)), ("B11", 20, (4, 6))):
        with rasterio.open(tmp_path / "items" / "one" / f"{key}.tif") as file:
            assert file.crs.to_epsg() == 32615
            assert file.transform == Affine(size, 0, 696_320, 0, -size, 3_909_120)
            assert file.shape == shape


def test_a_score_keeps_two_decimals_and_its_gaps(tmp_path):
    score = np.array([[0, 0.749], [0.75, np.nan]], np.float32)
    place = GeoBox((2, 2), PLACE.transform, PLACE.crs)
    classes = np.array([[4, 9], [0, 3]], np.uint8)
    item = write_scene(
        tmp_path, "one", acquired=MOMENT, geobox=place, bands={}, clear_score=score, scene_classes=classes
    )
    with rasterio.open(tmp_path / "items" / "one" / "cs.tif") as file:
        np.testing.assert_array_equal(file.read(1), [[0, 75], [75, 255]])
        assert file.nodata == 255
    stored = item.assets["cs"].extra_fields["raster:bands"][0]
    assert (stored["scale"], stored["nodata"]) == (0.01, 255)
    with rasterio.open(tmp_path / "items" / "one" / "SCL.tif") as file:
        np.testing.assert_array_equal(file.read(1), classes)


def test_a_catalog_can_be_moved_and_holds_no_absolute_path(tmp_path):
    item = write_scene(tmp_path / "a", "one", acquired=MOMENT, geobox=PLACE, bands={"B2": reflectance("B2")})
    write_catalog(tmp_path / "a", [item], "A title", "A sentence.")
    (tmp_path / "a").rename(tmp_path / "b")
    for path in (tmp_path / "b").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
    read = next(pystac.Catalog.from_file(str(tmp_path / "b" / "catalog.json")).get_items())
    with rasterio.open(read.assets["B02"].get_absolute_href()) as file:
        assert file.shape == (8, 12)


def test_an_item_says_when_where_and_how(tmp_path):
    item = write_scene(
        tmp_path,
        "one",
        acquired=MOMENT,
        geobox=PLACE,
        bands={"B8": reflectance("B8")},
        packing=OLD_BASELINE,
        properties={"platform": "sentinel-2a"},
    )
    assert item.datetime == MOMENT
    assert item.properties["proj:code"] == "EPSG:32615"
    assert item.properties["s2:processing_baseline"] == "03.01"
    assert item.properties["platform"] == "sentinel-2a"
    west, south, east, north = item.bbox
    assert -90.85 < west < east < -90.83
    assert 35.30 < south < north < 35.31
    assert item.assets["B08"].extra_fields["eo:bands"][0]["common_name"] == "nir"


def test_a_band_that_does_not_fit_the_scene_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"B11 must have a whole fraction of the scene's \(8, 12\) pixels"):
        write_scene(tmp_path, "one", acquired=MOMENT, geobox=PLACE, bands={"B11": np.zeros((4, 5), np.int16)})
