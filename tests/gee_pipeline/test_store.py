"""A composite on disk: what comes back, what is refused, and what a full disk leaves."""

import errno
import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gee_pipeline.errors import CorruptFileError, DiskFullError, MismatchError
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER, Season
from gee_pipeline.source import Composite, SceneCounts
from gee_pipeline.store import (
    composite_path,
    open_composite,
    read_composite,
    require_whole,
    write_composite,
)
from tests.support.fake_catalog import LEFT, cell_at

RECIPE = Recipe.of(bands=("B4", "B11", "B2"))
SEASON = SUMMER.season(2021, "north")
BINS = range(24, 30)
COUNTS = SceneCounts(scenes=12, without_score=3, duplicates_dropped=45)
CELL = cell_at(size=32)


def composite_of(bins=BINS, recipe=RECIPE, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.integers(-500, 32_767, (len(bins), len(recipe.bands), 32, 32)).astype(np.int16)
    values[rng.random(values.shape) < 0.3] = -9_999
    return Composite(values, CELL.geobox, bins, recipe.bands, COUNTS)


@pytest.fixture
def stored(tmp_path):
    path = composite_path(tmp_path, CELL)
    write_composite(path, composite_of(), RECIPE, SEASON, {"kind": "stac", "href": "somewhere"})
    return path


def read(path, *, cell=CELL, recipe=RECIPE, season=SEASON, bins=BINS):
    return read_composite(path, cell, recipe, season, bins)


def test_a_composite_comes_back_as_it_was_written(stored):
    found = read(stored)
    np.testing.assert_array_equal(found.values, composite_of().values)
    assert found.values.dtype == np.int16
    assert (found.bins, found.bands, found.counts, found.geobox) == (BINS, RECIPE.bands, COUNTS, CELL.geobox)


def test_each_band_says_its_scale_and_its_days(stored):
    with rasterio.open(stored) as file:
        assert file.scales == pytest.approx((1e-4,) * 18)
        assert file.tags(1)["FIRST_DAY"] == "2021-05-01"  # bin 24
        assert file.tags(18)["LAST_DAY"] == "2021-05-30"  # bin 29


def test_a_band_of_other_days_than_the_label_is_refused(stored):
    with rasterio.open(stored, "r+") as file:
        file.update_tags(5, FIRST_DAY="2021-06-01")
    with pytest.raises(CorruptFileError, match="other days"):
        read(stored)


def test_an_opened_composite_has_units_days_and_places(stored):
    array = open_composite(stored)
    assert array.dims == ("bin", "band", "y", "x")
    raw = composite_of().values
    expected = np.where(raw == -9_999, np.nan, raw / 10_000)
    np.testing.assert_allclose(array.values, expected, rtol=1e-6)
    one = array.sel(bin=25, band="B11")
    assert (str(one.start.values)[:10], str(one.end.values)[:10]) == ("2021-05-06", "2021-05-10")
    assert array.rio.crs.to_epsg() == 32632
    left, top = CELL.geobox.transform.c, CELL.geobox.transform.f
    assert (float(array.x[0]), float(array.y[0])) == (left + 5, top - 5)  # centres of 10 m pixels


def test_units_are_those_of_the_sensor(tmp_path):
    recipe = Recipe.of(bands=("B4", "VV"), bin_days="month")
    values = np.full((1, 2, 32, 32), -1_250, np.int16)
    path = composite_path(tmp_path, CELL)
    write_composite(
        path, Composite(values, CELL.geobox, range(4, 5), recipe.bands, COUNTS), recipe, SEASON, {}
    )
    array = open_composite(path)
    assert float(array.sel(band="VV")[0, 0, 0]) == pytest.approx(-12.5)  # decibel
    assert float(array.sel(band="B4")[0, 0, 0]) == pytest.approx(-0.125)
    assert (str(array.start.values[0])[:10], str(array.end.values[0])[:10]) == ("2021-05-01", "2021-05-31")


def test_a_damaged_composite_is_not_opened(stored):
    stored.write_bytes(stored.read_bytes()[:200])
    with pytest.raises(CorruptFileError):
        open_composite(stored)


def test_the_file_is_an_ordinary_geotiff_that_explains_itself(stored):
    assert stored.parts[-2:] == ("composites", "r0003_c0012.tif")
    with rasterio.open(stored) as file:
        assert file.descriptions[:4] == ("B4_24", "B11_24", "B2_24", "B4_25")
        assert (file.nodata, set(file.dtypes), file.crs.to_epsg()) == (-9_999, {"int16"}, 32632)
        assert file.transform == CELL.geobox.transform
        assert (file.compression.name, file.interleaving.name) == ("zstd", "band")
        np.testing.assert_array_equal(file.read(4), composite_of().values[1, 0])
        tags = file.tags()
    assert tags["CROPMAP_COMPOSITE_DIGEST"] == RECIPE.composite_digest
    assert json.loads(tags["CROPMAP_RECIPE"]) == RECIPE.to_dict()
    assert json.loads(tags["CROPMAP_SEASON"]) == [2021, "2021-01-01"]
    assert json.loads(tags["CROPMAP_SOURCE"])["href"] == "somewhere"
    assert json.loads(tags["CROPMAP_COUNTS"])["duplicates_dropped"] == 45


def test_bins_are_taken_from_a_file_that_holds_more(tmp_path):
    path = tmp_path / "whole_season.tif"
    whole = composite_of(range(73))
    write_composite(path, whole, RECIPE, SEASON, {})
    found = read(path, bins=range(24, 67))
    np.testing.assert_array_equal(found.values, whole.values[24:67])
    assert found.bins == range(24, 67)


def test_bins_that_are_not_there_are_refused(stored):
    with pytest.raises(MismatchError, match=r"holds the bins 24 to 29; bins 20 to 25 are needed.*--out"):
        read(stored, bins=range(20, 26))


def test_window_and_gap_rule_do_not_matter_to_a_composite(stored):
    read(stored, recipe=replace(RECIPE.with_window(60, 334), min_clear_bins=2))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe.of(bands=("B4", "B2", "B11")), ["bands", "B4, B11, B2 against B4, B2, B11"]),
        (RECIPE.with_clear(CloudRule(threshold=0.6)), ["clear pixels", "0.75", "0.6"]),
        (replace(RECIPE, bin_days=10), ["bin_days: 5 against 10"]),
    ],
)
def test_another_recipe_is_refused_with_both_values(stored, recipe, words):
    with pytest.raises(MismatchError) as caught:
        read(stored, recipe=recipe)
    for word in [*words, str(stored), "Delete it"]:
        assert word in str(caught.value)
    assert "window" not in str(caught.value)


