"""The questions of `cropmap ee selfcheck`, each with the answer that is assumed.

Every question is one assumption of docs/earth_engine_semantics.md, put with constants alone, so that the
answer can be worked out by hand and does not change with the archive.
"""

from __future__ import annotations

from typing import Final

import ee
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import NODATA, VALID_MAX, VALID_MIN
from gee_pipeline.earthengine.composites.graph import function
from gee_pipeline.earthengine.selfcheck.experiment import (
    AROUND,
    PLACE,
    Experiment,
    bands,
    everywhere,
    masked,
    shown,
)
from gee_pipeline.earthengine.selfcheck.network_experiments import NETWORK_EXPERIMENTS
from gee_pipeline.earthengine.selfcheck.tree_experiments import TREE_EXPERIMENTS

TOO_LARGE: Final = GeoBox((6_000, 6_000), Affine(10, 0, 690_000, 0, -10, 3_870_000), "EPSG:32615")
"""Pixels of which one band of int16 takes 72 MB; an answer holds at most 50.3 MB."""

MANY_BANDS: Final = 600
"""Bands whose names need a longer NPY header than numpy's limit of 10,000 bytes."""

NO_SCENE: Final = "COPERNICUS/S2_SR_HARMONIZED/20210601T000000_20210601T000000_T00XXX"
"""Id of a scene that there is not."""

_START: Final = 1_622_505_600_000
"""2021-06-01T00:00:00Z in milliseconds since 1970."""

_DAY: Final = 86_400_000
"""Milliseconds."""

_TIME: Final = "system:time_start"


def _named(name: str, value: float, band: str = "a", time: int = 0) -> ee.Image:
    """One band of a value; an image with a name and a time."""
    return ee.Image(bands(value).rename([band]).set({"name": name, _TIME: time}))


def _stack(*images: ee.Image) -> ee.ImageCollection:
    return ee.ImageCollection(list(images))


def _timed(*offsets: int) -> ee.ImageCollection:
    """Images named by their time in milliseconds after `_START`."""
    return _stack(*(_named(str(offset), 1, time=_START + offset) for offset in offsets))


def _names(images: ee.ImageCollection) -> ee.List:
    return images.aggregate_array("name")


def _scenes_and_scores() -> tuple[ee.ImageCollection, ee.ImageCollection]:
    """Scenes x and y, and a score of 7 for x alone."""
    return _stack(_named("x", 1), _named("y", 2)), _stack(_named("x", 7, "score"))


def _linked(name: str) -> ee.Image:
    """A scene with its score, masked pixels shown."""
    scenes, scores = _scenes_and_scores()
    linked = scenes.linkCollection(scores, ["score"], matchPropertyName="name")
    return shown(linked.filter(ee.Filter.eq("name", name)).mosaic())


def _without_partner() -> ee.ImageCollection:
    same_name = ee.Filter.equals(leftField="name", rightField="name")
    return ee.ImageCollection(ee.Join.inverted().apply(*_scenes_and_scores(), same_name))


def _with_partner() -> ee.ImageCollection:
    """The scenes to which a score could be linked, by a property that both have."""
    scenes, scores = _scenes_and_scores()
    linked = scenes.linkCollection(scores, linkedProperties=[_TIME], matchPropertyName="name")
    return linked.filter(ee.Filter.notNull([_TIME]))


def _touching_the_left() -> ee.List:
    """Indices of images of single pixels that touch the left one of `PLACE`, of the first three."""
    left, right = PLACE[:, :1], AROUND[3:4, 3:4]
    images = _stack(*(_within(box, 1) for box in (right, left, right, left))).limit(3)
    inside = left.extent.centroid.to_crs("EPSG:4326").coords[0]
    return images.filterBounds(ee.Geometry.Point(list(inside))).aggregate_array("system:index")


def _mean_of_means() -> ee.Image:
    """A function of two images, applied twice: to 1 and 3, and to that and 6."""
    mean = function(lambda one, other: one.add(other).divide(2), 2)
    return mean(mean(bands(1), bands(3)), bands(6))


def _half_seen() -> ee.Image:
    """Two bands, of which the second is masked."""
    return bands(1).addBands(masked(2).rename(["b"]))


