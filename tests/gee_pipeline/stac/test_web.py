"""Documents over the network and from files: patient, but never for ever, and one clause when it fails."""

import os
import time
from itertools import count

import pytest

from gee_pipeline.stac import web
from gee_pipeline.stac.web import DocumentError, Patience, Reader, Request, parsed, within
from tests.support.stac_server import refuse, send, serving


@pytest.fixture
def server():
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(web, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(web, "PATIENCE", 2.0)


def test_a_server_that_stumbles_is_asked_again(server):
    times = count()
    server.answers["/a"] = lambda handler, asked: refuse(503)(handler, asked) if next(times) < 3 else {"a": 1}
    assert Reader().read(f"{server.url}/a") == {"a": 1}
    assert len(server.asked) == 4


def test_a_pause_that_the_server_asks_for_is_kept(server):
    times, start = count(), time.monotonic()
    wait = refuse(429, Retry_After="1")
    server.answers["/a"] = lambda handler, asked: wait(handler, asked) if next(times) < 1 else {"a": 1}
    assert Reader().read(f"{server.url}/a") == {"a": 1}
    assert time.monotonic() - start >= 1


def test_a_pause_of_an_hour_is_not(server):
    server.answers["/a"] = refuse(503, Retry_After="3600")
    start = time.monotonic()
    with pytest.raises(DocumentError, match="asks to wait 3,600 s"):
        Reader().read(f"{server.url}/a")
    assert time.monotonic() - start < 60
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "times", "message"), [(404, 1, "404"), (403, 1, "403.*credentials"), (503, 5, "503")]
)
def test_a_refusal_names_its_status(server, status, times, message):
    server.answers["/a"] = refuse(status)
    with pytest.raises(DocumentError, match=message):
        Reader().read(f"{server.url}/a")
    assert len(server.asked) == times


def drip(handler, asked):
    """One byte now and then, for ever."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


def drip_headers(handler, asked):
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


@pytest.mark.parametrize("dripping", [drip, drip_headers])
def test_a_byte_now_and_then_comes_to_an_end_and_is_spoken_of(server, monkeypatch, caplog, dripping):
    monkeypatch.setattr(web, "_STILL_WAITING", 0.2)
    monkeypatch.setattr(web, "PATIENCE", 0.7)
    server.answers["/a"] = dripping
    start = time.monotonic()
    with pytest.raises(DocumentError, match="no whole answer after"):
        Reader().read(f"{server.url}/a?token=secret")
    assert time.monotonic() - start < 60
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 4
    assert all(f"Still waiting for {server.url}/a," in line for line in lines)


def test_a_part_of_the_work_has_no_more_time_than_the_whole(server):
    server.answers["/a"] = drip
    start = time.monotonic()
    with pytest.raises(DocumentError):
        Reader().ask(Request(f"{server.url}/a"), Patience(0.3))
    assert time.monotonic() - start < 60


def test_an_answer_without_end_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(web, "_LARGEST", 2**20)
    server.answers["/a"] = lambda handler, asked: send(handler, 200, b" " * 2**21)
    with pytest.raises(DocumentError, match="larger than 1 MiB"):
        Reader().read(f"{server.url}/a")


def test_a_redirect_to_what_is_no_address_is_one_clause(server):
    server.answers["/a"] = refuse(302, Location="http://[::")
    with pytest.raises(DocumentError, match="Invalid IPv6 URL"):
        Reader().read(f"{server.url}/a")
    assert len(server.asked) == 1


def test_redirects_stay_on_the_web(server, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    server.answers["/a"] = refuse(302, Location=(tmp_path / "a.json").as_uri())
    server.answers["/b"] = refuse(302, Location="/c")
    server.answers["/c"] = {"c": 1}
    server.answers["/circle"] = refuse(302, Location="/circle")
    with pytest.raises(DocumentError):
        Reader().read(f"{server.url}/a")
    with pytest.raises(DocumentError):
        Reader().read(f"{server.url}/circle")
    assert Reader().read(f"{server.url}/b") == {"c": 1}


def test_what_the_work_raises_is_raised_where_it_is_waited_for():
    with pytest.raises(ZeroDivisionError):
        within(Patience(5), lambda: 1 // 0, "nothing")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"<html>Sign in</html>", r"not JSON.*begins with '<html>"),
        (b"[1]", "not hold a JSON object"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 9_000 + b"}", "not JSON.*4300 digits"),
        (b'{"a": "\xff"}', "not JSON"),
    ],
)
def test_what_is_no_document_is_said_in_one_clause(content, message):
    with pytest.raises(DocumentError, match=message) as caught:
        parsed(content)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_a_document():
    assert parsed(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_file_larger_than_any_document_is_not_read(tmp_path):
    (tmp_path / "catalog.json").touch()
    os.truncate(tmp_path / "catalog.json", 2**33)  # holes: no byte of the disk
    with pytest.raises(DocumentError, match="larger than 512 MiB"):
        Reader().read(str(tmp_path / "catalog.json"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DocumentError, match="pipe"):
        Reader().read(str(tmp_path / "pipe"))
    with pytest.raises(DocumentError, match="folder"):
        Reader().read(str(tmp_path))
