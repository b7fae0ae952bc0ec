"""Class tables and the choice of a reference map."""

from pathlib import Path

import pytest

from gee_pipeline.errors import InputError
from training.sampling.reference.class_table import ClassTable, read_class_table
from training.sampling.reference.known_maps import known_maps
from training.sampling.reference.reference_maps import ServerImage, reference_map

CDL = known_maps()["cdl"].table

DOUBLE_CROPS = (26, 225, 226, 228, *range(230, 242), 254)
NO_AGRICULTURE = (0, 63, 64, 65, 81, 82, 83, 87, 88, 92, 111, 112, 121, 122, 123, 124, 131, 141, 142, 143)
NO_AGRICULTURE += (152, 176, 190, 195)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.toml"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1, 0),  # corn
        (5, 1),  # soybeans
        (3, 2),  # rice
        (22, 3),  # durum wheat
        (23, 3),  # spring wheat
        (24, 3),  # winter wheat
        (45, 4),  # sugarcane
        (2, 5),  # cotton
        (4, 6),  # sorghum is other
        (36, 6),  # alfalfa
        (69, 6),  # grapes
        (204, 6),  # pistachios
        (250, 6),  # cranberries
    ],
)
def test_values_of_the_cropland_data_layer_have_the_labels_of_cropglobe(value: int, label: int) -> None:
    assert CDL.labels[value] == label


@pytest.mark.parametrize("value", [*DOUBLE_CROPS, *NO_AGRICULTURE, 61, 12, 13])
def test_double_crops_fallow_and_what_is_no_agriculture_are_left_out(value: int) -> None:
    assert value not in CDL.labels


def test_every_crop_of_the_legend_is_decided() -> None:
    crops = {*range(1, 7), *range(10, 15), *range(21, 40), *range(41, 62), *range(66, 73), *range(74, 78)}
    crops |= {*range(204, 251), 254}  # what Google's catalog lists, without the land that is no agriculture
    assert crops - set(CDL.labels) == {*DOUBLE_CROPS, 61, 12, 13}
    assert set(CDL.labels) <= crops


def test_cdl_is_the_image_of_the_year() -> None:
    chosen = reference_map("cdl", 2021)
    assert (chosen.place, chosen.table) == (ServerImage("USDA/NASS/CDL/2021", "cropland"), CDL)


@pytest.mark.parametrize(
    ("text", "asset", "band"),
    [
        ("asset:projects/p/assets/rpg", "projects/p/assets/rpg", None),
        ("asset:projects/p/assets/rpg:b1", "projects/p/assets/rpg", "b1"),
        ("asset:projects/example.com:p/assets/rpg", "projects/example.com:p/assets/rpg", None),
        ("asset:projects/example.com:p/assets/rpg:b1", "projects/example.com:p/assets/rpg", "b1"),
    ],
)
def test_an_asset_may_name_its_band(text: str, asset: str, band: str | None, table: Path) -> None:
    table.write_text("[classes]\ncorn = 1")
    chosen = reference_map(text, 2021, table)
    assert chosen.place == ServerImage(asset, band)


@pytest.mark.parametrize("text", ["asset:", "CDL", "asset", "file:x.tif", "table:", "missing.gpkg", ""])
def test_another_reference_is_refused(text: str, table: Path) -> None:
    table.write_text("[classes]\ncorn = 1")
    with pytest.raises(InputError, match="asset:ID or asset:ID:BAND"):
        reference_map(text, 2021, table)


def test_an_asset_without_a_table_is_refused() -> None:
    with pytest.raises(InputError, match="--classes-table"):
        reference_map("asset:projects/p/assets/rpg", 2021)


def test_a_table_of_ones_own_replaces_that_of_the_cropland_data_layer(table: Path) -> None:
    table.write_text("[classes]\ncorn = [1, 12, 13]\nother = [5]\n")
    assert reference_map("cdl", 2020, table).table.labels == {1: 0, 12: 0, 13: 0, 5: 6}


