"""The composite of Earth Engine, of the local engine and of a plain loop over pixels are the same.

The graph is evaluated by the emulator over the scenes of a catalog, the local engine reads the catalog, and
the loop below knows neither of them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import ee
import numpy as np
import pyproj
import pytest
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import BANDS
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.grid import Cell
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import SUMMER, YEAR, Season
from gee_pipeline.sensors import SENTINEL_2
from gee_pipeline.stac.composites.source import StacSource
from tests.support.ee_asking import scenes_at
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.catalog import archive_of_catalog
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid
from tests.support.fake_catalog import LEFT, TOP, FakeCatalog, Layer, cell_at, raster_v1

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("offline_client")]

NODATA = -9999
EMPTY = 60_000  # the number without meaning in these scenes: 0, 1 and 65,535 are real
RAW = raster_v1(scale=0.0001, offset=0, nodata=EMPTY, data_type="uint16")
TWO_BANDS = Recipe.of(bands=("B4", "B11"))
SEASON = SUMMER.season(2021, "north")
MAY = range(24, 26)  # bins 24 and 25: 1 to 5 and 6 to 10 May
ASSETS = {band: f"B{band[1:]:0>2}" for band in BANDS}  # B2 lies in B02


@dataclass(frozen=True)
class Shot:
    """One scene: its id, its time in UTC, and its files by asset key."""

    id: str
    time: str
    layers: dict[str, Layer]

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.time)


# ---- the loop ----


def loop(
    shots: Iterable[Shot], geobox: GeoBox, season: Season, bins: Sequence[int], recipe: Recipe = TWO_BANDS
) -> np.ndarray:
    """`(bin, band, y, x)`: what METHOD says, one pixel at a time, in Python numbers."""
    ordered = sorted(shots, key=lambda shot: (shot.when, shot.id))
    looks = [(days(shot, season), pixels_of(shot, geobox, recipe)) for shot in ordered]
    out = np.full((len(bins), len(recipe.bands), *geobox.shape), NODATA, np.int16)
    for place, index in enumerate(bins):
        there = [(day, pixels) for day, pixels in looks if bin_of(day, season.start, recipe) == index]
        for y, x in np.ndindex(*geobox.shape):
            last_of_day = {day: pixels[y][x] for day, pixels in there if pixels[y][x] is not None}
            for band in range(len(recipe.bands) if last_of_day else 0):
                values = sorted(pixel[band] for pixel in last_of_day.values())
                middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
                out[place, band, y, x] = math.floor(middle + 0.5)
    return out


def bin_of(day: int, start: date, recipe: Recipe) -> int:
    """Bins of this many days; or months as a calendar has them."""
    if recipe.bin_days != "month":
        return day // recipe.bin_days
    when = start + timedelta(days=day)
    return 12 * (when.year - start.year) + when.month - start.month


def days(shot: Shot, season: Season) -> int:
    when = shot.when + timedelta(hours=season.hours_ahead)
    return (when.date() - season.start).days


def pixels_of(shot: Shot, geobox: GeoBox, recipe: Recipe) -> list[list[tuple[int, ...] | None]]:
    """The observation of each pixel, or None where it is not clear or lacks a band."""
    seen = {key: layer.nearest(geobox) for key, layer in shot.layers.items()}

    def look(y: int, x: int) -> tuple[int, ...] | None:
        values = {key: numbers[y, x].item() for key, (numbers, there) in seen.items() if there[y, x]}
        bands = [values.get(ASSETS[band], EMPTY) for band in recipe.bands]
        if EMPTY in bands or not is_clear(shot, values, recipe.sensors[0].clear):
            return None
        return tuple(min(value, 32_766) for value in bands)

    height, width = geobox.shape
    return [[look(y, x) for x in range(width)] for y in range(height)]


def is_clear(shot: Shot, values: dict[str, float], rule: CloudRule) -> bool:
    if rule.score_band in shot.layers:
        return values.get(rule.score_band, math.nan) >= rule.threshold - 1e-6  # a score stored with 32 bits
    return values.get("SCL", 0) in rule.scl_clear


# ---- the engines ----


class Scenes:
    """A catalog of shots, for both engines."""

    def __init__(self, folder: Path, *shots: Shot) -> None:
        self.shots = shots
        catalog = FakeCatalog(folder)
        for shot in shots:
            catalog.add(shot.id, shot.time, shot.layers)
        self.path = catalog.save()
        self.archive = archive_of_catalog(self.path)

    def local(self, cell: Cell, season: Season, bins: range, recipe: Recipe = TWO_BANDS) -> np.ndarray:
        return StacSource(str(self.path), recipe).read_cell(cell, season, bins).values

    def earth_engine(self, cell: Cell, season: Season, bins: range, recipe: Recipe = TWO_BANDS) -> np.ndarray:
        listed = scenes_at(self.archive, cell.geobox, season, bins, recipe)
        image = graph.composite(listed, season, bins, recipe)
        return computed(image, self.archive, cell, bins, recipe)

    def loop(self, cell: Cell, season: Season, bins: range, recipe: Recipe = TWO_BANDS) -> np.ndarray:
        return loop(self.shots, cell.geobox, season, bins, recipe)


def computed(image: ee.Image, archive: Archive, cell: Cell, bins: range, recipe: Recipe) -> np.ndarray:
    """`(bin, band, y, x)` of a composite, after a look at its names, types and masks."""
    bands = pixels(image, archive, cell.geobox)
    assert [name for name, _, _ in bands] == [f"{band}_{index}" for index in bins for band in recipe.bands]
    assert all(values.dtype == np.int16 and (np.asarray(mask) == 1).all() for _, values, mask in bands)
    cube = np.stack([values for _, values, _ in bands])
    return cube.reshape(len(bins), len(recipe.bands), *cell.geobox.shape)


def pixels(image: ee.Image, archive: Archive, geobox: GeoBox) -> list[tuple[str, np.ndarray, np.ndarray]]:
    height, width = geobox.shape
    grid = Grid(str(geobox.crs), geobox.transform, width, height)
    return image_pixels(evaluate(ee.serializer.encode(image), archive), grid)


def agreed(
    scenes: Scenes,
    bins: range = MAY,
    cell: Cell | None = None,
    season: Season = SEASON,
    recipe: Recipe = TWO_BANDS,
) -> np.ndarray:
    """The composite `(bin, band, y, x)` on which the loop and both engines agree."""
    cell = cell or cell_at(size=16)
    expected = scenes.loop(cell, season, bins, recipe)
    np.testing.assert_array_equal(scenes.earth_engine(cell, season, bins, recipe), expected, "Earth Engine")
    np.testing.assert_array_equal(scenes.local(cell, season, bins, recipe), expected, "the local engine")
    return expected


# ---- scenes ----


def numbers(seed: int, size: int = 20) -> np.ndarray:
    """DN, each different, so that a pixel from a wrong place shows."""
    return np.random.default_rng(seed).permutation(size * size).reshape(size, size).astype(np.uint16) + 500


def shot(
    name: str,
    time: str,
    seed: int,
    *,
    clear: float = 1.0,
    size: int = 20,
    score: bool = True,
    **place: float | str,
) -> Shot:
    """A scene of random numbers, clear in a share of its pixels; B11 and SCL have pixels of 20 m."""
    rng = np.random.default_rng(seed)
    layers = {
        "B04": Layer(numbers(seed, size), fields=RAW, **place),
        "B11": Layer(numbers(seed + 1_000, size // 2), resolution=20, fields=RAW, **place),
        "SCL": Layer(rng.integers(0, 12, (size // 2, size // 2)).astype(np.uint8), resolution=20, **place),
    }
    if score:
        values = np.where(rng.random((size, size)) < clear, 0.75 + rng.random((size, size)) / 4, 0.74)
        layers["cs"] = Layer(values.astype(np.float32), **place)
    return Shot(name, time, layers)


def gaps(composite: np.ndarray) -> np.ndarray:
    """`(bin, y, x)`: where there is no observation; the same in all bands."""
    empty = composite == NODATA
    assert (empty == empty[:, :1]).all()
    return empty[:, 0]


# ---- the tests ----


def test_overlapping_tiles_of_several_days(tmp_path):
    """Two tiles that share a strip, three days, clouds; the cell reaches beyond both."""
    scenes = Scenes(
        tmp_path,
        shot("west_1", "2021-05-01T10:30:00Z", 1, clear=0.7, left=LEFT - 90),
        shot("east_1", "2021-05-01T10:30:14Z", 2, clear=0.7, left=LEFT + 50),
        shot("west_2", "2021-05-03T10:40:00Z", 3, clear=0.7, left=LEFT - 90),
        shot("east_2", "2021-05-06T10:30:00Z", 4, clear=0.7, left=LEFT + 50),
        shot("west_3", "2021-05-08T10:30:00Z", 5, clear=0.7, left=LEFT - 90),
    )
    found = gaps(agreed(scenes, cell=cell_at(size=28)))
    assert 0 < found[0].sum() < found[1].sum() < 28 * 28


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        # id and UTC time of two scenes of one day and place, and the id of the one on top
        (("A", "2021-05-02T10:30:00Z"), ("B", "2021-05-02T10:30:07Z"), "B"),
        (("B", "2021-05-02T10:30:00Z"), ("A", "2021-05-02T10:30:07Z"), "A"),  # time comes before id
        (("B", "2021-05-02T10:30:00Z"), ("A", "2021-05-02T10:30:00Z"), "B"),  # equal times
        (("T15_N0213", "2021-05-02T10:30:00Z"), ("T15_N0500", "2021-05-02T10:30:00Z"), "T15_N0500"),
        (("AB", "2021-05-02T10:30:00Z"), ("A", "2021-05-02T10:30:00Z"), "AB"),  # one begins like the other
        (("a", "2021-05-02T10:30:00Z"), ("B", "2021-05-02T10:30:00Z"), "a"),  # capitals before small letters
        (("A", "2021-05-02T10:30:00.001Z"), ("B", "2021-05-02T10:30:00Z"), "A"),  # a millisecond
        (("A", "2021-05-02T09:59:59Z"), ("B", "2021-05-02T10:00:00Z"), "B"),
    ],
)
def test_of_one_day_the_last_clear_observation_counts(tmp_path, first, second, wins):
    """With clouds in both: where the later is cloudy, the earlier shows."""
    shots = {
        name: shot(name, time, seed, clear=0.6) for seed, (name, time) in enumerate((first, second), start=7)
    }
    found = agreed(Scenes(tmp_path, *shots.values()), cell=cell_at(size=12))[0, 0]
    clear = {name: each.layers["cs"].values[:12, :12] >= 0.75 for name, each in shots.items()}
    loses = next(name for name in shots if name != wins)
    for name, where in ((wins, clear[wins]), (loses, clear[loses] & ~clear[wins])):
        assert where.any()
        np.testing.assert_array_equal(found[where], shots[name].layers["B04"].values[:12, :12][where])


@pytest.mark.parametrize("scored", ["A", "B"])
def test_a_score_does_not_put_a_scene_on_top_of_another(tmp_path, scored):
    """Equal times, one scene with a score and one without: the id decides."""
    time = "2021-05-02T10:30:00Z"
    scenes = Scenes(
        tmp_path, *(shot(name, time, i, score=name == scored, clear=0.8) for i, name in enumerate("BA"))
    )
    clear = np.stack([~gaps(loop([each], cell_at(size=16).geobox, SEASON, MAY))[0] for each in scenes.shots])
    assert clear.all(0).any()
    agreed(scenes)


def test_calendar_months_are_bins(tmp_path):
    """The ends of months count, one with a 29 February, and the last day of a leap year."""
    dates = ("2020-01-01", "2020-01-31", "2020-02-01", "2020-02-28", "2020-02-29", "2020-03-01", "2020-12-31")
    scenes = Scenes(
        tmp_path, *(shot(f"S{i}", f"{day}T10:30:00Z", i, clear=0.7) for i, day in enumerate(dates, 1))
    )
    recipe = Recipe.of(bands=("B4", "B11"), season=YEAR, bin_days="month")
    found = agreed(scenes, range(12), cell_at(size=12), YEAR.season(2020, "north"), recipe)
    observed = (~gaps(found)).any(axis=(1, 2))
    assert np.flatnonzero(observed).tolist() == [0, 1, 2, 11]


def test_months_of_a_season_over_new_year_are_bins(tmp_path):
    """South of the equator the year begins in July of the year before."""
    dates = ("2020-06-30", "2020-07-01", "2020-12-31", "2021-01-01", "2021-06-30", "2021-07-01")
    scenes = Scenes(tmp_path, *(shot(f"S{i}", f"{day}T10:30:00Z", i) for i, day in enumerate(dates, 1)))
    recipe = Recipe.of(bands=("B4", "B11"), season=YEAR, bin_days="month")
    found = agreed(scenes, range(12), cell_at(size=8), YEAR.season(2021, "south"), recipe)
    assert np.flatnonzero((~gaps(found)).all(axis=(1, 2))).tolist() == [0, 5, 6, 11]


def test_duplicates_do_not_weigh_twice_in_a_median(tmp_path):
    """Three deliveries of one day, another day once: the mean of two, not the median of four."""
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-05-02T10:30:00Z", 1),
        shot("B", "2021-05-02T10:30:00Z", 2),
        shot("C", "2021-05-02T10:30:00Z", 3),
        shot("D", "2021-05-04T10:30:00Z", 4),
    )
    found = agreed(scenes, cell=cell_at(size=8))[0, 0]
    last, other = (scenes.shots[i].layers["B04"].values[:8, :8].astype(int) for i in (2, 3))
    np.testing.assert_array_equal(found, (last + other + 1) // 2)


def test_the_median_of_one_to_five_days(tmp_path):
    """Random clouds over every day of two bins: all counts of days come up, odd and even."""
    daily = [shot(f"S{day:02d}", f"2021-05-{day:02d}T10:30:00Z", day, clear=0.6) for day in range(1, 11)]
    scenes = Scenes(tmp_path, *daily)
    agreed(scenes)
    clear = np.stack([each.layers["cs"].values[:16, :16] >= 0.75 for each in daily[:5]]).sum(0)
    assert set(np.unique(clear)) == set(range(6))


def test_a_scene_without_cloud_score_is_masked_by_its_classes(tmp_path):
    """Among scenes that have one, on the same day and alone."""
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-05-02T10:30:00Z", 1, clear=0.6),
        shot("B", "2021-05-02T10:31:00Z", 2, score=False),
        shot("C", "2021-05-02T10:32:00Z", 3, clear=0.3),
        shot("D", "2021-05-07T10:30:00Z", 4, score=False),
    )
    found = agreed(scenes)
    classes = scenes.shots[3].layers["SCL"].values.repeat(2, 0).repeat(2, 1)[:16, :16]
    np.testing.assert_array_equal(gaps(found)[1], ~np.isin(classes, (4, 5, 6, 7)))


@pytest.mark.parametrize("classes", [(4, 5), (0, 11), ()])
def test_the_classes_of_the_recipe_are_the_clear_ones(tmp_path, classes):
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-05-02T10:30:00Z", 1, clear=0.5),
        shot("B", "2021-05-07T10:30:00Z", 2, score=False),
    )
    found = agreed(scenes, recipe=Recipe.of(bands=("B4", "B11"), clear=CloudRule(scl_clear=classes)))
    assert gaps(found)[1].all() == (classes == ())


def test_the_score_band_and_threshold_of_the_recipe_decide(tmp_path):
    scenes = Scenes(tmp_path, shot("A", "2021-05-02T10:30:00Z", 1, clear=0.5))
    rank = Layer(np.random.default_rng(2).random((20, 20)).astype(np.float32))
    scenes = Scenes(
        tmp_path / "rank", Shot("A", "2021-05-02T10:30:00Z", scenes.shots[0].layers | {"cs_cdf": rank})
    )
    found = agreed(scenes, recipe=Recipe.of(bands=("B4", "B11"), clear=CloudRule("cs_cdf", 0.5)))
    np.testing.assert_array_equal(gaps(found)[0], rank.values[:16, :16] < 0.5)


@pytest.mark.parametrize("threshold", [0.75, 0.6, 0.65])  # the nearest 32-bit numbers are equal, above, below
def test_a_score_of_exactly_the_threshold_is_clear(tmp_path, threshold):
    exactly = np.float32(threshold)
    steps = [exactly, exactly - np.float32(1e-5), exactly + np.float32(0.01), 0, 1]
    base = shot("A", "2021-05-02T10:30:00Z", 1)
    score = Layer(np.tile(np.array(steps, np.float32), (20, 4)))
    scenes = Scenes(tmp_path, Shot("A", base.time, base.layers | {"cs": score}))
    found = gaps(agreed(scenes, recipe=Recipe.of(bands=("B4", "B11"), clear=CloudRule(threshold=threshold))))
    assert found[0, 0, :5].tolist() == [False, True, False, True, False]


def test_a_threshold_is_reached_whatever_binary_fractions_make_of_it(tmp_path):
    scenes = Scenes(tmp_path, shot("A", "2021-05-02T10:30:00Z", 1))
    assert 0.3 - 0.1 < 0.2
    replace_score(scenes, values=np.full((20, 20), 0.3 - 0.1))
    recipe = Recipe.of(bands=("B4", "B11"), clear=CloudRule(threshold=0.2))
    assert not gaps(scenes.earth_engine(cell_at(size=8), SEASON, MAY, recipe))[0].any()


def test_a_score_counts_although_its_clock_is_past_the_midnight_that_ends_the_bin(tmp_path):
    scenes = Scenes(tmp_path, shot("A", "2021-05-05T23:59:59Z", 1, clear=0.5))
    replace_score(scenes, time="2021-05-06T00:00:02+00:00")
    cell = cell_at(size=8)
    np.testing.assert_array_equal(scenes.earth_engine(cell, SEASON, MAY), scenes.loop(cell, SEASON, MAY))


def replace_score(scenes: Scenes, values: np.ndarray | None = None, time: str | None = None) -> None:
    """Give the only scene's Cloud Score+ other values or another time, on Earth Engine alone."""
    (only,) = scenes.shots
    layer = only.layers["cs"]
    raster = Raster(layer.values if values is None else values, layer.transform, layer.crs)
    when = datetime.fromisoformat(time or only.time)
    scenes.archive.add(ImageAsset(f"{SENTINEL_2.clouds.score_collection}/{only.id}", when, {"cs": raster}))


