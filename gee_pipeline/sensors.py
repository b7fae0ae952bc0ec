"""Sensors as data: the bands of each, where they come from, and how their numbers are stored.

To add one is to add an entry here; no engine names a band of its own. What stands here never changes once it
was released, because files refer to it by name: another scale or range is another sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from gee_pipeline.bands import BANDS, REFLECTANCE_SCALE, VALID_MAX, VALID_MIN
from gee_pipeline.errors import InputError
from gee_pipeline.season import BinLength

Unit = Literal["reflectance", "decibel", "number"]
"""What the values of a sensor are. A decibel is ten times the decimal logarithm of a power, so a file that
holds the power itself is turned into it."""


@dataclass(frozen=True)
class Band:
    """One band of a sensor."""

    name: str
    """What it is called everywhere in cropmap, and in Earth Engine's collection."""
    names: str
    """Pattern of the names that STAC catalogs give its asset or band, in any case, without a resolution."""
    common_names: tuple[str, ...] = ()
    """Its names by colour (STAC `eo:common_name`)."""


@dataclass(frozen=True)
class CloudMask:
    """What a collection has to find clouds by; the rule itself is a recipe's."""

    score_collection: str
    """Earth Engine's collection of scores, one image a scene under the same `system:index`."""
    classes_band: str
    """Band of scene classes, in Earth Engine and as an asset of STAC items."""


@dataclass(frozen=True)
class Flag:
    """A band of the images themselves that says which pixels count; nobody chooses how."""

    band: str
    """Its name, in Earth Engine and as an asset of STAC items."""
    clear: tuple[int, ...] = (0,)
    """Its values where a pixel counts."""


@dataclass(frozen=True)
class Sensor:
    """What one collection of images offers."""

    name: str
    """What options and files call it."""
    title: str
    """What people call it."""
    bands: tuple[Band, ...]
    """All its bands, in the order of the rows of a model's input."""
    collection: str
    """Earth Engine's image collection."""
    unit: Unit
    """What its values are."""
    scale: float
    """Stored value of 1 in its unit; composites are 16-bit whole numbers, -9998 to 32766."""
    earth_engine_scale: float
    """Number in Earth Engine's images that means 1 in its unit."""
    first_day: date
    """First day with images in Earth Engine's collection."""
    clouds: CloudMask | None = None
    """What clouds are found by, as a recipe says; None where they do not hide the ground from the sensor, or
    where its images say themselves where they are."""
    flag: Flag | None = None
    """What its images say themselves of clouds, if they do."""
    image_properties: tuple[tuple[str, str], ...] = ()
    """Properties and their values without which an image of Earth Engine's collection is left out."""
    bands_listed_in: str | None = None
    """Property that lists the bands of Earth Engine's images, where not all have the same. An image, or a
    STAC item, without a band of the recipe is left out then, not refused."""
    valid: tuple[float, float] | None = None
    """Values outside are not observations, in its unit; None takes all, clipped to what can be stored."""
    platforms: str = ""
    """Pattern of what a STAC item says of its constellation, platform or collection, in any case; where that
    says nothing known, the bands of the item decide."""
    item_properties: tuple[tuple[str, str], ...] = ()
    """Properties and their values without which a STAC item is left out; one that says nothing passes."""
    yearly: bool = False
    """Whether it has one image a place and calendar year: what a bin holds counts as of one day."""
    usual_bins: BinLength | None = None
    """Bins of a whole year that are taken where nothing is said; None are those of a season of crops."""
    spectrum: bool = False
    """Whether its bands are neighbours in wavelength, in order, so that one can look along them."""
    esa_offset: bool = False
    """Whether whole numbers that declare no scale carry the offset of ESA's products since 2022."""
    noise: float = 0.01
    """Standard deviation of the noise of one observation, in its unit: single days vary more than medians."""
    attribution: str = ""
    """What a map that is made of it has to say."""

    @property
    def masked_by_clouds(self) -> bool:
        """Whether clouds hide the ground from it, so that a rule for clear pixels is needed."""
        return self.clouds is not None

    @property
    def classes_band(self) -> str | None:
        """The band of classes or flags by which clear pixels are found where there is no score."""
        if self.clouds:
            return self.clouds.classes_band
        return self.flag.band if self.flag else None

    @property
    def whole_numbers(self) -> bool:
        """Whether Earth Engine's images hold the stored values as they are."""
        return self.unit == "reflectance" and self.step == 1 and self.valid is None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of all its bands, in order."""
        return tuple(band.name for band in self.bands)

    @property
    def stored_range(self) -> tuple[float, float]:
        """Least and greatest stored value of an observation."""
        if self.valid is None:
            return VALID_MIN, VALID_MAX
        return self.valid[0] * self.scale, self.valid[1] * self.scale

    @property
    def step(self) -> float:
        """Factor from a number in Earth Engine's images to the stored value."""
        return self.scale / self.earth_engine_scale

    def band(self, name: str) -> Band:
        """One of its bands.

        Raises:
            InputError: It has no such band.
        """
        for band in self.bands:
            if band.name == name:
                return band
        raise InputError(f"{self.title} has the bands {bands_text(self.band_names)}, not {name}.")


