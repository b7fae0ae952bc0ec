"""How a map is smoothed, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from assessment.smoothing.compared import BeforeAfter
from assessment.smoothing.filters import SMOOTHNESS
from gee_pipeline.errors import InputError

Method = Literal["bayes", "majority", "sieve"]

WINDOWS: Final[dict[Method, int]] = {"bayes": 9, "majority": 3}
"""Pixels along a side where none are given: sits' own, and the least there is."""

WIDEST: Final = 101
"""Pixels along a side of a window at most."""

MINIMUM_AREA: Final = 0.1
"""Hectares of the smallest part that a sieve leaves: ten pixels."""

SMOOTHED: Final = "smoothed"
SMOOTHED_MAP: Final = "crop_map_smoothed.tif"
"""Folder of the smoothed map in that of the run."""


@dataclass(frozen=True)
class SmoothRequest:
    """A run and how its map is smoothed."""

    run: Path
    """Folder of the run."""
    method: Method = "bayes"
    """By the probabilities around a pixel, by the classes around it, or by the size of its part."""
    window: int | None = None
    """Pixels along a side; None is that of the method. A sieve has none."""
    smoothness: float | None = None
    """Variance of the noise of logits; None is sits' own. For Bayes alone."""
    minimum_area: float | None = None
    """Hectares; smaller parts go to their largest neighbour. For a sieve alone."""
    answers: tuple[Path, ...] = ()
    """Answers to the sample of the map, by which the smoothed map is compared with it; one an interpreter."""

    def __post_init__(self) -> None:
        self._require_own_options()
        window = self.window
        if window is not None and (window % 2 == 0 or not 3 <= window <= WIDEST):
            raise InputError(f"--window is an odd number of pixels from 3 to {WIDEST}, got {window}.")
        if self.smoothness is not None and not 0 < self.smoothness < 1e6:
            raise InputError(f"--smoothness is a variance above 0, got {self.smoothness:g}.")
        if self.minimum_area is not None and not 0 < self.minimum_area < 1e6:
            raise InputError(f"--minimum-area is hectares above 0, got {self.minimum_area:g}.")

    def _require_own_options(self) -> None:
        given = {
            "--window": (self.window, ("bayes", "majority")),
            "--smoothness": (self.smoothness, ("bayes",)),
            "--minimum-area": (self.minimum_area, ("sieve",)),
        }
        for option, (value, methods) in given.items():
            if value is not None and self.method not in methods:
                raise InputError(
                    f"{option} belongs to --method {' and '.join(methods)}, got --method {self.method}. "
                    "Leave one of them out."
                )

    @property
    def folder(self) -> Path:
        """Where the smoothed map comes."""
        return self.run / SMOOTHED

    @property
    def side(self) -> int:
        """Pixels along a side of the window."""
        return self.window or WINDOWS[self.method]

    @property
    def hectares(self) -> float:
        """Hectares of the smallest part that a sieve leaves."""
        return MINIMUM_AREA if self.minimum_area is None else self.minimum_area

    def described(self) -> dict[str, Any]:
        """The method and its settings."""
        if self.method == "sieve":
            return {"method": self.method, "minimum_area_ha": self.hectares}
        settings: dict[str, Any] = {"method": self.method, "window": self.side}
        if self.method == "bayes":
            settings["smoothness"] = SMOOTHNESS if self.smoothness is None else self.smoothness
        return settings


@dataclass(frozen=True)
class Changed:
    """What smoothing changed."""

    folder: Path
    """Folder of the smoothed map."""
    names: tuple[tuple[int, str], ...]
    """Code and name of each class."""
    pixels: NDArray[np.int64]
    """`(before, after)` by code, 256 each."""
    hectares: NDArray[np.float64]
    """`(2, code)`: ground that the map shows, before and after."""
    accuracy: BeforeAfter | None = None
    """Accuracy of both maps; None where no answers were given."""

    @property
    def changed(self) -> int:
        """Pixels whose class is another one now."""
        return int(self.pixels.sum() - np.trace(self.pixels))

    @property
    def mapped(self) -> int:
        """Pixels with a class."""
        return int(self.pixels[[code for code, _ in self.names]].sum())

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        codes = [code for code, _ in self.names]
        return {
            "folder": str(self.folder),
            "pixels": {"mapped": self.mapped, "changed": self.changed},
            "classes": [
                {
                    "code": code,
                    "name": name,
                    "pixels_before": int(self.pixels[code].sum()),
                    "pixels_after": int(self.pixels[:, code].sum()),
                    "hectares_before": float(self.hectares[0, code]),
                    "hectares_after": float(self.hectares[1, code]),
                }
                for code, name in self.names
            ],
            "from_to": self.pixels[np.ix_(codes, codes)].tolist(),
            "accuracy": self.accuracy.to_dict() if self.accuracy else None,
        }
