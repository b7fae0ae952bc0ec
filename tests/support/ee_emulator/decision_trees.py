"""Decision trees in the text that R's rpart prints, as `Classifier.decisionTree` takes them.

A line is `NODE) NAME OPERATOR THRESHOLD N LOSS VALUE (SHARES) *`: the children of node k are 2k and 2k + 1,
the smaller one comes first with all that is below it, and a star marks the nodes without children. The first
line of a tree is `1) root N LOSS VALUE (SHARES)`, with a star if it is the only one. Shares may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.support.ee_emulator.values import EmulatorError

HIGHEST_NODE: Final = 2**31 - 1
"""Greatest number of a node; whether the service counts further is not known."""

_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_LINE: Final = re.compile(
    r"[ \t]*(?P<node>\d+)\)"
    rf"[ \t]+(?:root|(?P<name>[^\s<>=]+)[ \t]*(?P<operator><=|>=|<|>)[ \t]*(?P<threshold>{_NUMBER}))"
    rf"[ \t]+\d+[ \t]+{_NUMBER}[ \t]+(?P<value>{_NUMBER})"
    r"(?:[ \t]+\([^()]*\))?(?P<leaf>[ \t]+\*)?[ \t]*"
)

_TESTS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<=": np.less_equal,
    "<": np.less,
    ">=": np.greater_equal,
    ">": np.greater,
}
_OPPOSITE: Final = {"<=": ">", ">": "<=", "<": ">=", ">=": "<"}


class _Line:
    """One line, taken apart."""

    def __init__(self, number: int, match: re.Match[str]) -> None:
        self.number = number
        self.node = int(match["node"])
        self.name, self.operator, self.threshold = match["name"], match["operator"], match["threshold"]
        self.value = float(match["value"])
        self.leaf = match["leaf"] is not None


@dataclass(frozen=True, eq=False)
class ParsedTree:
    """Nodes in the order of their lines; the first is the root."""

    numbers: NDArray[np.int64]
    """Numbers of the nodes: 1 is the root, 2k and 2k + 1 are the children of k."""
    child: NDArray[np.int64]
    """`(node, 2)`: lines of the children; -1 in a leaf."""
    names: tuple[str | None, ...]
    """What each node tests; None in a leaf."""
    operators: tuple[str | None, ...]
    """How a value is compared on the way to the first child: <=, <, >= or >."""
    threshold: NDArray[np.float64]
    """What it is compared with; NaN in a leaf."""
    value: NDArray[np.float64]
    """What each node says; that of the leaves counts."""

    @property
    def schema(self) -> tuple[str, ...]:
        """Names that are tested, in the order in which they come first."""
        return tuple(dict.fromkeys(name for name in self.names if name is not None))

    def leaves_of(self, table: NDArray[Any], place: Mapping[str, int]) -> NDArray[np.int64]:
        """Line of the leaf that each row comes to, `(row,)`.

        Args:
            table: Values `(column, row)`.
            place: Column of each name.
        """
        at = np.zeros(table.shape[1], np.int64)
        feature = np.array([-1 if name is None else place[name] for name in self.names])
        coded = np.array([-1 if one is None else list(_TESTS).index(one) for one in self.operators])
        open_rows = np.arange(len(at)) if self.schema else np.arange(0)
        while open_rows.size:
            node = at[open_rows]
            first = _passed(coded[node], table[feature[node], open_rows], self.threshold[node])
            at[open_rows] = node = self.child[node, np.where(first, 0, 1)]
            open_rows = open_rows[self.child[node, 0] >= 0]
        return at


def _passed(tests: NDArray[np.int64], values: NDArray[Any], limits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Each value against its limit, as doubles."""
    passed = np.zeros(tests.shape, bool)
    for code, test in enumerate(_TESTS.values()):
        chosen = tests == code
        if chosen.all():
            return np.asarray(test(values.astype(np.float64), limits))
        passed[chosen] = test(values[chosen].astype(np.float64), limits[chosen])
    return passed


