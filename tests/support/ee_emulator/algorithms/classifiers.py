# ruff: noqa: N803 (arguments are named by Google)
"""Classifiers made of decision trees, and what they tell of images and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.support.ee_emulator.algorithms.pixels import DOUBLE, INT32
from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.decision_trees import parse_tree, parse_trees, values_of
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.reading import Reader, shape_of
from tests.support.ee_emulator.rules import ClassifierRules
from tests.support.ee_emulator.values import (
    Array,
    Band,
    Classifier,
    Collection,
    EmulatorError,
    Feature,
    Image,
    Pixels,
)

MODES: Final = ("CLASSIFICATION", "REGRESSION", "PROBABILITY", "MULTIPROBABILITY", "RAW", "RAW_REGRESSION")

_ARRAYS: Final = frozenset({"MULTIPROBABILITY", "RAW", "RAW_REGRESSION"})
"""Modes whose answer is an array."""

_ROWS: Final = 65_536
"""Pixels that are classified at a time."""

Columns = Mapping[str, NDArray[Any]]


@algorithm("Classifier.decisionTree")
def _tree(request: Any, treeString: str) -> Classifier:
    try:
        return Classifier((parse_tree(treeString),))
    except EmulatorError as error:
        raise EmulatorError(f"Classifier.decisionTree: {error}") from error


@algorithm("Classifier.decisionTreeEnsemble")
def _ensemble(request: Any, treeStrings: list[str]) -> Classifier:
    if not treeStrings:
        raise EmulatorError("Classifier.decisionTreeEnsemble: there are no trees.")
    try:
        return Classifier(tuple(tree for text in treeStrings for tree in parse_trees(text)))
    except EmulatorError as error:
        raise EmulatorError(f"Classifier.decisionTreeEnsemble: {error}") from error


@algorithm("Classifier.load")
def _load(request: Any, id: str) -> Classifier:
    found = request.assets.classifier(id)
    return found if request.rules.mode_is_kept else replace(found, mode="CLASSIFICATION")


@algorithm("Classifier.setOutputMode")
def _set_mode(request: Any, classifier: Classifier, mode: str) -> Classifier:
    if mode not in MODES:
        raise EmulatorError(
            f"Classifier.setOutputMode: Unknown output mode '{mode}'; one of {', '.join(MODES)}."
        )
    if mode in request.rules.refused_modes:
        raise EmulatorError(
            f"Classifier.setOutputMode: The output mode {mode} is not supported by this classifier."
        )
    return replace(classifier, mode=mode)


@algorithm("Classifier.mode")
def _mode(request: Any, classifier: Classifier) -> str:
    return classifier.mode


@algorithm("Classifier.schema")
def _schema(request: Any, classifier: Classifier) -> list[str]:
    return classifier.schema


@algorithm("Image.classify")
def _classify(request: Any, image: Image, classifier: Classifier, outputName: str) -> Image:
    found = {band.name: band for band in image.bands}
    for name in classifier.schema:
        if name not in found:
            raise EmulatorError(
                f"Image.classify: No band named '{name}'. Available band names: [{', '.join(found)}]."
            )
    inputs = [found[name] for name in classifier.schema]
    return Image((_classified(inputs, classifier, request.rules, outputName),), {}, image.footprint)


def _classified(inputs: Sequence[Band], classifier: Classifier, rules: ClassifierRules, name: str) -> Band:
    """The answer where all inputs are valid."""
    arrays = classifier.mode in _ARRAYS

    def compute(reader: Reader, grid: Grid) -> Pixels:
        pixels = [reader.read(band, grid) for band in inputs]
        valid = np.logical_and.reduce([np.ones(shape_of(grid), bool), *(one.mask for one in pixels)])
        columns = {band.name: one.values[valid] for band, one in zip(inputs, pixels, strict=True)}
        answers = _answers(classifier, columns, int(valid.sum()), rules)
        values = np.zeros((*shape_of(grid), *answers.shape[1:]), answers.dtype)
        values[valid] = answers
        return Pixels(values, valid)

    projection = inputs[0].projection if inputs else None
    band = Band(name, _type_of(classifier.mode), compute, dimensions=1 if arrays else 0)
    return band if projection is None else replace(band, projection=projection)


def _type_of(mode: str) -> np.dtype[Any]:
    return INT32 if mode == "CLASSIFICATION" else DOUBLE


@algorithm("FeatureCollection.classify")
def _classify_features(
    request: Any, features: Collection, classifier: Classifier, outputName: str
) -> Collection:
    columns = {name: _column(features, name) for name in classifier.schema}
    answers = _answers(classifier, columns, len(features.elements), request.rules)
    told = [Array(answer) if answer.ndim else answer.item() for answer in answers]
    elements = tuple(
        one.with_properties({**one.properties, outputName: answer})
        for one, answer in zip(features.elements, told, strict=True)
    )
    return replace(features, elements=elements)


def _column(features: Collection, name: str) -> NDArray[np.float64]:
    values = []
    for feature in features.elements:
        value = feature.properties.get(name)
        if not isinstance(feature, Feature) or not isinstance(value, int | float):
            raise EmulatorError(f"FeatureCollection.classify: Property '{name}' is missing or no number.")
        values.append(float(value))
    return np.array(values)


def _answers(classifier: Classifier, columns: Columns, rows: int, rules: ClassifierRules) -> NDArray[Any]:
    """What a classifier tells of each row, `(row,)` or `(row, element)`."""
    parts = []
    for start in range(0, max(rows, 1), _ROWS):
        part = {name: column[start : start + _ROWS] for name, column in columns.items()}
        told = values_of(classifier.trees, part)
        if not columns:  # single leaves: the same for all
            told = np.repeat(told, min(rows - start, _ROWS), axis=0)
        parts.append(_told(classifier, told, rules))
    return np.concatenate(parts)


def _told(classifier: Classifier, answers: NDArray[np.float64], rules: ClassifierRules) -> NDArray[Any]:
    """What the mode makes of the trees' answers `(row, tree)`."""
    if classifier.mode in ("RAW", "RAW_REGRESSION"):
        return answers
    if classifier.mode == "REGRESSION":
        return answers.mean(axis=1)
    classes = _classes(classifier)
    votes = np.stack([(answers == one).sum(axis=1) for one in classes], axis=1)
    if classifier.mode == "CLASSIFICATION":
        return classes[_winners(votes, answers, classes, rules)].astype(INT32)
    shares = votes / answers.shape[1]
    return shares if classifier.mode == "MULTIPROBABILITY" else shares.max(axis=1)


def _classes(classifier: Classifier) -> NDArray[np.float64]:
    """Values of the leaves, in order.

    Raises:
        EmulatorError: One is no whole number from 0.
    """
    leaves = [tree.value[tree.child[:, 0] < 0] for tree in classifier.trees]
    classes = np.unique(np.concatenate(leaves))
    if (classes < 0).any() or (classes % 1 != 0).any():
        raise EmulatorError(
            f"The emulator knows classes that are whole numbers from 0 in the mode {classifier.mode}; the "
            f"leaves have {classes[:5].tolist()}."
        )
    return classes


def _winners(
    votes: NDArray[Any], answers: NDArray[np.float64], classes: NDArray[np.float64], rules: ClassifierRules
) -> NDArray[np.int64]:
    """Place of the class with most votes, `(row,)`."""
    best = votes == votes.max(axis=1, keepdims=True)
    if rules.ties == "smallest":
        return best.argmax(axis=1)
    if rules.ties == "largest":
        return best.shape[1] - 1 - best[:, ::-1].argmax(axis=1)
    place = np.searchsorted(classes, answers)
    first = np.take_along_axis(best, place, axis=1).argmax(axis=1)
    return np.take_along_axis(place, first[:, None], axis=1)[:, 0]
