"""Weights as table assets of Earth Engine: a row a channel, its numbers as text.

Requests stay small where weights are many, and scripts can be shared without them. A text in a table has at
most 100,000 characters; a row of the widest network here has a few thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import ee

from gee_pipeline.earthengine.client.assets import (
    ROW_BYTES,
    TABLE_BYTES,
    json_bytes,
    rows_of_tables,
    table_parts,
)
from gee_pipeline.earthengine.network.network_weights import NetworkWeights

SEPARATOR: Final = ","
"""Between the numbers of a row."""

Row = Mapping[str, int | str]
"""Properties of one feature: `model`, `layer`, `row` and `values`."""


def weight_rows(weights: NetworkWeights, digest: str) -> Iterator[Row]:
    """The rows of the tables, in order of layers and of rows.

    Args:
        weights: The network.
        digest: Of the model; a table of another one is known by it.
    """
    for layer, matrix in enumerate(weights.matrices):
        for row, values in enumerate(matrix):
            yield {"model": digest, "layer": layer, "row": row, "values": SEPARATOR.join(map(repr, values))}


def weight_tables(rows: Iterator[Row], limit: int = TABLE_BYTES) -> Iterator[list[Row]]:
    """The rows of each table: as many as `limit` bytes hold, one at least."""
    return table_parts(rows, lambda row: json_bytes(row["values"]) + ROW_BYTES, limit)


def matrix_of_tables(assets: Sequence[str], layer: int) -> ee.Array:
    """The weights of one layer, read by the servers."""
    return matrix_of_rows(rows_of_tables(assets), layer)


def matrix_of_rows(rows: ee.FeatureCollection, layer: int) -> ee.Array:
    """The weights of one layer out of the rows of all, in whatever order."""
    found = rows.filter(ee.Filter.eq("layer", layer)).sort("row")
    return ee.Array(found.aggregate_array("values").map(_numbers))


def models_of_tables(assets: Sequence[str]) -> ee.List:
    """Digests of the models whose weights some tables hold, each once."""
    return rows_of_tables(assets).aggregate_array("model").distinct()


def _numbers(text: ee.ComputedObject) -> ee.List:
    return ee.String(text).split(SEPARATOR).map(lambda number: ee.Number.parse(ee.String(number)))
