"""The colours of classes on a map: a table that all readers tell apart, and what is chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from gee_pipeline.errors import InputError

COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
"""How a colour is written."""

CLASS_COLORS: Final[Mapping[str, str]] = {
    "corn": "#ffd300",
    "soybeans": "#186800",
    "rice": "#48b4e7",
    "wheat": "#b77c00",
    "sugarcane": "#963fc0",
    "cotton": "#d54057",
    "other": "#989b88",
}
"""`#rrggbb` of the classes of CropGlobe, near those of the USDA Cropland Data Layer.

With the two codes below and white paper any two of them are 12 or more apart (CIEDE2000) for full sight and
without either kind of cones, and 6 or more in lightness, of 100, for a print in grey.
"""

NOT_CROPLAND_COLOR, NOT_ENOUGH_COLOR = "#c6c6c6", "#404040"
"""Colours of the codes 254 and 255."""

_FORMER: Final = {
    "soybeans": "#267000",
    "rice": "#00a8e2",
    "wheat": "#a57000",
    "sugarcane": "#9b4dca",
    "cotton": "#ff2626",
    "other": "#b8b8a0",
}
"""What models of version 0.1.0 hold, those that ship too: their digests count the colours, so they stay."""


def shown_color(name: str, color: str) -> str:
    """The colour of a class on a map: that of its model, or today's for the former one of its name.

    Args:
        name: The class.
        color: `#rrggbb` in the model's file.
    """
    return CLASS_COLORS[name] if _FORMER.get(name) == color.lower() else color


def require_colors(colors: Mapping[str, str], names: Iterable[str]) -> None:
    """Refuse colours that cannot be shown, or are of no class of the map.

    Args:
        colors: `#rrggbb` by name.
        names: What the map has.

    Raises:
        InputError: A name is unknown, or a colour is none.
    """
    known = tuple(names)
    if unknown := [name for name in colors if name not in known]:
        raise InputError(
            f"--colors names {', '.join(map(repr, unknown))}, but the map has {', '.join(known)}. Write the "
            "names as the map has them."
        )
    if wrong := [f"{name}={color}" for name, color in colors.items() if not COLOR.fullmatch(str(color))]:
        raise InputError(f"A colour reads #rrggbb, got {', '.join(wrong)}. Write for example corn=#ffd300.")


def colors_notice(colors: Mapping[str, str]) -> str | None:
    """A sentence on colours that some readers take for one another; None where there are none.

    Args:
        colors: `#rrggbb` by name.
    """
    from inference.drawing.color_vision import alike  # numpy: not for those who look for names alone

    pairs = alike(colors)
    if not pairs:
        return None
    named = ", ".join(f"{one} and {other}" for one, other in pairs[:3]) + (", ..." if len(pairs) > 3 else "")
    return f"Some readers cannot tell the colours of {named} apart. Choose others with --colors or --legend."
