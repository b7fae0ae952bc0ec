"""The virtual raster of a run's composites: what GDAL reads of it, and when there is none."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.merge
from rasterio.enums import ColorInterp

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.source import Composite, SceneCounts
from gee_pipeline.store import composite_path, stored_bins, write_composite
from inference.product.composites_vrt import CompositesVrt
from tests.support.made_runs import made_grid

RECIPE = Recipe.of(bands=("B2", "B3", "B4", "B8"))
SEASON = SUMMER.season(2021, "north")
BINS = range(24, 27)
CELLS = np.array([(0, 0), (0, 2), (1, 1)], np.int32)
GRID = made_grid(2, 3, cell_size=32)


@pytest.fixture
def vrt(tmp_path: Path) -> CompositesVrt:
    """Three of six cells; the first file holds one bin more than the run, as an export of more bins does."""
    rng = np.random.default_rng(5)
    for place, cell in enumerate(GRID.cells(CELLS)):
        bins = range(BINS.start - (place == 0), BINS.stop)
        values = rng.integers(0, 4000, (len(bins), 4, 32, 32)).astype(np.int16)
        values[:-2, :, :20] = -9999  # the last two bins are clearest
        composite = Composite(values, cell.geobox, bins, RECIPE.bands, SceneCounts(1, 0, 0))
        write_composite(composite_path(tmp_path, cell), composite, RECIPE, SEASON, {"kind": "made"})
    return CompositesVrt(tmp_path, GRID, CELLS, RECIPE, SEASON, BINS)


def test_its_pixels_are_those_of_the_files(vrt: CompositesVrt) -> None:
    vrt.write()
    paths = [composite_path(vrt.folder, cell) for cell in GRID.cells(CELLS)]
    with rasterio.open(paths[0]) as more, rasterio.open(vrt.path) as file:
        assert (file.count, file.nodata, file.transform) == (12, -9999, GRID.geobox.transform)
        assert file.crs == more.crs
        assert (file.read(window=((0, 32), (0, 32))) == more.read()[4:]).all()
        expected, _ = rasterio.merge.merge(paths[1:], bounds=file.bounds)
        expected[:, :32, :32] = more.read()[4:]
        np.testing.assert_array_equal(file.read(), expected)


def test_its_bands_have_names_days_and_scale(vrt: CompositesVrt) -> None:
    vrt.write()
    with rasterio.open(vrt.path) as file:
        assert file.descriptions == tuple(f"{band}_{index}" for index in BINS for band in RECIPE.bands)
        assert file.scales == (1e-4,) * 12
        assert file.tags(5) == {"FIRST_DAY": "2021-05-06", "LAST_DAY": "2021-05-10"}


def test_the_bin_that_most_files_show_is_red_green_and_blue(vrt: CompositesVrt) -> None:
    vrt.write()
    shown = [stored_bins(composite_path(vrt.folder, cell)).shown for cell in GRID.cells(CELLS)]
    assert shown == [25, 25, 25]  # clearer than 24, and of two alike the one nearer to the middle
    with rasterio.open(vrt.path) as file:
        colors = dict(zip(file.descriptions, file.colorinterp, strict=True))
    assert [colors[f"{band}_25"] for band in ("B4", "B3", "B2")] == [
        ColorInterp.red,
        ColorInterp.green,
        ColorInterp.blue,
    ]
    assert {color for name, color in colors.items() if not name.endswith("_25")} <= {
        ColorInterp.undefined,
        ColorInterp.gray,
    }


def test_the_style_of_qgis_shows_the_same_bands_from_black_to_white(vrt: CompositesVrt) -> None:
    vrt.write()
    renderer = ET.parse(vrt.path.with_suffix(".qml")).getroot().find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.get("type") == "multibandcolor"
    with rasterio.open(vrt.path) as file:
        for color in ("red", "green", "blue"):
            band = int(renderer.get(f"{color}Band", "0"))
            assert file.colorinterp[band - 1] == ColorInterp[color]
            limits = [renderer.findtext(f"{color}ContrastEnhancement/{name}Value") for name in ("min", "max")]
            assert limits == ["0", "0.3"]  # QGIS applies the scale of the band


def test_a_composite_without_true_colours_shows_none(tmp_path: Path) -> None:
    recipe, cell = Recipe.of(bands=("B4", "B8")), GRID.cell(0, 0)
    values = np.ones((3, 2, 32, 32), np.int16)
    path = composite_path(tmp_path, cell)
    composite = Composite(values, cell.geobox, BINS, recipe.bands, SceneCounts(1, 0, 0))
    write_composite(path, composite, recipe, SEASON, {"kind": "made"})
    assert stored_bins(path).shown is None


def test_it_ends_where_the_map_ends(vrt: CompositesVrt) -> None:
    cut = replace(vrt, grid=replace(GRID, map_shape=(50, 70)))
    cut.write()
    with rasterio.open(cut.path) as file:
        short = file.read()
    vrt.write()
    with rasterio.open(vrt.path) as file:
        np.testing.assert_array_equal(short, file.read()[:, :50, :70])


def test_a_composite_that_was_deleted_is_left_out(vrt: CompositesVrt) -> None:
    composite_path(vrt.folder, GRID.cell(0, 2)).unlink()
    vrt.write()
    with rasterio.open(vrt.path) as file:
        values = file.read()
    assert (values[:, :32, 64:] == -9999).all()
    assert (values[:, 32:, 32:64] != -9999).any()


def test_of_no_composites_no_file_is_made_and_a_former_one_goes(vrt: CompositesVrt) -> None:
    vrt.write()
    for path in (vrt.folder / "composites").glob("*.tif"):
        path.unlink()
    vrt.write()
    assert list(vrt.path.parent.iterdir()) == []


def test_a_damaged_composite_is_named(vrt: CompositesVrt) -> None:
    composite_path(vrt.folder, GRID.cell(0, 2)).write_bytes(b"no composite")
    with pytest.raises(CorruptFileError, match="r0000_c0002"):
        vrt.write()
    assert not vrt.path.exists()
