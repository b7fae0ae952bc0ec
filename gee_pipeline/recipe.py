"""The one description of how scenes become a model's input; its digest travels with every file.

A file holds the fields of a recipe that differ from their defaults, so a field that is added later leaves
every file valid. What version 0.1.0 could say is still written as it wrote it (format 1): those files are the
same bytes as ever, and their digests too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from typing import Any, Final, get_args

from gee_pipeline.bands import REFLECTANCE_SCALE
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.season import (
    DAYS,
    SEASONS,
    SUMMER,
    YEAR,
    BinLength,
    Clock,
    MonthDay,
    Season,
    SeasonRule,
    bins_in_season,
    in_order,
    length_text,
    mean_days,
)
from gee_pipeline.sensors import SENTINEL_2, Sensor, bands_text, sensor_of, sensor_of_band

FORMAT: Final = 2
"""Newest form of a recipe in files that this version reads and writes."""


SCENE_CLASSES: Final = (
    "no data",
    "saturated or defective",
    "dark",
    "cloud shadow",
    "vegetation",
    "not vegetated",
    "water",
    "unclassified",
    "cloud likely",
    "cloud very likely",
    "thin cirrus",
    "snow or ice",
)
"""Scene classes of Sen2Cor (SCL), in the order of their codes from 0."""


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
    def clear_classes(self) -> str:
        """The scene classes that are clear, for a message: `4 vegetation, 6 water`."""
        return ", ".join(" ".join([str(code), *SCENE_CLASSES[code : code + 1]]) for code in self.scl_clear)

    @property
    def least_clear(self) -> float:
        """Score from which a pixel counts as clear: a millionth below the threshold.

        A score of 0.65 that is stored with 32 bits, or as 65 steps of 0.01, is not exactly 0.65.
        """
        return self.threshold - 1e-6

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"A Cloud Score+ threshold lies between 0 and 1, got {self.threshold}.")


@dataclass(frozen=True)
class SensorGroup:
    """Bands of one sensor that are observed together: an observation of them is whole or absent."""

    name: str = SENTINEL_2.name
    """The sensor, by its name in `gee_pipeline.sensors`."""
    bands: tuple[str, ...] = SENTINEL_2.band_names
    """Bands in the order of the matrix rows."""
    clear: CloudRule | None = field(default_factory=CloudRule)
    """Which pixels are clear; None where clouds do not hide the ground from the sensor."""

    def __post_init__(self) -> None:
        known = self.sensor.band_names
        if not self.bands or len(set(self.bands)) != len(self.bands) or not set(self.bands) <= set(known):
            raise InputError(
                f"A recipe takes each band once, out of {bands_text(known)}; got {bands_text(self.bands)}."
            )
        if self.sensor.masked_by_clouds != (self.clear is not None):
            needs = "needs a rule" if self.sensor.masked_by_clouds else "takes no rule"
            raise InputError(f"{self.sensor.title} {needs} for clear pixels.")

    @classmethod
    def of(cls, name: str, bands: Sequence[str] | None = None, clear: CloudRule | None = None) -> SensorGroup:
        """The group of a sensor.

        Args:
            name: Name of the sensor.
            bands: Bands in order; None takes all.
            clear: Rule for clear pixels; None is the default one, where the sensor needs one.

        Raises:
            InputError: There is no such sensor or band.
        """
        sensor = sensor_of(name)
        if clear is None and sensor.masked_by_clouds:
            clear = CloudRule()
        return cls(name, sensor.band_names if bands is None else tuple(bands), clear)

    @property
    def sensor(self) -> Sensor:
        """Where its bands come from and how they are stored."""
        return sensor_of(self.name)

    @property
    def clear_values(self) -> tuple[int, ...]:
        """Values of the sensor's band of classes or flags that are clear; none where it has no such band."""
        if self.clear is not None:
            return self.clear.scl_clear
        return self.sensor.flag.clear if self.sensor.flag else ()

    @property
    def clear_text(self) -> str:
        """Which pixels are clear, for a message; empty where all are."""
        if self.clear is not None:
            return f"{self.name} with {_words(asdict(self.clear))}"
        flag = self.sensor.flag
        return f"{self.name} with {flag.band} {', '.join(map(str, flag.clear))}" if flag else ""

    def to_dict(self) -> dict[str, Any]:
        """The name, and what differs from `of(name)`, as JSON values."""
        usual = SensorGroup.of(self.name)
        values: dict[str, Any] = {"name": self.name}
        if self.bands != usual.bands:
            values["bands"] = list(self.bands)
        if self.clear != usual.clear and self.clear is not None:
            values["clear"] = _changed(self.clear, CloudRule())
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SensorGroup:
        """The group that `to_dict` wrote.

        Raises:
            InputError: A value is out of range.
            TypeError: A field is unknown.
        """
        rest = dict(values)
        name, bands, clear = rest.pop("name"), rest.pop("bands", None), rest.pop("clear", None)
        if rest:
            raise TypeError(f"unknown {', '.join(sorted(rest))}")
        return cls.of(name, bands, None if clear is None else CloudRule(**_tuples(clear)))


