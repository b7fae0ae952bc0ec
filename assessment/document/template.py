"""Templates of pages and records: everything put into them is escaped, and nothing may be missing."""

from __future__ import annotations

from typing import Final

import jinja2

_ENVIRONMENT: Final = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
)


def filled(template: str, **facts: object) -> str:
    """A template of HTML or XML with its facts put in.

    Args:
        template: Its text, as Jinja reads it.
        facts: What it names; what it names beyond them is an error of ours.
    """
    return _ENVIRONMENT.from_string(template).render(**facts)
