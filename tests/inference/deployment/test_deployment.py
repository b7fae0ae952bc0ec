"""What a deployment says on disk, how large it is, and with which rows it is compared."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gee_pipeline.earthengine.tasks.task import Task
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import write_sealed
from inference.deployment.asset_tasks import DeploymentRecord, begin, only_one
from inference.deployment.deploy import deploy
from inference.deployment.deployment import (
    DeployedSizes,
    Deployment,
    deployed_sizes,
    deployment_path,
    ensembles,
    load_deployment,
    remedy_for,
    require_target,
    save_deployment,
)
from inference.deployment.probe import ROWS, local_prediction, probe_rows, ties
from inference.models.forest_model import ForestModel
from tests.support import made_forests

ASSET = "projects/crop-maps/assets/forest"
MiB = 2**20


@pytest.fixture(scope="module")
def model() -> ForestModel:
    forest = made_forests.grown(*made_forests.made_rows(rows=120), trees=6, max_depth=5)
    return made_forests.model_of(forest, 3)


@pytest.fixture
def deployment(model: ForestModel) -> Deployment:
    return Deployment("classifier", "votes", (ASSET,), model.digest, 3, 6, 1_000)


def sizes(**fields: Any) -> DeployedSizes:
    return DeployedSizes(
        **{"trees": 100, "nodes": 300, "confidence": "votes", "ensembles": (MiB,), "longest_tree": 900}
        | fields
    )


# --- on disk


def test_a_deployment_stands_beside_its_forest_and_comes_back(
    deployment: Deployment, model: ForestModel, tmp_path: Path
) -> None:
    path = deployment_path(tmp_path / "forest.safetensors")
    assert path == tmp_path / "forest.deployment.json"
    save_deployment(path, deployment)
    assert load_deployment(path, model) == deployment


def test_a_forest_that_is_not_deployed_says_how_to_do_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not deployed.*cropmap forest deploy"):
        load_deployment(tmp_path / "forest.deployment.json")


def test_the_deployment_of_another_forest_is_refused(
    deployment: Deployment, model: ForestModel, tmp_path: Path
) -> None:
    path = tmp_path / "forest.deployment.json"
    save_deployment(path, replace(deployment, forest="0123456789abcdef"))
    with pytest.raises(MismatchError, match=f"0123456789abcdef.*{model.digest}"):
        load_deployment(path, model)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"format": 2}, MismatchError),  # a later version
        ({"way": "pigeon"}, CorruptFileError),
        ({"confidence": "high"}, CorruptFileError),
        ({"assets": []}, CorruptFileError),  # a classifier without an asset
        ({"assets": None}, CorruptFileError),
        ({"assets": ASSET}, CorruptFileError),  # a text, whose letters are no assets
        ({"assets": ["forest"]}, CorruptFileError),
        ({"forest": ...}, CorruptFileError),  # left out
    ],
)
def test_a_damaged_deployment_is_refused(
    deployment: Deployment, tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    values = {key: v for key, v in (deployment.to_dict() | change).items() if v is not ...}
    path = tmp_path / "forest.deployment.json"
    path.write_text(json.dumps(values))
    with pytest.raises(error, match="cropmap forest deploy"):
        load_deployment(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "null"])
def test_a_file_that_is_no_deployment_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "forest.deployment.json"
    path.write_text(text)
    with pytest.raises((CorruptFileError, MismatchError)):
        load_deployment(path)


def test_only_inline_trees_travel_with_the_deployment(deployment: Deployment, model: ForestModel) -> None:
    assert deployment.served(model).texts == ()
    inline = replace(deployment, way="inline", assets=())
    assert inline.served(model).texts == ensembles(model, "votes")


def test_probabilities_take_an_ensemble_a_class(deployment: Deployment, model: ForestModel) -> None:
    assert [len(trees) for trees in ensembles(model, "probability")] == [6, 6, 6]
    assert replace(deployment, confidence="probability").served().ensembles == 3
    assert deployment.served().ensembles == 1


# --- sizes


@pytest.mark.parametrize("confidence", ["votes", "probability", "none"])
def test_sizes_are_those_of_the_texts_as_json(model: ForestModel, confidence: Any) -> None:
    texts = ensembles(model, confidence)
    found = deployed_sizes(model, confidence)
    assert found.trees == 6
    assert found.nodes == sum(len(tree.feature) for tree in model.trees)
    assert found.ensembles == tuple(len(json.dumps(trees)) for trees in texts)
    assert found.bytes == sum(found.ensembles)
    assert found.longest_tree == max(len(tree) for trees in texts for tree in trees)


@pytest.mark.parametrize(
    ("fields", "way", "fits"),
    [
        ({"ensembles": (10 * MiB - 5_000,)}, "classifier", True),
        ({"ensembles": (10 * MiB,)}, "classifier", False),  # the limit itself, with what stands around
        ({"ensembles": (9 * MiB, 9 * MiB)}, "classifier", True),  # one request each
        ({"ensembles": (7 * MiB,)}, "inline", True),
        ({"ensembles": (4 * MiB, 5 * MiB)}, "inline", False),  # both in each request, besides the medians
        ({"ensembles": (300 * MiB,), "longest_tree": 100_000}, "table", True),
        ({"ensembles": (MiB,), "longest_tree": 100_001}, "table", False),
    ],
)
def test_what_fits_a_request(fields: dict[str, Any], way: Any, fits: bool) -> None:
    found = sizes(**fields)
    assert found.fits(way) == fits
    if not fits:
        with pytest.raises(InputError, match="--max-leaf-nodes"):
            found.require_fit(way)


def test_a_forest_that_is_too_large_is_told_its_size_the_limit_and_the_ways_out() -> None:
    with pytest.raises(InputError) as caught:
        sizes(ensembles=(12_000_000,) * 5, confidence="probability").require_fit("classifier")
    told = str(caught.value)
    assert "12,002,048 bytes (11.4 MiB)" in told
    assert "10,485,760" in told
    for option in ("--way table", "--confidence votes", "--trees", "--max-leaf-nodes"):
        assert option in told


def test_a_way_that_would_not_help_is_not_named() -> None:
    with pytest.raises(InputError) as caught:
        sizes(ensembles=(12_000_000,), longest_tree=200_000).require_fit("classifier")
    assert "--way" not in str(caught.value)
    assert "--confidence" not in str(caught.value)


@pytest.mark.parametrize(
    ("way", "asset", "words"),
    [
        ("classifier", None, "--asset projects/PROJECT/assets/NAME"),
        ("table", None, "--asset projects/PROJECT/assets/NAME"),
        ("inline", ASSET, "omit --asset"),
        ("classifier", "forest", "Got 'forest'"),
    ],
)
def test_a_way_and_its_asset_belong_together(way: Any, asset: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        require_target(way, asset)


def test_nothing_is_asked_for_a_forest_that_is_too_large(
    model: ForestModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is none at all: touching it would be another error."""
    monkeypatch.setattr("inference.deployment.deployment.REQUEST_LIMIT", 3_000)
    with pytest.raises(InputError, match=r"takes [\d,]+ bytes .*--way table"):
        deploy(model, None, tmp_path / "forest.safetensors", asset=ASSET)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


