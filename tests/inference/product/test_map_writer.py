import shutil
import sys
import tracemalloc
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.merge
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.enums import Resampling
from rio_cogeo.cogeo import cog_validate

from gee_pipeline.errors import CorruptFileError, DiskFullError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.layers import CROP_MAP, placed
from inference.product.legend import Legend
from inference.product.map_facts import MapSummary
from inference.product.map_writer import write_map
from inference.product.mosaic import (
    COG_OPTIONS,
    Mosaic,
    mosaic_path,
    overview_factors,
    read_prediction,
    write_cog,
)
from inference.product.statistics import MapStatistics
from inference.run.prediction import prediction_path
from tests.support.made_runs import (
    CROPS,
    MadeRun,
    leftovers,
    made_facts,
    made_grid,
    made_run,
    random_layers,
    write_prediction,
)

pytestmark = pytest.mark.slow

FILES = [
    "areas.csv",
    "clear_observations.qml",
    "clear_observations.tif",
    "confidence.qml",
    "confidence.tif",
    "crop_map.qml",
    "crop_map.tif",
    "crop_map.tif.aux.xml",
    "crop_map.tif.vat.cpg",
    "crop_map.tif.vat.dbf",
    "item.json",
    "legend.json",
    "quicklook.png",
    "report.json",
]


def write(run: MadeRun, **options) -> MapSummary:
    return write_map(run.folder, run.grid, run.cells, CROPS, run.facts, **options)


