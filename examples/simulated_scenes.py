"""A local STAC catalog of simulated Sentinel-2 scenes, with the truth to score a map against.

    python -m examples.simulated_scenes FOLDER --size 512 --seed 1 --year 2021

No satellite saw any of it. Fields, clouds and noise are procedural; the crops' curves are drawn from
statistics of real pixels in eastern Arkansas (`examples/fit_phenology.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import pystac
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter

from examples.clouds import Sky, draw_cover, make_sky, scene_classes, score, veil
from examples.fields import Landscape, make_landscape
from examples.phenology import CLASSES, Phenology, load_phenology
from examples.scene_writer import OLD_BASELINE, Packing, write_catalog, write_scene
from gee_pipeline.bands import BANDS, NODATA, PIXEL_SIZE
from gee_pipeline.errors import InputError
from gee_pipeline.files import read_json, write_json

CRS: Final = "EPSG:32615"
CENTRE: Final = (698_880, 3_906_560)
"""Easting and northing of the middle: near Jonesboro, Arkansas, where four cells of 256 pixels meet."""

FINE: Final = ("B2", "B3", "B4", "B8")
"""Bands with 10 m pixels; the others have 20 m."""

FIRST_DAY, LAST_DAY = 117, 338
"""Days of the year with acquisitions: the model's window (121 to 334) and a few days about it."""

WITHOUT_SCORE: Final = 7
"""One acquisition out of so many has no Cloud Score+, only scene classes."""

OLD: Final = 5
"""One acquisition out of so many was processed by an older baseline, without offset."""

SIMULATED: Final = (
    "SIMULATED: no satellite saw this. Procedural fields and clouds; crop curves drawn from statistics of "
    "real Sentinel-2 pixels of 2021 in eastern Arkansas."
)


@dataclass(frozen=True)
class Settings:
    """What decides every byte of a simulated catalog."""

    size: int = 512
    """Pixels of 10 m along a side of the place."""
    seed: int = 1
    """Seed of all chance."""
    year: int = 2021
    """Year of the acquisitions."""
    acquisitions: int | None = None
    """Number of acquisitions, spread evenly over the season; None takes all of both orbits."""
    version: int = 1
    """Version of this generator."""
    days_late: int = 0
    """Days by which everything grows later than in Arkansas: a place with other planting dates."""

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 4:
            raise InputError(f"The size must be a multiple of 4 of at least 64 pixels, got {self.size}.")

    @property
    def facts(self) -> dict[str, Any]:
        """The settings as settings.json has them; what is not late does not say so, as before."""
        values = asdict(self)
        return values if self.days_late else {k: v for k, v in values.items() if k != "days_late"}

    @property
    def geobox(self) -> GeoBox:
        """All pixels of the place."""
        half = self.size // 2 * PIXEL_SIZE
        corner = Affine(PIXEL_SIZE, 0, CENTRE[0] - half, 0, -PIXEL_SIZE, CENTRE[1] + half)
        return GeoBox((self.size, self.size), corner, CRS)


@dataclass(frozen=True)
class Acquisition:
    """One pass of a satellite."""

    number: int
    """Counted from 0 in time."""
    platform: str
    """`S2A` or `S2B`."""
    orbit: int
    """Relative orbit."""
    moment: datetime
    """Time in UTC."""

    @property
    def packing(self) -> Packing:
        """How its scenes store reflectance."""
        return OLD_BASELINE if self.number % OLD == 2 else Packing()

    @property
    def has_score(self) -> bool:
        """Whether its scenes have a Cloud Score+ asset."""
        return self.number % WITHOUT_SCORE != 3


@dataclass(frozen=True)
class Tile:
    """A part of the place that is delivered as a scene of its own."""

    name: str
    """Name in the military grid."""
    columns: slice
    """Columns of the place."""
    orbits: tuple[int, ...]
    """Relative orbits that see it."""


EAST_ORBIT, WEST_ORBIT = 26, 69
"""The swath of the western orbit ends within the place; it follows three days after the eastern one."""


