"""`cropmap ee` against the emulator, and without any access."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
from click.testing import Result

from cli.commands import ee as command
from gee_pipeline.earthengine.selfcheck import access_check
from gee_pipeline.errors import AccessError
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_place import archive, run_cropmap

REFUSALS = {
    "unregistered": (
        403,
        "Project 123 is not registered to use Earth Engine. Visit "
        "https://console.cloud.google.com/earth-engine/configuration?project=crop-maps to register.",
        "is not registered for Earth Engine. Register it at",
    ),
    "no permission": (
        403,
        "Permission 'earthengine.computations.create' denied on resource 'projects/crop-maps'.",
        "Ask an owner of the project for the roles",
    ),
    "API disabled": (
        403,
        "Google Earth Engine API has not been used in project 123 before or it is disabled.",
        "Enable it at",
    ),
    "quota gone": (
        429,
        "Your usage exceeded the custom quota for 'earthengine.googleapis.com/daily_eecu_usage_time', "
        "which is adjustable by your administrator in the Google Cloud console.",
        "quota of the project crop-maps is used up",
    ),
}
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobody_is_logged_in")]

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator(archive()) as server:
        yield server
        assert server.errors == []


@pytest.fixture
def server(shared: Emulator) -> Iterator[Emulator]:
    shared.log.clear()
    yield shared
    shared.rule = None


@pytest.fixture
def run(server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CROPMAP_EE_URL", server.url)
    key = server.key_file(tmp_path)

    def run(*arguments: str, key: Path | None = key) -> Result:
        access = ["--service-account", key] if key else []
        return run_cropmap(["ee", *arguments, *access])

    return run


def _steps(result: Result) -> dict[str, bool]:
    return {step["name"]: step["passed"] for step in json.loads(result.stdout)["steps"]}


# ---- check ----


def test_a_check_ticks_every_step(run: Run, server: Emulator, tmp_path: Path) -> None:
    result = run("check")
    assert result.exit_code == 0, result.output
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["✓", "credentials"],
        ["✓", "project"],
        ["✓", "service"],
        ["✓", "composite"],
        ["✓", "quota"],
    ]
    texts = {name: text for _, name, text in lines}
    key = tmp_path / "service-account.json"
    assert texts["credentials"] == f"service account cropmap@crop-maps.iam.gserviceaccount.com, key {key}"
    assert texts["project"] == "crop-maps"
    assert texts["service"] == f"{server.url} answers"
    assert texts["quota"] == "no restriction"
    # one scene over all sixteen pixels, in the first of the two bins
    assert "16 of 32 observed" in texts["composite"]
    assert result.stderr == ""


def test_a_check_as_json_has_the_same_steps(run: Run) -> None:
    result = run("check", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["passed"] is True
    assert _steps(result) == dict.fromkeys(("credentials", "project", "service", "composite", "quota"), True)


def test_a_check_costs_next_to_nothing(run: Run, server: Emulator) -> None:
    run("check")
    (pixels,) = server.log.of("pixels")
    assert pixels.grid is not None
    assert (pixels.grid.width, pixels.grid.height, len(pixels.bands or ())) == (4, 4, 20)


def test_restricted_mode_is_told(run: Run, server: Emulator) -> None:
    server.rule = lambda request: Answer.restricted() if request.kind == "pixels" else None
    result = run("check")
    assert result.exit_code == 0
    assert "restricted mode" in result.stdout.splitlines()[-1]


def test_without_credentials_a_check_names_the_ways_to_get_them(run: Run, server: Emulator) -> None:
    result = run("check", key=None)
    assert result.exit_code == 2
    (line,) = result.stdout.splitlines()
    assert line.startswith("✗ credentials")
    assert "--service-account" in line
    assert "--source" in line
    assert list(server.log) == []


def test_a_key_that_cannot_be_read_is_named(run: Run, tmp_path: Path) -> None:
    key = tmp_path / "no-key.json"
    key.write_text("{}")
    result = run("check", key=key)
    assert result.exit_code == 2
    assert str(key) in result.stdout


def test_stored_credentials_without_project_ask_for_one(run: Run, tmp_path: Path) -> None:
    _store(tmp_path / "home", {"refresh_token": "secret"})
    result = run("check", "--json", key=None)
    assert result.exit_code == 2
    assert _steps(result) == {"credentials": True, "project": False}
    assert "--project" in json.loads(result.stdout)["steps"][-1]["text"]
    assert "secret" not in result.output


def test_a_wrong_project_is_named(run: Run) -> None:
    result = run("check", "--project", "nobodys")
    assert result.exit_code == 2
    assert result.stdout.splitlines()[-1].startswith("✗ service      The project nobodys does not exist, or")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("kind", ["algorithms", "value", "pixels"])
@pytest.mark.parametrize("refusal", list(REFUSALS))
def test_each_refusal_is_one_line_with_its_remedy(
    run: Run, server: Emulator, kind: str, refusal: str
) -> None:
    status, said, remedy = REFUSALS[refusal]
    server.rule = lambda request: Answer.error(status, said) if request.kind == kind else None
    result = run("check")
    assert result.exit_code == 2
    last = result.stdout.splitlines()[-1]
    assert last.startswith(f"✗ {'composite' if kind == 'pixels' else 'service'}")
    assert remedy in last
    assert result.stderr == ""


# ---- selfcheck ----


def test_a_selfcheck_agrees_and_is_recorded(run: Run, server: Emulator, tmp_path: Path) -> None:
    out = tmp_path / "record.json"
    result = run("selfcheck", "--out", str(out))
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["agrees"] is True
    assert result.stdout.count("✓") == len(record["outcomes"]) > 20
    assert f"{len(record['outcomes'])} of {len(record['outcomes'])} answers as assumed." in result.stdout
    assert str(out) in result.stdout
    assert record["spent"]["eecu_seconds"] < 10
    assert "crop-maps" not in out.read_text(encoding="utf-8")


def test_a_differing_answer_is_shown_and_exits_with_2(run: Run, server: Emulator) -> None:
    server.rule = lambda request: Answer.changed(_doubled) if _is_npy(request) else None
    result = run("selfcheck")
    assert result.exit_code == 2
    assert "✗" in result.stdout
    assert "DIFFERS" in result.stdout
    assert "expected" in result.stdout
    assert "differ, see docs/earth_engine_semantics.md" in result.stdout


def test_a_selfcheck_that_cannot_be_recorded_asks_nothing(run: Run, server: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("selfcheck", "--out", str(tmp_path / "file" / "record.json"))
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: No file can be written to")
    assert (result.stdout, len(server.log)) == ("", 0)


def test_a_selfcheck_as_json_is_the_record_alone(run: Run) -> None:
    result = run("selfcheck", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["agrees"] is True


@pytest.mark.parametrize("refusal", list(REFUSALS))
def test_a_selfcheck_without_access_is_one_message(run: Run, server: Emulator, refusal: str) -> None:
    status, said, remedy = REFUSALS[refusal]
    server.rule = lambda request: Answer.error(status, said) if request.kind == "value" else None
    result = run("selfcheck")
    assert result.exit_code == 2
    assert remedy in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


# ---- login ----


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ee.Authenticate was asked; it writes a token, like the real one."""
    calls: list[dict[str, Any]] = []

    def authenticate(**options: Any) -> None:
        calls.append(options)
        ee.oauth.write_private_json(ee.oauth.get_credentials_path(), {"refresh_token": "r"})

    monkeypatch.setattr(command, "_a_person_is_there", lambda: True)
    monkeypatch.setattr(ee, "Authenticate", authenticate)
    return calls


