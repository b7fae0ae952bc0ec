import json
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import USUAL, CloudRule, Recipe, RecipeOptions, SensorGroup
from gee_pipeline.season import SUMMER, WINTER, YEAR, MonthDay, SeasonRule, Start


def test_the_default_window_is_the_43_bins_of_the_paper() -> None:
    window = Recipe().window
    assert (window[0], window[-1], len(window)) == (24, 66, 43)


def test_band_order_is_that_of_the_matrix_rows() -> None:
    assert Recipe().bands == ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")


def test_a_recipe_survives_json() -> None:
    recipe = Recipe.of(clear=CloudRule("cs_cdf", 0.6, (4, 5)), min_clear_bins=5)
    assert there_and_back(recipe) == recipe


def there_and_back(recipe: Recipe) -> Recipe:
    return Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))


OWN = SeasonRule("long rains", Start(MonthDay(3, 1)), Start(MonthDay(3, 1)), 1, 215)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe.of(season=WINTER),
        Recipe.of(season=OWN, bin_days="month", min_clear_bins=4),
        Recipe.of(season=YEAR),
        Recipe.of(bands=("VV", "VH")),
        Recipe.of(bands=("B4", "B8", "VH"), clear=CloudRule(threshold=0.6)),
        Recipe.of(bands=("A00", "A63"), season=YEAR, bin_days=365, min_clear_bins=1),
    ],
)
def test_what_version_0_1_0_could_not_say_survives_json(recipe: Recipe) -> None:
    assert there_and_back(recipe) == recipe
    assert there_and_back(recipe).season.name == recipe.season.name
    assert recipe.digest != Recipe().digest


DIGEST_0_1_0 = "88f99b0ebb227b4f"
"""Of the default recipe, as version 0.1.0 wrote it into the shipped checkpoint."""


def test_a_digest_is_that_of_version_0_1_0() -> None:
    stored = Recipe().to_dict()
    assert set(stored) == {
        "bands", "bin_days", "cloud", "gap_rule", "min_clear_bins", "reflectance_scale", "season_rule",
        "window_first_day", "window_last_day",
    }  # fmt: skip
    assert Recipe().digest == DIGEST_0_1_0


@dataclass(frozen=True)
class LaterRule(CloudRule):
    """A cloud rule as a later version may have it."""

    margin: int = 0


def test_a_later_field_leaves_every_old_file_valid_while_it_has_its_default() -> None:
    for recipe in (Recipe(), Recipe.of(season=WINTER, clear=CloudRule(threshold=0.6))):
        (group,) = recipe.sensors
        assert group.clear is not None
        later = LaterRule(group.clear.score_band, group.clear.threshold)
        grown = replace(recipe, sensors=(replace(group, clear=later),))
        assert (grown.digest, grown.to_dict()) == (recipe.digest, recipe.to_dict())
        changed = replace(recipe, sensors=(replace(group, clear=replace(later, margin=3)),))
        assert changed.digest != recipe.digest
        assert changed.to_dict()["sensors"][0]["clear"]["margin"] == 3


@dataclass(frozen=True)
class LaterRecipe(Recipe):
    """A recipe as a later version may have it."""

    smoothing: int = 0


def test_a_later_field_of_the_recipe_counts_only_where_it_differs() -> None:
    assert LaterRecipe().to_dict() == Recipe().to_dict()
    assert LaterRecipe(season=WINTER).digest == Recipe(season=WINTER).digest
    assert LaterRecipe(smoothing=3).to_dict() == {"format": 2, "smoothing": 3}
    assert LaterRecipe.from_dict({"format": 2, "smoothing": 3}) == LaterRecipe(smoothing=3)
    with pytest.raises(InputError, match="smoothing"):
        Recipe.from_dict({"format": 2, "smoothing": 3})


def test_what_a_season_is_called_does_not_change_the_digest() -> None:
    other = replace(OWN, name="masika")
    assert Recipe.of(season=OWN).digest == Recipe.of(season=other).digest


