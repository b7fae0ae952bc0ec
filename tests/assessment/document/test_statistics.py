"""Published hectares beside those of maps: each row finds its place, or is named with what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from assessment.document.areas import ClassArea
from assessment.document.statistics import PublishedMap, compare, comparison_rows
from gee_pipeline.errors import InputError

ESTIMATE = {"value": 90.0, "se": 5.0, "low": 80.0, "high": 100.0, "flags": []}

NORTH = PublishedMap(
    "north-2022",
    2022,
    [
        ClassArea("", "maize", 1000, 120.0, 0.6, ESTIMATE),
        ClassArea("", "wheat", 800, 80.0, 0.4),
        ClassArea("Upper", "maize", 500, 60.0, 0.5),
    ],
)
SOUTH = PublishedMap("south-2023", 2023, [ClassArea("", "maize", 10, 1.0, 1.0)])


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "statistics.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_row_stands_beside_the_class_of_its_map_and_district(tmp_path: Path) -> None:
    path = table(
        tmp_path, "year,district,class,hectares,source", "2022,,Maize,100,Census", "2022,upper,maize,50,"
    )
    found = compare(path, [NORTH, SOUTH])
    rows = list(comparison_rows(NORTH, found["north-2022"]))
    assert [(row["district"], row["class"], row["published_ha"]) for row in rows] == [
        ("", "maize", 100.0),
        ("Upper", "maize", 50.0),
    ]
    assert rows[0]["mapped_difference"] == 0.2
    assert rows[0]["estimated_difference"] == -0.1
    assert rows[0]["published_in_interval"] == "yes"
    assert rows[1]["estimated_ha"] is None
    assert rows[1]["published_in_interval"] == ""
    assert found["south-2023"] == []


def test_a_figure_outside_the_interval_is_said_to_be_so(tmp_path: Path) -> None:
    (one,) = compare(table(tmp_path, "class,hectares", "maize,79.9"), [NORTH])["north-2022"]
    assert one.in_interval is False


def test_nothing_published_has_no_difference(tmp_path: Path) -> None:
    (one,) = compare(table(tmp_path, "class,hectares", "maize,0"), [NORTH])["north-2022"]
    assert (one.mapped_difference, one.in_interval) == (None, False)


@pytest.mark.parametrize(
    ("text", "hectares"), [("1234.5", 1234.5), ("12,5", 12.5), ("1,2345", 1.2345), ("7", 7.0)]
)
def test_numbers_may_have_a_decimal_comma(tmp_path: Path, text: str, hectares: float) -> None:
    (one,) = compare(table(tmp_path, "class;hectares", f"maize;{text}"), [NORTH])["north-2022"]
    assert one.hectares == hectares


@pytest.mark.parametrize("text", ["1,234", "1.234,5", "1 234", "-3", "nan", "inf", "", "12 ha", "1e3"])
def test_what_may_mean_another_number_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="no number of hectares"):
        compare(table(tmp_path, "class;hectares", f"maize;{text}"), [NORTH])


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (",,rye,1,", "no class 'rye'; there are maize, wheat"),
        (",Lower,maize,1,", "no district 'Lower'; there are Upper"),
        (",Upper,wheat,1,", "no class 'wheat'; there are maize"),
        ("2021,,maize,1,", "no map 2021; there are north-2022 (2022), south-2023 (2023)"),
        (",,maize,1,", "it belongs to north-2022, south-2023; name one in a column map"),
    ],
)
def test_a_row_without_a_place_is_named_with_what_there_is(tmp_path: Path, line: str, named: str) -> None:
    path = table(tmp_path, "year,district,class,hectares,map", line)
    with pytest.raises(InputError) as caught:
        compare(path, [NORTH, SOUTH])
    assert "row 2 of" in str(caught.value)
    assert named in str(caught.value)


def test_a_column_map_tells_maps_of_one_class_apart(tmp_path: Path) -> None:
    found = compare(table(tmp_path, "map,class,hectares", "south-2023,maize,2"), [NORTH, SOUTH])
    assert [len(found[name]) for name in ("north-2022", "south-2023")] == [0, 1]


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = table(tmp_path, "class,hectares", "rye,1", "maize,many", "maize,1", "maize,2")
    with pytest.raises(InputError, match="3 things are wrong") as caught:
        compare(path, [NORTH])
    assert all(f"row {number}" in str(caught.value) for number in (2, 3, 5))


def test_a_point_among_decimal_commas_may_part_thousands(tmp_path: Path) -> None:
    rows = ["maize;12,5;Census", "maize;1.234;Survey", "maize;181.0;Register"]
    with pytest.raises(InputError, match=r"decimal commas, so 1\.234 may mean thousands"):
        compare(table(tmp_path, "class;hectares;source", *rows), [NORTH])
    found = compare(table(tmp_path, "class;hectares;source", rows[0], rows[2]), [NORTH])["north-2022"]
    assert [one.hectares for one in found] == [12.5, 181.0]


def test_two_sources_of_one_class_stand_side_by_side(tmp_path: Path) -> None:
    path = table(tmp_path, "class,hectares,source", "maize,100,Census", "maize,95,Survey")
    assert [one.source for one in compare(path, [NORTH])["north-2022"]] == ["Census", "Survey"]


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lacks the columns class, hectares"):
        compare(table(tmp_path, "crop,ha", "maize,1"), [NORTH])
