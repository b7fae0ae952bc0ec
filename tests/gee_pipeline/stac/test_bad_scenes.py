"""Scenes that cannot be used, are not wanted, or may not be read."""

import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac.choice import SceneChoice
from gee_pipeline.stac.composites import reading
from gee_pipeline.stac.composites.reading import ReadFailure, read_profile, retried, signed
from gee_pipeline.stac.composites.source import StacSource
from tests.support.fake_catalog import FakeCatalog, Layer, cell_at, raster_v1
from tests.support.stac_server import refuse, serving

pytestmark = pytest.mark.slow

RECIPE = Recipe.of(bands=("B4",))
SEASON = SUMMER.season(2021, "north")
BINS = range(24, 25)
HERE = shapely.box(9.15, 46.22, 9.17, 46.24)
RAW = raster_v1(scale=0.0001, offset=0, nodata=0, data_type="uint16")
LEAVE_OUT = SceneChoice(bad="leave-out")


@pytest.fixture
def catalog(tmp_path):
    """Three scenes of one bin; without one of them the median is another: 1,000, 2,000 and 6,000."""
    made = FakeCatalog(tmp_path / "scenes")
    for name, number in (("A", 1_000), ("B", 2_000), ("C", 6_000)):
        layer = Layer(np.full((40, 40), number, np.uint16), fields=RAW)
        score = Layer(np.ones((40, 40), np.float32))
        made.add(name, f"2021-05-0{'ABC'.index(name) + 1}", {"B04": layer, "cs": score})
    return made


def source(catalog, choice=LEAVE_OUT, **options):
    return StacSource(str(catalog.save()), RECIPE, choice=choice, **options)


def value(composite):
    (number,) = np.unique(composite.values)
    return number


def no_time(catalog):
    catalog.items[2]["properties"] = {}


def bad_time(catalog):
    catalog.items[2]["properties"]["datetime"] = "the second of May"


def no_band(catalog):
    del catalog.items[2]["assets"]["B04"]


def no_clouds(catalog):
    del catalog.items[2]["assets"]["cs"]


def no_place(catalog):
    catalog.items[2] |= {"geometry": None}
    del catalog.items[2]["bbox"]


def broken_place(catalog):
    catalog.items[2]["geometry"]["coordinates"][0][0] = [float("nan"), 46]


def no_file(catalog):
    (catalog.folder / "C" / "B04.tif").unlink()


def damaged_file(catalog):
    path = catalog.folder / "C" / "B04.tif"
    path.write_bytes(path.read_bytes()[:300])


def wrong_score(catalog):
    Layer(np.full((40, 40), 87, np.float32)).write(catalog.folder / "C" / "cs.tif")


def wrong_types(catalog):
    catalog.items[2]["assets"]["B04"]["raster:bands"] = [{"scale": "fine"}]


LISTED = [no_time, bad_time, no_band, no_clouds, no_place, broken_place, wrong_types]
READ = [no_file, damaged_file, wrong_score]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(reading, "_FIRST_WAIT", {False: 0.001, True: 0.001})


@pytest.mark.parametrize("spoil", [*LISTED, *READ])
def test_a_scene_that_cannot_be_used_is_left_out_if_so_asked(catalog, spoil):
    spoil(catalog)
    composite = source(catalog).read_cell(cell_at(), SEASON, BINS)
    assert value(composite) == 1_500
    assert composite.counts.scenes == 2


@pytest.mark.parametrize("spoil", [*LISTED, *READ])
def test_and_stops_the_run_otherwise_by_name(catalog, spoil):
    spoil(catalog)
    with pytest.raises((InputError, SceneReadError), match=r"\bC\b"):
        source(catalog, SceneChoice()).read_cell(cell_at(), SEASON, BINS)


@pytest.mark.parametrize("spoil", LISTED)
def test_a_survey_says_which_are_left_out(catalog, spoil):
    spoil(catalog)
    survey = source(catalog).survey(HERE, SEASON, BINS)
    assert "left out (--bad-scenes leave-out): 1 (C: " in survey.notices[0]


@pytest.mark.parametrize("spoil", READ)
def test_a_cell_counts_and_says_what_it_leaves_out(catalog, spoil, caplog):
    spoil(catalog)
    assert source(catalog).read_cell(cell_at(), SEASON, BINS).counts.left_out == 1
    assert "Scene C is left out of cell r0003_c0012: " in caplog.text


def test_nothing_may_be_left_over(catalog):
    for item in catalog.items:
        del item["assets"]["cs"]
    with pytest.raises(InputError, match=r"No scene is left.*3 \(A: "):
        source(catalog).survey(HERE, SEASON, BINS)


def test_a_scene_by_its_id(catalog):
    chosen = source(catalog, SceneChoice(left_out=("A",)))
    assert value(chosen.read_cell(cell_at(), SEASON, BINS)) == 4_000
    assert chosen.survey(HERE, SEASON, BINS).scenes == 2
    with pytest.raises(InputError, match=r"no scene Z.*--leave-out-scene"):
        source(catalog, SceneChoice(left_out=("A", "Z"))).describe()


def test_the_choice_of_scenes_is_a_part_of_the_source(catalog):
    plain = source(catalog, SceneChoice()).describe()
    assert source(catalog).describe() == plain | {"bad_scenes": "leave-out"}
    one = source(catalog, SceneChoice(left_out=("B", "A", "B"))).describe()
    assert one["left_out"] == ["A", "B"]
    assert one["digest"] != plain["digest"]


