"""`cropmap season`: when crops grow in an area, and which options map them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options.shared import aoi_options, hemisphere_option
from gee_pipeline.calendar.crops import CROPS

if TYPE_CHECKING:
    from gee_pipeline.calendar.crop_calendar import LocalSeason
    from gee_pipeline.season import Hemisphere, MonthDay


@click.command(short_help="Show when crops grow in an area, and which season fits.")
@aoi_options
@click.option(
    "--crop", type=click.Choice(tuple(CROPS)), help="Only the season of this crop.  [default: both]"
)
@hemisphere_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def season(
    aoi: Path, layer: str | None, crop: str | None, hemisphere: Hemisphere | None, as_json: bool
) -> None:
    """Show when winter and summer crops grow in an area, and which season of cropmap covers them.

    By the crop calendars of ESA WorldCereal, at half a degree. Where rice or maize is grown twice a year,
    or rains come twice, they show one of them. --season and --season-start are options of 'cropmap sample',
    'train' and 'export'; 'cropmap predict' takes the season from its model.

    \b
    Example:
      cropmap season --aoi region.geojson --crop wheat
    """
    from gee_pipeline.aoi import read_aoi
    from gee_pipeline.calendar.crop_calendar import SOURCE, local_seasons, to_dict

    found = local_seasons(read_aoi(aoi, layer), hemisphere)
    chosen = [one for one in found if crop is None or one.crops == CROPS[crop]]
    if as_json:
        click.echo(json.dumps([to_dict(one) for one in chosen]))
        return
    for one in chosen:
        for line in describe(one):
            click.echo(line)
    click.echo(SOURCE)


def describe(season: LocalSeason) -> list[str]:
    """A season for a reader: dates, how alike the area is, and the options that fit."""
    from gee_pipeline.season import SEASONS

    before = " of the year before" if season.start_offset < 0 else ""
    covers = ", ".join(f"{name} {season.coverage(rule):.0%}" for name, rule in SEASONS.items())
    return [
        f"{season.crops} crops: {_day(season.start)}{before} to {_day(season.end)}, {season.days} days",
        f"  calendar   {_cells(season)}",
        *([f"  over it    {_spread(season)}"] if len({*season.starts, *season.ends}) > 2 else []),
        f"  covered    by {covers}",
        f"  options    {_options(season)}",
    ]


def _cells(season: LocalSeason) -> str:
    from gee_pipeline.calendar.crop_calendar import WIDE

    if season.away:
        return f"the nearest cell, {season.away:.1f} degrees away"
    cells = "1 cell" if season.cells == 1 else f"{season.cells:,} cells"
    text = f"{cells}, starts {10 * season.spread} days apart at most"
    if season.skipped:
        text += f", {season.skipped:,} left out (they end before they start)"
    if season.spread > WIDE:
        text += "; too far for one season: map parts of the area on their own"
    return text


def _spread(season: LocalSeason) -> str:
    starts, ends = (" to ".join(map(_day, days)) for days in (season.starts, season.ends))
    return f"first days {starts}, last days {ends}"


def _options(season: LocalSeason) -> str:
    if season.preset:
        return f"--season {season.preset.name}"
    own, window = season.own_rule, f"--window {season.own_rule.first_day}:{season.own_rule.last_day}"
    if season.start_by_day:
        return f"--season-start {own.north.day} {window}"
    return f"--season-start YYYY-{own.north.day} {window}, where YYYY is the year before --year"


def _day(day: MonthDay) -> str:
    return f"{day.day} {day.in_year(2001):%B}"
