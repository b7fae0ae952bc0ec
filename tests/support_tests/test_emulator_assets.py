"""Tables, classifiers and folders: exported, told, listed, loaded and deleted by the real client."""

from __future__ import annotations

import re
from typing import Any

import ee
import pytest
import requests
from shapely import Point

from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.assets import STRING_LIMIT, Assets
from tests.support.ee_emulator.decision_trees import parse_trees
from tests.support.ee_emulator.rules import ClassifierRules
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_emulator.values import Classifier, Collection, EmulatorError, Feature, Geometry, Image

pytestmark = pytest.mark.filterwarnings(
    "ignore:getInfo"
)  # the only look that says "not there" without an error

HOME = "projects/crop-maps/assets"
TREE = "1) root 9 9 9 (0.5)\n2) a <= 2.5 9 9 {} *\n3) a > 2.5 9 9 {} *\n"
TREES = [TREE.format(3, 1), TREE.format(2, 1), TREE.format(3, 2)]


@pytest.fixture
def server(start: Any) -> Emulator:
    """A server with its own evaluator."""
    return start(archive=Archive(), evaluate=None, image_pixels=None)


def ended(server: Emulator, task: Any) -> dict[str, Any]:
    """What becomes of a task."""
    task.start()
    server.advance(2)
    return task.status()


def classifier(mode: str = "RAW") -> Any:
    return ee.Classifier.decisionTreeEnsemble(TREES).setOutputMode(mode)


def export_classifier(server: Emulator, name: str, **options: Any) -> dict[str, Any]:
    made = options.pop("classifier", None) or classifier()
    return ended(server, ee.batch.Export.classifier.toAsset(made, "forest", name, **options))


def export_table(server: Emulator, name: str, *rows: dict[str, Any], **options: Any) -> dict[str, Any]:
    place = ee.Geometry.Point([0, 0])
    table = ee.FeatureCollection([ee.Feature(place, row) for row in rows])
    return ended(server, ee.batch.Export.table.toAsset(table, "trees", name, **options))


def said(made: Any, value: float) -> Any:
    row = ee.FeatureCollection([ee.Feature(None, {"a": value})])
    return row.classify(made, "said").aggregate_array("said").getInfo()


def test_a_classifier_is_exported_and_loaded(server: Emulator) -> None:
    status = export_classifier(server, f"{HOME}/forest")
    assert (status["state"], status["task_type"]) == ("COMPLETED", "EXPORT_CLASSIFIER")
    assert status["destination_uris"] == [f"https://code.earthengine.google.com/?asset={HOME}/forest"]
    loaded = ee.Classifier.load(f"{HOME}/forest")
    assert [said(loaded, 2), said(loaded, 3)] == [[[3, 2, 3]], [[1, 1, 2]]]
    assert loaded.mode().getInfo() == "RAW"
    assert ee.data.getAsset(f"{HOME}/forest")["type"] == "CLASSIFIER"


def test_a_classifier_may_lose_its_mode(server: Emulator) -> None:
    export_classifier(server, f"{HOME}/forest")
    server.classifier_rules = ClassifierRules(mode_is_kept=False)
    assert said(ee.Classifier.load(f"{HOME}/forest"), 2) == [3]
    assert said(ee.Classifier.load(f"{HOME}/forest").setOutputMode("RAW"), 2) == [[3, 2, 3]]


def test_rules_hold_for_tasks_too(server: Emulator) -> None:
    server.classifier_rules = ClassifierRules(refused_modes=frozenset({"RAW"}))
    status = export_classifier(server, f"{HOME}/forest")
    assert status["state"] == "FAILED"
    assert "output mode RAW is not supported" in status["error_message"]
    assert (
        export_classifier(server, f"{HOME}/forest", classifier=classifier("REGRESSION"))["state"]
        == "COMPLETED"
    )


def test_trees_go_through_tables(server: Emulator) -> None:
    for number, part in enumerate([TREES[:2], TREES[2:]]):
        rows = ({"index": 10 - 5 * number + i, "tree": t.replace("\n", "#")} for i, t in enumerate(part))
        assert export_table(server, f"{HOME}/t{number}", *rows)["task_type"] == "EXPORT_FEATURES"
    merged = ee.FeatureCollection(f"{HOME}/t0").merge(ee.FeatureCollection(f"{HOME}/t1")).sort("index")
    texts = merged.aggregate_array("tree").map(lambda text: ee.String(text).replace("#", "\n", "g"))
    assert texts.getInfo() == [TREES[2], *TREES[:2]]
    assert said(ee.Classifier.decisionTreeEnsemble(texts).setOutputMode("RAW"), 2) == [[3, 3, 2]]