def test_where_the_score_has_a_hole_there_is_no_observation(tmp_path):
    """Also not by the scene classes: the scene has a score, only not there."""
    base = shot("A", "2021-05-02T10:30:00Z", 1)
    values = np.full((20, 20), 0.9, np.float32)
    values[3:7, 2:9] = np.nan
    layers = base.layers | {
        "cs": Layer(values, nodata=math.nan),
        "SCL": Layer(np.full((10, 10), 4, np.uint8), resolution=20),
    }
    found = gaps(agreed(Scenes(tmp_path, Shot("A", base.time, layers))))
    assert found[0].sum() == 4 * 7


def test_a_score_that_ends_short_of_the_cell_belongs_to_its_scene_all_the_same(tmp_path):
    """The scene reaches the cell, its score ends 3 km short: no observation, and none by the classes."""
    base = shot("A", "2021-05-02T10:30:00Z", 1, size=400, left=LEFT - 3_900)
    short = Layer(np.full((20, 20), 0.9, np.float32), left=LEFT - 3_900)
    classes = Layer(np.full((200, 200), 4, np.uint8), resolution=20, left=LEFT - 3_900)
    layers = base.layers | {"cs": short, "SCL": classes}
    assert gaps(agreed(Scenes(tmp_path, Shot("A", base.time, layers)), cell=cell_at(size=8))).all()


