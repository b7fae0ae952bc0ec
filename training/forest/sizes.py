"""How large a forest can become on the way to Earth Engine, reported before it is grown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.earthengine.client.assets import json_bytes
from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.tree_text import SHARE_UNIT, tree_text
from inference.deployment.deployment import DeployedSizes
from inference.models.forest_model import LEAF
from training.forest.options import ForestOptions


def expected_sizes(
    options: ForestOptions,
    features: NDArray[np.float32],
    names: Sequence[str],
    classes: int,
    confidence: Confidence,
) -> DeployedSizes:
    """An upper estimate: all trees with as many leaves as they can have, all nodes as deep as they can be.

    Args:
        options: How the forest is grown.
        features: `(sample, feature)` of the samples that grow it, whole numbers.
        names: Name of each feature.
        classes: Number of classes.
        confidence: What the servers are to answer.
    """
    leaves = most_leaves(options, len(features))
    tree = _tree_bytes(
        leaves, most_splits(options, leaves), features, names, _widest_value(classes, confidence)
    )
    ensembles = classes if confidence == "probability" else 1
    nodes = options.trees * (2 * leaves - 1)
    return DeployedSizes(options.trees, nodes, confidence, (options.trees * tree,) * ensembles, tree)


def most_leaves(options: ForestOptions, samples: int) -> int:
    """Leaves of the largest tree that the options and the number of samples allow, at least 2."""
    limits = [2**options.max_depth, drawn_at_most(samples) // options.min_leaf]
    if options.max_leaf_nodes:
        limits.append(options.max_leaf_nodes)
    return max(2, min(limits))


def most_splits(options: ForestOptions, leaves: int) -> int:
    """Splits above the deepest leaf of a tree with this many leaves."""
    return min(options.max_depth, leaves - 1)


def drawn_at_most(samples: int) -> int:
    """Different samples among as many draws with replacement: four standard deviations above the mean.

    The mean is `samples` x (1 - 1/e), the variance `samples` x (1 - 2/e) / e.
    """
    mean, variance = samples * (1 - 1 / math.e), samples * (1 - 2 / math.e) / math.e
    return min(samples, math.ceil(mean + 4 * math.sqrt(variance)) + 1)


def _tree_bytes(
    leaves: int, depth: int, features: NDArray[np.float32], names: Sequence[str], value: int
) -> int:
    """Bytes of a tree in a request, all of whose nodes have the longest name, threshold, value and number."""
    ends = np.floor([features.min(), features.max()]) + 0.5
    stump = _stump(max(ends.tolist(), key=lambda end: len(f"{end}")), max(names, key=len), value)
    one_split = json_bytes(stump)
    root = json_bytes(stump.partition("\n")[0])
    digits = len(str(2 ** (depth + 1) - 1)) - 1  # the stump's own nodes have a number of one digit
    return root + (leaves - 1) * (one_split - root + 2 * digits) + len('"\\n", ')


def _stump(threshold: float, name: str, value: int) -> str:
    """One split with two leaves, in the form that the service reads."""
    return tree_text(
        left=np.array([1, LEAF, LEAF], np.int32),
        right=np.array([2, LEAF, LEAF], np.int32),
        feature=np.array([0, LEAF, LEAF], np.int32),
        threshold=np.array([threshold, 0, 0]),
        value=np.full(3, value),
        names=[name],
    )


def _widest_value(classes: int, confidence: Confidence) -> int:
    return SHARE_UNIT if confidence == "probability" else classes
