"""Reading JSON documents, from files and over the network, within bounds of time, size and depth."""

from __future__ import annotations

import json
import logging
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final, TypeVar

import requests
from requests import RequestException, Response, Session

from gee_pipeline.files import shallow
from gee_pipeline.incoming.addresses import is_remote, without_secrets
from gee_pipeline.incoming.item_table import ItemTable, TableError, is_table

PATIENCE: Final = 90.0
"""Seconds for one document over the network, all attempts together."""

LISTING_PATIENCE: Final = 3_600.0
"""Seconds for all documents of a catalog over the network, or all pages of a search."""

_CONNECTING: Final = 10.0
"""Seconds to connect to a server."""

_STILL_WAITING: Final = 20.0
"""Seconds after which a line says what is being waited for, and again after as many."""

_ATTEMPTS: Final = 5
"""Times a server is asked for one document."""

_FIRST_PAUSE: Final = 1.0
"""Seconds before the second attempt; doubled each time, unless the server names its own."""

_PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Answers that are worth asking again: too many requests, or a server that is down for a moment."""

_UNANSWERED: Final = 3
"""Times a server is asked that gives no answer at all."""

_LARGEST: Final = 512 * 2**20
"""Bytes of one document."""

_CHUNK: Final = 2**16

_log = logging.getLogger("cropmap.stac")

T = TypeVar("T")

Document = dict[str, Any]


class DocumentError(Exception):
    """A document cannot be had or used; the text is one clause without a full stop."""


@dataclass(frozen=True)
class Patience:
    """Until when something is waited for; made when the waiting begins."""

    seconds: float
    """How long."""
    end: float = field(default=0.0, init=False)
    """When it ends, on the monotonic clock."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "end", time.monotonic() + self.seconds)

    @property
    def left(self) -> float:
        """Seconds that are left; negative when it is over."""
        return self.end - time.monotonic()

    def capped(self, seconds: float) -> Patience:
        """For a part of the work: no longer than this, nor than the whole."""
        return Patience(min(seconds, self.left))

    def require(self) -> None:
        """Give up when it is over.

        Raises:
            DocumentError: It is.
        """
        if self.left <= 0:
            raise DocumentError(f"it takes longer than {self.seconds:,.0f} s")


@dataclass(frozen=True)
class Request:
    """What is asked of a server; without a body it is a GET."""

    href: str
    """URL."""
    body: Document | None = None
    """JSON values of a POST."""
    headers: tuple[tuple[str, str], ...] = ()
    """More headers, as a link to a next page may ask for."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Query of a GET, besides that of the URL."""


class Reader:
    """Reads documents; one for a catalog, so that its connections are used again."""

    def __init__(self) -> None:
        self._session = Session()

    def read(self, href: str, patience: Patience | None = None) -> Document:
        """The JSON object at a path or URL.

        Args:
            href: Absolute path or URL.
            patience: Of the work that it is a part of.

        Raises:
            DocumentError: It cannot be read, in time, or is no JSON object.
        """
        if is_table(href):
            return self._table(href)
        if is_remote(href):
            return self.ask(Request(href), patience)
        return parsed(read_file(href))

    def _table(self, href: str) -> Document:
        if is_remote(href):
            raise DocumentError("a table of items is read from a file: download it and give its path")
        try:
            return {"type": "FeatureCollection", "features": ItemTable(href)}
        except TableError as error:
            raise DocumentError(str(error)) from error

    def ask(self, request: Request, patience: Patience | None = None) -> Document:
        """The JSON object that a server answers.

        Raises:
            DocumentError: It does not answer, in time, or not with a JSON object.
        """
        limit = patience.capped(PATIENCE) if patience else Patience(PATIENCE)
        return parsed(within(limit, lambda: self._content(request, limit), without_secrets(request.href)))

    def _content(self, request: Request, patience: Patience) -> bytes:
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._send(request, patience) as response:
                    if response.status_code not in _PASSING or attempt == _ATTEMPTS:
                        return _body(response, patience)
                    asked, why = _retry_after(response), f"HTTP {response.status_code}"
            except (RequestException, ValueError) as error:
                if attempt >= _UNANSWERED or isinstance(error, ValueError):  # no URL, or leads to none
                    raise DocumentError(reason(error)) from error
                asked, why = None, reason(error)
            _log.info("%s is asked again, try %d failed: %s", without_secrets(request.href), attempt, why)
            _sleep(pause if asked is None else asked, patience)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _send(self, request: Request, patience: Patience) -> Response:
        return self._session.request(
            "GET" if request.body is None else "POST",
            request.href,
            params=list(request.parameters),
            json=request.body,
            headers={"Accept": "application/json, application/geo+json", **dict(request.headers)},
            timeout=(_CONNECTING, max(patience.left, 0.1)),
            stream=True,
        )