def test_features_of_a_table_have_new_indices_in_their_order(server: Emulator) -> None:
    export_table(server, f"{HOME}/t", *({"n": n} for n in range(12, 0, -1)))
    told = ee.FeatureCollection(f"{HOME}/t").getInfo()
    assert told["id"] == f"{HOME}/t"
    assert [feature["properties"]["n"] for feature in told["features"]] == [*range(12, 0, -1)]
    ids = [feature["id"] for feature in told["features"]]
    assert ids == sorted(ids)
    assert len(set(ids)) == 12


@pytest.mark.parametrize(
    ("row", "place", "words"),
    [
        ({"tree": "x" * (STRING_LIMIT + 1)}, True, "'tree' has 100001 characters"),
        ({"n": 1}, False, "null geometry"),
        ({"n": [1, 2]}, True, "texts and numbers"),
        ({f"c{i}": i for i in range(1001)}, True, "at most 1000 columns"),
    ],
)
def test_some_tables_cannot_be_kept(server: Emulator, row: dict[str, Any], place: bool, words: str) -> None:
    feature = ee.Feature(ee.Geometry.Point([0, 0]) if place else None, row)
    task = ee.batch.Export.table.toAsset(ee.FeatureCollection([feature]), "trees", f"{HOME}/t")
    status = ended(server, task)
    assert status["state"] == "FAILED"
    assert words in status["error_message"]
    assert ee.data.getInfo(f"{HOME}/t") is None


def test_a_text_may_have_100000_characters(server: Emulator) -> None:
    assert export_table(server, f"{HOME}/t", {"tree": "x" * 100_000})["state"] == "COMPLETED"


def test_assets_are_replaced_only_when_asked_to(server: Emulator) -> None:
    export_classifier(server, f"{HOME}/forest")
    status = export_classifier(server, f"{HOME}/forest", classifier=classifier("REGRESSION"))
    assert (status["state"], status["error_message"]) == (
        "FAILED",
        f"Cannot overwrite asset '{HOME}/forest'.",
    )
    assert ee.Classifier.load(f"{HOME}/forest").mode().getInfo() == "RAW"
    again = export_classifier(server, f"{HOME}/forest", classifier=classifier("REGRESSION"), overwrite=True)
    assert again["state"] == "COMPLETED"
    assert ee.Classifier.load(f"{HOME}/forest").mode().getInfo() == "REGRESSION"


def test_an_asset_needs_its_folder(server: Emulator) -> None:
    status = export_classifier(server, f"{HOME}/crops/forest")
    assert f"'{HOME}/crops' does not exist" in status["error_message"]
    assert ee.data.createFolder(f"{HOME}/crops")["type"] == "FOLDER"
    assert export_classifier(server, f"{HOME}/crops/forest")["state"] == "COMPLETED"
    assert "Cannot overwrite" in export_classifier(server, f"{HOME}/crops", overwrite=True)["error_message"]
    inside = export_classifier(server, f"{HOME}/crops/forest/inner")
    assert "does not exist or doesn't allow" in inside["error_message"]


def test_assets_are_listed_page_by_page_and_deleted(server: Emulator) -> None:
    ee.data.createFolder(f"{HOME}/crops")
    for name in ("b", "a", "crops/c"):
        server.assets.put(f"{HOME}/{name}", Classifier(parse_trees(TREES[0])))
    names = [one["name"] for one in ee.data.listAssets(HOME)["assets"]]
    assert names == [f"{HOME}/a", f"{HOME}/b", f"{HOME}/crops"]
    assert [one["type"] for one in ee.data.listAssets(f"{HOME}/crops")["assets"]] == ["CLASSIFIER"]
    page = ee.data.listAssets({"parent": HOME, "pageSize": 2})
    assert [one["name"] for one in page["assets"]] == names[:2]
    rest = ee.data.listAssets({"parent": HOME, "pageSize": 2, "pageToken": page["nextPageToken"]})
    assert [one["name"] for one in rest["assets"]] == names[2:]
    assert "nextPageToken" not in rest
    with pytest.raises(ee.EEException, match="has children"):
        ee.data.deleteAsset(f"{HOME}/crops")
    for name in ("crops/c", "crops", "a"):
        ee.data.deleteAsset(f"{HOME}/{name}")
    assert [one["name"] for one in ee.data.listAssets(HOME)["assets"]] == [f"{HOME}/b"]


