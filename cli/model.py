"""`cropmap model`: what a checkpoint is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from inference.checkpoint import Checkpoint


@click.group()
def model() -> None:
    """Look at trained models."""


@model.command(short_help="Print a checkpoint in words.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print all facts as JSON on stdout.")
def info(file: Path | None, as_json: bool) -> None:
    """Print what a checkpoint knows, what it was trained on and how good it is.

    FILE is a .safetensors checkpoint; without it the model that ships with cropmap is shown.

    \b
    Example:
      cropmap model info model.safetensors
    """
    from inference.checkpoint import default_checkpoint, load_checkpoint
    from inference.model_card import describe

    checkpoint = load_checkpoint(file or default_checkpoint())
    if as_json:
        click.echo(json.dumps(_facts(checkpoint)))
        return
    lines = describe(checkpoint)
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        click.echo(f"{label:<{width}}  {text}")


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything but the weights, as JSON values."""
    return {
        "digest": checkpoint.digest,
        "config": asdict(checkpoint.config),
        "classes": [asdict(crop) for crop in checkpoint.classes],
        "recipe": checkpoint.recipe.to_dict(),
        "recipe_digest": checkpoint.recipe.digest,
        "normalisation": asdict(checkpoint.normalisation),
        "temperature": checkpoint.temperature,
        "provenance": checkpoint.provenance,
        "metrics": checkpoint.metrics,
    }
