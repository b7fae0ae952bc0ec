"""A scene: one acquisition of one tile, reduced to what a composite needs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache

from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError
from gee_pipeline.incoming.geometry import GeometryError, box_of, footprint_of
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import counted_day
from gee_pipeline.sensors import SENSORS, Sensor
from gee_pipeline.stac.acquisition import Processing, processing_of, tile_of
from gee_pipeline.stac.assets import BandAsset, ItemAssets, band_names, find_bands, find_layer
from gee_pipeline.stac.encoding import require_meaning
from gee_pipeline.stac.item import Item


@dataclass(frozen=True, slots=True)
class Scene:
    """One STAC item as an observation of one sensor, with its assets resolved."""

    id: str
    """Item id."""
    collection: str | None
    """Id of its collection."""
    time: datetime
    """Acquisition, UTC."""
    footprint: BaseGeometry
    """Outline in EPSG:4326."""
    group: SensorGroup
    """The bands of a recipe that it is an observation of."""
    bands: Mapping[str, BandAsset]
    """Those that the item has."""
    score: BandAsset | None
    """Cloud Score+; None also where clouds do not matter."""
    classes: BandAsset | None
    """Scene classes, used where there is no score; or the flags of a sensor that has them."""
    simulated: bool
    """Whether the item says so of itself."""
    tile: str
    """Tile of its sensor's grid, or what stands for it."""
    processing: Processing
    """How new the processing of the acquisition is."""

    def day(self, hours_ahead: int = 0) -> date:
        """The day that it counts for.

        Where catalogs know the day only, the time is midnight UTC; that, and the time of a yearly image, is a
        date.

        Args:
            hours_ahead: Hours by which the clock that days are counted by is ahead of UTC.
        """
        dated = self.group.sensor.yearly or self.time.time() == time()
        return self.time.date() if dated else counted_day(self.time, hours_ahead)

    @property
    def mask(self) -> BandAsset | None:
        """The asset that says which pixels are clear; None where clouds do not matter."""
        return self.score or self.classes

    @property
    def without_score(self) -> bool:
        """Whether its clear pixels are found by scene classes."""
        return self.group.clear is not None and self.score is None

    @property
    def name(self) -> str:
        """What it is called among the scenes of a recipe."""
        return f"{self.id} {self.time.isoformat()} {self.group.name}"

    @property
    def fingerprint(self) -> str | None:
        """Sixteen hex digits of all that decides its pixels: every asset that is read; None where one of its
        files is gone."""
        assets = [*self.bands.items(), ("score", self.score), ("classes", self.classes)]
        try:
            lines = [f"{name} {asset.identity}" for name, asset in assets if asset]
        except OSError:
            return None
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def require(self) -> None:
        """Refuse a scene that lacks what its group needs.

        Raises:
            InputError: Naming the bands, the cloud assets one of which is needed, or numbers without meaning.
        """
        wanted, rule = self.group.bands, self.group.clear
        if missing := [band for band in wanted if band not in self.bands]:
            kept = [band for band in wanted if band in self.bands]
            raise InputError(
                f"Every scene must have the bands {', '.join(wanted)}; scene {self.id} has no "
                f"{', '.join(missing)}. Complete the catalog, or leave bands out of composites with "
                f"`cropmap export --bands {','.join(kept) or 'B2,...'}` (a map needs the bands of its model)."
            )
        clouds, flag = self.group.sensor.clouds, self.group.sensor.flag
        if flag and self.mask is None:
            raise InputError(
                f"Clouds are found by the asset `{flag.band}`; scene {self.id} has none. Add it to its item."
            )
        if rule and clouds and self.mask is None:
            raise InputError(
                f"Clouds are found by Cloud Score+ (asset `{rule.score_band}`) or by scene classes "
                f"(asset `{clouds.classes_band}`); scene {self.id} has neither. Add one of the two "
                "to its item."
            )
        for asset in self.bands.values():
            require_meaning(asset, self.group.sensor)


