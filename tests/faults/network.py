"""Servers that misbehave: a STAC API and catalog with scenes over http, and Earth Engine by its emulator."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random
from typing import Any, Final

from gee_pipeline.stac import web
from gee_pipeline.stac.composites import reading
from tests.faults import earth_engine
from tests.faults.commands import Command, quick
from tests.faults.mutations import AREA
from tests.faults.mutators import flip_bits, truncated, zeroed
from tests.faults.places import CELL, contents, copied, make_place
from tests.faults.results import Results, differing, results_of
from tests.faults.servers import CLOSING, FAULTS, WebFault, page_faults
from tests.faults.verdicts import Verdict, left_behind, misbehaviour
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.stac_server import Asked, Server, landing, send, serving

GDAL: Final = {
    "GDAL_HTTP_TIMEOUT": "4", "GDAL_HTTP_CONNECTTIMEOUT": "2", "GDAL_HTTP_LOW_SPEED_TIME": "2",
    "GDAL_HTTP_RETRY_DELAY": "0.05", "GDAL_HTTP_MAX_RETRY": "4", "NO_PROXY": "127.0.0.1",
}  # fmt: skip
"""Shorter waits than cropmap sets; variables of the user's win."""

FOR_GOOD: Final = 10**6


def hurried() -> None:
    """Nobody waits long for a document."""
    quick()
    web.PATIENCE, web.LISTING_PATIENCE, web._CONNECTING = 4.0, 12.0, 2.0  # type: ignore[misc]
    web._FIRST_PAUSE, web._LARGEST = 0.02, 2**23  # type: ignore[misc]
    reading._FIRST_WAIT = {True: 0.02, False: 0.01}  # type: ignore[misc,assignment]


@dataclass
class Trouble:
    """Which requests get a wrong answer: those of a kind, from one on, so many of them."""

    fits: Callable[[str], bool]
    first: int
    times: int
    seen: int = 0

    def meets(self, what: str) -> bool:
        """Whether this request does."""
        if not self.fits(what):
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.times


class Web:
    """A STAC API and a static catalog of the scenes of a place, behind secrets."""

    def __init__(self, server: Server, place: Path) -> None:
        self.server, self.url = server, server.url
        self.trouble: tuple[Trouble, WebFault] | None = None
        scenes = place / "scenes"
        items = [json.loads(path.read_text()) for path in sorted(scenes.glob("*/item.json"))]
        for item in items:
            item["collection"] = "s2"
            for asset in item["assets"].values():
                asset["href"] = f"{self.url}/{item['id']}/{asset['href'][2:]}?sig=SIGNATURE"
            self._serve(f"/{item['id']}/item.json", json.dumps(item).encode())
        for path in scenes.rglob("*.tif"):
            self._serve(f"/{path.relative_to(scenes).as_posix()}", path.read_bytes())
        for name in ("catalog.json", "collection.json"):
            self._serve(f"/{name}", (scenes / name).read_bytes())
        api = landing(self.url, "GET", ("https://api.stacspec.org/v1.0.0/item-search",))
        self._serve("/", json.dumps(api).encode())
        page = {"type": "FeatureCollection", "features": items, "links": []}
        self._serve("/search", json.dumps(page).encode())
        self._serve("/collections", json.dumps({"collections": [{"id": "s2"}], "links": []}).encode())

    def _serve(self, path: str, content: bytes) -> None:
        def answer(handler: BaseHTTPRequestHandler, asked: Asked) -> None:
            if self.trouble and self.trouble[0].meets(path):
                with suppress(OSError):  # who asked has hung up
                    self.trouble[1].answer(handler, content)
            else:
                send(handler, 200, content)

        self.server.answers[path] = answer

    def source(self, name: str) -> str:
        """The address of the API or the catalog, with a password and a token."""
        return f"{self.url.replace('://', '://me:PASSWORD@')}/{name}?token=TOKEN1"