def _within(geobox: GeoBox, value: float) -> ee.Image:
    """An image that ends at the edges of some pixels."""
    box = ee.Geometry.Rectangle(list(geobox.boundingbox.bbox), str(geobox.crs), False, False)
    return bands(value).clip(box)


def _circle() -> ee.Image:
    """1 within three pixels of the one in the middle of `AROUND`, elsewhere 0."""
    middle = _within(AROUND[3:4, 3:4], 1).unmask(0, False)
    circle = ee.Kernel.circle(3, "pixels", False)
    return middle.reproject("EPSG:32615", [10, 0, 0, 0, -10, 0]).focalMax(kernel=circle)


def _indices(images: ee.ImageCollection) -> ee.ImageCollection:
    """Images named by their index."""
    return images.map(lambda image: image.set("name", image.get("system:index")))


def _sum_of_ones(count: int) -> ee.Number:
    total = ee.Number(0)
    for _ in range(count):
        total = total.add(1)
    return total


def _set_within_a_map() -> ee.List:
    """Images whose time is moved by a day in a map, and that are then looked for at the new time."""
    moved = _timed(0).map(lambda image: image.set(_TIME, ee.Number(image.get(_TIME)).add(_DAY)))
    return _names(moved.filterDate("2021-06-02", "2021-06-03"))


