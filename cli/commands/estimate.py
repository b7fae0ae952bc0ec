"""`cropmap estimate`: what an area and a year take on Earth Engine, before they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import MODEL_FILE
from cli.options.sections import Grouped
from cli.options.shared import (
    bin_options,
    clock_option,
    config_option,
    cropland_option,
    earth_engine_options,
    earth_engine_settings,
    given,
    grid_options,
    place_options,
    sensor_options,
    take_recipe,
    talk_options,
)
from cli.options.unread import refuse_unread

if TYPE_CHECKING:
    from pathlib import Path

    from gee_pipeline.earthengine.client.settings import EarthEngineSettings
    from gee_pipeline.earthengine.composites.estimate import Estimate, Spread, Tariff
    from gee_pipeline.earthengine.network.network_estimate import NetworkEstimate

_OF_MODEL = ("sensors", "bands", "season", "season_start", "window", "bin_days", "clock", "whole_season")
"""Options that a network says itself."""


@click.command(cls=Grouped, short_help="Estimate what an area takes on Earth Engine.")
@config_option
@place_options
@sensor_options
@bin_options
@clock_option
@grid_options
@click.option("--whole-season", is_flag=True, help="All bins of the season instead of the model window.")
@cropland_option
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    metavar="N",
    help="Cells to fetch and measure; 0 only counts and needs no credentials.  [default: 5]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Chooses which cells are measured.  [default: 1]"
)
@click.option(
    "--on",
    type=click.Choice(["here", "servers"]),
    help="Where pixels are labelled: here, or by --model on Earth Engine's servers, for which cells are "
    "measured both ways.  [default: here]",
)
@click.option(
    "--model",
    type=MODEL_FILE,
    metavar="FILE|fast|wide",
    help="Small network that --on servers is estimated for; bands, season and bins are its own.",
)
@earth_engine_options
@talk_options
def estimate(quiet: bool, as_json: bool, on: str | None, model: Path | str | None, **options: Any) -> None:
    """Estimate what the composites of an area and a year take on Earth Engine; no run is started.

    Cells, requests and gigabytes are counted. With credentials N cells, chosen at random, are
    fetched, and computing time (EECU-hours), wall clock and gigabytes of the whole area are extrapolated from
    them and set against the monthly tiers and prices of docs/earth_engine.md. The cells count against the
    project's quota and are not kept.

    With --on servers the same cells are also mapped by the network on the servers; what they take more than
    their composites is its price.

    \b
    Examples:
      cropmap estimate --aoi region.geojson --year 2023 --project my-project
      cropmap estimate --aoi region.geojson --year 2023 --on servers --model fast --project my-project
    """
    from gee_pipeline.earthengine.composites.estimate import EstimateRequest, estimate_area

    settings = earth_engine_settings(options)
    report = (lambda text: None) if quiet else (lambda text: click.echo(text, err=True))
    if on == "servers":
        network = _estimate_network(settings, model, options, report)
        _show(network.to_dict(), [*lines(network.composites), "", *network_lines(network)], as_json)
        return
    refuse_unread(True, "are of --on servers", "model")
    values = given(options)
    recipe = take_recipe(values)
    found = estimate_area(EstimateRequest(settings=settings, recipe=recipe, **values), report)
    _show(found.to_dict(), lines(found), as_json)


def _estimate_network(
    settings: EarthEngineSettings,
    model: Path | str | None,
    options: dict[str, Any],
    report: Callable[[str], None],
) -> NetworkEstimate:
    """The estimate of an area both ways, with the recipe of the network."""
    if model is None:
        raise click.UsageError(
            "--on servers estimates what a network takes there. Name it with --model, such as --model fast."
        )
    refuse_unread(True, "are the model's own with --on servers", *_OF_MODEL)
    from gee_pipeline.earthengine.composites.estimate import EstimateRequest
    from gee_pipeline.earthengine.network.network_estimate import estimate_network
    from inference.workflow.plan_served import network_on_servers

    network = network_on_servers(model)
    values = given({name: value for name, value in options.items() if name not in _OF_MODEL})
    request = EstimateRequest(settings=settings, recipe=network.recipe, **values)
    return estimate_network(request, network.served, report)


def _show(values: dict[str, Any], text: Sequence[str], as_json: bool) -> None:
    for line in [json.dumps(values)] if as_json else text:
        click.echo(line)


def lines(found: Estimate) -> list[str]:
    """An estimate for a reader."""
    size = found.size
    counted = [
        f"cells     {size.cells:>12,}  of {size.cell_size} x {size.cell_size} pixels, {size.bins} bins of "
        f"{size.bands} bands",
        f"requests  {size.requests:>12,}  for pixels at most, unless some are split or repeated",
        f"network   {gigabytes(size.network_bytes):>12}  at most: pixels without compression",
        f"disk      {gigabytes(size.disk_bytes):>12}  at most: composites, predictions and map without "
        "compression",
    ]
    if not found.cells:
        low, high = size.published_eecu_hours
        return [
            *counted,
            f"computing {low:,.3g} to {high:,.3g} EECU-hours by Google's figures for other composites "
            "(docs/earth_engine.md); an order of magnitude",
            f"Computing and time were not measured: {found.why_not}",
        ]
    return [*counted, "", *_measured(found), "", *_tariffs(found)]


def _measured(found: Estimate) -> list[str]:
    from cli.output.reporting import duration

    sample = (
        "every cell"
        if len(found.cells) == found.size.cells
        else f"a random sample (--seed {found.seed}), extrapolated to all cells"
    )
    rows = [
        ("per cell", found.eecu_seconds_a_cell, "{:,.1f}".format, " EECU-seconds"),
        ("", found.seconds_a_cell, "{:,.1f}".format, " s alone"),
        ("computing", found.eecu_hours, "{:,.3g}".format, " EECU-hours"),
        ("time", found.seconds, duration, f" with {found.cells_at_once} at once that do not slow each other"),
        ("network", found.network_bytes, gigabytes, ""),
        ("disk", found.disk_bytes, gigabytes, " of composites"),
    ]
    lines = [
        f"Measured: {len(found.cells)} of {found.size.cells:,} cells, {sample}. Mean (lowest to highest):"
    ]
    lines += [f"{name:<10}{_range(value, text)}{unit}" for name, value, text, unit in rows if value]
    if found.eecu_hours is None:
        lines.append("computing was not measured: Earth Engine gave no readable profile of these cells")
    elif found.eecu_hours.measured < len(found.cells):
        lines.append(f"computing was measured for only {found.eecu_hours.measured} of these cells")
    lines += [f"{name} failed and does not count: {text}" for name, text in found.failed]
    return lines


def network_lines(found: NetworkEstimate) -> list[str]:
    """What a network on the servers takes, for a reader."""
    weights, rate = found.weights, found.multiplications_an_eecu_second
    rows = [
        ("here", f"{found.bytes_a_pixel_here:,}", found.composites.eecu_seconds_a_cell),
        ("servers", f"{found.bytes_a_pixel_on_servers:,}", found.served_eecu_seconds_a_cell),
        ("difference", "", found.network_eecu_seconds_a_cell if rate else None),
    ]
    lines = [
        f"The network has {weights.count:,} weights and takes {weights.multiplications:,} multiplications a "
        f"pixel, and {found.requests_a_cell} requests a cell. Bytes that are fetched of a pixel, and "
        "computing, where composites are fetched to be mapped here, and where the servers map:",
        *(f"{name:<10} {fetched:>6}  {_computing(found, a_cell)}" for name, fetched, a_cell in rows),
        *(f"{name} failed on the servers and does not count: {text}" for name, text in found.failed),
    ]
    if rate:
        return [*lines, f"That is {rate:,.3g} multiplications an EECU-second, with the filling of gaps."]
    if found.network_eecu_seconds_a_cell:
        lines.append(
            "The servers asked no more for maps than for composites, so the difference says nothing."
        )
    return [*lines, "", *_assumed(found)]


def _computing(found: NetworkEstimate, a_cell: Spread | None) -> str:
    """EECU-seconds of a cell and EECU-hours of the area."""
    hours = found.of_area(a_cell)
    if a_cell is None or hours is None:
        return "not measured"
    a_cell_text, hours_text = _range(a_cell, "{:,.1f}".format), _range(hours, "{:,.3g}".format)
    return f"measured: {a_cell_text} EECU-seconds a cell, {hours_text} EECU-hours in all"


def _assumed(found: NetworkEstimate) -> list[str]:
    """Prices at rates that nobody has measured."""
    from gee_pipeline.earthengine.network.network_estimate import PRICE, SHOWN_AREA

    return [
        f"The network alone, of {SHOWN_AREA:,} km2, if the servers made so many multiplications an "
        f"EECU-second (assumed, not measured), at {PRICE.dollars:.2f} US$ an EECU-hour:",
        *(
            f"{price.multiplications_an_eecu_second:>12,}  {price.eecu_hours:>10,.1f} EECU-hours  "
            f"{price.dollars:>10,.2f} US$"
            for price in found.assumed
        ),
    ]


def _tariffs(found: Estimate) -> list[str]:
    from gee_pipeline.earthengine.composites.estimate import TABLE_DATE, TARIFFS

    hours = found.eecu_hours
    if hours is None:
        return []
    head = f"Against monthly tiers and prices as of {TABLE_DATE} (docs/earth_engine.md, which names sources):"
    return [head, *(f"{tariff.name:<30} {_burden(tariff, hours)}" for tariff in TARIFFS)]


def _burden(tariff: Tariff, hours: Spread) -> str:
    from gee_pipeline.earthengine.composites.estimate import dollars, months

    if tariff.eecu_hours is not None:
        share = _range(hours, lambda h: f"{100 * (months(tariff, h) or 0):,.3g}")
        return f"{share} % of a month's {tariff.eecu_hours:,} free EECU-hours"
    price = _range(hours, lambda h: f"{dollars(tariff, h):,.2f}")
    return f"{price} US$ at {tariff.dollars:.2f} per EECU-hour, {tariff.source}"


def _range(value: Spread, text: Any) -> str:
    return f"{text(value.mean)} ({text(value.low)} to {text(value.high)})"


def gigabytes(size: float) -> str:
    """An amount of data in decimal units, for example `86.2 GB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"
