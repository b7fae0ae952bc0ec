"""Results on stdout: lines for a reader, or JSON of the same values."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from cli.options.shared import given, take_recipe
from cli.output.reporting import duration

if TYPE_CHECKING:
    from inference.batch.collect import Collected
    from inference.batch.export import TaskSummary
    from inference.product.map_facts import MapSummary
    from inference.run.completeness import RunSummary
    from inference.run.ledger import RunStatus
    from inference.workflow.request import ExportRequest


OPTIONAL = ("means", "outside", "set_sizes")
"""What is left out of JSON where the map has no such layer."""


def show_map(summary: MapSummary, as_json: bool) -> None:
    """Print where a map is and what it covers."""
    from inference.product.map_facts import COUNTED, hectares_text, set_sizes_text

    if as_json:
        values = {**asdict(summary), "crop_map": summary.crop_map}
        _print_json({key: value for key, value in values.items() if value or key not in OPTIONAL})
        return
    for area in summary.areas:
        if area.pixels:
            confidence = "" if area.mean_confidence is None else f"  confidence {area.mean_confidence:.0f}"
            click.echo(f"{area.name:>24} {hectares_text(area.hectares):>14} ha{confidence}")
    click.echo(f"{COUNTED} 'cropmap assess' estimates them.")
    if summary.means:
        click.echo(f"Layers: {', '.join(f'{name}.tif' for name in summary.means)}")
    if summary.outside is not None:
        click.echo(
            f"Unlike what the model was trained on: {summary.outside:.1%} of the pixels with a class. Its "
            "own figures do not say how right it is there."
        )
    if summary.set_sizes:
        click.echo(f"Prediction sets: {set_sizes_text(summary.set_sizes)} of the pixels with a class")
    click.echo(f"Map: {summary.crop_map}")


def show_export(summary: RunSummary, as_json: bool) -> None:
    """Print where composites are."""
    if as_json:
        _print_json(asdict(summary))
        return
    click.echo(f"Composites of {summary.done:,} cells: {summary.folder / 'composites'}")


def show_tasks(summary: TaskSummary, as_json: bool) -> None:
    """Print the state of batch tasks and what to do next."""
    if as_json:
        _print_json({**asdict(summary), "complete": summary.complete})
        return
    click.echo(
        f"Tasks: {summary.cells_done:,} of {summary.cells:,} cells written to {summary.destination}, "
        f"{summary.active:,} tasks at work, {summary.waiting:,} waiting to be started; "
        f"{summary.eecu_seconds / 3600:.3g} EECU-hours"
    )
    if not summary.complete:
        click.echo(f"Look again: {summary.command}")
    if summary.cells_done:
        click.echo(f"Take in what is written: {summary.command} --collect")


def show_collected(collected: Collected, as_json: bool) -> None:
    """Print what was taken in."""
    if as_json:
        _print_json({**asdict(collected), "done": collected.done})
        return
    click.echo(
        f"Composites of {collected.done:,} cells ({collected.taken:,} new): {collected.folder / 'composites'}"
    )


def show_status(status: RunStatus, as_json: bool) -> None:
    """Print how far a run has come."""
    if as_json:
        _print_json(asdict(status))
        return
    click.echo(f"state    {_state(status):>12}")
    click.echo(f"planned  {status.planned:>12,} cells")
    click.echo(f"done     {status.done:>12,} cells")
    click.echo(f"failed   {status.failed:>12,} cells")
    click.echo(f"pixels   {status.pixels:>12,}")
    if status.seconds_left is not None:
        click.echo(f"left     {duration(status.seconds_left):>12}")
    for name, text in status.failures:
        click.echo(f"{name}: {text}")


def export_request(options: dict[str, Any]) -> ExportRequest:
    """The request of `cropmap export`, its recipe put together from the options; a run keeps its clock."""
    from inference.run.plan import clock_of
    from inference.workflow.request import ExportRequest

    values = given(options)
    said = "clock" in values
    request = ExportRequest(recipe=take_recipe(values), **values)
    kept = None if said else clock_of(request.folder)
    return request if kept is None else replace(request, recipe=replace(request.recipe, clock=kept))


def _state(status: RunStatus) -> str:
    if status.running:
        return "running"
    return "complete" if status.done == status.planned else "stopped"


def _print_json(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values, default=str))
