"""The transport under Earth Engine's client, against a server that does as each path says."""

import gzip
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gee_pipeline.earthengine.client.transport import Transport

BODY = bytes(range(256)) * 5000  # 1.28 MB: several reads


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    headers_seen: dict[str, str]

    def do_GET(self) -> None:
        getattr(self, self.path.strip("/"))()

    def do_POST(self) -> None:
        self.whole(self.rfile.read(int(self.headers["Content-Length"])))

    def begin(self, length: int, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, body: bytes = BODY) -> None:
        self.begin(len(body))
        self.wfile.write(body)

    def zipped(self) -> None:
        body = gzip.compress(BODY)
        self.begin(len(body), Content_Encoding="gzip")
        self.wfile.write(body)

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(BODY), 100_000):
            part = BODY[start : start + 100_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def refused(self) -> None:
        self.begin(2, 429, X_Earth_Engine_Quota_Status="parallelism_restricted=true")
        self.wfile.write(b"no")

    def unrestricted(self) -> None:
        self.begin(2, X_Earth_Engine_Quota_Status="parallelism_restricted=false")
        self.wfile.write(b"ok")

    def truncated(self) -> None:
        self.begin(len(BODY))
        self.wfile.write(BODY[:1000])
        self.close_connection = True

    def truncated_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3e8\r\n" + BODY[:500])
        self.close_connection = True

    def silent(self) -> None:
        time.sleep(6)

    def silent_within(self) -> None:
        self.begin(len(BODY))
        self.wfile.write(BODY[:1000])
        time.sleep(6)

    def silent_within_after_a_while(self) -> None:
        time.sleep(0.25)
        self.silent_within()

    def trickle_and_close(self) -> None:
        """The client gives the socket away as soon as it knows that the connection will close."""
        self.trickle(Connection="close")

    def trickle(self, **headers: str) -> None:
        self.begin(len(BODY), **headers)
        for _ in range(300):
            self.wfile.write(b"x")
            time.sleep(0.02)

    def token(self) -> None:
        self.whole(self.headers["Authorization"].encode())

    def log_message(self, *args: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *args: object) -> None:
        """Clients that give up are what these tests are about."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Quiet(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["whole", "zipped", "chunked"])
def test_a_whole_answer_comes_back_as_httplib2_gives_it(url, path) -> None:
    response, content = Transport(5).request(f"{url}/{path}")
    assert response.status == 200
    assert response.reason == "OK"
    assert content == BODY
    assert "content-encoding" not in response


def test_a_body_is_sent(url) -> None:
    _, content = Transport(5).request(f"{url}/x", "POST", body='{"expression": 1}')
    assert content == b'{"expression": 1}'


@pytest.mark.parametrize(
    "path", ["silent", "silent_within", "silent_within_after_a_while", "trickle", "trickle_and_close"]
)
def test_an_answer_that_is_not_whole_at_the_deadline_is_given_up(url, path) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"127\.0\.0\.1 within 0\.3 seconds"):
        Transport(0.3).request(f"{url}/{path}")
    assert 0.25 < time.monotonic() - start < 6  # the server would continue for six seconds


@pytest.mark.parametrize("path", ["truncated", "truncated_chunks"])
def test_a_truncated_answer_is_a_broken_connection(url, path) -> None:
    with pytest.raises(ConnectionError):
        Transport(5).request(f"{url}/{path}")


def test_no_server_is_a_broken_connection() -> None:
    with socket.socket() as taken:  # bound, not listening
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError, match=r"127\.0\.0\.1"):
            Transport(5).request(f"http://127.0.0.1:{taken.getsockname()[1]}/")


def test_restricted_mode_is_told_and_kept_from_the_client(url) -> None:
    """The client warns of the header each time it sees it."""
    heard: list[tuple[int, bool]] = []
    transport = Transport(5, on_answer=lambda size, restricted: heard.append((size, restricted)))
    response, _ = transport.request(f"{url}/refused")
    assert response.status == 429
    assert "x-earth-engine-quota-status" not in response
    transport.request(f"{url}/unrestricted")
    transport.request(f"{url}/whole")
    assert heard == [(2, True), (2, False), (len(BODY), False)]


def test_two_dozen_threads_share_the_pool_without_a_warning(url, caplog) -> None:
    transport = Transport(10)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: transport.request(f"{url}/whole")[1], range(72)))
    assert all(answer == BODY for answer in answers)
    assert "Connection pool is full" not in caplog.text


def test_an_entry_of_netrc_does_not_replace_the_token(url, tmp_path, monkeypatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login earthdata password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    _, content = Transport(5).request(f"{url}/token", headers={"authorization": "Bearer ya29"})
    assert content == b"Bearer ya29"
