"""What a file of samples tells about itself: the JSON text that `cropmap sample` writes into it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season

METADATA: Final = "metadata"
"""Key of the text in the npz file."""

PSEUDO_LABELS: Final = "pseudo-labels"
"""Kind of a request, in the text, whose labels are a model's own answers."""


@dataclass(frozen=True)
class Origin:
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


def origin_of(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Origin | None:
    """The origin of the arrays of an npz file; None where they do not tell, like those of CropGlobe."""
    try:
        told = json.loads(str(arrays[METADATA]))
        season = Season(told["request"]["year"], date.fromisoformat(told["request"]["season_start"]))
        pseudo = told["request"].get("kind") == PSEUDO_LABELS
        return Origin(path, told["source"], Recipe.from_dict(told["recipe"]), season, pseudo)
    except (KeyError, TypeError, ValueError, InputError):
        return None


def joint_recipe(origins: Sequence[Origin], recipe: Recipe | None) -> Recipe:
    """The recipe of several files, which they must share.

    Args:
        origins: Of the files that tell.
        recipe: What the caller asks for; None takes that of the files, or the default where none tells.

    Raises:
        MismatchError: Two files, or a file and the caller, differ in what decides a series.
    """
    chosen = recipe or (origins[0].recipe if origins else Recipe())
    for origin in origins:
        origin.recipe.composite_part.require_same(
            chosen.composite_part,
            f"The samples {origin.path}",
            "the model or training that reads them" if recipe else f"{origins[0].path}",
            "Draw them anew with the same --cloud-band and --cloud-threshold.",
        )
    return chosen
