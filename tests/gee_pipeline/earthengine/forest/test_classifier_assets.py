"""Requests for assets of trees, before anything is sent."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from ee import serializer
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.earthengine.client.assets import (
    ENVELOPE_BYTES,
    json_bytes,
    require_asset_name,
    require_place,
    table_request,
)
from gee_pipeline.earthengine.client.faults import Fault, FaultKind
from gee_pipeline.earthengine.forest.classifier_assets import (
    ServedTrees,
    TreeRow,
    classifier_request,
    table_chunks,
    table_row,
)
from gee_pipeline.errors import AccessError, EarthEngineError, InputError
from inference.deployment.deployment import DeployedSizes

pytestmark = pytest.mark.usefixtures("offline_client")

TREE = "1) root 9999 9999 9999 (0.5)\n2) B4_24 <= 10.5 9 9 1 *\n3) B4_24 > 10.5 9 9 2 *\n"
ASSET = "projects/crop-maps/assets/forests/county"
ROWS = [TreeRow(0, n, TREE.replace("10.5", f"{n}.5")) for n in range(7)]


class Archive:
    """A session that knows some assets, and refuses others."""

    def __init__(self, assets: dict[str, str], fault: Fault | None = None, times: int = 99) -> None:
        self.assets, self.fault, self.left = assets, fault, times
        self.asked: list[str] = []

    def asset(self, name: str) -> dict[str, Any] | None:
        self.asked.append(name)
        if self.fault and self.left:
            self.left -= 1
            raise self.fault
        return {"name": name, "type": self.assets[name]} if name in self.assets else None


def place(archive: Archive, *assets: str, overwrite: bool = False) -> None:
    names = assets or (ASSET,)
    require_place(archive, names, "table", overwrite=overwrite, sleep=lambda s: None)  # type: ignore[arg-type]


def nodes(body: dict[str, Any]) -> str:
    return json.dumps(body["expression"])


def test_a_classifier_is_exported_with_its_mode_to_an_asset() -> None:
    request = classifier_request([TREE, TREE], "RAW", ASSET, "name-1", overwrite=True)
    destination = request.body["assetExportOptions"]["earthEngineDestination"]
    assert request.kind == "classifier"
    assert request.body["description"] == "name-1"
    assert destination == {"name": ASSET, "overwrite": True}
    assert "Classifier.decisionTreeEnsemble" in nodes(request.body)
    assert "Classifier.setOutputMode" in nodes(request.body)
    assert '"RAW"' in nodes(request.body)


def test_a_table_has_a_point_the_order_and_no_line_ends() -> None:
    request = table_request(list(map(table_row, ROWS)), ASSET, "name-1", overwrite=False)
    assert request.kind == "table"
    assert request.body["assetExportOptions"]["earthEngineDestination"] == {"name": ASSET, "overwrite": False}
    text = nodes(request.body)
    assert "\\n" not in text
    assert TREE.replace("\n", "#").replace("10.5", "3.5") in text
    assert "GeometryConstructors.Point" in text


def test_the_size_is_that_of_the_body_as_the_client_sends_it() -> None:
    request = classifier_request([TREE], "RAW", ASSET, "name-1", overwrite=False)
    sent = {**request.body, "requestId": "name-1", "workloadTag": "cropmap"}
    assert request.bytes == len(json.dumps(sent).encode())


@pytest.mark.parametrize("trees", [[TREE], [row.text for row in ROWS], [TREE * 20, TREE]])
def test_trees_and_the_envelope_bound_a_request_closely(trees: list[str]) -> None:
    size = classifier_request(trees, "REGRESSION", ASSET, "n" * 60, overwrite=False).bytes
    assert size - ENVELOPE_BYTES < json_bytes(trees) < size


def test_what_is_counted_for_a_row_bounds_a_table() -> None:
    size = table_request(list(map(table_row, ROWS)), ASSET, "n" * 60, overwrite=False).bytes
    assert size <= sum(row.bytes for row in ROWS) + ENVELOPE_BYTES


@pytest.mark.parametrize("trees", [1, 7, 700])
def test_the_size_that_is_told_of_tables_is_not_less_than_what_is_sent(trees: int) -> None:
    """Each row carries more than its tree, which counts where trees are many and small."""
    rows = [TreeRow(0, n, TREE) for n in range(trees)]
    sent = table_request(list(map(table_row, rows)), ASSET, "n" * 60, overwrite=False).bytes
    sizes = DeployedSizes(trees, 3 * trees, "votes", (json_bytes([TREE] * trees),), len(TREE))
    assert sent <= sizes.request_bytes("table")


@given(st.lists(st.integers(0, 3_000), max_size=40), st.integers(600, 5_000))
def test_tables_hold_every_tree_once_in_order(lengths: list[int], limit: int) -> None:
    rows = [TreeRow(0, n, "x" * length) for n, length in enumerate(lengths)]
    tables = list(table_chunks(rows, limit))
    assert [row for table in tables for row in table] == rows
    assert all(len(table) == 1 or sum(row.bytes for row in table) <= limit for table in tables)
    # none could have taken the first tree of the next
    assert all(sum(r.bytes for r in one) + two[0].bytes > limit for one, two in pairwise(tables))


@pytest.mark.parametrize("way", ["classifier", "table", "inline"])
def test_what_serves_trees_is_an_expression_of_moderate_size(way: Any) -> None:
    assets = () if way == "inline" else (ASSET, ASSET + "_2")
    texts = ((TREE,),) if way == "inline" else ()
    served = ServedTrees(way, "votes", assets, 1, texts)
    classifiers = served.classifiers()
    assert len(classifiers) == (2 if way == "classifier" else 1)
    assert len(json.dumps(serializer.encode(classifiers[0], for_cloud_api=True))) < 5_000


def test_many_tables_make_no_chain() -> None:
    """Earth Engine's guide: repeated `merge` makes ever longer ids and is slow."""
    served = ServedTrees("table", "votes", tuple(f"{ASSET}_{n}" for n in range(60)), 1)
    graph = json.dumps(serializer.encode(served.classifiers()[0], for_cloud_api=True))
    assert graph.count('"Collection.loadTable"') == 60
    assert "Collection.merge" not in graph


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("projects/crop-maps/assets/forest", True),
        ("projects/example.com:maps/assets/a/b/c-d_E", True),
        ("projects/crop-maps/assets", False),  # the root itself
        ("projects/crop-maps/assets/", False),
        ("projects/crop-maps/forest", False),
        ("users/somebody/forest", False),
        ("forest", False),
        ("projects/crop-maps/assets/a forest", False),
        ("projects/crop-maps/assets/a//b", False),
        ("projects/crop-maps/assets/a\n", False),
    ],
)
def test_names_of_assets(name: str, good: bool) -> None:
    if good:
        require_asset_name(name)
    else:
        with pytest.raises(InputError, match="--asset takes projects/PROJECT/assets/NAME"):
            require_asset_name(name)


