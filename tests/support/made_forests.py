"""Small forests of scikit-learn, and how they vote by their own trees."""

from fractions import Fraction
from math import floor

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from gee_pipeline.recipe import Recipe
from inference.models.crop_class import CropClass
from inference.models.forest_model import ForestModel
from training.forest.from_sklearn import trees_of

RECIPE = Recipe.of(bands=("B2", "B8"), window=(121, 135))
"""Two bands, three bins: six features."""

NAMES = ("B2_24", "B2_25", "B2_26", "B8_24", "B8_25", "B8_26")


def legend(classes):
    return tuple(CropClass(k, f"crop {k}", f"#{k:02x}8040") for k in range(1, classes + 1))


def grown(features, labels, trees=5, seed=0, **options):
    """A forest of scikit-learn; labels are 0 to one less than the number of classes."""
    return RandomForestClassifier(trees, random_state=seed, n_jobs=1, **options).fit(features, labels)


def model_of(forest, classes, **fields):
    fields = {"recipe": RECIPE, "features": "median"} | fields
    return ForestModel(trees=trees_of(forest, classes), classes=legend(classes), **fields)


def made_rows(rows=60, classes=3, seed=0, scale=900):
    """Whole-number features `(row, 6)` and labels that they tell something of."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    noise = rng.normal(2000, scale, (rows, len(NAMES)))
    return np.round(noise + 500 * labels[:, None]).astype(np.float32), labels


def hard_votes(forest, rows, classes):
    """`(row, class)`: what each tree says by itself, counted."""
    votes = np.zeros((len(rows), classes), int)
    for tree in forest.estimators_:
        told = forest.classes_[tree.predict(rows).astype(int)]
        votes[np.arange(len(rows)), told] += 1
    return votes


def winner(counts, whole):
    """Code and percent of each row by the stated rule, in exact fractions."""
    codes = [1 + next(k for k, n in enumerate(row) if n == max(row)) for row in counts.tolist()]
    shares = [Fraction(int(max(row)), whole) for row in counts.tolist()]
    return codes, [floor(100 * share + Fraction(1, 2)) for share in shares]


def edge_rows(forest, rows):
    """Rows whose values lie at the float32 numbers next to the thresholds of the trees, on both sides."""
    edges = [rows]
    for tree in forest.estimators_:
        inner = tree.tree_.feature >= 0
        for feature, threshold in zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True):
            near = np.float32(threshold)
            for value in (
                near,
                np.nextafter(near, np.float32(np.inf)),
                np.nextafter(near, np.float32(-np.inf)),
            ):
                row = rows[len(edges) % len(rows)].copy()
                row[feature] = value
                edges.append(row[None])
    table = np.concatenate(edges)
    return table[np.isfinite(table).all(axis=1)]
