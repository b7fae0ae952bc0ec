"""Scenes of a STAC API, searched block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import pystac
import pystac_client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import TimeBin
from gee_pipeline.stac.index import Found, SceneIndex, nothing_here, nothing_then, within
from gee_pipeline.stac.scene import Scene, collection_names, scene_of, titles_of
from gee_pipeline.stac.web import FAILURES, TIMEOUT, patience, reason

API_FAILURES: Final = (APIError, *FAILURES)
"""What asking an API raises."""

LATTICE = 0.25
"""Degrees. A search is widened to this lattice, so that the cells of a block (about 80) share one answer."""

SURVEYED = 500
"""Scenes that are looked at before a run starts; the others are checked when they are read."""

_NAMED = 20
"""Collections that a message names."""

Box = tuple[float, float, float, float]


class ApiCatalog:
    """One or more collections of a STAC API."""

    def __init__(self, href: str, collection: str | None, recipe: Recipe) -> None:
        self._href, self._recipe = href, recipe
        self._client = _connect(href)
        self._collection = collection
        self._collection = collection or self._only_collection()

    def describe(self) -> dict[str, Any]:
        """What identifies the scenes; an archive grows, so they are not counted."""
        return {"kind": "stac", "href": self._href, "collection": self._collection}

    def survey(self, area: BaseGeometry, span: TimeBin) -> Found:
        """The first scenes that touch the area within the span, and how many there are."""
        try:
            search = self._search(_box(area), span)
            index = self._index(islice(search.items(), SURVEYED))
            found = within(index.touching(area), span)
            if not found:
                raise self._nothing(area, span)
            return Found(found, max(search.matched() or 0, len(found)))
        except API_FAILURES as error:
            raise InputError(
                f"The STAC API {self._href} does not answer: {reason(error)}. Try again later."
            ) from error

    def known(self, area: BaseGeometry, span: TimeBin) -> list[Scene]:
        """None: an archive grows, and only a search tells what it holds."""
        return []

    def around(self, area: BaseGeometry, span: TimeBin) -> SceneIndex:
        """All scenes of the lattice blocks around the area, from one search for many cells."""
        return self._block(_widened(_box(area)), span)

    @lru_cache(maxsize=64)  # noqa: B019 - a process keeps at most eight catalogs
    def _block(self, box: Box, span: TimeBin) -> SceneIndex:
        try:
            return self._index(self._search(box, span).items())
        except API_FAILURES as error:
            raise SceneReadError(
                f"The STAC API {self._href} did not answer a search at {box}: {reason(error)}. Run the same "
                "command again later; finished cells are kept."
            ) from error

    def _index(self, items: Iterable[pystac.Item]) -> SceneIndex:
        scenes = (scene_of(item, self._recipe) for item in items)
        return SceneIndex.of(scene for scene in scenes if scene)

    def _search(self, box: Box, span: TimeBin | None) -> pystac_client.ItemSearch:
        last = span.end - timedelta(days=1) if span else None
        when = f"{span.start}T00:00:00Z/{last}T23:59:59Z" if span else None
        names = collection_names(self._collection)
        return self._client.search(collections=names, bbox=box, datetime=when, limit=100)

    def _nothing(self, area: BaseGeometry, span: TimeBin) -> InputError:
        known = [found.id for found in self._client.get_collections()]
        names = collection_names(self._collection)
        if not set(names) <= set(known):
            return self._which_collection(known)
        extent = self._client.get_collection(names[0]).extent  # type: ignore[union-attr]
        if next(self._search(_box(area), None).items(), None) is None:
            return nothing_here(self._href, area, tuple(extent.spatial.bboxes[0][:4]))
        first, last = extent.temporal.intervals[0]
        return nothing_then(self._href, span, *(t.date() if t else date.today() for t in (first, last)))

    def _only_collection(self) -> str:
        known = [found.id for found in self._client.get_collections()]
        if len(known) == 1:
            return known[0]
        raise self._which_collection(known)

    def _which_collection(self, known: list[str]) -> InputError:
        chosen = f", none of which is {self._collection}" if self._collection else ""
        return InputError(
            f"The STAC API {self._href} has {len(known)} collections{chosen}: {_short_list(known)}. "
            f"Name the one with {titles_of(self._recipe)} by --collection, several with commas."
        )


def _short_list(names: list[str]) -> str:
    return ", ".join(sorted(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _connect(href: str) -> pystac_client.Client:
    try:
        return pystac_client.Client.open(href, stac_io=StacApiIO(timeout=TIMEOUT, max_retries=patience()))
    except API_FAILURES as error:
        raise InputError(f"The STAC API {href} cannot be opened: {reason(error)}. Check --source.") from error


def _box(area: BaseGeometry) -> Box:
    west, south, east, north = area.bounds
    return west, south, east, north


def _widened(box: Box) -> Box:
    west, south, east, north = box
    low = (math.floor(v / LATTICE) * LATTICE for v in (west, south))
    high = (math.ceil(v / LATTICE) * LATTICE for v in (east, north))
    return (*low, *high)  # type: ignore[return-value]
