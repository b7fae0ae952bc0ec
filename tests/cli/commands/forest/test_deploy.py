"""`cropmap forest deploy`: a forest on its way to the emulator, and back as votes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import inference.deployment.deploy
import inference.deployment.probe
from gee_pipeline.earthengine.client.session import Session, connect
from gee_pipeline.earthengine.client.settings import URL_VARIABLE, EarthEngineSettings
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.forest.classifier_assets import classifier_request
from inference.deployment.deployment import load_deployment, voters
from inference.deployment.probe import ONE_PIXEL, probe_image
from inference.deployment.probe import ROWS as COMPARED
from inference.models.forest_model import save_forest
from tests.support import made_forests
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.rules import ClassifierRules
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_place import run_cropmap

pytestmark = pytest.mark.slow

PROJECT = "crop-maps"
FOLDER = f"projects/{PROJECT}/assets"
ASSET = f"{FOLDER}/forest"
CLASSES = 3
FEW = 9
"""Rows that are compared in most tests, for their speed."""


@pytest.fixture(scope="module")
def forest() -> Any:
    """A forest of scikit-learn whose leaves are mixed, so that votes and shares differ."""
    return made_forests.grown(*made_forests.made_rows(rows=200), trees=6, min_samples_leaf=9)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Path]]:
    folder = tmp_path_factory.mktemp("key")
    with Emulator(Archive([]), project=PROJECT) as emulator:
        yield emulator, emulator.key_file(folder)


@pytest.fixture
def server(running: tuple[Emulator, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The emulator without assets and tasks; nobody waits for it."""
    emulator, _ = running
    emulator.log.clear()
    emulator._scripts.clear()
    emulator.classifier_rules = ClassifierRules()
    emulator.tasks._tasks.clear()
    emulator.assets._assets.clear()
    monkeypatch.setenv(URL_VARIABLE, emulator.url)
    monkeypatch.setattr(inference.deployment.probe, "ROWS", FEW)
    monkeypatch.setattr(inference.deployment.probe, "TIES", FEW // 3)
    quick = partial(inference.deployment.deploy.deploy, poll_seconds=0, sleep=lambda seconds: None)
    monkeypatch.setattr(inference.deployment.deploy, "deploy", quick)
    yield emulator
    assert not emulator.errors


@pytest.fixture
def file(forest: Any, tmp_path: Path) -> Path:
    path = tmp_path / "forest.safetensors"
    save_forest(path, made_forests.model_of(forest, CLASSES))
    return path


@pytest.fixture
def deploy(server: Emulator, running: tuple[Emulator, Path], file: Path) -> Any:
    def run(*options: object, asset: str | None = ASSET, project: str = PROJECT) -> Result:
        place = [] if asset is None else ["--asset", asset]
        access = ["--project", project, "--service-account", running[1]]
        return run_cropmap(["forest", "deploy", file, *place, *access, *options])

    return run


def deployment_file(file: Path) -> Path:
    return file.parent / "forest.deployment.json"


def exports(server: Emulator) -> list[Any]:
    return server.log.of("export")


def server_says(server: Emulator, file: Path, key: Path, rows: Any) -> list[list[int]]:
    """Class and confidence of rows, asked for as a map would ask."""
    from inference.models.forest_model import load_forest

    model = load_forest(file)
    settings = EarthEngineSettings(project=PROJECT, service_account=key, url=server.url)
    session = connect(settings)
    found = voters(load_deployment(deployment_file(file), model), model)
    image = probe_image(rows, model.feature_names, found)
    return Fetcher(session).raster(image, ONE_PIXEL).reshape(len(rows), 2).astype(int).tolist()


def expected(forest: Any, rows: Any, confidence: str) -> list[list[int]]:
    """The same by scikit-learn's trees."""
    votes = made_forests.hard_votes(forest, rows, CLASSES)
    codes, percents = made_forests.winner(votes, len(forest.estimators_))
    if confidence == "probability":
        shares = [tree.predict_proba(rows) for tree in forest.estimators_]
        parts = sum(np.floor(10_000 * share + 0.5).astype(int) for share in shares)
        codes, percents = made_forests.winner(parts, 10_000 * len(shares))
    if confidence == "none":
        percents = [255] * len(rows)
    return [list(pair) for pair in zip(codes, percents, strict=True)]


@pytest.mark.parametrize("way", ["classifier", "table", "inline"])
@pytest.mark.parametrize("confidence", ["votes", "probability", "none"])
def test_a_deployed_forest_votes_as_scikit_learns_trees(
    deploy: Any,
    server: Emulator,
    running: tuple[Emulator, Path],
    forest: Any,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    confidence: str,
) -> None:
    small = partial(inference.deployment.deploy.table_chunks, limit=2_500)
    monkeypatch.setattr(inference.deployment.deploy, "table_chunks", small)
    result = deploy("--way", way, "--confidence", confidence, asset=None if way == "inline" else ASSET)
    assert result.exit_code == 0, result.output
    assert f"{FEW} made rows are classified alike there and here" in result.stdout
    found = json.loads(deployment_file(file).read_text())
    assert (found["way"], found["confidence"], found["classes"], found["trees"]) == (way, confidence, 3, 6)
    assert len(found["assets"]) == len(exports(server)) == len(server.assets)
    rows, _ = made_forests.made_rows(rows=20, seed=5)
    said = server_says(server, file, running[1], rows)
    assert said == expected(forest, rows, confidence)
    if way == "table":
        assert len(found["assets"]) > 2
        assert found["assets"] == [f"{ASSET}_{n + 1}" for n in range(len(found["assets"]))]
    if way == "classifier" and confidence == "probability":
        assert found["assets"] == [f"{ASSET}_class_1", f"{ASSET}_class_2", f"{ASSET}_class_3"]


@pytest.mark.parametrize("confidence", ["votes", "probability", "none"])
def test_the_comparison_asks_for_bands_of_one_type(
    deploy: Any, monkeypatch: pytest.MonkeyPatch, confidence: str
) -> None:
    """A GeoTIFF holds one: whether Earth Engine converts bands of several is not known."""
    types = []
    real = Fetcher.raster

    def raster(self: Fetcher, image: Any, *place: Any, **options: Any) -> Any:
        types.append(self.session.value(image.bandTypes(), profiled=False))
        return real(self, image, *place, **options)

    monkeypatch.setattr(Fetcher, "raster", raster)
    assert deploy("--confidence", confidence).exit_code == 0
    assert len(types[0]) == 2 * FEW
    assert {(t["precision"], t["max"]) for t in types[0].values()} == {("int", 255)}


def test_fifty_rows_and_more_are_compared_ties_among_them(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference.deployment.probe, "ROWS", COMPARED)
    found = json.loads(deploy("--json").stdout)["probe"]
    assert found["rows"] == COMPARED >= 50
    assert found["ties"] > 0


def test_the_size_that_is_checked_is_the_size_that_is_sent(
    deploy: Any, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def request(*args: Any, **options: Any) -> Any:
        made = classifier_request(*args, **options)
        told.append(made.bytes)
        return made

    monkeypatch.setattr(inference.deployment.deploy, "classifier_request", request)
    assert deploy().exit_code == 0
    assert {int(e.headers["content-length"]) for e in exports(server)} == set(told)


def test_the_same_command_again_starts_nothing_and_compares(deploy: Any, server: Emulator) -> None:
    assert deploy().exit_code == 0
    server.log.clear()
    again = deploy("--json")
    assert again.exit_code == 0, again.output
    assert not exports(server)
    assert json.loads(again.stdout)["probe"]["rows"] == FEW


def test_without_waiting_the_same_command_ends_what_it_began(
    deploy: Any, server: Emulator, file: Path
) -> None:
    first = deploy("--no-wait")
    assert first.exit_code == 0, first.output
    assert f"Earth Engine is writing {ASSET}" in first.stdout
    assert not deployment_file(file).exists()
    assert deploy().exit_code == 0
    assert deployment_file(file).exists()
    assert len(exports(server)) == 1


def kill_after(monkeypatch: pytest.MonkeyPatch, answers: int) -> None:
    """The process dies when Earth Engine has taken a request, before the answer is noted."""
    real, count = Session.start_export, iter(range(99))

    def start(self: Session, params: Any, request_id: str, kind: Any = "image") -> Any:
        answer = real(self, params, request_id, kind)
        if next(count) == answers:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(Session, "start_export", start)


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_no_task_is_started_twice_after_a_kill(
    deploy: Any, server: Emulator, file: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, answers)
        assert deploy("--confidence", "probability").exit_code == 130
    assert len(server.tasks) == answers + 1
    result = deploy("--confidence", "probability")
    assert result.exit_code == 0, result.output
    assert len(server.tasks) == 3
    assert not list(file.parent.glob("*.tasks.json"))


def test_an_answer_that_is_lost_starts_no_second_task(deploy: Any, server: Emulator) -> None:
    server.script("export", Answer.truncated(), Answer.error(503, "The service is unavailable."))
    assert deploy().exit_code == 0
    assert len(exports(server)) == 3
    assert len(server.tasks) == 1


def test_faults_that_pass_cost_nothing(deploy: Any, server: Emulator) -> None:
    busy = Answer.error(503, "The service is unavailable.")
    for kind in ("asset", "operation", "pixels"):
        server.script(kind, busy, Answer.error(429, "Too many requests."), busy)
    assert deploy().exit_code == 0


def test_a_service_that_stays_away_is_told_and_the_command_goes_on_later(
    deploy: Any, server: Emulator
) -> None:
    server.script("export", *[Answer.error(503, "The service is unavailable.")] * 10)
    result = deploy()
    assert result.exit_code == 2
    assert "did not answer a request in 10 tries" in result.stderr
    assert deploy().exit_code == 0
    assert len(server.tasks) == 1


def test_a_task_that_fails_is_told_in_earth_engines_words_and_started_again(
    deploy: Any, server: Emulator, file: Path
) -> None:
    server.script_tasks("Asset storage quota exceeded.")
    result = deploy()
    assert result.exit_code == 2
    assert f"{ASSET}: Asset storage quota exceeded." in result.stderr
    assert "the same command starts again what is missing" in result.stderr
    assert not deployment_file(file).exists()
    assert deploy().exit_code == 0
    assert len(server.tasks) == 2


def test_a_task_that_fails_for_earth_engines_own_reasons_is_started_again(
    deploy: Any, server: Emulator
) -> None:
    server.script_tasks("Internal error.", "Internal error.")
    result = deploy()
    assert result.exit_code == 0, result.output
    assert "(Internal error.) and is started again" in result.stderr
    assert len(server.tasks) == 3


def test_a_task_that_keeps_failing_is_given_up(deploy: Any, server: Emulator) -> None:
    server.script_tasks(*["Internal error."] * 3)
    assert deploy().exit_code == 2
    assert len(server.tasks) == 3


def test_a_cancelled_task_is_told(deploy: Any, server: Emulator) -> None:
    assert deploy("--no-wait").exit_code == 0
    for task in server.tasks:
        server.tasks.cancel(task.name)
    server.advance(2)
    result = deploy()
    assert result.exit_code == 2
    assert "it was cancelled at Earth Engine" in result.stderr
    assert deploy().exit_code == 0


def test_a_task_that_earth_engine_forgot_is_known_by_its_asset(deploy: Any, server: Emulator) -> None:
    assert deploy("--no-wait").exit_code == 0
    server.advance(2)
    server.tasks._tasks.clear()
    assert deploy().exit_code == 0
    assert len(exports(server)) == 1


def test_a_forgotten_task_without_an_asset_is_started_again(deploy: Any, server: Emulator) -> None:
    assert deploy("--no-wait").exit_code == 0
    server.tasks._tasks.clear()
    server.tasks._requests.clear()
    first = deploy()
    assert first.exit_code == 2
    assert "forgot the task" in first.stderr
    assert deploy().exit_code == 0


def test_an_asset_that_is_gone_before_the_comparison_is_written_again(deploy: Any, server: Emulator) -> None:
    server.script("pixels", Answer.error(400, "Image.classify: no."))
    assert deploy().exit_code == 2  # written, and not compared
    server.assets.delete(ASSET)
    result = deploy()
    assert result.exit_code == 0, result.output
    assert len(exports(server)) == 2


# --- assets


def test_an_asset_that_exists_is_replaced_only_with_overwrite(
    deploy: Any, server: Emulator, file: Path
) -> None:
    assert deploy().exit_code == 0
    deployment_file(file).unlink()
    server.log.clear()
    refused = deploy()
    assert refused.exit_code == 2
    assert f"{ASSET} exists already (classifier)" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert not exports(server)
    assert deploy("--overwrite").exit_code == 0


def test_an_asset_that_appears_meanwhile_is_not_replaced_either(deploy: Any, server: Emulator) -> None:
    server.script_tasks(f"Cannot overwrite asset '{ASSET}'.")
    result = deploy()
    assert result.exit_code == 2
    assert "Choose another name with --asset, or replace what is there with --overwrite" in result.stderr


def test_a_missing_folder_is_said_and_nothing_sent(deploy: Any, server: Emulator) -> None:
    result = deploy(asset=f"{FOLDER}/forests/county")
    assert result.exit_code == 2
    assert f"earthengine create folder {FOLDER}/forests" in result.stderr
    assert not exports(server)


def test_an_asset_within_a_folder(deploy: Any, server: Emulator) -> None:
    server.assets.create_folder(f"{FOLDER}/forests")
    assert deploy(asset=f"{FOLDER}/forests/county").exit_code == 0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("asset", "Permission 'earthengine.assets.get' denied on resource 'x' (or it may not exist)."),
        ("export", "Permission 'earthengine.assets.create' denied on resource 'x' (or it may not exist)."),
    ],
)
def test_a_lack_of_permission_is_told_with_the_role_that_is_needed(
    deploy: Any, server: Emulator, kind: str, message: str
) -> None:
    server.script(kind, Answer.error(403, message))
    result = deploy()
    assert result.exit_code == 2
    assert f"lack a permission in the project {PROJECT}" in result.stderr
    assert "Earth Engine Resource Writer" in result.stderr
    assert deploy().exit_code == 0