def within(patience: Patience, work: Callable[[], T], what: str) -> T:
    """What some work returns; while it lasts, a line now and then says so.

    The work goes on in a thread of its own that is left behind: a server may send a byte a second for ever.

    Args:
        patience: How long it may take.
        work: What to do.
        what: What is waited for, for the line and the error.

    Raises:
        DocumentError: It takes longer; or whatever the work raises.
    """
    outcome: Queue[tuple[T | None, BaseException | None]] = Queue(1)
    threading.Thread(target=lambda: outcome.put(_outcome(work)), daemon=True).start()
    while True:
        try:
            value, error = outcome.get(timeout=max(min(_STILL_WAITING, patience.left), 0.01))
        except Empty:
            if patience.left <= 0:
                raise DocumentError(f"there is no whole answer after {patience.seconds:,.0f} s") from None
            _log.warning("Still waiting for %s, %.0f s at most.", what, patience.left)
            continue
        if error is not None:
            raise error
        return value  # type: ignore[return-value]


def _outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # raised again where it is waited for
        return None, error


def read_file(path: str) -> bytes:
    """The content of a file on this machine.

    Raises:
        DocumentError: It is not there, too large, or no file: a pipe or a device may never end.
    """
    try:
        file = Path(path)
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DocumentError("it is not a file, but a folder, a pipe or a device")
        if found.st_size > _LARGEST:
            raise DocumentError(f"it is larger than {_LARGEST // 2**20} MiB")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise DocumentError(getattr(error, "strerror", None) or str(error)) from error


def parsed(content: bytes) -> Document:
    """The JSON object in some bytes.

    Raises:
        DocumentError: They are no JSON, no object, or nested too deeply.
    """
    try:
        values = json.loads(shallow(content.decode("utf-8-sig")))
    except RecursionError as error:
        raise DocumentError("its JSON is nested too deeply") from error
    except ValueError as error:
        raise DocumentError(f"it is not JSON ({first_line(error)}){_beginning(content)}") from error
    if not isinstance(values, dict):
        raise DocumentError("it does not hold a JSON object")
    return values


def reason(error: BaseException) -> str:
    """Why something could not be read, in one clause."""
    if isinstance(error, requests.ConnectTimeout | requests.ConnectionError):
        return "the server cannot be reached"
    if isinstance(error, requests.Timeout):
        return "the server does not answer in time"
    return without_secrets(first_line(error))


def first_line(error: BaseException) -> str:
    """The first clause of an error's text, which may be of many lines."""
    lines = str(error).split(";")[0].strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")


def _beginning(content: bytes) -> str:
    """What a page for people begins with, which a gateway sends in place of an answer."""
    text = content[:40].decode("utf-8", "replace").strip()
    return f", it begins with {text!r}" if text.startswith("<") else ""


def _body(response: Response, patience: Patience) -> bytes:
    if response.status_code >= 400:
        raise DocumentError(_refusal(response.status_code))
    content = bytearray()
    for chunk in response.iter_content(_CHUNK):
        content += chunk
        patience.require()
        if len(content) > _LARGEST:
            raise DocumentError(f"it is larger than {_LARGEST // 2**20} MiB")
    return bytes(content)


def _refusal(status: int) -> str:
    more = ", it asks for credentials (a token, or user and password)" if status in (401, 403) else ""
    return f"the server answered with HTTP status {status}{more}"


def _retry_after(response: Response) -> float | None:
    """Seconds that a server asks to be left alone; None where it says none, or a date."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _sleep(seconds: float, patience: Patience) -> None:
    """Wait before the next attempt.

    Raises:
        DocumentError: It would take longer than is waited at all.
    """
    if seconds > patience.left:
        raise DocumentError(
            f"the server asks to wait {seconds:,.0f} s, and no answer is waited for longer than "
            f"{patience.seconds:,.0f} s"
        )
    time.sleep(seconds)
