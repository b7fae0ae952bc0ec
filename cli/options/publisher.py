"""What only a publisher knows, as options of the commands that write what others read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from cli.options.shared import apply

F = TypeVar("F", bound=Callable[..., Any])

WORDS: Final = ("title", "agency", "licence", "contact", "note")
"""Names of the options, and of the fields of `Words`."""


def publisher_options(title: str) -> Callable[[F], F]:
    """The options.

    Args:
        title: Help of `--title`.
    """
    return apply(
        click.option("--title", help=title),
        click.option("--agency", help="Who publishes."),
        click.option("--licence", help="Under which terms."),
        click.option("--contact", help="Whom to ask."),
        click.option("--note", help="A paragraph under the heading."),
    )
