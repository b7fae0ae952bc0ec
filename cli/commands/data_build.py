"""`cropmap data build`: published samples, made again from their sources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.commands.sample import WORDING, show_points
from cli.options.paths import OUT_FOLDER
from cli.options.sections import Grouped
from cli.options.shared import (
    Names,
    apply,
    config_option,
    cropland_mask_option,
    earth_engine_options,
    earth_engine_settings,
    eecu_option,
    given,
    talk_options,
)
from cli.output.reporting import reporting
from training.samples.crops import NAMES
from training.sampling.squares.rule import SamplingRule

if TYPE_CHECKING:
    from training.sampling.cropglobe_build import BuildRequest, Country
    from training.sampling.dry_run import DryRun
    from training.sampling.field_samples import SampleListener


class OfCountry(click.ParamType[tuple[str, str]]):
    """Something of a country, such as FRA=parcels.gpkg."""

    name = "CODE=PLACE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Country and text."""
        if isinstance(value, tuple):
            return value
        code, separator, text = str(value).partition("=")
        if not separator or not code.strip() or not text.strip():
            self.fail(f"{value!r} names no country. Write it as FRA=parcels.gpkg.", param, ctx)
        return code.strip().upper(), text.strip()


@click.group()
def build() -> None:
    """Make published samples again, from the maps that they were drawn from."""


_map_options = apply(
    click.option(
        "--map",
        "maps",
        type=OfCountry(),
        multiple=True,
        help="Where the reference map of a country lies: a path, asset:ID[:BAND] or table:ID; repeat it.  "
        "[default: where Earth Engine has it: ARG, USA]",
    ),
    click.option(
        "--area",
        "areas",
        type=OfCountry(),
        multiple=True,
        help="Vector file of the area of a country; repeat it.  [default: its outline by Earth Engine]",
    ),
    click.option(
        "--accuracy",
        "accuracies",
        type=OfCountry(),
        multiple=True,
        help="CSV with the accuracies of the map of a country, as of 'cropmap sample'; repeat it. The paper "
        "has them for GBR and USA.  [default: all values are taken]",
    ),
    cropland_mask_option,
)

_rule_options = apply(
    click.option("--year", type=int, help="Year of maps and seasons.  [default: the paper's, 2023]"),
    click.option(
        "--per-cell",
        type=int,
        help="Samples of each class in a square.  [default: the paper's, 1 in the USA and 5 elsewhere]",
    ),
    click.option(
        "--buffer",
        type=float,
        default=SamplingRule.buffer,
        show_default=True,
        metavar="METRES",
        help="All land within this distance of a sample has its class; of small parcels 20 keeps more.",
    ),
    click.option("--seed", type=int, default=SamplingRule.seed, show_default=True, help="Chooses samples."),
    click.option(
        "--source",
        metavar="CATALOG",
        help="STAC catalog or API with the scenes.  [default: Google Earth Engine]",
    ),
    click.option("--collection", help="Collection within the source."),
    click.option("--dry-run", is_flag=True, help="Print how many samples each rule would leave."),
)


@build.command(cls=Grouped, short_help="Sample the reference map of each country by the paper's rules.")
@config_option
@click.option("--to", type=OUT_FOLDER, required=True, help="Folder for the samples of each country.")
@click.option(
    "--countries",
    type=Names(),
    help="Countries out of ARG, AUS, BEL, CHN, FRA, GBR, NLD, USA.  [default: all]",
)
@_map_options
@_rule_options
@eecu_option
@earth_engine_options
@talk_options
def cropglobe(quiet: bool, as_json: bool, dry_run: bool, **options: Any) -> None:
    """Build CropGlobe again (Tong et al. 2025, section 2.3), or a year of it that nobody has published.

    Each country's map is sampled as 'cropmap sample' does: a few points of each class in squares of 0.1
    degree, 60 m from other classes. The same command continues; a country that fails does not end the
    others. Samples by class are printed beside the paper's table 1; 'cropmap benchmark --data FOLDER' takes
    the result. Maps that are not on Earth Engine have to be fetched first: without --map, each says where.

    \b
    Example:
      cropmap data build cropglobe --to again --countries FRA,USA --map FRA=RPG.gpkg --project my-project
    """
    from training.sampling.cropglobe_build import UnfinishedBuild, build_cropglobe, count_cropglobe

    request = build_request(options)
    with _heard(quiet) as heard:
        if dry_run:
            show_counts(count_cropglobe(request, heard), as_json)
            return
        try:
            show(build_cropglobe(request, heard), as_json)
        except UnfinishedBuild as error:
            show(error.built, as_json)
            raise


def build_request(options: dict[str, Any]) -> BuildRequest:
    """The request of the command."""
    from training.sampling.cropglobe_build import BuildRequest

    settings, values = earth_engine_settings(options), given(options)
    rule = replace(SamplingRule(), buffer=values.pop("buffer"), seed=values.pop("seed"))
    if countries := values.pop("countries", None):
        values["countries"] = tuple(code.upper() for code in countries)
    for name in ("maps", "areas", "accuracies"):
        given_pairs = values.pop(name, ())
        pairs = dict(given_pairs)
        if len(pairs) < len(given_pairs):
            raise click.UsageError(f"Each country has one of its {name}; one is named twice. Omit one.")
        values[name] = pairs if name == "maps" else {code: Path(text) for code, text in pairs.items()}
    return BuildRequest(rule=rule, settings=settings, **values)


def show_counts(found: dict[str, DryRun], as_json: bool) -> None:
    """Print what each rule would leave in each country."""
    if as_json:
        click.echo(json.dumps({code: one.to_dict() for code, one in found.items()}))
        return
    for code, one in found.items():
        click.echo(f"{code}:")
        show_points(one)


def show(built: list[Country], as_json: bool) -> None:
    """Print the samples of each country by class, beside the paper's table 1."""
    if as_json:
        click.echo(json.dumps([asdict(country) for country in built]))
        return
    click.echo(" ".join([f"{'samples':<10}", *(f"{name:>17}" for name in NAMES)]))
    for country in built:
        if country.counts is None:
            click.echo(f"{country.code:<10} none")
            continue
        pairs = zip(country.counts.found, country.counts.published, strict=True)
        cells = [f"{found:,} ({published:,})" for found, published in pairs]
        click.echo(" ".join([f"{country.code:<10}", *(f"{cell:>17}" for cell in cells)]))
    click.echo("In brackets: table 1 of Tong et al. 2025, of the year 2023.")


@contextmanager
def _heard(quiet: bool) -> Iterator[Any]:
    """Makes the listeners of countries, which say of which they speak; or silence."""
    from training.sampling.field_samples import SampleListener

    with reporting(WORDING, quiet) as reporter:

        def heard(code: str) -> SampleListener:
            reporter.write(f"{code}:")
            return SampleListener(lambda text: reporter.write(f"{code}: {text}"), reporter.report)

        yield heard
