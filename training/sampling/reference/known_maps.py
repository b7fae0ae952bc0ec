"""The reference maps of CropGlobe by name: who makes them, where they are, what their values mean."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from training.sampling.reference.class_table import TABLE_KEYS, ClassTable, standard_table, table_of

Kind = Literal["image", "raster", "parcels"]
"""An image on Earth Engine, a raster to fetch, or polygons to fetch."""


@dataclass(frozen=True)
class KnownMap:
    """A crop map that CropGlobe takes labels from (Tong et al. 2025, section 2.1)."""

    name: str
    """What `--reference` calls it."""
    title: str
    """What people call it."""
    country: str
    """Country of CropGlobe, three letters."""
    provider: str
    """Who makes it."""
    licence: str
    """Under which it may be used."""
    years: str
    """Years that there are, in words."""
    address: str
    """Where to get it: of parcels the file of 2023 where it has an address of its own."""
    kind: Kind
    """What it is."""
    per_cell: int
    """Samples of a class that CropGlobe draws in a square of 0.1 degree."""
    table: ClassTable
    """What its values mean."""
    asset: str | None = None
    """Id on Earth Engine, `{year}` for its year; None where it is not there."""
    band: str | None = None
    """Band of the image; None is the first."""
    column: str | None = None
    """Column of the codes, of polygons."""


@cache
def known_maps() -> dict[str, KnownMap]:
    """The maps by name."""
    text = resources.files(__package__).joinpath("known_maps.toml").read_text(encoding="utf-8")
    return {name: _known(name, values) for name, values in tomllib.loads(text).items()}


def map_of_country(country: str) -> KnownMap:
    """The map that CropGlobe takes the labels of a country from.

    Args:
        country: Three letters, one of CropGlobe's.
    """
    return next(known for known in known_maps().values() if known.country == country)


def _known(name: str, values: dict[str, Any]) -> KnownMap:
    about: dict[str, Any] = {key: values[key] for key in TABLE_KEYS if key in values}
    if "classes" not in about:  # the codes of a standard list
        standard = standard_table(name)
        about |= {"classes": {crop: list(codes) for crop, codes in standard.classes.items()}}
        about |= {"left_out": list(standard.left_out)} if standard.left_out else {}
    rest = {key: value for key, value in values.items() if key not in TABLE_KEYS}
    return KnownMap(name=name, table=table_of(about), **rest)