def test_an_asset_in_a_folder_that_exists_can_be_written() -> None:
    place(Archive({"projects/crop-maps/assets/forests": "FOLDER"}))


def test_the_root_of_a_project_is_no_folder_to_ask_for() -> None:
    archive = Archive({})
    place(archive, "projects/crop-maps/assets/county")
    assert archive.asked == ["projects/crop-maps/assets/county"]


def test_a_missing_folder_is_said_with_the_command_that_makes_it() -> None:
    with pytest.raises(InputError, match="earthengine create folder projects/crop-maps/assets/forests"):
        place(Archive({}))


def test_an_asset_is_no_folder() -> None:
    with pytest.raises(InputError, match=r"is not a folder but an asset \(IMAGE\)"):
        place(Archive({"projects/crop-maps/assets/forests": "IMAGE"}))


def test_an_asset_that_exists_is_replaced_only_when_asked() -> None:
    archive = Archive({"projects/crop-maps/assets/forests": "FOLDER", ASSET + "_2": "TABLE"})
    with pytest.raises(InputError, match=r"county_2 exists already \(table\).*--overwrite"):
        place(archive, ASSET + "_1", ASSET + "_2")
    place(archive, ASSET + "_1", ASSET + "_2", overwrite=True)


@pytest.mark.parametrize("kind", ["IMAGE", "FOLDER", "CLASSIFIER"])
def test_an_asset_of_another_type_is_never_replaced(kind: str) -> None:
    archive = Archive({"projects/crop-maps/assets/forests": "FOLDER", ASSET: kind})
    with pytest.raises(InputError, match=rf"is of another type \({kind.lower()}\)"):
        place(archive, overwrite=True)


def test_a_lack_of_permission_names_the_project_of_the_asset_and_the_role_that_writes() -> None:
    fault = Fault(FaultKind.ACCESS, "Permission 'earthengine.assets.get' denied on resource 'x'.", 403)
    with pytest.raises(AccessError, match=r"project crop-maps.*Resource Writer"):
        place(Archive({}, fault))


def test_a_look_at_an_asset_is_repeated_after_a_fault_that_passes() -> None:
    fault = Fault(FaultKind.LATER, "The service is unavailable.", 503)
    place(Archive({"projects/crop-maps/assets/forests": "FOLDER"}, fault, times=3))
    with pytest.raises(EarthEngineError, match="did not answer"):
        place(Archive({}, fault))
