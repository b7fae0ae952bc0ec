"""How good a forest is, as files next to it: a table, and the confusion matrices as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from gee_pipeline.files import write_bytes
from training.fit.confusion_picture import Panel, draw_panels

EVALUATED_ON: Final = {"held_out": "held out", "out_of_bag": "out of bag"}
"""Key of the metrics -> in words."""

VOTES: Final = {"hard": "hard vote", "soft": "soft vote"}
"""Likewise."""

COLUMNS: Final = ("judged_on", "vote", "class", "samples", "precision", "recall", "f1", "accuracy")
"""Of the table; the rows of `all` have the overall accuracy, and the macro-F1 as f1."""


def write_scores(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write a CSV with one row per class and one of all, for each vote and each set of samples.

    Args:
        path: Where to write the CSV.
        metrics: Of a forest, as `training.forest.growing` makes them.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(metrics))
    write_bytes(path, text.getvalue().encode())


def draw_scores(path: Path, metrics: Mapping[str, Any], title: str, caution: str = "") -> None:
    """Draw a PNG of the confusion matrices under both votes.

    Args:
        path: Where to write the PNG.
        metrics: As for `write_scores`.
        title: One line above the panels.
        caution: What the scores do not show, below them.
    """
    panels = [_panel(*one) for one in _evaluations(metrics)]
    draw_panels(path, panels, title=title, note=f"Held out by {metrics['split']}. {caution}")


def _evaluations(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Key of the samples, key of the vote, scores; without what could not be evaluated."""
    for key in EVALUATED_ON:
        for vote in VOTES if metrics[key] else ():
            yield key, vote, metrics[key][vote]


def _rows(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, vote, scores in _evaluations(metrics):
        where = {"judged_on": key, "vote": vote}
        for one in scores["classes"]:
            figures = {name: one[name] for name in ("samples", "precision", "recall", "f1")}
            yield {**where, "class": one["name"], **figures}
        overall = {"samples": metrics[key]["samples"], "f1": scores["macro_f1"]}
        yield {**where, "class": "all", **overall, "accuracy": scores["accuracy"]}


def _panel(key: str, vote: str, scores: Mapping[str, Any]) -> Panel:
    title = (
        f"{EVALUATED_ON[key]}, {VOTES[vote]}\nOA {100 * scores['accuracy']:.2f}, "
        f"mF1 {100 * scores['macro_f1']:.2f}"
    )
    names = tuple(one["name"] for one in scores["classes"])
    return Panel(title, names, np.array(scores["confusion"], np.int64))