def _table(names: Sequence[str], columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Columns `(name, row)`; as many rows as the columns have, and one without any."""
    for name in names:
        if name not in columns:
            raise EmulatorError(f"No band named '{name}'. Available band names: [{', '.join(columns)}].")
    rows = max(map(len, columns.values()), default=1)
    return np.stack([np.asarray(columns[name]) for name in names]) if names else np.zeros((0, rows))


@lru_cache(maxsize=2048)
def parse_trees(text: str) -> tuple[ParsedTree, ...]:
    """One tree or several, one after the other, of a text.

    Raises:
        EmulatorError: A line cannot be read, or nodes do not come in order.
    """
    lines = _read(text)
    trees, start = [], 0
    while start < len(lines):
        end = _end_of_tree(lines, start)
        trees.append(_tree(lines[start:end]))
        start = end
    return tuple(trees)


def parse_tree(text: str) -> ParsedTree:
    """The only tree of a text.

    Raises:
        EmulatorError: A line cannot be read, nodes do not come in order, or there is more than one tree.
    """
    trees = parse_trees(text)
    if len(trees) > 1:
        raise EmulatorError(f"One tree is needed, the text has {len(trees)}.")
    return trees[0]


def values_of(trees: Sequence[ParsedTree], columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """What each tree says of each row.

    Args:
        trees: The trees.
        columns: Values by name, `(row,)` each; compared as doubles, so give float32 where pixels are float32.

    Returns:
        `(row, tree)`.

    Raises:
        EmulatorError: A name that a tree tests is no column.
    """
    names = list(dict.fromkeys(name for tree in trees for name in tree.schema))
    table, place = _table(names, columns), {name: index for index, name in enumerate(names)}
    return np.stack([tree.value[tree.leaves_of(table, place)] for tree in trees], axis=1)


def _read(text: str) -> list[_Line]:
    written = text.split("\n")
    if written[-1].strip() == "":
        written.pop()
    if not written:
        raise EmulatorError("The text of a tree is empty.")
    return [_line(number, line) for number, line in enumerate(written, 1)]


def _line(number: int, written: str) -> _Line:
    match = _LINE.fullmatch(written)
    if match is None:
        raise EmulatorError(f"Error parsing line {number}: '{written[:80]}' is no node of a tree.")
    line = _Line(number, match)
    if not 1 <= line.node <= HIGHEST_NODE:
        raise EmulatorError(
            f"Error parsing line {number}: the emulator takes nodes up to {HIGHEST_NODE}, got {line.node}."
        )
    if (line.node == 1) != (line.name is None):
        raise EmulatorError(f"Error parsing line {number}: node 1 is the root, and no other is.")
    return line


def _end_of_tree(lines: list[_Line], start: int) -> int:
    """Where the tree ends that starts at a line; the order of all nodes is checked."""
    expected, place = [1], start
    while expected:
        wanted = expected.pop()
        if place == len(lines):
            raise EmulatorError(f"Error parsing line {lines[-1].number + 1}: expected {wanted}, got nothing.")
        line = lines[place]
        if line.node != wanted:
            raise EmulatorError(f"Error parsing line {line.number}: expected {wanted}, got {line.node}.")
        if not line.leaf:
            expected += [2 * wanted + 1, 2 * wanted]
        place += 1
    return place


def _tree(lines: list[_Line]) -> ParsedTree:
    place = {line.node: index for index, line in enumerate(lines)}
    tests = [None if line.leaf else _test(lines, place, line) for line in lines]
    return ParsedTree(
        numbers=np.array([line.node for line in lines]),
        child=np.array([_children(place, line) for line in lines]),
        names=tuple(test and test.name for test in tests),
        operators=tuple(test and test.operator for test in tests),
        threshold=np.array([float(test.threshold) if test else np.nan for test in tests]),
        value=np.array([line.value for line in lines]),
    )


def _children(place: dict[int, int], line: _Line) -> tuple[int, int]:
    return (-1, -1) if line.leaf else (place[2 * line.node], place[2 * line.node + 1])


def _test(lines: list[_Line], place: dict[int, int], parent: _Line) -> _Line:
    """The first child, whose condition decides; that of the second must be its opposite."""
    first, second = (lines[index] for index in _children(place, parent))
    same = first.name == second.name and float(first.threshold) == float(second.threshold)
    if not same or _OPPOSITE[first.operator] != second.operator:
        raise EmulatorError(
            f"Error parsing line {second.number}: node {second.node} ({second.name} {second.operator} "
            f"{second.threshold}) is not the opposite of node {first.node} ({first.name} {first.operator} "
            f"{first.threshold})."
        )
    return first
