"""The one description of how scenes become a model's input; its digest travels with every file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from gee_pipeline.bands import BANDS, REFLECTANCE_SCALE
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.season import DAYS


@dataclass(frozen=True)
class CloudRule:
    """Which pixels of a scene count as clear."""

    score_band: str = "cs"
    """Cloud Score+ band: `cs` (instantaneous) or `cs_cdf` (rank through time); Pasquarella et al. 2023."""
    threshold: float = 0.75
    """A pixel is clear where the score is at least this (Tong et al. 2025; Google advises 0.50 to 0.65)."""
    scl_clear: tuple[int, ...] = (4, 5, 6, 7)
    """Scene classes that are clear where a scene has no Cloud Score+: vegetation, bare soil, water,
    unclassified (ESA Sen2Cor SCL)."""

    @property
    def least_clear(self) -> float:
        """Score from which a pixel counts as clear: a millionth below the threshold.

        A score of 0.65 that is stored with 32 bits, or as 65 steps of 0.01, lies a little beside 0.65.
        """
        return self.threshold - 1e-6

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"A Cloud Score+ threshold lies between 0 and 1, got {self.threshold}.")


@dataclass(frozen=True)
class Recipe:
    """Bands, season, cloud rule and gap rule: the same in training and in mapping, or the map is wrong."""

    bands: tuple[str, ...] = BANDS
    """Bands in the order of the matrix rows."""
    bin_days: int = 5
    """Length of a bin in days."""
    window_first_day: int = 121
    """First day of the model window, counted from 1 at the season's start."""
    window_last_day: int = 334
    """Last day of the model window, included."""
    cloud: CloudRule = field(default_factory=CloudRule)
    """Which pixels are clear."""
    min_clear_bins: int = 8
    """A series with fewer observed bins in the window is mapped as "not enough observations"."""
    gap_rule: str = "linear, ends extended"
    """How an empty bin gets its value (METHOD: linear interpolation along time, nearest at the ends)."""
    season_rule: str = "north 1 January of the year, south 1 July of the year before"
    """Where a season starts unless it is overridden."""
    reflectance_scale: int = REFLECTANCE_SCALE
    """Stored value of reflectance 1.0."""

    def __post_init__(self) -> None:
        unknown = [band for band in self.bands if band not in BANDS]
        if unknown or not self.bands or len(set(self.bands)) != len(self.bands):
            raise InputError(
                f"A recipe takes each band once, out of {', '.join(BANDS)}; got {', '.join(self.bands)}."
            )
        if not 1 <= self.bin_days <= 73:
            raise InputError(f"A bin is 1 to 73 days long, got {self.bin_days}.")
        if not 1 <= self.window_first_day <= self.window_last_day <= DAYS:
            raise InputError(
                f"The model window lies within days 1 to {DAYS} of the season, got "
                f"{self.window_first_day} to {self.window_last_day}."
            )

    @property
    def bins_in_season(self) -> int:
        """Number of bins of a whole season: 73 for five days."""
        return DAYS // self.bin_days

    @property
    def window(self) -> range:
        """Bins of the model window: 24 to 66, t = 43, for the default days."""
        first = (self.window_first_day - 1) // self.bin_days
        last = min((self.window_last_day - 1) // self.bin_days, self.bins_in_season - 1)
        return range(first, last + 1)

    @property
    def digest(self) -> str:
        """Sixteen hex digits that are equal exactly when two recipes are."""
        return _digest(self.to_dict())

    @property
    def composite_digest(self) -> str:
        """The digest of the fields that decide a composite; the window and the gap rule do not."""
        return _digest({key: self.to_dict()[key] for key in _COMPOSITE_FIELDS})

    @property
    def composite_part(self) -> Recipe:
        """The recipe with the fields that do not decide a composite at their defaults."""
        return Recipe(**{key: getattr(self, key) for key in _COMPOSITE_FIELDS})

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises:
            InputError: A field is missing, unknown or out of range.
        """
        try:
            cloud = dict(values["cloud"])
            cloud["scl_clear"] = tuple(cloud["scl_clear"])
            rest = {key: value for key, value in values.items() if key not in ("cloud", "bands")}
            return cls(bands=tuple(values["bands"]), cloud=CloudRule(**cloud), **rest)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"A recipe must hold the fields {', '.join(cls.__dataclass_fields__)}; {error}. "
                "It was written by another version of cropmap or by hand."
            ) from error

    def differences(self, other: Recipe) -> list[str]:
        """One line a field that differs: name, own value, other value."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{key}: {mine[key]} against {theirs[key]}" for key in mine if mine[key] != theirs[key]]

    def require_same(self, other: Recipe, mine: str, theirs: str, way_out: str) -> None:
        """Refuse two recipes that differ.

        Args:
            other: The recipe to compare with.
            mine: What carries this recipe, for the message.
            theirs: What carries the other.
            way_out: What the user can do, a full sentence.

        Raises:
            MismatchError: Naming both values of every field that differs.
        """
        if lines := self.differences(other):
            raise MismatchError(
                f"{mine} and {theirs} must share one recipe, but differ in "
                + "; ".join(lines)
                + f". {way_out}"
            )


_COMPOSITE_FIELDS = ("bands", "bin_days", "cloud", "reflectance_scale")


def _digest(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