def test_bins_and_places_without_scenes_are_nodata(tmp_path):
    scenes = Scenes(tmp_path, shot("A", "2021-05-08T10:30:00Z", 1))
    assert gaps(agreed(scenes, bins=range(23, 28))).all((1, 2)).tolist() == [True, True, False, True, True]
    assert gaps(agreed(scenes, cell=cell_at(LEFT + 100, TOP - 100, size=20))).sum() == 400 + 300
    assert gaps(agreed(scenes, cell=cell_at(LEFT + 40_000, size=8))).all()


@pytest.mark.parametrize(
    ("left", "top"),
    [
        (0, 0),
        (-70, 50),
        (-10, 10),  # pixels of 20 m are cut in halves by the cell's edge
        (-43, 38),  # parts of a pixel, nearer to one side
        (-47, 32),
        (-106, 133),
        (63, -71),
    ],
)
def test_scenes_that_lie_off_the_grid_give_their_nearest_pixel(tmp_path, left, top):
    """No offset puts a centre of the grid on an edge of a scene's pixels, where both would be nearest."""
    place = {"left": LEFT + left, "top": TOP + top}
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-05-02T10:30:00Z", 1, clear=0.8, **place),
        shot("B", "2021-05-04T10:30:00Z", 2, score=False, **place),
    )
    assert not gaps(agreed(scenes))[0].all()


