"""Whether a network on the servers answers as it does here: made series, labelled on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import ee
import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.network.network_graph import logits
from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.errors import EarthEngineError, MismatchError
from inference.deployment.probe import ONE_PIXEL
from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor

SERIES: Final = 4
"""Series that are labelled on both sides; each is a whole network in the request."""

TOLERANCE: Final = 1e-3
"""Logits may differ by this, and by as much of the largest: here they are summed in 32 bits."""


@dataclass(frozen=True)
class NetworkProbe:
    """What a comparison found; differences are an error and not reported here."""

    series: int
    """Series that were compared."""
    largest_difference: float
    """Of all logits."""


def probe_network(
    checkpoint: Checkpoint, served: ServedNetwork, fetcher: Fetcher, *, seed: int = 0
) -> NetworkProbe:
    """Label made series on the servers, and compare the logits with those here.

    Args:
        checkpoint: The model.
        served: Where its weights are.
        fetcher: Asks Earth Engine.
        seed: Of the series.

    Raises:
        AccessError: Earth Engine does not let us in.
        EarthEngineError: It does not compute with these weights.
        MismatchError: It does, with other results.
    """
    series = probe_series(checkpoint, np.random.default_rng(seed))
    here = Predictor(checkpoint, "cpu").logits(series)
    try:
        values = fetcher.raster(probe_image(series, served), ONE_PIXEL)
    except EarthEngineError as error:
        raise EarthEngineError(
            f"The weights are at Earth Engine, but it does not compute with them. {error}"
        ) from error
    there = values.reshape(here.shape)
    apart = np.abs(there - here)
    if (apart > TOLERANCE * max(1.0, float(np.abs(here).max()))).any():
        raise MismatchError(
            "The network on the servers must answer as it does here, and the logits of made series differ by "
            f"{apart.max():.3g}: {there[0].tolist()} there, {here[0].tolist()} here. The weights in "
            f"{', '.join(served.assets) or 'the request'} are others, or Earth Engine computes in another "
            "way. Deploy them again with --overwrite; if that changes nothing, please report it."
        )
    return NetworkProbe(len(series), float(apart.max()))


def probe_series(checkpoint: Checkpoint, random: np.random.Generator) -> NDArray[np.int16]:
    """Series `(series, band, bin)` of whole numbers without gaps, about what the network was trained on."""
    recipe, scaling = checkpoint.recipe, checkpoint.normalisation
    stored = np.asarray(recipe.scales)
    shape = (SERIES, len(recipe.bands), len(recipe.window))
    about = np.asarray(scaling.mean)[:, None] + np.asarray(scaling.std)[:, None] * random.normal(size=shape)
    values: NDArray[np.int16] = np.clip(np.round(about / stored[:, None]), -9_998, 32_766).astype(np.int16)
    return values


def probe_image(series: NDArray[np.int16], served: ServedNetwork) -> ee.Image:
    """The logits of each series, as bands of one image without a place.

    Args:
        series: `(series, band, bin)`.
        served: The network.
    """
    return ee.ImageCollection([_logits(one, served) for one in series]).toBands()


def _logits(series: NDArray[np.int16], served: ServedNetwork) -> ee.Image:
    bins = [ee.Image.constant(values.tolist()) for values in series.T]
    return logits(bins, served.weights, served.matrix_of)
