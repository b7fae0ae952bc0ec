"""Colours of classes that readers tell apart who see fewer colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

FAR: Final = 15.0
"""CIE 1976 distance of two colours that are told apart on a map beside each other."""

ALIKE: Final = 10.0
"""CIE 1976 distance below which two colours of a legend are called alike."""

OKABE_ITO: Final = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000")
"""The palette of Okabe and Ito (2008): colours that all readers tell apart."""

_VISIONS: Final = (
    np.eye(3),
    np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
)
"""What is seen of linear RGB with all cones, and without those for long, for middle or for short waves:
Machado, Oliveira and Fernandes 2009, severity 1."""

_XYZ: Final = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE: Final = _XYZ.sum(axis=1)


def safe_colors(colors: Sequence[str], fixed: Sequence[str] = ()) -> list[str]:
    """The colours, those replaced that somebody could take for an earlier one.

    A replacement is the nearest of a palette that is far from all others; where there is none, the colour
    stays.

    Args:
        colors: `#rrggbb`, the more important first.
        fixed: Colours that stay, and that the others must differ from.
    """
    chosen = list(fixed)
    for color in colors:
        candidates = [color, *sorted(OKABE_ITO, key=lambda other: distance(other, color, seen=_VISIONS[:1]))]
        free = (one for one in candidates if all(distance(one, other) >= FAR for other in chosen))
        chosen.append(next(free, color))
    return chosen[len(fixed) :]


def alike(colors: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of names whose colours some readers cannot tell apart.

    Args:
        colors: `#rrggbb` by name.
    """
    return [
        (first, second)
        for first, second in combinations(colors, 2)
        if distance(colors[first], colors[second]) < ALIKE
    ]


def distance(one: str, other: str, seen: Sequence[NDArray[np.float64]] = _VISIONS) -> float:
    """How far two colours are apart for those who tell them apart least (CIE 1976, L*a*b* of sRGB in D65)."""
    return min(float(np.linalg.norm(_lab(one, vision) - _lab(other, vision))) for vision in seen)


def _lab(color: str, vision: NDArray[np.float64]) -> NDArray[np.float64]:
    value = np.array(list(bytes.fromhex(color[1:]))) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = _XYZ @ np.clip(vision @ linear, 0, 1) / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
