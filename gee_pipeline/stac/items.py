"""Items as scenes: what an item gets wrong is found here, whatever it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pystac.errors import STACError, STACTypeError

from gee_pipeline.errors import InputError
from gee_pipeline.incoming.addresses import AddressError, is_remote, require_network, without_secrets
from gee_pipeline.recipe import Recipe
from gee_pipeline.stac.choice import LeftOut, SceneChoice
from gee_pipeline.stac.item import item_of
from gee_pipeline.stac.listing import Listed
from gee_pipeline.stac.scene import Scene, scene_of
from gee_pipeline.stac.web import first_line

_BROKEN: Final = (
    STACError,
    STACTypeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What pystac, dates and numbers raise when JSON has an unexpected shape."""


@dataclass(frozen=True)
class Scenes:
    """The scenes among some items."""

    used: tuple[Scene, ...]
    """Those of the recipe's sensors."""
    left_out: tuple[LeftOut, ...] = ()
    """Those that cannot be used."""
    unwanted: frozenset[str] = frozenset()
    """Ids found of those that the user leaves out."""


def scenes_among(items: Iterable[Listed], recipe: Recipe, choice: SceneChoice) -> Scenes:
    """The scenes of a recipe's sensors among items, but those that the user leaves out.

    Raises:
        InputError: An item cannot be used, and bad scenes stop the run.
    """
    used: list[Scene] = []
    left_out: list[LeftOut] = []
    unwanted: set[str] = set()
    for item in items:
        name = str(item.values.get("id"))
        if name in choice.left_out:
            unwanted.add(name)
            continue
        try:
            scene = scene_in(item, recipe)
        except InputError as error:
            if choice.bad == "stop":
                raise
            left_out.append(LeftOut(name, str(error)))
        else:
            used += [scene] if scene else []
    return Scenes(tuple(used), tuple(left_out), frozenset(unwanted))


def scene_in(listed: Listed, recipe: Recipe) -> Scene | None:
    """The scene of an item; None where it is not of the recipe's sensors.

    Args:
        listed: The item.
        recipe: What is read of scenes.

    Raises:
        InputError: The item is broken, has no time or place, or leads where it may not.
    """
    name, document = listed.values.get("id"), without_secrets(listed.document)
    try:
        scene = scene_of(item_of(listed.values, listed.base), recipe)
        if scene and is_remote(listed.document):
            _require_network(scene)
        return scene
    except AddressError as error:
        raise InputError(
            f"Item {name} of {document} cannot be used: {error}. To read such files, save the item on this "
            "machine and give its path to --source."
        ) from error
    except _BROKEN as error:
        raise InputError(
            f"Item {name} of {document} is not readable as STAC: {type(error).__name__}: "
            f"{first_line(error)}. Correct the item, check --source, or leave it out with --leave-out-scene."
        ) from error


def _require_network(scene: Scene) -> None:
    for asset in (*scene.bands.values(), scene.score, scene.classes):
        if asset:
            require_network(asset.href)