# --- tasks on disk


ABOUT = {"forest": "0123456789abcdef", "way": "classifier"}


def write(path: Path, record: DeploymentRecord) -> None:
    path.write_text(json.dumps(record.to_dict()))


def test_a_record_is_gone_on_with_where_everything_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    first = begin(path, ABOUT, [ASSET])
    assert [task.state for task in first.tasks] == ["planned"]
    active = first.with_task(Task(ASSET, "active", 1, "projects/p/operations/X"))
    write(path, active)
    assert begin(path, ABOUT, [ASSET]) == active


@pytest.mark.parametrize(
    ("state", "refused"), [("submitting", True), ("active", True), ("done", False), ("failed", False)]
)
def test_another_deployment_waits_for_the_tasks_of_the_first(
    tmp_path: Path, state: Any, refused: bool
) -> None:
    path = tmp_path / "tasks.json"
    write(path, DeploymentRecord(ABOUT, "abcd", (Task(ASSET, state, 1),)))
    other = ABOUT | {"way": "table"}
    if refused:
        with pytest.raises(MismatchError, match=f"another way.*delete {re.escape(str(path))}"):
            begin(path, other, [ASSET + "_1"])
    else:
        new = begin(path, other, [ASSET + "_1"])
        assert new.token != "abcd"
        assert new.tasks == (Task(ASSET + "_1"),)


