"""What a file of samples says of itself: the JSON text that `cropmap sample` writes into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import ODD_VALUES, parse_json
from gee_pipeline.recipe import USUAL, Recipe, RecipeOptions
from gee_pipeline.season import Season

if TYPE_CHECKING:
    from numpy.typing import NDArray

METADATA: Final = "metadata"
"""Key of the text in the npz file."""

PSEUDO_LABELS: Final = "pseudo-labels"
"""Kind of a request, in the text, whose labels are a model's own answers."""


UNLABELLED: Final = "unlabelled"
"""Kind of a request, in the text, whose labels say nothing: series of cropland."""


@dataclass(frozen=True)
class SampleOrigin:
    """How a file of samples came about."""

    path: Path
    """The file."""
    source: str
    """One sentence on labels and imagery."""
    recipe: Recipe
    """How the series were made."""
    season: Season
    """The days that the bins mean."""
    pseudo: bool = False
    """The labels are a model's own answers, which nobody has seen to be true."""
    unlabelled: bool = False
    """The labels say nothing: nobody knows what grows there."""


def origin_of(path: Path, arrays: Mapping[str, NDArray[Any]]) -> SampleOrigin | None:
    """The origin of the arrays of an npz file; None where they do not say, like those of CropGlobe.

    Raises:
        InputError: They name a recipe or season that cannot be.
        MismatchError: A later version of cropmap wrote it.
    """
    try:
        stored = parse_json(str(arrays[METADATA]), path)
        year, start = stored["request"]["year"], date.fromisoformat(stored["request"]["season_start"])
        source, recipe = stored["source"], stored["recipe"]
    except (*ODD_VALUES, CorruptFileError):
        return None  # what other programs write under this key
    try:
        kind, season = stored["request"].get("kind"), Season(year, start)
        known = Recipe.from_dict(recipe).starting_as(season)
        return SampleOrigin(path, source, known, season, kind == PSEUDO_LABELS, kind == UNLABELLED)
    except (*ODD_VALUES, InputError) as error:
        raise InputError(f"The samples {path} name a recipe that cannot be read: {error}") from error


def joint_recipe(
    origins: Sequence[SampleOrigin], recipe: Recipe | None, asked: RecipeOptions, year: int | None = None
) -> Recipe:
    """The recipe of several files, which they must share: their own, with what the user says.

    Window and least observations may be others than those of the files. What made the series, and the day on
    which they start, may not. A model that reads them sees its own window only.

    Args:
        origins: Of the files that say theirs.
        recipe: That of the model that reads them; None takes that of the files, or the default.
        asked: What the user says.
        year: The year that a first day belongs to.

    Raises:
        MismatchError: Two files, or a file and the caller, differ in what decides a series.
    """
    base = recipe or (origins[0].recipe if origins else USUAL)
    chosen = asked.applied(base, year).require_enough_bins()
    pairs = [(f"The samples {origin.path}", origin.recipe) for origin in origins]
    whom = "the options given" if asked != RecipeOptions() else "the model or training that reads them"
    if recipe is not None:
        same = replace(chosen, min_clear_bins=recipe.min_clear_bins)
        recipe.require_same(same, "The model", whom, "Leave the options out that differ.")
    elif origins and asked == RecipeOptions():
        whom = f"{origins[0].path}"
    for what, own in pairs:
        own.series_part.require_same(
            chosen.series_part,
            what,
            whom,
            "Draw them again with the same bands, bins, --cloud-band, --cloud-threshold and season, or leave "
            "the options out that differ.",
        )
    return chosen
