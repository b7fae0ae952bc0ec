"""What a set of labelled series holds, in numbers: classes, places, season, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.season import BinLength, Clock
from training.samples.samples import Samples


@dataclass(frozen=True)
class Extent:
    """The smallest box of degrees around some places; `west` is the larger one across the 180th meridian."""

    west: float
    """Degrees east, -180 to 180."""
    south: float
    """Degrees north."""
    east: float
    """Degrees east, -180 to 180."""
    north: float
    """Degrees north."""

    @property
    def width(self) -> float:
        """Degrees from west to east."""
        return (self.east - self.west) % 360

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the middle."""
        middle = self.west + self.width / 2
        return (middle + 180) % 360 - 180, (self.south + self.north) / 2


@dataclass(frozen=True)
class Quartiles:
    """How a number is spread over the samples."""

    least: float
    """Minimum."""
    lower: float
    """First quartile."""
    median: float
    """Second quartile."""
    upper: float
    """Third quartile."""
    most: float
    """Maximum."""

    @classmethod
    def of(cls, values: NDArray[Any]) -> Quartiles:
        """The quartiles of some numbers, at least one."""
        return cls(*np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist())


@dataclass(frozen=True)
class SampleReport:
    """What there is to train on. Gaps are counted in the samples that are left."""

    files: tuple[str, ...]
    """As they were given."""
    source: str
    """One sentence on labels and imagery."""
    samples: int
    """Samples that a training would see."""
    classes: dict[str, int]
    """Samples by class, in the order of the codes."""
    countries: dict[str, dict[str, int]] | None
    """Country -> samples by class, or None where the files do not say."""
    groups: int | None
    """Different values of the column to split by, or None where there is none."""
    duplicates_dropped: int
    """Samples left out because an earlier one had the same series."""
    sparse_dropped: int
    """Samples left out because of too few observed bins in the model window."""
    left_out: int
    """Samples left out because their label has no class."""
    sparse_share: float
    """Share of all samples of the files that was left out as too sparse."""
    min_clear_bins: int
    """Observed bins that a sample needs in the model window."""
    extent: Extent | None
    """Where the samples lie, or None where the files do not say."""
    year: int | None
    """Year of the season, or None where the files do not say one."""
    season_start: date | None
    """First day of bin 0, or None where it is not known."""
    bin_days: BinLength
    """Days in a bin."""
    clock: Clock
    """By which clock an observation belongs to a day."""
    window: tuple[int, int]
    """First and last bin of the model window."""
    observed_season: Quartiles
    """Observed bins a sample, of all bins of the season."""
    observed_window: Quartiles
    """Observed bins a sample, of those of the model window."""
    observed_by_bin: tuple[float, ...]
    """Share of the samples with an observation, bin by bin."""

    @property
    def gaps_marked(self) -> bool:
        """Whether any bin of any sample is a gap; files of filled series have none."""
        return min(self.observed_by_bin) < 1

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        start = self.season_start and self.season_start.isoformat()
        return {**asdict(self), "season_start": start, "gaps_marked": self.gaps_marked}


def report_samples(
    samples: Samples,
    files: Sequence[Path] = (),
) -> SampleReport:
    """The numbers of some samples.

    Args:
        samples: As `read_samples` returns them.
        files: Where they came from.
    """
    window = samples.recipe.window
    observed = samples.observed
    read = len(samples) + samples.duplicates_dropped + samples.sparse_dropped + samples.left_out
    season = samples.season
    return SampleReport(
        files=tuple(map(str, files)),
        source=samples.source,
        samples=len(samples),
        classes=samples.counts,
        countries=_by_country(samples),
        groups=None if samples.groups is None else len(np.unique(samples.groups)),
        duplicates_dropped=samples.duplicates_dropped,
        sparse_dropped=samples.sparse_dropped,
        left_out=samples.left_out,
        sparse_share=samples.sparse_dropped / read,
        min_clear_bins=samples.recipe.min_clear_bins,
        extent=extent_of(samples),
        year=season.year if season else None,
        season_start=season.start if season else None,
        bin_days=samples.recipe.bin_days,
        clock=samples.recipe.clock,
        window=(window[0], window[-1]),
        observed_season=Quartiles.of(observed.sum(axis=1)),
        observed_window=Quartiles.of(observed[:, window].sum(axis=1)),
        observed_by_bin=tuple(observed.mean(axis=0).tolist()),
    )


def extent_of(samples: Samples) -> Extent | None:
    """The box around the samples, or None where they have no places.

    Its sides leave out the widest stretch of longitudes without samples, so it is small across the 180th
    meridian, too.
    """
    if samples.lon is None or samples.lat is None or not len(samples):
        return None
    lon = np.unique(samples.lon)
    steps = np.diff(lon, append=lon[0] + 360)
    widest = int(steps.argmax())
    west, east = lon[(widest + 1) % len(lon)], lon[widest]
    return Extent(float(west), float(samples.lat.min()), float(east), float(samples.lat.max()))


def _by_country(samples: Samples) -> dict[str, dict[str, int]] | None:
    if samples.country is None:
        return None
    return {str(code): samples.take(samples.country == code).counts for code in np.unique(samples.country)}
