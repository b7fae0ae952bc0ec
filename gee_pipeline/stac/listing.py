"""The items that a catalog lists, in the document itself or behind its links; each document is read once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gee_pipeline.incoming.addresses import is_remote, resolved, without_secrets
from gee_pipeline.incoming.item_table import ItemTable, TableError
from gee_pipeline.stac.web import LISTING_PATIENCE, Document, DocumentError, Patience, Reader

MOST_DOCUMENTS: Final = 1_000_000
"""Documents of one catalog."""

_STILL_READING: Final = 30.0
"""Seconds between two lines that say how far a long listing is."""

_JSON_TYPES: Final = (None, "", "application/json", "application/geo+json")
"""Types of a link behind which there is a list of items."""

_log = logging.getLogger("cropmap.stac")


@dataclass(frozen=True)
class Listed:
    """An item as it is listed."""

    values: Document
    """JSON values of the item."""
    document: str
    """Path or URL of the document that holds them."""
    base: str
    """Path or URL from which its relative links begin: the document, or where the item says that it is."""


class PartialListError(DocumentError):
    """A list of items is the first page of an answer, not the whole."""


def listed_items(href: str, values: Document, reader: Reader) -> Iterator[Listed]:
    """All items of a catalog, collection, item collection or item.

    Links in a circle, and documents that are linked twice, are followed once.

    Args:
        href: Path or URL of the document.
        values: What it holds.
        reader: Reads the documents that it links to.

    Raises:
        DocumentError: A document cannot be read, is no STAC, or is the first page only.
        AddressError: A link of a document from the network leads elsewhere.
    """
    patience, pace = Patience(LISTING_PATIENCE), _Pace(href)
    seen, waiting = {_place(href)}, [href]
    while waiting:
        at = waiting.pop()
        document = values if at == href else _linked(at, reader, patience)
        yield from own_items(at, document)
        targets = (resolved(link["href"], at) for link in _followed(at, document))
        fresh = {place: target for target in targets if (place := _place(target)) not in seen}
        seen.update(fresh)
        waiting += reversed(fresh.values())
        pace.note(len(seen) - len(waiting))
        if len(seen) > MOST_DOCUMENTS:
            raise DocumentError(f"it links to more than {MOST_DOCUMENTS:,} documents")


def own_items(href: str, values: Document) -> Iterator[Listed]:
    """The items in a document: of an item collection those that it holds, an item itself, of others none.

    Raises:
        DocumentError: It is no STAC, or the first page of an answer.
    """
    kind = kind_of(values)
    if kind == "FeatureCollection":
        try:
            yield from (Listed(feature, href, _place_of(feature, href)) for feature in _features(values))
        except TableError as error:
            raise DocumentError(str(error)) from error
    elif kind == "Feature":
        yield Listed(values, href, href)


def kind_of(values: Document) -> str:
    """What a STAC document is; versions before 1.0 say it by what they hold.

    Raises:
        DocumentError: It is no STAC.
    """
    kind = values.get("type")
    if kind in ("Catalog", "Collection", "Feature", "FeatureCollection"):
        return str(kind)
    if "features" in values:
        return "FeatureCollection"
    if "stac_version" in values and "links" in values:
        return "Feature" if "assets" in values and "geometry" in values else "Catalog"
    raise DocumentError("it is not a catalog, collection, item or item collection")


def links_of(values: Document) -> list[Document]:
    """The links of a document.

    Raises:
        DocumentError: They are no list of links.
    """
    links = _list_of(values, "links")
    if any(not isinstance(link.get("href"), str) for link in links):
        raise DocumentError("a link has no href")
    return links


def link_to(values: Document, rel: str) -> Document | None:
    """The first link of a document with a relation."""
    return next((link for link in links_of(values) if link.get("rel") == rel), None)


def matched_in(values: Document) -> int | None:
    """How many items an answer says that there are altogether; None where it does not say."""
    context = values.get("context")
    numbers = (values.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None)
    return next((n for n in numbers if isinstance(n, int) and not isinstance(n, bool)), None)


def _linked(href: str, reader: Reader, patience: Patience) -> Document:
    try:
        patience.require()
        return reader.read(href, patience)
    except DocumentError as error:
        raise DocumentError(f"{without_secrets(href)}, which it links to, cannot be read: {error}") from error


def _followed(href: str, values: Document) -> list[Document]:
    """The links that lead to items; to a list of items where there are neither items nor children."""
    if kind_of(values) in ("Feature", "FeatureCollection"):
        return []
    links = links_of(values)
    found = [link for link in links if link.get("rel") in ("item", "child")]
    return found or [link for link in links if link.get("rel") == "items" and is_list(link)]


def is_list(link: Document) -> bool:
    """Whether a link leads to a JSON list of items, as its type says; tables are read from files only."""
    kind = link.get("type")
    return kind is None or (isinstance(kind, str) and kind.partition(";")[0].strip() in _JSON_TYPES)


def _features(values: Document) -> Iterable[Document]:
    found = values.get("features")
    if isinstance(found, ItemTable):
        return found
    features = _list_of(values, "features")
    _require_whole(values, len(features))
    if features and not any("assets" in feature or "stac_version" in feature for feature in features):
        raise DocumentError("its features are not STAC items")
    return features


def _require_whole(values: Document, count: int) -> None:
    matched, more = matched_in(values), link_to(values, "next")
    if more is None and (matched is None or matched <= count):
        return
    there = f"{count:,} of {matched:,} items" if matched else f"{count:,} items and a link to the next page"
    raise PartialListError(
        f"it holds {there}: it is one page of a search. Save all pages as one item collection without `next` "
        "link, or give --source the URL of the STAC API and --collection"
    )


def _list_of(values: Document, key: str) -> list[Any]:
    found = values.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DocumentError(f"its `{key}` is not a list of JSON objects")
    return found


def _place_of(item: Document, document: str) -> str:
    """Where an item in a list says that it is, by an absolute address; else where the list is."""
    said = [link.get("href") for link in links_of(item) if link.get("rel") == "self"]
    absolute = (
        href for href in said if isinstance(href, str) and (is_remote(href) or Path(href).is_absolute())
    )
    return next(absolute, document)


def _place(href: str) -> str:
    """What a path or URL names, whatever stands behind `#`."""
    return href.partition("#")[0] if is_remote(href) else href


class _Pace:
    """Says now and then how far a long listing is."""

    def __init__(self, href: str) -> None:
        self._href, self._said = without_secrets(href), time.monotonic()

    def note(self, done: int) -> None:
        if time.monotonic() - self._said >= _STILL_READING:
            self._said = time.monotonic()
            _log.warning("Still reading the catalog %s: %s documents so far.", self._href, f"{done:,}")