EXPERIMENTS: Final = (
    Experiment(
        "S01",
        "The median of an even number is the mean of the middle two",
        lambda: _stack(*(bands(value).toInt16() for value in (20, 1, 10, 3))).median(),
        everywhere(a=6.5),
        "pixels",
    ),
    Experiment(
        "S02",
        "Masked pixels do not count in a median",
        lambda: _stack(bands(1), masked(2), bands(10), bands(30)).median(),
        everywhere(a=10),
        "pixels",
    ),
    Experiment(
        "S02",
        "A median over masked images alone is masked and keeps its bands",
        lambda: shown(_stack(masked(1, 2), masked(3, 4)).median()),
        everywhere(a=-1, b=-1),
        "pixels",
    ),
    Experiment(
        "S02",
        "A count of masked pixels is masked",
        lambda: shown(_stack(masked(1), masked(2)).count()),
        everywhere(a=-1),
        "pixels",
    ),
    Experiment(
        "S23",
        "An empty collection merged with a masked image has that image's bands, masked",
        lambda: shown(_timed(0).filterDate("2000-01-01", "2000-01-02").merge(_stack(masked(1, 2))).mosaic()),
        everywhere(a=-1, b=-1),
        "pixels",
    ),
    Experiment(
        "S23",
        "A mosaic of no images has no bands",
        lambda: _timed(0).filterDate("2000-01-01", "2000-01-02").mosaic().bandNames(),
        [],
    ),
    Experiment(
        "S05",
        "Half is added and the floor taken: halves go up, below zero too",
        lambda: bands(1.5, 2.5, -1.5, -2.5, 2.4999).add(0.5).floor(),
        everywhere(a=2, b=3, c=-1, d=-2, e=2),
        "pixels",
    ),
    Experiment(
        "S03",
        "A cast to int16 clamps and cuts decimals off towards zero",
        lambda: bands(40_000, -40_000, 1.9, -1.9).toInt16(),
        everywhere(a=32_767, b=-32_768, c=1, d=-1),
        "pixels",
    ),
    Experiment(
        "S03",
        "clamp() holds values within both bounds",
        lambda: bands(-20_000, 40_000, 5).clamp(VALID_MIN, VALID_MAX),
        everywhere(a=VALID_MIN, b=VALID_MAX, c=5),
        "pixels",
    ),
    Experiment(
        "S08",
        "unmask() keeps values and fills masked pixels",
        lambda: _half_seen().toInt16().unmask(NODATA, False),
        everywhere(a=1, b=NODATA),
        "pixels",
    ),
    Experiment(
        "S08",
        "unmask() fills beyond the footprint when sameFootprint is False",
        lambda: _within(PLACE[:, :1], 5).toInt16().unmask(NODATA, False),
        {"a": [[5, NODATA]]},
        "pixels",
    ),
    Experiment(
        "S08",
        "unmask() fills the footprint alone otherwise",
        lambda: shown(_within(PLACE[:, :1], 5).updateMask(0).toInt16().unmask(NODATA)),
        {"a": [[NODATA, -1]]},
        "pixels",
    ),
    Experiment(
        "S07",
        "A masked pixel is 0 in an NPY answer",
        lambda: masked(7).toInt16(),
        everywhere(a=0),
        "pixels",
    ),
    Experiment(
        "S06",
        "The smallest of the bands' masks is 0 where one band is masked",
        lambda: _half_seen().mask().reduce(ee.Reducer.min()),
        everywhere(min=0),
        "pixels",
    ),
    Experiment(
        "S06",
        "A mask of one band masks all bands of an image",
        lambda: shown(bands(1, 2).updateMask(bands(0))),
        everywhere(a=-1, b=-1),
        "pixels",
    ),
    Experiment(
        "S06",
        "A masked mask masks",
        lambda: shown(bands(1).updateMask(masked(1))),
        everywhere(a=-1),
        "pixels",
    ),
    Experiment(
        "S09",
        "The last image of a mosaic is on top where it is not masked",
        lambda: _stack(bands(1, 1), bands(2, 2), masked(3, 3)).mosaic(),
        everywhere(a=2, b=2),
        "pixels",
    ),
    Experiment(
        "S09",
        "The mosaic of a sorted collection has the last in order on top",
        lambda: _stack(_named("c", 3), _named("a", 1), _named("b", 2)).sort("name").mosaic(),
        everywhere(a=3),
        "pixels",
    ),
    Experiment(
        "S12",
        "Text is sorted character by character, the empty one first",
        lambda: _names(_stack(*(_named(name, 1) for name in ("2", "10", "", "1"))).sort("name")),
        ["", "1", "10", "2"],
    ),
    Experiment(
        "S10",
        "A scene with a partner is linked to it",
        lambda: _linked("x"),
        everywhere(a=1, score=7),
        "pixels",
    ),
    Experiment(
        "S10",
        "A scene without a partner stays, and its linked band is masked",
        lambda: _linked("y"),
        everywhere(a=2, score=-1),
        "pixels",
    ),
    Experiment(
        "S10",
        "A linked property is null where a scene has no partner",
        lambda: _names(_with_partner()),
        ["x"],
    ),
    Experiment(
        "S08",
        "unmask() takes the pixels of another image, also beyond its own footprint",
        lambda: shown(_within(PLACE[:, :1], 5).unmask(bands(7), False)),
        {"a": [[5, 7]]},
        "pixels",
    ),
    Experiment(
        "S08",
        "unmask() by a masked pixel leaves it masked",
        lambda: shown(masked(5).unmask(masked(7), False)),
        everywhere(a=-1),
        "pixels",
    ),
    Experiment(
        "S28",
        "An image that is not there is refused by its id",
        lambda: ee.Image(NO_SCENE),
        NO_SCENE,
        "missing",
    ),
    Experiment(
        "S28",
        "Indices are listed in the order of a collection, after limit() and filterBounds()",
        _touching_the_left,
        ["1"],
    ),
    Experiment("S29", "A function is applied to images", _mean_of_means, everywhere(a=4), "pixels"),
    Experiment(
        "S11",
        "An inverted join keeps what has no partner",
        lambda: _names(_without_partner()),
        ["y"],
    ),
    Experiment(
        "S13",
        "filterDate takes its first day and leaves its last out",
        lambda: _names(_timed(-1, 0, _DAY - 1, _DAY).filterDate("2021-06-01", "2021-06-02")),
        ["0", str(_DAY - 1)],
    ),
    Experiment(
        "S13",
        "filterDate takes instants too, in UTC",
        lambda: _names(
            _timed(-1, 0, _DAY - 1, _DAY).filterDate("2021-05-31T14:00:00", "2021-06-01T14:00:00")
        ),
        ["-1", "0"],
    ),
    Experiment("S17", "A time that is set within a map is the one that counts", _set_within_a_map, ["0"]),
    Experiment(
        "S17",
        "Listed images are numbered, a map keeps their index, and a merge puts 1_ or 2_ before it",
        lambda: _names(_indices(_stack(bands(1), bands(2)).merge(_stack(bands(3))))),
        ["1_0", "1_1", "2_0"],
    ),
    Experiment(
        "S21",
        "A date is written in UTC with milliseconds",
        lambda: ee.Date(_START + 61_001).format("yyyyMMddHHmmssSSS").cat(" x"),
        "20210601000101001 x",
    ),
    Experiment(
        "S20",
        "remap() gives its default where no class matches and leaves masked pixels masked",
        lambda: shown(
            ee.Image.cat(
                [
                    bands(3).remap([4, 5], [1, 1], 0).rename(["other"]),
                    bands(5).remap([4, 5], [1, 1], 0).rename(["clear"]),
                    masked(5).remap([4, 5], [1, 1], 0).rename(["masked"]),
                ]
            )
        ),
        everywhere(other=0, clear=1, masked=-1),
        "pixels",
    ),
    Experiment(
        "S22",
        "A score of the threshold reaches it",
        lambda: ee.Image.cat([bands(0.75), bands(0.74)]).toFloat().gte(0.75 - 1e-9).rename(["at", "below"]),
        everywhere(at=1, below=0),
        "pixels",
    ),
    Experiment(
        "S19",
        "Image.cat keeps the order of the bands and numbers a name that comes again",
        lambda: ee.Image.cat([bands(1), bands(2), bands(3)]).bandNames(),
        ["a", "a_1", "a_2"],
    ),
    Experiment(
        "S04",
        "A sum of 16-bit numbers does not overflow",
        lambda: bands(60_000).toUint16().add(bands(60_000).toUint16()),
        everywhere(a=120_000),
        "pixels",
    ),
    Experiment(
        "S44",
        "where() takes the value where its test holds and is not masked",
        lambda: ee.Image.cat(
            [
                bands(1).where(bands(1), 5).rename(["holds"]),
                bands(1).where(bands(0), 5).rename(["fails"]),
                bands(1).where(masked(1), 5).rename(["masked"]),
            ]
        ),
        everywhere(holds=5, fails=1, masked=1),
        "pixels",
    ),
    Experiment(
        "S41",
        "A circle of three pixels holds 29, those at a distance of exactly three included",
        _circle,
        {
            "a": [
                [0, 0, 0, 1, 0, 0, 0],
                [0, 1, 1, 1, 1, 1, 0],
                [0, 1, 1, 1, 1, 1, 0],
                [1, 1, 1, 1, 1, 1, 1],
                [0, 1, 1, 1, 1, 1, 0],
                [0, 1, 1, 1, 1, 1, 0],
                [0, 0, 0, 1, 0, 0, 0],
            ]
        },
        "pixels",
        AROUND,
    ),
    Experiment(
        "S30",
        "A GeoTIFF answer has the grid, type and band names that were asked for",
        lambda: ee.Image.constant([1, 2]).rename(["B2_24", "B3_24"]).toInt16(),
        {
            "bands": ["B2_24", "B3_24"],
            "types": ["int16", "int16"],
            "crs": "EPSG:32615",
            "transform": [10, 0, 690_000, 0, -10, 3_870_000],
            "shape": [1, 2],
            "values": [1, 2],
        },
        "geotiff",
    ),
    Experiment(
        "S31",
        f"An NPY answer of {MANY_BANDS} bands has a header longer than numpy allows by default",
        lambda: (
            ee.Image.constant(list(range(MANY_BANDS)))
            .rename([f"B2_{i}" for i in range(MANY_BANDS)])
            .toInt16()
        ),
        {"bands": MANY_BANDS, "first": "B2_0", "last": f"B2_{MANY_BANDS - 1}", "type": "int16", "long": True},
        "npy",
    ),
    Experiment(
        "S34",
        "An answer above 48 MiB is refused in words that mean: ask for less",
        lambda: bands(1).toInt16(),
        "too large",
        "refusal",
        TOO_LARGE,
    ),
    Experiment(
        "S34",
        "More than 1,024 bands are refused in words that mean: ask for less",
        lambda: ee.Image.constant(list(range(1_025))).toInt16(),
        "too large",
        "refusal",
    ),
    Experiment(
        "S32",
        "A profile is a table whose first column is the computing time",
        lambda: _sum_of_ones(3),
        {"columns": ["EECU·s", "PeakMem", "Count", "Description"], "readable": True},
        "profile",
    ),
    Experiment(
        "S33", "An expression of 150 steps, one in the other, is computed", lambda: _sum_of_ones(150), 150
    ),
    *TREE_EXPERIMENTS,
    *NETWORK_EXPERIMENTS,
)
"""Several questions may belong to one assumption."""
