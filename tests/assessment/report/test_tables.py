import os
from pathlib import Path

import geopandas
import pytest
import shapely

from assessment.sample.tables import Faults, column, read_table
from gee_pipeline.errors import CorruptFileError, InputError

LONG = b'id\n"' + b"a" * 200_000
"""A text without an end."""


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_usual_separator_and_a_byte_order_mark_are_read(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"\ufeffid{separator} answer\r\n1{separator} wheat \r\n", encoding="utf-8")
    assert read_table(path) == [{"id": "1", "answer": "wheat"}]


def test_what_excel_adds_is_no_row_and_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\nid;answer;;\n1;wheat;;\n;;;\n", encoding="utf-8-sig")
    assert read_table(tmp_path / "a.csv") == [{"id": "1", "answer": "wheat"}]


def test_a_file_of_several_layers_is_not_read_by_chance(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"id": [1]}, geometry=[shapely.Point(1, 2)], crs=4326)
    for layer in ("north", "south"):
        frame.to_file(tmp_path / "a.gpkg", layer=layer)
    with pytest.raises(InputError, match="have 2 layers: north, south"):
        read_table(tmp_path / "a.gpkg")


def test_whole_numbers_of_a_vector_file_have_no_decimals(tmp_path: Path) -> None:
    """A gap in a column of ids makes floats of all."""
    frame = geopandas.GeoDataFrame(
        {"id": [1, None, 3], "sure": [0.5, None, 1.0]},
        geometry=[shapely.Point(n, 0) for n in range(3)],
        crs=4326,
    )
    frame.to_file(tmp_path / "a.gpkg")
    rows = read_table(tmp_path / "a.gpkg")
    assert [row["id"] for row in rows] == ["1", "", "3"]
    assert [row["sure"] for row in rows] == ["0.5", "", "1"]


def test_places_of_a_vector_file_are_those_of_its_geometry(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"id": [1], "LON": [8.0]}, geometry=[shapely.Point(5e5, 0)], crs=32633)
    frame.to_file(tmp_path / "a.gpkg")
    (row,) = read_table(tmp_path / "a.gpkg")
    assert (row["id"], float(row["lon"]), float(row["lat"])) == ("1", pytest.approx(15), pytest.approx(0))
    assert set(row) == {"id", "lon", "lat"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,answer\n", "no rows"),
        (b"id,id\n1,2\n", "several columns id"),
        (b"\xff\xfe", "UTF-8"),
        (b'id\n"' + b"a" * 200_000, "cannot be read as CSV"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "a.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
@pytest.mark.parametrize("name", ["a.csv", "a.gpkg"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(CorruptFileError, match="a pipe or a device"):
        read_table(tmp_path / name)


def test_a_column_is_found_by_its_usual_names_or_by_that_given(tmp_path: Path) -> None:
    rows = [{"PLOTID": "1", "Answer": "wheat"}]
    assert column(rows, None, ("id", "plotid"), tmp_path, "--id-column") == "PLOTID"
    assert column(rows, "Answer", ("label",), tmp_path, "--answer-column") == "Answer"
    with pytest.raises(InputError, match=r"no column crop; it has PLOTID, Answer\. Name it with --x"):
        column(rows, "crop", ("answer",), tmp_path, "--x")


def test_one_fault_is_said_plainly_and_many_are_numbered() -> None:
    faults = Faults()
    faults.add([], "nothing {ids}")
    faults.refuse("Go on.")
    faults.add(["3", "4"], "{n} are odd: {ids}")
    with pytest.raises(InputError, match=r"^2 are odd: 3, 4\. Correct them\.$"):
        faults.refuse("Correct them.")
    faults.add([str(i) for i in range(30)], "{ids}")
    with pytest.raises(InputError, match=r"^2 things are wrong: \(1\) 2 .*; \(2\) 0, .* and 10 more\. Go\.$"):
        faults.refuse("Go.")
