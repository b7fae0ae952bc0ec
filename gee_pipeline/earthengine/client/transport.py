"""HTTP for the Earth Engine client: many requests at once, and a deadline for the whole answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import httplib2  # type: ignore[import-untyped]
import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

QUOTA_HEADER: Final = "x-earth-engine-quota-status"
"""Answer header that says whether the project is in restricted mode."""

_RESTRICTED: Final = "parallelism_restricted=true"

_CONNECT: Final = 30.0
"""Seconds to open a connection at most."""

_PIECE: Final = 2**20
"""Bytes read at a time at most; the deadline is looked at between pieces."""


class Transport:
    """The `httplib2.Http` that `ee.Initialize` takes as `http_transport`, over one pool of connections.

    The client's own transport has a pool of ten connections, so two dozen threads make it open and throw
    away connections with a warning each, and its timeout starts again with every byte that arrives.
    """

    deadline: float
    """Seconds in which a whole answer must have arrived."""
    on_answer: Callable[[int, bool], None]
    """Told of each answer, in the thread that asked: its bytes, and whether the server says that the project
    is restricted in how much it may ask at once."""

    def __init__(
        self,
        deadline: float,
        *,
        connections: int = 40,
        on_answer: Callable[[int, bool], None] = lambda size, restricted: None,
    ) -> None:
        """Open no connection yet.

        Args:
            deadline: Seconds.
            connections: Connections that are kept open.
            on_answer: Called with answers.
        """
        self.deadline = deadline
        self.on_answer = on_answer
        self._session = requests.Session()
        self._session.auth = _as_it_is
        adapter = HTTPAdapter(pool_connections=10, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        redirections: int | None = None,
        connection_type: type[Any] | None = None,
    ) -> tuple[httplib2.Response, bytes]:
        """One request and its whole answer, with the signature and the result of httplib2.

        Raises:
            TimeoutError: The answer was not whole at the deadline.
            ConnectionError: There is no connection, or it broke before the answer was whole.
        """
        try:
            return self._request(uri, method, body, headers)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise self._too_late(uri) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ConnectionError(f"No whole answer from {_host(uri)}: {error}") from error

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._session.close()

    def _request(
        self, uri: str, method: str, body: str | bytes | None, headers: Mapping[str, str] | None
    ) -> tuple[httplib2.Response, bytes]:
        end = time.monotonic() + self.deadline
        timeout = (min(_CONNECT, self.deadline), self.deadline)
        with self._session.request(
            method, uri, data=body, headers=headers, timeout=timeout, stream=True
        ) as answer:
            content = b"".join(self._pieces(answer, uri, end))
        response = _response(answer)
        restricted = _RESTRICTED in response.pop(QUOTA_HEADER, "")  # popped: the client would warn every time
        self.on_answer(len(content), restricted)
        return response, content

    def _pieces(self, answer: requests.Response, uri: str, end: float) -> Iterator[bytes]:
        """The body as it arrives; `read1` waits for one arrival and not for a full piece."""
        while True:
            _wait_at_most(answer, end - time.monotonic())
            piece = answer.raw.read1(_PIECE, decode_content=True)
            if not piece:
                return
            if time.monotonic() > end:
                raise self._too_late(uri)
            yield piece

    def _too_late(self, uri: str) -> TimeoutError:
        return TimeoutError(f"No whole answer from {_host(uri)} within {self.deadline:g} seconds")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep the token of the request: without any `auth`, an entry of ~/.netrc would take its place."""
    return request


def _wait_at_most(answer: requests.Response, seconds: float) -> None:
    """Let the next read of an answer wait no longer than until the deadline.

    Where the server closes the connection after its answer, the socket is out of reach; a server that then
    falls silent within its answer is given up after twice the deadline at most.
    """
    sock = getattr(answer.raw.connection, "sock", None)
    if sock is not None:
        sock.settimeout(max(seconds, 0.001))


def _response(answer: requests.Response) -> httplib2.Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    headers.pop("content-encoding", None)  # the content is decoded
    response = httplib2.Response(headers | {"status": str(answer.status_code)})
    response.reason = answer.reason or ""
    return response


def _host(uri: str) -> str:
    return urllib3.util.parse_url(uri).host or uri
