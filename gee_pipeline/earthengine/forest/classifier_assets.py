"""Trees as assets of Earth Engine: how they are asked for, how large that is, and how the servers read them.

A classifier asset is an ensemble with its output mode. A table asset holds one tree a feature, as text with
`#` in place of line ends: several tables together hold more than one request may carry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import ee

from gee_pipeline.earthengine.client.assets import (
    ROW_BYTES,
    TABLE_BYTES,
    AssetRequest,
    asset_request,
    json_bytes,
    rows_of_tables,
    table_parts,
)
from gee_pipeline.earthengine.forest.deploy_options import Confidence, Way

T = TypeVar("T")

REST_OF_REQUEST: Final = 2 * 2**20
"""What a request for predictions holds besides trees at most: medians, filling and features of 73 bins."""

MODES: Final[dict[Confidence, str]] = {
    "votes": "RAW",
    "probability": "REGRESSION",
    "none": "CLASSIFICATION",
}
"""Output mode of an ensemble."""

LINE_END: Final = "#"
"""What stands for a line end in a table."""


@dataclass(frozen=True)
class ServedTrees:
    """Trees where the servers find them; small to pickle unless they go with every request."""

    way: Way
    """How they come to the servers."""
    confidence: Confidence
    """What the ensembles answer."""
    assets: tuple[str, ...]
    """Names `projects/P/assets/NAME` in order: one a classifier, or tables; none with the way `inline`."""
    ensembles: int
    """Classifiers that the trees make: one, or one per class."""
    texts: tuple[tuple[str, ...], ...] = ()
    """With the way `inline`, the trees of each ensemble."""

    def classifiers(self) -> tuple[ee.Classifier, ...]:
        """The ensembles as Earth Engine objects; needs an initialised client."""
        mode = MODES[self.confidence]
        if self.way == "classifier":
            return tuple(ee.Classifier.load(asset) for asset in self.assets)  # the mode was exported with it
        if self.way == "inline":
            return tuple(ensemble(trees, mode) for trees in self.texts)
        return tuple(ensemble(_trees_of_tables(self.assets, e), mode) for e in range(self.ensembles))


@dataclass(frozen=True)
class TreeRow:
    """One feature of a table."""

    ensemble: int
    """Which ensemble it belongs to, from 0."""
    index: int
    """Place among all trees of all ensembles."""
    text: str
    """The tree."""

    @property
    def bytes(self) -> int:
        """What it adds to a request."""
        return json_bytes(self.text) + ROW_BYTES


def ensemble(trees: Sequence[str] | ee.List, mode: str) -> ee.Classifier:
    """The classifier that asks each of some trees.

    Args:
        trees: Their texts.
        mode: Name of an output mode, see `MODES`.
    """
    return ee.Classifier.decisionTreeEnsemble(trees).setOutputMode(mode)


def classifier_request(
    trees: Sequence[str], mode: str, asset: str, name: str, *, overwrite: bool
) -> AssetRequest:
    """The request that makes a classifier asset of trees."""
    task = ee.batch.Export.classifier.toAsset(
        ensemble(list(trees), mode), description=name, assetId=asset, overwrite=overwrite
    )
    return asset_request("classifier", asset, name, task)


def table_row(row: TreeRow) -> dict[str, int | str]:
    """The properties of a tree's feature."""
    return {"ensemble": row.ensemble, "index": row.index, "tree": row.text.replace("\n", LINE_END)}


def table_chunks(rows: Sequence[TreeRow], limit: int = TABLE_BYTES) -> Iterator[list[TreeRow]]:
    """The rows of each table, in order: as many as `limit` bytes hold, one at least."""
    return table_parts(rows, lambda row: row.bytes, limit)


def _trees_of_tables(assets: Sequence[str], number: int) -> ee.List:
    """The texts of one ensemble's trees in order."""
    rows = rows_of_tables(assets).filter(ee.Filter.eq("ensemble", number)).sort("index")
    return rows.aggregate_array("tree").map(lambda text: ee.String(text).replace(LINE_END, "\n", "g"))