def test_a_table_is_read(table: Path) -> None:
    table.write_text(
        'source = "RPG 2021."\ncropland_outside = "worldcover"\n[classes]\nwheat = [1, -4]\ncorn = 7'
    )
    assert read_class_table(table) == ClassTable({"wheat": (1, -4), "corn": (7,)}, "RPG 2021.", "worldcover")


def test_cropland_outside_makes_other_possible(table: Path) -> None:
    table.write_text('cropland_outside = "worldcover"\n[classes]\nsoybeans = [1]')
    assert read_class_table(table).names == ("soybeans", "other")
    table.write_text("[classes]\nsoybeans = [1]")
    assert read_class_table(table).names == ("soybeans",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[classes]\nmaize = [1]", ["maize", "corn, soybeans"]),
        ("[classes]\ncorn = [1.5]", ["corn", "1.5"]),
        ("[classes]\ncorn = [true]", ["corn", "True"]),
        ("[classes]\ncorn = []", ["corn", "no value"]),
        ("[classes]\ncorn = [1, 4]\nwheat = [4]", ["4", "corn and wheat"]),
        ("[classes]\ncorn = [4, 4]", ["4", "corn and corn"]),
        ("[classes]", ["no class"]),
        ("", ["no class"]),
        ("corn = [1]", ["unknown key corn", "[classes]"]),
        ("classes = 3", ["classes = 3"]),
        ("source = 3\n[classes]\ncorn = 1", ["source = 3"]),
        ('cropland_outside = "cci"\n[classes]\ncorn = 1', ["cropland_outside", "worldcover", "cci"]),
        ("cropland_outside = [1]\n[classes]\ncorn = 1", ["cropland_outside", "[1]"]),
        ("[classes\n", ["not valid TOML"]),
    ],
)
def test_a_wrong_table_is_refused_with_key_and_value(text: str, named: list[str], table: Path) -> None:
    table.write_text(text)
    with pytest.raises(InputError) as caught:
        read_class_table(table)
    message = str(caught.value)
    assert str(table) in message
    assert [part for part in named if part not in message] == []


def test_a_missing_table_is_refused(table: Path) -> None:
    with pytest.raises(InputError, match=r"table\.toml cannot be read"):
        read_class_table(table)


def test_no_reference_is_cropland_whose_file_says_that_labels_say_nothing(tmp_path):
    found = reference_map("unlabelled", 2023)
    assert found.place == ServerImage("ESA/WorldCover/v200/2021", "Map")
    assert found.to_dict()["kind"] == "unlabelled"
    assert "kind" not in reference_map("cdl", 2021).to_dict()
    with pytest.raises(InputError, match="omit --classes-table"):
        reference_map("unlabelled", 2023, tmp_path / "table.toml")


def test_texts_beginnings_and_all_the_rest(table: Path) -> None:
    table.write_text(
        'left_out = ["J6*", "SNE", 12]\n[classes]\ncorn = ["MIS"]\nwheat = ["BT*", "J6S"]\nother = "*"'
    )
    found = read_class_table(table)
    meant = {
        "MIS": 1,
        " mis ": 1,
        "BTH": 4,
        "BT": 4,
        "B": 7,
        "J6P": 0,
        "J6S": 4,
        "SNE": 0,
        12: 0,
        "12": 0,
        13: 7,
    }
    assert {value: found.code_of(value) for value in meant} == meant
    assert found.names == ("corn", "wheat", "other")
    assert found.to_dict()["left_out"] == [12, "J6*", "SNE"]
    assert "left_out" not in CDL.to_dict()


def test_a_value_is_left_out_or_in_a_class(table: Path) -> None:
    table.write_text('left_out = ["MIS"]\n[classes]\ncorn = ["mis"]')
    with pytest.raises(InputError, match="mis is given for the keys corn and left_out"):
        read_class_table(table)


def test_a_beginning_keeps_its_zeros(table: Path) -> None:
    table.write_text('[classes]\ncorn = ["01*"]\nwheat = ["10*"]\nother = "*"')
    found = read_class_table(table)
    assert [found.code_of(value) for value in ("0101", "0110", "101", 101)] == [1, 1, 4, 4]
