"""`cropmap model`: what a checkpoint is."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def model() -> None:
    """Look at trained models."""


@model.command()
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
    from inference.model_card import describe_model, model_facts

    checkpoint = load_checkpoint(file or default_checkpoint())
    if as_json:
        click.echo(json.dumps(model_facts(checkpoint)))
        return
    lines = describe_model(checkpoint)
    width = max(len(heading) for heading, _ in lines)
    for heading, text in lines:
        click.echo(f"{heading:<{width}}  {text}")
