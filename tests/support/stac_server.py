"""A server of scripted answers: what a STAC API or a catalog on the web may do to its reader."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]


@dataclass
class Server:
    """Answers by path; an answer is JSON values, bytes, or a function of handler and request."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        self.asked.append(asked)
        found = self.answers.get(asked.path.partition("?")[0])
        if callable(found):
            found = found(handler, asked)
        if found is not None:
            send(handler, 200, found if isinstance(found, bytes) else json.dumps(found).encode())
        elif asked.path.partition("?")[0] not in self.answers:
            send(handler, 404, b"{}")


def send(handler: BaseHTTPRequestHandler, status: int, content: bytes, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)


def refuse(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler, Asked], None]:
    """The answer of a status without content."""
    return lambda handler, asked: send(handler, status, b"", **headers)


def landing(url: str, method: str = "GET", conforms: tuple[str, ...] = ()) -> dict[str, Any]:
    """The landing page of an API with one collection, `s2`."""
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "api",
        "description": "",
        "conformsTo": list(conforms),
        "links": [
            {"rel": "data", "href": f"{url}/collections"},
            {"rel": "search", "href": f"{url}/search", "method": method},
        ],
    }


@contextmanager
def serving() -> Iterator[Server]:
    """A server on this machine."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            server.answer(self, Asked(self.command, self.path, body, dict(self.headers)))

        do_POST = do_HEAD = do_GET  # noqa: N815 - names of http.server

        def log_message(self, *arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
