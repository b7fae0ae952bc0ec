import json
from dataclasses import replace

import pytest

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import CloudRule, Recipe


def test_the_default_window_is_the_43_bins_of_the_paper() -> None:
    window = Recipe().window
    assert (window[0], window[-1], len(window)) == (24, 66, 43)


def test_band_order_is_that_of_the_matrix_rows() -> None:
    assert Recipe().bands == ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")


def test_a_recipe_survives_json() -> None:
    recipe = Recipe(cloud=CloudRule("cs_cdf", 0.6, (4, 5)), min_clear_bins=5)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    "other",
    [
        Recipe(bands=("B3", "B2")),  # order matters
        Recipe(cloud=CloudRule(threshold=0.6)),
        Recipe(cloud=CloudRule(scl_clear=(4,))),
        Recipe(window_last_day=300),
        Recipe(min_clear_bins=9),
        Recipe(bin_days=10),
    ],
)
def test_every_field_changes_the_digest(other: Recipe) -> None:
    assert other.digest != Recipe().digest


def test_the_window_does_not_change_what_a_composite_is() -> None:
    assert Recipe(window_first_day=1, min_clear_bins=3).composite_digest == Recipe().composite_digest
    assert Recipe(cloud=CloudRule(threshold=0.6)).composite_digest != Recipe().composite_digest


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
        ({"bin_days": 0}, "1 to 73 days"),
        ({"window_first_day": 300, "window_last_day": 200}, "within days 1 to 365"),
        ({"window_last_day": 366}, "within days 1 to 365"),
    ],
)
def test_impossible_recipes_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe(**values)  # type: ignore[arg-type]


def test_a_threshold_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        CloudRule(threshold=75)


@pytest.mark.parametrize("spoil", [lambda v: v.pop("cloud"), lambda v: v.update(extra=1)])
def test_a_recipe_with_missing_or_unknown_fields_is_refused(spoil: object) -> None:
    values = Recipe().to_dict()
    spoil(values)  # type: ignore[operator]
    with pytest.raises(InputError, match="fields"):
        Recipe.from_dict(values)
