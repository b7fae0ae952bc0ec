"""Passwords, tokens and signatures of addresses stay in the process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.stac_server import Server, refuse, serving
from tests.support.tiny_place import Place

pytestmark = pytest.mark.slow

SECRETS = (b"PASSWORD", b"TOKEN", b"SIGNATURE")


@pytest.fixture
def served(place: Place) -> Iterator[Server]:
    """The scenes of a place on a server that wants signed links."""
    with serving() as server:
        for path in place.folder.rglob("*"):
            if path.suffix == ".tif":
                server.answers[f"/{path.relative_to(place.folder).as_posix()}"] = path.read_bytes()
            elif path.suffix == ".json":
                values = json.loads(path.read_text(encoding="utf-8"))
                for asset in values.get("assets", {}).values():
                    asset["href"] += "?sig=SIGNATURE&se=2"
                server.answers[f"/{path.relative_to(place.folder).as_posix()}"] = values
        yield server


def source(server: Server, token: str = "TOKEN1") -> str:
    return f"{server.url.replace('://', '://me:PASSWORD@')}/catalog.json?token={token}"


def assert_nothing_leaked(run: Path, result: Result) -> None:
    told = {"stdout": result.stdout.encode(), "stderr": result.stderr.encode()}
    written = {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert len(written) > 4
    assert [name for name, content in (told | written).items() if any(s in content for s in SECRETS)] == []


def test_a_map_of_a_source_with_secrets_keeps_none_and_continues_with_a_new_token(
    served: Server, place: Place, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = place.predict(run, source=source(served))
    assert first.exit_code == 0, first.stderr
    assert any("sig=SIGNATURE" in asked.path for asked in served.asked)
    assert "token=TOKEN1" in next(asked.path for asked in served.asked)
    assert_nothing_leaked(run, first)
    for text in (first.stderr, (run / "run.toml").read_text(encoding="utf-8")):
        assert "give --source again" in text
    known = json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))
    assert known["source"]["href"] == f"{served.url}/catalog.json"
    again = place.predict(run, source=source(served, "TOKEN2"))
    assert again.exit_code == 0, again.stderr
    assert "Continuing the run" in again.stderr
    assert_nothing_leaked(run, again)


def test_a_scene_that_fails_is_named_without_its_signature(
    served: Server, place: Place, tmp_path: Path
) -> None:
    for path in served.answers:
        if path.endswith(".tif"):
            served.answers[path] = refuse(403)
    result = place.export(tmp_path / "run", source=source(served))
    assert result.exit_code == 2
    assert ".tif" in result.stderr
    assert "403" in (tmp_path / "run" / "ledger.jsonl").read_text(encoding="utf-8")
    assert_nothing_leaked(tmp_path / "run", result)


@pytest.mark.parametrize("status", [401, 500])
def test_a_catalog_that_fails_is_named_without_its_token(place: Place, tmp_path: Path, status: int) -> None:
    with serving() as server:
        server.answers["/catalog.json"] = refuse(status)
        result = place.export(tmp_path / "run", source=source(server))
    assert result.exit_code == 2
    assert f"{server.url}/catalog.json cannot be read" in result.stderr
    assert not any(secret.decode() in result.stderr for secret in SECRETS)


def test_the_address_of_a_mask_is_kept_so_it_has_no_secrets(place: Place, tmp_path: Path) -> None:
    result = place.predict(tmp_path / "run", cropland_mask="https://host/mask.tif?sig=SIGNATURE")
    assert result.exit_code == 2
    assert "Save the file here" in result.stderr
    assert "SIGNATURE" not in result.stderr
