"""Weights from a server on this computer that can misbehave, through the code that users run."""

import hashlib
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cli.commands.data import data
from gee_pipeline.errors import CorruptFileError, InputError
from tests.support.fake_hub import FakeHub, serve
from training.downloads.hub import DownloadError
from training.pretrained import known
from training.pretrained.fetch import WebAddress, fetch_weights

CONTENT = bytes(range(256)) * 800
PATH = "default_model.pt"


@pytest.fixture
def hub():
    with serve(FakeHub({PATH: CONTENT})) as server:
        yield server


@pytest.fixture
def weights(monkeypatch):
    digest = hashlib.sha256(CONTENT).hexdigest()
    made = replace(known.KNOWN["presto"], size=len(CONTENT), sha256=digest)
    monkeypatch.setitem(known.KNOWN, "presto", made)
    return made


def at(hub, path=PATH):
    return WebAddress(f"{hub.url}/store/{path}", attempts=3, wait=0.01)


def spans(hub):
    return [span for _, span in hub.downloads]


def test_weights_are_fetched_once(hub, weights, tmp_path):
    found = fetch_weights(weights, tmp_path / "new", address=at(hub))
    assert (tmp_path / "new" / "presto.pt").read_bytes() == CONTENT
    assert (found.fetched, found.licence, found.sha256) == (True, "MIT", weights.sha256)
    assert not fetch_weights(weights, tmp_path / "new", address=at(hub)).fetched
    assert spans(hub) == ["bytes=0-"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_resumed(ranges, hub, weights, tmp_path):
    hub.break_after, hub.ranges = [100_000, 70_000 if ranges else 170_000], ranges
    steps = []
    fetch_weights(weights, tmp_path, address=at(hub), progress=steps.append)
    assert (tmp_path / "presto.pt").read_bytes() == CONTENT
    assert spans(hub)[1:] == ["bytes=65536-", "bytes=131072-"]  # whole blocks of what came
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == len(CONTENT)


def test_the_next_run_goes_on_where_the_last_gave_up(hub, weights, tmp_path):
    hub.break_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="the same command continues"):
        fetch_weights(weights, tmp_path, address=at(hub))
    assert not (tmp_path / "presto.pt").exists()
    before = len(hub.downloads)
    hub.break_after = []
    fetch_weights(weights, tmp_path, address=at(hub))
    (span,) = spans(hub)[before:]
    assert span == "bytes=65536-"
    assert (tmp_path / "presto.pt").read_bytes() == CONTENT


def test_other_bytes_are_not_kept(hub, weights, tmp_path):
    hub.altered[PATH] = CONTENT[:-1] + b"!"
    with pytest.raises(CorruptFileError, match="not what was published"):
        fetch_weights(weights, tmp_path, address=at(hub))
    assert not list(tmp_path.glob("presto.pt*"))


def test_a_file_of_the_same_name_is_not_overwritten(hub, weights, tmp_path):
    (tmp_path / "presto.pt").write_bytes(b"mine")
    with pytest.raises(CorruptFileError, match="move it away"):
        fetch_weights(weights, tmp_path, address=at(hub))
    assert (tmp_path / "presto.pt").read_bytes() == b"mine"
    assert not hub.asked


def test_a_place_without_the_file_says_to_name_another(hub, weights, tmp_path):
    nowhere = WebAddress(f"{hub.url}/nowhere?token=secret", attempts=2, wait=0.01)
    with pytest.raises(InputError, match=r"answered 404\. Name another place .*--address") as failure:
        fetch_weights(weights, tmp_path, address=nowhere)
    assert "secret" not in str(failure.value)


def test_a_server_that_is_not_there_is_a_download_to_continue(weights, tmp_path):
    with pytest.raises(DownloadError, match="HTTPS_PROXY"):
        fetch_weights(weights, tmp_path, address=WebAddress("http://127.0.0.1:9/w.pt", attempts=2, wait=0.01))


def run(*words):
    return CliRunner().invoke(data, ["weights", *map(str, words)], catch_exceptions=False)


def test_the_licence_is_shown_before_anything_is_asked_for(hub, weights, tmp_path):
    hub.altered[PATH] = b"?" * len(CONTENT)
    with pytest.raises(CorruptFileError):
        run("presto", "--to", tmp_path, "--address", at(hub).url)
    del hub.altered[PATH]
    result = run("presto", "--to", tmp_path, "--address", at(hub).url, "--quiet")
    assert result.stderr.splitlines()[0] == weights.terms
    assert "licence MIT, copyright (c) 2024 Presto Authors" in weights.terms
    assert result.stdout == f"Weights: {tmp_path / 'presto.pt'}, {weights.title}, licence MIT\n"
    again = run("presto", "--to", tmp_path, "--address", at(hub).url, "--json", "--quiet")
    assert json.loads(again.stdout) == {
        "path": str(tmp_path / "presto.pt"),
        "name": "presto",
        "sha256": weights.sha256,
        "licence": "MIT",
        "copyright": "(c) 2024 Presto Authors",
        "fetched": False,
    }


def test_the_licence_comes_before_the_first_request(hub, weights, tmp_path, monkeypatch):
    """Even where the server never answers."""
    shown = []
    monkeypatch.setattr("cli.commands.data_weights.click.echo", lambda text, **options: shown.append(text))

    def stream(self, start):
        assert shown == [weights.terms]
        return iter([CONTENT])

    monkeypatch.setattr(WebAddress, "_stream", stream)
    run("presto", "--to", tmp_path, "--quiet")
    assert shown[0] == weights.terms