def test_the_edges_of_what_can_be_stored(tmp_path):
    """0 and 1 are real; from 32,767 on numbers are clipped before the median."""
    edges = np.array([0, 1, 32_765, 32_766, 32_767, 32_768, 65_534, 65_535], np.uint16)
    fine = [np.tile(edges, (16, 2)), np.tile(edges[::-1], (16, 2)), np.tile(np.roll(edges, 3), (16, 2))]
    scenes = []
    for day, values in enumerate(fine, start=1):
        base = shot(f"S{day}", f"2021-05-{day:02d}T10:30:00Z", day, clear=0.8, size=16)
        both = {"B04": Layer(values, fields=RAW), "B11": Layer(values[::2, ::2], resolution=20, fields=RAW)}
        scenes.append(Shot(base.id, base.time, base.layers | both))
    found = agreed(Scenes(tmp_path, *scenes))[0]
    assert found[found != NODATA].min() == 0
    assert found.max() == 32_766


def test_a_half_is_rounded_up(tmp_path):
    low, high = (
        Layer(np.full((8, 8), 7, np.uint16), fields=RAW),
        Layer(np.full((8, 8), 8, np.uint16), fields=RAW),
    )
    clear = Layer(np.ones((8, 8), np.float32))
    scenes = Scenes(
        tmp_path,
        Shot("A", "2021-05-02T10:30:00Z", {"B04": low, "B11": low, "cs": clear}),
        Shot("B", "2021-05-04T10:30:00Z", {"B04": high, "B11": low, "cs": clear}),
    )
    assert agreed(scenes, cell=cell_at(size=4))[0, :, 0, 0].tolist() == [8, 7]


