"""Tables of items against the items that they were made of, column by column as STAC GeoParquet 1.0 says."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from gee_pipeline.incoming import item_table
from gee_pipeline.incoming.item_table import ItemTable, TableError, is_table

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
    first, second = ItemTable(str(path))
    assert first["assets"] == {"B04": {"href": "a.tif", "raster:bands": [{"scale": 0.0001}]}}
    assert second["assets"] == {"SCL": {"href": "b.tif"}}
    assert first["properties"] == {"datetime": "2021-05-02T10:30:00+00:00"}
    assert second["properties"]["s2:processing_baseline"] == "05.00"
    assert first["bbox"] == [9, 46, 10, 47]
    assert shapely.geometry.shape(first["geometry"]).equals(SQUARE)
    assert (first["id"], first["collection"], first["stac_version"]) == ("A", "s2", "1.1.0")
    assert first["links"] == [{"rel": "self", "href": "https://h/A"}]


def test_values_of_every_kind_are_those_of_its_rows(tmp_path):
    """The oracle is pyarrow, row by row; `None` in an object is no field of it."""
    kinds = {
        "number": [1, None, 3],
        "texts": [["a", None], None, []],
        "objects": [[{"a": 1, "b": None}], [], [None, {"b": [2.5, None]}]],
        "nothing": [None, None, None],
        "day": [date(2021, 5, 2), None, date(2021, 5, 3)],
        "pairs": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    }
    table = pa.table({"id": ["A", "B", "C"], "geometry": [SQUARE.wkb] * 3, "assets": [{"x": 1}] * 3, **kinds})
    pq.write_table(table, tmp_path / "items.parquet", row_group_size=2)
    found = [item["properties"] for item in ItemTable(str(tmp_path / "items.parquet"))]
    assert found == [
        {"datetime": None, "number": 1, "texts": ["a", None], "objects": [{"a": 1}]}
        | {"day": "2021-05-02", "pairs": [("a", 1)]},
        {"datetime": None, "objects": []},
        {"datetime": None, "number": 3, "texts": [], "objects": [None, {"b": [2.5, None]}]}
        | {"day": "2021-05-03", "pairs": []},
    ]


def test_a_large_table_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(item_table, "_ROWS", 10)
    made = []
    monkeypatch.setattr(item_table, "_values", lambda column: made.append(len(column)) or column.to_pylist())
    rows = [row(f"{number}", {"B04": {"href": "a.tif"}}) for number in range(95)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    table = ItemTable(str(tmp_path / "items.parquet"))
    assert len(table) == 95
    assert next(iter(table))["id"] == "0"
    assert set(made) == {10}
    assert [item["id"] for item in table] == [f"{number}" for number in range(95)]
    assert max(made) == 10


def test_damage_in_the_middle_is_said(tmp_path):
    path = tmp_path / "items.parquet"
    pq.write_table(pa.Table.from_pylist([row("A", {"B04": {"href": "a.tif"}})]), path, compression="none")
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(TableError, match="not readable as Parquet"):
        list(ItemTable(str(path)))


@pytest.mark.parametrize(
    ("content", "message"), [(b"not parquet", "not readable as Parquet"), (None, "no such file")]
)
def test_what_is_no_table_is_said(tmp_path, content, message):
    path = tmp_path / "items.parquet"
    if content:
        path.write_bytes(content)
    with pytest.raises(TableError, match=message):
        ItemTable(str(path))


def test_a_table_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"id": [1], "crop": ["rice"]}), tmp_path / "fields.parquet")
    with pytest.raises(TableError, match="not STAC GeoParquet"):
        ItemTable(str(tmp_path / "fields.parquet"))


def test_tables_are_known_by_their_name():
    assert is_table("/data/items.PARQUET")
    assert is_table("https://h/items.geoparquet?sig=a")
    assert not is_table("/data/catalog.json")