WEB_TARGETS: Final[tuple[tuple[str, str, Callable[[str], bool]], ...]] = (
    ("catalog", "catalog.json", lambda path: path == "/catalog.json"),
    ("collection", "catalog.json", lambda path: path == "/collection.json"),
    ("item", "catalog.json", lambda path: path.endswith("/item.json")),
    ("scene", "catalog.json", lambda path: path.endswith(".tif")),
    ("API", "", lambda path: path == "/"),
    ("search", "", lambda path: path == "/search"),
    ("scene of an API", "", lambda path: path.endswith(".tif")),
)
"""What misbehaves, the source that a command is given, and the requests that it concerns."""


def ee_answers(chance: Random) -> tuple[tuple[str, Answer], ...]:
    """What Earth Engine may do to a request."""
    too_many = "Too Many Requests: Request was rejected because the request rate limit was exceeded."

    def headed(answer: Answer, **headers: str) -> Answer:
        return replace(answer, headers={key.replace("_", "-"): value for key, value in headers.items()})

    return (
        *(
            (f"{n}", Answer.error(n, "Something is wrong."))
            for n in (400, 401, 403, 404, 413, 500, 502, 503, 504)
        ),
        ("429", Answer.error(429, too_many)),
        ("429, Retry-After", headed(Answer.error(429, too_many), Retry_After="99999999")),
        ("no memory", Answer.error(400, "User memory limit exceeded.")),
        ("timed out", Answer.error(400, "Computation timed out.")),
        ("silence", Answer.silent()),
        ("truncated", Answer.truncated()),
        ("trickle", Answer.trickle()),
        ("reset", Answer.close()),
        ("HTML", Answer.bytes(b"<html>Please log in.</html>")),
        ("nothing", Answer.bytes(b"")),
        ("null", Answer.bytes(b"null")),
        ("a list", Answer.bytes(b"[1, 2]")),
        ("an empty object", Answer.bytes(b"{}")),
        ("nested deeply", Answer.bytes(b"[" * 10_000 + b"]" * 10_000)),
        ("said to be gzip", headed(Answer.ok(), Content_Encoding="gzip")),
        ("bits flipped", Answer.changed(lambda true: flip_bits(true, chance))),
        ("half, whole", Answer.changed(lambda true: truncated(true, chance))),
        ("zeros", Answer.changed(lambda true: zeroed(true, chance))),
        ("restricted", Answer.restricted()),
    )


EE_KINDS: Final = ("discovery", "token", "algorithms", "value", "pixels")
EE_COMMANDS: Final = {"map": earth_engine.MAP, "samples": earth_engine.SAMPLE}


