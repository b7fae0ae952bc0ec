"""How right a ready model is on samples: with intervals by blocks, by class, place and observations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from assessment.estimation.accuracy import Accuracy, LabelledSample, assess
from assessment.estimation.designs import Clusters, Stratified
from assessment.estimation.estimate import Estimate, ratio
from assessment.estimation.intervals import Figure, area_interval, share_interval
from assessment.evaluation.confidence import Confidence, confidence_of
from assessment.evaluation.sets import SetsOnSamples, across_folds, sets_on_samples
from gee_pipeline.errors import InputError
from inference.models.model_card import training_places
from inference.models.pixel_model import PixelModel
from inference.models.told.prediction_sets import PredictionSets
from training.fit.split import block_of
from training.fit.training_data import in_classes_of
from training.sample_report.few_samples import warn_of_left_out
from training.samples.samples import Samples
from training.scores.prediction_sets import fewest, sets_of

By = Literal["block", "column", "sample"]
"""What is independent of each other: squares of the ground, groups that the files name, or single samples."""

FEWEST_BLOCKS: Final = 10
"""Intervals from fewer blocks say little of other places."""

LEAST_BLOCK: Final = 1e-4
"""Degrees along a side of a block at least: a pixel."""

MOST_BLOCK: Final = 90.0
"""Degrees along a side of a block at most."""

QUARTERS: Final = 4
"""Parts of the samples by their number of observations."""


@dataclass(frozen=True)
class Part:
    """Some of the samples."""

    name: str
    """What they have in common."""
    samples: int
    """How many they are."""
    accuracy: Figure
    """Share of them that is right."""


@dataclass(frozen=True)
class Evaluation:
    """What samples say of a model."""

    samples: int
    """Samples with a class of the model."""
    left_out: int
    """Samples whose label has none."""
    by: By
    """What was taken as independent."""
    blocks: int
    """How many of these there are."""
    accuracy: Accuracy
    """Overall, user's and producer's accuracy, F1, error matrix; areas mean nothing here."""
    macro_f1: Figure
    """Mean F1 of the classes that occur, with an interval by leaving out one block after another."""
    confidence: Confidence
    """What the confidence is worth."""
    sets: SetsOnSamples | None
    """What the model's own prediction sets are worth; None where its file has none."""
    sets_calibrated: SetsOnSamples | None
    """What sets by limits from these samples are worth, each on other places than those that set them; None
    where nobody asked for such limits, or the places are too few."""
    limits: PredictionSets | None
    """Limits from all samples; None where nobody asked for them."""
    places: tuple[Part, ...]
    """Accuracy of each block, the worst first; empty where samples stand for themselves."""
    observations: tuple[Part, ...]
    """Accuracy by the number of observed bins."""
    notices: tuple[str, ...]
    """What to know, one sentence each."""


