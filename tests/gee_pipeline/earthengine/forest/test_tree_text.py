import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.earthengine.forest.deploy_options import DEEPEST
from gee_pipeline.earthengine.forest.tree_text import inner_levels, tree_text
from gee_pipeline.errors import InputError
from tests.support.ee_emulator.decision_trees import parse_tree

NAMES = ("B2_24", "B8A_cos1")


def _arrays(*nodes):
    """Nodes as (left, right, feature, threshold, value)."""
    left, right, feature, threshold, value = zip(*nodes, strict=True)
    return (
        np.array(left, np.int32),
        np.array(right, np.int32),
        np.array(feature, np.int32),
        np.array(threshold, np.float64),
        np.array(value),
    )


def _leaf(value):
    return (-1, -1, -1, -2.0, value)


def _chain(depth):
    """Each left child splits again."""
    inner = [(2 * i + 1, 2 * i + 2, 0, -float(i), 0) for i in range(depth)]
    nodes = [inner[0]]
    for i in range(1, depth):
        nodes += [inner[i], _leaf(1)]
    return _arrays(*nodes, _leaf(2), _leaf(1))


def test_a_tree_is_written_line_by_line_in_pre_order():
    """The nodes stand in another order, as scikit-learn keeps those of a leaf-limited tree."""
    nodes = _arrays((3, 1, 0, 1234.5, 7), (2, 4, 1, -0.25, 7), _leaf(10), _leaf(3), _leaf(2))
    assert tree_text(*nodes, NAMES) == (
        "1) root 9999 9999 9999 (0.5)\n"
        "2) B2_24 <= 1234.5 9 9 3 *\n"
        "3) B2_24 > 1234.5 9 9 9\n"
        "6) B8A_cos1 <= -0.25 9 9 10 *\n"
        "7) B8A_cos1 > -0.25 9 9 2 *\n"
    )


def test_a_single_leaf_is_written_as_a_split_that_says_the_same_on_both_sides():
    text = tree_text(*_arrays(_leaf(4)), NAMES)
    assert text == "1) root 9999 9999 9999 (0.5)\n2) B2_24 <= 0 9 9 4 *\n3) B2_24 > 0 9 9 4 *\n"
    assert parse_tree(text).value[1:].tolist() == [4, 4]


def test_the_text_has_the_columns_of_geemap_whose_trees_the_service_reads():
    """`NODE) NAME SIGN THRESHOLD N IMPURITY VALUE[ *]`, as geemap 0.37 writes them."""
    nodes = _arrays((1, 2, 0, 0.5, 0), _leaf(1), _leaf(2))
    for line in tree_text(*nodes, NAMES).splitlines()[1:]:
        assert re.fullmatch(r"\d+\) \w+ (<=|>) [-\d.]+ \d+ \d+ \d+( \*)?", line)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_threshold_reads_back_as_the_same_number_and_has_no_exponent(threshold):
    text = tree_text(*_arrays((1, 2, 0, threshold, 0), _leaf(1), _leaf(2)), NAMES)
    written = text.splitlines()[1].split()[3]
    assert float(written) == threshold
    assert re.fullmatch(r"-?\d+(\.\d+)?", written)


@pytest.mark.parametrize(
    ("threshold", "written"),
    [(1234.5, "1234.5"), (-3.0, "-3"), (0.1, "0.1"), (1e-7, "0.0000001"), (1e22, "1" + 22 * "0")],
)
def test_a_threshold_has_no_more_digits_than_it_needs(threshold, written):
    text = tree_text(*_arrays((1, 2, 0, threshold, 0), _leaf(1), _leaf(2)), NAMES)
    assert f"<= {written} 9" in text


def test_values_may_have_digits():
    text = tree_text(*_arrays((1, 2, 0, 0.5, 0.0), _leaf(0.3333), _leaf(1e-5)), NAMES)
    assert [line.split()[-2] for line in text.splitlines()[1:]] == ["0.3333", "0.00001"]


def test_the_deepest_tree_has_node_numbers_of_32_bits():
    parsed = parse_tree(tree_text(*_chain(DEEPEST), NAMES))
    assert parsed.numbers.max() == 2**30 + 1
    assert sum(1 for _ in inner_levels(*_chain(DEEPEST)[:3])) == DEEPEST == 30


def test_a_deeper_tree_is_refused_with_the_option_that_limits_depth():
    with pytest.raises(InputError, match=r"at most 30 splits .* has 31\. .*--max-depth 30"):
        tree_text(*_chain(31), NAMES)


@pytest.mark.parametrize("name", ["B8A cos1", "", "a<b", "a#b", "\n", "B2-1"])
def test_a_name_that_would_break_a_line_is_refused(name):
    with pytest.raises(InputError, match=re.escape(f"only letters, digits and _, got {name!r}")):
        tree_text(*_arrays(_leaf(1)), (name,))