@pytest.mark.parametrize(
    ("key", "value"),
    [("gap_rule", "none: leave NaN"), ("season_rule", "1 October"), ("reflectance_scale", 1)],
)
def test_a_rule_that_nothing_acts_on_is_refused(key: str, value: object) -> None:
    with pytest.raises(TypeError, match=key):
        Recipe(**{key: value})
    with pytest.raises(InputError, match=f"{key} can only be"):
        Recipe.from_dict(Recipe().to_dict() | {key: value})


def test_a_recipe_of_a_later_format_is_refused() -> None:
    with pytest.raises(MismatchError, match="later version"):
        Recipe.from_dict({"format": 3})


def test_rows_of_several_sensors_stand_group_by_group() -> None:
    recipe = Recipe.of(bands=("B4", "VV", "B8", "VH"))
    assert recipe.bands == ("B4", "B8", "VV", "VH")
    assert recipe.group_sizes == (2, 2)
    assert recipe.scales == (10_000, 10_000, 100, 100)


def test_a_sensor_that_clouds_hide_needs_a_rule_and_radar_takes_none() -> None:
    with pytest.raises(InputError, match="Sentinel-2 needs a rule"):
        SensorGroup(clear=None)
    with pytest.raises(InputError, match="Sentinel-1 takes no rule"):
        SensorGroup("sentinel-1", ("VV",), CloudRule())


def test_options_change_what_they_say_and_nothing_else() -> None:
    base = Recipe.of(bands=("B4", "B8"), clear=CloudRule("cs_cdf", 0.6, (4,)), min_clear_bins=3)
    asked = RecipeOptions(threshold=0.5, season_start=MonthDay(10, 1), window=(1, 305))
    made = asked.applied(base, 2021)
    assert made.sensors[0].clear == CloudRule("cs_cdf", 0.5, (4,))
    assert (made.bands, made.min_clear_bins) == (base.bands, 3)
    assert made.season.season(2021, "south").start == date(2020, 10, 1)
    assert (made.season.first_day, made.season.last_day) == (1, 305)
    assert RecipeOptions().applied(base) == base


def test_a_window_that_can_never_hold_enough_observations_is_refused() -> None:
    with pytest.raises(InputError, match="7 bins never has 8"):
        RecipeOptions(bin_days="month").applied().require_enough_bins()
    few = RecipeOptions(bin_days="month", min_clear_bins=6).applied()
    assert few.require_enough_bins() is few


@pytest.mark.parametrize(
    "other",
    [
        Recipe.of(bands=("B3", "B2")),  # order matters
        Recipe.of(clear=CloudRule(threshold=0.6)),
        Recipe.of(clear=CloudRule(scl_clear=(4,))),
        Recipe.of(window=(121, 300)),
        Recipe(min_clear_bins=9),
        Recipe(bin_days=10),
    ],
)
def test_every_field_changes_the_digest(other: Recipe) -> None:
    assert other.digest != Recipe().digest


def test_the_window_does_not_change_what_a_composite_is() -> None:
    assert Recipe.of(window=(1, 334), min_clear_bins=3).composite_digest == Recipe().composite_digest
    assert Recipe.of(clear=CloudRule(threshold=0.6)).composite_digest != Recipe().composite_digest


def test_a_mismatch_names_both_values_and_the_way_out() -> None:
    other = replace(Recipe(), min_clear_bins=3)
    with pytest.raises(MismatchError, match=r"The run and the model .* min_clear_bins: 8 against 3.*Retrain"):
        Recipe().require_same(other, "The run", "the model", "Retrain.")
    Recipe().require_same(Recipe(), "The run", "the model", "Retrain.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bands": ("B2", "B2")}, "each band once"),
        ({"bands": ("B1",)}, "each band once"),
        ({"bands": ()}, "each band once"),
        ({"bands": ("B2", "Z9")}, "other sensors"),
        ({"bin_days": 0}, "1 to 365 days"),
        ({"bin_days": 366}, "1 to 365 days"),
        ({"bin_days": "week"}, "calendar month"),
        ({"bin_days": 40, "window": (361, 365)}, "no whole bin"),
        ({"season": WINTER, "bin_days": "month"}, "first day of a month"),
        ({"window": (300, 200)}, "within days 1 to 365"),
        ({"window": (121, 366)}, "within days 1 to 365"),
        ({"min_clear_bins": -1}, "0 or more"),
    ],
)
def test_impossible_recipes_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.of(**values)


