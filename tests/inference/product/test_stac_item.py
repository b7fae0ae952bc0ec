import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import referencing
import shapely
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension

from gee_pipeline.season import SUMMER
from inference.product.legend import Legend
from inference.product.map_facts import CodeArea, MapSummary
from inference.product.map_writer import write_map
from inference.product.stac_item import build_item
from tests.support.made_runs import CROPS, made_facts, made_grid, made_run, random_layers

ITEM_SCHEMA = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A map of two by two cells, and its item as another program reads it."""
    run = made_run(tmp_path_factory.mktemp("run"), made_grid(2, 2, cell_size=32), random_layers((64, 64)))
    summary = write_map(run.folder, run.grid, run.cells, CROPS, run.facts)
    return run, summary, pystac.Item.from_file(summary.folder / "item.json")


def built(**given) -> dict:
    """An item without the files it tells of."""
    grid = given.pop("grid", made_grid(2, 2))
    legend = Legend.of(CROPS)
    areas = tuple(CodeArea(e.code, e.name, 10, 0.1, 80.0, 20.0) for e in legend.entries)
    summary = MapSummary(Path("run/map"), 4, (512, 512), areas)
    return build_item(grid.geobox, legend, summary, made_facts(**given))


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"simulated": True}, {"season": SUMMER.season(2021, "south")}])
def test_the_item_is_valid_stac(given):
    import jsonschema  # slow to import
    from pystac.validation.local_validator import get_local_schema_cache

    schemas = get_local_schema_cache()
    resources = [(uri, referencing.Resource.from_contents(schema)) for uri, schema in schemas.items()]
    registry = referencing.Registry().with_resources(resources)
    validator = jsonschema.Draft7Validator(schemas[ITEM_SCHEMA], registry=registry)
    item = json.loads(json.dumps(built(**given)))
    assert [error.message for error in validator.iter_errors(item)] == []
    assert list(validator.iter_errors({**item, "bbox": "none"})) != []  # the schema does look


def test_every_asset_is_a_file_beside_the_item(mapped):
    _, summary, item = mapped
    assert set(item.assets) == {
        "crop_map", "confidence", "clear_observations", "areas", "legend", "style", "style_confidence",
        "style_clear_observations", "quicklook", "report",
    }  # fmt: skip
    for asset in item.assets.values():
        assert asset.href.startswith("./")
        assert (summary.folder / asset.href).is_file()
        assert Path(asset.get_absolute_href()).is_file()


def test_the_projection_is_that_of_the_rasters(mapped):
    _, summary, item = mapped
    projection = ProjectionExtension.ext(item)
    with rasterio.open(summary.crop_map) as raster:
        assert projection.code == f"EPSG:{raster.crs.to_epsg()}"
        assert projection.shape == [raster.height, raster.width]
        assert projection.transform == list(raster.transform)[:6]
        assert projection.bbox == list(raster.bounds)


def test_a_crs_without_code_is_written_out():
    laea = "+proj=laea +lat_0=35 +lon_0=-90 +datum=WGS84 +units=m"
    properties = built(grid=made_grid(1, 1, place=(laea, 0, 2560)))["properties"]
    assert properties["proj:code"] is None
    assert pyproj.CRS.from_wkt(properties["proj:wkt2"]) == pyproj.CRS.from_user_input(laea)


def test_the_raster_bands_have_their_nodata_type_and_mean(mapped):
    run, _, item = mapped
    for layer, nodata, band in (("crop_map", 0, 0), ("confidence", 255, 1), ("clear_observations", 255, 2)):
        described = RasterExtension.ext(item.assets[layer]).bands[0]
        assert (described.nodata, described.data_type, described.spatial_resolution) == (nodata, "uint8", 10)
        if band:
            values = run.layers[band]
            assert described.statistics.mean == pytest.approx(values[values != 255].mean())
    assert "statistics" not in item.assets["crop_map"].extra_fields["raster:bands"][0]  # a mean of codes


@pytest.mark.parametrize(
    ("layer", "name"),
    [("crop_map", "class"), ("confidence", "confidence"), ("clear_observations", "clear_observations")],
)
def test_bands_are_also_said_as_stac_1_1_has_them(mapped, layer, name):
    _, summary, item = mapped
    (band,) = item.assets[layer].extra_fields["bands"]
    with rasterio.open(summary.folder / f"{layer}.tif") as raster:
        said = (raster.descriptions[0], raster.nodata, raster.dtypes[0])
    assert (band["name"], band["nodata"], band["data_type"]) == said
    assert band["name"] == name
    assert ("statistics" in band) is (layer != "crop_map")


def test_every_file_has_its_size_and_checksum(mapped):
    _, summary, item = mapped
    for asset in item.assets.values():
        content = (summary.folder / asset.href).read_bytes()
        assert asset.extra_fields["file:size"] == len(content)
        assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()


def test_servers_of_tiles_are_told_colours_and_scales(mapped):
    _, summary, item = mapped
    renders = item.properties["renders"]
    with rasterio.open(summary.crop_map) as raster:
        table = raster.colormap(1)
    assert renders["crop_map"]["colormap"]["3"] == list(table[3])
    assert renders["crop_map"]["colormap"]["0"][3] == 0
    assert renders["confidence"]["rescale"] == [[0, 100]]
    assert renders["clear_observations"]["rescale"] == [[0, 43]]
    assert all(render["assets"] == [name] for name, render in renders.items())
    assert item.properties["processing:software"] == {"cropmap": "0.1.0"}


def test_the_window_is_said_with_its_last_day_as_in_the_report(mapped):
    _, summary, item = mapped
    window = json.loads((summary.folder / "report.json").read_text())["model_window"]
    assert item.properties["cropmap:model_window"] == [window["first_day"], window["last_day"]]
    assert item.common_metadata.end_datetime.date().isoformat() == window["last_day"]


def test_the_classes_have_machine_names_colours_and_counts(mapped):
    run, _, item = mapped
    classes = ClassificationExtension.ext(item.assets["crop_map"]).classes
    assert [c.value for c in classes] == [0, 1, 2, 3, 4, 5, 254, 255]
    assert classes[0].nodata is True
    for found in classes[1:]:
        assert re.fullmatch(r"[0-9A-Za-z-_]+", found.name)
        assert re.fullmatch(r"[0-9A-F]{6}", found.color_hint)
        assert found.properties["count"] == (run.layers[0] == found.value).sum()
    assert (classes[3].name, classes[3].title, classes[3].color_hint) == ("rice", "rice", "2A9DF4")
    assert sum(c.percentage for c in classes[1:]) == pytest.approx(100, abs=0.01)


def test_the_extensions_used_are_declared(mapped):
    _, _, item = mapped
    names = {uri.split("/")[-3] for uri in item.stac_extensions}
    assert names == {"projection", "raster", "classification", "file", "processing", "render"}


def test_the_time_is_that_of_the_observed_days_from_the_first_second_to_the_last():
    item = pystac.Item.from_dict(built(season=SUMMER.season(2021, "south")))
    assert item.datetime is None
    assert item.common_metadata.start_datetime == datetime(2020, 10, 29, tzinfo=UTC)
    assert item.common_metadata.end_datetime == datetime(2021, 5, 31, 23, 59, 59, tzinfo=UTC)


def test_the_footprint_is_the_mapped_area():
    area = shapely.Polygon(
        [(-90.7, 35.4), (-90.6, 35.4), (-90.6, 35.5), (-90.7, 35.5)],
        [[(-90.66, 35.44), (-90.64, 35.44), (-90.64, 35.46), (-90.66, 35.46)]],
    )
    item = built(area=area)
    footprint = shapely.geometry.shape(item["geometry"])
    assert footprint.symmetric_difference(area).area < 1e-6
    assert footprint.exterior.is_ccw  # RFC 7946
    assert not footprint.interiors[0].is_ccw
    assert item["bbox"] == pytest.approx([-90.7, 35.4, -90.6, 35.5])


def test_without_an_area_the_footprint_is_the_outline_of_the_grid():
    grid = made_grid(100, 100)  # 256 km: the edges are curves in degrees
    footprint = shapely.geometry.shape(built(grid=grid)["geometry"])
    west, south, east, north = grid.geobox.boundingbox.bbox
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32615", "EPSG:4326", always_xy=True)
    middle_of_top = shapely.Point(to_lonlat.transform((west + east) / 2, north))
    corners = [shapely.Point(to_lonlat.transform(x, y)) for x in (west, east) for y in (south, north)]
    assert all(footprint.exterior.distance(point) < 1e-4 for point in (*corners, middle_of_top))


@pytest.mark.slow
def test_a_large_border_is_written_with_the_points_that_a_pixel_can_tell():
    angles = np.linspace(0, 2 * np.pi, 200_000, endpoint=False)
    area = shapely.Polygon(np.column_stack([-90 + np.cos(angles), 35 + np.sin(angles)]))
    footprint = shapely.geometry.shape(built(area=area)["geometry"])
    assert len(footprint.exterior.coords) < 2_000
    assert footprint.hausdorff_distance(area) < 2e-4


def test_simulated_scenes_are_named_in_the_description_and_real_ones_are_attributed():
    simulated, real = built(simulated=True)["properties"], built()["properties"]
    assert simulated["cropmap:simulated"] is True
    assert "scenes of this map are simulated" in simulated["description"]
    assert "cropmap:attribution" not in simulated
    assert "simulated" not in real["description"]
    assert real["cropmap:attribution"] == "Contains modified Copernicus Sentinel data 2021"


@pytest.mark.parametrize(
    ("title", "identifier"),
    [
        ("Crop map of Poinsett County 2021", "crop-map-of-poinsett-county-2021"),
        ("Fields / Süd", "fields-sud-2021"),
        ("Карта полей", "crop-map-0f1e2d3c-2021"),
        ("2021 年作物", "crop-map-2021-0f1e2d3c"),
        ("Fields " * 40, "fields-" * 11 + "fie-0f1e2d3c-2021"),
    ],
)
def test_the_id_is_made_of_the_title_and_the_year(title, identifier):
    assert built(title=title, run_digest="0f1e2d3c4b5a6978")["id"] == identifier
