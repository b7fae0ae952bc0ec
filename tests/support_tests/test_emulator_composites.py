"""Whole composites, written with the plain client in two ways, against a loop over pixels and days."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ee
import numpy as np
import pyproj
import pytest
from affine import Affine

from tests.support.ee_asking import LEFT, TOP, UTM15, offline_client, pixels
from tests.support.ee_emulator.archive import ImageAsset, Raster
from tests.support.ee_emulator.grid import Grid

BANDS = {"B2": 10, "B11": 20}
BINS, DAYS = 4, 5
START = datetime(2021, 5, 1, tzinfo=UTC)
TO = {crs: pyproj.Transformer.from_crs(UTM15, crs, always_xy=True) for crs in (UTM15, "EPSG:32616")}
HOME = Grid(UTM15, Affine(10, 0, LEFT + 135, 0, -10, TOP - 165), 14, 12)


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


def corner(crs: str, left: float) -> tuple[float, float]:
    """Upper left corner of a tile on whole multiples of 20 m."""
    x, y = TO[crs].transform(LEFT + left, TOP)
    return math.floor(x / 20) * 20, math.ceil(y / 20) * 20


def scene(rng: np.random.Generator, number: int) -> list[ImageAsset]:
    """A scene of one of two tiles in two UTM zones, most of them with a score, and gaps in single bands."""
    moment = START + timedelta(days=int(rng.integers(0, 15)), seconds=number)  # the last bin stays empty
    crs, left = [(UTM15, 0.0), ("EPSG:32616", 90.0)][number % 2]
    x, y = corner(crs, left)

    def made(size: int, values: np.ndarray) -> Raster:
        return Raster(values, Affine(size, 0, x, 0, -size, y), crs, nodata=0)

    bands = {name: made(size, _with_gaps(rng, 400 // size)) for name, size in BANDS.items()}
    bands["SCL"] = made(20, rng.integers(1, 12, (20, 20)).astype("uint8"))
    images = [ImageAsset(f"S2/{number:02d}", moment, bands)]
    if number % 4:
        score = rng.random((40, 40)).astype("float32")
        images.append(ImageAsset(f"CS/{number:02d}", moment, {"cs": made(10, score)}))
    return images


def _with_gaps(rng: np.random.Generator, size: int) -> np.ndarray:
    values = rng.integers(1, 20_000, (size, size))
    return np.where(rng.random((size, size)) < 0.1, 0, values).astype("uint16")


def scenes() -> list[ImageAsset]:
    rng = np.random.default_rng(11)
    return [image for number in range(18) for image in scene(rng, number)]


def read(raster: Raster, row: int, col: int) -> float | None:
    """The pixel that holds the centre of a pixel of HOME."""
    x, y = HOME.transform @ (col + 0.5, row + 0.5)
    x, y = TO[raster.crs].transform(x, y)
    i = math.floor((raster.transform.f - y) / -raster.transform.e)
    j = math.floor((x - raster.transform.c) / raster.transform.a)
    if not (0 <= i < raster.values.shape[0] and 0 <= j < raster.values.shape[1]):
        return None
    number = raster.values[i, j].item()
    return None if number == 0 else number


def observation(image: ImageAsset, scores: dict[str, ImageAsset], row: int, col: int) -> list[float] | None:
    values = [read(image.bands[name], row, col) for name in BANDS]
    partner = scores.get(image.index)
    if partner:
        score = read(partner.bands["cs"], row, col)
        clear = score is not None and score >= 0.5
    else:
        clear = read(image.bands["SCL"], row, col) in (4, 5, 6, 7)
    return values if clear and None not in values else None  # type: ignore[return-value]


def expected(images: list[ImageAsset], bin_: int, row: int, col: int) -> list[float]:
    """Median over the days of a bin, the last clear observation of each day; -9999 where there is none."""
    scores = {image.index: image for image in images if image.collection == "CS"}
    ordered = sorted(
        (image for image in images if image.collection == "S2"), key=lambda image: image.time_start
    )
    days: dict[int, list[float]] = {}
    for image in ordered:
        day = (image.time_start - START).days  # type: ignore[operator]
        seen = observation(image, scores, row, col)
        if day // DAYS == bin_ and seen is not None:
            days[day] = seen
    if not days:
        return [-9999.0] * len(BANDS)
    return [float(statistics.median(column)) for column in zip(*days.values(), strict=True)]


def observations() -> ee.ImageCollection:
    names = list(BANDS)
    all_, scores = ee.ImageCollection("S2"), ee.ImageCollection("CS")

    def seen(image: ee.Image, clear: ee.Image) -> ee.Image:
        values = image.select(names)
        return (
            values.updateMask(values.mask().reduce(ee.Reducer.min()))
            .updateMask(clear)
            .set("system:time_start", image.get("system:time_start"))
        )

    scored = all_.linkCollection(scores, ["cs"]).map(lambda image: seen(image, image.select("cs").gte(0.5)))
    same = ee.Filter.equals(leftField="system:index", rightField="system:index")
    bare = ee.ImageCollection(ee.Join.inverted().apply(all_, scores, same))
    classes = [4, 5, 6, 7]
    return scored.merge(
        bare.map(lambda image: seen(image, image.select("SCL").remap(classes, [1] * len(classes), 0)))
    )


def day_mosaic(images: ee.ImageCollection, start: ee.Date) -> ee.Image:
    blank = ee.Image.constant([0] * len(BANDS)).rename(list(BANDS)).updateMask(0).set("system:time_start", 0)
    day = images.filterDate(start, start.advance(1, "day")).merge(ee.ImageCollection([blank]))
    return day.sort("system:time_start").mosaic()


def unrolled() -> ee.Image:
    """Bins and days written out one by one."""
    images = observations()
    bins = []
    for bin_ in range(BINS):
        dates = [ee.Date((START + timedelta(days=DAYS * bin_ + day)).isoformat()) for day in range(DAYS)]
        median = ee.ImageCollection([day_mosaic(images, date) for date in dates]).median()
        bins.append(median.rename([f"{name}_{bin_}" for name in BANDS]))
    return ee.Image.cat(bins).unmask(-9999, False)


def looped() -> ee.Image:
    """Bins and days mapped over on the servers."""
    images = observations()

    def bin_image(first: Any) -> ee.Image:
        days = ee.List.sequence(0, DAYS - 1).map(
            lambda day: day_mosaic(
                images, ee.Date(START.isoformat()).advance(ee.Number(first).add(day), "day")
            )
        )
        return ee.ImageCollection(days).median()

    bins = ee.List.sequence(0, (BINS - 1) * DAYS, DAYS).map(bin_image)
    return ee.ImageCollection(bins).toBands().unmask(-9999, False)


@pytest.fixture(scope="module")
def wanted() -> np.ndarray:
    """`(bin, y, x, band)`"""
    images = scenes()
    return np.array([
        [expected(images, bin_, row, col) for col in range(HOME.width)]
        for bin_ in range(BINS)
        for row in range(HOME.height)
    ]).reshape(BINS, HOME.height, HOME.width, len(BANDS))  # fmt: skip


@pytest.mark.parametrize("build", [unrolled, looped])
def test_a_composite_is_that_of_a_loop_over_pixels_and_days(build: Any, wanted: np.ndarray) -> None:
    got = np.array([band.tolist() for band in pixels(build(), HOME, *scenes()).values()])
    np.testing.assert_array_equal(got.reshape(BINS, len(BANDS), *got.shape[1:]), np.moveaxis(wanted, -1, 1))
    empty = (wanted == -9999).mean(axis=(1, 2, 3))
    assert empty[-1] == 1
    assert empty[:-1].max() < 0.9


def test_parts_of_a_grid_are_the_pixels_of_the_whole() -> None:
    images = scenes()
    whole = pixels(unrolled(), HOME, *images)
    for left, top, width, height in [(0, 0, 5, 12), (5, 3, 9, 4), (13, 11, 1, 1)]:
        corner_ = HOME.transform * Affine.translation(left, top)
        part = pixels(unrolled(), Grid(UTM15, corner_, width, height), *images)
        for name, band in part.items():
            assert band.tolist() == whole[name][top : top + height, left : left + width].tolist()
