"""Whoever uses `ee` besides cropmap finds it as it was."""

import threading
from collections.abc import Iterator
from pathlib import Path

import ee
import pytest
from ee import _state

from gee_pipeline.earthengine.client import client_state
from gee_pipeline.earthengine.client.session import Session, connect, disconnect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from tests.support.ee_emulator.server import Emulator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(None, evaluate=lambda *asked: 7, image_pixels=lambda *asked: None) as found:
        yield found


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory, server: Emulator) -> Path:
    return server.key_file(tmp_path_factory.mktemp("key"))


@pytest.fixture
def user(server: Emulator, key_file: Path) -> Iterator[_state.EEState]:
    """The state of a notebook that has logged in by itself."""
    ee.Reset()
    ee.Initialize(ee.ServiceAccountCredentials(None, str(key_file)), url=server.url, project=server.project)
    ee.data.setMaxRetries(4)
    ee.data.setWorkloadTag("thesis")
    yield _state.get_state()
    ee.Reset()


@pytest.fixture
def session(server: Emulator, key_file: Path) -> Iterator[Session]:
    disconnect()
    server.log.clear()
    server.rule = None
    yield connect(EarthEngineSettings(service_account=key_file, url=server.url))
    disconnect()


def untouched(user: _state.EEState) -> bool:
    return _state.get_state() is user and (user.max_retries, user.workload_tag.get()) == (4, "thesis")


def test_the_session_of_the_user_stays_in_place(user: _state.EEState, session: Session) -> None:
    assert untouched(user)
    assert session.value(ee.Number(3)) == 7
    assert untouched(user)
    disconnect()
    assert untouched(user)


def test_requests_carry_the_tag_of_their_own_session(
    server: Emulator, user: _state.EEState, session: Session
) -> None:
    session.value(ee.Number(1), profiled=False)
    session.label("cropmap-0123456789abcdef")
    session.value(ee.Number(2), profiled=False)
    ee.Number(3).getInfo()  # the user's own
    tags = [entry.body and entry.body.get("workloadTag") for entry in server.log.of("value")]
    assert tags == ["cropmap", "cropmap-0123456789abcdef", "thesis"]


def test_a_refused_request_gives_the_state_back(
    server: Emulator, user: _state.EEState, session: Session
) -> None:
    other = EarthEngineSettings(service_account=session.settings.service_account, url="http://127.0.0.1:9")
    with pytest.raises(Exception, match="does not answer"):
        connect(other, sleep=lambda seconds: None)
    assert untouched(user)


def test_who_has_not_logged_in_is_not_logged_in_afterwards(session: Session) -> None:
    session.value(ee.Number(1), profiled=False)
    assert not ee.data.is_initialized()


def test_of_many_threads_the_last_gives_the_state_back() -> None:
    before, ours = client_state.current(), client_state.fresh()
    ready, leave = threading.Barrier(3), threading.Event()

    def work() -> None:
        with client_state.in_place(ours):
            ready.wait()
            leave.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    with client_state.in_place(ours):
        pass
    assert client_state.current() is ours
    leave.set()
    for thread in threads:
        thread.join()
    assert client_state.current() is before
