"""The questions of the selfcheck against the emulator, against a wrong one, and recorded."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gee_pipeline.earthengine.client.session import connect, disconnect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.selfcheck.comparison import (
    READERS,
    Outcome,
    SelfcheckReport,
    replay,
    run_selfcheck,
    same,
)
from gee_pipeline.earthengine.selfcheck.image_experiments import EXPERIMENTS
from gee_pipeline.errors import AccessError, EarthEngineError
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.evaluate import evaluate, image_pixels
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.server import Emulator

pytestmark = pytest.mark.slow

SEMANTICS = Path(__file__).resolve().parents[4] / "docs" / "earth_engine_semantics.md"
Bands = list[tuple[str, np.ndarray, np.ndarray]]

SOME = EXPERIMENTS[:60]
"""Questions for tests of how they are asked: all of them take the client many seconds to write."""


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Callable[..., EarthEngineSettings]]:
    """Settings for a new emulator with some part replaced."""
    servers: list[Emulator] = []

    def start(**parts: Any) -> EarthEngineSettings:
        servers.append(Emulator(Archive(), **parts).__enter__())
        return EarthEngineSettings(service_account=servers[-1].key_file(tmp_path), url=servers[-1].url)

    start.servers = servers  # type: ignore[attr-defined]
    yield start
    disconnect()
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> SelfcheckReport:
    with Emulator(Archive()) as server:
        key = server.key_file(tmp_path_factory.mktemp("key"))
        found = run_selfcheck(EarthEngineSettings(service_account=key, url=server.url))
        assert server.errors == []
    disconnect()
    return found


@pytest.mark.parametrize("place", range(len(EXPERIMENTS)), ids=lambda i: EXPERIMENTS[i].question)
def test_the_emulator_answers_as_assumed(record: SelfcheckReport, place: int) -> None:
    outcome = record.outcomes[place]
    assert outcome.answer == outcome.expected


def test_every_experiment_is_an_assumption_of_the_documents() -> None:
    known = set(re.findall(r"\bS\d\d\b", SEMANTICS.read_text(encoding="utf-8")))
    assert {experiment.id for experiment in EXPERIMENTS} <= known


def test_every_experiment_is_asked_in_a_known_way() -> None:
    assert {experiment.read for experiment in EXPERIMENTS} == set(READERS)


def test_no_question_is_asked_twice() -> None:
    questions = [experiment.question for experiment in EXPERIMENTS]
    assert len(questions) == len(set(questions))


def test_a_record_holds_questions_and_answers_but_not_who_asked(record: SelfcheckReport) -> None:
    text = json.dumps(record.to_dict())
    values = json.loads(text)
    assert values["agrees"] is True
    assert {"id", "question", "read", "expression", "grid", "expected", "answer", "agrees"} == set(
        values["outcomes"][0]
    )
    assert values["outcomes"][0]["expression"]["values"]
    assert "crop-maps" not in text
    assert values["spent"]["requests"] >= len(EXPERIMENTS)
    assert 0 < values["spent"]["eecu_seconds"] < 10


def test_a_median_that_takes_the_lower_of_two_is_reported(
    asked: Callable[..., EarthEngineSettings],
) -> None:
    def lower(image: Any, grid: Grid) -> Bands:
        return [
            (name, np.where(values == 6.5, 3, values), mask)
            for name, values, mask in image_pixels(image, grid)
        ]

    outcomes = run_selfcheck(asked(image_pixels=lower), SOME).outcomes
    assert [o.question for o in outcomes if not o.agrees] == [
        "The median of an even number is the mean of the middle two"
    ]
    assert not SelfcheckReport("", "", "", outcomes, None).agrees  # type: ignore[arg-type]


def test_a_sort_by_number_is_reported(asked: Callable[..., EarthEngineSettings]) -> None:
    def by_number(expression: dict[str, Any], archive: Archive) -> Any:
        value = evaluate(expression, archive)
        return ["", "1", "2", "10"] if value == ["", "1", "10", "2"] else value

    differing = [o for o in run_selfcheck(asked(evaluate=by_number), SOME).outcomes if not o.agrees]
    assert [o.answer for o in differing] == [["", "1", "2", "10"]]


def test_a_refused_question_differs_and_the_others_go_on(asked: Callable[..., EarthEngineSettings]) -> None:
    settings = asked()
    asked.servers[0].script("value", Answer.error(400, "Collection.sort: no."))  # type: ignore[attr-defined]
    outcomes = run_selfcheck(settings, SOME).outcomes
    assert [o.answer for o in outcomes if not o.agrees] == [{"refused": "Collection.sort: no."}]
    assert len(outcomes) == len(SOME)


def test_a_server_that_stumbles_is_asked_again(
    asked: Callable[..., EarthEngineSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gee_pipeline.earthengine.selfcheck.comparison.time.sleep", lambda seconds: None)
    settings = asked()
    asked.servers[0].script("pixels", Answer.error(503, "busy"), Answer.error(429, "Too many"))  # type: ignore[attr-defined]
    assert run_selfcheck(settings, SOME).agrees


def test_a_server_that_is_down_is_an_error(
    asked: Callable[..., EarthEngineSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gee_pipeline.earthengine.selfcheck.comparison.time.sleep", lambda seconds: None)
    settings = asked()
    asked.servers[0].rule = lambda request: Answer.error(503, "busy") if request.kind == "pixels" else None  # type: ignore[attr-defined]
    with pytest.raises(EarthEngineError, match="busy"):
        run_selfcheck(settings, SOME)


def test_access_that_ends_is_an_error_and_no_answer(asked: Callable[..., EarthEngineSettings]) -> None:
    settings = asked()
    refusal = Answer.error(403, "Permission 'earthengine.computations.create' denied.")
    asked.servers[0].rule = lambda request: refusal if request.kind == "pixels" else None  # type: ignore[attr-defined]
    with pytest.raises(AccessError, match="roles"):
        run_selfcheck(settings, SOME)


def test_outcomes_are_told_as_they_come(asked: Callable[..., EarthEngineSettings]) -> None:
    told: list[Outcome] = []
    record = run_selfcheck(asked(), EXPERIMENTS[:3], told.append)
    assert tuple(told) == record.outcomes


def test_a_record_is_replayed_against_another_server(
    record: SelfcheckReport, asked: Callable[..., EarthEngineSettings]
) -> None:
    stored = json.loads(json.dumps(record.to_dict()))
    assert all(outcome.agrees for outcome in replay(stored, connect(asked())))


def test_a_replay_finds_the_answer_that_the_recorded_server_gave_otherwise(
    record: SelfcheckReport, asked: Callable[..., EarthEngineSettings]
) -> None:
    stored = json.loads(json.dumps(record.to_dict()))
    stored["outcomes"][0]["answer"] = {"a": [[3, 3]]}
    differing = [outcome for outcome in replay(stored, connect(asked())) if not outcome.agrees]
    assert [(o.question, o.expected) for o in differing] == [(EXPERIMENTS[0].question, {"a": [[3, 3]]})]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1.0, 1.0000001, True),
        (1.0, 1.001, False),
        (0, 1e-12, True),
        (1, True, False),
        ("1", 1, False),
        (None, None, True),
        (None, 0, False),
        ([1, 2], [1, 2], True),
        ([1, 2], [1], False),
        ([1, 2], [2, 1], False),
        ({"a": [1]}, {"a": [1.0]}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
def test_answers_are_compared_as_values(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is same(other, one) is equal
