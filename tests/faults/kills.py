"""Commands killed at moments at random; the same command then ends as if nothing had been."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.faults import earth_engine
from tests.faults.assessed import (
    AREAS,
    DISTRICTS,
    FIELDS,
    PAGE,
    PUBLISH,
    REPORT,
    SAMPLE,
    SHEET,
    SIEVE,
    SMOOTH,
    VERIFY_PUBLISHED,
    add_assessed,
)
from tests.faults.commands import Command, Outcome
from tests.faults.mutations import AGAIN, EXPORT, FOREST, MAP, PROBABLE, PSEUDO, SCENES, TRAIN
from tests.faults.places import contents, copied, make_place
from tests.faults.results import Results, differing, results_of
from tests.faults.verdicts import Verdict, left_behind, misbehaviour, was_ended_by

SIGNALS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)

FRESH: Final = 20
"""One case in so many starts a whole interpreter; the others fork one that has imported what they need."""

WORKERS: Final = 33
"""One case in so many works with two worker processes."""

SUBJECTS: Final[tuple[tuple[str, tuple[Any, ...], bool], ...]] = (
    ("map", MAP, False),
    ("export", EXPORT, False),
    ("training", TRAIN, False),
    ("map of a forest", ("predict", *SCENES, "--model", "forest.safetensors", "--out", "new"), False),
    ("layers", (*AGAIN, "run", "--layers", "second,margin"), False),
    ("map from Earth Engine", earth_engine.MAP, True),
    ("samples from Earth Engine", earth_engine.SAMPLE, True),
    ("forest", (*FOREST, "--out", "new.safetensors"), False),
    ("samples of a map", PSEUDO, False),
    ("sample", (*SAMPLE, "new", *DISTRICTS), False),
    ("report of a sample", REPORT, False),
    ("pages of points", (*SHEET, "--interpreters", 2), False),
    ("parcels", (*FIELDS, "parcels.gpkg"), False),
    ("smoothing", SMOOTH, False),
    ("sieve", SIEVE, False),
    ("page", PAGE, False),
    ("publication", (*PUBLISH, "new", *AREAS), False),
    ("publication again", (*PUBLISH, "published", *AREAS), False),
    ("publication verified", VERIFY_PUBLISHED, False),
)  # fmt: skip
"""Name, command, and whether it asks Earth Engine."""


@dataclass(frozen=True)
class Undisturbed:
    """What a command does when left alone."""

    files: Results
    seconds: float
    writes: int


class Kills:
    """The cases of this part; a context manager for the server."""

    kind = "kill"

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self._stack = ExitStack()
        self.undisturbed = cache(self._undisturbed)

    def __enter__(self) -> Kills:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def case(self, number: int) -> tuple[str, Callable[[], Verdict]]:
        """What a case is, and how it is carried out."""
        chance = Random(f"{self.seed}:{self.kind}:{number}")
        subject = number % len(SUBJECTS)
        fresh, workers = number % FRESH == FRESH - 1, number % WORKERS == WORKERS - 1
        name = "map with workers" if workers else SUBJECTS[subject][0]
        return name, lambda: self._carry_out(0 if workers else subject, chance, fresh, workers)

    @cached_property
    def scenes(self) -> Path:
        """The place with scenes, and a finished run."""
        place = make_place(self.folder / "work")
        outcome = Command.of(place, *AGAIN, "run").run()
        assert outcome.code == 0, outcome.stderr
        assert Command.of(place, *PROBABLE).run().code == 0
        add_assessed(place)
        return place.rename(self.folder / "place")  # a run knows where its scenes lie

    @cached_property
    def server(self) -> earth_engine.EarthEnginePlace:
        """The place behind Earth Engine."""
        place = earth_engine.earth_engine_place(self.folder / "earth_engine")
        return self._stack.enter_context(place)

    def _prepared(self, subject: int) -> tuple[Command, Path]:
        """A command in a new copy of its place, and the copy."""
        _, arguments, remote = SUBJECTS[subject]
        place = self.server.folder if remote else self.scenes
        folder = copied(place, self.folder / "work")
        command = self.server.command if remote else Command.of
        return command(folder, *arguments), folder

    def _undisturbed(self, subject: int) -> Undisturbed:
        command, folder = self._prepared(subject)
        outcome = command.run()
        assert outcome.code == 0, f"undisturbed, {command.arguments} fails: {outcome.stderr}"
        found = Undisturbed(results_of(folder), outcome.seconds, outcome.writes)
        shutil.rmtree(folder)
        return found

    def _carry_out(self, subject: int, chance: Random, fresh: bool, workers: bool) -> Verdict:
        calm = self.undisturbed(subject)
        command, folder = self._prepared(subject)
        before = set(contents(folder))
        if workers:
            more = tuple(
                "2" if former == "--workers" else word for former, word in _with_former(command.arguments)
            )
            command = replace(command, arguments=more)
        told = []
        try:
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                words, wrong = _disturbed(command, calm, chance, fresh, workers)
                told.append(words)
                if wrong:
                    return Verdict(f"{'; '.join(told)}: {wrong}", True)
            return _concluded(command, calm, folder, before, "; ".join(told))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _with_former(words: tuple[str, ...]) -> zip[tuple[str, str]]:
    return zip(("", *words), words, strict=False)


def _disturbed(
    command: Command, calm: Undisturbed, chance: Random, fresh: bool, workers: bool
) -> tuple[str, str | None]:
    """Carry a command out with one signal; what was done, and what it did wrong."""
    number = chance.choice(SIGNALS)
    share, write = chance.random() * 1.05, chance.randint(1, calm.writes)
    by_time = chance.random() < 0.4 or workers
    if by_time:
        seconds = share * calm.seconds + (share * 12 if workers else 0)
        words = f"{number.name} after {seconds:.2f} s"
        with command.started(fresh=fresh) as process:
            process.has_begun()
            process.wait(seconds)
            process.send(number)
            outcome = process.ended()
    else:
        words = f"{number.name} at write {write}"
        with command.started((write, number), fresh=fresh) as process:
            outcome = process.ended()
    return f"{words} -> {outcome.code}", misbehaviour(outcome, was_ended_by(number))


def _concluded(command: Command, calm: Undisturbed, folder: Path, before: set[str], told: str) -> Verdict:
    """The same command, left alone at last."""
    outcome: Outcome = command.run()
    wrong = misbehaviour(outcome, (0,)) or left_behind(folder, before)
    if wrong:
        return Verdict(f"{told}; then {wrong}", True)
    if other := differing(results_of(folder), calm.files):
        return Verdict(f"{told}; then another result: {other}", True)
    return Verdict(f"same, after {told}")
