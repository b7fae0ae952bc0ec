"""`cropmap model`: what a checkpoint or a forest is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import MODEL_FILE

if TYPE_CHECKING:
    from inference.models.checkpoint import Checkpoint
    from inference.models.forest_model import ForestModel
    from inference.models.model_card import Facts


@click.group()
def model() -> None:
    """Inspect trained models."""


@model.command(short_help="Describe a checkpoint or a forest.")
@click.argument("file", required=False, type=MODEL_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print all facts as JSON on stdout.")
def info(file: Path | str | None, as_json: bool) -> None:
    """Print what a model knows, what it was trained on and how good it is.

    FILE is a .safetensors checkpoint, a forest of 'cropmap forest train', or one of the models that ship with
    cropmap: accurate, which is shown where nothing is given; fast, which it taught; wide, of three regions.

    \b
    Examples:
      cropmap model info model.safetensors
      cropmap model info forest.safetensors
    """
    from inference.models.model_file import FOREST, model_kind
    from inference.models.shipped import model_path

    path = model_path(file)
    lines, facts = _forest(path) if model_kind(path) == FOREST else _checkpoint(path)
    if as_json:
        click.echo(json.dumps(facts))
        return
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        click.echo(f"{label:<{width}}  {text}")


def _checkpoint(file: Path) -> tuple[Facts, dict[str, Any]]:
    """A checkpoint in words, and everything but the weights as JSON values."""
    from inference.models.checkpoint import load_checkpoint
    from inference.models.model_card import describe

    checkpoint = load_checkpoint(file)
    own = {
        "config": asdict(checkpoint.config),
        "normalisation": asdict(checkpoint.normalisation),
        "temperature": checkpoint.temperature,
    }
    return describe(checkpoint), own | _shared(checkpoint)


def _forest(file: Path) -> tuple[Facts, dict[str, Any]]:
    """A forest in words, and everything but the trees as JSON values."""
    from inference.models.forest_model import load_forest
    from inference.models.model_card import describe_forest

    forest = load_forest(file)
    own = {
        "trees": len(forest.trees),
        "nodes": forest.nodes,
        "depth": max(tree.depth for tree in forest.trees),
        "features": forest.features,
        "feature_names": forest.feature_names,
    }
    return describe_forest(forest), own | _shared(forest)


def _shared(model: Checkpoint | ForestModel) -> dict[str, Any]:
    return {
        "digest": model.digest,
        "classes": [asdict(crop) for crop in model.classes],
        "recipe": model.recipe.to_dict(),
        "recipe_digest": model.recipe.digest,
        "provenance": model.provenance,
        "metrics": model.metrics,
    }