def test_another_projects_assets_are_refused(deploy: Any) -> None:
    result = deploy(asset="projects/elsewhere/assets/forest")
    assert result.exit_code == 2
    assert "elsewhere" in result.stderr


# --- what the servers cannot do


def test_a_request_that_the_server_finds_too_large(deploy: Any, server: Emulator) -> None:
    server.script("export", Answer.error(400, "Request payload size exceeds the limit: 10485760 bytes."))
    result = deploy("--confidence", "probability")
    assert result.exit_code == 2
    size = exports(server)[0].headers["content-length"]
    assert f"{int(size):,} bytes" in result.stderr
    assert "Request payload size exceeds the limit: 10485760 bytes" in result.stderr
    for option in ("--way table", "--confidence votes", "--trees", "--max-leaf-nodes"):
        assert option in result.stderr


def test_nothing_is_sent_of_a_forest_that_is_too_large(
    deploy: Any, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "inference.deployment.asset_tasks.REQUEST_LIMIT", 2_000
    )  # the exact size of each request
    result = deploy("--confidence", "probability")
    assert result.exit_code == 2
    assert not exports(server)
    assert not list(server.tasks)


@pytest.mark.parametrize("way", ["classifier", "table", "inline"])
def test_single_votes_that_the_service_does_not_tell_have_a_way_out(
    deploy: Any, server: Emulator, file: Path, way: str
) -> None:
    server.classifier_rules = ClassifierRules(refused_modes=frozenset({"RAW"}))
    asset = None if way == "inline" else ASSET
    result = deploy("--way", way, asset=asset)
    assert result.exit_code == 2
    assert "RAW is not supported" in result.stderr
    assert "--confidence probability" in result.stderr
    assert not deployment_file(file).exists()
    after = deploy("--way", way, "--confidence", "probability", "--overwrite", asset=asset)
    assert after.exit_code == 0, after.output


