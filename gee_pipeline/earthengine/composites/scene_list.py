"""Scenes by their ids: what a composite on the servers is made of, known before it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import Season, TimeBin, counted_day
from gee_pipeline.sensors import Sensor
from gee_pipeline.source import SceneCounts, same_day


@dataclass(frozen=True, order=True)
class ListedScene:
    """A scene of a sensor; scenes are in the order in which those of a day are laid on one another."""

    time: int
    """Acquisition, in milliseconds since 1970, UTC."""
    index: str
    """Its id within the collection (`system:index`)."""
    scored: bool = False
    """Whether a Cloud Score+ image belongs to it."""

    @property
    def when(self) -> datetime:
        """Acquisition, UTC."""
        return datetime.fromtimestamp(self.time / 1000, UTC)


Scenes = Mapping[str, Sequence[ListedScene]]
"""The scenes of some pixels by the name of their sensor, each in order of time and id."""


def counted_scenes(scenes: Scenes, recipe: Recipe, hours_ahead: int) -> SceneCounts:
    """How many scenes there are of all sensors of a recipe.

    Args:
        scenes: The scenes of some pixels.
        recipe: Whose sensors are counted.
        hours_ahead: Hours by which the clock of its days is ahead of UTC.
    """
    by_group = [(group, scenes[group.sensor.name]) for group in recipe.sensors]
    return SceneCounts(
        scenes=sum(len(own) for _, own in by_group),
        without_score=sum(not scene.scored for group, own in by_group if group.clear for scene in own),
        same_day=sum(same_day(counted_day(s.when, hours_ahead) for s in own) for _, own in by_group),
        duplicates_dropped=None,
    )


def observed_bins(scenes: Scenes, season: Season, bins: range, recipe: Recipe) -> tuple[int, ...]:
    """The bins in which a scene of any sensor counts; the others hold nothing that could be asked for.

    Args:
        scenes: The scenes of some pixels.
        season: Which days the bins mean.
        bins: Bins to look at.
        recipe: Sensors and bin length.
    """
    spans = ((index, season.bin(index, recipe.bin_days)) for index in bins)
    return tuple(i for i, span in spans if any(scene_days(scenes, span, one) for one in recipe.sensors))


def scenes_within(scenes: Scenes, span: TimeBin, recipe: Recipe) -> Scenes:
    """Those of some scenes that were acquired in some days.

    Args:
        scenes: The scenes of some pixels.
        span: Days, by their own clock.
        recipe: Whose sensors are looked at.
    """
    spans = {group.sensor.name: dated(span, group.sensor) for group in recipe.sensors}
    return {name: tuple(_within(scenes[name], own)) for name, own in spans.items()}


def scene_days(scenes: Scenes, span: TimeBin, group: SensorGroup) -> list[list[ListedScene]]:
    """The scenes of a sensor that count in a bin, by day; those of one day are one observation.

    Where there is one image a year, those of the whole bin are.

    Args:
        scenes: The scenes of some pixels.
        span: Days of the bin.
        group: The sensor, and its rule for clear pixels.
    """
    span = dated(span, group.sensor)
    own = [s for s in _within(scenes[group.sensor.name], span) if _counts(s, group)]

    def day_of(scene: ListedScene) -> date:
        return span.start if group.sensor.yearly else counted_day(scene.when, span.hours_ahead)

    return [list(day) for _, day in groupby(own, day_of)]


def dated(span: TimeBin, sensor: Sensor) -> TimeBin:
    """A span by the clock that the images of a sensor are dated by: yearly ones have dates, no times."""
    return span.by_utc if sensor.yearly else span


def _within(scenes: Sequence[ListedScene], span: TimeBin) -> Iterator[ListedScene]:
    begin, end = (round(instant.timestamp() * 1000) for instant in span.instants)
    return (scene for scene in scenes if begin <= scene.time < end)


def _counts(scene: ListedScene, group: SensorGroup) -> bool:
    """Whether clear pixels can be told in a scene: by its score, or else by its scene classes."""
    return group.clear is None or scene.scored or bool(group.clear.scl_clear)
