"""How files of samples are read: the options that every command which reads them has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import FileOrName
from cli.options.shared import (
    Names,
    apply,
    clock_option,
    hemisphere_option,
    recipe_options,
    sensor_options,
    take_recipe_options,
)
from cli.options.shared import given as only_given
from gee_pipeline.legends.crosswalk import LISTS
from training.samples.crops import NAMES

if TYPE_CHECKING:
    from gee_pipeline.recipe import Recipe
    from training.samples.samples import Samples

legend_option = click.option(
    "--legend",
    type=FileOrName(*LISTS),
    help="Which labels become which class: a TOML or JSON file, with names and colours, or the codes of a "
    f"standard list: {', '.join(LISTS)}.  "
    f"[default: CropGlobe's: {', '.join(f'{label} {name}' for label, name in enumerate(NAMES))}]",
)

scale_option = click.option(
    "--scale",
    type=float,
    help="What the files store for reflectance 1: 1 for reflectance as it is, 100 for percent.  "
    "[default: 10000]",
)

file_options = apply(
    legend_option,
    click.option(
        "--label-column", help="Key or column of the labels.  [default: the legend's, else lbl or label]"
    ),
    scale_option,
    click.option("--offset", type=float, help="What the files store for reflectance 0.  [default: 0]"),
    click.option(
        "--year", type=int, help="Year of the season of the samples, where the files do not say it."
    ),
    hemisphere_option,
    sensor_options,
    recipe_options,
    clock_option,
)
"""What the values of files mean."""

reading_options = apply(
    click.option(
        "--classes",
        type=Names(),
        help="Classes in the order of their codes, out of those of the legend. What is not named becomes "
        "other, or is left out where other is not named.  [default: all that occur]",
    ),
    file_options,
    click.option("--group-column", help="Key or column of the groups.  [default: group]"),
)
"""The same, and which classes and groups there are."""


training_options = apply(
    click.option(
        "--classes",
        type=Names(),
        help="Classes of the map, in the order of their codes, out of those of the legend. What is not "
        "named becomes other, or is left out where other is not named.  [default: all that occur]",
    ),
    file_options,
    click.option(
        "--data-source",
        help="A sentence on labels and imagery, kept in the model.  [default: of the files]",
    ),
)
"""The same for a training, which keeps a sentence on its data in the model."""


def read_files(
    files: Sequence[Path],
    given: dict[str, Any],
    *,
    any_classes: bool = False,
    recipe: Recipe | None = None,
    unlabelled: bool = False,
) -> Samples:
    """The samples of some files, read as the options say.

    Args:
        files: The files.
        given: Values of `file_options`, `reading_options` or `training_options`.
        any_classes: Keep all classes of the legend, where there is no choice of classes.
        recipe: That of the model that reads them; None is that of the files.
        unlabelled: Take files without labels too.
    """
    from training.samples.class_legend import read_legend
    from training.samples.samples import read_samples

    same = ("scale", "offset", "year", "hemisphere", "label_column", "group_column")
    return read_samples(
        files,
        given.get("classes"),
        any_classes=any_classes,
        unlabelled=unlabelled,
        recipe=recipe,
        legend=read_legend(given["legend"]) if given["legend"] else None,
        source=given.get("data_source"),
        asked=take_recipe_options(only_given(given)),
        **{name: given[name] for name in same},
    )


def warn(samples: Samples, *doubts: Callable[[Samples], str | None]) -> None:
    """Print what there is to doubt about samples on stderr."""
    for warning in filter(None, (doubt(samples) for doubt in doubts)):
        click.echo(f"Warning: {warning}", err=True)
