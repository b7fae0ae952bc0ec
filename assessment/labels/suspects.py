"""Labels to look at again: those that the other labels contradict with confidence.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset
labels", JAIR 70), section 3.1: a sample is a suspect where another class has a probability that is usual for
samples of that class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.errors import InputError
from inference.models.series import fill_gaps
from training.fit.options import SplitRule
from training.samples.samples import Samples
from training.tuning.folds import Folds, folds_of

TREES: Final = 300
"""Of the forest that each fold is judged by."""

FEWEST: Final = 30
"""Samples below which nothing is usual."""


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong."""

    sample: int
    """Number of the sample, from 0, in the order of the files."""
    label: str
    """What it says."""
    likelier: str
    """What the other labels say."""
    own: float
    """Probability of the label."""
    other: float
    """Probability of what is likelier."""


@dataclass(frozen=True)
class Checked:
    """What the labels say of each other."""

    suspects: tuple[Suspect, ...]
    """The least likely label first."""
    usual: NDArray[np.float64]
    """`(class,)`: mean probability of a class on its own samples; NaN where there are none."""
    folds: Folds
    """Each sample is judged by a forest of other folds."""


def check_labels(samples: Samples, rule: SplitRule, folds: int = 5, seed: int = 1) -> Checked:
    """Suspects among labels, by forests that were grown on labels of other places.

    Args:
        samples: Labelled series.
        rule: What stays together in a fold.
        folds: Parts.
        seed: Deals the places and grows the trees.

    Raises:
        InputError: The samples are too few or lie in one place.
    """
    if len(samples) < FEWEST or len(np.unique(samples.labels)) < 2:
        raise InputError(
            f"Labels are checked by each other, which takes {FEWEST} or more of two classes or more; got "
            f"{len(samples)}. Gather more first."
        )
    parted = folds_of(samples, rule, folds, seed)
    probabilities = _by_other_folds(samples, parted, seed)
    return Checked(
        suspects_of(probabilities, samples.labels, samples.class_names),
        usual_of(probabilities, samples.labels),
        parted,
    )


def _by_other_folds(samples: Samples, folds: Folds, seed: int) -> NDArray[np.float64]:
    """`(sample, class)`: probabilities by forests that did not see the sample's fold."""
    recipe = samples.recipe
    window = samples.series[:, :, recipe.window.start : recipe.window.stop]
    features = fill_gaps(window, recipe.group_sizes).reshape(len(samples), -1)
    out = np.zeros((len(samples), len(samples.class_names)))
    for grown, judged in folds.parts:
        forest = RandomForestClassifier(TREES, random_state=seed, n_jobs=-1)
        forest.fit(features[grown], samples.labels[grown])
        out[np.ix_(judged, forest.classes_)] = forest.predict_proba(features[judged])
    return out


def usual_of(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """`(class,)`: mean probability of each class over the samples that have its label; NaN without any."""
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=probabilities[np.arange(len(labels)), labels], minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def suspects_of(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[Suspect, ...]:
    """The samples off the diagonal of the confident joint, the least likely label first.

    Args:
        probabilities: `(sample, class)`, by a model that did not see the sample.
        labels: `(sample,)`.
        names: Of the classes.
    """
    confident = np.where(probabilities >= usual_of(probabilities, labels), probabilities, -1.0)
    likelier = confident.argmax(axis=1)
    found = np.flatnonzero((confident.max(axis=1) >= 0) & (likelier != labels))
    own, other = (probabilities[found, which[found]] for which in (labels, likelier))
    order = np.argsort(own - other, kind="stable")
    return tuple(
        Suspect(
            int(found[k]), names[labels[found[k]]], names[likelier[found[k]]], float(own[k]), float(other[k])
        )
        for k in order
    )