def test_a_login_says_what_to_do_next(asked: list[dict[str, Any]]) -> None:
    result = run_cropmap(["ee", "login", "--auth-mode", "notebook"])
    assert result.exit_code == 0, result.output
    assert asked == [{"auth_mode": "notebook", "force": False}]
    assert "cropmap ee check --project YOUR-PROJECT" in result.stdout


def test_a_login_remembers_its_project(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    result = run_cropmap(["ee", "login", "--project", "my-project", "--force"])
    assert asked == [{"auth_mode": None, "force": True}]
    assert result.stdout.splitlines()[-1] == "Next: cropmap ee check"
    stored = json.loads((tmp_path / "home/.config/earthengine/credentials").read_text(encoding="utf-8"))
    assert stored == {"refresh_token": "r", "project": "my-project"}
    settings = access_check.EarthEngineSettings(url="http://127.0.0.1:1")
    assert access_check.find_access(settings).project == "my-project"


def test_a_login_is_refused_where_nobody_is(asked: list[dict[str, Any]], monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "_a_person_is_there", lambda: False)
    result = run_cropmap(["ee", "login"])
    assert result.exit_code == 2
    assert "--service-account" in result.stderr
    assert asked == []


@pytest.mark.parametrize(
    "error",
    [Exception("gcloud command not found."), ee.EEException("Unknown auth_mode"), OSError("no network")],
)
def test_a_login_that_fails_names_another_way(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(**options: Any) -> None:
        raise error

    monkeypatch.setattr(ee, "Authenticate", fails)
    result = run_cropmap(["ee", "login"])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: The login failed: {error}")
    assert "--auth-mode" in result.stderr


def test_a_bug_in_a_login_is_not_hidden(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ee, "Authenticate", fails)
    result = run_cropmap(["ee", "login"])
    assert result.exit_code == 2
    assert "ZeroDivisionError" in result.stderr


def test_a_terminal_without_ticks_gets_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        encoding = "cp1252"

    monkeypatch.setattr(command.sys, "stdout", Old())
    assert (command._tick(True), command._tick(False)) == ("ok", "!!")


def test_nobody_types_into_a_job() -> None:
    with pytest.raises(AccessError, match="asks a person"):
        access_check.log_in(None, None, interactive=False)


def _store(home: Path, content: dict[str, Any]) -> None:
    path = home / ".config/earthengine/credentials"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def _is_npy(request: Any) -> bool:
    return request.kind == "pixels" and (request.body or {}).get("fileFormat") == "NPY"


def _doubled(answer: bytes) -> bytes:
    """An NPY answer with every value doubled."""
    import io

    table = np.load(io.BytesIO(answer), max_header_size=10**6)
    for name in table.dtype.names:
        table[name] *= 2
    stream = io.BytesIO()
    np.save(stream, table)
    return stream.getvalue()
