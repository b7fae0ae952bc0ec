"""A small network as scripts take it: sizes of its layers, and weights within the script or in tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gee_pipeline.earthengine.composites.tasks import square_of
from gee_pipeline.earthengine.network.network_graph import PROBABILITY_UNIT
from gee_pipeline.earthengine.network.network_weights import Map, NetworkWeights, Told
from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.earthengine.network.weight_tables import SEPARATOR
from gee_pipeline.errors import InputError
from gee_pipeline.layers import AT_LIMIT, LEAST_PROBABILITY, MOST_UNLIKE
from inference.scripts.model_part import ModelPart
from inference.scripts.script_text import Settings, about

_VIEW: Final = (
    " A view computes 256 x 256 pixels at a time and may lack the memory for the network; tasks compute "
    "smaller squares."
)


def network_part(network: ServedNetwork) -> ModelPart:
    """What a script needs of a network.

    Raises:
        InputError: It is a perceptron.
    """
    if network.weights.layers:
        raise InputError(
            "A script holds a small CropNet or a forest, and this model is a multilayer perceptron. Map it "
            "with 'cropmap predict --on servers', or distil a CropNet of it: 'cropmap distill --teacher "
            "MODEL --channels 16'."
        )
    return ModelPart(
        name="network",
        title="a small neural network",
        code_command="cropmap code",
        map_command="cropmap predict --on servers",
        smaller="Write the weights to an asset with 'cropmap deploy MODEL --asset "
        "projects/PROJECT/assets/NAME', then give the same command again: the script reads them there.",
        view=_VIEW,
        scored=True,
        parts=frozenset({"weights-table" if network.assets else "weights-inline"}),
        settings=(*_shape(network.weights), *_told(network.weights.told), *_weights(network)),
    )


def _shape(weights: NetworkWeights) -> Iterator[Settings]:
    first, *maps = weights.maps()
    layers = [
        {**_size(convolution.outputs, map), "stride": convolution.stride}
        for convolution, map in zip(weights.convolutions, maps, strict=True)
    ]
    yield about(
        "Stored values of each band times a factor plus an offset are what the network takes.",
        FACTOR=list(weights.factor),
        OFFSET=list(weights.offset),
    )
    yield about("Its input: one channel of bands x bins.", INPUT=_size(1, first))
    yield about(
        "What each convolution leaves; with a stride of 2 it looks at every second row and column.",
        LAYERS=layers,
    )
    yield about(
        "Logits are divided by the temperature. Probabilities are counted in parts of a whole.",
        TEMPERATURE=weights.temperature,
        WHOLE=PROBABILITY_UNIT,
    )


def _size(channels: int, map: Map) -> dict[str, int]:
    return {"channels": channels, "rows": map.rows, "columns": map.columns}


def _told(told: Told) -> Iterator[Settings]:
    if told.set_limits is not None:
        yield about(
            "A class is in the prediction set of a pixel where 1 less its probability is at most its limit.",
            SET_LIMITS=list(told.set_limits),
        )
    if told.means is not None:
        yield about(
            "Mean answer of each class in training and the inverse of their covariance, the distance that is "
            "the limit, and what makes layer values of distances.",
            MEANS=[list(row) for row in told.means],
            PRECISION=[list(row) for row in told.precision],
            LIMIT=told.limit,
            AT_LIMIT=AT_LIMIT,
            MOST_UNLIKE=MOST_UNLIKE,
            LEAST_PROBABILITY=LEAST_PROBABILITY,
        )


def _weights(network: ServedNetwork) -> Iterator[Settings]:
    yield about(
        "Pixels along one side of the squares that a task computes at a time; smaller ones take less memory.",
        SQUARE=square_of(network.most_pixels),
    )
    if network.assets:
        yield about(
            "Tables of the weights, the model whose weights they must be, and what separates numbers there.",
            ASSETS=list(network.assets),
            MODEL=network.digest,
            SEPARATOR=SEPARATOR,
        )
    else:
        yield about(
            "The weights: a row a channel of a layer, place by place of 3 x 3, the bias last. The last layer "
            "has a row a class.",
            WEIGHTS=list(_rows(network.weights)),
        )


def _rows(weights: NetworkWeights) -> Iterator[dict[str, Any]]:
    for layer, matrix in enumerate(weights.matrices):
        for row in matrix:
            yield {"layer": layer, "values": list(row)}
