"""Scenes of a STAC API, searched block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final

from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.incoming.addresses import AddressError, resolved, without_secrets
from gee_pipeline.incoming.geometry import GeometryError, box_of, boxes_around
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import TimeBin
from gee_pipeline.stac.choice import LeftOut, SceneChoice
from gee_pipeline.stac.index import Found, SceneIndex, nothing_here, nothing_then, swapped, within
from gee_pipeline.stac.items import scenes_among
from gee_pipeline.stac.listing import link_to
from gee_pipeline.stac.scene import Scene, collection_names, titles_of
from gee_pipeline.stac.search import Box, Search, pages
from gee_pipeline.stac.web import Document, DocumentError, Reader, Request

LATTICE = 0.25
"""Degrees. A search is widened to this lattice, so that the cells of a block (about 80) share one answer."""

SURVEYED = 2_000
"""Items that are looked at before a run starts; the scenes of the others are checked when they are read."""

_NAMED = 20
"""Collections that a message names."""

_FAILURES: Final = (DocumentError, AddressError)
"""What asking an API raises."""

_EVERYWHERE: Final = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class _First:
    """What the first items of a search are."""

    index: SceneIndex
    """Those that are scenes, and used."""
    left_out: tuple[LeftOut, ...]
    """Items that cannot be used."""
    all: bool
    """Whether there are no more."""


class ApiCatalog:
    """One or more collections of a STAC API."""

    def __init__(
        self,
        href: str,
        landing: Document,
        collection: str | None,
        recipe: Recipe,
        choice: SceneChoice,
        reader: Reader,
    ) -> None:
        self._href, self._landing, self._shown = href, landing, without_secrets(href)
        self._recipe, self._choice, self._reader = recipe, choice, reader
        self._search = Search(href, landing, reader)
        self._collection = collection
        self._collection = collection or self._only_collection()

    def describe(self) -> dict[str, Any]:
        """What identifies the scenes; an archive grows, so they are not counted."""
        return {"kind": "stac", "href": self._shown, "collection": self._collection}

    def survey(self, area: BaseGeometry, span: TimeBin) -> Found:
        """The first scenes that touch the area within the span, and how many there are."""
        names, boxes = collection_names(self._collection), boxes_around(area)
        try:
            first = self._first(tuple(boxes), span)
            found = within(first.index.touching(area), span)
            if not found:
                raise self._nothing(boxes, area, span)
            if first.all:
                return Found(found, len(found), first.left_out)
            matched = sum(self._search.matched(names, box, span) or 0 for box in boxes)
            return Found(found, max(matched, len(found)), first.left_out)
        except _FAILURES as error:
            raise InputError(
                f"The STAC API {self._shown} does not answer a search: {error}. Check --source, or try again "
                "later."
            ) from error

    def known(self, area: BaseGeometry, span: TimeBin) -> list[Scene]:
        """The scenes of the survey, where these are all."""
        try:
            first = self._first(tuple(boxes_around(area)), span)
        except _FAILURES:
            return []  # the survey, which comes next, says why
        return within(first.index.touching(area), span) if first.all else []

    def around(self, area: BaseGeometry, span: TimeBin) -> SceneIndex:
        """All scenes of the lattice blocks around the area, from one search for many cells."""
        blocks = [self._block(_widened(box), span) for box in boxes_around(area)]
        return blocks[0] if len(blocks) == 1 else SceneIndex.of(s for block in blocks for s in block.scenes)

    @lru_cache(maxsize=4)  # noqa: B019 - a process keeps at most eight catalogs
    def _first(self, boxes: tuple[Box, ...], span: TimeBin) -> _First:
        """The scenes among the first items of a search.

        Raises:
            DocumentError: The API does not answer, not with items, or does not come to an end.
            AddressError: A link to a next page leads elsewhere.
        """
        names = collection_names(self._collection)
        items = chain.from_iterable(self._search.items(names, box, span) for box in boxes)
        scenes = scenes_among(islice(items, SURVEYED), self._recipe, self._choice)
        return _First(SceneIndex.of(scenes.used), scenes.left_out, next(items, None) is None)

    @lru_cache(maxsize=64)  # noqa: B019 - a process keeps at most eight catalogs
    def _block(self, box: Box, span: TimeBin) -> SceneIndex:
        try:
            items = self._search.items(collection_names(self._collection), box, span)
            return SceneIndex.of(scenes_among(items, self._recipe, self._choice).used)
        except _FAILURES as error:
            raise SceneReadError(
                f"The STAC API {self._shown} did not answer a search at {box}: {error}. Run the same command "
                "again later; finished cells are kept."
            ) from error

    def _nothing(self, boxes: list[Box], area: BaseGeometry, span: TimeBin) -> InputError:
        """Why there is no scene: an unknown collection, another place, or another time."""
        known = {str(found.get("id")): found for found in self._collections()}
        names = collection_names(self._collection)
        if not set(names) <= set(known):
            return self._which_collection(list(known))
        extent = known[names[0]].get("extent")
        if not self._has_any(names, boxes):
            turned = swapped(area)
            among = turned is not None and self._has_any(names, boxes_around(turned))
            return nothing_here(self._shown, area, _covered(extent), if_swapped=among)
        return nothing_then(self._shown, span, *_days(extent))

    def _has_any(self, names: list[str], boxes: list[Box]) -> bool:
        found = chain.from_iterable(self._search.items(names, box, None) for box in boxes)
        return next(found, None) is not None

    def _collections(self) -> list[Document]:
        link = link_to(self._landing, "data")
        href = resolved(link["href"], self._href) if link else self._href.rstrip("/") + "/collections"
        answers = (page.get("collections") for _, page in pages(self._reader, Request(href)))
        return [one for found in answers if isinstance(found, list) for one in found if isinstance(one, dict)]

    def _only_collection(self) -> str:
        known = [str(found.get("id")) for found in self._collections()]
        if len(known) == 1:
            return known[0]
        raise self._which_collection(known)

    def _which_collection(self, known: list[str]) -> InputError:
        chosen = f", none of which is {self._collection}" if self._collection else ""
        return InputError(
            f"The STAC API {self._shown} has {len(known)} collections{chosen}: {_short_list(known)}. "
            f"Name the one with {titles_of(self._recipe)} by --collection, several with commas."
        )


def _short_list(names: list[str]) -> str:
    return ", ".join(sorted(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _covered(extent: Any) -> Box:
    """What a collection says that it covers; the globe where it does not say."""
    try:
        west, south, east, north = box_of(extent["spatial"]["bbox"][0]).bounds
    except (GeometryError, LookupError, TypeError):
        return _EVERYWHERE
    return west, south, east, north


def _days(extent: Any) -> tuple[date, date]:
    """First and last day of a collection, as it says; today where it does not."""
    try:
        first, last = extent["temporal"]["interval"][0]
        return _day(first), _day(last)
    except (LookupError, TypeError, ValueError):
        return date.today(), date.today()


def _day(text: str | None) -> date:
    return datetime.fromisoformat(text).date() if text else date.today()


def _widened(box: Box) -> Box:
    """The box on the lattice, within the globe."""
    west, south, east, north = box
    low = (math.floor(v / LATTICE) * LATTICE for v in (west, south))
    high = (math.ceil(v / LATTICE) * LATTICE for v in (east, north))
    return (*low, *high)  # type: ignore[return-value]
