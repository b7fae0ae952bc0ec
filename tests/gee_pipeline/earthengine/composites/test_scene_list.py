"""Which scenes of a list count in which bin, and which of them are one observation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gee_pipeline.earthengine.composites.scene_list import (
    ListedScene,
    Scenes,
    counted_scenes,
    observed_bins,
    scene_days,
    scenes_within,
)
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER

SEASON = SUMMER.season(2021, "north")
MAY_1_TO_5 = SEASON.bin(24)
RECIPE = Recipe()
(GROUP,) = RECIPE.sensors


def listed(*scenes: tuple[str, str] | tuple[str, str, bool]) -> Scenes:
    """Scenes by name and time, with a score unless they say otherwise."""
    found = []
    for name, time, *scored in scenes:
        when = datetime.fromisoformat(time).replace(tzinfo=UTC)
        found.append(ListedScene(round(when.timestamp() * 1000), name, *(scored or [True])))
    return {"sentinel-2": sorted(found)}


def names(days: list[list[ListedScene]]) -> list[list[str]]:
    return [[scene.index for scene in day] for day in days]


def test_scenes_of_a_day_are_one_observation_by_time_and_then_by_id() -> None:
    scenes = listed(
        ("Z", "2021-05-02T10:00:00"),
        ("B", "2021-05-02T10:00:00.001"),
        ("A", "2021-05-02T10:00:00.001"),
        ("C", "2021-05-04T10:00:00"),
    )
    assert names(scene_days(scenes, MAY_1_TO_5, GROUP)) == [["Z", "A", "B"], ["C"]]


def test_a_bin_takes_its_first_moment_and_leaves_its_last_out() -> None:
    scenes = listed(
        ("before", "2021-04-30T23:59:59.999"),
        ("first", "2021-05-01T00:00:00"),
        ("last", "2021-05-05T23:59:59.999"),
        ("after", "2021-05-06T00:00:00"),
    )
    assert names(scene_days(scenes, MAY_1_TO_5, GROUP)) == [["first"], ["last"]]


def test_days_are_those_of_the_clock_of_the_season() -> None:
    """Ten hours ahead of UTC, the evening of a day is the morning of the next."""
    ahead = replace(SEASON, hours_ahead=10).bin(24)
    scenes = listed(
        ("30 April", "2021-04-30T13:59:59"),
        ("1 May", "2021-04-30T14:00:00"),
        ("too", "2021-05-01T13:00:00"),
        ("2 May", "2021-05-01T14:00:00"),
    )
    assert names(scene_days(scenes, ahead, GROUP)) == [["1 May", "too"], ["2 May"]]


def test_what_a_yearly_sensor_has_in_a_bin_is_one_observation_dated_by_utc() -> None:
    recipe = Recipe.of(bands=("A00",), bin_days=365, window=(1, 365))
    season = replace(SEASON, hours_ahead=-6)
    found = listed(("A", "2021-01-01T00:00:00"), ("B", "2021-01-01T00:00:00"), ("C", "2022-01-01T00:00:00"))
    scenes = {"alphaearth": found["sentinel-2"]}
    assert names(scene_days(scenes, season.bin(0, 365), recipe.sensors[0])) == [["A", "B"]]
    assert observed_bins(scenes, season, range(1), recipe) == (0,)


def test_a_scene_whose_clouds_cannot_be_told_counts_in_no_bin_but_among_the_scenes() -> None:
    scenes = listed(("A", "2021-05-02T10:00:00", False), ("B", "2021-05-07T10:00:00"))
    strict = Recipe.of(clear=CloudRule(scl_clear=()))
    assert observed_bins(scenes, SEASON, range(20, 30), RECIPE) == (24, 25)
    assert observed_bins(scenes, SEASON, range(20, 30), strict) == (25,)
    counts = counted_scenes(scenes, strict, 0)
    assert (counts.scenes, counts.without_score, counts.same_day) == (2, 1, 0)


def test_a_list_is_cut_to_some_days() -> None:
    scenes = listed(("A", "2021-05-05T23:59:59"), ("B", "2021-05-06T00:00:00"))
    found = scenes_within(scenes, MAY_1_TO_5, RECIPE)
    assert [scene.index for scene in found["sentinel-2"]] == ["A"]
