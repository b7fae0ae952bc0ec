# ruff: noqa: N803 (arguments are named by Google)
"""List.*, Dictionary.* and String.*"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cmp_to_key
from typing import Any

from tests.support.ee_emulator.algorithms.comparing import compare
from tests.support.ee_emulator.algorithms.reducing import Reducer
from tests.support.ee_emulator.algorithms.registry import algorithm
from tests.support.ee_emulator.values import EmulatorError, Feature, Filter, Function


@algorithm("List.sequence")
def _sequence(request: Any, start: float, end: float | None, step: float, count: int | None) -> list[float]:
    if count is not None:
        if end is None:
            return [start + place * step for place in range(count)]
        gap = (end - start) / max(count - 1, 1)
        return [start + place * gap for place in range(count)]
    if end is None or step == 0:
        raise EmulatorError("List.sequence: end or count is needed, and a step.")
    number = int((end - start) / step + 1e-9) + 1
    return [start + place * step for place in range(max(number, 0))]


@algorithm("List.map")
def _map(request: Any, list: list[Any], baseAlgorithm: Function, dropNulls: bool) -> list[Any]:
    made = [baseAlgorithm.call(item) for item in list]
    return [item for item in made if item is not None] if dropNulls else made


@algorithm("List.iterate")
def _iterate(request: Any, list: list[Any], function: Function, first: Any) -> Any:
    for item in list:
        first = function.call(item, first)
    return first


@algorithm("List.filter")
def _filter(request: Any, list: list[Any], filter: Filter) -> list[Any]:
    return [item for item in list if filter.accepts(Feature(None, {"item": item}), None)]


@algorithm("List.reduce")
def _reduce(request: Any, list: list[Any], reducer: Reducer) -> Any:
    results = reducer.of(list, [1.0] * len(list))
    return results[0] if len(results) == 1 else dict(zip(reducer.outputs, results, strict=True))


@algorithm("List.get", "List.getNumber", "List.getString", "List.getGeometry")
def _get(request: Any, list: list[Any], index: int) -> Any:
    if not -len(list) <= index < len(list):
        raise EmulatorError(
            f"List.get: List index must be between 0 and {len(list) - 1}, or -1 and "
            f"{-len(list)}. Got: {index}."
        )
    return list[index]


@algorithm("List.size", "List.length")
def _size(request: Any, list: list[Any]) -> int:
    return len(list)


@algorithm("List.add")
def _add(request: Any, list: list[Any], element: Any) -> list[Any]:
    return [*list, element]


@algorithm("List.cat")
def _cat(request: Any, list: list[Any], other: list[Any]) -> list[Any]:
    return [*list, *other]


@algorithm("List.contains")
def _contains(request: Any, list: list[Any], element: Any) -> bool:
    return element in list


@algorithm("List.indexOf")
def _index_of(request: Any, list: list[Any], element: Any) -> int:
    return list.index(element) if element in list else -1


@algorithm("List.slice")
def _slice(request: Any, list: list[Any], start: int, end: int | None, step: int | None) -> list[Any]:
    return list[start:end:step]


@algorithm("List.reverse")
def _reverse(request: Any, list: list[Any]) -> list[Any]:
    return list[::-1]


@algorithm("List.repeat")
def _repeat(request: Any, value: Any, count: int) -> list[Any]:
    return [value] * count


@algorithm("List.flatten")
def _flatten(request: Any, list: list[Any]) -> list[Any]:
    return [leaf for item in list for leaf in (_flatten(request, item) if _is_list(item) else [item])]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


@algorithm("List.distinct")
def _distinct(request: Any, list: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in list:
        if item not in found:
            found.append(item)
    return found


@algorithm("List.remove")
def _remove(request: Any, list: list[Any], element: Any) -> list[Any]:
    rest = [*list]
    if element in rest:
        rest.remove(element)
    return rest


@algorithm("List.removeAll")
def _remove_all(request: Any, list: list[Any], other: list[Any]) -> list[Any]:
    return [item for item in list if item not in other]


@algorithm("List.sort")
def _sort(request: Any, list: list[Any], keys: list[Any] | None) -> list[Any]:
    items = [*list] if keys is None else [item for _, item in _sorted_pairs(keys, list)]
    return sorted(items, key=cmp_to_key(compare)) if keys is None else items


def _sorted_pairs(keys: list[Any], items: list[Any]) -> list[tuple[Any, Any]]:
    return sorted(zip(keys, items, strict=True), key=cmp_to_key(lambda one, two: compare(one[0], two[0])))


@algorithm("List.zip")
def _zip(request: Any, list: list[Any], other: list[Any]) -> list[Any]:
    return [[one, two] for one, two in zip(list, other, strict=False)]


@algorithm("List.unzip")
def _unzip(request: Any, list: list[Any]) -> list[Any]:
    return [[*column] for column in zip(*list, strict=True)]


@algorithm("List.join")
def _join(request: Any, list: list[Any], separator: str) -> str:
    return separator.join(map(text, list))


@algorithm("List.set")
def _set(request: Any, list: list[Any], index: int, element: Any) -> list[Any]:
    _get(request, list, index)
    changed = [*list]
    changed[index] = element
    return changed


@algorithm("Dictionary")
def _dictionary(request: Any, input: Any) -> Mapping[str, Any]:
    if input is None:
        return {}
    if isinstance(input, Mapping):
        return input
    if isinstance(input, list) and len(input) % 2 == 0:
        return dict(zip(input[::2], input[1::2], strict=True))
    raise EmulatorError(f"Dictionary: cannot be made of {input!r}.")


@algorithm("Dictionary.get")
def _dictionary_get(request: Any, dictionary: Mapping[str, Any], key: str, defaultValue: Any) -> Any:
    if dictionary.get(key) is not None:
        return dictionary[key]
    if defaultValue is None and key not in dictionary:
        raise EmulatorError(f"Dictionary.get: Dictionary does not contain key: '{key}'.")
    return defaultValue


@algorithm("Dictionary.getNumber", "Dictionary.getString", "Dictionary.getGeometry")
def _dictionary_typed(request: Any, dictionary: Mapping[str, Any], key: str) -> Any:
    return _dictionary_get(request, dictionary, key, None)


@algorithm("Dictionary.set")
def _dictionary_set(request: Any, dictionary: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**dictionary, key: value}


@algorithm("Dictionary.keys")
def _keys(request: Any, dictionary: Mapping[str, Any]) -> list[str]:
    return sorted(dictionary)


@algorithm("Dictionary.values")
def _values(request: Any, dictionary: Mapping[str, Any], keys: list[str] | None) -> list[Any]:
    return [_dictionary_get(request, dictionary, key, None) for key in (keys or sorted(dictionary))]


@algorithm("Dictionary.contains")
def _has(request: Any, dictionary: Mapping[str, Any], key: str) -> bool:
    return key in dictionary


@algorithm("Dictionary.size")
def _dictionary_size(request: Any, dictionary: Mapping[str, Any]) -> int:
    return len(dictionary)


@algorithm("Dictionary.combine")
def _combine(
    request: Any, first: Mapping[str, Any], second: Mapping[str, Any], overwrite: bool
) -> dict[str, Any]:
    return {**first, **second} if overwrite else {**second, **first}


@algorithm("Dictionary.fromLists")
def _from_lists(request: Any, keys: list[str], values: list[Any]) -> dict[str, Any]:
    return dict(zip(keys, values, strict=True))


@algorithm("Dictionary.map")
def _dictionary_map(request: Any, dictionary: Mapping[str, Any], baseAlgorithm: Function) -> dict[str, Any]:
    return {key: baseAlgorithm.call(key, value) for key, value in dictionary.items()}


@algorithm("String")
def _string(request: Any, input: Any) -> str:
    return text(input)


def text(value: Any) -> str:
    """A value as text; whole numbers without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EmulatorError(f"String: the emulator makes text of strings and numbers, not of {value!r}.")
    return str(value)


