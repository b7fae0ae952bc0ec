"""A checkpoint in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import shapely

from inference.checkpoint import Checkpoint

UNKNOWN: Final = "not stated"

Facts = list[tuple[str, str]]
"""Label and text, in the order to show them."""


def describe(checkpoint: Checkpoint) -> Facts:
    """What a checkpoint is, what it was trained on, how good it was, and what input it takes."""
    return [
        *_network(checkpoint),
        *_origin(checkpoint.provenance),
        *_accuracy(checkpoint.metrics),
        *_input(checkpoint),
        ("Digest", checkpoint.digest),
    ]


def _network(checkpoint: Checkpoint) -> Facts:
    parameters = sum(p.numel() for p in checkpoint.build().parameters())
    shape = f"{checkpoint.config.bands} bands x {len(checkpoint.recipe.window)} bins"
    name = f"CropNet{'-1D' if checkpoint.config.dimensions == 1 else ''} {checkpoint.config.preset}"
    return [
        ("Network", f"{name}, {parameters:,} parameters, {shape}"),
        ("Classes", ", ".join(f"{c.code} {c.name} ({c.color})" for c in checkpoint.classes)),
        ("Confidence", _confidence(checkpoint)),
    ]


def _confidence(checkpoint: Checkpoint) -> str:
    """The temperature, and what it did to the samples it was fitted to."""
    temperature = f"temperature {checkpoint.temperature:.3g}"
    facts = checkpoint.metrics.get("calibration")
    if facts is None:
        return f"{temperature}, calibration {UNKNOWN}"
    return (
        f"{temperature}, fitted to {facts['fitted_to']}; calibration error {facts['ece_after']:.1%}, "
        f"{facts['ece_before']:.1%} without it; log-likelihood loss {facts['nll_after']:.3f}, "
        f"{facts['nll_before']:.3f} without it"
    )


def _origin(provenance: Mapping[str, Any]) -> Facts:
    def text(key: str) -> str:
        found = provenance.get(key)
        return UNKNOWN if found is None else str(found)

    return [
        ("Trained on", text("data")),
        ("Year", f"{text('year')}, season from {text('season_start')}"),
        ("Place", _place(provenance.get("footprint"))),
        ("Samples", _samples(provenance.get("samples"))),
        ("Training", f"{text('epochs')} epochs, seed {text('seed')}, cropmap {text('cropmap_version')}"),
    ]


def _place(footprint: dict[str, Any] | None) -> str:
    if footprint is None:
        return UNKNOWN
    west, south, east, north = shapely.geometry.shape(footprint).bounds
    return f"longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f}"


def _samples(samples: Mapping[str, int] | None) -> str:
    if not samples:
        return UNKNOWN
    total = sum(samples.values())
    return f"{total:,}: " + ", ".join(f"{count:,} {name}" for name, count in samples.items())


def _accuracy(metrics: Mapping[str, Any]) -> Facts:
    if "accuracy" not in metrics:
        return [("Accuracy", UNKNOWN)]
    overall = f"overall {metrics['accuracy']:.1%}, macro-F1 {metrics['macro_f1']:.1%}"
    facts = [("Accuracy", overall)]
    for key, label in (("split", "Held out by"), ("chosen_by", "Best epoch")):
        if key in metrics:
            facts.append((label, str(metrics[key])))
    for one in metrics.get("classes", ()):
        figures = f"precision {one['precision']:.1%}, recall {one['recall']:.1%}, F1 {one['f1']:.1%}"
        facts.append((f"  {one['name']}", f"{figures} of {one['samples']:,}"))
    return facts


def _input(checkpoint: Checkpoint) -> Facts:
    recipe, cloud = checkpoint.recipe, checkpoint.recipe.cloud
    scene_classes = ", ".join(map(str, cloud.scl_clear))
    days = f"days {recipe.window_first_day} to {recipe.window_last_day}"
    return [
        ("Bands", ", ".join(recipe.bands)),
        ("Window", f"{days} of the season, {len(recipe.window)} bins of {recipe.bin_days} days"),
        ("Season", recipe.season_rule),
        ("Clear", f"{cloud.score_band} >= {cloud.threshold:g}, else scene classes {scene_classes}"),
        ("Gaps", f"{recipe.gap_rule}; at least {recipe.min_clear_bins} observed bins"),
        ("Recipe", recipe.digest),
    ]
