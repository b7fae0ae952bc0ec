"""`cropmap estimate`: what an area and a year take on Earth Engine, before they are asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

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

if TYPE_CHECKING:
    from gee_pipeline.earthengine.composites.estimate import Estimate, Spread, Tariff


@click.command(short_help="Estimate what an area takes on Earth Engine.")
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
@earth_engine_options
@talk_options
def estimate(quiet: bool, as_json: bool, **options: Any) -> None:
    """Estimate what the composites of an area and a year take on Earth Engine; no run is started.

    Cells, requests and gigabytes are counted. With credentials N cells, chosen at random, are
    fetched, and computing time (EECU-hours), wall clock and gigabytes of the whole area are extrapolated from
    them and set against the monthly tiers and prices of docs/earth_engine.md. The cells count against the
    project's quota and are not kept.

    \b
    Example:
      cropmap estimate --aoi region.geojson --year 2023 --project my-project
    """
    from gee_pipeline.earthengine.composites.estimate import EstimateRequest, estimate_area

    settings, values = earth_engine_settings(options), given(options)
    recipe = take_recipe(values)
    request = EstimateRequest(settings=settings, recipe=recipe, **values)
    report = (lambda text: None) if quiet else (lambda text: click.echo(text, err=True))
    found = estimate_area(request, report)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    for line in lines(found):
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
