"""What a server on the web may do to a request in place of answering it."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Final

from tests.faults.mutators import DEEP
from tests.support.stac_server import send

Answering = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Answers a request whose true content is given."""

CLOSING: Final = threading.Event()
"""Set when the servers are no longer needed: nobody stays silent longer."""

HTML: Final = b"<!DOCTYPE html><html><body>Please log in to the proxy.</body></html>"


@dataclass(frozen=True)
class WebFault:
    """One way to answer."""

    name: str
    answer: Answering
    content: bool = False
    """Whether the answer may be valid, with another content."""


def status(number: int, **headers: str) -> WebFault:
    """A refusal."""
    more = f" {' '.join(headers.values())}" if headers else ""
    return WebFault(f"{number}{more}", lambda handler, true: send(handler, number, HTML, **headers))


def redirect(to: str) -> WebFault:
    """A way to another address; {path} is that of the request."""

    def answer(handler: BaseHTTPRequestHandler, true: bytes) -> None:
        send(handler, 302, b"", Location=to.format(path=handler.path))

    return WebFault(f"redirect to {to}", answer)


def body(name: str, change: Callable[[bytes], bytes], content: bool = False, **headers: str) -> WebFault:
    """A whole answer of other bytes."""
    return WebFault(name, lambda handler, true: send(handler, 200, change(true), **headers), content)


def length(name: str, claimed: Callable[[int], object]) -> WebFault:
    """The true bytes under another length."""

    def answer(handler: BaseHTTPRequestHandler, true: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(claimed(len(true))))
        handler.end_headers()
        handler.wfile.write(true)
        handler.close_connection = True

    return WebFault(name, answer)


def _half(handler: BaseHTTPRequestHandler, true: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(true)))
    handler.end_headers()
    handler.wfile.write(true[: len(true) // 2])
    handler.close_connection = True


def _trickle(handler: BaseHTTPRequestHandler, true: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(true)))
    handler.end_headers()
    for place in range(len(true)):
        if CLOSING.wait(0.1):
            return
        handler.wfile.write(true[place : place + 1])
        handler.wfile.flush()


def _endless(handler: BaseHTTPRequestHandler, true: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    end = time.monotonic() + 30
    while time.monotonic() < end and not CLOSING.is_set():
        handler.wfile.write(b" " * 2**16)


def _reset(handler: BaseHTTPRequestHandler, true: bytes) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def _silent(handler: BaseHTTPRequestHandler, true: bytes) -> None:
    CLOSING.wait(60)


def _no_http(handler: BaseHTTPRequestHandler, true: bytes) -> None:
    handler.wfile.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9)
    handler.close_connection = True


FAULTS: Final = (
    *(status(number) for number in (400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 504)),
    status(429, Retry_After="99999999"),
    status(503, Retry_After="-5"),
    status(429, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"),
    status(503, Retry_After="1e9"),
    redirect("file:///etc/passwd"),
    redirect("{path}"),
    redirect("http://127.0.0.1:1/{path}"),
    redirect("ftp://127.0.0.1/{path}"),
    redirect("http://[::"),
    body("HTML", lambda true: HTML),
    body("nothing", lambda true: b""),
    body("gzip garbage", lambda true: b"\x1f\x8b\x08garbage" + true[:99], Content_Encoding="gzip"),
    body("said to be gzip", lambda true: true, Content_Encoding="gzip"),
    body("half, whole", lambda true: true[: len(true) // 2]),
    body("null", lambda true: b"null"),
    body("a list", lambda true: b"[1, 2]", content=True),
    body("nested deeply", lambda true: b"[" * DEEP + b"]" * DEEP),
    body("bad letters", lambda true: b"\xff\xfe\x00" + true),
    body("more", lambda true: true + b"\x00" * 999),
    length("a length too small", lambda n: n - 20),
    length("a length too large", lambda n: n + 20),
    length("a length below 0", lambda n: -1),
    length("a length of petabytes", lambda n: 2**60),
    length("a length of letters", lambda n: "many"),
    WebFault("truncated", _half),
    WebFault("trickle", _trickle),
    WebFault("endless", _endless),
    WebFault("reset", _reset),
    WebFault("silence", _silent),
    WebFault("no HTTP", _no_http),
)


def page_faults(url: str) -> tuple[WebFault, ...]:
    """What a search may answer besides."""

    def following(name: str, link: Callable[[dict[str, object], int], dict[str, object]]) -> WebFault:
        seen = [0]

        def change(true: bytes) -> bytes:
            seen[0] += 1
            page = json.loads(true)
            return json.dumps(page | {"links": [link(page, seen[0])]}).encode()

        return body(name, change)

    def to(href: str) -> dict[str, object]:
        return {"rel": "next", "href": href, "method": "GET"}

    return (
        following("a circle of pages", lambda page, n: to(f"{url}/search?page=1")),
        following("endless pages", lambda page, n: to(f"{url}/search?page={n}")),
        following("a next page in a file", lambda page, n: to("file:///etc/passwd")),
        following("a next page of no kind", lambda page, n: {"rel": "next", "href": None, "method": 7}),
        following("a next page elsewhere", lambda page, n: to("http://127.0.0.1:1/search")),
        body("each item twice", _twice),
        body("no features", lambda true: b'{"type": "FeatureCollection", "features": null}'),
    )


def _twice(true: bytes) -> bytes:
    page = json.loads(true)
    return json.dumps(page | {"features": page["features"] * 2}).encode()
