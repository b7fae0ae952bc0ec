"""A trained Random Forest: its trees, what its classes mean and what its input must be; and how it votes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.composite import kernel
from gee_pipeline.earthengine.forest.tree_text import SHARE_UNIT, inner_levels
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.features.feature_names import FeatureKind, feature_names
from gee_pipeline.files import ODD_VALUES, in_words, parse_json
from gee_pipeline.recipe import Recipe
from inference.models.crop_class import CropClass, require_legend
from inference.models.model_file import (
    FOREST,
    Arrays,
    content_digest,
    facts_of,
    read_model,
    require_format,
    require_recipe_digest,
    to_json,
    write_model,
)
from inference.models.pixel_prediction import ClassParts, Prediction

FORMAT: Final = 1
"""Version of the metadata; a file of another version is refused."""

LEAF: Final = -1
"""Feature and children of a leaf."""


@dataclass(frozen=True, eq=False)
class Tree:
    """One decision tree; node 0 is the root, the order of the others is any."""

    left: NDArray[np.int32]
    """`(node,)`, where a row goes whose feature is at most the threshold; -1 in a leaf."""
    right: NDArray[np.int32]
    """`(node,)`, where the others go; -1 in a leaf."""
    feature: NDArray[np.int32]
    """`(node,)`, column that is compared; -1 in a leaf."""
    threshold: NDArray[np.float64]
    """`(node,)`, what it is compared with, as 64-bit numbers; ignored in a leaf."""
    share: NDArray[np.float64]
    """`(node, class)`, share of each class among the training rows; a row sums to 1."""

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype))  # frozen
        if problem := next(_problems(self), None):
            raise InputError(f"A tree is not whole: {problem}. Make it again from the trained forest.")

    @property
    def depth(self) -> int:
        """Splits above the deepest leaf."""
        return sum(1 for _ in inner_levels(self.left, self.right, self.feature))

    @property
    def leaf_class(self) -> NDArray[np.intp]:
        """`(node,)`: the class with the largest share, of equal ones the first."""
        return self.share.argmax(axis=1)


_DTYPES: Final[dict[str, Any]] = {
    "left": np.int32,
    "right": np.int32,
    "feature": np.int32,
    "threshold": np.float64,
    "share": np.float64,
}


@dataclass(frozen=True, eq=False)
class ForestModel:
    """A forest, what its classes mean, what its input must be and where it comes from."""

    trees: tuple[Tree, ...]
    """At least one."""
    classes: tuple[CropClass, ...]
    """Class of each column of the shares, in order; their codes are 1..K."""
    recipe: Recipe
    """How its input is made from scenes."""
    features: FeatureKind = "median"
    """What is made of a series: the filled medians themselves, or harmonic coefficients."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """JSON values: data, year, season_start, footprint, samples, seed, cropmap_version."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """JSON values: how good it was, under each vote."""

    def __post_init__(self) -> None:
        require_legend(self.classes, "a forest")
        if self.features not in get_args(FeatureKind):
            raise InputError(f"The features of a forest are median or harmonic, got {self.features!r}.")
        if not self.trees:
            raise InputError("A forest has at least one tree, got none. Train it with --trees 1 or more.")
        widths = {tree.share.shape[1] for tree in self.trees}
        if widths != {len(self.classes)}:
            raise MismatchError(
                f"Each tree knows the {len(self.classes)} classes of its forest, got trees of "
                f"{', '.join(map(str, sorted(widths)))}. Train the forest again."
            )
        last = max(int(tree.feature.max()) for tree in self.trees)
        if last >= len(self.feature_names):
            raise MismatchError(
                f"The recipe makes {len(self.feature_names)} {self.features} features, but a tree looks at "
                f"feature {last + 1}. Train the forest again with this recipe."
            )

    @property
    def nodes(self) -> int:
        """Number of nodes of all trees, leaves included."""
        return sum(len(tree.feature) for tree in self.trees)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Name of each feature, which is that of its band in Earth Engine."""
        return feature_names(self.recipe, self.features)

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that are equal exactly when trees, classes, recipe and features are."""
        facts = {key: value for key, value in _facts(self).items() if key not in ("provenance", "metrics")}
        return content_digest(to_json(facts, FOREST.noun), _arrays(self.trees))

    def votes(self, features: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Number of trees that vote for each class, `(pixel, class)`.

        A tree votes for the class with the largest share in the pixel's leaf, of equal ones the smaller code.

        Args:
            features: `(pixel, feature)` in the order of `feature_names`.

        Raises:
            MismatchError: The rows have another number of features than the forest.
        """
        votes = np.zeros((len(features), len(self.classes)), np.uint16)
        packed = self._packed
        _count_votes(self._require_rows(features), packed.nodes, packed.roots, votes)
        return votes

    def soft(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean share of each class over the trees, `(pixel, class)`: scikit-learn's `predict_proba`.

        Args:
            features: As for `votes`.

        Raises:
            MismatchError: The rows have another number of features than the forest.
        """
        sums = np.zeros((len(features), len(self.classes)))
        self._add(features, self._packed.shares, sums)
        return sums / len(self.trees)

    def hard_prediction(self, features: NDArray[np.float32]) -> Prediction:
        """The class with most votes, of equal ones the smaller code, and its share of votes in percent.

        Args:
            features: As for `votes`.
        """
        return self.class_parts(features).largest()

    def soft_prediction(self, features: NDArray[np.float32]) -> Prediction:
        """The class with the largest sum of shares, of equal ones the smaller code, and its mean in percent.

        Shares count as whole ten-thousandths, as they are deployed, so this is pixel by pixel what Earth
        Engine can say; `soft` is scikit-learn's own mean.

        Args:
            features: As for `votes`.
        """
        return self.class_parts(features, soft=True).largest()

    def class_parts(self, features: NDArray[np.float32], *, soft: bool = False) -> ClassParts:
        """Votes of each class, or with `soft` the sums of its shares in whole ten-thousandths.

        Args:
            features: As for `votes`.
            soft: Whether shares count, not votes.
        """
        if not soft:
            return ClassParts(self.votes(features), len(self.trees))
        sums = np.zeros((len(features), len(self.classes)), np.int32)
        self._add(features, self._packed.parts, sums)
        return ClassParts(sums, SHARE_UNIT * len(self.trees))

    def _add(self, features: NDArray[np.float32], table: NDArray[Any], sums: NDArray[Any]) -> None:
        packed = self._packed
        _add_leaves(self._require_rows(features), packed.nodes, packed.roots, table, sums)

    def _require_rows(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        if features.ndim != 2 or features.shape[1] != len(self.feature_names):
            raise MismatchError(
                f"The forest takes rows of {len(self.feature_names)} {self.features} features, got "
                f"{features.shape}. Make them with the forest's own recipe."
            )
        assert features.dtype == np.float32, f"Features are float32, got {features.dtype}."
        assert np.isfinite(features).all(), "A series without any observation reached the forest."
        return np.ascontiguousarray(features)

    @cached_property
    def _packed(self) -> _Packed:
        return _Packed.of(self.trees)


def share_parts(share: NDArray[np.float64]) -> NDArray[np.int32]:
    """Shares as whole numbers of `1 / SHARE_UNIT`, halves up, in the same shape."""
    return np.floor(SHARE_UNIT * share + 0.5).astype(np.int32)


def save_forest(path: Path, model: ForestModel) -> None:
    """Write a forest atomically.

    Raises:
        InputError: Provenance or metrics are not JSON values.
    """
    write_model(path, FOREST, to_json(_facts(model), FOREST.noun), _arrays(model.trees))


def load_forest(path: Path) -> ForestModel:
    """The forest of a file, verified; no code of the file is run.

    Raises:
        InputError: The file does not exist, or is a checkpoint of CropNet.
        CorruptFileError: It is truncated, damaged or no forest of cropmap.
        MismatchError: It was written by another version, or its parts do not belong together.
    """
    text, arrays = read_model(path, FOREST)
    try:
        values = parse_json(text, path)
        require_format(values.get("format"), FORMAT, path, FOREST.noun)
        recipe = Recipe.from_dict(values["recipe"])
        require_recipe_digest(recipe, values["recipe_digest"], path, FOREST.noun)
        return ForestModel(
            trees=tuple(_split(arrays)),
            classes=tuple(CropClass(**c) for c in values["classes"]),
            recipe=recipe,
            features=values["features"],
            provenance=facts_of(values, "provenance"),
            metrics=facts_of(values, "metrics"),
        )
    except (*ODD_VALUES, CorruptFileError, InputError) as error:
        raise CorruptFileError(
            f"The content of {path} is damaged: {in_words(error)}. Copy or train the forest again."
        ) from error


def _facts(model: ForestModel) -> dict[str, Any]:
    """Everything but the trees, as JSON values."""
    return {
        "format": FORMAT,
        "classes": [asdict(c) for c in model.classes],
        "recipe": model.recipe.to_dict(),
        "recipe_digest": model.recipe.digest,
        "features": model.features,
        "provenance": model.provenance,
        "metrics": model.metrics,
    }


def _arrays(trees: tuple[Tree, ...]) -> Arrays:
    """The trees one behind the other; a node's children are counted from its own tree's root."""
    arrays: Arrays = {name: np.concatenate([getattr(t, name) for t in trees]) for name in _DTYPES}
    arrays["nodes"] = np.array([len(tree.feature) for tree in trees], np.int64)
    return arrays


def _split(arrays: Arrays) -> Iterator[Tree]:
    """The trees that `_arrays` has put together."""
    if wrong := [name for name, dtype in _DTYPES.items() if arrays[name].dtype != dtype]:
        raise TypeError(f"{wrong[0]} is {arrays[wrong[0]].dtype}, not {np.dtype(_DTYPES[wrong[0]])}")
    ends = np.cumsum(arrays["nodes"])
    lengths = {len(arrays[name]) for name in _DTYPES}
    if lengths != {int(ends[-1])}:
        raise ValueError(f"{ends[-1]} nodes are declared, but the arrays have {sorted(lengths)}")
    for start, end in zip(ends - arrays["nodes"], ends, strict=True):
        yield Tree(**{name: arrays[name][start:end] for name in _DTYPES})


def _problems(tree: Tree) -> Iterator[str]:
    """What is wrong with a tree, the shapes first, for the rest builds on them."""
    nodes = len(tree.feature)
    shapes = [getattr(tree, name).shape[:1] for name in _DTYPES]
    if nodes == 0 or tree.share.ndim != 2 or set(shapes) != {(nodes,)}:
        yield f"its arrays have the shapes {shapes}, and shares {tree.share.shape}"
        return
    inner = tree.feature >= 0
    children = np.concatenate([tree.left[inner], tree.right[inner]])
    if not np.array_equal(np.sort(children), np.arange(1, nodes)):
        yield "each node but the root must be the child of one other"
        return
    # Each node has one parent, so a node that the root does not reach is on a ring.
    levels = inner_levels(tree.left, tree.right, tree.feature)
    if 1 + 2 * sum(len(level) for level in levels) != nodes:
        yield "some nodes cannot be reached from the root"
    if not np.isfinite(tree.threshold[inner]).all():
        yield "a threshold is not a number"
    if not ((tree.share >= 0).all() and np.allclose(tree.share.sum(axis=1), 1, atol=1e-6)):
        yield "the shares of a node must sum to 1"


_NODE: Final = np.dtype(
    [("feature", np.int32), ("threshold", np.float32), ("left", np.int32), ("right", np.int32)], align=True
)
"""A node in 16 bytes; in a leaf `left` is its class and `right` its row of the shares."""


@dataclass(frozen=True)
class _Packed:
    """The trees as the kernels read them."""

    nodes: NDArray[Any]
    """`(node,)` of all trees."""
    roots: NDArray[np.int64]
    """`(tree,)`, each tree's root."""
    shares: NDArray[np.float64]
    """`(leaf, class)`."""
    parts: NDArray[np.int32]
    """`(leaf, class)`, the shares as whole numbers."""

    @classmethod
    def of(cls, trees: tuple[Tree, ...]) -> _Packed:
        counts = np.array([len(tree.feature) for tree in trees])
        starts = np.cumsum(counts) - counts
        arrays = _arrays(trees)
        leaf = arrays["feature"] < 0
        shift = np.repeat(starts, counts)
        nodes = np.empty(len(leaf), _NODE)
        nodes["feature"] = np.where(leaf, LEAF, arrays["feature"])
        nodes["threshold"] = _float32_below(arrays["threshold"])
        nodes["left"] = np.where(leaf, arrays["share"].argmax(axis=1), arrays["left"] + shift)
        nodes["right"] = np.where(leaf, np.cumsum(leaf) - 1, arrays["right"] + shift)
        shares = arrays["share"][leaf]
        return cls(nodes, starts, shares, share_parts(shares))


def _float32_below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each threshold: a float32 compares with both alike."""
    with np.errstate(over="ignore", invalid="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


_BLOCK: Final = 128
"""Pixels that go through a tree together: their features and the tree stay in the cache."""

_LANES: Final = 8
"""Pixels that take turns on their way down: while one waits for memory the next continues; twice as fast."""


@kernel
def _descend(rows: Any, nodes: Any, root: int, leaves: Any) -> None:
    """The leaf of each row in one tree."""
    leaves[:] = root
    for begin in range(0, len(rows), _LANES):
        end = min(begin + _LANES, len(rows))
        busy = True
        while busy:
            busy = False
            for i in range(begin, end):
                node = nodes[leaves[i]]
                if node.feature >= 0:
                    leaves[i] = node.left if rows[i, node.feature] <= node.threshold else node.right
                    busy = True


@kernel
def _count_votes(rows: Any, nodes: Any, roots: Any, votes: Any) -> None:
    leaves = np.empty(_BLOCK, np.int32)
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        for root in roots:
            _descend(block, nodes, root, leaves[: len(block)])
            for i in range(len(block)):
                votes[begin + i, nodes[leaves[i]].left] += 1


@kernel
def _add_leaves(rows: Any, nodes: Any, roots: Any, table: Any, sums: Any) -> None:
    """Add the row of `table` of each pixel's leaf in each tree to `sums` `(pixel, class)`."""
    leaves = np.empty(_BLOCK, np.int32)
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        for root in roots:
            _descend(block, nodes, root, leaves[: len(block)])
            for i in range(len(block)):
                for k in range(table.shape[1]):
                    sums[begin + i, k] += table[nodes[leaves[i]].right, k]
