"""Opens what a user calls a catalog: files that list scenes, or a STAC API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol
from urllib.parse import urlparse
from urllib.request import url2pathname

import pystac
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import TimeBin
from gee_pipeline.stac.index import Found, SceneIndex, nothing_here, nothing_then, within
from gee_pipeline.stac.reading import is_remote
from gee_pipeline.stac.scene import Scene, collection_names, scene_of, titles_of
from gee_pipeline.stac.web import FAILURES, StaticIO, reason

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

    def __init__(self, href: str, collection: str | None, index: SceneIndex) -> None:
        self._href, self._collection, self._index = href, collection, index

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
            raise nothing_here(self._href, area, self._index.bounds)
        if not (found := within(touching, span)):
            raise nothing_then(self._href, span, touching[0].day, touching[-1].day)
        return Found(found, len(found))

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
    path = Path(url2pathname(urlparse(href).path) if href.startswith("file:") else href)
    return str(path.expanduser().resolve())


def open_catalog(href: str, collection: str | None, recipe: Recipe) -> SceneCatalog:
    """The catalog at an absolute path or URL: read once a process, and again when its file has changed.

    Raises:
        InputError: There is nothing, nothing that is STAC, or no scene.
    """
    modified = 0 if is_remote(href) or not Path(href).exists() else Path(href).stat().st_mtime_ns
    with _OPENING:
        return _open(href, collection, recipe, modified)


@lru_cache(maxsize=8)
def _open(href: str, collection: str | None, recipe: Recipe, _modified: int) -> SceneCatalog:
    values = _read(href)
    links = {link.get("rel"): link.get("href") for link in values.get("links") or []}
    if "search" in links:
        return _api(href, collection, recipe)
    if "items" in links and "root" in links:  # a collection's page of an API
        return _api(str(links["root"]), collection or str(values.get("id")), recipe)
    return StaticCatalog(href, collection, _index(href, values, collection, recipe))


def _api(href: str, collection: str | None, recipe: Recipe) -> SceneCatalog:
    # here, for pystac_client takes up to two seconds to import: it builds all that checks JSON
    from gee_pipeline.stac.api import ApiCatalog

    return ApiCatalog(href, collection, recipe)


def _read(href: str) -> dict[str, Any]:
    try:
        values = json.loads(StaticIO().read_text(href))
    except (OSError, UnicodeDecodeError, *FAILURES) as error:
        raise InputError(f"The catalog {href} cannot be read: {reason(error)}. {_WAY_OUT}") from error
    except json.JSONDecodeError as error:
        raise _not_stac(href, f"it is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise _not_stac(href, "it does not hold a JSON object")
    return values


def _index(href: str, values: dict[str, Any], collection: str | None, recipe: Recipe) -> SceneIndex:
    scenes = _scenes(href, values, recipe)
    wanted = collection_names(collection)
    chosen = [scene for scene in scenes if not wanted or scene.collection in wanted]
    if not chosen:
        known = sorted({scene.collection for scene in scenes if scene.collection})
        there = f"; there are {', '.join(known)}" if known and collection else ""
        missed = f" in the collection {collection}" if collection else ""
        raise InputError(
            f"The catalog {href} holds no scenes{missed}{there} of {titles_of(recipe)}. Check --source and "
            "--collection."
        )
    return SceneIndex.of(chosen)


def _scenes(href: str, values: dict[str, Any], recipe: Recipe) -> list[Scene]:
    try:
        found = (scene_of(item, recipe) for item in _items(href, values))
        return [scene for scene in found if scene]
    except (*FAILURES, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        # pystac lets errors of every kind through when JSON has an unexpected shape
        raise _not_stac(href, f"{type(error).__name__}: {reason(error)}") from error


def _items(href: str, values: dict[str, Any]) -> Iterator[pystac.Item]:
    if values.get("type") == "FeatureCollection":
        for item in pystac.ItemCollection.from_dict(values):
            if item.get_self_href() is None:
                item.set_self_href(href)  # relative assets are next to the list
            yield item
        return
    found = StaticIO().stac_object_from_dict(values, href=href)
    if isinstance(found, pystac.Catalog):
        yield from found.get_items(recursive=True)
    elif isinstance(found, pystac.Item):
        yield found


def _not_stac(href: str, problem: str) -> InputError:
    return InputError(f"The catalog {href} is not readable as STAC: {problem}. {_WAY_OUT}")
