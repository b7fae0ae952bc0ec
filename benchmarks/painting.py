"""A landscape whose every field is one real pixel, under real clouds, written as Sentinel-2 scenes.

Where a field lies and which pixel it shows is made up. What it looks like through the year, the shape of the
fields and the clouds that hide them are real and unaltered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pystac
import rasterio
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.affinity import translate

from examples.clouds import Sky, veil
from examples.scene_writer import OLD_BASELINE, Packing, write_catalog, write_scene
from gee_pipeline.bands import BANDS, NODATA, PIXEL_SIZE
from gee_pipeline.files import read_json, write_json
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from training.samples.samples import Samples

CRS: Final = "EPSG:32615"
LEFT, BOTTOM = 740_000, 3_905_000
"""Lower left corner of the fields in metres: among the eastern Arkansas pixels (90.3 W, 35.3 N)."""

PARCELS_CRS: Final = "EPSG:32632"
"""UTM zone of the parcels' own place, so that they keep their shape in metres."""

SMALL: Final = (320, 480, 1_280)
"""East, north and side in metres of the part with the most fields for its size, from their corner."""

MARGIN: Final = 40
"""Metres between the outermost fields and the edge of the scenes."""

FINE: Final = ("B2", "B3", "B4", "B8")
"""Bands with 10 m pixels; the others have 20 m."""

LEAST_SHARE: Final = 0.05
"""Share of the fields that a class has at least; some are rarer among the pixels."""

NO_FIELD: Final = -1

REVISITS: Final = (("S2A", 1), ("S2B", 3))
"""Satellite and day within a bin. Two satellites pass twice in the ten days that each real median covers;
both passes show that median, each under clouds of its own."""

MADE_OF: Final = (
    "Painted, not seen by a satellite: each field shows the real Sentinel-2 medians of one pixel in Arkansas "
    "in 2021, in the shape of a field in Bavaria, under clouds seen in Slovenia."
)


@dataclass(frozen=True)
class Canvas:
    """Where fields lie."""

    geobox: GeoBox
    """The scenes' 10 m pixels, an even number of rows and columns."""
    field: NDArray[np.int32]
    """`(y, x)`: index of the field, -1 where there is none."""
    area: shapely.Polygon
    """Hull of all fields, in the CRS of the geobox."""

    @property
    def fields(self) -> int:
        """Number of fields; each has a pixel."""
        return int(self.field.max()) + 1

    @property
    def coarse(self) -> NDArray[np.int32]:
        """`(y / 2, x / 2)`: the field that a 20 m pixel shows, the one with most of its four 10 m pixels."""
        quads = _quads(self.field)
        alike = (quads[..., :, None] == quads[..., None, :]).sum(-1) * (quads != NO_FIELD)
        return np.take_along_axis(quads, alike.argmax(-1)[..., None], -1)[..., 0]

    @property
    def inner(self) -> NDArray[np.bool_]:
        """`(y, x)`: True where a 20 m pixel is of one field wholly, so that no band is of another."""
        quads = _quads(self.field)
        whole = (quads == quads[..., :1]).all(-1) & (quads[..., 0] != NO_FIELD)
        return np.kron(whole, np.ones((2, 2), bool))


@dataclass(frozen=True)
class Painting:
    """What every field shows through the year."""

    canvas: Canvas
    """Where the fields lie."""
    series: NDArray[np.int16]
    """`(field, band, bin)`: the observed series of one pixel, bins of the whole season, gaps nodata."""
    codes: NDArray[np.uint8]
    """`(field,)`: true class code, 1 to K."""

    @property
    def truth(self) -> NDArray[np.uint8]:
        """`(y, x)`: true class code, 0 where there is no field."""
        return np.append(self.codes, np.uint8(0))[self.canvas.field]


@dataclass(frozen=True)
class Pass:
    """One acquisition of the painted place."""

    satellite: str
    """`S2A` or `S2B`."""
    bin: int
    """Bin of the season that it shows."""
    day: date
    """Day within that bin."""

    @property
    def packing(self) -> Packing:
        """How its scene stores reflectance: one satellite with the offset of today, one as in 2021."""
        return Packing() if self.satellite == "S2B" else OLD_BASELINE


