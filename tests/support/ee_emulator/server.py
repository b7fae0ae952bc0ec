"""Earth Engine's REST interface on this computer, for tests.

The unmodified client speaks to it after `ee.Initialize(credentials, url=server.url, project=server.project)`.
Expressions are evaluated for real (`evaluate`) on an archive of small scenes; tokens, limits, tasks, files
and faults are imitated. On the same port it has as much of Cloud Storage and of Drive as fetching exported
files takes, and as uploading to a bucket takes. Tables and classifiers can be exported to assets, images
ingested from its buckets (`imports`); assets are listed and deleted.

What ties it to the real service: the packaged discovery document and list of algorithms, published limits,
and messages that users have reported. No recording of the real service exists, so there is no file of its
answers to replay here. Nothing that passes against this server is thereby shown to work on Earth Engine.

Known differences: pixels and exports take an explicit grid only; a mistake of the emulator is a 400; every
bucket exists and can be read without a token; other services answer 404.
"""

from __future__ import annotations

import threading
import traceback
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.assets import Assets
from tests.support.ee_emulator.connection import Server
from tests.support.ee_emulator.drive import Drive
from tests.support.ee_emulator.evaluate import evaluate as own_evaluate
from tests.support.ee_emulator.evaluate import image_pixels as own_image_pixels
from tests.support.ee_emulator.exports import Export
from tests.support.ee_emulator.faults import Refusal
from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.log import Log, LoggedRequest
from tests.support.ee_emulator.pixels import Bands
from tests.support.ee_emulator.plain import plain
from tests.support.ee_emulator.profiles import Profiles
from tests.support.ee_emulator.rules import ClassifierRules
from tests.support.ee_emulator.services import KINDS
from tests.support.ee_emulator.storage import Storage
from tests.support.ee_emulator.tasks import QUEUE_LIMIT, Tasks
from tests.support.ee_emulator.tokens import Tokens
from tests.support.ee_emulator.values import EmulatorError


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
            private_storage: Ask for a token to read Cloud Storage too; otherwise a wrong one is refused, but
                none is needed.
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
        self.assets = Assets()
        """Tables, classifiers, images and folders; empty at first."""
        self.classifier_rules = ClassifierRules()
        """How classifiers behave where nobody knows; may be replaced at any time."""
        self.tokens = Tokens(project)
        self.tasks = Tasks(
            project,
            self._drawing,
            self.value,
            self.storage,
            self.drive,
            self.assets,
            queue_limit=queue_limit,
            at_once=tasks_at_once,
            auto_advance=auto_advance,
        )
        self.profiles = Profiles()
        self.stopped = threading.Event()
        self._evaluate = evaluate or self._own_evaluate
        self._image_pixels = image_pixels or own_image_pixels
        self._plain = plain if evaluate is None else _as_it_is
        self._computing = threading.Lock()  # the evaluator's caches are plain dictionaries
        self._scripts: dict[str, deque[Answer]] = defaultdict(deque)
        self._scripting = threading.Lock()
        self._server: Server | None = None

    def __enter__(self) -> Emulator:
        self._server = Server(self)
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
        """Move every task on by this many states."""
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

    def plain(self, value: Any) -> Any:
        """A value as JSON can tell it."""
        return self._trusted(self._plain, value)

    def bands(self, image: Any, grid: Grid) -> Bands:
        """An image's pixels."""
        return list(self._trusted(self._image_pixels, image, grid))

    def _own_evaluate(self, expression: dict[str, Any], archive: Any) -> Any:
        return own_evaluate(expression, archive, self.assets, self.classifier_rules)

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
        except EmulatorError as error:
            raise Refusal(400, str(error)) from error
        except Exception as error:
            self.errors.append(traceback.format_exc())
            raise Refusal(400, f"The emulator failed: {traceback.format_exc()}") from error


def _as_it_is(value: Any) -> Any:
    return value