def evaluate(
    model: PixelModel,
    samples: Samples,
    *,
    by: By | None = None,
    block_size: float = 0.25,
    footprint: Any = None,
    sets: PredictionSets | None = None,
    coverage: float | None = None,
) -> Evaluation:
    """Compare a model's answers with labels.

    Intervals are those of a sample of blocks (Cochran 1977, 9A.2; Student's t): they hold for places like
    those of the samples, which nobody drew at random.

    Args:
        model: Ready to label series.
        samples: Whole-season series with labels, made by the model's recipe.
        by: What is independent; None takes blocks where places are known, else groups, else samples.
        block_size: Degrees along a side of a block.
        footprint: Where the model was trained, GeoJSON; None where that is not known.
        sets: Limits of prediction sets in the model's file; None where it has none.
        coverage: Share of each class whose set shall hold it, by limits from the samples; None wants none.

    Raises:
        InputError: Blocks have no such size; no sample has a class of the model; places or groups are not
            known; all lie in one block; the samples are too few for limits.
        MismatchError: The samples were made by another recipe.
    """
    if not LEAST_BLOCK <= block_size <= MOST_BLOCK:
        raise InputError(
            f"A block has a side of {LEAST_BLOCK:g} to {MOST_BLOCK:g} degrees, got {block_size:g}. Choose "
            "another --block-size."
        )
    names = tuple(crop.name for crop in model.classes)
    recipe = replace(model.recipe, min_clear_bins=samples.recipe.min_clear_bins)  # samples may be sparser
    known = in_classes_of(names, recipe, samples, "The model", "The samples")
    chosen = by or _usual(known)
    keys = _keys(known, chosen, block_size)
    labels, block = np.unique(keys, axis=0, return_inverse=True)
    design = _design(block.ravel(), len(labels), chosen)
    window = model.recipe.window
    probabilities = model.probabilities(known.series[:, :, window.start : window.stop])
    predicted = probabilities.argmax(axis=1)
    sample = LabelledSample(design, names, predicted, known.labels, float(len(known)), np.ones(len(known)))
    right = predicted == known.labels
    on_samples = _Sets(probabilities, known.labels, block.ravel(), names, design)
    return Evaluation(
        samples=len(known),
        left_out=known.left_out,
        by=chosen,
        blocks=len(labels),
        accuracy=assess(sample),
        macro_f1=_macro_f1(predicted, known.labels, block.ravel(), design, len(names)),
        confidence=confidence_of(probabilities, known.labels),
        sets=on_samples.by(sets),
        sets_calibrated=on_samples.across_folds(coverage, known.source),
        limits=on_samples.limits(coverage, known.source),
        places=() if chosen == "sample" else _places(right, block.ravel(), labels, chosen, block_size),
        observations=tuple(_by_observations(design, right, known.observed_bins(window))),
        notices=tuple(_notices(known, chosen, len(labels), footprint)),
    )


@dataclass(frozen=True)
class _Sets:
    """Samples on which prediction sets are tried."""

    probabilities: NDArray[np.floating]
    labels: NDArray[np.integer]
    block: NDArray[np.intp]
    names: tuple[str, ...]
    design: Clusters

    def by(self, sets: PredictionSets | None) -> SetsOnSamples | None:
        """What the limits of a file do."""
        if sets is None:
            return None
        return self._of(sets.members(self.probabilities), sets.coverage, sets.source)

    def across_folds(self, coverage: float | None, source: str) -> SetsOnSamples | None:
        """What limits from the samples do in other places."""
        if coverage is None:
            return None
        members = across_folds(self.probabilities, self.labels, self.block, coverage=coverage, source=source)
        return None if members is None else self._of(members, coverage, source)

    def limits(self, coverage: float | None, source: str) -> PredictionSets | None:
        """Limits from all samples."""
        if coverage is None:
            return None
        found = sets_of(self.probabilities, self.labels, coverage=coverage, source=source)
        if found is None:
            raise InputError(
                f"Prediction sets of {coverage:.0%} take {fewest(coverage)} labelled samples or more, got "
                f"{len(self.labels)}. Give more, or a lower --coverage."
            )
        return found

    def _of(self, members: NDArray[np.bool_], promised: float, source: str) -> SetsOnSamples:
        return sets_on_samples(
            members, self.labels, self.names, self.design, promised=promised, source=source
        )


def _usual(samples: Samples) -> By:
    if samples.lon is not None:
        return "block"
    return "sample" if samples.groups is None else "column"


def _keys(samples: Samples, by: By, block_size: float) -> NDArray[Any]:
    """`(sample, 1 or 2)`: what names the block of each sample."""
    if by == "sample":
        return np.arange(len(samples))[:, None]
    if by == "column":
        if samples.groups is None:
            raise InputError(
                "--by column needs groups, and the samples have none. Name them: --group-column."
            )
        return samples.groups[:, None]
    if samples.lon is None or samples.lat is None:
        raise InputError("--by block needs places, and the samples have none. Choose --by column or sample.")
    return block_of(samples.lon, samples.lat, block_size)


def _design(block: NDArray[np.intp], blocks: int, by: By) -> Clusters:
    """Blocks drawn from very many, each with all its samples."""
    if blocks < 2:
        raise InputError(
            f"An interval needs samples of at least two independent places, and all {len(block):,} lie in "
            f"one {'group' if by == 'column' else by}. Give a smaller --block-size, or --by sample."
        )
    first = Stratified(np.zeros(blocks, np.intp), np.array([float(blocks)]), finite=False)
    return Clusters(block, first)


