"""The scenes of a catalog, found by place and day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby

import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError
from gee_pipeline.incoming.addresses import without_secrets
from gee_pipeline.season import TimeBin
from gee_pipeline.stac.acquisition import newest_last
from gee_pipeline.stac.choice import LeftOut
from gee_pipeline.stac.scene import Scene


@dataclass(frozen=True)
class Found:
    """What a catalog has for an area and a span."""

    scenes: list[Scene]
    """Scenes to look at before work starts: all of a static catalog, some of an API."""
    matched: int
    """How many there are altogether."""
    left_out: tuple[LeftOut, ...] = ()
    """Items that cannot be used."""


@dataclass(frozen=True)
class SceneIndex:
    """Scenes in the order in which they are laid on one another: by time, then id.

    Of several processings of one acquisition the newest lies on top.
    """

    scenes: Sequence[Scene]
    """All scenes, each once."""
    tree: shapely.STRtree = field(repr=False, compare=False)
    """Their footprints."""

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> SceneIndex:
        """The index of scenes in any order; of one that is listed twice, with the same files, one stays."""
        ordered = newest_last(
            list(_distinct(scenes)),
            take=lambda scene: (scene.group.name, scene.tile),
            time=lambda scene: scene.time,
            processing=lambda scene: scene.processing,
        )
        return cls(tuple(ordered), shapely.STRtree([scene.footprint for scene in ordered]))

    def touching(self, area: BaseGeometry) -> list[Scene]:
        """The scenes whose footprint touches a polygon in EPSG:4326, in order."""
        return [self.scenes[i] for i in sorted(self.tree.query(area, predicate="intersects"))]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of all scenes, degrees."""
        west, south, east, north = shapely.total_bounds([scene.footprint for scene in self.scenes]).tolist()
        return west, south, east, north

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change when a scene is added, removed or replaced by another."""
        lines = "\n".join(f"{scene.id} {scene.time.isoformat()}" for scene in self.scenes)
        return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _distinct(scenes: Iterable[Scene]) -> Iterator[Scene]:
    """Scenes by time and id, one that is listed twice once; two tiles whose ids are the day are two."""
    for _, called_so in groupby(sorted(scenes, key=_name), key=_name):
        alike = list(called_so)
        if len(alike) > 1:
            by_files = {_files(scene): scene for scene in alike}
            alike = [by_files[files] for files in sorted(by_files)]
        yield from alike


def _name(scene: Scene) -> tuple[datetime, str, str, str]:
    return scene.time, scene.id, scene.group.name, scene.collection or ""


def _files(scene: Scene) -> tuple[str, ...]:
    assets = (*scene.bands.values(), scene.score, scene.classes)
    return tuple(sorted(without_secrets(f"{asset.href} {asset.index}") for asset in assets if asset))


def within(scenes: Iterable[Scene], span: TimeBin) -> list[Scene]:
    """The scenes acquired on a day of a span."""
    return [scene for scene in scenes if span.start <= scene.day(span.hours_ahead) < span.end]


def swapped(area: BaseGeometry) -> BaseGeometry | None:
    """The area whose longitudes are the latitudes of this one, and the reverse; None where that is no place.

    Args:
        area: Polygon in EPSG:4326.
    """
    west, _, east, _ = area.bounds
    if not -90 <= west <= east <= 90:
        return None
    return shapely.transform(area, lambda lonlat: lonlat[:, ::-1])


def nothing_here(
    href: str, area: BaseGeometry, covered: tuple[float, float, float, float], *, if_swapped: bool
) -> InputError:
    """The error of an area that no scene touches.

    Args:
        href: The catalog.
        area: Polygon in EPSG:4326.
        covered: West, south, east, north of the catalog, degrees.
        if_swapped: Whether scenes touch the area once its longitudes and latitudes are swapped.
    """
    why = (
        "With longitude and latitude swapped, scenes would touch it: write the longitude first in --aoi."
        if if_swapped
        else "Check --aoi (also its CRS) and --source."
    )
    return InputError(
        f"No scene of the catalog {href} touches the area: the catalog covers {_degrees(covered)}, the area "
        f"lies in {_degrees(area.bounds)}. {why}"
    )


def nothing_then(href: str, span: TimeBin, first: date, last: date) -> InputError:
    """The error of a season without scenes, with the days for which there are some."""
    return InputError(
        f"No scene of the catalog {href} over the area was acquired from {span.start} to "
        f"{span.last}; its scenes there are from {first} to {last}. "
        "Choose another --year or --source."
    )


def _degrees(bounds: tuple[float, ...]) -> str:
    west, south, east, north = bounds
    return f"longitude {west:.4f} to {east:.4f} and latitude {south:.4f} to {north:.4f}"
