"""The kinds of feature files that CropGlobe is packed in, recognised by name and shape."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Final

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.sensors import bands_text


class Kind(StrEnum):
    """What `fea` of a file holds."""

    SEASON = "median month1-12"
    """Medians of the whole season, `(sample, 10, 73)`."""
    WINDOW = "median month5-11"
    """Medians of the model window, `(sample, 10, 43)`."""
    HARMONIC = "harmonic"
    """Third-order harmonic regression of five variables, `(sample, 35)` (Tong et al. 2025, section 3.2)."""
    PRESTO = "presto"
    """Embeddings of Presto (Tseng et al. 2023), `(sample, 128)`."""
    ALPHAEARTH = "alphaearth"
    """Yearly embeddings of AlphaEarth Foundations (Brown et al. 2025), `(sample, 64)`."""


SERIES: Final = (Kind.SEASON, Kind.WINDOW)
"""Kinds that a series can be made of."""

WIDTHS: Final = {Kind.HARMONIC: 35, Kind.PRESTO: 128, Kind.ALPHAEARTH: 64}
"""Features of a sample. An embedding may have another width where the file's name says what it is."""

_NAME: Final = re.compile(
    r"(?P<feature>median|harmonic|presto|alphaearth)(_embedding)?(_S2)?_(?P<country>[A-Z]{3})"
    r"(_month(?P<months>\d+-\d+))?(_day\d+)?(_MayNov)?"
)
_MONTHS: Final = {None: Kind.SEASON, "1-12": Kind.SEASON, "5-11": Kind.WINDOW}


def kind_of(path: Path, shape: tuple[int, ...], recipe: Recipe) -> Kind:
    """The kind of a file.

    Args:
        path: The file; a name as CropGlobe gives them is believed, if the shape agrees.
        shape: Of its key `fea`.
        recipe: Bands and bins.

    Raises:
        InputError: The shape is of no kind, or not of that of the name.
    """
    named = _kind_by_name(path)
    if _without_time(shape, recipe) and (named is None or named in SERIES or named in recipe.sensor_names):
        return Kind.SEASON
    found = _kinds_by_shape(shape, recipe)
    if named in (Kind.PRESTO, Kind.ALPHAEARTH) and len(shape) == 2 and shape[1]:
        return named
    if not found or (named is not None and named not in found):
        raise InputError(_refusal(path, shape, recipe, named))
    return named or found[0]


def country_of(path: Path) -> str | None:
    """The three letters that stand for the country in CropGlobe's file names, or None."""
    match = _NAME.fullmatch(path.stem)
    return match["country"] if match else None


def _kind_by_name(path: Path) -> Kind | None:
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    return _MONTHS.get(match["months"]) if match["feature"] == "median" else Kind(match["feature"])


def _kinds_by_shape(shape: tuple[int, ...], recipe: Recipe) -> list[Kind]:
    known: dict[Kind, tuple[int, ...]] = {
        Kind.SEASON: (len(recipe.bands), recipe.bins_in_season),
        Kind.WINDOW: (len(recipe.bands), len(recipe.window)),
        **{kind: (width,) for kind, width in WIDTHS.items()},
    }
    return [kind for kind, wanted in known.items() if shape[1:] == wanted]


def _without_time(shape: tuple[int, ...], recipe: Recipe) -> bool:
    """Whether a file has one value a band, and the recipe one bin."""
    return recipe.bins_in_season == 1 and shape[1:] in ((len(recipe.bands),), (len(recipe.bands), 1))


def _refusal(path: Path, shape: tuple[int, ...], recipe: Recipe, named: Kind | None) -> str:
    bands, bins, window = len(recipe.bands), recipe.bins_in_season, len(recipe.window)
    if named is None or named in SERIES:
        title = f" as its name ({named}) says" if named else ""
        return (
            f"{path}: key fea must have the shape (samples, {bands}, {bins}) or (samples, {bands}, {window})"
            f"{title}: the bands {bands_text(recipe.bands)} and the bins of a whole season or of the model's "
            f"window; got {shape}. Say what it holds: --bands for its rows, --bin-days for its bins (month "
            "where they are the 12 months of --season year), --season or --window for the days they mean."
        )
    return (
        f"{path}: key fea must have the shape (samples, {WIDTHS[named]}), as its name ({named}) says; got "
        f"{shape}."
    )
