"""Which items are the same acquisition, and which of its processings is the newest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from shapely.geometry.base import BaseGeometry

from gee_pipeline.stac.item import Item

_ONE_PASS = timedelta(minutes=1)
"""Processings of one acquisition differ by milliseconds in their time; two orbits by an hour and more."""

_MGRS = re.compile(r"(?<![0-9A-Z])T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?![0-9A-Z])")
"""A tile of the Military Grid Reference System, as in names of Sentinel-2 products."""

Processing = tuple[tuple[int, ...], str]
"""Compares processings: the numbers of baseline or version, then the time of making, as text."""

T = TypeVar("T")


def tile_of(item: Item, footprint: BaseGeometry) -> str:
    """The tile of an item: as it says, as its id says, or its place to a kilometre."""
    said = [item.properties.get(key) for key in ("s2:mgrs_tile", "grid:code")]
    texts = [str(text).removeprefix("MGRS-") for text in (*said, item.id) if text]
    found = next(
        (match[1] for text in texts if (match := _MGRS.search(text.upper().replace("_", " ")))), None
    )
    return found.zfill(5) if found else " ".join(f"{value:.2f}" for value in footprint.bounds)


def processing_of(item: Item) -> Processing:
    """How new a processing is: by its baseline or version, else by when it was made."""
    keys = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
    version = next((str(item.properties[key]) for key in keys if item.properties.get(key)), "")
    made = (_moment(item.properties.get(key)) for key in ("s2:generation_time", "updated", "created"))
    return _numbers(version), next((text for text in made if text), "")


def newest_last(
    entries: Sequence[T],
    *,
    take: Callable[[T], tuple[str, str]],
    time: Callable[[T], datetime],
    processing: Callable[[T], Processing],
) -> list[T]:
    """Entries in order of time; of the processings of one acquisition the newest is the last.

    Args:
        entries: In order of time.
        take: Sensor and tile of an entry.
        time: When it was acquired.
        processing: How new it is.
    """
    passes: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    for place, entry in enumerate(entries):
        known = passes[take(entry)]
        if known and time(entry) - time(entries[known[-1][-1]]) <= _ONE_PASS:
            known[-1].append(place)
        else:
            known.append([place])
    ordered = list(entries)
    for places in (places for known in passes.values() for places in known if len(places) > 1):
        # Sorting is stable: processings of which nothing is known stay in the order of their ids.
        for place, entry in zip(places, sorted((entries[p] for p in places), key=processing), strict=True):
            ordered[place] = entry
    return ordered


def _numbers(version: str) -> tuple[int, ...]:
    """`N0400` and `04.00` are both in use, and mean the same."""
    if match := re.fullmatch(r"N?(\d\d)(\d\d)", version):
        return int(match[1]), int(match[2])
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version))


def _moment(text: object) -> str:
    """A time as text that compares, empty where it is none."""
    try:
        found = datetime.fromisoformat(str(text))
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return ""
