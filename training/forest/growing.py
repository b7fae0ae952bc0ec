"""From samples to a forest that says what it was grown on and how good it is under both votes."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.errors import InputError
from gee_pipeline.features.feature_names import feature_names
from gee_pipeline.season import Season
from inference.deployment.deployment import DeployedSizes, deployed_sizes
from inference.models.forest_features import forest_features
from inference.models.forest_model import ForestModel, Tree
from training.fit.options import SplitRule
from training.fit.split import Split, split_samples
from training.fit.training_data import origin_facts, season_of, with_groups
from training.forest.from_sklearn import trees_of
from training.forest.nearness import share_near
from training.forest.options import ForestOptions
from training.forest.scoring import answers_of, out_of_bag, score_forest
from training.forest.sizes import expected_sizes, most_leaves, most_splits
from training.models.forest import Forest, Limits
from training.samples.crops import crop_classes
from training.samples.samples import Samples

CONFIDENCES: Final[tuple[Confidence, ...]] = ("votes", "probability")
"""What a forest can report besides a class; without confidence it is as large as with votes."""


@dataclass(frozen=True)
class GrowingPlan:
    """All that is known before a tree is grown."""

    samples: Samples
    """Labelled series."""
    features: NDArray[np.float32]
    """`(sample, feature)`, whole numbers."""
    split: Split
    """What is held out to evaluate."""
    options: ForestOptions
    """How to grow."""
    year: int | None
    """Year that the user gave."""
    season: Season | None
    """Season of the samples."""

    @property
    def training(self) -> NDArray[np.intp]:
        """Indices of the samples that the delivered forest is grown on."""
        return np.arange(len(self.samples)) if self.options.all_samples else self.split.training

    @property
    def most_splits(self) -> int:
        """Splits above the deepest leaf that a tree can have."""
        return most_splits(self.options, most_leaves(self.options, len(self.training)))

    def expected(self, confidence: Confidence) -> DeployedSizes:
        """How large the forest can become on the way to Earth Engine: an upper estimate."""
        names = feature_names(self.samples.recipe, self.options.features)
        features = self.features[self.training]
        return expected_sizes(self.options, features, names, len(self.samples.class_names), confidence)


def plan_growing(
    samples: Samples, options: ForestOptions, split_rule: SplitRule, *, year: int | None = None
) -> GrowingPlan:
    """Features and split of a forest that is to be grown.

    Args:
        samples: Labelled series, each with an observation in the model window.
        options: How to grow.
        split_rule: Which samples are held out.
        year: Year of the series, for the provenance; None is what the samples say.

    Raises:
        InputError: There was no imagery in that year, the samples cannot be split so, a class has too few,
            a series has no observation, or harmonic features lack a band.
    """
    season = season_of(samples, year)  # first of all: a wrong year must not cost a training
    samples = with_groups(samples)
    _require_classes(samples)
    _require_observed(samples)
    feature_names(samples.recipe, options.features)  # a missing band is reported before anything is computed
    split = split_samples(samples, split_rule)
    window = samples.recipe.window
    series = np.ascontiguousarray(samples.series[:, :, window.start : window.stop])
    features = forest_features(series, samples.recipe, options.features)
    return GrowingPlan(samples, features, split, options, year, season)


def grow(plan: GrowingPlan, *, jobs: int = -1) -> ForestModel:
    """The forest of a plan, evaluated on the held-out samples and on what its trees have not drawn.

    Args:
        plan: Features, split and options.
        jobs: Processor cores; -1 takes all. They do not change the forest.
    """
    evaluated = _grow(plan, plan.split.training, jobs)
    delivered = _grow(plan, plan.training, jobs) if plan.options.all_samples else evaluated
    metrics = {
        **_held_out(plan, evaluated),
        "out_of_bag": _out_of_bag(plan, delivered),
        "deployed": _deployed(plan, delivered.model),
    }
    return replace(delivered.model, provenance=_provenance(plan), metrics=metrics)


@dataclass(frozen=True)
class _Grown:
    """A forest in scikit-learn's form and in ours."""

    forest: RandomForestClassifier
    model: ForestModel