def test_tasks_for_another_asset_are_told_with_their_asset(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    write(path, DeploymentRecord(ABOUT, "abcd", (Task(ASSET, "active", 1),)))
    with pytest.raises(MismatchError, match=rf"another asset:.*{ASSET}\D.*delete {re.escape(str(path))}"):
        begin(path, ABOUT, [ASSET + "_other"])


@pytest.mark.parametrize("text", ["", "[]", '{"tasks": [{"colour": 1}]}', '{"tasks": []}'])
def test_a_damaged_record_starts_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(text)
    with pytest.raises(CorruptFileError, match=r"tasks\.json"):
        begin(path, ABOUT, [ASSET])


def test_one_process_at_a_time_deploys_a_forest(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    with only_one(path), pytest.raises(InputError, match="One process at a time"), only_one(path):
        pass
    with only_one(path):
        pass


# --- rows to compare


def test_rows_lie_at_the_thresholds_and_have_ties_and_all_classes(model: ForestModel) -> None:
    rows = probe_rows(model, np.random.default_rng(0))
    assert rows.shape == (ROWS, 6)
    assert (rows == np.floor(rows)).all()
    votes = model.votes(rows)
    tied = [sum(n == max(row) for n in row) > 1 for row in votes.tolist()]
    assert ties(votes).tolist() == tied
    assert 1 <= sum(tied) < ROWS
    assert set(votes.argmax(axis=1).tolist()) == {0, 1, 2}
    nearby = set()
    for tree in model.trees:
        inner = tree.feature >= 0
        for feature, limit in zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True):
            nearby |= {(feature, np.floor(limit)), (feature, np.floor(limit) + 1)}
    looked_at = {feature for feature, _ in nearby}
    assert all((f, row[f]) in nearby for row in rows.tolist() for f in looked_at)


def test_a_forest_of_one_tree_or_one_class_has_rows_without_ties() -> None:
    features, labels = made_forests.made_rows()
    one_tree = made_forests.model_of(made_forests.grown(features, labels, trees=1), 3)
    one_class = made_forests.model_of(made_forests.grown(features, labels * 0, trees=4), 1)
    for model in (one_tree, one_class):
        rows = probe_rows(model, np.random.default_rng(0))
        assert len(rows) == ROWS
        assert not ties(model.votes(rows)).any()


def test_what_is_expected_of_the_servers_without_confidence(model: ForestModel) -> None:
    rows = probe_rows(model, np.random.default_rng(0))
    told = local_prediction(model, rows, "none")
    assert told.codes.tolist() == (1 + model.votes(rows).argmax(axis=1)).tolist()
    assert set(told.confidence.tolist()) == {255}


@pytest.mark.parametrize(
    ("message", "confidence", "words"),
    [
        ("Classifier does not support output mode RAW.", "votes", "--confidence probability"),
        ("Cannot overwrite asset 'x'.", "votes", "--overwrite"),
        ("Cannot overwrite asset 'projects/p/assets/raw/crop_model'.", "votes", "--overwrite"),  # no mode
        ("Classifier asset 'projects/p/assets/model' not found.", "votes", "the same command"),
        ("Quota for assets exceeded.", "votes", "the same command"),
    ],
)
def test_each_refusal_has_a_way_out(message: str, confidence: Any, words: str) -> None:
    assert words in remedy_for(message, confidence)


def test_a_changed_file_is_found(deployment: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "forest.deployment.json"
    save_deployment(path, deployment)
    path.write_text(path.read_text().replace(f'"classes": {deployment.classes}', '"classes": 9'))
    with pytest.raises(CorruptFileError, match=r"digest.*cropmap forest deploy"):
        load_deployment(path)


def test_a_changed_record_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    write_sealed(path, DeploymentRecord(ABOUT, "abcd", (Task(ASSET, "active", 1),)).to_dict())
    path.write_text(path.read_text().replace("abcd", "abce"))
    with pytest.raises(CorruptFileError, match=r"tasks\.json is damaged.*digest"):
        begin(path, ABOUT, [ASSET])
