"""Which bands and days a network looks at: class activation maps and integrated gradients, by captum."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from inference.models.networks.cropnet import CropNet
from inference.models.networks.specification import title_of
from training.fit.batches import BatchMaker
from training.samples.samples import Samples

STEPS: Final = 16
"""Points of the integral (Gauss-Legendre): attributions then sum to the change of the logit within 0.2 %."""

BATCH: Final = 128
"""Series at once: their feature maps fit a CPU's cache."""

Maps = NDArray[np.float32]
"""`(sample, band, bin)`."""


@dataclass(frozen=True)
class ClassMap:
    """Where the network finds one class, over the samples of it that it predicts right."""

    domain: str
    """`source` or `target`."""
    label: int
    """Index of the class."""
    samples: int
    """Samples that were looked at."""
    right: int
    """Samples of these that are predicted right."""
    shown: int
    """Samples of these whose activation is not 0 everywhere: those of the mean."""
    activation: NDArray[np.float32] | None
    """`(band, bin)`: mean Grad-CAM, each sample's divided by its own mean, so that 1 is evenly spread; None
    where no sample is shown."""
    attributed: int
    """Samples of the mean attribution."""
    attribution: NDArray[np.float32] | None
    """`(band, bin)`: mean contribution to the logit of the class against the reference series; None where no
    sample is right."""
    unexplained: float | None
    """Share of the change of the logit that the attributions, in the mean over samples, do not sum to."""


def require_captum() -> Any:
    """The module `captum.attr`.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module("captum.attr")
    except ModuleNotFoundError as error:
        raise InputError(
            "Activation maps are computed by captum, which is not installed. Install it with: "
            "pip install 'cropmap[training]'"
        ) from error


def class_maps(
    checkpoint: Checkpoint,
    samples: Samples,
    *,
    domain: str = "source",
    reference: NDArray[np.float32] | None = None,
    attributed: int = 50,
    device: torch.device | None = None,
) -> list[ClassMap]:
    """A map for each class that has samples.

    Args:
        checkpoint: The model.
        samples: Labelled by its classes.
        domain: What the maps are said to be of.
        reference: `(band, bin)`, the normalised series that integrated gradients start from; None is
            `reference_series` of these samples.
        attributed: Samples of each class for integrated gradients.
        device: Where to compute; None is the CPU.

    Raises:
        InputError: captum is not installed.
    """
    require_captum()
    device = device or torch.device("cpu")
    network = cropnet_of(checkpoint).to(device)
    maker = BatchMaker(checkpoint.recipe, checkpoint.normalisation, device)
    inputs = maker.inputs(samples.series)  # (sample, 1, band, bin)
    if reference is None:
        reference = reference_series(inputs, samples.labels)
    right = predicted(network, inputs) == samples.labels
    baseline = torch.from_numpy(reference).to(device)
    return [
        _class_map(network, inputs, samples.labels == label, right, int(label), domain, baseline, attributed)
        for label in np.unique(samples.labels)
    ]


def cropnet_of(checkpoint: Checkpoint) -> CropNet:
    """The network of a checkpoint, whose last block has a place for bands and days.

    Raises:
        InputError: It is not a CropNet.
    """
    network = checkpoint.build()
    if not isinstance(network, CropNet):
        raise InputError(
            "Maps over bands and days are drawn of the last block of a CropNet; this model is "
            f"{title_of(checkpoint.config)}. Explain a CropNet that was trained on the same samples."
        )
    return network


def _class_map(
    network: CropNet,
    inputs: Tensor,
    members: NDArray[np.bool_],
    right: NDArray[np.bool_],
    label: int,
    domain: str,
    baseline: Tensor,
    attributed: int,
) -> ClassMap:
    chosen = np.flatnonzero(members & right)
    activation, shown = mean_activation(grad_cam(network, inputs[chosen], label))
    few = inputs[chosen[:attributed]]
    attribution = integrated_gradients(network, few, label, baseline)
    return ClassMap(
        domain=domain,
        label=label,
        samples=int(members.sum()),
        right=len(chosen),
        shown=shown,
        activation=activation,
        attributed=len(few),
        attribution=attribution.mean(axis=0) if len(few) else None,
        unexplained=unexplained(network, few, label, baseline, attribution) if len(few) else None,
    )


def reference_series(inputs: Tensor, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean series `(band, bin)` in which each class counts the same.

    Against it integrated gradients show what distinguishes a class; against a series of zeros they would
    mostly show that there are plants.
    """
    means = [inputs[np.flatnonzero(labels == label), 0].mean(dim=0) for label in np.unique(labels)]
    return np.asarray(torch.stack(means).mean(dim=0).cpu())


