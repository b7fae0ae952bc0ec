"""How expressions are walked: nodes, functions, arguments, and what is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import ee
import pytest

from tests.support.ee_asking import graph_of, offline_client, value
from tests.support.ee_emulator.algorithms import registry
from tests.support.ee_emulator.algorithms.arguments import _CONVERSIONS
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.evaluate import evaluate
from tests.support.ee_emulator.values import EmulatorError

EMPTY = Archive()


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    with offline_client():
        yield


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"functionInvocationValue": {"functionName": name, "arguments": arguments}}


def constant(item: Any) -> dict[str, Any]:
    return {"constantValue": item}


def result(node: dict[str, Any], **others: dict[str, Any]) -> Any:
    return evaluate({"result": "r", "values": {"r": node, **others}}, EMPTY)


ARGUMENT = {"argumentReference": "x"}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (constant({"a": [1, None, True, "x"]}), {"a": [1, None, True, "x"]}),
        ({"integerValue": "9007199254740993"}, 2**53 + 1),  # beyond what a double can hold
        ({"arrayValue": {"values": [constant(1), {"valueReference": "other"}]}}, [1, 7]),
        ({"arrayValue": {}}, []),
        ({"dictionaryValue": {"values": {"k": {"valueReference": "other"}}}}, {"k": 7}),
        ({"valueReference": "other"}, 7),
        (call("Number.add", left=constant(2), right={"valueReference": "other"}), 9),
    ],
)
def test_each_kind_of_node_has_its_value(node: dict[str, Any], expected: Any) -> None:
    assert result(node, other=constant(7)) == expected


def test_a_function_is_called_by_reference_with_arguments_by_name() -> None:
    difference = {"functionDefinitionValue": {"argumentNames": ["x", "y"], "body": "body"}}
    body = call("Number.subtract", left={"argumentReference": "y"}, right=ARGUMENT)
    node = {
        "functionInvocationValue": {
            "functionReference": "f",
            "arguments": {"x": constant(1), "y": constant(5)},
        }
    }
    assert result(node, f=difference, body=body) == 4


def test_a_function_sees_the_arguments_of_the_one_around_it() -> None:
    pairs = ee.List([10, 20]).map(
        lambda outer: ee.List([1, 2]).map(lambda inner: ee.Number(outer).add(ee.Number(inner)))
    )
    assert value(pairs) == [[11, 12], [21, 22]]


def test_a_value_shared_by_functions_is_computed_for_each_call() -> None:
    def twice(item: Any) -> Any:
        shared = ee.Number(item).multiply(3)
        return shared.add(shared)

    assert value(ee.List([1, 2, 3]).map(twice)) == [6, 12, 18]


def test_a_value_without_arguments_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setitem(registry.IMPLEMENTED, "Number.abs", lambda request, input: calls.append(input) or 5)
    fixed = ee.Number(-5).abs()
    assert value(ee.List([1, 2, 3]).map(lambda item: ee.Number(item).add(fixed).add(fixed))) == [11, 12, 13]
    assert calls == [-5]


def test_iterate_hands_each_element_the_result_so_far() -> None:
    text = ee.List(["a", "b", "c"]).iterate(lambda item, so_far: ee.String(so_far).cat(ee.String(item)), "-")
    assert value(text) == "-abc"


def test_a_thousand_steps_within_one_another_are_computed() -> None:
    total = ee.Number(0)
    for _ in range(1000):
        total = total.add(1)
    assert value(total) == 1000


def test_all_algorithms_that_are_known_are_ones_of_google() -> None:
    assert set(registry.IMPLEMENTED) <= set(registry.signatures())
    assert len(registry.IMPLEMENTED) > 350


def test_an_implementation_takes_the_arguments_of_the_signature() -> None:
    for name, function in registry.IMPLEMENTED.items():
        taken = [one.rstrip("_") for one in inspect.signature(function).parameters][1:]
        assert taken == [one.name for one in registry.signature_of(name).arguments], name


def test_an_algorithm_with_other_arguments_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match=re.escape("Number.hypot takes ['left', 'right']")):
        registry.register_as("Number.hypot", lambda request, one, two: 0)


def test_types_of_all_known_algorithms_can_be_checked() -> None:
    unknown = {
        re.sub("<.*", "", argument.type)
        for name in registry.IMPLEMENTED
        for argument in registry.signature_of(name).arguments
    } - set(_CONVERSIONS)
    assert unknown == {"List", "Dictionary"}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (call("Image.sharpen"), "Unknown function 'Image.sharpen'"),
        (call("Image.rgbToHsv"), "does not know the algorithm Image.rgbToHsv"),
        (call("Number.abs", value=constant(1)), "Number.abs: Unrecognized argument: 'value'"),
        (call("Number.abs"), "Number.abs: Parameter 'input' is required"),
        (call("Number.abs", input=constant(None)), "Number.abs: Parameter 'input' is required"),
        (call("Number.abs", input=constant("1")), "Expected type: Number. Actual type: String"),
        (call("List.get", list=constant([1]), index=constant(0.5)), "Integer. Actual type: Float"),
        (call("List.get", list=constant([1]), index=constant(1)), "List index must be between"),
        (call("Image.select", input=constant(5), bandSelectors=constant([0])), "Expected type: Image"),
        (call("List.join", list=constant([1]), separator=constant(5)), "String. Actual type: Integer"),
        (call("Filter.notNull", properties=constant(["a", 1])), "String. Actual type: Integer"),
        ({"blobValue": "x"}, "does not know the node blobValue"),
        ({"constantValue": 1, "integerValue": "1"}, "A node has one field"),
        ({"valueReference": "nowhere"}, "Unknown value reference 'nowhere'"),
        (ARGUMENT, "Unknown argument reference 'x'"),
    ],
)  # fmt: skip
def test_what_is_unknown_is_refused_by_name(node: dict[str, Any], message: str) -> None:
    with pytest.raises(EmulatorError, match=re.escape(message)):
        result(node)


def test_the_client_promotes_what_the_emulator_does_not() -> None:
    graph = graph_of(ee.Image(1).add(2))
    assert '"Image.constant"' in str(graph).replace("'", '"')
    with pytest.raises(EmulatorError, match="Expected type: Image"):
        result(call("Image.add", image1=call("Image.constant", value=constant(1)), image2=constant(2)))


def test_what_is_no_json_cannot_be_an_answer() -> None:
    with pytest.raises(EmulatorError, match="cannot write a Filter"):
        value(ee.Filter.eq("a", 1))
    with pytest.raises(EmulatorError, match="JSON has no inf"):
        value(ee.Number(1e308).multiply(10))
