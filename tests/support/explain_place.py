"""Networks whose answer is known, and samples that they distinguish by one band and one bin."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from training.explain.options import ExplainOptions
from training.explain.report import Explanation, explain
from training.explain.subjects import Region
from training.samples.samples import Samples

BAND, BIN = 6, 20
"""B7, and a bin of the model window, in its middle."""

CLASSES = (CropClass(1, "corn", "#ffd300"), CropClass(2, "rice", "#00a8e2"))


def passing_network(dimensions: int = 2, strides: tuple[int, ...] = (1,)) -> CropNet:
    """A CropNet whose convolutions pass on what is positive; corn is how much of it there is, rice is not.

    Its logits are the mean over all cells of max(input, 0), nearly, and 0.005: a normalisation adds 1e-5 to
    its variance of 1.
    """
    config = CropNetConfig("passing", (1,) * len(strides), strides, (0.0,) * len(strides), 10, 2, dimensions)
    network = CropNet(config).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.ndim > 2:  # a kernel of 3 or 3 x 3 with 1 in its middle
                value.zero_()
                value[(0, 0, *[1] * dimensions)] = 1
            elif name.startswith("blocks"):
                value.fill_(1.0 if name.endswith("weight") else 0.0)
        network.head.weight.copy_(torch.tensor([[1.0], [0.0]]))
        network.head.bias.copy_(torch.tensor([0.0, 0.005]))
    return network


def passing_checkpoint(**shape: Any) -> Checkpoint:
    network = passing_network(**shape)
    return Checkpoint(
        config=network.config,
        classes=CLASSES,
        recipe=Recipe(),
        normalisation=Normalisation((0.1,) * 10, (0.1,) * 10),
        weights=network.state_dict(),
    )


def spike_input(*places: tuple[int, int], height: float = 5.0) -> torch.Tensor:
    """`(1, 1, 10, 43)`: -1 everywhere but at some places `(band, bin)`."""
    values = torch.full((1, 1, 10, 43), -1.0)
    for place in places:
        values[(0, 0, *place)] = height
    return values


def spike_samples(corn: int = 6, rice: int = 5, *, hidden: int = 0, lat: float | None = 35.0) -> Samples:
    """Corn has a bright B7 in one bin, rice has not; nor have `hidden` of the corn samples."""
    labels = np.array([0] * corn + [1] * rice)
    series = np.random.default_rng(1).integers(300, 600, (len(labels), 10, 73)).astype(np.int16)
    series[: corn - hidden, BAND, Recipe().window.start + BIN] = 9000
    places = None if lat is None else np.full(len(labels), lat)
    return Samples(
        series=series,
        labels=labels,
        class_names=("corn", "rice"),
        lon=None if lat is None else np.full(len(labels), -91.0),
        lat=places,
        source="Made samples.",
        colors=("#ffd300", "#00a8e2"),
    )


def explanation(*domains: str, start: date | None = date(2021, 1, 1), **options: Any) -> Explanation:
    """Of the passing network; the target has no rice, and fewer samples."""
    counts = {"source": {"corn": 12, "rice": 10}, "target": {"corn": 9, "rice": 0}}
    regions = [Region(domain, spike_samples(**counts[domain]), start) for domain in domains or ("source",)]
    chosen = ExplainOptions(**{"perplexity": 4, "attributed": 4, "device": "cpu", **options})
    return explain(Path("model.safetensors"), passing_checkpoint(), regions, (0, 1), chosen)
