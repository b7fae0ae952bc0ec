"""How fast a forest is written for Earth Engine, how large its text is, and how fast it votes here.

Forests of three sizes grow on made data: 6,000 rows of 430 whole numbers, 10 classes. Writing counts the
processor time of all strings of 100 trees; voting is compared with `predict_proba` of scikit-learn, both on
one thread. The leaves of all strings are counted, and the soft votes compared, before anything is reported.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.earthengine.client.assets import REQUEST_LIMIT
from gee_pipeline.earthengine.forest.deploy_options import DEEPEST
from gee_pipeline.recipe import Recipe
from inference.deployment.forest_text import forest_strings
from inference.models.crop_class import CropClass
from inference.models.forest_model import ForestModel
from training.forest.from_sklearn import trees_of

SETTINGS: Final[dict[str, dict[str, int]]] = {
    "full": {"max_depth": DEEPEST},
    "depth 20, leaves of 5 rows": {"max_depth": 20, "min_samples_leaf": 5},
    "200 leaves": {"max_leaf_nodes": 200},
}
"""Options of scikit-learn; a full tree may need more splits than Earth Engine can number."""

TREES: Final = 100
"""Trees of each forest."""

LIMIT: Final = 1.0
"""Seconds in which all strings of a forest have to be written."""

_LEAF: Final = re.compile(r"(\d+) \*$", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """One forest."""

    setting: str
    """How it was limited."""
    nodes: int
    """Nodes of all trees."""
    depth: int
    """Splits above the deepest leaf."""
    seconds: float
    """Processor time in which all strings are written; the least of some rounds."""
    size: int
    """Bytes of all strings."""
    speedup: float
    """Rows voted on in the time in which scikit-learn predicts one."""


def made_rows(rows: int, features: int, classes: int, seed: int = 0) -> tuple[NDArray[np.float32], Any]:
    """Whole-number features `(row, feature)` and labels `(row,)` that all of them tell a little of."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    values = rng.normal(2000, 900, (rows, features)) + 60 * labels[:, None]
    return values.round().astype(np.float32), labels


def measure(
    setting: str, rows: NDArray[np.float32], labels: Any, trees: int = TREES, rounds: int = 3
) -> Measured:
    """One setting.

    Raises:
        AssertionError: The strings do not hold the leaves of the trees, or votes differ from scikit-learn's.
    """
    forest = RandomForestClassifier(trees, random_state=0, n_jobs=-1, **SETTINGS[setting]).fit(rows, labels)
    forest.set_params(n_jobs=1)
    classes = int(labels.max()) + 1
    legend = tuple(CropClass(code, f"class {code}", "#808080") for code in range(1, classes + 1))
    model = ForestModel(trees_of(forest, classes), legend, Recipe())
    strings = forest_strings(model)
    _require_leaves(strings, model)
    assert np.allclose(model.soft(rows), forest.predict_proba(rows), atol=1e-12), "votes differ"
    return Measured(
        setting,
        model.nodes,
        max(tree.depth for tree in model.trees),
        _least_seconds(lambda: forest_strings(model), rounds),
        sum(map(len, strings)),
        _least_seconds(lambda: forest.predict_proba(rows), rounds)
        / _least_seconds(lambda: model.votes(rows), rounds),
    )


def _require_leaves(strings: list[str], model: ForestModel) -> None:
    """Each class must be written as often as the trees have leaves of it."""
    written = np.bincount([int(code) for text in strings for code in _LEAF.findall(text)])
    kept = np.concatenate([1 + tree.leaf_class[tree.feature < 0] for tree in model.trees])
    assert np.array_equal(written, np.bincount(kept)), "the strings differ from the trees"


def _least_seconds(task: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times)


def report(measured: list[Measured], trees: int) -> str:
    """A table; sizes also compared with what one request may hold and with the smallest forest."""
    lines = [
        f"{'setting':28}{'nodes/tree':>11}{'depth':>7}{'bytes':>12}{'/ node':>8}{'/ request':>11}"
        f"{'/ least':>9}{'written s':>11}{'votes / sklearn':>17}"
    ]
    least = min(one.size for one in measured)
    for one in measured:
        lines.append(
            f"{one.setting:28}{one.nodes / trees:11,.0f}{one.depth:7}{one.size:12,}"
            f"{one.size / one.nodes:8.1f}{one.size / REQUEST_LIMIT:11.2f}{one.size / least:9.2f}"
            f"{one.seconds:11.2f}{one.speedup:17.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and fail where writing takes too long."""
    parser = argparse.ArgumentParser(description="Trees as text: size and speed.")
    parser.add_argument("--rows", type=int, default=6000, help="rows of the made data (default 6000)")
    options = parser.parse_args()
    rows, labels = made_rows(options.rows, len(Recipe().bands) * len(Recipe().window), classes=10)
    measured = [measure(setting, rows, labels) for setting in SETTINGS]
    print(f"{TREES} trees, {rows.shape[1]} features, 10 classes, {len(rows):,} rows")
    print(report(measured, TREES))
    print(f"wanted: written in less than {LIMIT:g} s")
    if any(one.seconds >= LIMIT for one in measured):
        sys.exit(1)


if __name__ == "__main__":
    main()