_COMMON_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "B2": ("blue",),
    "B3": ("green",),
    "B4": ("red",),
    "B8": ("nir",),
    "B5": ("rededge1", "rededge071"),
    "B6": ("rededge2", "rededge075"),
    "B7": ("rededge3", "rededge078"),
    "B8A": ("nir08",),
    "B11": ("swir16",),
    "B12": ("swir22",),
}
"""Names by colour. Plain `rededge` is left out: catalogs give it to three bands at once."""

SENTINEL_2: Final = Sensor(
    name="sentinel-2",
    title="Sentinel-2",
    bands=tuple(Band(name, f"B0?{name[1:]}", _COMMON_NAMES[name]) for name in BANDS),
    collection="COPERNICUS/S2_SR_HARMONIZED",
    unit="reflectance",
    scale=REFLECTANCE_SCALE,
    earth_engine_scale=10_000,
    first_day=date(2017, 3, 28),
    clouds=CloudMask("GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED", "SCL"),
    platforms=r".*sentinel-?2.*|.*s2[-_]?(msi|l2a).*",
    esa_offset=True,
    attribution="Contains modified Copernicus Sentinel data.",
)
"""Surface reflectance, L2A; in Earth Engine DN of all processing baselines mean reflectance x 10,000. The
order of bands is that of Tong et al. 2025, section 3.1; scores are Cloud Score+ (Pasquarella et al. 2023),
classes Sen2Cor's."""

SENTINEL_1: Final = Sensor(
    name="sentinel-1",
    title="Sentinel-1",
    bands=(Band("VV", "VV"), Band("VH", "VH")),
    collection="COPERNICUS/S1_GRD",
    unit="decibel",
    scale=100,
    earth_engine_scale=1,
    first_day=date(2014, 10, 3),
    image_properties=(("instrumentMode", "IW"),),
    bands_listed_in="transmitterReceiverPolarisation",
    valid=(-50.0, 20.0),
    platforms=r".*sentinel-?1.*|.*s1[-_]?(grd|rtc).*",
    item_properties=(("sar:instrument_mode", "IW"),),
    noise=1.0,
    attribution="Contains modified Copernicus Sentinel data.",
)
"""Radar backscatter of both polarisations; orbits, border noise and speckle are taken as they come."""

ALPHAEARTH: Final = Sensor(
    name="alphaearth",
    title="AlphaEarth",
    bands=tuple(Band(f"A{index:02d}", f"A{index:02d}") for index in range(64)),
    collection="GOOGLE/SATELLITE_EMBEDDING/V1/ANNUAL",
    unit="number",
    scale=9_000,
    earth_engine_scale=1,
    first_day=date(2017, 1, 1),
    valid=(-1.0, 1.0),
    platforms=r".*alpha-?earth.*|.*satellite[-_]?embedding.*",
    yearly=True,
    usual_bins=365,
    attribution=(
        "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google DeepMind."
    ),
)
"""A unit vector of 64 numbers per pixel and calendar year (Brown et al. 2025): an input without time, which
is a season of one bin. 9,000 steps, because -9,999 means nodata."""

EMIT_BANDS: Final = (*range(127), *range(143, 187), *range(213, 284))
"""The 242 of EMIT's 285 bands that are taken, by index: 381.0 to 1,320.1, 1,446.7 to 1,766.7 and 1,967.3 to
2,485.5 nm. Water vapour hides the ground between them; the last band, 2,492.9 nm, is the detector's end. Tong
et al. 2025 (section 2.1) keep 242 and do not name them, so which is our choice."""

EMIT: Final = Sensor(
    name="emit",
    title="EMIT",
    bands=tuple(Band(f"reflectance_{index}", f"reflectance_{index}") for index in EMIT_BANDS),
    collection="NASA/EMIT/L2A/RFL",
    unit="reflectance",
    scale=REFLECTANCE_SCALE,
    earth_engine_scale=1,
    first_day=date(2022, 8, 9),
    flag=Flag("dilated_cloud_flag"),
    valid=(-0.1, 2.0),
    platforms=r".*(?<![a-z])emit(l2arfl|(?![a-z])).*",
    usual_bins="month:6,8",
    spectrum=True,
    attribution="Contains EMIT L2A reflectance of NASA JPL (doi 10.5067/EMIT/EMITL2ARFL.001).",
)
"""Imaging spectroscopy from the space station: surface reflectance at 60 m, where it passed. Its images flag
clouds with a buffer around them. -9,999 means nodata in the product, hence the valid range. The months are
those of Tong et al. 2025 (section 2.3): June and August, in the south December and February."""

SENSORS: Final[dict[str, Sensor]] = {
    sensor.name: sensor for sensor in (SENTINEL_2, SENTINEL_1, ALPHAEARTH, EMIT)
}
"""The sensors by name."""

_NAMED: Final = 64
"""Bands that a message names one by one."""


def bands_text(bands: Sequence[str]) -> str:
    """Names of bands for a message; of very many the first and the last."""
    if len(bands) <= _NAMED:
        return ", ".join(bands)
    return f"{bands[0]}, {bands[1]}, ... {bands[-1]} ({len(bands)} in all)"


def sensor_of(name: str) -> Sensor:
    """The sensor of a name.

    Raises:
        InputError: There is none.
    """
    if name not in SENSORS:
        raise InputError(f"Sensors are {', '.join(SENSORS)}; got {name!r}.")
    return SENSORS[name]


def sensor_of_band(name: str) -> Sensor | None:
    """The sensor that has a band of this name, or None."""
    return next((sensor for sensor in SENSORS.values() if name in sensor.band_names), None)
