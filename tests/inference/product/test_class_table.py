"""Tables of a map beside its rasters, read by other programs."""

import csv
import io
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio

from inference.models.crop_class import CropClass
from inference.product.class_table import areas_csv, value_table
from inference.product.legend import Legend
from inference.product.map_facts import CodeArea
from inference.product.map_writer import write_map
from tests.support.made_runs import CROPS, made_grid, made_run, random_layers


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A map, and the arrays it is made of."""
    run = made_run(tmp_path_factory.mktemp("run"), made_grid(2, 2, cell_size=32), random_layers((64, 64)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference.drawing.style.DPI", 50)
        return run, write_map(run.folder, run.grid, run.cells, CROPS, run.facts)


@pytest.mark.slow
def test_the_table_counts_the_pixels_of_the_raster(mapped):
    run, summary = mapped
    with (summary.folder / "areas.csv").open(encoding="utf-8", newline="") as file:
        rows = {int(row["code"]): row for row in csv.DictReader(file)}
    codes, confidence, clear = run.layers
    assert list(rows) == [1, 2, 3, 4, 5, 254, 255]
    for code, row in rows.items():
        there = codes == code
        assert int(row["pixels"]) == there.sum()
        assert float(row["hectares"]) == pytest.approx(there.sum() / 100, rel=2e-3)  # UTM: 10 m are nearly so
        assert float(row["mean_clear_observations"]) == pytest.approx(clear[there].mean(), abs=0.01)
        if code < 254:
            assert float(row["mean_confidence"]) == pytest.approx(confidence[there].mean(), abs=0.01)
        else:
            assert row["mean_confidence"] == ""
    assert sum(float(row["share"]) for row in rows.values()) == pytest.approx(100, abs=1e-3)
    assert rows[3]["class"] == "rice"


@pytest.mark.slow
def test_gdal_reads_the_value_table_as_it_is_meant(mapped):
    run, summary = mapped
    table = pyogrio.read_dataframe(summary.folder / "crop_map.tif.vat.dbf", read_geometry=False)
    assert list(table.columns) == ["VALUE", "COUNT", "CLASS", "HECTARES", "RED", "GREEN", "BLUE"]
    values, counts = np.unique(run.layers[0][run.layers[0] > 0], return_counts=True)
    assert table["VALUE"].tolist() == values.tolist()
    assert table["COUNT"].tolist() == counts.tolist()
    assert table["CLASS"].tolist()[:2] == ["corn", "soybeans"]
    with rasterio.open(summary.crop_map) as raster:
        colors = raster.colormap(1)
    shown = [tuple(row) for row in table[["RED", "GREEN", "BLUE"]].itertuples(index=False)]
    assert shown == [colors[value][:3] for value in values.tolist()]


@pytest.mark.slow
def test_gdal_reads_the_counts_of_the_attribute_table(mapped):
    run, summary = mapped
    from xml.etree import ElementTree as ET

    root = ET.parse(f"{summary.crop_map}.aux.xml").getroot()
    names = [one.findtext("Name") for one in root.iter("FieldDefn")]
    usages = dict(zip(names, (one.findtext("Usage") for one in root.iter("FieldDefn")), strict=True))
    assert usages["Count"] == "1"  # GFU_PixelCount
    rows = [[cell.text for cell in row] for row in root.iter("Row")]
    place = names.index("Count")
    assert {int(row[0]): int(row[place]) for row in rows} == {
        code: int((run.layers[0] == code).sum()) for code in (1, 2, 3, 4, 5, 254, 255)
    }


def test_names_in_any_script_stay_and_long_ones_end_at_a_whole_letter(tmp_path):
    classes = (CropClass(1, "Maïs, 玉米", "#112233"), CropClass(2, "水" * 100, "#445566"))
    legend = Legend.of(classes)
    large = CodeArea(1, classes[0].name, 6_000_000_000, 60_000_000.5, 80.0, None)
    areas = (large, replace(large, code=2, name=classes[1].name, pixels=1, hectares=0.01))
    for suffix, content in (("dbf", value_table(legend, areas)), ("cpg", b"UTF-8")):
        (tmp_path / f"map.vat.{suffix}").write_bytes(content)
    table = pyogrio.read_dataframe(tmp_path / "map.vat.dbf", read_geometry=False)
    assert table["CLASS"].tolist() == ["Maïs, 玉米", "水" * 84]  # three bytes each, 254 at most
    assert table["COUNT"].tolist() == [6_000_000_000, 1]
    assert table["HECTARES"].tolist() == [60_000_000.5, 0.01]
    rows = list(csv.reader(io.StringIO(areas_csv(areas).decode())))
    assert rows[1] == ["1", "Maïs, 玉米", "6000000000", "60000000.5000", "100.0000", "80.00", ""]


def test_a_code_without_a_pixel_is_no_row_of_the_value_table(tmp_path):
    legend = Legend.of(CROPS)
    areas = tuple(CodeArea(e.code, e.name, int(e.code == 2), 0.01, None, None) for e in legend.entries)
    (tmp_path / "map.vat.dbf").write_bytes(value_table(legend, areas))
    assert pyogrio.read_dataframe(tmp_path / "map.vat.dbf", read_geometry=False)["VALUE"].tolist() == [2]