def predicted(network: nn.Module, inputs: Tensor) -> NDArray[np.int64]:
    """`(sample,)`, index of the greatest logit."""
    with torch.inference_mode():
        codes = [network(batch).argmax(dim=1) for batch in _batches(inputs)]
    return np.asarray(torch.cat(codes).cpu()) if codes else np.zeros(0, np.int64)


def grad_cam(network: CropNet, inputs: Tensor, label: int) -> Maps:
    """Grad-CAM of the last block of convolutions, `(sample, band, bin)`, at least 0 (Selvaraju et al. 2017).

    The average that follows the block makes it equal to the class activation map of Zhou et al. (2016). A
    value of the block stands where its convolutions have their centre, and between these it is linear.

    Args:
        network: Its blocks and strides are those of its configuration.
        inputs: `(sample, 1, band, bin)`, normalised.
        label: Whose logit.
    """
    bands, bins = inputs.shape[2:]
    if not len(inputs):
        return np.zeros((0, bands, bins), np.float32)
    method = require_captum().LayerGradCam(network, network.blocks)
    parts = [method.attribute(batch, target=label, relu_attributions=True) for batch in _batches(inputs)]
    coarse = np.asarray(torch.cat(parts).detach()[:, 0].cpu())  # (sample, position'...)
    stride = math.prod(network.config.strides)
    if coarse.ndim == 2:  # along the flat series
        values = _placed(coarse, bands * bins, stride)
        if network.config.along == "bands":
            return values.reshape(-1, bins, bands).swapaxes(1, 2)
        return values.reshape(-1, bands, bins)
    rows = _placed(coarse.swapaxes(1, 2), bands, stride).swapaxes(1, 2)  # (sample, band, bin')
    return _placed(rows, bins, stride)


def _placed(values: NDArray[np.float32], length: int, stride: int) -> NDArray[np.float32]:
    """Values along the last axis at the positions of the input, `length` of them.

    A convolution of width 3, stride s and padding 1 has the centre of its output i at the input s * i.
    """
    centres = stride * np.arange(values.shape[-1])
    weights = np.stack([np.interp(np.arange(length), centres, one) for one in np.eye(len(centres))])
    return (values @ weights).astype(np.float32)


def mean_activation(maps: Maps) -> tuple[NDArray[np.float32] | None, int]:
    """The mean map `(band, bin)` of samples that count the same, and how many have one.

    Each map is divided by its own mean, so that a sample with a large logit does not outweigh others, and so
    that classes and models can be compared. A map that is 0 everywhere, of a sample that is decided by what
    speaks against other classes, is left out.
    """
    means = maps.mean(axis=(1, 2), keepdims=True)
    shown = means[:, 0, 0] > 0
    if not shown.any():
        return None, 0
    return (maps[shown] / means[shown]).mean(axis=0), int(shown.sum())


def integrated_gradients(network: nn.Module, inputs: Tensor, label: int, baseline: Tensor) -> Maps:
    """What each band and bin adds to a logit, `(sample, band, bin)` (Sundararajan et al. 2017).

    Args:
        network: Of any kind.
        inputs: `(sample, 1, band, bin)`, normalised.
        label: Whose logit.
        baseline: `(band, bin)`, the series to start from.
    """
    if not len(inputs):
        return np.zeros((0, *inputs.shape[2:]), np.float32)
    method = require_captum().IntegratedGradients(network)
    start = baseline[None, None]
    parts = [
        method.attribute(
            batch, baselines=start.expand_as(batch), target=label, n_steps=STEPS, internal_batch_size=BATCH
        )
        for batch in _batches(inputs)
    ]
    return np.asarray(torch.cat(parts).detach()[:, 0].float().cpu())


def unexplained(
    network: nn.Module, inputs: Tensor, label: int, baseline: Tensor, attribution: Maps
) -> float | None:
    """How far the mean attributions are from summing to the mean change of the logit, as a share of it."""
    with torch.inference_mode():
        logits = np.concatenate([np.asarray(network(batch)[:, label].cpu()) for batch in _batches(inputs)])
        start = float(network(baseline[None, None])[0, label])
    change = float(logits.mean()) - start
    return abs(float(attribution.sum(axis=(1, 2)).mean()) - change) / abs(change) if change else None


def _batches(inputs: Tensor) -> Iterator[Tensor]:
    return (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