def test_an_observation_is_whole_or_absent(tmp_path):
    """One band is missing here, the other there; what a masked number would be never matters."""
    first, second = shot("A", "2021-05-02T10:30:00Z", 1), shot("B", "2021-05-02T10:31:00Z", 2)
    first.layers["B04"].values[2:6, :] = EMPTY
    first.layers["B11"].values[:, 1] = EMPTY  # pixels of 20 m: columns 2 and 3
    second.layers["B04"].values[:8, :8] = EMPTY
    found = agreed(Scenes(tmp_path, first, second))
    assert gaps(found)[0, 2:6, :8].all()
    assert gaps(found)[0].sum() == 4 * 8 + 4 * 2


def test_the_southern_season_begins_in_july_and_passes_the_year_border(tmp_path):
    """In eastern Australia, where scenes are taken around UTC midnight. Day 184 is 1 January, in bin 36."""
    place = {"left": 299_840, "top": 6_256_640, "crs": "EPSG:32756"}
    season = SUMMER.season(2022, "south")
    assert season.start == date(2021, 7, 1)
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-06-30T23:59:59.999Z", 1, **place),
        shot("B", "2021-07-01T00:00:00Z", 2, clear=0.7, **place),
        shot("C", "2021-12-28T00:05:00Z", 3, clear=0.7, **place),
        shot("D", "2021-12-31T23:59:59.999Z", 4, clear=0.7, **place),
        shot("E", "2022-01-01T00:00:09Z", 5, clear=0.7, **place),
        shot("F", "2022-01-02T00:05:00Z", 6, clear=0.7, **place),
        shot("G", "2022-06-30T23:59:59Z", 7, clear=0.7, **place),
        shot("H", "2022-07-01T00:00:00Z", 8, **place),
    )
    cell = cell_at(299_840, 6_256_640, 12, "EPSG:32756")
    for bins, shots in ((range(2), 1), (range(35, 38), 4), (range(72, 73), 1)):
        found = agreed(scenes, bins, cell, season)
        assert not gaps(found).all()
        only = [each for each in scenes.shots if days(each, season) // 5 in bins]
        assert len(only) == shots


@pytest.mark.parametrize(("hours", "bins_seen"), [(0, 2), (10, 1)])
def test_an_overpass_across_midnight_utc_is_one_observation_by_the_sun(tmp_path, hours, bins_seen):
    """Two tiles of one overpass over eastern Australia, 14 seconds apart; by UTC in two bins."""
    place = {"left": 299_840, "top": 6_256_640, "crs": "EPSG:32756"}
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-12-27T23:59:58Z", 1, **place),
        shot("B", "2021-12-28T00:00:12Z", 2, **place),
    )
    season = replace(SUMMER.season(2022, "south"), hours_ahead=hours)
    found = agreed(scenes, range(35, 37), cell_at(299_840, 6_256_640, 12, "EPSG:32756"), season)
    assert (~gaps(found)).all(axis=(1, 2)).sum() == bins_seen


