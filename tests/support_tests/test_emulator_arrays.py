"""Images whose pixels are arrays, against numpy and Google's own descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ee
import numpy as np
import pytest

from tests.support.ee_asking import asset, graph_of, grid, offline_client, pixel, pixels, raster, value
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.values import EmulatorError

LENGTH = 5
BANDS = [f"b{i}" for i in range(LENGTH)]
RNG = np.random.default_rng(11)
VALUES = RNG.integers(1, 7, (LENGTH, 4, 3))
VALUES[2, 1, 1] = 0  # masked
SCENE = asset("P/I/x", **{name: raster(one) for name, one in zip(BANDS, VALUES, strict=True)})


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


def rows() -> ee.Image:
    """An array of five numbers at each pixel, which is masked at one."""
    return ee.Image("P/I/x").toArray()


def shown(image: Any, *lengths: int) -> np.ma.MaskedArray:
    """Elements of arrays `(element, y, x)`, elements in order of their places."""
    flat = image.arrayFlatten([[str(i) for i in range(n)] for n in lengths]) if lengths else image
    return np.ma.stack(list(pixels(flat, grid(4, 3), SCENE).values()))


def test_bands_become_an_array_and_bands_again() -> None:
    found = shown(rows(), LENGTH)
    valid = np.ones((4, 3), bool)
    valid[1, 1] = False
    np.testing.assert_array_equal(~found.mask, np.broadcast_to(valid, (LENGTH, 4, 3)))
    np.testing.assert_array_equal(found[:, valid], VALUES[:, valid])


def test_labels_name_the_bands() -> None:
    image = ee.Image.constant(ee.Array([[1, 2, 3], [4, 5, 6]])).arrayFlatten([["x", "y"], ["a", "b", "c"]])
    assert pixel(image) == {"x_a": 1, "x_b": 2, "x_c": 3, "y_a": 4, "y_b": 5, "y_c": 6}
    named = ee.Image.constant(ee.Array([7])).arrayFlatten([["x"]], "-")
    assert pixel(named) == {"x": 7}


def test_votes_are_counted_by_comparing_and_summing() -> None:
    counts = [rows().eq(code).arrayReduce(ee.Reducer.sum(), [0]).arrayGet(0) for code in range(1, 7)]
    found = shown(ee.Image.cat(counts).rename([str(i) for i in range(6)]))
    for y in range(4):
        for x in range(3):
            if (y, x) == (1, 1):
                assert found.mask[:, y, x].all()
            else:
                assert found[:, y, x].tolist() == [list(VALUES[:, y, x]).count(c) for c in range(1, 7)]


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "median", "count", "product"])
def test_arrays_are_reduced_to_one_element(name: str) -> None:
    reduced = rows().arrayReduce(getattr(ee.Reducer, name)(), [0])
    function = {"count": lambda v, axis: np.full(v.shape[1:], len(v)), "product": np.prod}.get(
        name, getattr(np, name, None)
    )
    found = shown(reduced, 1)[0]
    np.testing.assert_allclose(found.compressed(), function(VALUES, axis=0)[~found.mask])


def test_two_axes_are_reduced_together_or_alone() -> None:
    table = np.array([[1, 5, 3], [2, 2, 9]])
    image = ee.Image.constant(ee.Array(table.tolist()))

    def reduced(axes: list[int], *lengths: int) -> list[float]:
        return shown(image.arrayReduce(ee.Reducer.max(), axes), *lengths)[:, 0, 0].tolist()

    assert reduced([0], 1, 3) == [2, 5, 9]
    assert reduced([1], 2, 1) == [5, 9]
    assert reduced([0, 1], 1, 1) == reduced([1, 0], 1, 1) == [9]


def test_elements_accumulate() -> None:
    found = shown(rows().arrayAccum(0), LENGTH)
    wanted = np.cumsum(VALUES, axis=0)
    np.testing.assert_array_equal(found.compressed(), wanted[~found.mask])
    greatest = shown(rows().arrayAccum(0, ee.Reducer.max()), LENGTH)
    np.testing.assert_array_equal(
        greatest.compressed(), np.maximum.accumulate(VALUES, axis=0)[~greatest.mask]
    )


def test_the_greatest_is_found_and_taken_out() -> None:
    place = rows().arrayArgmax().arrayGet(0)
    found = shown(place)[0]
    np.testing.assert_array_equal(found.compressed(), VALUES.argmax(axis=0)[~found.mask])
    greatest = shown(rows().arrayGet(place))[0]
    np.testing.assert_array_equal(greatest.compressed(), VALUES.max(axis=0)[~greatest.mask])


def test_the_first_of_equal_ones_is_the_greatest() -> None:
    image = ee.Image.constant(ee.Array([[1, 9, 3], [9, 2, 9]])).arrayArgmax()
    assert shown(image, 2)[:, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "lengths", "wanted"),
    [
        (lambda i: i.arrayTranspose(), (3, 2), [1, 4, 2, 5, 3, 6]),
        (lambda i: i.arraySlice(1, 1), (2, 2), [2, 3, 5, 6]),
        (lambda i: i.arraySlice(0, -1), (1, 3), [4, 5, 6]),
        (lambda i: i.arraySlice(1, 0, 3, 2), (2, 2), [1, 3, 4, 6]),
        (lambda i: i.arraySlice(0, 0, 1).arrayProject([1]), (3,), [1, 2, 3]),
        (lambda i: i.arrayCat(i, 0), (4, 3), [1, 2, 3, 4, 5, 6] * 2),
        (lambda i: i.arrayRepeat(1, 2), (2, 6), [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]),
        (lambda i: i.arrayLengths(), (2,), [2, 3]),
        (lambda i: i.arrayLength(1), (), [3]),
        (lambda i: i.arrayDimensions(), (), [2]),
        (lambda i: i.add(i).subtract(1), (2, 3), [1, 3, 5, 7, 9, 11]),
        (lambda i: i.gt(2).And(i.lt(5)), (2, 3), [0, 0, 1, 1, 0, 0]),
        (lambda i: ee.Image.constant(10).subtract(i), (2, 3), [9, 8, 7, 6, 5, 4]),
        (lambda i: i.clamp(2, 4).divide(2).toInt(), (2, 3), [1, 1, 1, 2, 2, 2]),
    ],
)
def test_arrays_are_changed(change: Any, lengths: tuple[int, ...], wanted: list[float]) -> None:
    image = ee.Image.constant(ee.Array([[1, 2, 3], [4, 5, 6]]))
    assert shown(change(image), *lengths)[:, 0, 0].tolist() == wanted


def test_vectors_are_repeated_along_a_new_axis_sorted_and_multiplied() -> None:
    image = ee.Image.constant(ee.Array([3, 1, 2]))
    assert shown(image.arrayRepeat(1, 2), 3, 2)[:, 0, 0].tolist() == [3, 3, 1, 1, 2, 2]
    assert shown(image.arraySort(), 3)[:, 0, 0].tolist() == [1, 2, 3]
    assert shown(image.arraySort(image.multiply(-1)), 3)[:, 0, 0].tolist() == [3, 2, 1]
    assert pixel(image.arrayDotProduct(image)) == {"constant": 14}
    assert shown(image.toArray(1), 3, 1)[:, 0, 0].tolist() == [3, 1, 2]


def test_masks_are_of_pixels_not_elements() -> None:
    image = rows().updateMask(ee.Image("P/I/x").select("b0").gt(3))
    wanted = (VALUES[0] > 3) & (VALUES[2] > 0)
    np.testing.assert_array_equal(shown(image.mask())[0], wanted)
    np.testing.assert_array_equal(~shown(image, LENGTH).mask, np.broadcast_to(wanted, (LENGTH, 4, 3)))


def test_lists_become_arrays() -> None:
    assert value(ee.Array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    for wrong in ([[1, 2], [3]], ["a"], []):
        with pytest.raises(EmulatorError, match=r"^Array"):
            value(ee.Array(ee.List(wrong)))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (lambda i: i, "are arrays"),
        (lambda i: i.unmask(0), r"Image\.unmask of images whose pixels are arrays"),
        (lambda i: i.arrayReduce(ee.Reducer.sum(), [2]).arrayGet([0, 0]), "axis 2 is out of range"),
        (lambda i: i.arrayGet(0), "arrays of 2 dimensions need as many positions"),
        (lambda i: i.arrayGet([0, 3]), "beyond an axis of the length 3"),
        (lambda i: i.arrayGet([-1, 0]), "beyond an axis"),
        (lambda i: i.arrayProject([0]).arrayGet(0), "dropped axes must be at most length 1"),
        (lambda i: i.arrayFlatten([["a", "b"], ["c"]]), r"lengths \[2, 3\], labels of \[2, 1\]"),
        (lambda i: i.arrayFlatten([["a", "b"]]), "labels of 1"),
        (lambda i: i.add(i.arrayTranspose()).arrayGet([0, 0]), r"\[2, 3\] and \[3, 2\]"),
        (lambda i: i.add(i.arrayLengths()), "2 and 1 dimensions"),
        (lambda i: ee.Image.constant(1).updateMask(i), "masks of numbers"),
        (lambda i: i.arraySort().arrayGet([0, 0]), "along one axis only"),
        (lambda i: ee.Image.constant(1).arrayLength(0), "axis 0 is out of range"),
        (lambda i: ee.ImageCollection([i]).mosaic(), "fromImages of images whose pixels are arrays"),
    ],
)
def test_what_cannot_be_is_refused(image: Any, words: str) -> None:
    table = ee.Image.constant(ee.Array([[1, 2, 3], [4, 5, 6]]))
    with pytest.raises(EmulatorError, match=words):
        image_pixels(evaluate(graph_of(image(table)), Archive()), grid())


def test_an_image_tells_the_dimensions_of_its_arrays() -> None:
    told = value(ee.Image.constant(ee.Array([[1.5]])))["bands"][0]["data_type"]
    assert (told["precision"], told["dimensions"]) == ("double", 2)