def simulate(folder: Path, settings: Settings = Settings()) -> Path:
    """Write the catalog, the area, the truth and a README; returns the path of `catalog.json`.

    A folder that already holds the same is left as it is.

    Args:
        folder: Where to write.
        settings: What to write.

    Raises:
        InputError: The folder holds scenes of other settings.
    """
    if is_complete(folder, settings):
        return folder / "catalog.json"
    folder.mkdir(parents=True, exist_ok=True)
    phenology = load_phenology()
    landscape = make_landscape(np.random.default_rng([settings.seed, 0]), settings.size, phenology)
    write_truth(folder / "fields.tif", landscape.truth, settings.geobox)
    write_area(folder / "area.geojson", settings)

    def paint(rng: np.random.Generator, day: float) -> NDArray[np.float32]:
        return ground(rng, day - settings.days_late, landscape, phenology)

    items = list(write_scenes(folder, settings, acquisitions(settings), paint))
    catalog = write_catalog(folder, items, "Simulated Sentinel-2 scenes", SIMULATED)
    (folder / "README.txt").write_text(_readme(settings, len(items)), encoding="utf-8")
    write_json(folder / "settings.json", settings.facts)
    return catalog


def is_complete(folder: Path, settings: Settings) -> bool:
    """Whether a folder already holds the scenes of some settings, to the last.

    Raises:
        InputError: It holds those of other settings.
    """
    written = folder / "settings.json"
    if not written.exists():
        return False
    if (found := read_json(written)) != settings.facts:
        raise InputError(
            f"{folder} holds simulated scenes with the settings {found}, asked for are {settings.facts}. "
            "Give another folder, or delete this one."
        )
    return True


def acquisitions(settings: Settings, first_day: int = FIRST_DAY) -> list[Acquisition]:
    """The passes of two satellites on two neighbouring orbits through the season, in time.

    Args:
        settings: Year and number.
        first_day: Day of the year with the first pass; below 1 it lies in the year before.
    """
    start = date(settings.year, 1, 1)
    passes = [
        (start + timedelta(days=day - 1), "S2A" if turn % 2 == 0 else "S2B", orbit)
        for orbit, first in ((EAST_ORBIT, first_day), (WEST_ORBIT, first_day + 3))
        for turn, day in enumerate(range(first, LAST_DAY + 1, 5))
    ]
    passes.sort()
    wanted = settings.acquisitions or len(passes)
    chosen = np.unique(np.linspace(0, len(passes) - 1, min(wanted, len(passes))).round().astype(int))
    clock = {EAST_ORBIT: time(16, 48, 51, tzinfo=UTC), WEST_ORBIT: time(16, 58, 49, tzinfo=UTC)}
    return [
        Acquisition(number, passes[i][1], passes[i][2], datetime.combine(passes[i][0], clock[passes[i][2]]))
        for number, i in enumerate(chosen)
    ]


def tiles(size: int) -> tuple[Tile, Tile]:
    """Two tiles that together cover the place and overlap in its middle."""
    seam, end = (4 * round(size * part / 4) for part in (0.60, 0.75))
    return (
        Tile("15SXV", slice(0, end), (EAST_ORBIT, WEST_ORBIT)),
        Tile("15SYV", slice(seam, size), (EAST_ORBIT,)),
    )


def swath(orbit: int, size: int) -> NDArray[np.bool_]:
    """Pixels `(y, x)` that an orbit sees; its edge runs slanted, as the satellite flies."""
    if orbit == EAST_ORBIT:
        return np.ones((size, size), bool)
    rows, columns = np.mgrid[:size, :size]
    return columns < 0.60 * size - 0.21 * rows