@pytest.fixture(autouse=True, scope="module")
def _coarse_quicklooks():
    """As large on paper, with fewer dots to draw: nobody looks at them here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference.drawing.style.DPI", 50)
        yield


@pytest.fixture
def small(tmp_path) -> MadeRun:
    """Two by three cells of 32 px."""
    grid = made_grid(2, 3, cell_size=32)
    return made_run(tmp_path / "run", grid, random_layers((64, 96)))


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[MadeRun, MapSummary]:
    """Three by four cells of 256 px, two of them not planned: large enough for overviews."""
    grid = made_grid(3, 4)
    run = made_run(tmp_path_factory.mktemp("large"), grid, random_layers((768, 1024)), skip=((0, 0), (1, 2)))
    return run, write(run)


def test_the_folder_holds_all_files_and_nothing_else(large):
    run, summary = large
    assert sorted(path.name for path in summary.folder.iterdir()) == FILES
    assert sorted(path.name for path in run.folder.iterdir()) == ["map", "predictions"]


@pytest.mark.parametrize(("layer", "band"), [("crop_map", 0), ("confidence", 1), ("clear_observations", 2)])
def test_each_layer_equals_the_cells_pixel_for_pixel(large, layer, band):
    run, summary = large
    with rasterio.open(summary.folder / f"{layer}.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), run.layers[band])


def test_the_georeference_is_that_of_the_merged_predictions(large):
    run, summary = large
    merged, transform = rasterio.merge.merge(sorted((run.folder / "predictions").glob("*.tif")), indexes=[1])
    with rasterio.open(summary.crop_map) as raster:
        window = raster.window(*rasterio.transform.array_bounds(*merged.shape[1:], transform))
        assert (window.col_off, window.row_off) == (0, 0)
        np.testing.assert_array_equal(raster.read(1, window=window), merged[0])
        assert raster.transform == transform == Affine(10, 0, 704_000, 0, -10, 3_924_480)
        assert raster.bounds == (704_000, 3_916_800, 714_240, 3_924_480)
        assert raster.crs.to_epsg() == 32615


@pytest.mark.parametrize(
    ("layer", "nodata"), [("crop_map", 0), ("confidence", 255), ("clear_observations", 255)]
)
def test_each_layer_is_a_valid_cloud_optimized_geotiff_with_its_nodata(large, layer, nodata):
    _, summary = large
    path = summary.folder / f"{layer}.tif"
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as raster:
        assert (raster.nodata, raster.dtypes, raster.overviews(1)) == (nodata, ("uint8",), [2])


@pytest.mark.parametrize("layer", ["confidence", "clear_observations"])
def test_each_layer_says_the_statistics_of_its_values(large, layer):
    with rasterio.open(large[1].folder / f"{layer}.tif") as raster:
        said = {key: float(value) for key, value in raster.tags(1).items() if key.startswith("STATISTICS_")}
        values = raster.read(1, masked=True)
    assert said == {
        "STATISTICS_MINIMUM": values.min(),
        "STATISTICS_MAXIMUM": values.max(),
        "STATISTICS_MEAN": pytest.approx(values.mean(), rel=1e-5),
        "STATISTICS_STDDEV": pytest.approx(values.std(), rel=1e-5),
        "STATISTICS_VALID_PERCENT": pytest.approx(100 * values.count() / values.size, abs=0.01),
    }


def test_codes_have_no_statistics(large):
    with rasterio.open(large[1].crop_map) as raster:
        assert not any(key.startswith("STATISTICS_") for key in raster.tags(1))


def test_an_overview_pixel_is_the_most_frequent_code_and_never_a_blend(tmp_path):
    rng = np.random.default_rng(1)
    coarse = rng.choice(np.array([1, 5, 254, 255], np.uint8), size=(512, 512))
    layers = random_layers((1024, 1024))
    layers[0] = coarse.repeat(2, 0).repeat(2, 1)
    layers[0, 1::2, ::2] = 3  # one speckle in every block of four
    run = made_run(tmp_path, made_grid(4, 4), layers)
    with rasterio.open(write(run).crop_map, overview_level=0) as overview:
        np.testing.assert_array_equal(overview.read(1), coarse)


def test_all_overviews_of_noise_hold_only_codes(large):
    _, summary = large
    with rasterio.open(summary.crop_map, overview_level=0) as overview:
        assert set(np.unique(overview.read(1))) <= {0, 1, 2, 3, 4, 5, 254, 255}


def test_the_class_map_carries_its_colours_and_names(large):
    _, summary = large
    with rasterio.open(summary.crop_map) as raster:
        colors = raster.colormap(1)
        names = raster.tags()
        assert raster.tags(1)["CLASS_3"] == "rice"
        assert raster.colorinterp[0].name == "palette"
    assert colors[1] == (0xF2, 0xC2, 0x00, 255)
    assert colors[3] == (0x2A, 0x9D, 0xF4, 255)
    assert colors[0][3] == 0
    assert {names[f"CLASS_{k}"] for k in (1, 2, 3, 4, 5)} == {"corn", "soybeans", "rice", "cotton", "other"}
    assert (names["CLASS_254"], names["CLASS_255"]) == ("not cropland", "not enough observations")


def test_gdal_reads_the_category_names_and_the_attribute_table(large, tmp_path):
    """The VRT driver copies what GDAL itself knows of a raster into XML."""
    _, summary = large
    rasterio.shutil.copy(summary.crop_map, tmp_path / "seen.vrt", driver="VRT")
    seen = ET.parse(tmp_path / "seen.vrt").getroot().find("VRTRasterBand")
    categories = [element.text or "" for element in seen.findall("CategoryNames/Category")]
    assert (len(categories), categories[0], categories[1], categories[5]) == (256, "outside", "corn", "other")
    assert categories[254:] == ["not cropland", "not enough observations"]
    rows = [[f.text for f in row] for row in seen.findall("GDALRasterAttributeTable/Row")]
    assert rows[2][:5] == ["3", "rice", "42", "157", "244"]
    rice = next(area for area in summary.areas if area.code == 3)
    assert [float(value) for value in rows[2][5:]] == [rice.pixels, pytest.approx(rice.hectares)]


def test_pixels_confidence_and_observations_of_each_code_are_counted(large):
    run, summary = large
    codes, confidence, clear = run.layers
    for area in summary.areas:
        here = codes == area.code
        known = here & (confidence != 255)
        assert area.pixels == here.sum()
        assert area.mean_clear == pytest.approx(clear[here].mean())
        assert area.mean_confidence == (pytest.approx(confidence[known].mean()) if known.any() else None)
    assert [area.code for area in summary.areas] == [1, 2, 3, 4, 5, 254, 255]
    assert summary.pixels == (codes != 0).sum()
    assert summary.cells == 10


@pytest.mark.parametrize(
    ("place", "square_metres"),
    [
        (("EPSG:32615", 166_400, 40_960), 99.80),  # western edge of a UTM zone at the equator: k = 1.00098
        (("EPSG:32615", 499_200, 3_924_480), 100.08),  # its central meridian: k = 0.9996
        (("EPSG:3857", 1_000_960, 8_399_360), 25.1),  # Web Mercator at 60 degrees north doubles lengths
        (("EPSG:5070", 499_200, 1_400_320), 100.0),  # equal-area
    ],
)
def test_hectares_are_ground_on_the_ellipsoid(tmp_path, place, square_metres):
    grid = made_grid(1, 1, place=place)
    layers = random_layers((256, 256))
    layers[0] = 1
    layers[0, :, 128:] = 254
    summary = write(made_run(tmp_path, grid, layers))
    west, south, east, north = grid.geobox.boundingbox.bbox
    expected = [
        geodesic_hectares(shapely.box(west, south, west + 1280, north), place[0]),
        geodesic_hectares(shapely.box(west + 1280, south, east, north), place[0]),
    ]
    found = [area.hectares for area in summary.areas if area.pixels]
    assert found == pytest.approx(expected, rel=2e-4)
    assert summary.hectares == pytest.approx(sum(expected), rel=1e-5)
    assert summary.hectares * 10_000 / 65_536 == pytest.approx(square_metres, rel=1e-3)


def geodesic_hectares(box: shapely.Polygon, crs: str) -> float:
    to_lonlat = pyproj.Transformer.from_crs(crs, pyproj.CRS(crs).geodetic_crs, always_xy=True)
    outline = shapely.segmentize(box, 50)
    lonlat = shapely.transform(outline, lambda xy: np.column_stack(to_lonlat.transform(*xy.T)))
    geod = pyproj.CRS(crs).get_geod()
    return abs(geod.geometry_area_perimeter(lonlat)[0]) / 10_000


def test_cells_that_are_no_multiple_of_a_tile_leave_no_seams(tmp_path):
    run = made_run(tmp_path, made_grid(5, 4, cell_size=70), random_layers((350, 280)))
    with rasterio.open(write(run).crop_map) as raster:
        np.testing.assert_array_equal(raster.read(1), run.layers[0])


def test_progress_is_told_cell_by_cell(small):
    told: list[int] = []
    write(small, on_cell=told.append)
    assert told == [1, 2, 3, 4, 5, 6]


def test_a_missing_prediction_is_named_and_no_map_appears(small):
    (small.folder / "predictions" / "r0001_c0002.tif").unlink()
    with pytest.raises(
        IncompleteRunError, match=r"6 planned.*1 have none: r0001_c0002\..*same command"
    ) as caught:
        write(small)
    assert caught.value.exit_code == 3
    assert leftovers(small.folder) == []


def test_of_many_missing_predictions_only_the_first_are_named(tmp_path):
    grid = made_grid(4, 5, cell_size=32)
    cells = np.array([(r, c) for r in range(4) for c in range(5)], np.int32)
    tmp_path.joinpath("predictions").mkdir()
    with pytest.raises(IncompleteRunError, match="r0001_c0004 and 10 more"):
        write_map(tmp_path, grid, cells, CROPS, made_facts())


def test_a_run_without_cells_is_refused(small):
    with pytest.raises(InputError, match="at least one cell"):
        write_map(small.folder, small.grid, small.cells[:0], CROPS, small.facts)


@pytest.mark.parametrize("damage", [b"no image at all", "cut"])
def test_a_damaged_prediction_is_named_and_no_map_appears(small, damage):
    path = small.folder / "predictions" / "r0000_c0001.tif"
    path.write_bytes(path.read_bytes()[:-2000] if damage == "cut" else damage)
    with pytest.raises(CorruptFileError, match=r"r0000_c0001\.tif cannot be read.*Delete it and run"):
        write(small)
    assert leftovers(small.folder) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"transform": Affine(10, 0, 704_005, 0, -10, 3_924_480)}, "transform"),  # half a pixel east
        ({"crs": "EPSG:32616"}, "CRS"),
        ({"bands": np.zeros((3, 32, 31), np.uint8)}, "height, width"),
        ({"bands": np.zeros((2, 32, 32), np.uint8)}, "bands"),
        ({"bands": np.zeros((3, 32, 32), np.int16)}, "types"),
        ({"bands": np.full((3, 32, 32), 6, np.uint8)}, r"codes.*\[6\]"),  # five classes
    ],
)
def test_a_prediction_of_another_run_is_refused(small, change, said):
    bands = change.pop("bands", small.layers[:, :32, :32])
    write_prediction(small.folder, small.grid.cell(0, 0), bands, **change)
    with pytest.raises(MismatchError, match=said):
        write(small)
    assert leftovers(small.folder) == []


def test_an_interrupted_map_leaves_nothing(small):
    def interrupt(count: int) -> None:
        if count == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(small, on_cell=interrupt)
    assert leftovers(small.folder) == []


def test_a_map_that_fails_leaves_the_former_one_as_it_was(small):
    summary = write(small)
    before = {path.name: path.read_bytes() for path in summary.folder.iterdir()}
    (small.folder / "predictions" / "r0000_c0000.tif").write_bytes(b"")
    with pytest.raises(CorruptFileError):
        write(small)
    assert {path.name: path.read_bytes() for path in summary.folder.iterdir()} == before


def test_a_second_map_replaces_the_first_and_what_other_programs_noted_of_it(small):
    summary = write(small)
    (summary.folder / "confidence.tif.aux.xml").write_text("<PAMDataset/>")
    (summary.folder / "crop_map.tif.ovr").write_bytes(b"stale")
    (summary.folder / "my_project.qgz").write_bytes(b"the user's own")
    changed = made_run(small.folder, small.grid, random_layers((64, 96), seed=9))
    write(changed)
    assert sorted(path.name for path in summary.folder.iterdir()) == sorted([*FILES, "my_project.qgz"])
    with rasterio.open(summary.crop_map) as raster:
        np.testing.assert_array_equal(raster.read(1), changed.layers[0])


def test_what_a_killed_process_left_behind_is_cleared_away(small):
    part = small.folder / "map.part"
    part.mkdir()
    part.joinpath("crop_map.mosaic.tif").write_bytes(b"half a file")
    write(small)
    assert sorted(path.name for path in small.folder.iterdir()) == ["map", "predictions"]


def test_a_disk_without_room_is_told_before_anything_is_written(small, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    predicted = sum(path.stat().st_size for path in (small.folder / "predictions").iterdir())
    with pytest.raises(DiskFullError, match=r"\(([\d,]+) bytes\).*has 5 MiB.*same command") as caught:
        write(small)
    needed = int(str(caught.value).split("(")[1].split(" ")[0].replace(",", ""))
    assert needed > 2 * predicted
    assert leftovers(small.folder) == []


@contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """No file grows beyond some bytes: as on a disk that fills up."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_that_fills_up_on_the_way_is_told(tmp_path):
    run = made_run(tmp_path, made_grid(4, 4), random_layers((1024, 1024)))
    said = pytest.raises(DiskFullError, match=r"^The mosaic .*could not be written.*Free some space")
    with said, largest_file(100_000):
        write(run)
    assert leftovers(run.folder) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_that_fills_up_at_the_end_is_told(small, tmp_path):
    statistics = stream(small, tmp_path)
    mosaic, target = mosaic_path(tmp_path, CROP_MAP), tmp_path / "crop_map.tif"
    said = pytest.raises(DiskFullError, match=r"^crop_map\.tif .*could not be written.*Free some space")
    with said, largest_file(1_000):
        write_cog(mosaic, target, CROP_MAP, statistics.histogram(range(1)), {})