@pytest.mark.parametrize("hours", [-6, 10])
def test_days_of_another_clock_begin_and_end_elsewhere(tmp_path, hours):
    """Random times of three days around the border of two bins."""
    rng, first = np.random.default_rng(hours + 6), datetime(2021, 5, 4, tzinfo=UTC)
    times = sorted(first + timedelta(seconds=int(second)) for second in rng.integers(0, 3 * 86_400, 8))
    scenes = Scenes(
        tmp_path, *(shot(f"S{i}", f"{t:%Y-%m-%dT%H:%M:%SZ}", i, clear=0.5) for i, t in enumerate(times))
    )
    utc = agreed(scenes)
    assert (agreed(scenes, season=replace(SEASON, hours_ahead=hours)) != utc).any()


@pytest.mark.parametrize(
    ("year", "inside", "outside"),
    [
        (2021, "2021-01-01T00:00:00Z", "2020-12-31T23:59:59.999Z"),
        (2021, "2021-12-31T23:59:59.999Z", "2022-01-01T00:00:00Z"),
        (2020, "2020-12-30T23:59:59.999Z", "2020-12-31T00:00:00Z"),  # day 366 is left out
    ],
)
def test_a_season_ends_at_midnight_utc(tmp_path, year, inside, outside):
    season = SUMMER.season(year, "north")
    bins = range(1) if inside.endswith("01-01T00:00:00Z") else range(72, 73)
    out = shot("out", outside, 1)
    assert gaps(agreed(Scenes(tmp_path / "out", out), bins, season=season)).all()
    both = Scenes(tmp_path / "both", out, shot("in", inside, 2, clear=0.7))
    assert not gaps(agreed(both, bins, season=season)).all()


@pytest.mark.parametrize("bin_days", [1, 10, 73])
def test_bins_of_other_lengths(tmp_path, bin_days):
    recipe = Recipe.of(bands=("B11", "B4"), bin_days=bin_days)
    times = ["2021-03-14", "2021-03-15", "2021-05-12", "2021-05-13", "2021-05-20", "2021-05-27"]
    scenes = Scenes(
        tmp_path, *(shot(f"S{i}", f"{day}T10:30:00Z", i, clear=0.6) for i, day in enumerate(times))
    )
    first = days(scenes.shots[2], SEASON) // bin_days
    agreed(scenes, range(first, first + 2), cell_at(size=8), recipe=recipe)


