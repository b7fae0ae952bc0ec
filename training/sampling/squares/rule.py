"""How samples are drawn; the defaults of the command are here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.errors import InputError

ZONE_WIDTH: Final = 6
"""Degrees of longitude of a UTM zone."""

LARGEST_BUFFER: Final = 500
"""Metres; the circle is then 101 pixels wide, far below what Earth Engine computes in one go."""


@dataclass(frozen=True)
class SamplingRule:
    """How samples are drawn (Tong et al. 2025, section 2.3: grid-based sampling)."""

    per_cell: int = 1
    """Samples of a square: 1 in the USA and 5 elsewhere in CropGlobe."""
    each_class: bool = False
    """True draws this many of every class in a square, False this many over all classes."""
    spacing: int = 60
    """Metres between any two samples at least; a multiple of the 10 m pixel."""
    buffer: float = 60
    """Metres around a sample that must have its class."""
    grid: float = 0.1
    """Side of a square in degrees; a whole number of them makes the 6 degrees of a UTM zone."""
    seed: int = 0
    """Chooses the samples, together with the square alone."""

    def __post_init__(self) -> None:
        if self.per_cell < 1 or not 0 <= self.seed < 2**32:
            raise InputError(
                f"A square gives at least 1 sample and a seed is 0 to {2**32 - 1}; got --per-cell "
                f"{self.per_cell} and --seed {self.seed}."
            )
        if self.spacing < PIXEL_SIZE or self.spacing % PIXEL_SIZE:
            raise InputError(
                f"The spacing is a multiple of the {PIXEL_SIZE} m pixel, got --spacing {self.spacing}."
            )
        if not 0 <= self.buffer <= LARGEST_BUFFER:
            raise InputError(f"The buffer is 0 to {LARGEST_BUFFER} metres, got --buffer {self.buffer:g}.")
        if not 0.01 <= self.grid <= 1 or abs(ZONE_WIDTH / self.grid - self.cells_in_zone) > 1e-6:
            raise InputError(
                f"A whole number of squares of 0.01 to 1 degree makes the 6 degrees of a UTM zone, got "
                f"--grid {self.grid:g}. Take 0.05, 0.1, 0.2, 0.25 or 0.5."
            )

    @property
    def cells_in_zone(self) -> int:
        """Squares side by side in a UTM zone."""
        return round(ZONE_WIDTH / self.grid)

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON values."""
        return asdict(self)
