"""What the maker and the test share. It asks nothing of cropmap, so that no change of cropmap reaches it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

URL = "http://scenes.example/catalog.json"
"""Address of the scenes of two runs: a run keeps that of its source, and this one holds on any machine."""

NODATA = -9999


def series(count: int, bands: int, bins: int) -> NDArray[np.int16]:
    """Series `(pixel, band, bin)` with a hump in time and gaps, by whole numbers alone: the same for ever."""
    i, b, t = np.ogrid[:count, :bands, :bins]
    peak, half, height = bins * (2 + i % 5) // 8, 3 + i % 11, 600 * (1 + i % 6)
    hump = np.maximum(height * (half - abs(t - peak)) // half, 0)
    visible = b < min(3, bands - 1)  # dark where the others are bright
    values = np.where(visible, 1_200 - hump // 4, 1_900 + hump) + (31 * i + 17 * b + 7 * t) % 53
    gaps = (13 * i + 29 * t + t * t * (i % 5)) % 7 < 3
    gaps[:, :, bins // 2] = False  # each series has an observation
    return np.where(gaps, NODATA, values).astype(np.int16)


@contextmanager
def served(folder: Path) -> Iterator[None]:
    """The files of a folder at the host of `URL`, by a proxy of this process that all readers are told of."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        with mock.patch.dict(os.environ, {"http_proxy": address, "HTTP_PROXY": address, "no_proxy": ""}):
            os.environ.pop("NO_PROXY", None)
            yield
    finally:
        server.shutdown()
        server.server_close()


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Files(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            path = folder / urlsplit(self.path).path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            body = path.read_bytes()
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            if asked:
                size, first = len(body), int(asked[1])
                body = body[first : int(asked[2] or size) + 1]
                self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{size}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Files
