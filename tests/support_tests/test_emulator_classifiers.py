"""Decision trees as text, and what ensembles of them tell, against trees walked node by node."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import ee
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ee_asking import asset, graph_of, grid, offline_client, pixel, pixels, raster, value
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.decision_trees import parse_tree, parse_trees, values_of
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.rules import ClassifierRules
from tests.support.ee_emulator.values import EmulatorError


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


Node = Any
"""A number, or (name, operator, limit, first, second)."""
OPPOSITE = {"<=": ">", ">": "<=", "<": ">=", ">=": "<"}


def text_of(tree: Node) -> str:
    """The tree as rpart prints it."""
    lines = []

    def write(node: Node, number: int, split: str) -> None:
        leaf = not isinstance(node, tuple)
        lines.append(
            f"{'  ' * (number.bit_length() - 1)}{number}) {split} 9 9 {node if leaf else 8}{' *' * leaf}"
        )
        if not leaf:
            name, operator, limit, first, second = node
            write(first, 2 * number, f"{name} {operator} {limit}")
            write(second, 2 * number + 1, f"{name} {OPPOSITE[operator]} {limit}")

    write(tree, 1, "root")
    return "\n".join(lines) + "\n"


def walked(node: Node, row: dict[str, float]) -> float:
    """What the tree says of a row."""
    while isinstance(node, tuple):
        name, operator, limit, first, second = node
        x = row[name]
        holds = {"<=": x <= limit, "<": x < limit, ">=": x >= limit, ">": x > limit}[operator]
        node = first if holds else second
    return node


def stump(low: float, high: float, limit: float = 2.5, name: str = "a") -> str:
    return text_of((name, "<=", limit, low, high))


WHOLE = st.integers(-4, 4)
TREES = st.recursive(
    st.integers(0, 5),
    lambda below: st.tuples(
        st.sampled_from("abc"), st.sampled_from([*OPPOSITE]), WHOLE.map(float) | WHOLE.map(lambda n: n + 0.5),
        below, below,
    ),
    max_leaves=12,
)  # fmt: skip
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys("abc", WHOLE)), min_size=1, max_size=8)


@given(st.lists(TREES, min_size=1, max_size=4), ROWS)
@settings(max_examples=60, deadline=None)
def test_trees_say_what_walking_them_says(trees: list[Node], rows: list[dict[str, int]]) -> None:
    columns = {name: np.array([row[name] for row in rows], np.float32) for name in "abc"}
    told = values_of([parse_tree(text_of(tree)) for tree in trees], columns)
    assert told.tolist() == [[walked(tree, row) for tree in trees] for row in rows]


def test_a_text_may_hold_several_trees() -> None:
    trees = parse_trees(stump(1, 2) + text_of(7) + stump(3, 4, name="b"))
    told = values_of(trees, {"a": np.array([2, 3]), "b": np.array([9, 1])})
    assert told.tolist() == [[1, 7, 4], [2, 7, 3]]


def test_the_text_of_geemap_is_read() -> None:
    text = (
        "1) root 55 9999 9999 (147.25973519669316)\n  2) STR <= 1.677856 6 8.7500 -20.0 *\n"
        "  3) STR > 1.677856 55 60.2441 -3.885714\n    6) NIR <= 0.177952 13 30.6582 3.357143 *\n"
        "    7) NIR > 0.177952 36 18.5482 -3.3125 *\n"
    )
    told = values_of([parse_tree(text)], {"STR": np.array([1.6, 1.7, 1.7]), "NIR": np.array([0, 0.17, 0.18])})
    assert told[:, 0].tolist() == [-20.0, 3.357143, -3.3125]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "text of a tree is empty"),
        ("1) root 9 9 1", "line 2: expected 2, got nothing"),
        ("1) root 9 9 1\n2) a <= 1 9 9 1\n4) a <= 0 9 9 1\n3) a > 1 9 9 1 *", "line 4: expected 8, got 3."),
        ("1) root 9 9 1\n3) a > 1 9 9 1 *\n2) a <= 1 9 9 1 *", "line 2: expected 2, got 3"),
        ("1) root 9 9 1 *\n2) a <= 1 9 9 1 *", "line 2: expected 1, got 2"),
        ("2) root 9 9 1 *", "node 1 is the root"),
        ("1) root 9 9 1\n2) a <= 1 9 9 1 *\n3) a > 2 9 9 1 *", "node 3 (a > 2) is not the opposite"),
        ("1) root 9 9 1\n2) a <= 1 9 9 1 *\n3) b > 1 9 9 1 *", "not the opposite of node 2 (a <= 1)"),
        ("1) root 9 9 1\n2) a <= 1 9 9 1 *\n3) a >= 1 9 9 1 *", "not the opposite"),
        ("1) root 9 9 1\n2) a <= 1e3 9 9 1 *\n3) a > 1e3 9 9 1 *", "line 2: '2) a <= 1e3"),
        ("1) root 9 9 1\n\n2) a <= 1 9 9 1 *\n3) a > 1 9 9 1 *", "line 2: '' is no node"),
        ("1) root 9 9 1\r\n2) a <= 1 9 9 1 *\r\n3) a > 1 9 9 1 *", "line 1"),
        ("1) root 9 9 1#2) a <= 1 9 9 1 *#3) a > 1 9 9 1 *", "line 1"),
        ("1) root 9 9 1\n2) a b <= 1 9 9 1 *\n3) a b > 1 9 9 1 *", "line 2"),
        ("1) root 9 9 nan *", "line 1"),
        ("2147483648) a <= 1 9 9 1 *", "nodes up to 2147483647"),
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str, words: str) -> None:
    with pytest.raises(EmulatorError, match=re.escape(words)):
        parse_tree(text)


def test_one_tree_is_not_two() -> None:
    with pytest.raises(EmulatorError, match=r"Classifier\.decisionTree: One tree is needed, the text has 2"):
        value(ee.Classifier.decisionTree(stump(1, 2) * 2).mode())


def ensemble(*trees: str, mode: str | None = None) -> ee.Classifier:
    made = ee.Classifier.decisionTreeEnsemble(list(trees))
    return made if mode is None else made.setOutputMode(mode)


FOREST = [("a", "<=", 2.5, 1, 3), ("b", ">", 7.0, 3, 2), ("a", "<", 1.0, 2, ("b", "<=", 3.5, 1, 3)), 2]


def scene() -> Any:
    """Bands a and b of random whole numbers; 0 is masked."""
    rng = np.random.default_rng(5)
    return asset(
        "P/I/x", a=raster(rng.integers(0, 6, (9, 8))), b=raster(rng.integers(0, 10, (9, 8))),
        c=raster(np.zeros((9, 8))),
    )  # fmt: skip


def votes_of(row: tuple[int, int]) -> list[float]:
    return [walked(tree, {"a": row[0], "b": row[1]}) for tree in FOREST]


def expected(mode: str, row: tuple[int, int]) -> Any:
    votes = votes_of(row)
    counts = Counter(votes)
    most = max(counts.values())
    return {
        "CLASSIFICATION": min(code for code, count in counts.items() if count == most),
        "REGRESSION": sum(votes) / 4,
        "PROBABILITY": most / 4,
        "RAW": votes,
        "RAW_REGRESSION": votes,
        "MULTIPROBABILITY": [counts[code] / 4 for code in (1, 2, 3)],
    }[mode]


def classified(mode: str) -> tuple[list[Any], list[tuple[int, int] | None]]:
    """What the forest tells of each pixel, and the values of its bands, None where masked."""
    image = ee.Image("P/I/x")
    told = image.classify(ensemble(*map(text_of, FOREST), mode=mode), "said")
    length = {"RAW": 4, "RAW_REGRESSION": 4, "MULTIPROBABILITY": 3}.get(mode)
    if length:
        told = told.arrayFlatten([[f"at{i}" for i in range(length)]])
    found = pixels(told.addBands(image.select(["a", "b"])), grid(9, 8), scene())
    names = [f"at{i}" for i in range(length)] if length else ["said"]
    answers, rows = [], []
    for y in range(9):
        for x in range(8):
            row = (found["a"][y, x], found["b"][y, x])
            rows.append(None if any(np.ma.is_masked(one) for one in row) else (int(row[0]), int(row[1])))
            said = [None if np.ma.is_masked(found[n][y, x]) else float(found[n][y, x]) for n in names]
            answers.append(said if length else said[0])
    return answers, rows


@pytest.mark.parametrize(
    "mode", ["CLASSIFICATION", "REGRESSION", "PROBABILITY", "RAW", "RAW_REGRESSION", "MULTIPROBABILITY"]
)
def test_an_image_is_classified_pixel_by_pixel(mode: str) -> None:
    answers, rows = classified(mode)
    assert 5 < sum(row is None for row in rows) < 40
    for answer, row in zip(answers, rows, strict=True):
        if row is None:
            assert answer in (None, [None] * 4, [None] * 3)
        else:
            assert answer == expected(mode, row)


def test_the_default_is_classification() -> None:
    assert value(ensemble(stump(1, 2)).mode()) == "CLASSIFICATION"
    assert value(ee.Classifier.decisionTree(stump(1, 2)).mode()) == "CLASSIFICATION"
    assert value(ensemble(stump(1, 2, name="x"), stump(1, 2)).schema()) == ["x", "a"]
    told = ee.Image.constant([3]).rename(["a"]).classify(ensemble(stump(1, 2)))
    assert pixel(told) == {"classification": 2}
    assert value(told)["bands"][0]["data_type"]["precision"] == "int"


def test_a_forest_of_leaves_classifies_every_pixel_of_any_image() -> None:
    told = ee.Image.constant(1).updateMask(0).classify(ensemble(text_of(4), text_of(6), mode="REGRESSION"))
    assert pixels(told, grid(2, 3))["classification"].tolist() == [[5.0] * 3] * 2


def test_limits_are_64_bit_numbers() -> None:
    single = ee.Image.constant(0.1).toFloat().rename(["a"])
    double = ee.Image.constant(0.1).rename(["a"])
    assert pixel(single.classify(ensemble(stump(1, 2, 0.1)))) == {"classification": 2}
    assert pixel(double.classify(ensemble(stump(1, 2, 0.1)))) == {"classification": 1}


@pytest.mark.parametrize(
    ("ties", "votes", "wanted"),
    [
        ("smallest", (5, 2, 5, 2, 7), 2),
        ("largest", (5, 2, 5, 2, 7), 5),
        ("first", (7, 5, 2, 5, 2), 5),
        ("first", (7, 2, 5, 5, 2), 2),
        ("largest", (1, 1, 9), 1),
        ("first", (9, 1, 1), 1),
    ],
)
def test_ties_can_be_broken_in_several_ways(ties: Any, votes: tuple[int, ...], wanted: int) -> None:
    image = ee.Image.constant(1).rename(["a"]).classify(ensemble(*(stump(vote, 99) for vote in votes)))
    made = evaluate(graph_of(image), Archive(), rules=ClassifierRules(ties=ties))
    ((_, values, mask),) = image_pixels(made, grid())
    assert (values.tolist(), mask.tolist()) == ([[wanted]], [[True]])


def test_modes_can_be_refused() -> None:
    asked = graph_of(ensemble(stump(1, 2), mode="RAW").mode())
    assert evaluate(asked, Archive()) == "RAW"
    with pytest.raises(EmulatorError, match="output mode RAW is not supported"):
        evaluate(asked, Archive(), rules=ClassifierRules(refused_modes=frozenset({"RAW"})))


def test_unknown_modes_and_bands_and_empty_ensembles_are_refused() -> None:
    with pytest.raises(EmulatorError, match="Unknown output mode 'VOTES'"):
        value(ensemble(stump(1, 2), mode="VOTES").mode())
    image = ee.Image.constant([1, 2]).rename(["a", "c"])
    with pytest.raises(EmulatorError, match=r"No band named 'b'\. Available band names: \[a, c\]"):
        value(image.classify(ensemble(stump(1, 2), stump(1, 2, name="b"))).bandNames())
    with pytest.raises(EmulatorError, match="there are no trees"):
        value(ee.Classifier.decisionTreeEnsemble(ee.List([])).mode())
    with pytest.raises(EmulatorError, match=r"Classifier\.decisionTreeEnsemble: Error parsing line 2"):
        value(ensemble("1) root 9 9 1").mode())


@pytest.mark.parametrize(("leaf", "refused"), [(0.5, True), (-1, True), (0, False), (10_000, False)])
def test_classes_are_whole_numbers(leaf: float, refused: bool) -> None:
    image = ee.Image.constant(1).rename(["a"])
    assert pixel(image.classify(ensemble(stump(leaf, 2), mode="REGRESSION"))) == {"classification": leaf}
    classes = image.classify(ensemble(stump(leaf, 2)))
    if refused:
        with pytest.raises(EmulatorError, match="whole numbers from 0"):
            pixel(classes)
    else:
        assert pixel(classes) == {"classification": leaf}


def test_features_are_classified_by_their_properties() -> None:
    rows = [(1, 8), (3, 3), (0, 9)]
    features = ee.FeatureCollection([ee.Feature(None, {"a": a, "b": b}) for a, b in rows])
    trees = [text_of(tree) for tree in FOREST]
    for mode in ("CLASSIFICATION", "REGRESSION", "RAW"):
        told = features.classify(ensemble(*trees, mode=mode), "said").aggregate_array("said")
        assert value(told) == [expected(mode, row) for row in rows]
    with pytest.raises(EmulatorError, match="Property 'c' is missing"):
        value(features.classify(ensemble(stump(1, 2, name="c"))))


def test_many_pixels_are_classified_in_parts() -> None:
    lon = ee.Image.pixelLonLat().select(["longitude"], ["a"])
    limit = -90.9
    found = pixels(lon.addBands(lon.classify(ensemble(stump(1, 2, limit)))), grid(300, 300))
    wanted = np.where(found["a"] <= limit, 1, 2)
    assert 0.05 < (wanted == 1).mean() < 0.95
    np.testing.assert_array_equal(found["classification"], wanted)