def test_scenes_of_two_utm_zones_in_one_crs(tmp_path):
    """A tile of zone 33 over one of zone 32, whose pixels lie turned by some degrees against each other.

    Numbers and scores of the turned tile change only every 80 m. GDAL follows a projection to an eighth of a
    pixel, so the local engine is not compared within 1.5 m of such a change; Earth Engine and the loop are
    compared everywhere.
    """
    cell = cell_at(size=24)
    here = shot("Z32", "2021-05-02T10:30:00Z", 1, clear=0.7, left=LEFT - 50, top=TOP + 50)
    x, y = pyproj.Transformer.from_crs(cell.geobox.crs, "EPSG:32633", always_xy=True).transform(LEFT, TOP)
    left, top = x // 10 * 10 - 433, y // 10 * 10 + 217
    turned = {"left": left, "top": top, "crs": "EPSG:32633"}
    there = shot("Z33", "2021-05-02T10:30:05Z", 2, size=64, **turned)
    rng = np.random.default_rng(3)

    def patches(values: np.ndarray, side: int) -> np.ndarray:
        return values.repeat(side, 0).repeat(side, 1)

    layers = {
        "B04": Layer(patches(rng.integers(0, 9_000, (8, 8)).astype(np.uint16), 8), fields=RAW, **turned),
        "B11": Layer(
            patches(rng.integers(0, 9_000, (8, 8)).astype(np.uint16), 4), resolution=20, fields=RAW, **turned
        ),
        "cs": Layer(patches(rng.choice([0.5, 0.9], (8, 8)).astype(np.float32), 8), **turned),
    }
    scenes = Scenes(tmp_path, here, Shot(there.id, there.time, layers))
    expected = scenes.loop(cell, SEASON, MAY)
    np.testing.assert_array_equal(scenes.earth_engine(cell, SEASON, MAY), expected)
    sure = ~near_a_change(cell.geobox, left, top, "EPSG:32633", step=80, metres=1.5)
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(scenes.local(cell, SEASON, MAY)[..., sure], expected[..., sure])
    assert scenes.loop(cell, SEASON, MAY).shape == expected.shape
    alone = [loop([each], cell.geobox, SEASON, MAY)[0, 0] for each in scenes.shots]
    assert all((expected[0, 0] == one).mean() > 0.2 for one in alone)  # both zones show


def near_a_change(
    geobox: GeoBox, left: float, top: float, crs: str, *, step: float, metres: float
) -> np.ndarray:
    """`(y, x)`: centres of a grid near a line of another one, whose lines are `step` apart in its CRS."""
    rows, cols = np.mgrid[: geobox.shape[0], : geobox.shape[1]] + 0.5
    x, y = geobox.transform.c + 10 * cols, geobox.transform.f - 10 * rows
    x, y = pyproj.Transformer.from_crs(str(geobox.crs), crs, always_xy=True).transform(x, y)
    aside = np.stack([(x - left) % step, (top - y) % step])
    return (np.minimum(aside, step - aside) < metres).any(0)


@pytest.mark.parametrize("seed", range(12))
def test_random_scenes(tmp_path, seed):
    """Any number of scenes, days, clouds, holes, offsets, equal times, with and without score."""
    rng = np.random.default_rng(seed)
    shots = [random_shot(rng, f"S{rng.integers(1e6):06d}_{i}") for i in range(rng.integers(0, 12))]
    last = shot("last", "2021-05-10T23:00:00Z", seed, clear=0.1)  # no catalog is empty
    agreed(Scenes(tmp_path, *shots, last), range(23, 27), cell_at(size=12))


def random_shot(rng: np.random.Generator, name: str) -> Shot:
    """A scene of 28 April to 11 May, at one of a few times, that reaches into the cell more or less."""
    when = datetime(2021, 4, 28, 10) + timedelta(int(rng.integers(14)), int(rng.choice([0, 0, 7, 50_399])))
    left, top = LEFT + rng.integers(-12, 10) * 10 + 2, TOP + rng.integers(-9, 12) * 10 - 3
    seed, clear, score = int(rng.integers(1e6)), rng.random(), bool(rng.random() < 0.7)
    found = shot(name, f"{when.isoformat()}Z", seed, clear=clear, score=score, left=left, top=top)
    for key in ("B04", "B11"):
        values = found.layers[key].values
        values[rng.random(values.shape) < 0.05] = EMPTY
    return found


