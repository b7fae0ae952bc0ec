"""Lists of scenes as two orbits of Sentinel-2 would give them, made up."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import ee

from gee_pipeline.earthengine.composites.scene_list import ListedScene, Scenes
from gee_pipeline.season import Season, TimeBin
from gee_pipeline.sensors import SENSORS
from tests.support.ee_asking import graph_of
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.evaluate import evaluate


def made_scenes(season: Season, span: TimeBin | None = None) -> Scenes:
    """An overpass each other or third day, every fourth in two tiles; one scene in ten has no score.

    Every sensor has the same.

    Args:
        season: From whose start days are counted.
        span: Days; None is the whole season.
    """
    found = []
    for number in range(146):
        when = datetime(season.start.year, season.start.month, season.start.day, 17, tzinfo=UTC)
        when += timedelta(days=number * 5 // 2, seconds=number)
        if span and not span.start <= when.date() < span.end:
            continue
        for tile in ("T15SXU", "T15SYU")[: 2 if number % 4 == 0 else 1]:
            name = f"{when:%Y%m%dT%H%M%S}_{when:%Y%m%dT%H%M%S}_{tile}"
            found.append(ListedScene(int(when.timestamp()) * 1000, name, scored=number % 10 != 9))
    return dict.fromkeys(SENSORS, found)


def evaluated(value: Any, archive: Archive) -> Counter[str]:
    """How often the servers call each function for an expression, those of functions as often as they run."""
    calls: Counter[str] = Counter()
    evaluate(graph_of(value), archive, calls=calls)
    return calls


def on_collections(calls: Counter[str]) -> int:
    """Calls that search, filter, join or map the scenes of a collection; a list of images is none."""
    kinds = ("Collection.", "ImageCollection.", "Join.", "Filter.")
    return sum(
        count
        for name, count in calls.items()
        if name.startswith(kinds) and name != "ImageCollection.fromImages"
    )


def sent_bytes(value: ee.ComputedObject) -> int:
    """Bytes of an expression as it is sent."""

    return len(json.dumps(graph_of(value)))