class Network:
    """The cases of this part; a context manager for the servers."""

    kind = "network"

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self._stack = ExitStack()
        self._expected: dict[tuple[Any, ...], Results] = {}

    def __enter__(self) -> Network:
        CLOSING.clear()
        return self

    def __exit__(self, *_: object) -> None:
        CLOSING.set()
        self._stack.close()

    @cached_property
    def place(self) -> Path:
        """Files of the user's."""
        return make_place(self.folder / "place")

    @cached_property
    def web(self) -> Web:
        """The scenes over http."""
        return Web(self._stack.enter_context(serving()), self.place)

    @cached_property
    def earth_engine(self) -> earth_engine.EarthEnginePlace:
        """The place behind Earth Engine."""
        return self._stack.enter_context(earth_engine.earth_engine_place(self.folder / "earth_engine"))

    def case(self, number: int) -> tuple[str, Callable[[], Verdict]]:
        """What a case is, and how it is carried out."""
        chance = Random(f"{self.seed}:{self.kind}:{number}")
        return self._earth_engine_case(chance) if number % 3 == 2 else self._web_case(chance)

    def _web_case(self, chance: Random) -> tuple[str, Callable[[], Verdict]]:
        title, source, fits = chance.choice(WEB_TARGETS)
        more = page_faults(self.web.url) * 3 if title == "search" else ()
        fault = chance.choice(FAULTS + more)
        trouble = Trouble(fits, chance.choice((1, 1, 1, 2, 4)), chance.choice((1, 2, FOR_GOOD)))

        def carry_out() -> Verdict:
            arguments = (
                "--bands",
                "B2,B8",
                "--window",
                "121:135",
                "--cell-size",
                CELL,
                "--workers",
                0,
                "--quiet",
            )
            collection = () if source else ("--collection", "s2")
            words = (
                "export",
                *AREA,
                "--source",
                self.web.source(source),
                *arguments,
                *collection,
                "--out",
                "new",
            )

            def command(folder: Path) -> Command:
                return replace(Command.of(folder, *words, **GDAL), prepare=hurried)

            def disturb(on: bool) -> None:
                self.web.trouble = (trouble, fault) if on else None

            return self._judged(("web", source), self.place, command, disturb, lawful=fault.content)

        return f"{title}: {fault.name}, {_spoken(trouble)}", carry_out

    def _earth_engine_case(self, chance: Random) -> tuple[str, Callable[[], Verdict]]:
        kind, what = chance.choice(EE_KINDS), chance.choice(tuple(EE_COMMANDS))
        name, answer = chance.choice(ee_answers(chance))
        trouble = Trouble(
            lambda asked: asked == kind,
            1 if kind != "pixels" else chance.choice((1, 1, 2, 3)),
            chance.choice((1, 3, FOR_GOOD)),
        )
        expires = chance.random() < 0.1

        def rule(request: LoggedRequest) -> Answer | None:
            if not trouble.meets(request.kind):
                return None
            if expires:
                self.earth_engine.server.expire_tokens()
                return None
            return answer

        def carry_out() -> Verdict:
            def command(folder: Path) -> Command:
                return self.earth_engine.command(folder, *EE_COMMANDS[what])

            def disturb(on: bool) -> None:
                self.earth_engine.server.rule = rule if on else None

            place = self.earth_engine.folder
            return self._judged(
                ("ee", what), place, command, disturb, lawful=name in ("zeros", "bits flipped")
            )

        told = "expired tokens" if expires else name
        return f"Earth Engine {what}, {kind}: {told}, {_spoken(trouble)}", carry_out

    def _judged(
        self,
        key: tuple[Any, ...],
        place: Path,
        command: Callable[[Path], Command],
        disturb: Callable[[bool], None],
        lawful: bool,
    ) -> Verdict:
        """The command under a fault and, where it does not end well, once more without."""
        if key not in self._expected:
            self._expected[key] = self._undisturbed(place, command)
        folder = copied(place, self.folder / "work")
        before = set(contents(folder))
        try:
            disturb(True)
            first = _attempt(command(folder), folder, before, self._expected[key], lawful)
            disturb(False)
            if first.wrong or not first.words.startswith("refused"):
                return first
            again = _attempt(command(folder), folder, before, self._expected[key], False)
            return Verdict(f"{first.words}, then {again.words}", again.words != "same")
        finally:
            disturb(False)
            shutil.rmtree(folder, ignore_errors=True)

    def _undisturbed(self, place: Path, command: Callable[[Path], Command]) -> Results:
        folder = copied(place, self.folder / "work")
        outcome = command(folder).run()
        assert outcome.code == 0, f"undisturbed, {command(folder).arguments} fails: {outcome.stderr}"
        found = _results(folder)
        shutil.rmtree(folder)
        return found


def _attempt(command: Command, folder: Path, before: set[str], expected: Results, lawful: bool) -> Verdict:
    outcome = command.run()
    wrong = misbehaviour(outcome) or left_behind(folder, before)
    if wrong:
        return Verdict(wrong, True)
    if outcome.code:
        message = next(line for line in outcome.stderr.splitlines() if line.startswith("Error: "))
        return Verdict(f"refused {outcome.code}: {message[7:190]}")
    if other := differing(_results(folder), expected):
        return Verdict(f"{'other input' if lawful else 'another result'}: {other}", not lawful)
    return Verdict("same")


def _results(folder: Path) -> Results:
    return results_of(folder, ("new/**/*", "new*"))


def _spoken(trouble: Trouble) -> str:
    often = "for good" if trouble.times == FOR_GOOD else f"{trouble.times} times"
    return f"from request {trouble.first} on, {often}"