def test_a_whole_season_of_ten_bands(tmp_path):
    """730 bands, in their order; most bins are empty."""
    rng = np.random.default_rng(1)
    shots = []
    for i, day in enumerate(range(0, 365, 17)):
        layers = {
            key: Layer(rng.integers(0, 10_000, (4, 4)).astype(np.uint16), fields=RAW)
            for key in ASSETS.values()
        }
        score = Layer(rng.choice([0.7, 0.8], (4, 4)).astype(np.float32))
        when = datetime(2021, 1, 1, 10) + timedelta(day)
        shots.append(Shot(f"S{i:02d}", f"{when.isoformat()}Z", layers | {"cs": score}))
    found = agreed(Scenes(tmp_path, *shots), range(73), cell_at(size=4), recipe=Recipe())
    assert found.shape == (73, 10, 4, 4)


def test_some_bins_alone_have_the_values_of_the_whole(tmp_path):
    scenes = Scenes(
        tmp_path,
        *(shot(f"S{day}", f"2021-05-{day:02d}T10:30:00Z", day, clear=0.5) for day in (1, 2, 5, 6, 9, 13, 14)),
    )
    cell = cell_at(size=8)
    whole = scenes.earth_engine(cell, SEASON, range(23, 28))
    parts = [
        scenes.earth_engine(cell, SEASON, bins) for bins in (range(23, 24), range(24, 26), range(26, 28))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_part_of_a_cell_has_the_values_of_the_whole(tmp_path):
    """Also where scenes are looked for around the quarter only."""
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-05-02T10:30:00Z", 1, clear=0.6),
        shot("B", "2021-05-02T10:30:00Z", 2, clear=0.6, left=LEFT + 80, top=TOP - 80),
    )
    whole = scenes.earth_engine(cell_at(size=16), SEASON, MAY)
    for row, col in ((0, 0), (0, 8), (8, 0), (8, 8)):
        part = scenes.earth_engine(cell_at(LEFT + 10 * col, TOP - 10 * row, 8), SEASON, MAY)
        np.testing.assert_array_equal(part, whole[..., row : row + 8, col : col + 8])


def test_the_scene_list_holds_what_touches_the_region(tmp_path):
    scenes = Scenes(
        tmp_path,
        shot("A", "2021-05-01T00:00:00Z", 1),
        shot("B", "2021-05-02T10:30:00Z", 2, score=False),
        shot("C", "2021-05-02T10:30:00Z", 3, score=False),
        shot("D", "2021-05-11T00:00:00Z", 4, score=False),  # a day late
        shot("E", "2021-05-02T10:30:00Z", 5, score=False, left=LEFT + 40_000),  # elsewhere
    )
    found = scenes_at(scenes.archive, cell_at().geobox, SEASON, MAY, TWO_BANDS)
    first, second = (datetime.fromisoformat(f"2021-05-{t}Z") for t in ("01T00:00", "02T10:30"))
    assert [(scene.when, scene.index, scene.scored) for scene in found["sentinel-2"]] == [
        (first, "A", True),
        (second, "B", False),
        (second, "C", False),
    ]


def worldcover(classes: np.ndarray) -> ImageAsset:
    cell = cell_at()
    raster = Raster(classes, cell.geobox.transform, "EPSG:32632", nodata=0)
    return ImageAsset(
        "ESA/WorldCover/v200/2021", datetime.fromisoformat("2021-01-01T00:00Z"), {"Map": raster}, {}
    )


def test_the_cropland_mask_is_one_band_of_ones_and_zeros_everywhere(tmp_path):
    classes = np.random.default_rng(1).choice([0, 10, 40, 50], (12, 12)).astype(np.uint8)
    bands = pixels(
        graph.cropland("worldcover"), Archive(images=[worldcover(classes)]), cell_at(size=16).geobox
    )
    ((name, values, mask),) = bands
    expected = np.zeros((16, 16), np.uint8)
    expected[:12, :12] = classes == 40
    assert (name, values.dtype) == ("cropland", np.uint8)
    assert (np.asarray(mask) == 1).all()
    np.testing.assert_array_equal(values, expected)


def test_outside_cropland_all_bins_are_nodata(tmp_path):
    scenes = Scenes(tmp_path, shot("A", "2021-05-02T10:30:00Z", 1, clear=0.8))
    classes = np.random.default_rng(2).choice([10, 40], (16, 16)).astype(np.uint8)
    scenes.archive.add(worldcover(classes))
    cell = cell_at(size=16)
    listed = scenes_at(scenes.archive, cell.geobox, SEASON, MAY, TWO_BANDS)
    image = graph.composite(listed, SEASON, MAY, TWO_BANDS, cropland=graph.cropland("worldcover"))
    found = computed(image, scenes.archive, cell, MAY, TWO_BANDS)
    np.testing.assert_array_equal(found, np.where(classes == 40, scenes.loop(cell, SEASON, MAY), NODATA))
