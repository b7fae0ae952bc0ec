"""Opens what a user calls a catalog: files that list scenes, or a STAC API."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError
from gee_pipeline.incoming.addresses import AddressError, existing, is_remote, resolved, without_secrets
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import TimeBin
from gee_pipeline.stac.api import ApiCatalog
from gee_pipeline.stac.choice import ALL, LeftOut, SceneChoice
from gee_pipeline.stac.index import Found, SceneIndex, nothing_here, nothing_then, swapped, within
from gee_pipeline.stac.items import scenes_among
from gee_pipeline.stac.listing import is_list, kind_of, link_to, listed_items
from gee_pipeline.stac.scene import Scene, collection_names, titles_of
from gee_pipeline.stac.web import Document, DocumentError, Reader

_WAY_OUT: Final = "Give --source the path of a catalog.json or an item collection, or the URL of a STAC API."

_OPENING: Final = Lock()
"""One thread at a time: a catalog is read once, and pystac loads its extensions on first use without lock."""


class SceneCatalog(Protocol):
    """Finds scenes, however they are kept."""

    def describe(self) -> dict[str, Any]:
        """What identifies the scenes, as JSON values."""

    def survey(self, area: BaseGeometry, span: TimeBin) -> Found:
        """The scenes that touch a polygon in EPSG:4326 within a span, or an InputError if there are none."""

    def known(self, area: BaseGeometry, span: TimeBin) -> list[Scene]:
        """The scenes that touch a polygon within a span, where all are known without a search."""

    def around(self, area: BaseGeometry, span: TimeBin) -> SceneIndex:
        """An index that holds at least the scenes that touch a polygon within a span."""


class StaticCatalog:
    """Items in files, all read when it is opened."""

    def __init__(
        self, href: str, collection: str | None, index: SceneIndex, left_out: tuple[LeftOut, ...] = ()
    ) -> None:
        self._href, self._collection = without_secrets(href), collection
        self._index, self._left_out = index, left_out

    def describe(self) -> dict[str, Any]:
        """What identifies the scenes: their ids and times."""
        return {
            "kind": "stac",
            "href": self._href,
            "collection": self._collection,
            "scenes": len(self._index.scenes),
            "digest": self._index.digest,
        }

    def survey(self, area: BaseGeometry, span: TimeBin) -> Found:
        """All scenes that touch the area within the span."""
        touching = self._index.touching(area)
        if not touching:
            turned = swapped(area)
            among = turned is not None and bool(self._index.touching(turned))
            raise nothing_here(self._href, area, self._index.bounds, if_swapped=among)
        if not (found := within(touching, span)):
            first, last = (touching[place].day(span.hours_ahead) for place in (0, -1))
            raise nothing_then(self._href, span, first, last)
        return Found(found, len(found), self._left_out)

    def known(self, area: BaseGeometry, span: TimeBin) -> list[Scene]:
        """All scenes that touch the area within the span."""
        return within(self._index.touching(area), span)

    def around(self, area: BaseGeometry, span: TimeBin) -> SceneIndex:
        """All scenes."""
        return self._index


def absolute(href: str) -> str:
    """A URL as it is; a path made absolute, so that it means the same in every process."""
    if is_remote(href):
        return href
    path = Path(existing(href))
    try:
        return str(path.expanduser().resolve())
    except (OSError, RuntimeError):  # links in a circle, or a home that nobody has: reading it says so
        return str(path.absolute())


def open_catalog(
    href: str, collection: str | None, recipe: Recipe, choice: SceneChoice = ALL
) -> SceneCatalog:
    """The catalog at an absolute path or URL: read once a process, and again when its file has changed.

    Raises:
        InputError: There is nothing, nothing that is STAC, or no scene.
    """
    modified = 0 if is_remote(href) or not Path(href).exists() else Path(href).stat().st_mtime_ns
    with _OPENING:
        return _open(href, collection, recipe, choice, modified)


@lru_cache(maxsize=8)
def _open(
    href: str, collection: str | None, recipe: Recipe, choice: SceneChoice, _modified: int
) -> SceneCatalog:
    reader, shown = Reader(), without_secrets(href)
    try:
        values = reader.read(href)
    except DocumentError as error:
        raise InputError(f"The catalog {shown} cannot be read: {error}. {_WAY_OUT}") from error
    try:
        if api := _api_of(href, values, reader):
            root, landing, only = api
            return ApiCatalog(root, landing, collection or only, recipe, choice, reader)
        return _static(href, values, collection, recipe, choice, reader)
    except (DocumentError, AddressError) as error:
        raise InputError(f"The catalog {shown} is not readable as STAC: {error}. {_WAY_OUT}") from error


def _api_of(href: str, values: Document, reader: Reader) -> tuple[str, Document, str | None] | None:
    """URL and landing page of the API that a document belongs to, and the collection that it is a page of.

    None where it belongs to none: also a static collection may link to its items.
    """
    if kind_of(values) in ("Feature", "FeatureCollection"):
        return None
    if link_to(values, "search"):
        return href, values, None
    items, root = link_to(values, "items"), link_to(values, "root")
    if items is None or root is None or not is_list(items):
        return None
    place = resolved(root["href"], href)
    if place == href or not is_remote(place):
        return None
    landing = reader.read(place)
    return (place, landing, str(values.get("id"))) if link_to(landing, "search") else None


def _static(
    href: str, values: Document, collection: str | None, recipe: Recipe, choice: SceneChoice, reader: Reader
) -> StaticCatalog:
    found = scenes_among(listed_items(href, values, reader), recipe, choice)
    wanted = collection_names(collection)
    chosen = [scene for scene in found.used if not wanted or scene.collection in wanted]
    if not chosen:
        known = sorted({scene.collection for scene in found.used if scene.collection})
        there = f"; there are {', '.join(known)}" if known and collection else ""
        missed = f" in the collection {collection}" if collection else ""
        raise InputError(
            f"The catalog {without_secrets(href)} holds no scenes{missed}{there} of {titles_of(recipe)}. "
            "Check --source and --collection."
        )
    _require_known(href, choice, found.unwanted)
    return StaticCatalog(href, collection, SceneIndex.of(chosen), found.left_out)


def _require_known(href: str, choice: SceneChoice, found: Iterable[str]) -> None:
    if unknown := sorted(set(choice.left_out) - set(found)):
        raise InputError(
            f"The catalog {without_secrets(href)} has no scene {', '.join(unknown)} that could be left out. "
            "Check --leave-out-scene: it takes the id of an item."
        )