def test_a_threshold_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        CloudRule(threshold=75)


@pytest.mark.parametrize("spoil", [lambda v: v.pop("cloud"), lambda v: v.update(extra=1)])
def test_a_recipe_with_missing_or_unknown_fields_is_refused(spoil: object) -> None:
    values = Recipe().to_dict()
    spoil(values)  # type: ignore[operator]
    with pytest.raises(InputError, match="fields"):
        Recipe.from_dict(values)


def test_the_clock_is_written_where_it_is_not_utc_and_makes_other_composites() -> None:
    solar = Recipe(clock="solar")
    assert solar.to_dict() == {"format": 2, "clock": "solar"}
    assert Recipe.from_dict(solar.to_dict()) == solar
    assert Recipe.from_dict(Recipe().to_dict()).clock == "utc"
    assert solar.composite_digest != Recipe().composite_digest
    assert solar.differences(Recipe()) == ["clock: solar against utc"]
    with pytest.raises(InputError, match="utc or solar, got 'local'"):
        Recipe.from_dict({"format": 2, "clock": "local"})
    assert RecipeOptions().applied() == USUAL == solar
    assert RecipeOptions().applied(Recipe()).clock == "utc"  # what files say holds
    assert RecipeOptions(clock="utc").applied() == Recipe()


@pytest.mark.parametrize(("bin_days", "last"), [(100, 300), (200, 200), (300, 300)])
def test_bins_that_leave_the_end_of_the_window_out_are_refused(bin_days: int, last: int) -> None:
    with pytest.raises(
        InputError, match=rf"end on day {last} of the season, the window on day 334: {334 - last} "
    ):
        RecipeOptions(bin_days=bin_days).applied()
    assert RecipeOptions(bin_days=bin_days, window=(1, last)).applied().window == range(last // bin_days)


@pytest.mark.parametrize("bin_days", [7, 30, 5])
def test_the_last_days_of_a_year_may_fill_no_bin(bin_days: int) -> None:
    assert len(RecipeOptions(season=YEAR, bin_days=bin_days).applied().window) == 365 // bin_days


@pytest.mark.parametrize(
    ("options", "bins", "window", "clear"),
    [
        (RecipeOptions(("emit",)), "month:6,8", range(2), 2),  # June and August, 484 values
        (RecipeOptions(("emit",), bin_days="month:8"), "month:8", range(1), 1),  # one date, 242 values
        (RecipeOptions(("emit",), bin_days="month"), "month", range(12), 8),
        (RecipeOptions(("emit",), min_clear_bins=1), "month:6,8", range(2), 1),
        (RecipeOptions(("alphaearth",)), 365, range(1), 1),
    ],
)
def test_a_sensor_may_have_bins_of_its_own_of_which_all_are_observed(options, bins, window, clear) -> None:
    recipe = options.applied()
    assert (recipe.bin_days, recipe.window, recipe.min_clear_bins) == (bins, window, clear)
    assert recipe.season == YEAR
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert RecipeOptions().applied(recipe) == recipe


def test_the_spectra_of_emit_are_242_bands_without_those_that_water_vapour_hides() -> None:
    recipe = RecipeOptions(("emit",)).applied()
    numbers = [int(band.rpartition("_")[2]) for band in recipe.bands]
    assert len(numbers) == 242
    assert sorted({*range(285)} - {*numbers}) == [*range(127, 143), *range(187, 213), 284]
    assert recipe.to_dict()["sensors"] == [{"name": "emit"}]
    assert "reflectance_283 (242 in all)" in recipe.described()["bands"]
    assert recipe.described()["clear pixels"] == "emit with dilated_cloud_flag 0"


@pytest.mark.parametrize(
    "options",
    [RecipeOptions(sensors=("alphaearth", "sentinel-2")), RecipeOptions(("alphaearth",), season=SUMMER)],
)
def test_one_image_a_year_fills_no_series(options: RecipeOptions) -> None:
    with pytest.raises(InputError, match="AlphaEarth has one image a year"):
        options.applied()
