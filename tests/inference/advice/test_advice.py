"""What follows from the figures of a trial, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.advice.advice import Advice, Shift, expected_of, tried
from inference.advice.growth import Growth
from inference.advice.trial import in_window
from inference.models.checkpoint import load_checkpoint
from inference.models.shipped import model_path

PLAIN = Advice(
    model="m.safetensors",
    model_digest="0" * 16,
    area="1" * 16,
    simulated=False,
    pixels=100,
    classes={"corn": 0.6, "rice": 0.0, "other": 0.4},
    confidence=0.8,
    outside=0.1,
    shifts=(Shift(-5, 0.805, 0.1), Shift(0, 0.80, 0.1), Shift(5, 0.79, 0.2)),
    growth=(),
    gap="",
    own_accuracy=0.95,
    expected=None,
)


def test_classes_without_a_pixel_are_named() -> None:
    assert PLAIN.never == ("rice",)


@pytest.mark.parametrize(
    ("outside", "words"),
    [
        (None, "does not tell"),
        (0.2, "Map the area"),
        (0.21, "Map with caution"),
        (0.6, "Map with caution"),
        (0.61, "Do not rely"),
    ],
)
def test_what_to_do_follows_from_how_unlike_the_place_is(outside: float | None, words: str) -> None:
    assert words in replace(PLAIN, outside=outside).next_step


def test_another_window_is_spoken_of_only_where_it_adds_enough() -> None:
    assert PLAIN.best_shift.days == 0
    surer = (*PLAIN.shifts[:2], Shift(5, 0.83, 0.1))
    assert replace(PLAIN, shifts=surer).best_shift.days == 5


@pytest.mark.parametrize("name", ["accurate", "fast"])  # the places that were tried trained the other
def test_what_to_expect_is_what_squares_as_unlike_had(name: str) -> None:
    digest = load_checkpoint(model_path(name)).digest
    squares = tried(digest)
    assert len(squares) >= 60
    assert {"California", "Canada 2017"} <= {one["place"] for one in squares}
    found = expected_of(digest, 0.9)
    near = sorted(one["accuracy"] for one in squares if 0.8 <= one["outside"] <= 1.0)
    assert found is not None
    assert (found.low, found.high, found.squares) == (*np.quantile(near, [0.1, 0.9]), len(near))
    fitting = expected_of(digest, 0.05)
    assert fitting is not None
    assert fitting.low > found.high  # on the places tried the share outside tells them apart


def test_of_a_model_that_nobody_tried_nothing_is_expected() -> None:
    assert expected_of("0" * 16, 0.1) is None
    assert expected_of(load_checkpoint(model_path("fast")).digest, None) is None


@pytest.mark.parametrize(("first", "length"), [(0, 8), (2, 4), (-3, 8), (5, 8), (-2, 14)])
def test_a_moved_window_sees_what_was_observed_then_and_gaps_besides(first: int, length: int) -> None:
    series = np.arange(2 * 3 * 8, dtype=np.int16).reshape(2, 3, 8)
    found = in_window(series, first, length)
    assert found.shape == (2, 3, length)
    for at in range(length):
        known = 0 <= first + at < 8
        expected = series[:, :, first + at] if known else np.full((2, 3), -9999)
        np.testing.assert_array_equal(found[:, :, at], expected)


def test_classes_that_grow_otherwise_are_named_the_strangest_first() -> None:
    growth = tuple(
        Growth(name, 40, difference, 0.5, ()) for name, difference in (("a", 0.1), ("b", 0.07), ("c", 0.3))
    )
    advice = replace(PLAIN, growth=growth)
    assert [one.name for one in advice.strange] == ["c", "a"]
    assert advice.to_dict()["strange"] == ["c", "a"]
