"""Arithmetic, masks, bands, reducers and mosaics, against plain loops and Google's own examples."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator

import ee
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ee_asking import asset, grid, offline_client, pixel, pixels, raster, value
from tests.support.ee_emulator.values import EmulatorError


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


def constants(**bands: float) -> ee.Image:
    return ee.Image.constant(list(bands.values())).rename(list(bands))


def masked(**bands: float) -> ee.Image:
    return constants(**bands).updateMask(0)


def partly(**bands: float | None) -> ee.Image:
    """Bands of which those without a value are masked."""
    parts = [masked(**{k: 9}) if v is None else constants(**{k: v}) for k, v in bands.items()]
    return ee.Image.cat(parts)


NUMBERS = st.integers(-50_000, 50_000) | st.floats(-50_000, 50_000, width=32)


@given(NUMBERS, NUMBERS)
@settings(max_examples=25, deadline=None)
def test_arithmetic_of_images_and_numbers_is_that_of_python(one: float, two: float) -> None:
    expected = {
        "add": one + two,
        "subtract": one - two,
        "multiply": one * two,
        "divide": one / two if two else 0,
        "max": max(one, two),
        "min": min(one, two),
        "gte": int(one >= two),
        "lt": int(one < two),
        "eq": int(one == two),
        "neq": int(one != two),
        "and": int(one != 0 and two != 0),
        "or": int(one != 0 or two != 0),
    }
    named = {"and": "And", "or": "Or"}
    images = [
        getattr(ee.Image.constant(one), named.get(name, name))(ee.Image.constant(two)).rename([name])
        for name in expected
    ]
    numbers = ee.Dictionary({name: getattr(ee.Number(one), named.get(name, name))(two) for name in expected})
    assert pixel(ee.Image.cat(images)) == pytest.approx(expected, rel=1e-12)
    assert value(numbers) == pytest.approx(expected, rel=1e-12)


@given(st.floats(-1e6, 1e6))
@settings(max_examples=25, deadline=None)
def test_functions_of_one_value_are_those_of_python(one: float) -> None:
    image = ee.Image.constant(one)
    made = ee.Image.cat([image.abs(), image.floor(), image.ceil(), image.Not(), image.abs().sqrt()])
    expected = [abs(one), math.floor(one), math.ceil(one), int(one == 0), math.sqrt(abs(one))]
    assert list(pixel(made).values()) == pytest.approx(expected)


# Google's examples for ee.Number.toInt8: decimals are lost, values beyond the range become its ends.
@pytest.mark.parametrize(
    ("number", "expected"), [(100, 100), (1.7, 1), (127 + 12_345, 127), (-128 - 12_345, -128)]
)
def test_casts_clamp_and_truncate_as_in_googles_example(number: float, expected: int) -> None:
    assert value(ee.Number(number).toInt8()) == expected
    assert pixel(ee.Image.constant(number).toInt8()) == {"constant": expected}


CASTS = [
    ("toUint8", 0, 255),
    ("toInt16", -32_768, 32_767),
    ("toUint16", 0, 65_535),
    ("toInt32", -(2**31), 2**31 - 1),
    ("toUint32", 0, 2**32 - 1),
    ("toInt64", -(2**63), 2**63 - 1),
]


@pytest.mark.parametrize(("name", "low", "high"), CASTS)
def test_each_cast_has_the_range_of_its_type(name: str, low: int, high: int) -> None:
    given_ = [-1e30, -3e9, -32_768.9, -1.9, -0.5, 0.5, 1.9, 254.9, 70_000.0, 3e9, 1e30]
    image = ee.Image.constant(given_)
    expected = [min(max(math.trunc(number), low), high) for number in given_]
    assert list(pixel(getattr(image, name)()).values()) == expected


def test_types_of_bands_are_those_of_the_casts() -> None:
    image = ee.Image.cat(
        [ee.Image(1).toInt16(), ee.Image(1).toFloat(), ee.Image(1).toDouble(), ee.Image(1).toByte()]
    )
    assert [band.dtype.name for band in pixels(image).values()] == ["int16", "float32", "float64", "uint8"]
    types = value(ee.Image(1).toInt16())["bands"][0]["data_type"]
    assert types == {"type": "PixelType", "precision": "int", "min": -32_768, "max": 32_767}


def test_integers_of_16_bits_do_not_overflow() -> None:
    one = asset("a", b=raster([[60_000]]))
    image = ee.Image("a")
    assert pixel(image.add(image), one) == {"b": 120_000}
    assert pixel(image.multiply(image), one) == {"b": 3_600_000_000}
    assert pixel(ee.Image(0).subtract(image), one) == {"constant": -60_000}


def test_halves_are_rounded_up() -> None:
    image = constants(a=1.5, b=2.5, c=-1.5, d=-2.5, e=2.4999)
    expected = {"a": 2, "b": 3, "c": -1, "d": -2, "e": 2}
    assert pixel(image.round()) == pixel(image.add(0.5).floor()) == expected


def test_clamp_keeps_the_type_where_it_can() -> None:
    one = asset("a", b=raster([[60_000]]))
    assert pixel(ee.Image("a").clamp(-9998, 32_766), one) == {"b": 32_766}
    assert pixel(ee.Image("a").clamp(0.5, 7.5), one) == {"b": 7.5}
    assert pixel(constants(a=-20_000.7, b=3.2).clamp(-9998, 32_766)) == {"a": -9998, "b": 3.2}


def test_bands_are_matched_by_name_else_one_by_one_and_a_single_band_serves_all() -> None:
    two = constants(a=10, b=20)
    assert pixel(two.subtract(constants(b=1, a=2))) == {"a": 8, "b": 19}
    assert pixel(two.subtract(constants(x=1, y=2))) == {"a": 9, "b": 18}
    assert pixel(two.subtract(constants(x=1))) == {"a": 9, "b": 19}
    assert pixel(constants(x=1).subtract(two)) == {"a": -9, "b": -19}
    with pytest.raises(EmulatorError, match="same number of bands"):
        pixel(two.add(constants(a=1, b=2, c=3)))


def test_a_result_is_valid_where_both_operands_are() -> None:
    assert pixel(partly(a=1, b=None).add(partly(a=None, b=1))) == {"a": None, "b": None}
    assert pixel(partly(a=1, b=None).add(1)) == {"a": 2, "b": None}


def test_a_mask_is_read_as_0_and_1_and_is_valid_everywhere() -> None:
    assert pixel(partly(a=5, b=None).mask()) == {"a": 1, "b": 0}


def test_update_mask_never_unmasks() -> None:
    image = partly(a=1, b=2, c=None)
    assert pixel(image.updateMask(constants(x=1, y=0, z=1))) == {"a": 1, "b": None, "c": None}
    assert pixel(image.updateMask(masked(x=1))) == {"a": None, "b": None, "c": None}
    assert pixel(constants(a=0, b=-3, c=4).selfMask()) == {"a": None, "b": None, "c": 4}


def test_masks_between_0_and_1_are_refused() -> None:
    with pytest.raises(EmulatorError, match="masks of 0 and 1"):
        pixel(constants(a=1).updateMask(constants(m=0.5)))


def test_unmask_fills_masked_pixels_from_another_image() -> None:
    image = partly(a=1, b=None)
    assert pixel(image.unmask(-9999, False)) == {"a": 1, "b": -9999}
    assert pixel(image.unmask(partly(x=7, y=8), False)) == {"a": 1, "b": 8}
    assert pixel(image.unmask(masked(x=7), False)) == {"a": 1, "b": None}
    assert pixel(image.unmask()) == {"a": 1, "b": 0}


def test_unmask_stays_within_the_footprint_unless_told_otherwise() -> None:
    one = asset("a", b=raster([[5, 0]]))  # the second pixel is nodata, the third lies beyond
    where = grid(1, 3)
    assert pixels(ee.Image("a").unmask(-1), where, one)["b"].tolist() == [[5, -1, None]]
    assert pixels(ee.Image("a").unmask(-1, False), where, one)["b"].tolist() == [[5, -1, -1]]


def test_where_takes_the_value_where_test_and_value_are_valid() -> None:
    image, test = partly(a=1, b=2, c=3, d=None), partly(a=1, b=0, c=None, d=1)
    assert pixel(image.where(test, 9)) == {"a": 9, "b": 2, "c": 3, "d": None}
    assert pixel(image.where(1, partly(a=7, b=None, c=8, d=9))) == {"a": 7, "b": 2, "c": 8, "d": None}


def test_remap_gives_the_default_or_masks() -> None:
    old, new = [6, 4], [60, 40]
    made = [
        constants(a=4).remap(old, new, 0),
        constants(b=5).remap(old, new, 0),
        constants(c=5).remap(old, new),
    ]
    assert list(pixel(ee.Image.cat([*made, masked(d=4).remap(old, new, 0)])).values()) == [40, 0, None, None]
    assert value(constants(a=4).remap([4], [1]).bandNames()) == ["remapped"]


def test_bands_are_selected_by_name_number_and_pattern_in_the_given_order() -> None:
    image = constants(B2=1, B3=2, B8A=3, SCL=4)
    assert pixel(image.select(["SCL", "B2"])) == {"SCL": 4, "B2": 1}
    assert pixel(image.select("B.*")) == {"B2": 1, "B3": 2, "B8A": 3}
    assert pixel(image.select([-1, 0], ["last", "first"])) == {"last": 4, "first": 1}
    with pytest.raises(
        EmulatorError,
        match=re.escape("'B4' was applied to an Image with no matching bands."),
    ):
        pixel(image.select("B4"))
    with pytest.raises(EmulatorError, match="out of range"):
        pixel(image.select(4))


def test_rename_needs_as_many_names_as_bands() -> None:
    with pytest.raises(EmulatorError, match=r"names \(1\) must match the number of bands \(2\)"):
        pixel(constants(a=1, b=2).rename(["x"]))


def test_bands_of_a_name_that_is_there_are_numbered_or_replaced() -> None:
    one, two = constants(a=1, b=2), constants(b=3, a=4)
    assert pixel(ee.Image.cat([one, two, constants(a=5)])) == {"a": 1, "b": 2, "b_1": 3, "a_1": 4, "a_2": 5}
    assert pixel(one.addBands(two, None, True)) == {"a": 4, "b": 3}
    assert pixel(one.addBands(two, ["a"])) == {"a": 1, "b": 2, "a_1": 4}


STACKS = st.lists(st.none() | st.integers(-9998, 32_766), min_size=1, max_size=7)


@given(STACKS)
@settings(max_examples=40, deadline=None)
def test_reducers_over_a_collection_leave_masked_pixels_out(stack: list[int | None]) -> None:
    images = ee.ImageCollection([partly(a=item) for item in stack])
    there = [item for item in stack if item is not None]
    made = ee.Image.cat(
        [getattr(images, name)().rename([name]) for name in ("median", "mean", "sum", "min", "max", "count")]
    )
    expected = {
        "median": statistics.median(there) if there else None,
        "mean": statistics.fmean(there) if there else None,
        "sum": sum(there) if there else None,
        "min": min(there, default=None),
        "max": max(there, default=None),
        "count": len(there) or None,
    }
    got = pixel(made)
    assert {name: number is None for name, number in got.items()} == {
        n: v is None for n, v in expected.items()
    }
    assert {n: v for n, v in got.items() if v is not None} == pytest.approx(
        {n: v for n, v in expected.items() if v is not None}
    )


def test_reducers_by_name_append_it_to_the_bands() -> None:
    images = ee.ImageCollection([constants(a=1, b=5), constants(a=2, b=7), constants(a=6, b=9)])
    assert pixel(images.reduce(ee.Reducer.median())) == {"a_median": 2, "b_median": 7}
    assert pixel(images.reduce(ee.Reducer.minMax())) == {"a_min": 1, "a_max": 6, "b_min": 5, "b_max": 9}
    both = ee.Reducer.mean().combine(ee.Reducer.stdDev(), sharedInputs=True)
    assert pixel(images.select("a").reduce(both)) == pytest.approx(
        {"a_mean": 3, "a_stdDev": statistics.pstdev([1, 2, 6])}
    )
    assert pixel(images.select("a").reduce(ee.Reducer.first())) == {"a_first": 1}
    assert pixel(images.select("a").reduce(ee.Reducer.last())) == {"a_last": 6}


def test_an_image_is_reduced_over_its_bands() -> None:
    image = partly(a=4, b=None, c=1)
    assert pixel(image.reduce(ee.Reducer.min())) == {"min": 1}
    assert pixel(image.mask().reduce(ee.Reducer.min())) == {"min": 0}
    assert pixel(image.reduce(ee.Reducer.allNonZero())) == {"all": 1}
    assert pixel(constants(a=4, b=0).reduce(ee.Reducer.anyNonZero())) == {"any": 1}
    with pytest.raises(EmulatorError, match="cannot make pixels with the reducer frequencyHistogram"):
        pixel(image.reduce(ee.Reducer.frequencyHistogram()))


def test_bands_of_a_collection_are_matched_by_name() -> None:
    images = ee.ImageCollection([constants(a=1, b=2), constants(b=6, c=3)])
    assert pixel(images.max()) == {"a": 1, "b": 6, "c": 3}


def test_a_collection_without_images_has_no_bands() -> None:
    nothing = ee.ImageCollection([constants(a=1)]).filter(ee.Filter.eq("name", "none"))
    assert value(nothing.median().bandNames()) == value(nothing.mosaic().bandNames()) == []
    with pytest.raises(EmulatorError, match="no bands"):
        pixel(nothing.median())
    blank = ee.ImageCollection([masked(a=1, b=2)])
    assert (
        pixel(nothing.merge(blank).median()) == pixel(nothing.merge(blank).mosaic()) == {"a": None, "b": None}
    )


def test_the_last_image_is_on_top_of_a_mosaic_band_by_band() -> None:
    images = [partly(a=1, b=1, c=1), partly(a=2, b=None, c=2), partly(a=None, b=None, c=3)]
    assert pixel(ee.ImageCollection(images).mosaic()) == {"a": 2, "b": 1, "c": 3}
    with pytest.raises(EmulatorError, match="mosaics of images with the same bands"):
        pixel(ee.ImageCollection([constants(a=1), constants(b=1)]).mosaic())


def test_bands_are_linked_by_index_and_masked_without_a_partner() -> None:
    scores = [asset("C/x", None, {"q": 3}, cs=raster([[7]], "float32"))]
    scenes = [asset("S/x", b=raster([[1]])), asset("S/y", None, {"q": 4}, b=raster([[2]]))]
    linked = ee.ImageCollection("S").linkCollection(ee.ImageCollection("C"), ["cs"], ["q"])
    bands = [pixel(ee.Image(linked.toList(2).get(place)), *scores, *scenes) for place in (0, 1)]
    assert bands == [{"b": 1, "cs": 7}, {"b": 2, "cs": None}]
    assert value(linked.aggregate_array("system:index"), *scores, *scenes) == ["x", "y"]
    linked_q = [value(ee.Image(linked.toList(2).get(place)).get("q"), *scores, *scenes) for place in (0, 1)]
    assert linked_q == [3, None]


def test_properties_survive_what_keeps_metadata_and_no_arithmetic() -> None:
    image = constants(a=1).set("p", 5)
    images = ee.ImageCollection([image])
    keeping = [image.select("a"), image.rename(["x"]), image.addBands(image), image.updateMask(1)]
    keeping += [image.unmask(0), image.where(1, 2), image.remap([1], [2])]
    dropping = [image.add(1), image.toInt16(), image.clamp(0, 1), image.abs()]
    dropping += [image.reduce(ee.Reducer.min()), images.median(), images.mosaic()]
    assert value(ee.List([one.get("p") for one in keeping])) == [5] * len(keeping)
    assert value(ee.List([one.get("p") for one in dropping])) == [None] * len(dropping)
    assert value(image.add(1).copyProperties(image).get("p")) == 5


def test_a_constant_is_an_image_of_its_numbers() -> None:
    assert pixel(ee.Image.constant([1, 2.5])) == {"constant_0": 1, "constant_1": 2.5}
    assert pixel(ee.Image(3)) == {"constant": 3}
    assert pixel(ee.Image(3).set("day", 12).metadata("day")) == {"day": 12}
    assert [band.dtype.kind for band in pixels(ee.Image.constant([1, 2.5])).values()] == ["i", "f"]


def test_a_normalized_difference_is_masked_where_a_value_is_negative() -> None:
    image = constants(a=3, b=1, c=-1)
    assert pixel(image.normalizedDifference(["a", "b"])) == {"nd": 0.5}
    assert pixel(image.normalizedDifference(["a", "c"])) == {"nd": None}


def test_masked_values_of_an_answer_are_0() -> None:
    bands = pixels(masked(a=7))
    assert np.asarray(bands["a"].data).tolist() == [[0]]
