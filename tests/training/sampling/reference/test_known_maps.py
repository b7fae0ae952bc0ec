"""The built-in tables of CropGlobe's reference maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.commands.sample import MAPS
from gee_pipeline.errors import InputError
from training.cropglobe.counts import _tables as published_counts
from training.sampling.reference.known_maps import known_maps, map_of_country
from training.sampling.reference.reference_maps import (
    ParcelsFile,
    RasterFile,
    ServerImage,
    ServerTable,
    named_table,
    reference_map,
)


def test_each_country_of_the_paper_has_one_map_that_knows_its_crops() -> None:
    tables = {country: counts for (table, country), counts in published_counts().items() if table == 1}
    assert {known.country for known in known_maps().values()} == set(tables)
    for country, counts in tables.items():
        names = ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
        published = {name for name, count in zip(names, counts, strict=True) if count}
        assert published <= set(map_of_country(country).table.names)


def test_the_command_names_the_same_maps() -> None:
    assert tuple(known_maps()) == MAPS


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        # labels + 1, after the providers' lists of codes
        ("rpg", "MIS", 1),
        ("rpg", "mie", 1),  # silage maize
        ("rpg", "MID", 0),  # sweet corn
        ("rpg", "BTH", 4),
        ("rpg", "BDH", 4),  # durum wheat
        ("rpg", "TRN", 7),  # sunflower
        ("rpg", "PTR", 7),  # grass of five years or less
        ("rpg", "PPH", 0),  # grassland of long standing
        ("rpg", "J5M", 0),  # fallow
        ("lgp", "201", 1),
        ("lgp", 311, 4),
        ("lgp", "6031", 0),  # seed of wheat or triticale
        ("lgp", "91", 7),  # sugar beet
        ("lgp", "12", 0),  # a shed
        ("brp", 259.0, 1),
        ("brp", "233", 4),
        ("brp", "814", 0),  # sweet corn
        ("brp", "256", 7),  # sugar beet
        ("brp", "265", 0),  # permanent grassland
        ("crome", "AC17", 1),
        ("crome", "AC66", 4),
        ("crome", "AC32", 4),
        ("crome", "LG03", 7),
        ("crome", "PG01", 0),
        ("ctnc", 0, 3),
        ("ctnc", 1, 7),  # maize is other, as in the paper
        ("ctnc", 3, 0),  # other crops and land: cropland of WorldCover decides
        ("ctnc", 15, 0),
        ("sas", 1, 2),
        ("sas", 0, 0),
        ("qsc", "Sugarcane", 5),
        ("qsc", "Cotton", 6),
        ("qsc", "OtherCrop", 7),
        ("cdl", 1, 1),
        ("cdl", 26, 0),
    ],
)
def test_codes_mean_what_their_lists_say(name: str, value: str | int, code: int) -> None:
    assert known_maps()[name].table.code_of(value) == code


def test_every_map_says_where_it_is_and_under_which_licence() -> None:
    for known in known_maps().values():
        assert known.address.startswith("https://")
        assert known.licence
        assert known.provider
        assert known.per_cell == (1 if known.country == "USA" else 5)
        assert (known.column is not None) is (known.kind == "parcels")
        assert (known.asset is not None) is (known.kind == "image")


def test_a_map_that_is_not_on_earth_engine_says_where_to_get_it() -> None:
    with pytest.raises(InputError, match=r"RPG_2-2__GPKG_LAMB93.*Licence Ouverte.*--reference-at"):
        reference_map("rpg", 2023)


def test_a_known_map_may_lie_anywhere(tmp_path: Path) -> None:
    parcels, raster = tmp_path / "rpg.gpkg", tmp_path / "rpg.tif"
    parcels.touch()
    raster.touch()
    assert reference_map("rpg", 2023, at=str(parcels)).place == ParcelsFile(parcels, "CODE_CULTU")
    assert reference_map("rpg", 2023, at=str(parcels), column="X", layer="Y").place == ParcelsFile(
        parcels, "X", "Y"
    )
    assert reference_map("rpg", 2023, at=str(raster)).place == RasterFile(raster)
    assert reference_map("rpg", 2023, at="table:projects/p/rpg").place == ServerTable(
        "projects/p/rpg", "CODE_CULTU"
    )
    assert reference_map("sas", 2023).place == ServerImage("projects/glad/soy_annual_SA/2023")
    with pytest.raises(InputError, match=r"Omit --code-column"):
        reference_map("sas", 2023, column="X")


def test_a_map_of_ones_own_takes_the_table_of_a_map_or_a_list(tmp_path: Path) -> None:
    parcels = tmp_path / "gsa.gpkg"
    parcels.touch()
    with pytest.raises(InputError, match="--code-column"):
        reference_map(str(parcels), 2023, Path("hcat3"))
    found = reference_map(str(parcels), 2023, Path("hcat3"), column="EC_hcat_c").table
    assert [found.code_of(code) for code in ("3301010101", 3301010600, "3301160000")] == [4, 1, 2]
    assert found.code_of("3301290700") == 7  # sugar beet
    assert found.code_of("3302000000") == 0  # pasture
    assert named_table(Path("rpg")) == known_maps()["rpg"].table
    with pytest.raises(InputError, match="--reference-at says where a map of CropGlobe lies"):
        reference_map(str(parcels), 2023, Path("hcat3"), at="x.gpkg")
