"""A checkpoint in words: what it knows, where it learnt it, how good it is."""

from __future__ import annotations

from typing import Any

import shapely

from inference.checkpoint import Checkpoint


def describe_model(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Pairs of a heading and a text, in the order in which a reader asks; unknown facts are left out."""
    facts = checkpoint.provenance
    pairs = [
        ("Model", _network(checkpoint)),
        ("Classes", ", ".join(f"{c.code} {c.name}" for c in checkpoint.classes)),
        ("Input", _input(checkpoint)),
        ("Trained on", facts.get("data")),
        ("Samples", _counts(facts.get("samples"))),
        ("Year", _year(facts)),
        ("Place", _place(facts.get("footprint"))),
        ("Accuracy", _accuracy(checkpoint.metrics)),
        *_by_class(checkpoint.metrics),
        *_robustness(checkpoint.metrics),
        ("Made by", _origin(facts)),
    ]
    return [(heading, text) for heading, text in pairs if text]


def model_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """The same as JSON values, complete but for the weights."""
    return {
        "preset": checkpoint.config.preset,
        "parameters": _parameters(checkpoint),
        "digest": checkpoint.digest(),
        "classes": [{"code": c.code, "name": c.name, "color": c.color} for c in checkpoint.classes],
        "recipe": checkpoint.recipe.to_dict(),
        "recipe_digest": checkpoint.recipe.digest,
        "temperature": checkpoint.temperature,
        "provenance": checkpoint.provenance,
        "metrics": checkpoint.metrics,
    }


def _parameters(checkpoint: Checkpoint) -> int:
    return sum(parameter.numel() for parameter in checkpoint.build().parameters())


def _network(checkpoint: Checkpoint) -> str:
    return (
        f"CropNet {checkpoint.config.preset}, {_parameters(checkpoint):,} parameters, "
        f"digest {checkpoint.digest()}"
    )


def _input(checkpoint: Checkpoint) -> str:
    recipe = checkpoint.recipe
    return (
        f"{len(recipe.bands)} bands ({', '.join(recipe.bands)}), {len(recipe.window)} bins of "
        f"{recipe.bin_days} days, days {recipe.window_first_day} to {recipe.window_last_day} of the season; "
        f"clear where {recipe.cloud.score_band} >= {recipe.cloud.threshold:g}; at least "
        f"{recipe.min_clear_bins} observed bins"
    )


def _counts(samples: dict[str, int] | None) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in (samples or {}).items())


def _year(facts: dict[str, Any]) -> str:
    start = facts.get("season_start")
    return f"{facts['year']}{f', season from {start}' if start else ''}" if facts.get("year") else ""


def _place(footprint: dict[str, Any] | None) -> str:
    if footprint is None:
        return ""
    west, south, east, north = shapely.geometry.shape(footprint).bounds
    return f"longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f} (degrees)"


def _accuracy(metrics: dict[str, Any]) -> str:
    if "accuracy" not in metrics:
        return ""
    caution = " at random, which is optimistic" if metrics.get("split") == "random" else " by place"
    return (
        f"overall {metrics['accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f}, on "
        f"{metrics['validation_samples']:,} samples held out{caution}"
    )


def _by_class(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"  {c['name']}",
            f"precision {c['precision']:.3f}, recall {c['recall']:.3f}, F1 {c['f1']:.3f} "
            f"({c['samples']:,} samples)",
        )
        for c in metrics.get("classes", [])
    ]


def _robustness(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    cases = metrics.get("robustness", {})
    return [
        (f"  {name}", f"overall {figures['accuracy']:.3f}, macro-F1 {figures['macro_f1']:.3f}")
        for name, figures in cases.items()
    ]


def _origin(facts: dict[str, Any]) -> str:
    if "cropmap_version" not in facts:
        return ""
    best = f", the best being {facts['best_epoch']}" if "best_epoch" in facts else ""
    return f"cropmap {facts['cropmap_version']}, {facts.get('epochs')} epochs{best}, seed {facts.get('seed')}"