def area_polygon(settings: Settings) -> shapely.Polygon:
    """The area of interest in EPSG:4326: seven corners, a notch in the south and a hole."""
    shell = [(0.03, 0.10), (0.30, 0.02), (0.95, 0.05), (0.98, 0.70), (0.72, 0.97), (0.50, 0.80), (0.06, 0.94)]
    hole = [(0.42, 0.38), (0.55, 0.35), (0.60, 0.50), (0.47, 0.56)]
    transformer = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    west, south, east, north = settings.geobox.boundingbox.bbox

    def ring(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
        lonlat = (
            transformer.transform(west + x * (east - west), north - y * (north - south)) for x, y in corners
        )
        return [(round(lon, 6), round(lat, 6)) for lon, lat in lonlat]

    return shapely.Polygon(ring(shell), [ring(hole)])


def write_area(path: Path, settings: Settings) -> None:
    """Write the area of interest as GeoJSON."""
    feature = {
        "type": "Feature",
        "properties": {"name": "Area of the simulated scenes"},
        "geometry": shapely.geometry.mapping(area_polygon(settings)),
    }
    write_json(path, {"type": "FeatureCollection", "features": [feature]})


def write_truth(
    path: Path, truth: NDArray[np.uint8], geobox: GeoBox, classes: Mapping[str, int] = CLASSES
) -> None:
    """Write the class codes of the fields `(y, x)` (0: no field) as a GeoTIFF."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=geobox.shape[0],
        width=geobox.shape[1],
        crs=CRS,
        transform=geobox.transform,
        nodata=0,
        compress="deflate",
    ) as file:
        file.write(truth, 1)
        file.set_band_description(1, "class of the simulated field")
        file.update_tags(simulated="yes", **{name: str(code) for name, code in classes.items()})


def ground(
    rng: np.random.Generator, day: float, landscape: Landscape, phenology: Phenology
) -> NDArray[np.float32]:
    """Cloudless reflectance x 10,000 `(band, y, x)` on one day, at 10 m in every band.

    Args:
        rng: Source of the noise of this day.
        day: Days since 1 January.
        landscape: What grows where.
        phenology: How it looks.
    """
    mean, factors = phenology.at(day)
    kinds = landscape.kind[landscape.field]
    image = np.empty((*kinds.shape, len(BANDS)), np.float32)
    for kind in np.unique(landscape.kind):
        where = kinds == kind
        image[where] = mean[kind] + landscape.scores[where] @ factors[kind]
    spread = phenology.noise[landscape.kind]
    image += _field_noise(rng, spread)[landscape.field]
    image += 0.5 * spread[landscape.field] * rng.standard_normal(image.shape, np.float32)
    return np.maximum(np.moveaxis(image, -1, 0), 30)


def main() -> None:
    """Write a catalog from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write catalog.json, area.geojson, fields.tif")
    parser.add_argument("--size", type=int, default=Settings.size, help="pixels of 10 m along a side [512]")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="seed of all chance [1]")
    parser.add_argument("--year", type=int, default=Settings.year, help="year of the acquisitions [2021]")
    parser.add_argument("--acquisitions", type=int, help="how many, spread over the season [all, 89]")
    parser.add_argument("--days-late", type=int, default=0, help="days by which everything grows later [0]")
    chosen = vars(parser.parse_args())
    folder = chosen.pop("folder")
    try:
        catalog = simulate(folder, Settings(**chosen))
    except InputError as error:
        parser.error(str(error))
    print(f"{catalog}: simulated scenes; area.geojson and fields.tif lie beside it")


def write_scenes(
    folder: Path,
    settings: Settings,
    passes: Sequence[Acquisition],
    paint: Callable[[np.random.Generator, float], NDArray[np.float32]],
) -> Iterator[pystac.Item]:
    """Write the scenes of some passes below a folder, one an item.

    Args:
        folder: Where to write.
        settings: Place, year and seed.
        passes: When satellites pass.
        paint: Cloudless reflectance x 10,000 `(band, y, x)` of a day, counted from 1 January.
    """
    new_year = datetime(settings.year, 1, 1, tzinfo=UTC)
    for acquisition in passes:
        day = (acquisition.moment - new_year).days
        rng = np.random.default_rng([settings.seed, 1, settings.year, day % 1000])
        sky = make_sky(rng, (settings.size, settings.size), draw_cover(rng))
        bare = gaussian_filter(paint(rng, day), (0, 0.5, 0.5))  # the sensor's blur
        seen = swath(acquisition.orbit, settings.size)
        layers = Layers(veil(bare, sky), score(rng, sky), scene_classes(bare, sky), seen)
        for tile in tiles(settings.size):
            if acquisition.orbit in tile.orbits:
                yield _write_tile(folder, settings, acquisition, tile, layers, sky, rng)


@dataclass(frozen=True)
class Layers:
    """Everything an acquisition shows of the whole place."""

    reflectance: NDArray[np.float32]
    """`(band, y, x)`, x 10,000."""
    clear_score: NDArray[np.float32]
    """`(y, x)`."""
    classes: NDArray[np.uint8]
    """`(y, x)`."""
    seen: NDArray[np.bool_]
    """`(y, x)`: within the swath."""