def test_what_is_not_there_is_404(server: Emulator) -> None:
    assert ee.data.getInfo(f"{HOME}/forest") is None
    assert ee.data.getInfo("projects/other-project/assets/forest") is None
    for ask in (ee.data.getAsset, ee.data.deleteAsset, ee.data.listAssets):
        with pytest.raises(ee.EEException, match=f"'{HOME}/forest' not found"):
            ask(f"{HOME}/forest")
    with pytest.raises(ee.EEException, match=r"Classifier\.load: Classifier asset .* not found"):
        ee.Classifier.load(f"{HOME}/forest").mode().getInfo()
    with pytest.raises(ee.EEException, match=r"Collection\.loadTable: .* not found"):
        ee.FeatureCollection(f"{HOME}/forest").size().getInfo()


def test_a_table_is_no_classifier(server: Emulator) -> None:
    export_table(server, f"{HOME}/t", {"n": 1})
    with pytest.raises(ee.EEException, match="is a TABLE, not a CLASSIFIER"):
        ee.Classifier.load(f"{HOME}/t").mode().getInfo()
    status = ended(server, ee.batch.Export.table.toAsset(classifier(), "trees", f"{HOME}/x"))
    assert "EXPORT_FEATURES takes a Collection, not a Classifier" in status["error_message"]


def test_other_projects_and_odd_names_are_refused(server: Emulator) -> None:
    with pytest.raises(ee.EEException, match="permission to use project other-project"):
        export_classifier(server, "projects/other-project/assets/forest")
    with pytest.raises(ee.EEException, match="Invalid asset name"):
        export_classifier(server, f"{HOME}/my forest")
    with pytest.raises(ee.EEException, match="Permission denied"):
        ee.data.createFolder("projects/other-project/assets/crops")


def test_a_request_for_an_asset_may_not_be_too_large(server: Emulator) -> None:
    with pytest.raises(ee.EEException, match=re.escape("exceeds the limit: 10485760 bytes")):
        export_table(server, f"{HOME}/t", *({"tree": f"{n:03}" + "x" * 99_990} for n in range(106)))
    assert len(server.tasks) == 0


def test_a_repeated_request_is_the_same_task(server: Emulator) -> None:
    destination = {"earthEngineDestination": {"name": f"{HOME}/forest", "overwrite": False}}
    tasks = [
        ee.data.exportClassifier("one-id", {"expression": classifier(), "assetExportOptions": destination})
        for _ in range(2)
    ]
    assert tasks[0]["name"] == tasks[1]["name"]
    server.advance(2)
    assert ee.data.getOperation(tasks[0]["name"])["metadata"]["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("classifier", {"assetExportOptions": {}}, "to assets only"),
        ("classifier", {"selectors": ["a"]}, 'Unknown name "selectors"'),
        ("table", {"selectors": ["a"]}, "knows no selectors"),
        ("table", {"fileExportOptions": {}}, 'Unknown name "fileExportOptions"'),
        ("table", {"assetExportOptions": {"earthEngineDestination": {"asset": "x"}}}, 'Unknown name "asset"'),
    ],
)
def test_other_requests_are_refused(server: Emulator, kind: str, body: dict[str, Any], words: str) -> None:
    answer = requests.post(
        f"{server.url}/v1/projects/{server.project}/{kind}:export",
        json={"expression": {"result": "0", "values": {"0": {"constantValue": 1}}}} | body,
        headers={"Authorization": f"Bearer {server.tokens.new()}"},
        timeout=5,
    )
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_requests_for_assets_are_logged_and_scripted(server: Emulator) -> None:
    server.script("asset", Answer.error(403, "Permission 'earthengine.assets.get' denied."))
    with pytest.raises(ee.EEException, match="denied"):
        ee.data.getInfo(f"{HOME}/forest")
    assert [entry.kind for entry in server.log] == ["asset"]


def test_tests_can_put_assets_themselves() -> None:
    assets = Assets()
    place = Geometry(Point(0, 0))
    assets.put(f"{HOME}/a/b/t", Collection((Feature(place, {"n": 1}),)))
    assert [f"{HOME}/a" in assets, f"{HOME}/a/b" in assets, len(assets)] == [True, True, 3]
    assert [one.properties["n"] for one in assets.table(f"{HOME}/a/b/t").elements] == [1]
    assets.clear()
    assert len(assets) == 0
    with pytest.raises(EmulatorError, match="keeps tables, classifiers and images, not a Image"):
        assets.put(f"{HOME}/i", Image(()))
