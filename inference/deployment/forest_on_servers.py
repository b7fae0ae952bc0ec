"""A deployed forest on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.served_forest import ServedForest
from gee_pipeline.layers import LayerName, band_names
from gee_pipeline.map_codes import NONE
from gee_pipeline.recipe import Recipe
from gee_pipeline.source import Composite
from inference.deployment.deployment import Deployment
from inference.deployment.server_model import blank_prediction, known_pixels
from inference.models.class_layers import layer_values
from inference.models.crop_class import CropClass
from inference.models.forest_features import forest_features
from inference.models.forest_model import ForestModel
from inference.models.pixel_prediction import ScoredPrediction
from inference.models.series import pixel_series

TOLERANCE: Final = {"median": 0.0, "harmonic": 0.001}
"""Share of the pixels with a class that may differ. Medians are whole numbers on both sides; a harmonic
coefficient is rounded, and a sum of 43 products that ends close to a half may be rounded either way."""

_HOW: Final[dict[Confidence, str]] = {
    "votes": "share of the votes of {trees} trees",
    "probability": "mean leaf probability of {trees} trees",
    "none": "none, the class is Earth Engine's own vote of {trees} trees",
}
"""How the confidence of a pixel is made."""


@dataclass(frozen=True)
class ForestOnServers:
    """A forest, and where its trees are."""

    model: ForestModel
    """The forest."""
    deployed: Deployment
    """Where the servers find its trees."""

    verify_command: ClassVar[str] = "cropmap forest verify"
    way_out: ClassVar[str] = "Deploy the forest again ('cropmap forest deploy --overwrite') and verify again"
    exact: ClassVar[tuple[str, ...]] = ("clear",)

    def __post_init__(self) -> None:
        self.deployed.require_of(self.model)

    @property
    def served(self) -> ServedForest:
        """The forest as the servers find it."""
        trees = self.deployed.served(self.model)
        return ServedForest(self.model.features, trees, len(self.model.classes))

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
        """Of the forest."""
        return self.model.digest

    @property
    def deployment(self) -> Mapping[str, Any]:
        """How it came to the servers, as JSON values."""
        return self.deployed.to_dict()

    @property
    def confidence(self) -> str:
        """How the confidence of a pixel is made, in words."""
        return _HOW[self.deployed.confidence].format(trees=f"{self.deployed.trees:,}")

    @property
    def tolerance(self) -> float:
        """Share of the pixels with a class that may differ."""
        return TOLERANCE[self.model.features]

    def predicted(self, composite: Composite, layers: Sequence[LayerName] = ()) -> NDArray[np.uint8]:
        """What the forest says of a cell on this machine: the bands `(band, y, x)` of a prediction."""
        names = band_names(layers, len(self.model.classes))
        bands, known = blank_prediction(composite, self.recipe, len(names))
        if known.any():
            features = self._features(composite, known)
            scores = self.model.class_parts(features, soft=self.deployed.confidence == "probability")
            said = scores.largest()
            bands[0, known] = said.codes
            bands[1, known] = NONE if self.deployed.confidence == "none" else said.confidence
            if layers:
                bands[3:, known] = layer_values(layers, ScoredPrediction(said, scores))
        return bands

    def excused(
        self,
        here: NDArray[np.uint8],
        servers: NDArray[np.uint8],
        composite: Composite,
        layers: Sequence[LayerName] = (),
    ) -> NDArray[np.bool_]:
        """Without confidence, classes of equal votes: Earth Engine decides between them by its own rule."""
        excused = np.zeros(here.shape, np.bool_)
        if self.deployed.confidence == "none":
            excused[0] = (here[0] != servers[0]) & self._has_most_votes(servers[0], composite)
        return excused

    def words_of_excused(self, count: int) -> str:
        """What is said of so many ties that the servers decided otherwise."""
        return f"; {count:,} equal votes are decided otherwise by Earth Engine's own rule" if count else ""

    def _has_most_votes(self, codes: NDArray[np.uint8], composite: Composite) -> NDArray[np.bool_]:
        """`(y, x)`: where no class has more votes than that of a code."""
        _, known = known_pixels(composite, self.recipe)
        found = np.zeros(known.shape, np.bool_)
        if known.any():
            votes = self.model.votes(self._features(composite, known))
            named = codes[known, None] == np.arange(1, len(self.model.classes) + 1)
            found[known] = (named & (votes == votes.max(axis=1, keepdims=True))).any(axis=1)
        return found

    def _features(self, composite: Composite, known: NDArray[np.bool_]) -> NDArray[np.float32]:
        return forest_features(pixel_series(composite.values, known), self.recipe, self.model.features)