def _write_tile(
    folder: Path,
    settings: Settings,
    acquisition: Acquisition,
    tile: Tile,
    layers: Layers,
    sky: Sky,
    rng: np.random.Generator,
) -> pystac.Item:
    part = (slice(None), tile.columns)
    seen = layers.seen[part]
    # Tiles are resampled on their own, so the two copies of a pixel differ a little.
    scatter = 20 * rng.standard_normal((len(BANDS), *seen.shape), np.float32)
    reflectance = layers.reflectance[:, *part] + scatter
    return write_scene(
        folder,
        f"SIM_{acquisition.platform}_{acquisition.moment:%Y%m%d}_R{acquisition.orbit:03d}_T{tile.name}",
        acquired=acquisition.moment,
        geobox=settings.geobox[part],
        bands={band: _stored(band, reflectance[i], seen) for i, band in enumerate(BANDS)},
        clear_score=np.where(seen, layers.clear_score[part], np.nan) if acquisition.has_score else None,
        scene_classes=np.where(seen, layers.classes[part], 0)[::2, ::2].astype(np.uint8),
        packing=acquisition.packing,
        properties=_properties(acquisition, tile, sky),
    )


def _stored(band: str, values: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.int16]:
    """A band at its own pixel size; in steps of 0.001, finer ones would be noise that fills the disk."""
    if band not in FINE:
        values, seen = _quads(values).mean(axis=-1), np.all(_quads(seen), axis=-1)
    return np.where(seen, np.rint(values / 10) * 10, NODATA).astype(np.int16)


def _quads(values: NDArray[Any]) -> NDArray[Any]:
    """The four 10 m pixels `(y, x, 4)` of every 20 m pixel."""
    rows, columns = values.shape
    blocks = values.reshape(rows // 2, 2, columns // 2, 2).swapaxes(1, 2)
    return blocks.reshape(rows // 2, columns // 2, 4)


def _field_noise(rng: np.random.Generator, spread: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a whole field `(field, band)` is off its curve on one day, mostly in all bands alike."""
    alike = rng.standard_normal((len(spread), 1), np.float32)
    return spread * (0.5 * alike + 0.4 * rng.standard_normal(spread.shape, np.float32))


def _properties(acquisition: Acquisition, tile: Tile, sky: Sky) -> dict[str, Any]:
    return {
        "simulated": True,
        "description": SIMULATED,
        "platform": f"sentinel-2{acquisition.platform[-1].lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(100 * sky.cover, 1),
        "s2:mgrs_tile": tile.name,
        "s2:datatake_id": f"SIM_{acquisition.moment:%Y%m%dT%H%M%S}_R{acquisition.orbit:03d}",
        "sat:relative_orbit": acquisition.orbit,
    }


def _readme(settings: Settings, scenes: int) -> str:
    codes = ", ".join(f"{code} {name}" for name, code in CLASSES.items())
    late = f" Everything grows {settings.days_late} days later than there." if settings.days_late else ""
    return f"""{SIMULATED}{late}

{scenes} scenes of {settings.year} over {settings.size} x {settings.size} pixels of 10 m in {CRS}
(a real place near Jonesboro, Arkansas, that does not look like this). Seed {settings.seed}.

catalog.json   STAC catalog: bands B02 to B12 at 10 m or 20 m, cs (Cloud Score+ like), SCL (scene classes).
area.geojson   area of interest, with a hole.
fields.tif     the truth: {codes}; 0 is no field.

How it is made:
- Fields are halved rectangles; each is one class, with the shares of the real pixels. "Other" is a mixture
  of fallow land, wheat followed by soybeans, sorghum and peanuts. Roads and margins carry developed land.
- Each field draws its own yearly curve from a Gaussian description of the real curves of its kind (mean and
  six principal factors), with texture within the field and noise by field, day and pixel.
- Two satellites pass on two orbits; the western swath ends within the place. Two tiles overlap, so pixels of
  one datatake occur twice. Clouds and their shadows are smooth noise above a threshold.
- One acquisition in {WITHOUT_SCORE} has no cs asset; one in {OLD} has the older baseline, without offset.
- Reflectance is kept in steps of 0.001.
"""


if __name__ == "__main__":
    main()