def read_canvas(parcels: Path, small: bool = False) -> Canvas:
    """The fields of a vector file, moved to Arkansas without turning or stretching.

    Args:
        parcels: Polygons.
        small: Only the part of `SMALL`; fields are cut at its edge.
    """
    shapes = geopandas.read_file(parcels).to_crs(PARCELS_CRS).geometry
    west, south, _, _ = shapes.total_bounds
    moved = [translate(shape, LEFT - west, BOTTOM - south) for shape in shapes]
    if small:
        east, north, side = SMALL
        window = shapely.box(LEFT + east, BOTTOM + north, LEFT + east + side, BOTTOM + north + side)
        moved = [cut for shape in moved if not (cut := shape.intersection(window)).is_empty]
    return make_canvas(moved)


def make_canvas(shapes: list[shapely.Polygon]) -> Canvas:
    """The pixels of some polygons in `CRS`; a polygon without a pixel's centre is left out."""
    hull = shapely.union_all(shapes).convex_hull.buffer(MARGIN / 2)
    west, south, east, north = (2 * PIXEL_SIZE * round(v / (2 * PIXEL_SIZE)) for v in hull.bounds)
    west, south, east, north = west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN
    size = ((north - south) // PIXEL_SIZE, (east - west) // PIXEL_SIZE)
    geobox = GeoBox(size, Affine(PIXEL_SIZE, 0, west, 0, -PIXEL_SIZE, north), CRS)
    burnt = rasterio.features.rasterize(
        zip(shapes, range(1, len(shapes) + 1), strict=True), size, transform=geobox.transform, dtype="int32"
    )
    return Canvas(geobox, _renumbered(burnt), hull)


def paint(canvas: Canvas, samples: Samples, rng: np.random.Generator) -> Painting:
    """Fields that each show one sample, no sample twice, classes by their share among the samples."""
    pixels = draw_samples(samples, canvas.fields, rng)
    return Painting(canvas, samples.series[pixels], (samples.labels[pixels] + 1).astype(np.uint8))


def draw_samples(samples: Samples, fields: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """`(field,)` different samples; a class has its share of them, but at least `LEAST_SHARE`."""
    counts = np.array(list(samples.counts.values()))
    wanted = np.maximum(np.rint(fields * counts / counts.sum()), np.ceil(fields * LEAST_SHARE)).astype(int)
    wanted[counts.argmax()] += fields - wanted.sum()  # the most frequent class makes room for the rare
    drawn = [
        rng.choice(np.flatnonzero(samples.labels == label), number, replace=False)
        for label, number in enumerate(wanted)
    ]
    return rng.permutation(np.concatenate(drawn))


def read_clouds(folder: Path, days: range) -> NDArray[np.float32]:
    """Cloud probability `(acquisition, y, x)` at 10 m, in order of the day of the year, all years together.

    Args:
        folder: Holds `CLP.npy` `(acquisition, y, x, 1)`, 0 to 1, and `timestamps.json`.
        days: Days of the year to keep, counted from 1.
    """
    probability = np.load(folder / "CLP.npy")[..., 0]
    times = [datetime.fromisoformat(text) for text in read_json(folder / "timestamps.json")]
    day = np.array([moment.timetuple().tm_yday for moment in times])
    order = np.argsort(day, kind="stable")
    return probability[order[np.isin(day[order], days)]]


def passes(season: Season, recipe: Recipe, series: NDArray[np.int16]) -> list[Pass]:
    """The acquisitions of the model window, in time: two in each bin in which any field is observed."""
    bins = [b for b in recipe.window if (series[:, 0, b] != NODATA).any()]
    return [Pass(name, b, season.bin(b).start + timedelta(days=day)) for b in bins for name, day in REVISITS]


def clouds_of(
    clouds: NDArray[np.float32], number: int, count: int, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Cloud probability `(y, x)` over the scene of one pass, mirrored at its edges to fill the scene.

    Args:
        clouds: All acquisitions `(acquisition, y, x)`, spread over the season in their order.
        number: Number of the pass, from 0.
        count: Number of passes.
        shape: Rows and columns of the scene.
    """
    chosen = clouds[round(number * (len(clouds) - 1) / max(count - 1, 1))]
    missing = [max(size - have, 0) for size, have in zip(shape, chosen.shape, strict=True)]
    return np.pad(chosen, [(0, m) for m in missing], mode="symmetric")[: shape[0], : shape[1]]


def render(
    painting: Painting, bin_: int, cloud: NDArray[np.float32], threshold: float
) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.float32]]:
    """Bands and clear score of one scene.

    The score is 1 - cloud probability, in steps of 0.01. Below the threshold clouds cover the ground, from it
    on the real values stand unaltered. A field whose pixel has no observation in the bin is under cloud too.

    Args:
        painting: What to show.
        bin_: Bin of the season to show.
        cloud: Cloud probability `(y, x)`.
        threshold: Score from which a pixel counts as clear.

    Returns:
        Reflectance x 10,000 by band, `(y, x)` at 10 m or `(y / 2, x / 2)` at 20 m, nodata without field; and
        the score `(y, x)`.
    """
    canvas, coarse = painting.canvas, painting.canvas.coarse
    hidden = np.append(painting.series[:, 0, bin_] == NODATA, False)  # last: no field
    # Both the pixel's own field and the one that its 20 m pixel shows must be observed.
    unseen = hidden[canvas.field] | np.kron(hidden[coarse], np.ones((2, 2), bool))
    score = np.where(unseen, 0, np.rint(100 * (1 - cloud)) / 100).astype(np.float32)
    opacity = np.where(score < threshold, 1 - score, 0).astype(np.float32)
    fine = _ground(painting, bin_, canvas.field, opacity)
    half = _ground(painting, bin_, coarse, _quads(opacity).min(-1))
    bands = {band: (fine if band in FINE else half)[i] for i, band in enumerate(BANDS)}
    return bands, score


def write_scenes(
    folder: Path, painting: Painting, clouds: NDArray[np.float32], season: Season, recipe: Recipe
) -> Path:
    """Write a STAC catalog, `area.geojson` and the truth `fields.tif`; returns the path of `catalog.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_area(folder / "area.geojson", painting.canvas)
    write_truth(folder / "fields.tif", painting)
    items = list(_scenes(folder, painting, clouds, season, recipe))
    return write_catalog(folder, items, "Painted fields of real pixels", MADE_OF)


def write_area(path: Path, canvas: Canvas) -> None:
    """Write the hull of the fields as GeoJSON in EPSG:4326."""
    lonlat = geopandas.GeoSeries([canvas.area], crs=CRS).to_crs("EPSG:4326").iloc[0]
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(lonlat)}
    write_json(path, {"type": "FeatureCollection", "features": [feature]})


def write_truth(path: Path, painting: Painting) -> None:
    """Write the true class codes as a GeoTIFF."""
    height, width = painting.canvas.field.shape
    profile = {"count": 1, "dtype": "uint8", "nodata": 0, "compress": "deflate"}
    place = {"crs": CRS, "transform": painting.canvas.geobox.transform, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", **profile, **place) as file:
        file.write(painting.truth, 1)


def _scenes(
    folder: Path, painting: Painting, clouds: NDArray[np.float32], season: Season, recipe: Recipe
) -> Iterator[pystac.Item]:
    planned = passes(season, recipe, painting.series)
    for number, taken in enumerate(planned):
        cloud = clouds_of(clouds, number, len(planned), painting.canvas.field.shape)
        bands, score = render(painting, taken.bin, cloud, recipe.sensors[0].clear.threshold)
        yield write_scene(
            folder,
            f"PAINTED_{taken.satellite}_{taken.day:%Y%m%d}",
            acquired=datetime.combine(taken.day, time(16, 50, tzinfo=UTC)),
            geobox=painting.canvas.geobox,
            bands=bands,
            clear_score=score,
            packing=taken.packing,
            properties={"simulated": True, "description": MADE_OF, "constellation": "sentinel-2"},
        )


def _ground(
    painting: Painting, bin_: int, field: NDArray[np.int32], opacity: NDArray[np.float32]
) -> NDArray[np.int16]:
    """All bands `(band, y, x)` of some pixels under clouds."""
    shown = np.moveaxis(painting.series[field, :, bin_], -1, 0).astype(np.float32)
    lit = np.where(
        shown == NODATA, 0, shown
    )  # a hidden pixel is under full cloud: its ground does not matter
    seen = np.rint(veil(lit, Sky(opacity, np.zeros_like(opacity))))
    return np.where(field == NO_FIELD, NODATA, seen).astype(np.int16)


def _renumbered(burnt: NDArray[np.int32]) -> NDArray[np.int32]:
    """Fields numbered from 0 without gaps, background -1."""
    _, compact = np.unique(np.append(burnt.ravel(), 0), return_inverse=True)
    return (compact[:-1].reshape(burnt.shape) - 1).astype(np.int32)


def _quads(values: NDArray[Any]) -> NDArray[Any]:
    """The four 10 m pixels `(y / 2, x / 2, 4)` of every 20 m pixel."""
    rows, columns = values.shape
    blocks = values.reshape(rows // 2, 2, columns // 2, 2).swapaxes(1, 2)
    return blocks.reshape(rows // 2, columns // 2, 4)