def scene_of(item: Item, recipe: Recipe) -> Scene | None:
    """The scene of a STAC item; what it lacks is found by `Scene.require`.

    None where it is of another sensor than those of the recipe, or of a mode or part of the bands that the
    sensor leaves out.

    Raises:
        InputError: The item has no time or no place.
    """
    assets = ItemAssets.of(item)
    group = _group_of(item, assets, recipe)
    if group is None:
        return None
    found = find_bands(assets, group.sensor)
    if group.sensor.bands_listed_in and not set(group.bands) <= set(found):
        return None
    clear, classes, footprint = group.clear, group.sensor.classes_band, _footprint(item)
    return Scene(
        id=item.id,
        collection=item.collection_id,
        time=_acquired(item),
        footprint=footprint,
        group=group,
        bands={band: found[band] for band in group.bands if band in found},
        score=find_layer(assets, clear.score_band) if clear else None,
        classes=find_layer(assets, classes) if classes else None,
        simulated=item.properties.get("simulated") is True,
        tile=tile_of(item, footprint),
        processing=processing_of(item),
    )


def collection_names(collection: str | None) -> list[str]:
    """The collections that a user names, separated by commas."""
    return [name.strip() for name in collection.split(",")] if collection else []


def titles_of(recipe: Recipe) -> str:
    """What people call the sensors of a recipe."""
    return " and ".join(group.sensor.title for group in recipe.sensors)


def _group_of(item: Item, assets: ItemAssets, recipe: Recipe) -> SensorGroup | None:
    """Which group of a recipe an item observes: by what it says of its platform, else by its bands."""
    platform = (item.properties.get("constellation"), item.properties.get("platform"))
    if said := _sensors_said(*platform):
        found = next((group for group in recipe.sensors if group.name in said), None)
    else:
        found = _group_by_bands(item, assets, recipe.sensors)
    return found if found and _has_properties(item, found.sensor) else None


def _group_by_bands(item: Item, assets: ItemAssets, groups: Sequence[SensorGroup]) -> SensorGroup | None:
    """The group of which an item has most bands; among equals its collection decides.

    An item without any belongs to the only group, so that it is refused by name, unless it is another
    sensor's.
    """
    counts = {group: len(band_names(assets, group.sensor) & set(group.bands)) for group in groups}
    best = [group for group in groups if counts[group] == max(counts.values())]
    if any(counts.values()):
        said = _sensors_said(item.collection_id)
        return next((group for group in best if group.name in said), best[0])
    return groups[0] if len(groups) == 1 and not _of_another(item, assets, groups[0]) else None


def _of_another(item: Item, assets: ItemAssets, group: SensorGroup) -> bool:
    others = [sensor for sensor in SENSORS.values() if sensor.name != group.name]
    said = _sensors_said(item.collection_id)
    return any(sensor.name in said or band_names(assets, sensor) for sensor in others)


def _sensors_said(*texts: str | None) -> list[str]:
    """The sensors that any of some texts names."""
    return [name for text in texts if text for name in _sensors_called(str(text))]


@lru_cache(maxsize=64)
def _sensors_called(text: str) -> list[str]:
    return [
        sensor.name
        for sensor in SENSORS.values()
        if sensor.platforms and re.fullmatch(sensor.platforms, text, re.IGNORECASE)
    ]


def _has_properties(item: Item, sensor: Sensor) -> bool:
    return all(item.properties.get(key, value) == value for key, value in sensor.item_properties)


def _acquired(item: Item) -> datetime:
    time = item.acquired
    if time is None:
        raise InputError(f"A scene needs a datetime; item {item.id} has none. Add it to the catalog.")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _footprint(item: Item) -> BaseGeometry:
    """The place of an item on the globe; in two parts where it crosses the antimeridian."""
    try:
        if item.geometry is not None:
            return footprint_of(item.geometry)
        if item.bbox is not None:
            return box_of(item.bbox)
    except GeometryError as error:
        raise InputError(
            f"A scene needs a footprint; that of item {item.id} cannot be used: {error}. Correct it in the "
            "catalog."
        ) from error
    raise InputError(f"A scene needs a geometry or bbox; item {item.id} has neither. Add one to the catalog.")