def sensor_groups(bands: Sequence[str], clear: CloudRule | None = None) -> tuple[SensorGroup, ...]:
    """The groups of some bands, in the order in which their sensors come first.

    Args:
        bands: Bands of one or more sensors.
        clear: Rule for clear pixels of the sensors that need one; None is the default one.

    Raises:
        InputError: A band is unknown, or stands twice.
    """
    of_sensor: dict[str, list[str]] = {}
    for band in bands:
        sensor = sensor_of_band(band)
        if sensor is None:
            raise InputError(
                f"A recipe takes each band once, out of {', '.join(SENTINEL_2.band_names)} and those of "
                f"other sensors; got {bands_text(bands)}."
            )
        of_sensor.setdefault(sensor.name, []).append(band)
    return tuple(
        SensorGroup.of(name, names, clear if sensor_of(name).masked_by_clouds else None)
        for name, names in of_sensor.items()
    )


@dataclass(frozen=True)
class Recipe:
    """Sensors, season, bins and least observations: the same in training and in mapping, or the map is wrong.

    A gap is filled linearly along time, ends are extended with the nearest observation (Tong et al. 2025).
    """

    sensors: tuple[SensorGroup, ...] = (SensorGroup(),)
    """Where the bands come from; their rows stand one group after the other."""
    season: SeasonRule = SUMMER
    """Which days a year's name means, and which of them a model sees."""
    bin_days: BinLength = 5
    """Length of a bin in days, or the calendar months that are bins: "month" for each, or "month:6,8"."""
    min_clear_bins: int = 8
    """A series with fewer observed bins of any group in the window is mapped as "not enough observations"."""
    clock: Clock = "utc"
    """By which clock an observation belongs to a day; of those of one day the last counts."""

    def __post_init__(self) -> None:
        names = [group.name for group in self.sensors]
        if not names or len(set(names)) != len(names):
            raise InputError(
                "A recipe takes each band once and one at least, of each sensor in one group; got the groups "
                f"{', '.join(names) or 'none'}."
            )
        in_months = isinstance(self.bin_days, str)
        if not in_months and not (type(self.bin_days) is int and 1 <= self.bin_days <= DAYS):
            raise InputError(f"A bin is 1 to {DAYS} days long, or a calendar month; got {self.bin_days!r}.")
        if in_months and {self.season.north.day.day, self.season.south.day.day} != {1}:
            raise InputError(
                "Calendar months are bins of a season that starts on the first day of a month, got "
                f"{self.season}. Choose another start (--season-start 10-01), or --bin-days 30."
            )
        if not self.window:
            raise InputError(
                f"The window of days {self.season.first_day} to {self.season.last_day} holds no whole bin of "
                f"{length_text(self.bin_days)}. Choose shorter bins or another window."
            )
        if not self.min_clear_bins >= 0:
            raise InputError(f"The least clear bins are 0 or more, got {self.min_clear_bins}.")
        if self.clock not in get_args(Clock):
            raise InputError(f"Days are counted by {' or '.join(get_args(Clock))}, got {self.clock!r}.")

    @classmethod
    def of(
        cls,
        *,
        bands: Sequence[str] = SENTINEL_2.band_names,
        clear: CloudRule | None = None,
        season: SeasonRule = SUMMER,
        window: tuple[int, int] | None = None,
        bin_days: BinLength = 5,
        min_clear_bins: int = 8,
        clock: Clock = "utc",
    ) -> Recipe:
        """The recipe of some bands, by what people say.

        Args:
            bands: Bands of one or more sensors.
            clear: Which pixels are clear; None is the default rule.
            season: Which days a year's name means.
            window: First and last day of the model window, counted from 1; None is that of the season.
            bin_days: Length of a bin.
            min_clear_bins: Fewest observed bins of a series that is mapped.
            clock: By which clock days are counted.

        Raises:
            InputError: A value is out of range.
        """
        rule = season if window is None else season.with_window(*window)
        return cls(sensor_groups(bands, clear), rule, bin_days, min_clear_bins, clock)

    def with_window(self, first_day: int, last_day: int) -> Recipe:
        """The same recipe with other days of the model window."""
        return replace(self, season=self.season.with_window(first_day, last_day))

    def require_enough_bins(self) -> Recipe:
        """The recipe itself, of which a series can have enough observations.

        Raises:
            InputError: Its window has fewer bins than it asks to be observed.
        """
        if self.min_clear_bins > len(self.window):
            raise InputError(
                f"A window of {len(self.window)} bins never has {self.min_clear_bins} observed ones. Ask for "
                "fewer with --min-clear-bins."
            )
        return self

    def starting_as(self, season: Season) -> Recipe:
        """The recipe of series that start with a season, which version 0.1.0 kept next to the recipe."""
        rule = self.season
        if season.start in (rule.north.in_year(season.year), rule.south.in_year(season.year)):
            return self
        return replace(self, season=rule.starting(season.start, season.year))

    def with_clear(self, rule: CloudRule) -> Recipe:
        """The same recipe with another rule for clear pixels."""
        return replace(self, sensors=sensor_groups(self.bands, rule))

    @property
    def bands(self) -> tuple[str, ...]:
        """All bands, in the order of the matrix rows."""
        return tuple(band for group in self.sensors for band in group.bands)

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """The sensors of its groups, by their names in `gee_pipeline.sensors`."""
        return tuple(group.name for group in self.sensors)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Number of bands of each group, in order: an observation is whole or absent within a group."""
        return tuple(len(group.bands) for group in self.sensors)

    @property
    def scales(self) -> tuple[float, ...]:
        """Stored value of 1 in its unit, of each band."""
        return tuple(group.sensor.scale for group in self.sensors for _ in group.bands)

    @property
    def bins_in_season(self) -> int:
        """Number of bins of a whole season: 73 for five days, 12 for months, as many as months are named."""
        return bins_in_season(self.bin_days)

    @property
    def in_order(self) -> bool:
        """Whether its bins follow one another in time, so that series can be moved along it."""
        return in_order(self.bin_days)

    @property
    def mean_bin_days(self) -> float:
        """Days of a bin; for months their mean."""
        return mean_days(self.bin_days)

    @property
    def window(self) -> range:
        """Bins of the model window: 24 to 66, t = 43, for the default days."""
        return self.season.window(self.bin_days)

    def around_window(self, margin: int) -> range:
        """The window with so many bins before and after it, as far as the season has them."""
        return range(max(0, self.window.start - margin), min(self.bins_in_season, self.window.stop + margin))

    @property
    def digest(self) -> str:
        """Sixteen hex digits that are equal exactly when two recipes are."""
        return digest_of(self.to_dict())

    @property
    def composite_digest(self) -> str:
        """The digest of the fields that decide a composite; season and least observations do not."""
        return digest_of(self.composite_fields)

    @property
    def composite_fields(self) -> dict[str, Any]:
        """What decides a composite, as JSON values; files are compared by it."""
        values = self.composite_part.to_dict()
        return {key: value for key, value in values.items() if key not in _WINDOW_1}

    @property
    def composite_part(self) -> Recipe:
        """The recipe with the fields that do not decide a composite at their defaults."""
        return Recipe(sensors=self.sensors, bin_days=self.bin_days, clock=self.clock)

    @property
    def series_part(self) -> Recipe:
        """The recipe with the fields that do not decide the series of a whole season at their defaults."""
        rule = self.season.with_window(SUMMER.first_day, SUMMER.last_day)
        return Recipe(sensors=self.sensors, season=rule, bin_days=self.bin_days, clock=self.clock)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON values: in format 1 where that can say it, else what differs from defaults."""
        if self._in_format_1:
            return self._to_format_1()
        values: dict[str, Any] = {"format": FORMAT}
        usual = type(self)()
        if self.sensors != usual.sensors:
            values["sensors"] = [group.to_dict() for group in self.sensors]
        if self.season != usual.season:
            values["season"] = self.season.to_dict()
        rest = ("sensors", "season")
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in rest}
        return values | {key: value for key, value in plain.items() if value != getattr(usual, key)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote, of this or an earlier version.

        Raises:
            InputError: A field is missing, unknown or out of range.
            MismatchError: It was written by a later version of cropmap.
        """
        try:
            if "format" not in values:
                return _of_format_1(values)
            rest = dict(values)
            if (form := rest.pop("format")) != FORMAT:
                raise MismatchError(
                    f"This version of cropmap reads recipes up to format {FORMAT}, got format {form!r}. "
                    "Install a later version."
                )
            sensors, season = rest.pop("sensors", None), rest.pop("season", None)
            if sensors is not None:
                rest["sensors"] = tuple(SensorGroup.from_dict(group) for group in sensors)
            if season is not None:
                rest["season"] = SeasonRule.from_dict(season)
            return cls(**rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"A recipe must hold the fields {', '.join(cls.__dataclass_fields__)}; {error}. "
                "It was written by another version of cropmap or by hand."
            ) from error

    def described(self) -> dict[str, str]:
        """Every field as a message shows it."""
        clear = [group.clear_text for group in self.sensors if group.clear_text]
        return {
            "bands": bands_text(self.bands),
            "bin_days": str(self.bin_days),
            "season": self.season.days,
            "clear pixels": ", ".join(clear) or "all",
            "min_clear_bins": str(self.min_clear_bins),
            "clock": self.clock,
        }

    def differences(self, other: Recipe) -> list[str]:
        """One line per field that differs: name, own value, other value."""
        mine, theirs = self.described(), other.described()
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

    @property
    def _in_format_1(self) -> bool:
        """Whether version 0.1.0 could say it: Sentinel-2, days, and where the summer's season starts."""
        (group, *more) = self.sensors
        starts = (self.season.north, self.season.south) == (SUMMER.north, SUMMER.south)
        days = isinstance(self.bin_days, int) and self.bin_days <= _LONGEST_BIN_1
        cloud = group.clear is not None and set(_changed(group.clear, CloudRule())) <= set(_CLOUD_1)
        later = [f for f in fields(self) if f.name not in _FIELDS_1 and getattr(self, f.name) != f.default]
        return not (more or later) and group.name == SENTINEL_2.name and starts and days and cloud

    def _to_format_1(self) -> dict[str, Any]:
        cloud = self.sensors[0].clear
        values = {
            "bands": self.bands,
            "bin_days": self.bin_days,
            "window_first_day": self.season.first_day,
            "window_last_day": self.season.last_day,
            "cloud": {key: getattr(cloud, key) for key in _CLOUD_1},
            "min_clear_bins": self.min_clear_bins,
            **_SAID_1,
        }
        return dict(json.loads(json.dumps(values)))


MOST_UNSEEN: Final = 0.05
"""Share of the window's days that may lie after the last whole bin: of 365 days bins of 30 leave five."""

_FIELDS_1: Final = ("sensors", "season", "bin_days", "min_clear_bins")
"""Fields of a recipe that format 1 can say, in a form of its own."""

_LONGEST_BIN_1: Final = 73
"""Most days of a bin in format 1."""

_CLOUD_1: Final = ("score_band", "threshold", "scl_clear")
"""Fields of a cloud rule in format 1."""

_SAID_1: Final[dict[str, Any]] = {
    "gap_rule": "linear, ends extended",
    "season_rule": "north 1 January of the year, south 1 July of the year before",
    "reflectance_scale": REFLECTANCE_SCALE,
}
"""What every recipe of format 1 says in the same words; no other words are acted on, so they are refused."""

_WINDOW_1: Final = ("window_first_day", "window_last_day", "min_clear_bins", "gap_rule", "season_rule")
"""Fields of format 1 that do not decide a composite."""


def _of_format_1(values: dict[str, Any]) -> Recipe:
    rest = dict(values)
    for key, said in _SAID_1.items():
        if (got := rest.pop(key)) != said:
            raise InputError(
                f"A recipe's {key} can only be {said!r}, which is what cropmap does; got {got!r}. It was "
                "changed by hand: take the file as it was written."
            )
    window = SUMMER.with_window(rest.pop("window_first_day"), rest.pop("window_last_day"))
    season = next((rule for rule in SEASONS.values() if rule == window), window)
    groups = (SensorGroup.of("sentinel-2", rest.pop("bands"), CloudRule(**_tuples(rest.pop("cloud")))),)
    return Recipe(sensors=groups, season=season, **rest)


def _require_one_bin_of_yearly(recipe: Recipe) -> None:
    """Refuse bins within the year of sensors that have one image a year."""
    yearly = [group.sensor.title for group in recipe.sensors if group.sensor.yearly]
    if yearly and recipe.bins_in_season > 1:
        raise InputError(
            f"{' and '.join(yearly)} has one image a year, which fills a season of one bin, got "
            f"{recipe.bins_in_season} bins. Take it alone, and leave --season, --window and --bin-days out."
        )


def _require_window_in_bins(recipe: Recipe) -> None:
    """Refuse whole bins that end long before the window does: a model would not see what it is said to."""
    rule, days = recipe.season, recipe.bin_days
    if not isinstance(days, int):
        return
    last = recipe.bins_in_season * days
    unseen, seen = rule.last_day - last, rule.last_day - rule.first_day + 1
    if unseen > MOST_UNSEEN * seen:
        raise InputError(
            f"Whole bins of {days} days end on day {last} of the season, the window on day {rule.last_day}: "
            f"{unseen} days are not seen. Choose other --bin-days, or a --window that ends by day {last}."
        )


def digest_of(values: dict[str, Any]) -> str:
    """Sixteen hex digits of JSON values; what a season is called does not count."""
    if isinstance(values.get("season"), dict):
        values = values | {"season": {k: v for k, v in values["season"].items() if k != "name"}}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _changed(value: CloudRule, usual: CloudRule) -> dict[str, Any]:
    """The fields of a rule that differ from their defaults, as JSON values."""
    return {
        f.name: _listed(getattr(value, f.name))
        for f in fields(value)
        if getattr(value, f.name) != getattr(usual, f.name, f.default)
    }


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


USUAL: Final = Recipe(clock="solar")
"""What commands take where nothing is said. A recipe's own default is what files without a clock mean."""


@dataclass(frozen=True)
class RecipeOptions:
    """What a user says of a recipe; what is None is left as the files have it, or at its default."""

    sensors: tuple[str, ...] | None = None
    """Sensors of which all bands are taken."""
    bands: tuple[str, ...] | None = None
    """Bands in order, of any sensors."""
    score_band: str | None = None
    """Cloud Score+ band."""
    threshold: float | None = None
    """Score from which a pixel is clear."""
    season: SeasonRule | None = None
    """Which days a year's name means."""
    season_start: date | MonthDay | None = None
    """First day of the season, in place of the rule's."""
    window: tuple[int, int] | None = None
    """First and last day of the model window."""
    bin_days: BinLength | None = None
    """Length of a bin."""
    min_clear_bins: int | None = None
    """Fewest observed bins of a series that is mapped."""
    clock: Clock | None = None
    """By which clock days are counted."""

    def applied(self, recipe: Recipe = USUAL, year: int | None = None) -> Recipe:
        """A recipe with what the user says.

        Args:
            recipe: What holds where nothing is said.
            year: The year that names the season; None takes that of the rule (`SeasonRule.year_of`).

        Raises:
            InputError: The values do not go together.
        """
        sensors = self._sensors(recipe)
        recipe = self._usual(sensors, recipe)
        made = replace(
            recipe,
            sensors=sensors,
            season=self._season(recipe.season, year),
            bin_days=recipe.bin_days if self.bin_days is None else self.bin_days,
            min_clear_bins=recipe.min_clear_bins if self.min_clear_bins is None else self.min_clear_bins,
            clock=recipe.clock if self.clock is None else self.clock,
        )
        _require_one_bin_of_yearly(made)
        _require_window_in_bins(made)
        return made

    def _sensors(self, recipe: Recipe) -> tuple[SensorGroup, ...]:
        usual = next((group.clear for group in recipe.sensors if group.clear), CloudRule())
        clear = replace(
            usual,
            score_band=usual.score_band if self.score_band is None else self.score_band,
            threshold=usual.threshold if self.threshold is None else self.threshold,
        )
        groups = sensor_groups(self._bands(recipe), clear)
        said = self.score_band is not None or self.threshold is not None
        if said and all(group.clear is None for group in groups):
            titles = " and ".join(group.sensor.title for group in groups)
            why = f"Clouds do not hide the ground from {titles}."
            if any(group.sensor.flag for group in groups):
                why = f"Clouds in {titles} are found by a band of its own images, not by a score."
            raise InputError(f"{why} Omit --cloud-band and --cloud-threshold.")
        return groups

    def _bands(self, recipe: Recipe) -> tuple[str, ...]:
        if self.sensors is None:
            return recipe.bands if self.bands is None else self.bands
        if self.bands is not None:
            raise InputError(
                "Bands are chosen by --bands, or as all of some --sensors; got both. Name all in --bands."
            )
        return tuple(band for name in self.sensors for band in sensor_of(name).band_names)

    def _usual(self, sensors: tuple[SensorGroup, ...], recipe: Recipe) -> Recipe:
        """What holds where nothing is said: of sensors that have bins of their own these, all observed."""
        said = (self.season, self.season_start, self.window)
        (bins, *more) = {group.sensor.usual_bins for group in sensors}
        if bins is None or more or sensors == recipe.sensors or any(value is not None for value in said):
            return recipe
        length = bins if self.bin_days is None else self.bin_days
        clear = recipe.min_clear_bins if in_order(length) else bins_in_season(length)
        return Recipe(sensors, YEAR, length, clear, recipe.clock)

    def _season(self, rule: SeasonRule, year: int | None) -> SeasonRule:
        rule = self.season or rule
        if self.window:
            rule = rule.with_window(*self.window)
        if self.season_start is None:
            return rule
        return rule.starting(self.season_start, year)