@algorithm("String.cat")
def _string_cat(request: Any, string1: str, string2: str) -> str:
    return string1 + string2


@algorithm("String.length")
def _length(request: Any, string: str) -> int:
    return len(string)


@algorithm("String.slice")
def _string_slice(request: Any, string: str, start: int, end: int | None) -> str:
    return string[start:end]


@algorithm("String.equals")
def _string_equals(request: Any, reference: str, target: Any) -> bool:
    return bool(reference == target)


@algorithm("String.compareTo")
def _compare_to(request: Any, string1: str, string2: str) -> int:
    return compare(string1, string2)


@algorithm("String.index")
def _index(request: Any, target: str, pattern: str) -> int:
    return target.find(pattern)


@algorithm("String.split")
def _split(request: Any, string: str, regex: str, flags: str) -> list[str]:
    return re.split(regex, string, flags=_flags(flags))


@algorithm("String.replace")
def _replace(request: Any, input: str, regex: str, replacement: str, flags: str) -> str:
    count = 0 if "g" in flags else 1
    return re.sub(regex, re.sub(r"\$(\d)", r"\\\1", replacement), input, count=count, flags=_flags(flags))


@algorithm("String.match")
def _match(request: Any, input: str, regex: str, flags: str) -> list[str]:
    if "g" in flags:
        return [found[0] for found in re.finditer(regex, input, _flags(flags))]
    found = re.search(regex, input, _flags(flags))
    return [] if found is None else [found[0], *found.groups()]


def _flags(letters: str) -> re.RegexFlag:
    if set(letters) - {"g", "i"}:
        raise EmulatorError(f"The emulator knows the flags g and i, not {letters!r}.")
    return re.IGNORECASE if "i" in letters else re.NOFLAG


@algorithm("String.toLowerCase")
def _lower(request: Any, string: str) -> str:
    return string.lower()


@algorithm("String.toUpperCase")
def _upper(request: Any, string: str) -> str:
    return string.upper()


@algorithm("String.trim")
def _trim(request: Any, string: str) -> str:
    return string.strip()


@algorithm("Number.format")
def _format(request: Any, number: float, pattern: str) -> str:
    """A pattern of Java's `String.format`, as far as Python's has it."""
    if not re.fullmatch(r"%0?\d*(\.\d+)?[dfs]", pattern):
        raise EmulatorError(f"The emulator does not know the pattern {pattern!r}.")
    return pattern % (text(number) if pattern.endswith("s") else number)


@algorithm("String.encodeJSON")
def _encode_json(request: Any, object: Any) -> str:
    return json.dumps(object)
