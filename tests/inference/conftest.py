"""Made models for the tests of this folder."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation


def untrained_network(config: CropNetConfig, seed: int = 0) -> CropNet:
    """Random weights, and batch normalisations as far from the identity as after training."""
    torch.manual_seed(seed)
    network = CropNet(config)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.5)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
    return network.eval()


@pytest.fixture
def make_network() -> Callable[..., CropNet]:
    return untrained_network


@pytest.fixture
def make_checkpoint() -> Callable[..., Checkpoint]:
    """A checkpoint of a preset with random weights; keywords replace its fields."""

    def make(preset: str = "compact", classes: int = 5, seed: int = 0, **fields: Any) -> Checkpoint:
        recipe = fields.pop("recipe", Recipe())
        bands = len(recipe.bands)
        config = fields.pop("config", CropNetConfig.of(preset, classes, bands))
        given = {
            "classes": tuple(CropClass(k, f"crop {k}", f"#{k:02x}8040") for k in range(1, classes + 1)),
            "normalisation": Normalisation(
                tuple(0.05 + 0.03 * b for b in range(bands)), tuple(0.04 + 0.01 * b for b in range(bands))
            ),
            "weights": untrained_network(config, seed).state_dict(),
            "provenance": {"data": "random numbers", "year": 2021},
            "metrics": {"accuracy": 0.2},
        }
        return Checkpoint(config=config, recipe=recipe, **(given | fields))

    return make
