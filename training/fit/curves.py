"""How a training went, to read and to print: a table of its epochs, and a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gee_pipeline.files import write_bytes
from inference.drawing.style import (
    FAINT,
    FIRST,
    INK,
    SECOND,
    SMALL,
    TEXT,
    THIRD,
    TITLE,
    new_figure,
    plain_axes,
    save_figure,
)

PERCENT: Final = FuncFormatter(lambda share, _: f"{100 * share:.3g}%")


def write_curves_table(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV with one row per epoch: number, loss, accuracy, macro_f1, held_out_loss.

    Args:
        path: Where to write the CSV.
        history: `Epoch` by epoch, as in the metrics of a checkpoint; at least one.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_bytes(path, text.getvalue().encode())


def draw_curves(path: Path, metrics: Mapping[str, Any], title: str) -> None:
    """Draw a PNG: losses and scores by epoch, and confidence against accuracy at both temperatures.

    Args:
        path: Where to write the PNG.
        metrics: Of a checkpoint.
        title: One line above the panels.
    """
    figure = compose_curves(metrics, title)
    save_figure(figure, path, title)


def compose_curves(metrics: Mapping[str, Any], title: str) -> Figure:
    """The printed sheet: loss, scores and reliability, side by side."""
    figure = new_figure(11, 3.9, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=TITLE)
    losses, scores, confidence = figure.subplots(1, 3)
    best = max(metrics["history"], key=lambda epoch: epoch["macro_f1"])  # of equal ones the first
    _draw_losses(losses, metrics["history"], best["number"])
    _draw_scores(scores, metrics["history"], best)
    _draw_reliability(confidence, metrics["calibration"])
    figure.supxlabel(f"Held out by {metrics['split']}", x=0.01, ha="left", color=FAINT, fontsize=SMALL)
    return figure


def _draw_losses(axes: Axes, history: Sequence[Mapping[str, Any]], best: int) -> None:
    numbers = [epoch["number"] for epoch in history]
    axes.plot(
        numbers,
        [e["loss"] for e in history],
        color=SECOND,
        label="training (augmented, weighted by class)",
        **_line(history),
    )
    held_out = [e["held_out_loss"] for e in history]
    axes.plot(numbers, held_out, "--", color=FIRST, label="held out", **_line(history))
    axes.set_ylim(bottom=0)
    _finish_epochs(axes, "Loss (cross-entropy, nats)", best)


def _draw_scores(axes: Axes, history: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> None:
    numbers = [epoch["number"] for epoch in history]
    axes.plot(numbers, [e["macro_f1"] for e in history], color=FIRST, label="macro-F1", **_line(history))
    axes.plot(
        numbers, [e["accuracy"] for e in history], "--", color=THIRD, label="accuracy", **_line(history)
    )
    axes.plot(best["number"], best["macro_f1"], "o", color=FIRST, markersize=6)
    axes.set_ylim(top=1)
    axes.yaxis.set_major_formatter(PERCENT)
    _finish_epochs(axes, "On held-out samples", best["number"])


def _line(history: Sequence[Any]) -> dict[str, Any]:
    """A single epoch is a point: a line through it would not be seen."""
    return {"linewidth": 1.6, "marker": "." if len(history) == 1 else None}


def _finish_epochs(axes: Axes, title: str, best: int) -> None:
    axes.axvline(best, color=FAINT, linewidth=0.8, linestyle=":", label=f"best epoch, {best}")
    axes.set_xlabel("Epoch", fontsize=TEXT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes, title)


def _draw_reliability(axes: Axes, calibration: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", label="perfectly calibrated")
    drawn = (
        ("before", "x", "--", SECOND, "as trained"),
        ("after", "o", "-", FIRST, f"temperature {calibration['temperature']:.3g}"),
    )
    for when, marker, dashes, color, name in drawn:
        bins = calibration[f"reliability_{when}"]
        points = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
        axes.plot(*points, dashes, color=color, linewidth=0.8, alpha=0.5)
        # the more samples a bin has, the larger its mark: a bin of two says little
        sizes = [6 + 60 * math.sqrt(one["samples"] / calibration["samples"]) for one in bins]
        label = f"{name}: error {calibration[f'ece_{when}']:.1%}"
        axes.scatter(*points, sizes, color=color, marker=marker, linewidths=1.2, label=label, zorder=3)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="Confidence")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    _finish(axes, "Share of samples that is right, by confidence", legend="lower right")


def _finish(axes: Axes, title: str, *, legend: Literal["best", "lower right"] = "best") -> None:
    axes.set_title(title, loc="left", fontsize=TEXT, color=INK)
    axes.legend(frameon=False, fontsize=SMALL, loc=legend)
    plain_axes(axes)