def test_a_copy_that_lost_pixels_is_refused(small, tmp_path):
    statistics = stream(small, tmp_path)
    layer = CROP_MAP
    expected = statistics.histogram(range(1))
    expected[0, 1] += 1
    with pytest.raises(CorruptFileError, match="1 differ after writing"):
        write_cog(mosaic_path(tmp_path, layer), tmp_path / "crop_map.tif", layer, expected, {})


def stream(run: MadeRun, target: Path) -> MapStatistics:
    """The mosaics of a run in a folder, and what they hold."""
    layers = placed((), len(CROPS))
    mosaic = Mosaic(run.folder, run.grid, Legend.of(CROPS), target, layers)
    for cell in run.grid.cells(run.cells):
        mosaic.add(cell, read_prediction(prediction_path(run.folder, cell), cell, layers), 100.0)
    mosaic.close()
    return mosaic.statistics


@pytest.mark.parametrize("size", [512, 768, 1_024, 1_280, 2_304])
def test_overviews_are_those_that_gdal_makes_of_a_raster_without(tmp_path, size):
    rng = np.random.default_rng(size)
    blocks = rng.integers(0, 7, (size // 8, 64), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    profile = {"driver": "GTiff", "height": size, "width": 512, "count": 1, "dtype": "uint8", "nodata": 0}
    place = {"crs": "EPSG:32615", "transform": Affine(10, 0, 704_000, 0, -10, 3_924_480), "tiled": True}
    for name in ("ours", "gdals"):
        with rasterio.open(tmp_path / name, "w", **profile, **place) as raster:
            raster.write(blocks, 1)
    expected = np.bincount(blocks.ravel(), minlength=256)[None]
    write_cog(tmp_path / "ours", tmp_path / "ours.tif", CROP_MAP, expected, {})
    rasterio.shutil.copy(
        tmp_path / "gdals", tmp_path / "gdals.tif", driver="COG", OVERVIEW_RESAMPLING="MODE", **COG_OPTIONS
    )
    with rasterio.open(tmp_path / "gdals.tif") as raster:
        assert raster.overviews(1) == overview_factors(size, 512)
    assert (tmp_path / "ours.tif").read_bytes() == (tmp_path / "gdals.tif").read_bytes()


@pytest.mark.parametrize(("cell_size", "columns"), [(64, 34), (64, 68), (50, 44), (25, 88)])
def test_all_overviews_are_those_that_gdal_makes_of_the_whole_raster(tmp_path, cell_size, columns):
    shape = 2 * cell_size, columns * cell_size  # three or four overviews; some sides are odd
    run = made_run(tmp_path / "run", made_grid(2, columns, cell_size=cell_size), random_layers(shape))
    summary = write(run)
    for layer, one in zip(run.layers, placed((), len(CROPS)), strict=True):
        path = summary.folder / f"{one.layer.name}.tif"
        with rasterio.open(path) as raster:
            profile, factors = raster.profile, raster.overviews(1)
        plain = {**profile, "driver": "GTiff"}
        with rasterio.open(tmp_path / "whole.tif", "w", **plain) as raster:
            raster.write(layer, 1)
        with rasterio.open(tmp_path / "whole.tif", "r+") as raster:
            raster.build_overviews(factors, Resampling[one.layer.overviews.lower()])
        assert factors == overview_factors(*shape)
        for level in range(len(factors)):
            with (
                rasterio.open(path, overview_level=level) as ours,
                rasterio.open(tmp_path / "whole.tif", overview_level=level) as gdals,
            ):
                np.testing.assert_array_equal(ours.read(1), gdals.read(1), str((one.layer.name, level)))


@pytest.mark.parametrize(
    ("size", "factors"),
    [(512, []), (513, [2]), (1_025, [2]), (2_047, [2, 4]), (2_048, [2, 4]), (4_097, [2, 4, 8])],
)
def test_the_last_overview_fits_into_a_block(size, factors):
    assert overview_factors(size, 320) == overview_factors(320, size) == factors


def test_memory_does_not_grow_with_the_number_of_cells(tmp_path):
    peaks = [
        peak_of_streaming(tmp_path / str(side), side) for side in (8, 16)
    ]  # more than are written in one piece
    assert peaks[1] < 1.1 * peaks[0]


def peak_of_streaming(folder: Path, side: int) -> int:
    """Largest number of bytes that Python and numpy held while `side` x `side` cells were written."""
    run = made_run(folder, made_grid(side, side, cell_size=64), random_layers((64 * side, 64 * side)))
    stream(replace(run, cells=run.cells[:1]), folder)  # what is loaded once
    tracemalloc.start()
    stream(run, folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_only_one_prediction_is_open_at_a_time(small, monkeypatch):
    fds = Path("/proc/self/fd")
    if not fds.exists():
        pytest.skip("counting open files needs /proc")

    most = 0

    def count(_: int) -> None:
        nonlocal most
        names = [str(fd.readlink()) for fd in fds.iterdir() if fd.is_symlink()]
        most = max(most, sum("predictions" in name for name in names))

    write(small, on_cell=count)
    assert most == 0
