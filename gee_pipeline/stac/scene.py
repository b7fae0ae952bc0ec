"""A scene: one acquisition of one tile, reduced to what a composite needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pystac
import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.stac.assets import BandAsset, find_bands, find_layer

SCENE_CLASSES = "SCL"
"""Asset of ESA's scene classification."""


@dataclass(frozen=True)
class Scene:
    """One STAC item, with its assets resolved."""

    id: str
    """Item id."""
    collection: str | None
    """Id of its collection."""
    time: datetime
    """Acquisition, UTC."""
    footprint: BaseGeometry
    """Outline in EPSG:4326."""
    bands: Mapping[str, BandAsset]
    """The recipe's bands that the item has."""
    score: BandAsset | None
    """Cloud Score+."""
    classes: BandAsset | None
    """Scene classes; used where there is no score."""
    simulated: bool
    """Whether the item says so of itself."""

    @property
    def day(self) -> date:
        """Day of acquisition, UTC."""
        return self.time.date()

    @property
    def mask(self) -> BandAsset:
        """The asset that says which pixels are clear."""
        found = self.score or self.classes
        assert found is not None, "require() has been called"
        return found

    def require(self, recipe: Recipe) -> None:
        """Refuse a scene that lacks what a recipe needs.

        Raises:
            InputError: Naming the bands, or the cloud assets one of which is needed.
        """
        if missing := [band for band in recipe.bands if band not in self.bands]:
            kept = [band for band in recipe.bands if band in self.bands]
            raise InputError(
                f"Every scene must have the bands {', '.join(recipe.bands)}; scene {self.id} has no "
                f"{', '.join(missing)}. Complete the catalog, or leave bands out of composites with "
                f"`cropmap export --bands {','.join(kept) or 'B2,...'}` (a map needs the bands of its model)."
            )
        if self.score is None and self.classes is None:
            raise InputError(
                f"Clouds are found by Cloud Score+ (asset `{recipe.cloud.score_band}`) or by scene classes "
                f"(asset `{SCENE_CLASSES}`); scene {self.id} has neither. Add one of the two to its item."
            )


def scene_of(item: pystac.Item, recipe: Recipe) -> Scene:
    """The scene of a STAC item; what it lacks is found by `Scene.require`.

    Raises:
        InputError: The item has no time or no place.
    """
    found = find_bands(item)
    return Scene(
        id=item.id,
        collection=item.collection_id,
        time=_acquired(item),
        footprint=_footprint(item),
        bands={band: found[band] for band in recipe.bands if band in found},
        score=find_layer(item, recipe.cloud.score_band),
        classes=find_layer(item, SCENE_CLASSES),
        simulated=item.properties.get("simulated") is True,
    )


def _acquired(item: pystac.Item) -> datetime:
    time = item.datetime or item.common_metadata.start_datetime
    if time is None:
        raise InputError(f"A scene needs a datetime; item {item.id} has none. Add it to the catalog.")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _footprint(item: pystac.Item) -> BaseGeometry:
    if item.geometry is not None:
        return shapely.make_valid(shapely.geometry.shape(item.geometry))
    if item.bbox is not None:
        west, south, *_ = item.bbox
        east, north = item.bbox[len(item.bbox) // 2 :][:2]
        return shapely.box(west, south, east, north)
    raise InputError(f"A scene needs a geometry or bbox; item {item.id} has neither. Add one to the catalog.")
