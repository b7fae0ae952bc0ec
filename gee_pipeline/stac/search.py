"""Questions to a STAC API, whose answers come page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from gee_pipeline.incoming.addresses import AddressError, is_remote, resolved
from gee_pipeline.season import TimeBin
from gee_pipeline.stac.listing import Listed, link_to, links_of, matched_in
from gee_pipeline.stac.web import LISTING_PATIENCE, Document, DocumentError, Patience, Reader, Request

MOST_PAGES: Final = 10_000
"""Pages of one answer."""

_WITHOUT_NEW: Final = 20
"""Pages one after another that bring no item that was not there before."""

_PAGE: Final = 100
"""Items of a page."""

_SECOND: Final = timedelta(seconds=1)

_RFC_3339: Final = "%Y-%m-%dT%H:%M:%SZ"

Box = tuple[float, float, float, float]
"""West, south, east, north, degrees."""


class Search:
    """Searches for the items of collections, through the search link of an API's landing page."""

    def __init__(self, href: str, landing: Document, reader: Reader) -> None:
        self._href, self._reader = href, reader
        links = [link for link in links_of(landing) if link.get("rel") == "search"]
        self._post = next((link for link in links if str(link.get("method")).upper() == "POST"), None)
        self._link = self._post or links[0]

    def matched(self, names: list[str], box: Box, span: TimeBin | None) -> int | None:
        """How many items there are, as the first page says; None where it does not."""
        return matched_in(self._reader.ask(self._request(names, box, span)))

    def items(self, names: list[str], box: Box, span: TimeBin | None) -> Iterator[Listed]:
        """The items of collections that touch a box within a span, page by page.

        Raises:
            DocumentError: The API does not answer, not with items, or does not come to an end.
            AddressError: A link to a next page leads elsewhere.
        """
        seen: set[str] = set()
        barren = 0
        for href, page in pages(self._reader, self._request(names, box, span)):
            features = _features(page)
            names_here = {f"{item.get('collection')} {item.get('id')}" for item in features}
            barren = 0 if names_here - seen else barren + 1
            if barren > _WITHOUT_NEW:
                raise DocumentError(
                    f"its last {barren} pages bring nothing new, and there is always a next one"
                )
            seen |= names_here
            yield from (Listed(feature, href, _base(feature, href)) for feature in features)

    def _request(self, names: list[str], box: Box, span: TimeBin | None) -> Request:
        href = resolved(self._link["href"], self._href)
        when = {"datetime": _interval(span)} if span else {}
        if self._post:
            return Request(href, {"collections": names, "bbox": list(box), "limit": _PAGE, **when})
        asked = {"collections": ",".join(names), "bbox": ",".join(map(str, box)), "limit": str(_PAGE), **when}
        return Request(href, parameters=tuple(asked.items()))


def _interval(span: TimeBin) -> str:
    """The instants of a span's days, by its own clock and by UTC: some items have a date and no time."""
    begins, ends = zip(span.instants, span.by_utc.instants, strict=True)
    last = max(ends) - _SECOND
    return f"{min(begins):{_RFC_3339}}/{last:{_RFC_3339}}"


def pages(reader: Reader, request: Request) -> Iterator[tuple[str, Document]]:
    """The pages of an answer, each with its URL, until there is no next one.

    Raises:
        DocumentError: A page cannot be read, or the pages do not come to an end.
        AddressError: A link to a next page leads elsewhere.
    """
    patience, asked = Patience(LISTING_PATIENCE), set[str]()
    following: Request | None = request
    while following is not None:
        key = json.dumps([following.href, following.body, following.parameters], sort_keys=True)
        if key in asked:
            raise DocumentError("its pages lead in a circle: one names a page before it as the next")
        if len(asked) >= MOST_PAGES:
            raise DocumentError(f"its answer has more than {MOST_PAGES:,} pages")
        patience.require()
        asked.add(key)
        page = reader.ask(following, patience)
        yield following.href, page
        following = _next(following, page)


def _next(request: Request, page: Document) -> Request | None:
    """What asks for the page after one."""
    link = link_to(page, "next")
    if link is None:
        return None
    href, headers = resolved(link["href"], request.href), _headers(link)
    if not href.startswith(("http:", "https:")):
        raise AddressError(f"its next page is not on the web: {href}")
    if str(link.get("method", "GET")).upper() != "POST":
        return Request(href, headers=headers)
    body = link.get("body")
    own: Document = body if isinstance(body, dict) else {}
    return Request(href, {**(request.body or {}), **own} if link.get("merge") is True else own, headers)


def _headers(link: Document) -> tuple[tuple[str, str], ...]:
    found = link.get("headers")
    pairs = found.items() if isinstance(found, dict) else ()
    return tuple((str(key), ", ".join(map(str, v)) if isinstance(v, list) else str(v)) for key, v in pairs)


def _features(page: Document) -> list[Any]:
    features = page.get("features")
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise DocumentError("its answer to a search is not a list of items")
    return features


def _base(feature: Document, page: str) -> str:
    """Where the relative links of an item begin: at its own address."""
    link = link_to(feature, "self")
    found = resolved(link["href"], page) if link else page
    return found if is_remote(found) else page
