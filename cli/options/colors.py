"""The colours of classes as an option."""

from __future__ import annotations

from typing import Any

import click

from gee_pipeline.errors import CropmapError


class ClassColors(click.ParamType["dict[str, str]"]):
    """`corn=#ffd300,cotton=#d54057`, or a file with such; a TOML file may hold a table."""

    name = "NAME=#RRGGBB,...|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Colour by name; whether a map has such classes is asked later."""
        if isinstance(value, dict):
            return {str(name): str(color) for name, color in value.items()}
        from inference.drawing.color_file import colors_of

        try:
            return colors_of(value)
        except CropmapError as error:
            self.fail(str(error), param, ctx)


colors_option = click.option(
    "--colors",
    type=ClassColors(),
    help="Colours of classes on the map: corn=#ffd300,rye=#b77c00, or a TOML or JSON file with such, or a "
    "legend.json. They are in no digest: the same command with others writes a finished map again in "
    "them.  [default: those of the model's classes; of corn, soybeans, rice, wheat, sugarcane, cotton and "
    "other such that all readers tell apart]",
)
