"""`cropmap report`: one page about a map, to look at, to print and to send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options.colors import colors_option
from cli.options.paths import IN_FOLDER, OUT_FILE, require_new_files
from cli.options.publisher import publisher_options
from cli.options.shared import config_option


@click.command(short_help="Write one HTML page about a finished map.")
@click.argument("run", metavar="RUN", type=IN_FOLDER)
@click.option("--out", type=OUT_FILE, help="HTML file.  [default: RUN/map/report.html]")
@publisher_options("Heading.  [default: that of the map]")
@click.option(
    "--assessment",
    type=IN_FOLDER,
    help="Folder of a report of 'cropmap assess report'.  [default: RUN/assessment/report, if there is one]",
)
@click.option("--smoothed", is_flag=True, help="The page is about the smoothed map of 'cropmap smooth'.")
@click.option("--no-assessment", is_flag=True, help="Leave out the assessment that is there.")
@colors_option
@config_option
def report(
    run: Path,
    out: Path | None,
    assessment: Path | None,
    no_assessment: bool,
    smoothed: bool,
    colors: dict[str, str] | None,
    **words: Any,
) -> None:
    """Write one page about the map of a RUN: an HTML file that needs no network.

    It shows the map with its legend, confidence and observations; areas with intervals where the map was
    assessed ('cropmap assess'), and counts of pixels; how right and how complete the map is; how it was
    made, by which model, and when. Printed it is a document of A4 pages.

    \b
    Examples:
      cropmap report run/ --agency "Office of Agriculture" --licence "CC BY 4.0" --contact maps@example.org
      cropmap report run/ --config agency.toml --out report.html
    """
    from assessment.document.facts import Words, read_document, sound_records
    from assessment.document.page import write_page
    from inference.product.map_facts import COUNTED, page_path

    if no_assessment and assessment:
        raise click.UsageError("Give --assessment or --no-assessment, not both.")
    require_new_files(out)
    path = out or page_path(run / "map")
    said = Words(**words)
    with sound_records(run / "map"):
        document = read_document(
            run, said, assessment, assessed=not no_assessment, smoothed=smoothed, colors=colors
        )
        write_page(path, document)
    click.echo(path)
    if document.assessment is None:
        click.echo(f"{COUNTED} The map was not assessed.", err=True)
