"""A server that speaks the few endpoints of the Hugging Face Hub that a download needs, and can misbehave."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATASET = "x-ytong/CropGlobe"


@dataclass
class FakeHub:
    """What the server has, how it fails next, and what it was asked."""

    files: dict[str, bytes]
    """Path -> content; all stand in the large file store."""
    plain: set[str] = field(default_factory=set)
    """Paths that stand in git itself, without a sha256."""
    commit: str = "a" * 40
    dataset: str = DATASET
    licence: str = ""
    """As the page of the dataset names it; empty where it has no head."""
    ranges: bool = True
    """Whether a download can begin in the middle."""
    break_after: list[int] = field(default_factory=list)
    """Bytes after which the connection of the next downloads is closed, one number each."""
    unavailable: dict[str, int] = field(default_factory=dict)
    """`info` or `file` -> how many of the next answers are 503."""
    altered: dict[str, bytes] = field(default_factory=dict)
    """Path -> content that is sent instead of what is listed."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and Range header of each request."""
    url: str = ""

    @property
    def downloads(self) -> list[tuple[str, str]]:
        """File name and Range of each request to the store."""
        return [(path.rpartition("/")[2], span) for _, path, span in self.asked if path.startswith("/store/")]

    def info(self) -> dict[str, object]:
        siblings = [self._sibling(path, content) for path, content in self.files.items()]
        card = {"cardData": {"license": self.licence}} if self.licence else {}
        return {"id": self.dataset, "sha": self.commit, "siblings": siblings, **card}

    def _sibling(self, path: str, content: bytes) -> dict[str, object]:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        told: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": blob}
        if path not in self.plain:
            sha256 = hashlib.sha256(content).hexdigest()
            told |= {"blobId": "0" * 40, "lfs": {"sha256": sha256, "size": len(content), "pointerSize": 134}}
        return told


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub on a free port of this computer, its address in `hub.url`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = _Server(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that go away in the middle are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.split("?")[0]
        self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        if path.startswith("/store/"):
            return self._store(path.removeprefix("/store/"))
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/revision/([^/]+)", path):
            return self._info(*match.groups())
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(*match.groups())
        self._fail(404, None)

    def _info(self, dataset: str, revision: str) -> None:
        if self._is_unavailable("info"):
            return
        if dataset != self.hub.dataset:
            return self._fail(401, "RepoNotFound")
        if revision not in ("main", self.hub.commit):
            return self._fail(404, "RevisionNotFound")
        body = json.dumps(self.hub.info()).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _resolve(self, dataset: str, revision: str, path: str) -> None:
        """As the Hub does for large files: facts in headers, and the way to where the bytes are."""
        if self._is_unavailable("file"):
            return
        if revision != self.hub.commit:
            return self._fail(404, "RevisionNotFound")
        if path not in self.hub.files:
            return self._fail(404, "EntryNotFound")
        content = self.hub.files[path]
        facts = {
            "X-Repo-Commit": self.hub.commit,
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.hub.url}/store/{path}",
            "Content-Length": "0",
        }
        self._head(302, facts)

    def _store(self, path: str) -> None:
        content = self.hub.altered.get(path, self.hub.files[path])
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(span[1]) if span and self.hub.ranges else 0
        facts = {"Content-Length": str(len(content) - start), "ETag": '"store"'}
        if span and self.hub.ranges:
            facts["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(206 if span and self.hub.ranges else 200, facts)
        rest = content[start:]
        if self.hub.break_after:
            rest = rest[: self.hub.break_after.pop(0)]
            self.close_connection = True
        self.wfile.write(rest)

    def _is_unavailable(self, what: str) -> bool:
        if not self.hub.unavailable.get(what):
            return False
        self.hub.unavailable[what] -= 1
        self._fail(503, None)
        return True

    def _fail(self, status: int, code: str | None) -> None:
        self._head(status, {"Content-Length": "0", **({"X-Error-Code": code} if code else {})})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: `FakeHub.asked` is the log."""
