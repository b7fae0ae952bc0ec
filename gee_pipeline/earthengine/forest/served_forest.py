"""A deployed forest as maps on the servers take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import ee

from gee_pipeline.earthengine.forest.classifier_assets import ServedTrees
from gee_pipeline.earthengine.forest.forest_graph import ForestGraph, Voters
from gee_pipeline.features.feature_names import FeatureKind
from gee_pipeline.layers import LayerName
from gee_pipeline.recipe import Recipe


@dataclass(frozen=True)
class ServedForest:
    """A forest whose trees the servers find; small to pickle unless they go with every request."""

    features: FeatureKind
    """What it looks at."""
    trees: ServedTrees
    """Where the servers find its trees."""
    classes: int
    """Number of classes."""

    kind: ClassVar[str] = "forest"
    deploy_command: ClassVar[str] = "cropmap forest deploy"
    most_pixels: ClassVar[int | None] = None

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets of its trees."""
        return self.trees.assets

    def describe(self) -> dict[str, Any]:
        """How its trees come to the servers and what they answer, as JSON values."""
        return {"way": self.trees.way, "confidence": self.trees.confidence, "features": self.features}

    def require_own(self, ask: Callable[[ee.ComputedObject], Any]) -> None:
        """Trees do not name their forest; made rows were compared when it was deployed."""

    def said(self, composites: Sequence[ee.Image], recipe: Recipe, layers: Sequence[LayerName]) -> ee.Image:
        """As `ForestGraph.said`; the client must be open."""
        return ForestGraph(self.features, _voters(self.trees, self.classes)).said(composites, recipe, layers)


@lru_cache(maxsize=2)
def _voters(trees: ServedTrees, classes: int) -> Voters:
    """The same classifiers for all cells: inline trees are much text."""
    return Voters(trees.confidence, trees.classifiers(), classes)
