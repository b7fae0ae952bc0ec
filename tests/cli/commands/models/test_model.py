import json

import pytest
import torch
from click.testing import CliRunner

from cli.commands.models.model import model
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation

pytestmark = pytest.mark.slow

DEFAULT_CLASSES = ("corn", "soybeans", "rice", "cotton", "other")


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    config = CropNetConfig("compact", (4, 4), (2, 1), (0.0, 0.0), 10, 2)
    checkpoint = Checkpoint(
        config=config,
        classes=(CropClass(1, "corn", "#ffd300"), CropClass(2, "other", "#b8b8a0")),
        recipe=Recipe(),
        normalisation=Normalisation((0.1,) * 10, (0.1,) * 10),
        weights=CropNet(config).state_dict(),
        temperature=1.5,
        provenance={
            "data": "Fields around a village.",
            "year": 2020,
            "season_start": "2020-01-01",
            "samples": {"corn": 1200, "other": 34},
            "footprint": {"type": "Polygon", "coordinates": [[[5, 50], [6, 50], [6, 51.5], [5, 50]]]},
            "seed": 3,
            "epochs": 9,
            "best_epoch": 7,
            "cropmap_version": "0.1.0",
        },
        metrics={
            "accuracy": 0.9123,
            "macro_f1": 0.8456,
            "validation_samples": 1234,
            "calibration": {
                "fitted_to": "the held-out samples themselves",
                "ece_before": 0.0456,
                "ece_after": 0.0123,
                "nll_before": 0.3456,
                "nll_after": 0.2345,
            },
            "split": "blocks of 0.5 degrees, 1,234 samples",
            "classes": [{"name": "corn", "precision": 0.9, "recall": 0.8, "f1": 0.847, "samples": 1200}],
        },
    )
    save_checkpoint(tmp_path / "model.safetensors", checkpoint)
    return tmp_path / "model.safetensors"


def invoke(*arguments):
    return CliRunner().invoke(model, ["info", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize(
    "words",
    [
        "510 parameters",  # 4 convolutions of 36 and 3 x 144, 4 norms of 8, a head of 10
        "1 corn (#ffd300), 2 other (#b8b8a0)",
        "Fields around a village.",
        "1,200 corn, 34 other",
        "2020, season from 2020-01-01",
        "longitude 5.00 to 6.00, latitude 50.00 to 51.50",
        "overall 91.2%, macro-F1 84.6%",
        "precision 90.0%, recall 80.0%",
        "temperature 1.5, fitted to the held-out samples themselves",
        "calibration error 1.2%, 4.6% without it; log-likelihood loss 0.234, 0.346 without it",
        "9 epochs, seed 3, cropmap 0.1.0",
        "blocks of 0.5 degrees, 1,234 samples",
        "days 121 to 334",
        "B2, B3, B4, B8, B5",
    ],
)
def test_a_checkpoint_is_told_in_words(file, words):
    assert words in invoke(file).stdout


def test_json_holds_everything_but_the_weights(file):
    facts = json.loads(invoke(file, "--json").stdout)
    assert facts["recipe_digest"] == Recipe().digest
    assert facts["classes"][0] == {"code": 1, "name": "corn", "color": "#ffd300"}
    assert facts["provenance"]["epochs"] == 9
    assert facts["metrics"]["macro_f1"] == 0.8456


def test_without_a_file_the_shipped_model_is_shown():
    shown = invoke().stdout
    assert [f"{code} {name}" in shown for code, name in enumerate(DEFAULT_CLASSES, 1)] == [True] * 5
    assert "Arkansas" in shown
