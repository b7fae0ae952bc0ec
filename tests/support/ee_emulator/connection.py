"""HTTP: requests read, answers sent whole or in one of the ways in which networks fail."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import sys
import traceback
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.support.ee_emulator.answers import Answer, Manner
from tests.support.ee_emulator.faults import Refusal
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.services import Call, Reply, Service, refused, route
from tests.support.ee_emulator.tokens import Denied

if TYPE_CHECKING:
    from tests.support.ee_emulator.server import Emulator

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: closing sends a reset."""
_PROFILE_ASKED: Final = "x-earth-engine-computation-profiling"
_PROFILE: Final = "x-earth-engine-computation-profile"


class Server(ThreadingHTTPServer):
    """A thread a connection; stops without waiting for any of them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def server_bind(self) -> None:
        """As a plain TCP server: HTTPServer would ask a name server for this computer's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, to be able to end it."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, also those that wait for a next request."""
        for connection in tuple(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed in the meantime

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep our own mistakes; clients may leave as they like."""
        if not isinstance(sys.exception(), OSError) and not self.emulator.stopped.is_set():
            self.emulator.errors.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    """One connection: requests one after another."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together, without the 40 ms that two small packets may take
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr; `Emulator.log` has it all."""

    def do_GET(self) -> None:
        """Serve any method."""
        self._serve()

    def do_POST(self) -> None:
        """Serve any method."""
        self._serve()

    def do_DELETE(self) -> None:
        """Serve any method."""
        self._serve()

    def _serve(self) -> None:
        address = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind, parts, service = route(self.command, address.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        authorization = headers.pop("authorization", "")
        entry = LoggedRequest(kind, self.command, self.path, _json_of(raw), headers)
        call = Call(self.server.emulator, entry, parts, dict(parse_qsl(address.query)), raw, authorization)
        call.emulator.log.begin(entry)
        try:
            self._answer(call, service)
        finally:
            call.emulator.log.end(entry)

    def _answer(self, call: Call, service: Service) -> None:
        refusal = refused(call)
        if refusal is not None:
            self._send(call, _refusal(refusal), Manner.WHOLE)
            return
        answer = call.emulator.answer_for(call.entry)
        if answer.delay:
            call.emulator.stopped.wait(answer.delay)
        if answer.gate:
            answer.gate.wait()
        if answer.manner is Manner.SILENT:
            self._wait_for_the_end(call)
        if answer.manner in (Manner.SILENT, Manner.CLOSED):
            self._reset()
            return
        reply = _reply(call, answer, service)
        self._send(call, replace(reply, headers={**reply.headers, **answer.headers}), answer.manner)

    def _send(self, call: Call, reply: Reply, manner: Manner) -> None:
        call.entry.status, call.entry.sent = reply.status, len(reply.body)
        # before the bytes leave: the client's next request must not count this one as under way
        call.emulator.log.end(call.entry)
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.kind, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if manner is Manner.TRICKLE:
            self._trickle(call, reply.body)
        elif manner is Manner.TRUNCATED:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(reply.body)

    def _trickle(self, call: Call, body: bytes) -> None:
        for position in range(len(body) - 1):
            self.wfile.write(body[position : position + 1])
            self.wfile.flush()
            if call.emulator.stopped.wait(0.05):
                break
        self._reset()

    def _wait_for_the_end(self, call: Call) -> None:
        """Until the emulator stops or the client hangs up."""
        self.connection.settimeout(0.02)
        while not call.emulator.stopped.is_set():
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return
                call.emulator.stopped.wait(0.02)
            except TimeoutError:
                continue

    def _reset(self) -> None:
        """End the connection so that the client sees a reset, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _json_of(raw: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _refusal(refusal: Refusal) -> Reply:
    return Reply(refusal.body, status=refusal.status)


def _reply(call: Call, answer: Answer, service: Service) -> Reply:
    if answer.status != 200:
        return _refusal(Refusal(answer.status, answer.message, answer.details))
    if answer.body is not None:
        return Reply(answer.body)
    reply = _computed(call, service)
    if answer.change is not None and reply.status == 200:
        reply = replace(reply, body=answer.change(reply.body))
    return reply


def _computed(call: Call, service: Service) -> Reply:
    """The true answer; a mistake of the emulator is told as 400, since the client would repeat a 500."""
    try:
        return _with_profile(call, service(call))
    except Refusal as refusal:
        return _refusal(refusal)
    except Denied as denied:
        return Reply(denied.body, status=400)
    except Exception:
        call.emulator.errors.append(traceback.format_exc())
        return _refusal(Refusal(400, f"The emulator failed: {traceback.format_exc()}"))


def _with_profile(call: Call, reply: Reply) -> Reply:
    if not call.entry.eecu_seconds or _PROFILE_ASKED not in call.entry.headers:
        return reply
    profile = call.emulator.profiles.new(call.entry.eecu_seconds)
    return replace(reply, headers={**reply.headers, _PROFILE: profile})
