"""A network as maps on the servers take it: its weights within every request, or in table assets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import ee

from gee_pipeline.earthengine.network.network_graph import MatrixOf, NetworkGraph
from gee_pipeline.earthengine.network.network_weights import NetworkWeights
from gee_pipeline.earthengine.network.weight_tables import matrix_of_tables, models_of_tables
from gee_pipeline.errors import MismatchError
from gee_pipeline.layers import LayerName
from gee_pipeline.recipe import Recipe

ARRAY_BUDGET: Final = 1_150_000_000
"""Bytes that the largest arrays of the pixels of one request take at most. How many arrays the servers hold
at a time is not known; a request that is too large for them is halved in any case. A cell of 256 pixels takes
4 requests with 8 channels, 8 with 16 and 16 with 32."""

NUMBER_BYTES: Final = 8
"""Of a number in an array: doubles."""


@dataclass(frozen=True)
class ServedNetwork:
    """A small CropNet where the servers find it."""

    weights: NetworkWeights
    """The network."""
    digest: str
    """Of the model."""
    assets: tuple[str, ...] = ()
    """Tables of its weights in order; none where they go with every request."""

    kind: ClassVar[str] = "network"
    deploy_command: ClassVar[str] = "cropmap deploy"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.weights.classes

    @property
    def most_pixels(self) -> int:
        """Pixels that one request asks for at most, see `ARRAY_BUDGET`."""
        return max(ARRAY_BUDGET // (NUMBER_BYTES * self.weights.largest_array), 1)

    @property
    def matrix_of(self) -> MatrixOf:
        """The weights of a layer by its number."""
        if self.assets:
            return lambda layer: matrix_of_tables(self.assets, layer)
        return lambda layer: ee.Array([list(row) for row in self.weights.matrices[layer]])

    def describe(self) -> dict[str, Any]:
        """How its numbers are stored; whether they lie in an asset changes no pixel."""
        return {"weights": "float32"}

    def require_own(self, ask: Callable[[ee.ComputedObject], Any]) -> None:
        """Refuse tables that hold the weights of another model.

        Args:
            ask: The value of an expression.

        Raises:
            MismatchError: Naming tables and models.
        """
        if not self.assets:
            return
        found = ask(models_of_tables(self.assets))
        if found != [self.digest]:
            raise MismatchError(
                f"{', '.join(self.assets)} must hold the weights of the model {self.digest}, and holds "
                f"those of {', '.join(map(str, found)) or 'none'}. Deploy the model again with 'cropmap "
                "deploy --overwrite'."
            )

    def said(self, composites: Sequence[ee.Image], recipe: Recipe, layers: Sequence[LayerName]) -> ee.Image:
        """As `NetworkGraph.said`; the client must be open."""
        return NetworkGraph(self.weights, self.matrix_of).said(composites, recipe, layers)
