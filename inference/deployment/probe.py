"""Whether the trees on the servers vote as they do here: made rows, classified on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.forest.deploy_options import Confidence
from gee_pipeline.earthengine.forest.forest_graph import Voters, classified
from gee_pipeline.errors import EarthEngineError, MismatchError
from gee_pipeline.map_codes import NONE
from inference.deployment.deployment import Deployment, remedy_for, voters
from inference.models.forest_model import ForestModel, Tree
from inference.models.pixel_prediction import Prediction

ROWS: Final = 64
"""Rows that are classified on both sides."""

TIES: Final = 16
"""Rows among them at most in which two classes have the same number of votes."""

_CANDIDATES: Final = 4_096
"""Rows that are drawn to find ties and rows of every class."""

ONE_PIXEL: Final = GeoBox.from_bbox((500_000, 0, 500_010, 10), "EPSG:32631", resolution=10)
"""Where constant images are computed; any place will do."""


@dataclass(frozen=True)
class Probe:
    """What a comparison found; differences are an error and not reported here."""

    rows: int
    """Rows that were compared."""
    ties: int
    """Rows among them in which classes have the same number of votes."""
    ties_elsewhere: int = 0
    """Ties that Earth Engine's own vote gave to another class; only without confidence, where it decides."""


def probe(model: ForestModel, deployment: Deployment, fetcher: Fetcher, *, seed: int = 0) -> Probe:
    """Classify made rows on the servers, and compare with the votes here.

    Args:
        model: The forest.
        deployment: Where its trees are.
        fetcher: Asks Earth Engine.
        seed: Of the rows.

    Raises:
        AccessError: Earth Engine does not let us in.
        EarthEngineError: It does not classify with these trees.
        MismatchError: It does, with other results.
    """
    rows = probe_rows(model, np.random.default_rng(seed))
    tied = ties(model.votes(rows))
    there = _asked(model, deployment, fetcher, rows)
    here = local_prediction(model, rows, deployment.confidence)
    differing = (there.codes != here.codes) | (there.confidence != here.confidence)
    undecided = tied & (deployment.confidence == "none")
    if (differing & ~undecided).any():
        raise MismatchError(_difference(deployment, here, there, np.flatnonzero(differing & ~undecided)))
    return Probe(len(rows), int(tied.sum()), int((differing & undecided).sum()))


def probe_rows(model: ForestModel, random: np.random.Generator) -> NDArray[np.float32]:
    """Rows `(row, feature)` of whole numbers at the thresholds of the trees, ties and all classes among them.

    Args:
        model: The forest.
        random: Draws them.
    """
    candidates = _candidates(model, random)
    votes = model.votes(candidates)
    tied = np.flatnonzero(ties(votes))[:TIES]
    chosen = dict.fromkeys(tied.tolist())
    winner = votes.argmax(axis=1)
    turns = [np.flatnonzero(winner == code) for code in range(votes.shape[1])]
    for rank in range(max(map(len, turns))):
        for turn in turns:
            if rank < len(turn) and len(chosen) < ROWS:
                chosen[int(turn[rank])] = None
    return candidates[list(chosen)]


def ties(votes: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Rows in which two classes or more have the most votes, `(row,)`.

    Args:
        votes: `(row, class)`.
    """
    most: NDArray[np.bool_] = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return most


def local_prediction(model: ForestModel, rows: NDArray[np.float32], confidence: Confidence) -> Prediction:
    """What the servers should say of rows.

    Args:
        model: The forest.
        rows: `(row, feature)`.
        confidence: What the servers report besides a class.
    """
    if confidence == "probability":
        return model.soft_prediction(rows)
    hard = model.hard_prediction(rows)
    return hard if confidence == "votes" else Prediction(hard.codes, np.full_like(hard.codes, NONE))


def _candidates(model: ForestModel, random: np.random.Generator) -> NDArray[np.float32]:
    """Each value lies right below or above a threshold of its feature, or anywhere where there is none."""
    rows = random.integers(0, 10_000, (_CANDIDATES, len(model.feature_names))).astype(np.float32)
    for feature, limits in _thresholds(model.trees).items():
        below = np.floor(random.choice(limits, _CANDIDATES))
        rows[:, feature] = below + random.integers(0, 2, _CANDIDATES)
    return rows


def _thresholds(trees: Sequence[Tree]) -> dict[int, NDArray[np.float64]]:
    """All thresholds of each feature that is looked at."""
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    return {int(f): threshold[feature == f] for f in np.unique(feature[feature >= 0])}


def _asked(
    model: ForestModel, deployment: Deployment, fetcher: Fetcher, rows: NDArray[np.float32]
) -> Prediction:
    image = probe_image(rows, model.feature_names, voters(deployment, model))
    try:
        values = fetcher.raster(image, ONE_PIXEL)
    except EarthEngineError as error:
        raise EarthEngineError(
            f"The trees are at Earth Engine, but it does not classify with them. {error} "
            f"{remedy_for(str(error), deployment.confidence)}{_other_way(deployment)}"
        ) from error
    codes, confidence = values.reshape(len(rows), 2).T.astype(np.uint8)
    return Prediction(codes, confidence)


def probe_image(rows: NDArray[np.float32], names: Sequence[str], voters: Voters) -> ee.Image:
    """Class and confidence of each row, as bands of one image without a place, uint8 as in a map.

    Args:
        rows: `(row, feature)`, whole numbers.
        names: Name of each feature.
        voters: What classifies.
    """
    constants = [ee.Image.constant(row).rename(list(names)).toFloat() for row in rows.astype(int).tolist()]
    return ee.ImageCollection([classified(constant, voters) for constant in constants]).toBands().toUint8()


def _difference(deployment: Deployment, here: Prediction, there: Prediction, rows: NDArray[np.intp]) -> str:
    first = rows[0]
    places = ", ".join(deployment.assets) or "every request"
    return (
        "Trees on the servers must vote as they do here, and "
        f"{len(rows)} of {len(here.codes)} made rows differ: "
        f"row {first} is class {there.codes[first]} with confidence {there.confidence[first]} there, class "
        f"{here.codes[first]} with {here.confidence[first]} here. The trees in {places} are others, or Earth "
        "Engine reads them in another way. Deploy them again with --overwrite; if that changes nothing, try "
        f"another --confidence.{_other_way(deployment)}"
    )


def _other_way(deployment: Deployment) -> str:
    """A classifier asset may lose its output mode; trees of tables get theirs when they are used."""
    return " Or try --way table." if deployment.way == "classifier" else ""
