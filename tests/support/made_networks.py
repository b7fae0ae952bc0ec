"""Small CropNets with drawn weights, their normalisation in use: nothing of them was trained."""

from typing import Any

import torch

from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation


def made_network(
    recipe: Recipe,
    channels: tuple[int, ...] = (4, 4),
    strides: tuple[int, ...] = (2, 1),
    *,
    classes: int = 3,
    seed: int = 0,
    **fields: Any,
) -> Checkpoint:
    """A CropNet whose answers differ from pixel to pixel."""
    torch.manual_seed(seed)
    bands = len(recipe.bands)
    config = CropNetConfig("made", channels, strides, (0.0,) * len(channels), bands, classes)
    network = CropNet(config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.5)
            module.running_mean.data.normal_(0, 0.3)
            module.running_var.data.uniform_(0.5, 2)
    network.head.weight.data.normal_(0, 1.5)
    drawn = torch.rand(64, 1, bands, len(recipe.window)) * 6 - 2  # as series of 0 to 6,000 come
    with torch.inference_mode():
        centre = network.eval()(drawn).mean(dim=0)
    network.head.bias.data = network.head.bias.data - centre  # so that each class is answered somewhere
    legend = tuple(CropClass(k, f"crop {k}", f"#{k:02x}8040") for k in range(1, classes + 1))
    mean = tuple(0.2 + 0.01 * k for k in range(bands))
    normalisation = Normalisation(mean=mean, std=(0.1,) * bands)
    return Checkpoint(
        config, legend, recipe, normalisation, dict(network.state_dict()), **{"temperature": 1.5, **fields}
    )
