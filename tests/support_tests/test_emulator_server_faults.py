import threading
import time
from collections.abc import Callable
from typing import Any

import ee
import pytest
import requests

from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.server import Emulator

pytestmark = pytest.mark.slow


def ask() -> Any:
    return ee.Number(5).getInfo()


def post(server: Emulator, timeout: float = 5) -> requests.Response:
    """A value without the client, so that the network's own errors can be seen."""
    return requests.post(
        f"{server.url}/v1/projects/crop-maps/value:compute",
        json={"expression": {"result": "0", "values": {"0": {"constantValue": 5}}}},
        headers={"Authorization": f"Bearer {server.tokens.new()}"},
        timeout=timeout,
    )


def test_scripted_answers_come_in_order_and_then_the_truth(server: Emulator) -> None:
    server.script("value", Answer.error(429, "Too many requests"), Answer.ok(), Answer.error(503, "Later"))
    assert [post(server).status_code for _ in range(4)] == [429, 200, 503, 200]
    assert [entry.status for entry in server.log] == [429, 200, 503, 200]


def test_a_script_is_for_one_kind(server: Emulator) -> None:
    server.script("pixels", Answer.error(500, "Broken"))
    assert ask() == 5


def test_an_unknown_kind_is_refused(server: Emulator) -> None:
    with pytest.raises(ValueError, match="A kind is one of"):
        server.script("tiles", Answer.ok())


def test_an_error_has_google_s_envelope(server: Emulator) -> None:
    details = ({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"},)
    server.script("value", Answer.error(403, "Not here", details=details))
    assert post(server).json() == {
        "error": {
            "code": 403,
            "message": "Not here",
            "status": "PERMISSION_DENIED",
            "details": list(details),
        }
    }


def test_the_client_raises_the_message_of_an_error(server: Emulator) -> None:
    server.script("value", Answer.error(400, "User memory limit exceeded."))
    with pytest.raises(ee.EEException, match="User memory limit exceeded"):
        ask()


def test_the_client_tries_again_after_429(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googleapiclient.http.HttpRequest.execute", _impatient)
    ee.data.setMaxRetries(3)
    server.log.clear()
    server.script("value", *[Answer.error(429, "Too many concurrent aggregations.")] * 2)
    assert ask() == 5
    assert [entry.status for entry in server.log] == [429, 429, 200]


def _impatient(
    request: Any,
    http: Any = None,
    num_retries: int = 0,
    execute: Callable[..., Any] = ee.data.googleapiclient.http.HttpRequest.execute,
) -> Any:
    request._sleep = lambda seconds: None
    return execute(request, http, num_retries)


def test_slow_is_the_truth_later(server: Emulator) -> None:
    server.script("value", Answer.slow(0.3))
    started = time.monotonic()
    assert ask() == 5
    assert time.monotonic() - started >= 0.3


def test_silence_lasts_until_the_client_gives_up(server: Emulator) -> None:
    server.script("value", Answer.silent())
    with pytest.raises(requests.ReadTimeout):
        post(server, timeout=0.2)
    assert server.log[0].status is None
    time.sleep(0.1)
    post(server)
    assert server.log[1].threads_at_once == 1


def test_silence_ends_the_client_s_deadline(server: Emulator) -> None:
    ee.data.setDeadline(200)
    server.script("value", Answer.silent())
    with pytest.raises(TimeoutError):
        ask()


def test_a_trickle_outlasts_a_read_timeout(server: Emulator) -> None:
    server.script("value", Answer.trickle())
    started = time.monotonic()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        post(server, timeout=0.2)
    assert time.monotonic() - started > 0.4


def test_a_truncated_answer_says_more_than_it_sends(server: Emulator) -> None:
    server.script("value", Answer.truncated())
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        post(server)
    server.script("value", Answer.truncated())
    with pytest.raises(ConnectionError):
        ask()
    assert [entry.status for entry in server.log] == [200, 200]


def test_a_closed_connection_is_a_reset(server: Emulator) -> None:
    server.script("value", Answer.close())
    with pytest.raises(requests.ConnectionError, match=r"reset|aborted"):
        post(server)
    server.script("value", Answer.close())
    with pytest.raises(ConnectionError):
        ask()
    assert ask() == 5


def test_garbage_is_no_json(server: Emulator) -> None:
    server.script("value", Answer.garbage())
    answer = post(server)
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_bytes_replace_and_changes_alter_the_answer(server: Emulator) -> None:
    server.script(
        "value", Answer.bytes(b'{"result": 9}'), Answer.changed(lambda body: body.replace(b"5", b"6"))
    )
    assert [ask(), ask()] == [9, 6]


def test_restricted_mode_is_told_in_a_header(server: Emulator) -> None:
    server.script("value", Answer.restricted())
    with pytest.warns(UserWarning, match="restricted mode"):
        assert ask() == 5


def test_a_rule_holds_for_every_request(server: Emulator) -> None:
    server.rule = lambda request: Answer.error(400, "No") if request.kind == "value" else None
    assert [post(server).status_code for _ in range(3)] == [400, 400, 400]
    server.script("value", Answer.ok())
    assert [post(server).status_code for _ in range(2)] == [200, 400]


def test_a_token_request_can_fail_too(server: Emulator) -> None:
    server.expire_tokens()
    server.script("token", Answer.error(400, "no"))
    with pytest.raises(Exception, match="no"):
        ask()


def test_it_closes_at_once_with_requests_under_way(start: Any) -> None:
    server = start()
    server.script("value", Answer.silent(), Answer.silent(), Answer.slow(60))
    threads = [threading.Thread(target=_swallow, args=(server,), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(server.log) < 3:
        time.sleep(0.01)
    started = time.monotonic()
    server.close()
    for thread in threads:
        thread.join(timeout=30)
    assert time.monotonic() - started < 30
    assert not any(thread.is_alive() for thread in threads)


def _swallow(server: Emulator) -> None:
    try:
        post(server, timeout=30)
    except requests.ConnectionError:
        return