def _macro_f1(
    predicted: NDArray[np.intp],
    labels: NDArray[np.integer],
    block: NDArray[np.intp],
    design: Clusters,
    classes: int,
) -> Figure:
    """Mean F1 and its interval by the jackknife over blocks."""
    blocks = len(design.first.weights)
    cell = (block * classes + labels) * classes + predicted
    tables = np.bincount(cell, minlength=blocks * classes**2).reshape(blocks, classes, classes)
    whole = tables.sum(axis=0)
    occurring = whole.sum(axis=1) > 0
    value = float(_mean_f1(whole, occurring))
    others = _mean_f1(whole - tables, occurring)
    se = math.sqrt((blocks - 1) / blocks * float(((others - others.mean()) ** 2).sum()))
    return area_interval(Estimate(value, se, len(labels), float(len(labels)), design.degrees))


def _mean_f1(tables: NDArray[np.integer], occurring: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the classes that occur of 2 right / (labelled + predicted), of `(..., label, predicted)`."""
    right = np.diagonal(tables, axis1=-2, axis2=-1)
    both = tables.sum(axis=-1) + tables.sum(axis=-2)
    return np.asarray((2 * right / np.maximum(both, 1))[..., occurring].mean(axis=-1))


def _places(
    right: NDArray[np.bool_], block: NDArray[np.intp], labels: NDArray[Any], by: By, block_size: float
) -> tuple[Part, ...]:
    """Accuracy of each block, with the interval of as many independent samples."""
    counts, hits = np.bincount(block), np.bincount(block, right)
    parts = [
        Part(_name(key, by, block_size), int(n), share_interval(_binomial(hit / n, int(n))))
        for key, n, hit in zip(labels, counts, hits, strict=True)
    ]
    return tuple(sorted(parts, key=lambda part: part.accuracy.value))


def _binomial(share: float, n: int) -> Estimate:
    return Estimate(share, math.sqrt(share * (1 - share) / n), n, float(n))


def _name(key: NDArray[Any], by: By, block_size: float) -> str:
    if by == "column":
        return str(key[0])
    west, south = (float(value) * block_size for value in key)
    return f"{west:g} {south:g} to {west + block_size:g} {south + block_size:g}"


def _by_observations(
    design: Clusters, right: NDArray[np.bool_], observed: NDArray[np.intp]
) -> Iterator[Part]:
    """Accuracy of the samples in quarters by their number of observed bins."""
    edges = np.unique(np.quantile(observed, np.linspace(0, 1, QUARTERS + 1)).round().astype(int))
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0]])
    for index, (low, high) in enumerate(pairwise(edges.tolist())):
        last = index == len(edges) - 2
        inside = (observed >= low) & ((observed <= high) if last else (observed < high))
        found = ratio(design, right & inside, inside)
        if found is not None:
            few, many = int(observed[inside].min()), int(observed[inside].max())
            name = f"{few} observed bins" if few == many else f"{few} to {many} observed bins"
            yield Part(name, int(inside.sum()), share_interval(found))


def _notices(samples: Samples, by: By, blocks: int, footprint: Any) -> Iterator[str]:
    if unused := warn_of_left_out(samples):
        yield unused
    if samples.left_out:
        yield f"{samples.left_out:,} samples have a label that the model does not know, and were left out."
    if by == "sample":
        yield "Samples count as independent: neighbours are not, so the intervals are too narrow."
    elif blocks < FEWEST_BLOCKS:
        yield f"The samples lie in {blocks} blocks: intervals from fewer than {FEWEST_BLOCKS} say little."
    if footprint is not None and samples.lon is not None and samples.lat is not None:
        inside = int(shapely.contains_xy(training_places(footprint), samples.lon, samples.lat).sum())
        if inside:
            yield (
                f"{inside:,} of {len(samples):,} samples lie where the model was trained. If they, or their "
                "neighbours, trained it, these figures flatter it."
            )