@pytest.mark.parametrize(
    ("status", "left_out", "message"),
    [
        (404, 1, "Restore the file.*--leave-out-scene C"),
        (410, 1, "Restore the file.*--leave-out-scene C"),
        (401, None, "signed links"),  # tomorrow the token is there
        (403, None, "signed links"),
        (409, None, "signed links"),
        (503, None, "Run the same command again"),
    ],
)
def test_only_what_is_gone_for_good_is_left_out(catalog, monkeypatch, caplog, status, left_out, message):
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with serving() as server:
        server.answers["/B04.tif"] = refuse(status)
        catalog.items[2]["assets"]["B04"]["href"] = f"{server.url}/B04.tif?token=SECRET"
        with pytest.raises(SceneReadError, match=message):
            source(catalog, SceneChoice(), retries=1).read_cell(cell_at(), SEASON, BINS)
        asked = len(server.asked)
        lenient = source(catalog, retries=1)
        if left_out:
            assert lenient.read_cell(cell_at(), SEASON, BINS).counts.left_out == left_out
        else:
            with pytest.raises(SceneReadError, match=message):
                lenient.read_cell(cell_at(), SEASON, BINS)
    assert (asked == 1) == (status != 503)
    assert "SECRET" not in caplog.text


def test_a_file_that_leads_elsewhere_is_not_read_over_the_network(catalog):
    """A VRT by the name of a GeoTIFF, whose pixels are in a file of this machine."""
    secret = catalog.folder / "C" / "B04.tif"
    band = f"<SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource>"
    vrt = (
        '<VRTDataset rasterXSize="40" rasterYSize="40"><SRS>EPSG:32632</SRS>'
        "<GeoTransform>512000, 10, 0, 5120000, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1">{band}</VRTRasterBand></VRTDataset>'
    )
    (catalog.folder / "B04.vrt").write_text(vrt)
    assert read_profile(str(catalog.folder / "B04.vrt")).data_type == "uint16"  # one's own VRT is fine
    with serving() as server:
        server.answers["/B04.tif"] = vrt.encode()
        server.answers["/B04.vrt"] = vrt.encode()
        for name in ("B04.tif", "B04.vrt"):
            with pytest.raises(ReadFailure):
                retried(lambda: read_profile(f"{server.url}/{name}"), f"{server.url}/{name}", 0)  # noqa: B023


@pytest.mark.parametrize("document", ["item", "list"])
def test_an_item_from_the_network_names_no_file_of_this_machine(catalog, document):
    item = catalog.items[2]
    item["assets"]["B04"]["href"] = (catalog.folder / "C" / "B04.tif").as_uri()
    with serving() as server:
        server.answers["/"] = (
            item if document == "item" else {"type": "FeatureCollection", "features": [item]}
        )
        with pytest.raises(InputError, match=r"C of http.*gs, http, https, s3 only"):
            StacSource(f"{server.url}/", RECIPE).describe()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_as_an_asset_is_refused_without_waiting(catalog):
    (catalog.folder / "C" / "B04.tif").unlink()
    os.mkfifo(catalog.folder / "C" / "B04.tif")
    with pytest.raises(SceneReadError, match="a pipe"):
        source(catalog, SceneChoice()).read_cell(cell_at(), SEASON, BINS)


def test_links_of_planetary_computer_are_signed_where_its_package_is(monkeypatch):
    blob = "https://account.blob.core.windows.net/container/a.tif"
    monkeypatch.setitem(sys.modules, "planetary_computer", None)  # not installed
    assert signed(blob) == blob
    package = SimpleNamespace(sign=lambda href: href + "?sig=now")
    monkeypatch.setitem(sys.modules, "planetary_computer", package)
    assert signed(blob) == blob + "?sig=now"
    assert signed(blob + "?sig=mine") == blob + "?sig=mine"
    assert signed("https://host/a.tif") == "https://host/a.tif"
    assert signed("/data/account.blob.core.windows.net/a.tif") == "/data/account.blob.core.windows.net/a.tif"


def test_a_table_of_items_gives_the_composite_of_its_catalog(catalog, tmp_path):
    expected = source(catalog, SceneChoice()).read_cell(cell_at(), SEASON, BINS)
    rows = []
    for item in json.loads(json.dumps(catalog.items)):
        for key, asset in item["assets"].items():
            asset["href"] = f"./scenes/{item['id']}/{key}.tif"
        geometry = shapely.geometry.shape(item.pop("geometry")).wkb
        rows.append({**item, **item.pop("properties"), "links": None, "geometry": geometry})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    table = StacSource(str(tmp_path / "items.parquet"), RECIPE)
    np.testing.assert_array_equal(table.read_cell(cell_at(), SEASON, BINS).values, expected.values)
    with pytest.raises(InputError, match="download it"):
        StacSource("https://host/items.parquet", RECIPE).describe()


def test_percent_signs_in_links_are_decoded(tmp_path):
    made = FakeCatalog(tmp_path / "my scenes")
    layers = {
        "B04": Layer(np.full((40, 40), 1_234, np.uint16), fields=RAW),
        "cs": Layer(np.ones((40, 40), np.float32)),
    }
    item = made.add("S 1", "2021-05-02", layers)
    for key, asset in item["assets"].items():
        asset["href"] = f"./S%201/{key}.tif"
    path = tmp_path / "my scenes" / "list.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    assert value(StacSource(str(path), RECIPE).read_cell(cell_at(), SEASON, BINS)) == 1_234
    assert value(StacSource(path.as_uri(), RECIPE).read_cell(cell_at(), SEASON, BINS)) == 1_234
