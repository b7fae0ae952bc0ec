"""A STAC item as it is read: its JSON values, and where its assets lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import pystac
from pystac.utils import is_absolute_href, make_absolute_href, make_posix_style, str_to_datetime

from gee_pipeline.incoming.addresses import is_remote

_IN_FOLDER: Final = re.compile(r"((?:[^?#;\\]*/)?)([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)")
"""A link to a file whose name means itself, whatever its folder is."""

_FOLDERS: Final = 1_024
"""Folders of assets that are remembered: an item has a few, and asks for them once an asset."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is read of a STAC item."""

    id: str
    """Its id."""
    collection_id: str | None
    """Id of its collection."""
    geometry: Any
    """GeoJSON values of its outline; None where it has none."""
    bbox: Any
    """GeoJSON values of its bounds; None where it has none."""
    properties: Mapping[str, Any]
    """JSON values."""
    assets: Mapping[str, Mapping[str, Any]]
    """JSON values of each asset, by its key."""
    base: str
    """Path or URL from which relative links begin."""

    @property
    def acquired(self) -> datetime | None:
        """When it was acquired, or when that began; None where it does not say.

        Raises:
            ValueError: What it says is not a time.
        """
        said = self.properties.get("datetime") or self.properties.get("start_datetime")
        return _moment(said) if said else None

    def href_of(self, key: str) -> str:
        """The absolute path or URL of an asset.

        Raises:
            LookupError: The asset has no link.
        """
        href = self.assets[key]["href"]
        if plain := _IN_FOLDER.fullmatch(href):
            return _folder(plain[1], self.base) + plain[2]
        return _absolute(href, self.base)


def item_of(values: Mapping[str, Any], base: str) -> Item:
    """The item that JSON values describe; those of versions before 1.0 are migrated by pystac.

    pystac checks an item whole and finds its extensions, which takes longer than reading it; a catalog
    has tens of thousands, of which this much is needed.

    Args:
        values: JSON values of an item.
        base: Absolute path or URL from which its relative links begin.

    Raises:
        ValueError: It has no id, or its collection is not a text.
        pystac.STACError: It is of an earlier version, and pystac cannot read it.
    """
    if not str(values.get("stac_version")).startswith("1."):
        old = pystac.Item.from_dict(dict(values), href=base, migrate=True)
        values = old.to_dict(include_self_link=False, transform_hrefs=False)
    name, collection = values.get("id"), values.get("collection")
    if values.get("type") != "Feature":
        raise ValueError("its type is not Feature")
    if not isinstance(name, str) or not name:
        raise ValueError("its id is no text")
    if not isinstance(collection, str | None):
        raise ValueError("its collection is no text")
    return Item(
        name,
        collection,
        values.get("geometry"),
        values.get("bbox"),
        values.get("properties", {}),
        values.get("assets", {}),
        base,
    )


@lru_cache(maxsize=_FOLDERS)
def _folder(written: str, base: str) -> str:
    """Where the files of a folder lie, with all that stands before their names."""
    return _absolute(f"{written}x", base)[:-1]


def _moment(said: str) -> datetime:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        return str_to_datetime(said)


def _absolute(href: str, base: str) -> str:
    if is_remote(href):
        urlsplit(href)  # a ValueError where its host cannot be one
        return href
    href = make_posix_style(href)
    return href if is_absolute_href(href, base) else make_absolute_href(href, base)
