"""The crops of CropGlobe in the code lists that agencies and surveys use."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

ANY_ENDING: Final = "*"
"""At the end of a code: all codes that begin so."""

LEFT_OUT: Final = "left out"
"""Row of codes that a shorter one with `*` would take in, and that are no crop, or any crop."""


@dataclass(frozen=True)
class CodeList:
    """A list of codes of crops."""

    name: str
    """What options call it."""
    title: str
    """What people call it."""
    source: str
    """Who keeps it, and the licence of the list."""


LISTS: Final = {
    one.name: one
    for one in (
        CodeList("cropglobe", "CropGlobe", "Tong et al. 2025, table 1"),
        CodeList("cdl", "Cropland Data Layer", "USDA NASS, public domain"),
        CodeList(
            "aci",
            "Annual Crop Inventory",
            "Agriculture and Agri-Food Canada; contains information licensed under the Open Government "
            "Licence - Canada",
        ),
        CodeList(
            "hcat3", "HCAT3 of EuroCrops", "Schneider et al. 2023, doi:10.1038/s41597-023-02517-0, CC BY 4.0"
        ),
        CodeList("worldcereal", "ESA WorldCereal", "(c) 2024 ESA WorldCereal, MIT licence"),
        CodeList("lucas", "LUCAS land cover", "Eurostat, Land Use and Coverage Area frame Survey"),
        CodeList("eucropmap", "EUCROPMAP", "European Union, Joint Research Centre, CC BY 4.0"),
    )
}
"""By name. Codes are facts of the lists, taken from the tables that their keepers publish; the table that
sets them beside each other is cropmap's own."""


@cache
def codes_of(name: str) -> Mapping[str, tuple[str, ...]]:
    """The codes of a list by class of CropGlobe, and those left out; classes without codes are absent.

    A code that ends with `*` means all that begin so; of two that fit a code, the longer counts. Codes that
    none fits are not cropland, or fallow, pasture, several crops at once.

    Args:
        name: A name of `LISTS`.
    """
    text = resources.files(__package__).joinpath("crosswalk.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["class"]: tuple(_codes(row[name])) for row in rows if row[name]}


@cache
def standard_codes(crop: str) -> Mapping[str, tuple[str, ...]]:
    """The codes of a crop by list; empty for a name that is none of CropGlobe's crops, and for "other"."""
    if crop == "other":
        return {}
    found = {name: codes_of(name).get(crop, ()) for name in LISTS}
    return {name: codes for name, codes in found.items() if codes}


def _codes(cell: str) -> Iterator[str]:
    """The codes of a cell: `|` parts them, `27..39` is each of them."""
    for part in cell.split("|"):
        first, _, last = part.partition("..")
        if last:
            yield from map(str, range(int(first), int(last) + 1))
        else:
            yield part
