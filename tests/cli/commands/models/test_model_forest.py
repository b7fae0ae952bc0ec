import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cli.commands.models.model import model
from inference.models.forest_model import save_forest
from tests.support.made_forests import RECIPE, grown, made_rows, model_of

pytestmark = pytest.mark.slow

SCORES = {"accuracy": 0.9123, "macro_f1": 0.8456}
SOFT = {"accuracy": 0.9301, "macro_f1": 0.8701}
SCORED = {"samples": 1234, "not_judged": 0, "disagreement": 0.0213, "hard": SCORES, "soft": SOFT}


@pytest.fixture
def forest():
    sklearn_forest = grown(*made_rows(200), trees=7, max_leaf_nodes=6)
    return model_of(
        sklearn_forest,
        3,
        provenance={
            "data": "Labels of a map.",
            "year": 2021,
            "season_start": "2021-01-01",
            "samples": {"crop 1": 1200, "crop 2": 34},
            "seed": 3,
            "cropmap_version": "0.1.0",
        },
        metrics={
            **SCORES,
            "split": "blocks of 10 km",
            "held_out": SCORED,
            "out_of_bag": {**SCORED, "samples": 999},
            "deployed": {"votes": {"bytes": 54321}, "probability": {"bytes": 162963}},
        },
    )


def invoke(path, *arguments):
    return CliRunner().invoke(model, ["info", str(path), *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    "words",
    [
        "7 trees, 77 nodes, at most",  # six leaves, five splits
        "6 median features",
        "1 crop 1 (#018040), 2 crop 2 (#028040), 3 crop 3 (#038040)",
        "Labels of a map.",
        "1,200 crop 1, 34 crop 2",
        "2021, season from 2021-01-01",
        "seed 3, cropmap 0.1.0",
        "Accuracy     overall 91.2%, macro-F1 84.6%",
        "hard vote overall 91.2%, macro-F1 84.6%; soft vote overall 93.0%, macro-F1 87.0%",
        "differ in 2.1% of 1,234",
        "differ in 2.1% of 999",
        "blocks of 10 km",
        "54,321 bytes with votes, 162,963 bytes with probability",
        "days 121 to 135",
        f"Recipe       {RECIPE.digest}",
    ],
)
def test_a_forest_is_told_in_words(tmp_path, forest, words):
    save_forest(tmp_path / "forest.safetensors", forest)
    assert words in invoke(tmp_path / "forest.safetensors").stdout


def test_what_a_forest_does_not_state_is_said_to_be_so(tmp_path, forest):
    save_forest(tmp_path / "forest.safetensors", replace(forest, provenance={}, metrics={}))
    shown = invoke(tmp_path / "forest.safetensors").stdout
    assert "Accuracy    not stated" in shown
    assert "Trained on  not stated" in shown
    assert "Text size" not in shown


def test_json_holds_everything_but_the_trees(tmp_path, forest):
    save_forest(tmp_path / "forest.safetensors", forest)
    facts = json.loads(invoke(tmp_path / "forest.safetensors", "--json").stdout)
    assert (facts["trees"], facts["nodes"], facts["features"]) == (7, 77, "median")
    assert facts["feature_names"][0] == "B2_24"
    assert facts["digest"] == forest.digest
    assert facts["metrics"] == forest.metrics
    assert facts["recipe_digest"] == RECIPE.digest
