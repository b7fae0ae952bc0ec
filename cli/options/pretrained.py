"""The option of published weights that a training starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.options.paths import IN_FILE


def pretrained_option(*, multiple: bool = False) -> Callable[[Any], Any]:
    """`--pretrained`, of a command that trains one network or several.

    Args:
        multiple: Whether several files may be given, each for the models on its encoder.
    """
    more = " May be repeated, once for each encoder." if multiple else ""
    return click.option(
        "--pretrained",
        type=IN_FILE,
        multiple=multiple,
        help="Published weights that presto and galileo-nano start from, a file of 'cropmap data weights'; "
        f"they are known by their checksum.{more}  [default: first weights are drawn]",
    )