def test_an_asset_that_forgets_its_mode_is_found_out(deploy: Any, server: Emulator, file: Path) -> None:
    server.classifier_rules = ClassifierRules(mode_is_kept=False)
    result = deploy()
    assert result.exit_code == 2
    assert "does not classify with them" in result.stderr
    assert "--way table" in result.stderr
    assert not deployment_file(file).exists()


def test_shares_of_an_asset_that_forgets_its_mode_are_found_out(deploy: Any, server: Emulator) -> None:
    server.classifier_rules = ClassifierRules(mode_is_kept=False)
    result = deploy("--confidence", "probability")
    assert result.exit_code == 2
    assert "--way table" in result.stderr


def test_ties_that_earth_engines_own_vote_decides_otherwise_are_told(deploy: Any, server: Emulator) -> None:
    server.classifier_rules = ClassifierRules(ties="largest")
    result = deploy("--confidence", "none", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["probe"]
    assert found["ties"] == found["ties_elsewhere"] > 0
    assert "vote gives" in deploy("--confidence", "none").stdout


def test_other_trees_on_the_servers_are_found_out(deploy: Any, server: Emulator, file: Path) -> None:
    other = made_forests.grown(*made_forests.made_rows(rows=200, seed=9), trees=6, max_depth=3)
    good = file.read_bytes()
    save_forest(file, made_forests.model_of(other, CLASSES))
    assert deploy(asset=f"{FOLDER}/other").exit_code == 0
    file.write_bytes(good)
    assert deploy().exit_code == 0
    server.assets.put(ASSET, server.assets.classifier(f"{FOLDER}/other"))
    result = deploy()
    assert result.exit_code == 2
    assert f"of {FEW} made rows differ" in result.stderr
    assert ASSET in result.stderr
    assert deploy("--overwrite").exit_code == 0


# --- the command


def test_a_dry_run_needs_no_account_and_sends_nothing(server: Emulator, file: Path) -> None:
    result = run_cropmap(["forest", "deploy", file, "--dry-run", "--confidence", "probability"])
    assert result.exit_code == 0, result.output
    assert "6 trees of" in result.stdout
    assert result.stdout.count("fits") == 3
    as_json = run_cropmap(["forest", "deploy", file, "--dry-run", "--json"])
    told = json.loads(as_json.stdout)
    assert told["trees"] == 6
    assert told["fits"] == {"classifier": True, "table": True, "inline": True}
    assert not len(server.log)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--asset projects/PROJECT/assets/NAME"),
        (["--way", "table"], "--asset projects/PROJECT/assets/NAME"),
        (["--way", "inline", "--asset", ASSET], "omit --asset"),
        (["--asset", "forest"], "Got 'forest'"),
        (["--way", "pigeon"], "--way"),
        (["--confidence", "high"], "--confidence"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(
    server: Emulator, file: Path, options: list[str], words: str
) -> None:
    result = run_cropmap(["forest", "deploy", file, *options])
    assert result.exit_code == 2
    assert words in result.stderr
    assert not len(server.log)


def test_what_is_no_forest_is_refused(server: Emulator, tmp_path: Path) -> None:
    result = run_cropmap(["forest", "deploy", tmp_path / "nothing.safetensors", "--asset", ASSET])
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    (tmp_path / "text.safetensors").write_text("trees")
    result = run_cropmap(["forest", "deploy", tmp_path / "text.safetensors", "--asset", ASSET])
    assert result.exit_code == 2
    assert "cannot be read as safetensors" in result.stderr