def test_another_season_start_is_refused(stored):
    with pytest.raises(MismatchError, match="from 2021-01-01, this run from 2021-03-01"):
        read(stored, season=Season(2021, date(2021, 3, 1)))


@pytest.mark.parametrize(
    "cell", [cell_at(LEFT + 10, size=32), cell_at(size=16), cell_at(size=32, crs="EPSG:32633")]
)
def test_other_pixels_are_refused(stored, cell):
    with pytest.raises(MismatchError, match=r"32 x 32 pixels of EPSG:32632.*r0003_c0012"):
        read(stored, cell=cell)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2_000])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 0x55
    path.write_bytes(content)


def _other_values(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.write(np.zeros((32, 32), np.int16), 5)


def _plain_tif(path: Path) -> None:
    with rasterio.open(path, "w", driver="GTiff", count=1, height=32, width=32, dtype="float32") as file:
        file.write(np.full((32, 32), np.nan, np.float32), 1)


def _other_bands(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.set_band_description(2, "B12_24")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_text("not a raster"), id="text"),
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(_cut, id="truncated"),
        pytest.param(_flip, id="one byte changed"),
        pytest.param(_other_values, id="values changed"),
        pytest.param(_plain_tif, id="another GeoTIFF"),
        pytest.param(_other_bands, id="bands renamed"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_damaged_file_is_an_error_with_its_name_and_the_way_out(stored, damage):
    damage(stored)
    with pytest.raises(CorruptFileError, match=r"r0003_c0012\.tif.*Delete it and run the same command again"):
        read(stored)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_composite_and_is_not_waited_for(stored):
    stored.unlink()
    os.mkfifo(stored)
    with pytest.raises(CorruptFileError, match="a pipe or a device"):
        read(stored)


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(stored, monkeypatch):
    before = stored.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError, match="r0003_c0012"):
        write_composite(stored, composite_of(seed=1), RECIPE, SEASON, {})
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


@pytest.mark.parametrize("place", np.linspace(0, 1, 60, endpoint=False))
def test_no_flipped_bit_gives_other_pixels_or_another_kind_of_error(stored, place):
    """A flip in an unused place changes nothing; every other one is found, in whatever bin it is."""
    content = bytearray(stored.read_bytes())
    content[int(place * len(content))] ^= 16
    stored.write_bytes(content)
    try:
        require_whole(stored, CELL, RECIPE, SEASON, BINS)
    except (CorruptFileError, MismatchError):
        return
    np.testing.assert_array_equal(read(stored).values, composite_of().values)


@pytest.mark.parametrize("index", BINS)
def test_every_bin_is_verified(stored, index):
    with rasterio.open(stored, "r+") as file:
        band = 1 + 3 * (index - BINS.start)
        pixels = file.read(band)
        pixels[5, 7] += 1
        file.write(pixels, band)
    with pytest.raises(CorruptFileError, match="checksum"):
        require_whole(stored, CELL, RECIPE, SEASON, BINS)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("CROPMAP_BINS", "[0, 99999999999]"),  # would be a list of as many days
        ("CROPMAP_BINS", "[30, 24]"),
        ("CROPMAP_BINS", "[" * 10_000),
        ("CROPMAP_BINS", "[0, " + "9" * 9_000 + "]"),
        ("CROPMAP_SEASON", "{}"),
        ("CROPMAP_SEASON", '[99999, "2021-01-01"]'),
        ("CROPMAP_CRC32", "3"),
        ("CROPMAP_COUNTS", "[]"),
        ("CROPMAP_RECIPE", "null"),
    ],
)
def test_a_label_of_odd_values_is_damage(stored, tag, text):
    with rasterio.open(stored, "r+") as file:
        file.update_tags(**{tag: text})
    with pytest.raises(CorruptFileError, match="no label of a composite"):
        read(stored)
