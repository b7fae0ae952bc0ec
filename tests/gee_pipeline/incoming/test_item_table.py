"""Tables of items against the items that they were made of, column by column as STAC GeoParquet 1.0 says."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from gee_pipeline.incoming.item_table import TableError, is_table, item_collection

SQUARE = shapely.box(9, 46, 10, 47)


def row(name, assets, **properties):
    west, south, east, north = SQUARE.bounds
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": "s2",
        "geometry": SQUARE.wkb,
        "bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north},
        "links": [{"rel": "self", "href": f"https://h/{name}", "type": None}],
        "assets": assets,
        "datetime": datetime(2021, 5, 2, 10, 30, tzinfo=UTC),
        "s2:processing_baseline": None,
        **properties,
    }


def test_rows_become_the_items_that_they_were(tmp_path):
    path = tmp_path / "items.parquet"
    assets = [
        {"B04": {"href": "a.tif", "raster:bands": [{"scale": 0.0001}]}, "SCL": None},
        {"B04": None, "SCL": {"href": "b.tif", "raster:bands": None}},
    ]
    rows = [row("A", assets[0]), row("B", assets[1], **{"s2:processing_baseline": "05.00"})]
    pq.write_table(pa.Table.from_pylist(rows), path)
    first, second = item_collection(str(path))["features"]
    assert first["assets"] == {"B04": {"href": "a.tif", "raster:bands": [{"scale": 0.0001}]}}
    assert second["assets"] == {"SCL": {"href": "b.tif"}}
    assert first["properties"] == {"datetime": "2021-05-02T10:30:00+00:00"}
    assert second["properties"]["s2:processing_baseline"] == "05.00"
    assert first["bbox"] == [9, 46, 10, 47]
    assert shapely.geometry.shape(first["geometry"]).equals(SQUARE)
    assert (first["id"], first["collection"], first["stac_version"]) == ("A", "s2", "1.1.0")
    assert first["links"] == [{"rel": "self", "href": "https://h/A"}]


@pytest.mark.parametrize(
    ("content", "message"), [(b"not parquet", "not readable as Parquet"), (None, "no such file")]
)
def test_what_is_no_table_is_said(tmp_path, content, message):
    path = tmp_path / "items.parquet"
    if content:
        path.write_bytes(content)
    with pytest.raises(TableError, match=message):
        item_collection(str(path))


def test_a_table_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"id": [1], "crop": ["rice"]}), tmp_path / "fields.parquet")
    with pytest.raises(TableError, match="not STAC GeoParquet"):
        item_collection(str(tmp_path / "fields.parquet"))


def test_tables_are_known_by_their_name():
    assert is_table("/data/items.PARQUET")
    assert is_table("https://h/items.geoparquet?sig=a")
    assert not is_table("/data/catalog.json")
