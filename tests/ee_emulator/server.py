"""Earth Engine's REST interface on this computer, for tests.

The unmodified client speaks to it after `ee.Initialize(credentials, url=server.url, project=server.project)`.
Expressions are evaluated for real (`evaluate`) on an archive of small scenes; tokens, limits, tasks, files and
faults are imitated. On the same port it has as much of Cloud Storage and of Drive as fetching exported files takes.

What ties it to the real service: the packaged discovery document and list of algorithms, published limits, and
messages that users have reported. No recording of the real service exists, so there is no file of its answers to
replay here. Nothing that passes against this server is thereby shown to work on Earth Engine.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import struct
import sys
import threading
import traceback
from collections import defaultdict, deque
from collections.abc import Callable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np

from .answers import Answer, Manner
from .drive import Drive
from .exports import Export
from .faults import Refusal, bad_token, foreign_project, no_token, unknown_field
from .grid import Grid
from .log import Log, LoggedRequest
from .pixels import PAYLOAD_LIMIT, Bands, asked_grid, check_size, chosen, encode, may_be_too_large
from .profiles import Profiles, asked_profiles, cost
from .storage import Storage
from .tasks import QUEUE_LIMIT, Task, Tasks
from .tokens import Denied, Tokens

KINDS: Final = (
    "discovery",
    "algorithms",
    "token",
    "value",
    "pixels",
    "export",
    "operation",
    "operations",
    "storage",
    "drive",
)

_ROUTES: Final = tuple(
    (method, re.compile(pattern), kind, handler)
    for method, pattern, kind, handler in (
        ("GET", r"/\$discovery/rest", "discovery", "_discovery"),
        ("POST", r"/token", "token", "_token"),
        ("GET", r"/v1/projects/([^/]+)/algorithms", "algorithms", "_algorithms"),
        ("POST", r"/v1/projects/([^/]+)/value:compute", "value", "_value"),
        ("POST", r"/v1/projects/([^/]+)/image:computePixels", "pixels", "_pixels"),
        ("POST", r"/v1/projects/([^/]+)/image:export", "export", "_export_image"),
        ("POST", r"/v1/projects/([^/]+)/classifier:export", "export", "_export_classifier"),
        ("GET", r"/v1/projects/([^/]+)/operations", "operations", "_operations"),
        ("GET", r"/v1/projects/([^/]+)/operations/([A-Z0-9]+)", "operation", "_operation"),
        ("POST", r"/v1/projects/([^/]+)/operations/([A-Z0-9]+):cancel", "operation", "_cancel"),
        ("GET", r"/storage/v1/b/([^/]+)", "storage", "_bucket"),
        ("GET", r"/storage/v1/b/([^/]+)/o", "storage", "_objects"),
        ("GET", r"(?:/download)?/storage/v1/b/([^/]+)/o/(.+)", "storage", "_object"),
        ("DELETE", r"/storage/v1/b/([^/]+)/o/(.+)", "storage", "_delete_object"),
        ("GET", r"/drive/v3/files", "drive", "_files"),
        ("GET", r"/drive/v3/files/([^/]+)", "drive", "_file"),
        ("DELETE", r"/drive/v3/files/([^/]+)", "drive", "_delete_file"),
    )
)

_LEGACY_PROJECT: Final = "earthengine-legacy"
"""What the client names when it was given no project: that of the service account counts."""

_JSON: Final = "application/json; charset=UTF-8"
_RESET: Final = struct.pack("ii", 1, 0)


class Reply(Exception):
    """Not an error: bytes to send with another status than 200, or another type than JSON."""

    def __init__(self, body: bytes, *, status: int = 200, kind: str = _JSON, **headers: str) -> None:
        self.body = body
        self.status = status
        self.headers = {"Content-Type": kind} | {n.replace("_", "-"): v for n, v in headers.items()}


class Emulator:
    """The server; a context manager that starts and stops it.

    Example:
        with Emulator(archive) as server:
            key = ee.ServiceAccountCredentials(None, str(server.key_file(folder)))
            ee.Initialize(key, url=server.url, project=server.project)
    """

    def __init__(
        self,
        archive: Any,
        project: str = "crop-maps",
        *,
        evaluate: Callable[[dict[str, Any], Any], Any] | None = None,
        image_pixels: Callable[[Any, Grid], Bands] | None = None,
        anonymous: bool = False,
        private_storage: bool = False,
        queue_limit: int = QUEUE_LIMIT,
        tasks_at_once: int | None = None,
        auto_advance: bool = True,
    ) -> None:
        """Make ready to serve.

        Args:
            archive: What `evaluate` looks assets up in.
            project: The only project that may be used.
            evaluate: In place of the emulator's own evaluator.
            image_pixels: In place of the emulator's own.
            anonymous: Ask for no tokens at all.
            private_storage: Ask for a token to read Cloud Storage too; otherwise a wrong one is refused, but none
                is needed.
            queue_limit: Tasks that may wait.
            tasks_at_once: Tasks that run at the same time; None is all.
            auto_advance: Each look at a task moves it on by one state. Otherwise `advance` does.
        """
        self.archive = archive
        self.project = project
        self.anonymous = anonymous
        self.private_storage = private_storage
        self.rule: Callable[[LoggedRequest], Answer | None] | None = None
        """Asked for each request whose kind has no scripted answer left; None answers truly."""
        self.log = Log()
        self.errors: list[str] = []
        """Tracebacks of mistakes in the emulator itself; a test's last look."""
        self.storage = Storage()
        self.drive = Drive()
        self.tokens = Tokens(project)
        self.tasks = Tasks(
            project,
            self._drawing,
            self.storage,
            self.drive,
            queue_limit=queue_limit,
            at_once=tasks_at_once,
            auto_advance=auto_advance,
        )
        self.profiles = Profiles()
        self.stopped = threading.Event()
        self._evaluate = evaluate or _own("evaluate")
        self._image_pixels = image_pixels or _own("image_pixels")
        self._computing = threading.Lock()  # the evaluator's caches are plain dictionaries
        self._scripts: dict[str, deque[Answer]] = defaultdict(deque)
        self._scripting = threading.Lock()
        self._server: _Server | None = None

    def __enter__(self) -> Emulator:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop at once, whatever is under way."""
        self.stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()

    @property
    def url(self) -> str:
        """Root of all its interfaces."""
        assert self._server is not None, "The emulator runs within a with block."
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def eecu_seconds(self) -> float:
        """Sum of what interactive requests were charged (made up, see `profiles`)."""
        return round(sum(entry.eecu_seconds for entry in self.log), 3)

    @property
    def batch_eecu_seconds(self) -> float:
        """Sum of what tasks were charged."""
        return round(self.tasks.eecu_seconds, 3)

    def key_file(self, folder: Path) -> Path:
        """Write a service account's key, whose token endpoint is this server."""
        return self.tokens.write_key(folder, self.url)

    def expire_tokens(self) -> None:
        """Make every token given so far useless; the client can get a new one."""
        self.tokens.expire()

    def script(self, kind: str, *answers: Answer) -> None:
        """Answers of the next requests of a kind, in order; then the truth again."""
        if kind not in KINDS:
            raise ValueError(f"A kind is one of {', '.join(KINDS)}, got {kind!r}.")
        with self._scripting:
            self._scripts[kind].extend(answers)

    def script_tasks(self, *failures: str | None) -> None:
        """Messages with which the next tasks fail, in order of their start; None lets one succeed."""
        self.tasks.failures.extend(failures)

    def advance(self, steps: int = 1) -> None:
        """Move every task on by so many states."""
        self.tasks.advance(steps)

    def answer_for(self, entry: LoggedRequest) -> Answer:
        """What a request gets: the script, then the rule, then the truth."""
        with self._scripting:
            if self._scripts[entry.kind]:
                return self._scripts[entry.kind].popleft()
        return (self.rule(entry) if self.rule else None) or Answer.ok()

    def value(self, expression: dict[str, Any]) -> Any:
        """An expression's value."""
        return self._trusted(self._evaluate, expression, self.archive)

    def bands(self, image: Any, grid: Grid) -> Bands:
        """An image's pixels."""
        return list(self._trusted(self._image_pixels, image, grid))

    def _drawing(self, export: Export) -> Callable[[Grid], Bands]:
        image = self.value(export.expression)
        return lambda grid: self.bands(image, grid)

    def _trusted(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the evaluator; what it refuses is the client's fault, anything else is kept as ours.

        A mistake of ours is answered 400 as well: the client would try a 500 again for minutes.
        """
        try:
            with self._computing:
                return function(*arguments)
        except Refusal:
            raise
        except Exception as error:
            if type(error).__module__.startswith("ee_emulator"):
                raise Refusal(400, str(error)) from error
            self.errors.append(traceback.format_exc())
            raise Refusal(400, f"The emulator failed: {traceback.format_exc()}") from error


def _own(name: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        from . import evaluate

        return getattr(evaluate, name)(*arguments)

    return call


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask a name server for this computer's name
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in tuple(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed in the meantime

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError) and not self.emulator.stopped.is_set():
            self.emulator.errors.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together, without the 40 ms that two small packets may take
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr; `Emulator.log` has it all."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_GET
    do_DELETE = do_GET

    # one request, from its first byte to its last

    def _serve(self) -> None:
        self.emulator = self.server.emulator
        address = urlsplit(self.path)
        self.query = dict(parse_qsl(address.query))
        self.raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind, compute = self._route(address.path)
        self.entry = LoggedRequest(kind, self.command, self.path, self._json(), self._told_headers())
        self.emulator.log.begin(self.entry)
        self._over = False
        try:
            self._answer(compute)
        finally:
            self._end()

    def _answer(self, compute: Callable[[], bytes]) -> None:
        refusal = self._refused()
        answer = Answer.ok() if refusal else self.emulator.answer_for(self.entry)
        if answer.delay:
            self.emulator.stopped.wait(answer.delay)
        if answer.manner is Manner.SILENT:
            self._wait_for_the_end()
        if answer.manner in (Manner.SILENT, Manner.CLOSED):
            self._reset()
            return
        reply = Reply(refusal.body, status=refusal.status) if refusal else self._reply(answer, compute)
        reply.headers |= answer.headers
        self._send(reply, answer.manner)

    def _reply(self, answer: Answer, compute: Callable[[], bytes]) -> Reply:
        if answer.status != 200:
            refusal = Refusal(answer.status, answer.message, answer.details)
            return Reply(refusal.body, status=refusal.status)
        if answer.body is not None:
            return Reply(answer.body)
        reply = self._computed(compute)
        if answer.change is not None and reply.status == 200:
            reply.body = answer.change(reply.body)
        return reply

    def _computed(self, compute: Callable[[], bytes]) -> Reply:
        try:
            reply = Reply(compute())
        except Refusal as refusal:
            return Reply(refusal.body, status=refusal.status)
        except Denied as denied:
            return Reply(denied.body, status=400)
        except Reply as other:
            reply = other
        except Exception:
            self.emulator.errors.append(traceback.format_exc())
            refusal = Refusal(400, f"The emulator failed: {traceback.format_exc()}")
            return Reply(refusal.body, status=refusal.status)
        if self.entry.eecu_seconds and self.headers.get("X-Earth-Engine-Computation-Profiling"):
            profile = self.emulator.profiles.new(self.entry.eecu_seconds)
            reply.headers["x-earth-engine-computation-profile"] = profile
        return reply

    def _send(self, reply: Reply, manner: Manner) -> None:
        body = reply.body
        self.entry.status, self.entry.sent = reply.status, len(body)
        self._end()  # before the bytes leave: the client's next request must not count this one
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if manner is Manner.TRICKLE:
            self._trickle(body)
        elif manner is Manner.TRUNCATED:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def _trickle(self, body: bytes) -> None:
        for position in range(len(body) - 1):
            self.wfile.write(body[position : position + 1])
            self.wfile.flush()
            if self.emulator.stopped.wait(0.05):
                break
        self._reset()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self.emulator.log.end(self.entry)

    def _wait_for_the_end(self) -> None:
        """Until the emulator stops or the client hangs up."""
        self.connection.settimeout(0.02)
        while not self.emulator.stopped.is_set():
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return
                self.emulator.stopped.wait(0.02)
            except TimeoutError:
                continue

    def _reset(self) -> None:
        """End the connection so that the client sees a reset, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.connection.shutdown(socket.SHUT_RD)

    # what was asked, and whether it may be

    def _route(self, path: str) -> tuple[str, Callable[[], bytes]]:
        for method, pattern, kind, handler in _ROUTES:
            match = pattern.fullmatch(path)
            if match and method == self.command:
                self.parts = [unquote(part) for part in match.groups()]
                return kind, getattr(self, handler)
        self.parts = []
        return "unknown", self._unknown

    def _json(self) -> dict[str, Any] | None:
        if not self.raw or "json" not in self.headers.get("Content-Type", "json"):
            return None
        try:
            body = json.loads(self.raw)
        except ValueError:
            return None
        return body if isinstance(body, dict) else None

    def _told_headers(self) -> dict[str, str]:
        return {
            name.lower(): value for name, value in self.headers.items() if name.lower() != "authorization"
        }

    def _refused(self) -> Refusal | None:
        if len(self.raw) > PAYLOAD_LIMIT:
            return Refusal(400, f"Request payload size exceeds the limit: {PAYLOAD_LIMIT} bytes.")
        return self._refused_token() or self._refused_project()

    def _refused_token(self) -> Refusal | None:
        kind, emulator = self.entry.kind, self.emulator
        if emulator.anonymous or kind in ("discovery", "token"):
            return None
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if not token:
            public = kind == "storage" and not emulator.private_storage
            return None if public else no_token()
        return None if scheme == "Bearer" and emulator.tokens.good(token) else bad_token()

    def _refused_project(self) -> Refusal | None:
        if not self.path.startswith("/v1/") or not self.parts:
            return None
        mine = self.emulator.project
        if self.parts[0] not in (mine, _LEGACY_PROJECT):
            return foreign_project(self.parts[0])
        asked = self.headers.get("X-Goog-User-Project", mine)
        return None if asked == mine else foreign_project(asked)

    def _body(self) -> dict[str, Any]:
        if self.entry.body is None:
            raise Refusal(400, "Invalid JSON payload received.")
        return self.entry.body

    # Earth Engine

    def _unknown(self) -> bytes:
        raise Refusal(404, f"The emulator does not know {self.command} {self.path}.")

    def _discovery(self) -> bytes:
        if self.query.get("version") != "v1":
            raise Refusal(404, f"The emulator speaks v1 only, not {self.query.get('version')}.")
        document = json.loads(_discovery_document())
        document["rootUrl"] = document["baseUrl"] = f"{self.emulator.url}/"
        return json.dumps(document).encode()

    def _token(self) -> bytes:
        return self.emulator.tokens.grant(dict(parse_qsl(self.raw.decode())))

    def _algorithms(self) -> bytes:
        return _algorithms()

    def _value(self) -> bytes:
        body = self._body()
        if unknown := set(body) - {"expression", "workloadTag"}:
            raise unknown_field(min(unknown))
        profiles = asked_profiles(body["expression"])
        if profiles is not None:
            result: Any = self.emulator.profiles.table(profiles)
        else:
            result = self.emulator.value(body["expression"])
            self.entry.eecu_seconds = cost(0)
        return json.dumps({"result": result}, default=_plain).encode()

    def _pixels(self) -> bytes:
        body = self._body()
        grid = self.entry.grid = asked_grid(body)
        names = body.get("bandIds", [])
        image = self.emulator.value(body["expression"])
        if may_be_too_large(grid):
            check_size(chosen(self.emulator.bands(image, grid.corner()), names), grid)
        bands = chosen(self.emulator.bands(image, grid), names)
        check_size(bands, grid)
        self.entry.bands = tuple(name for name, _, _ in bands)
        self.entry.eecu_seconds = cost(len(bands) * grid.width * grid.height)
        raise Reply(encode(bands, grid, body["fileFormat"]), kind="application/octet-stream")

    def _export_image(self) -> bytes:
        task = self._start("EXPORT_IMAGE")
        if task.export is not None:
            self.entry.grid = task.export.grid
        return json.dumps(task.resource()).encode()

    def _export_classifier(self) -> bytes:
        return json.dumps(self._start("EXPORT_CLASSIFIER").resource()).encode()

    def _start(self, kind: str) -> Task:
        return self.emulator.tasks.start(self._body(), kind)[0]

    def _operations(self) -> bytes:
        return self.emulator.tasks.listing(self.query)

    def _operation(self) -> bytes:
        return self.emulator.tasks.look(self._operation_name())

    def _cancel(self) -> bytes:
        return self.emulator.tasks.cancel(self._operation_name())

    def _operation_name(self) -> str:
        return f"projects/{self.emulator.project}/operations/{self.parts[1]}"

    # Cloud Storage

    def _bucket(self) -> bytes:
        return self.emulator.storage.bucket_metadata(self.parts[0])

    def _objects(self) -> bytes:
        return self.emulator.storage.listing(self.parts[0], self.query, self.emulator.url)

    def _object(self) -> bytes:
        metadata = self.emulator.storage.metadata(*self.parts, self.emulator.url)
        if self.query.get("generation", metadata["generation"]) != metadata["generation"]:
            raise Refusal(404, f"No such object: {'/'.join(self.parts)}#{self.query['generation']}")
        if self.query.get("alt") != "media" and not self.path.startswith("/download/"):
            return json.dumps(metadata).encode()
        hashes = f"crc32c={metadata['crc32c']},md5={metadata['md5Hash']}"
        raise self._media(self.emulator.storage.get(*self.parts), X_Goog_Hash=hashes)

    def _delete_object(self) -> bytes:
        self.emulator.storage.delete(*self.parts)
        raise Reply(b"", status=204)

    # Drive

    def _files(self) -> bytes:
        return self.emulator.drive.listing(self.query)

    def _file(self) -> bytes:
        file = self.emulator.drive.get(self.parts[0])
        if self.query.get("alt") != "media":
            return json.dumps(file.resource()).encode()
        raise self._media(file.data)

    def _delete_file(self) -> bytes:
        self.emulator.drive.delete(self.parts[0])
        raise Reply(b"", status=204)

    def _media(self, data: bytes, **headers: str) -> Reply:
        """A file's bytes, or the part that a Range header asks for."""
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return Reply(data, kind="image/tiff", **headers)
        first, last = wanted.groups()
        start = int(first) if first else max(len(data) - int(last), 0)
        end = min(int(last), len(data) - 1) if first and last else len(data) - 1
        if start > end:
            return Reply(b"", status=416, Content_Range=f"bytes */{len(data)}")
        span = f"bytes {start}-{end}/{len(data)}"
        return Reply(data[start : end + 1], status=206, kind="image/tiff", Content_Range=span, **headers)


@lru_cache(maxsize=1)
def _discovery_document() -> str:
    """The packaged document as version 1, with `classifier:export`, which it lacks."""
    text = (resources.files("ee") / "tests" / "cloud_api_discovery_document.json").read_text()
    document = json.loads(text.replace("v1alpha", "v1"))
    projects = document["resources"]["projects"]["resources"]
    image = json.dumps({"methods": {"export": projects["image"]["methods"]["export"]}})
    projects["classifier"] = json.loads(
        image.replace("image:export", "classifier:export").replace("image.", "classifier.")
    )
    return json.dumps(document)


@lru_cache(maxsize=1)
def _algorithms() -> bytes:
    return (resources.files("ee") / "tests" / "algorithms.json").read_bytes()


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as JSON knows them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise Refusal(400, f"The emulator cannot tell a {type(value).__name__} as JSON.")
