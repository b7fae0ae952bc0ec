"""What one file of samples gives, before its labels are looked up in a legend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Hemisphere, Season

_WHOLE_WITH_FRACTION: Final = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
"""Spreadsheets write 3.0 in a column that has empty cells."""


@dataclass(frozen=True)
class Reading:
    """How files of samples are to be read."""

    recipe: Recipe
    """Bands and bins the series must have."""
    scale: float | None = None
    """Value that the files store for reflectance 1; None is 10,000, and files that look otherwise are
    refused."""
    offset: float | None = None
    """Value that the files store for reflectance 0; None is 0, and files that look otherwise are refused."""
    year: int | None = None
    """Year of the season; of tables None takes the one season in which all their dates lie."""
    hemisphere: Hemisphere | None = None
    """Side of the equator whose season the bins mean; None follows the latitudes."""
    label_column: str | None = None
    """Key or column of the labels; None is `lbl` or `label`."""
    group_column: str | None = None
    """Key or column of the groups; None is `group`, where there is one."""


@dataclass(frozen=True)
class Part:
    """The samples of one file; labels are still what the file calls them."""

    path: Path
    """The file."""
    series: NDArray[np.int16]
    """`(sample, band, bin)`, reflectance x 10,000, gaps nodata in all bands."""
    labels: NDArray[Any]
    """`(sample,)`, numbers or texts."""
    label_place: str
    """Where the labels stand, for messages: `key lbl` or `column label`."""
    lon: NDArray[np.float64] | None = None
    """`(sample,)`, degrees east."""
    lat: NDArray[np.float64] | None = None
    """`(sample,)`, degrees north."""
    groups: NDArray[np.str_] | None = None
    """`(sample,)`, what is held out together."""
    country: NDArray[np.str_] | None = None
    """`(sample,)`, name or code of the country."""
    season: Season | None = None
    """The days that the bins mean, where known and the same for all samples."""
    own_seasons: bool = False
    """The file has dates, or says its season."""
    first_row: int = 0
    """How the first sample is counted in messages: 0 in arrays, 1 in tables."""


def as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    """`(sample,)`: values as texts; `3.0` is `3`, `03` stays, and what is missing is an empty text."""
    return np.array([_text(value) for value in values.tolist()], dtype=np.str_)


def _text(value: Any) -> str:
    if value is None or value != value:  # only NaN differs from itself
        return ""
    text = str(int(value)) if isinstance(value, float) and value == int(value) else str(value).strip()
    return whole[1] if (whole := _WHOLE_WITH_FRACTION.fullmatch(text)) else text
