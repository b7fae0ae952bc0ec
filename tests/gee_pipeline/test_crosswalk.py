"""Standard lists of codes: what is in the table, beside the lists themselves."""

import csv
from pathlib import Path

import pytest

from gee_pipeline.legends.crosswalk import LEFT_OUT, LISTS, codes_of, standard_codes
from training.samples.crops import NAMES

TABLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "seasons"

with_tables = pytest.mark.skipif(
    not TABLES.exists(), reason=f"the published lists are not next to the checkout ({TABLES.name})"
)

NAMED = {
    "cdl": ("cdl_codes.csv", ",", "code", "name"),
    "aci": ("aafc_aci_codes.csv", ",", "code", "name"),
    "hcat3": ("hcat3.csv", ",", "HCAT3_code", "HCAT3_name"),
    "worldcereal": ("worldcereal_legend.csv", ";", "ewoc_code", "label_full"),
    "eucropmap": ("eucropmap_codes.csv", ",", "code", "name"),
}
"""File, separator and columns of each published list."""

MEANT = {
    "corn": ("corn", "maize", "teosinte"),
    "soybeans": ("soy",),
    "rice": ("rice",),
    "wheat": ("wheat", "spelt", "durum", "emmer", "einkorn", "kamut"),
    "sugarcane": ("sugar",),
    "cotton": ("cotton",),
}
"""One of these words is in the name of every code of a crop."""


def published(name: str) -> dict[str, str]:
    """Name of each code of a list."""
    file, separator, code, label = NAMED[name]
    with (TABLES / file).open(encoding="utf-8-sig", newline="") as text:
        return {row[code]: row[label].lower() for row in csv.DictReader(text, delimiter=separator)}


def class_of(name: str, code: str) -> str | None:
    """The class of a code: that of the longest entry which fits, found by trying all of them."""
    fits = [
        (len(entry), crop)
        for crop, entries in codes_of(name).items()
        for entry in entries
        if code == entry or (entry.endswith("*") and code.startswith(entry[:-1]))
    ]
    return max(fits)[1] if fits else None


@pytest.mark.parametrize("name", LISTS)
def test_each_list_has_crops_of_cropglobe_and_no_code_twice(name: str) -> None:
    codes = codes_of(name)
    assert set(codes) <= {*NAMES, LEFT_OUT}
    every = [code for entries in codes.values() for code in entries]
    assert len(every) == len(set(every))
    assert all(code == code.strip() and code for code in every)


@with_tables
@pytest.mark.parametrize("name", NAMED)
def test_the_codes_of_a_crop_are_those_that_are_called_so(name: str) -> None:
    names = published(name)
    for code, label in names.items():
        crop = class_of(name, code)
        if crop in MEANT:
            assert any(word in label for word in MEANT[crop]), (code, label, crop)


@with_tables
@pytest.mark.parametrize("name", NAMED)
def test_every_code_in_the_table_is_in_the_list(name: str) -> None:
    names = published(name)
    for entries in codes_of(name).values():
        for entry in entries:
            beginning = entry.removesuffix("*")
            assert any(
                code == entry or (entry != beginning and code.startswith(beginning)) for code in names
            ), entry


@with_tables
@pytest.mark.parametrize("name", NAMED)
def test_no_code_that_is_called_a_crop_of_its_own_is_other(name: str) -> None:
    """Mixtures, sweet corn and what is called after a crop alone are told by name below."""
    allowed = (
        "buckwheat",
        "sweet",
        "wild",
        "mix",
        "pop",
        "wheatgrass",
        "seed",
        "broom",
        "cornflower",
        "liquorice",
    )
    plain = {"corn": ("corn", "maize"), "soybeans": ("soy",), "rice": ("rice",), "cotton": ("cotton",)}
    for code, label in published(name).items():
        if class_of(name, code) == "other" and not any(word in label for word in allowed):
            assert not any(word in label for words in plain.values() for word in words), (code, label)


def test_a_crop_has_its_codes_in_each_list_that_knows_it() -> None:
    assert standard_codes("rice") == {
        "cropglobe": ("2",),
        "cdl": ("3",),
        "hcat3": ("3301010700", "3301010799"),
        "worldcereal": ("11-01-08-*",),
        "lucas": ("B17",),
        "eucropmap": ("217",),
    }
    assert standard_codes("other") == standard_codes("orchard") == {}
