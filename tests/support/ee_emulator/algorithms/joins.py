# ruff: noqa: N803 (arguments are named by Google)
"""Join.*: elements of two collections put together."""

from __future__ import annotations

from typing import Any

from tests.support.ee_emulator.algorithms.collections import ordered
from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.values import Collection, Element, EmulatorError, Feature, Filter, Join


@algorithm("Join.apply")
def _apply(
    request: Any, join: Join, primary: Collection, secondary: Collection, condition: Filter
) -> Collection:
    return join.apply(primary, secondary, condition)


@algorithm("Join.simple")
def _simple(request: Any) -> Join:
    return Join(lambda one, two, condition: _kept(one, two, condition, True))


@algorithm("Join.inverted")
def _inverted(request: Any) -> Join:
    return Join(lambda one, two, condition: _kept(one, two, condition, False))


@algorithm("Join.saveAll")
def _save_all(
    request: Any, matchesKey: str, ordering: str | None, ascending: bool, measureKey: str | None, outer: bool
) -> Join:
    _without_measure(measureKey)
    return Join(
        lambda one, two, condition: _saved(one, two, condition, matchesKey, ordering, ascending, outer, list)
    )


@algorithm("Join.saveFirst")
def _save_first(
    request: Any, matchKey: str, ordering: str | None, ascending: bool, measureKey: str | None, outer: bool
) -> Join:
    _without_measure(measureKey)
    return Join(
        lambda one, two, condition: _saved(
            one, two, condition, matchKey, ordering, ascending, outer, lambda found: found[0]
        )
    )


@algorithm("Join.inner")
def _inner(request: Any, primaryKey: str, secondaryKey: str, measureKey: str | None) -> Join:
    _without_measure(measureKey)

    def apply(primary: Collection, secondary: Collection, condition: Filter) -> Collection:
        pairs = ((one, two) for one in primary.elements for two in _matches(one, secondary, condition))
        return Collection(tuple(Feature(None, {primaryKey: one, secondaryKey: two}) for one, two in pairs))

    return Join(apply)


def _kept(primary: Collection, secondary: Collection, condition: Filter, matched: bool) -> Collection:
    found = (one for one in primary.elements if bool(_matches(one, secondary, condition)) == matched)
    return Collection(tuple(found), primary.id, primary.properties)


def _saved(
    primary: Collection,
    secondary: Collection,
    condition: Filter,
    key: str,
    ordering: str | None,
    ascending: bool,
    outer: bool,
    choose: Any,
) -> Collection:
    """The primary elements with a match, which is kept as a property."""
    kept = []
    for one in primary.elements:
        found = _matches(one, secondary, condition)
        if ordering is not None:
            found = list(ordered(found, ordering, ascending))
        if found:
            kept.append(one.with_properties({**one.properties, key: choose(found)}))
        elif outer:
            kept.append(one.with_properties({**one.properties, key: [] if choose is list else None}))
    return Collection(tuple(kept), primary.id, primary.properties)


def _matches(one: Element, secondary: Collection, condition: Filter) -> list[Element]:
    return [two for two in secondary.elements if condition.accepts(one, two)]


def _without_measure(measureKey: str | None) -> None:
    if measureKey is not None:
        raise EmulatorError("The emulator knows joins without measureKey only.")
