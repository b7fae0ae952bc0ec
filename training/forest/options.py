"""The options of growing a forest; the defaults of the command are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from gee_pipeline.earthengine.forest.deploy_options import DEEPEST
from gee_pipeline.errors import InputError

Features = Literal["median", "harmonic"]
"""`gee_pipeline.features.feature_names.FeatureKind`, named here because that module loads numpy."""
FEATURES: Final[tuple[Features, ...]] = get_args(Features)

MOST_TREES: Final = 10_000
"""Far more than gain anything: in numbers of trees, not of bytes, nothing else limits a forest."""


@dataclass(frozen=True)
class ForestOptions:
    """How a forest is grown; the defaults keep its way to Earth Engine short: about 1 MB of trees."""

    features: Features = "median"
    """`median`: the filled medians of the model window; `harmonic`: 35 coefficients of them."""
    trees: int = 100
    """Number of trees."""
    max_leaf_nodes: int = 200
    """Most leaves of a tree, the best splits first; 0 sets no limit."""
    max_depth: int = 20
    """Most splits above a leaf, up to `DEEPEST`."""
    min_leaf: int = 1
    """Fewest training samples in a leaf."""
    seed: int = 1
    """Chooses the samples of each tree and the features of each split."""
    all_samples: bool = False
    """Grow the delivered forest on all samples; another one, grown on the training part, is evaluated."""

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise InputError(f"Features are one of {', '.join(FEATURES)}, got {self.features!r}.")
        if not 1 <= self.trees <= MOST_TREES:
            raise InputError(f"A forest has 1 to {MOST_TREES:,} trees, got {self.trees}. Try --trees 100.")
        if self.max_leaf_nodes != 0 and self.max_leaf_nodes < 2:
            raise InputError(
                f"A tree splits into 2 leaves or more, got at most {self.max_leaf_nodes}. Try "
                "--max-leaf-nodes 200, or 0 for no limit."
            )
        if not 1 <= self.max_depth <= DEEPEST:
            raise InputError(
                f"A tree for Earth Engine has 1 to {DEEPEST} splits above a leaf, because the numbers of its "
                f"nodes double with each; got {self.max_depth}. Try --max-depth {DEEPEST}."
            )
        if self.min_leaf < 1:
            raise InputError(f"A leaf has 1 sample or more, got {self.min_leaf}. Try --min-leaf 1.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"A seed is a number from 0 to {2**32 - 1}, got {self.seed}. Try --seed 1.")