def _grow(plan: GrowingPlan, rows: NDArray[np.intp], jobs: int) -> _Grown:
    """A forest on some of the samples."""
    samples, options = plan.samples, plan.options
    classes = len(samples.class_names)
    limits = Limits(options.max_leaf_nodes or None, options.max_depth, options.min_leaf)
    forest = Forest(classes, trees=options.trees, seed=options.seed, jobs=jobs, limits=limits)
    trained = forest.fit(plan.features[rows], samples.labels[rows]).trained
    model = ForestModel(
        trees=tuple(map(with_whole_limits, trees_of(trained, classes))),
        classes=crop_classes(samples.class_names, samples.colors),
        recipe=samples.recipe,
        features=options.features,
    )
    return _Grown(trained, model)


def with_whole_limits(tree: Tree) -> Tree:
    """A tree that parts whole numbers as before, with each threshold halfway between two of them.

    scikit-learn takes the middle of two values, such as 5 between 3 and 7, where no engine's rounding may
    touch a feature of 5; at 5.5 it may.
    """
    return replace(tree, threshold=np.floor(tree.threshold) + 0.5)


def _held_out(plan: GrowingPlan, evaluated: _Grown) -> dict[str, Any]:
    """The scores on the held-out samples; those of the map's own vote stand first, as a checkpoint's do."""
    rows = plan.split.validation
    names = plan.samples.class_names
    evaluation = score_forest(
        answers_of(evaluated.model, plan.features[rows]), plan.samples.labels[rows], names
    )
    assert evaluation is not None, "Every tree answers for samples that are held out."
    return {
        **evaluation.hard.to_dict(),
        "vote": "hard, as Earth Engine counts",
        "validation_samples": len(rows),
        "split": plan.split.description,
        "near_training": share_near(plan.samples, plan.split),
        "judged": _evaluated(plan),
        "held_out": evaluation.to_dict(),
    }


def _evaluated(plan: GrowingPlan) -> str:
    if not plan.options.all_samples:
        return "this forest, on samples that did not grow it"
    return (
        f"a forest grown likewise on {len(plan.split.training):,} samples without the held-out ones; this "
        f"one was grown on all {len(plan.samples):,}"
    )


def _out_of_bag(plan: GrowingPlan, grown: _Grown) -> dict[str, Any] | None:
    """The scores on what the trees have not drawn; None where every tree has drawn every sample."""
    answers = out_of_bag(grown.forest, grown.model.trees, plan.features[plan.training])
    evaluation = score_forest(answers, plan.samples.labels[plan.training], plan.samples.class_names)
    if evaluation is None:
        return None
    caution = "Neighbours of the evaluated samples grew the trees: the scores are optimistic."
    return {**evaluation.to_dict(), "caution": caution}


def _deployed(plan: GrowingPlan, model: ForestModel) -> dict[str, Any]:
    """Sizes on the way to Earth Engine, exact and as they were expected."""
    nodes = [len(tree.feature) for tree in model.trees]
    sizes: dict[str, Any] = {"trees": len(nodes), "nodes": model.nodes, "most_nodes": max(nodes)}
    sizes["depth"] = max(tree.depth for tree in model.trees)
    for confidence in CONFIDENCES:
        expected = plan.expected(confidence).bytes
        sizes[confidence] = deployed_sizes(model, confidence).to_dict() | {"expected_bytes": expected}
    return sizes


def _provenance(plan: GrowingPlan) -> dict[str, Any]:
    samples, options = plan.samples, plan.options
    return {
        **origin_facts(samples, plan.year, plan.season),
        "training_samples": len(plan.training),
        "duplicates_dropped": samples.duplicates_dropped,
        "sparse_dropped": samples.sparse_dropped,
        "split": plan.split.facts,
        "options": asdict(options),
        "class_weight": "balanced",
        "seed": options.seed,
        "cropmap_version": importlib.metadata.version("cropmap"),
        "scikit_learn_version": sklearn.__version__,
    }


def _require_classes(samples: Samples) -> None:
    """Refuse classes that have no sample; those with one are refused by the split."""
    counts = samples.counts
    missing = [name for name, count in counts.items() if not count]
    if missing or len(counts) < 2:
        raise InputError(
            "A forest separates two or more classes, each with samples; got "
            f"{', '.join(f'{count:,} of {name}' for name, count in counts.items())}. Give more samples, or "
            "name other classes with --classes."
        )


def _require_observed(samples: Samples) -> None:
    window = samples.recipe.window
    empty = np.flatnonzero(samples.observed_bins(window) == 0)
    if len(empty):
        raise InputError(
            f"A series has an observation in the model window, of each sensor, but {len(empty):,} of "
            f"{len(samples):,} have none, first sample {empty[0]}. Leave them out."
        )
