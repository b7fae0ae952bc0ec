"""A small network on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.layers import LayerName, band_names, placed
from gee_pipeline.recipe import Recipe
from gee_pipeline.source import Composite
from inference.deployment.network_deployment import NetworkDeployment, served_network
from inference.deployment.server_model import blank_prediction, known_pixels
from inference.models.checkpoint import Checkpoint
from inference.models.class_layers import layer_values
from inference.models.crop_class import CropClass
from inference.models.predictor import Predictor
from inference.models.series import pixel_series

MARGIN: Final = 1e-3
"""Two logits that are closer, for each unit of the largest, count as equal: this machine sums in 32 bits, the
servers in 64, and trained networks differ by some millionths."""

TOLERANCE: Final = 0.001
"""Share of the pixels with a class that may differ by more than one percent in confidence, or in a layer."""


@dataclass(frozen=True)
class NetworkOnServers:
    """A network, and where its weights are."""

    model: Checkpoint
    """The network."""
    deployed: NetworkDeployment | None
    """Where the servers find its weights; None lets them go with every request."""

    verify_command: ClassVar[str] = "cropmap compare"
    way_out: ClassVar[str] = (
        "Deploy its weights again ('cropmap deploy --overwrite') where they lie in an asset, or map on this "
        "machine (omit --on servers)"
    )
    exact: ClassVar[tuple[str, ...]] = ("class", "clear")
    tolerance: ClassVar[float] = TOLERANCE
    confidence: ClassVar[str] = ""

    @cached_property
    def served(self) -> ServedNetwork:
        """The network as the servers find it."""
        return served_network(self.model, self.deployed)

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""
        return self.model.classes

    @property
    def recipe(self) -> Recipe:
        """How its series are made."""
        return self.model.recipe

    @property
    def digest(self) -> str:
        """Of the model."""
        return self.model.digest

    @property
    def deployment(self) -> Mapping[str, Any]:
        """Which weights; where they lie changes no pixel, but what lies there may be something else."""
        return {"network": self.digest, "assets": list(self.deployed.assets if self.deployed else ())}

    def predicted(self, composite: Composite, layers: Sequence[LayerName] = ()) -> NDArray[np.uint8]:
        """What the network says of a cell on this machine: the bands `(band, y, x)` of a prediction."""
        names = band_names(layers, len(self.classes))
        bands, known = blank_prediction(composite, self.recipe, len(names))
        if known.any():
            scored = self._predictor.scored(pixel_series(composite.values, known))
            bands[0, known], bands[1, known] = scored.prediction.codes, scored.prediction.confidence
            if layers:
                bands[3:, known] = layer_values(layers, scored)
        return bands

    def excused(
        self,
        here: NDArray[np.uint8],
        servers: NDArray[np.uint8],
        composite: Composite,
        layers: Sequence[LayerName] = (),
    ) -> NDArray[np.bool_]:
        """Percents that were rounded otherwise, and all of pixels whose classes are as good as equal."""
        percents = np.zeros((len(here), 1, 1), np.bool_)
        for one in placed(layers, len(self.classes)):
            percents[one.bands.start : one.bands.stop] = one.layer.unit.startswith("percent")
        rounded = percents & (np.abs(here.astype(np.int16) - servers) <= 1)
        close = self._close(servers[0], composite)
        return (here != servers) & (rounded | close)

    def words_of_excused(self, count: int) -> str:
        """What is said of so many pixels whose difference is rounding."""
        if not count:
            return ""
        return (
            f"; {count:,} more differ by one percent, or between classes whose logits are within {MARGIN:g}"
        )

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.model, "cpu")

    def _close(self, codes: NDArray[np.uint8], composite: Composite) -> NDArray[np.bool_]:
        """`(y, x)`: where a code is not the class here, and its logit as good as the largest."""
        _, known = known_pixels(composite, self.recipe)
        found = np.zeros(known.shape, np.bool_)
        if known.any():
            logits = self._predictor.logits(pixel_series(composite.values, known))
            largest = logits.max(axis=1)
            index = np.clip(codes[known].astype(np.intp) - 1, 0, logits.shape[1] - 1)
            behind = largest - logits[np.arange(len(logits)), index]
            other = logits.argmax(axis=1) != index
            found[known] = other & (behind <= MARGIN * np.maximum(1, np.abs(largest)))
        return found
