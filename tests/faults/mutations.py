"""Every kind of file that cropmap reads, damaged in every way; the oracle is the undisturbed command."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.faults.assessed import (
    AREAS,
    DISTRICTS,
    ELSEWHERE,
    FIELDS,
    PAGE,
    PUBLISH,
    RASTER,
    REPORT,
    SAMPLE,
    SHEET,
    SIEVE,
    SMOOTH,
    VERIFY,
    VERIFY_PUBLISHED,
    VISITS,
    add_assessed,
)
from tests.faults.commands import Command, Outcome
from tests.faults.mutators import GONE, Mutator, those_for
from tests.faults.places import CELL, YEAR, contents, copied, make_place, restore
from tests.faults.results import Results, differing, results_of
from tests.faults.verdicts import Verdict, left_behind, misbehaviour

OLD_TASKS: Final = Path(__file__).parents[1] / "written_by_0_1_0" / "tasks" / "tasks.jsonl"
"""What batch tasks of another run did: a map counts their computing time, and nothing else."""

AREA: Final = ("--aoi", "area.geojson", "--year", YEAR)
SCENES: Final = (*AREA, "--source", "scenes/catalog.json", "--workers", 0, "--cell-size", CELL, "--quiet")
LABELS: Final = (
    "--bands", "B2,B8", "--window", "121:135", "--year", YEAR, "--min-clear-bins", 2, "--label-column", "lbl",
)  # fmt: skip
MAP: Final = ("predict", *SCENES, "--model", "model.safetensors", "--out", "new")
AGAIN: Final = ("predict", *SCENES, "--model", "model.safetensors", "--out")
EXPORT: Final = ("export", *SCENES, "--bands", "B2,B8", "--window", "121:135", "--out", "new")
TRAIN: Final = (
    "train", "samples.npz", *LABELS, "--split", "random", "--held-out", 0.3, "--epochs", 2, "--batch-size", 8,
    "--model", "mlp", "--device", "cpu", "--no-curves", "--quiet", "--out", "trained.safetensors",
)  # fmt: skip
PSEUDO: Final = (
    "forest", "pseudo-label", "--run", "run", "--out", "new/pseudo.npz", "--passes", 0, "--neighbours", 0,
    "--confidence", 10, "--quiet",
)  # fmt: skip

FOREST: Final = ("forest", "train", "samples.csv", *LABELS, "--split", "random", "--trees", 3, "--quiet")
REFERENCE: Final = (*PSEUDO, "--reference", "reference.tif", "--classes-table", "table.toml")
LIKE: Final = (*(word for word in MAP if word not in ("--cell-size", CELL)), "--like", "like.tif")
CONFIG: Final = ("predict", "--config", "run/run.toml", "--quiet")
SHAPE: Final = "area.[sdpc][hbrp][pxfjg]"
"""The parts of a Shapefile."""
PROBABLE: Final = (*AGAIN, "probable", "--layers", "probabilities")
EVALUATE: Final = ("evaluate", "model.safetensors", *LABELS, "--by", "sample", "--json")
RUN: Final = ("run/**/*",)
SMOOTHED: Final = ("*/smoothed/**/*",)
SHEETS: Final = ("sample/sheet/**/*",)
HALF: Final = ("half/**/*",)
TABLES: Final = ("new/areas.csv", "new/statistics.csv", "new/*/metadata.xml")


def info(name: str, *more: Any) -> tuple[Any, ...]:
    """`cropmap samples info` of a file."""
    return ("samples", "info", name, *LABELS, *more, "--json")


@dataclass(frozen=True)
class Subject:
    """Files of one kind, and a command that reads them."""

    name: str
    files: str
    """Pattern of the files below the place, one of which is damaged."""
    command: tuple[Any, ...]
    given: bool = True
    """Whether they are the user's own; a valid file of other content is then another input, with another
    result. What cropmap wrote itself gives the same result, or none; but rasters of a map are believed, and
    looked at by 'cropmap verify'."""
    results: tuple[str, ...] = ("new/**/*",)
    """Patterns of the files that the command makes."""
    may_lack: bool = False
    """Whether the command does without files that are gone, and says so."""
    told: bool = False
    """Whether what it prints is its result."""

    def results_of(self, folder: Path, outcome: Outcome) -> Results:
        """What the command made."""
        found = results_of(folder, self.results, "pixels" if self.given else "shown")
        return found | ({"stdout": outcome.stdout.encode()} if self.told else {})


SUBJECTS: Final = (
    Subject("area.geojson", "area.geojson", ("season", "--aoi", "area.geojson", "--json"), told=True),
    Subject("area.gpkg", "area.gpkg", ("season", "--aoi", "area.gpkg", "--json"), told=True),
    Subject("area.shp", SHAPE, ("season", "--aoi", "area.shp", "--json"), told=True),
    Subject("area of a map", "area.geojson", MAP),
    Subject("catalog", "scenes/c*.json", EXPORT),
    Subject("item", "scenes/*/item.json", EXPORT),
    Subject("scene", "scenes/*/*.tif", EXPORT),
    Subject("network", "model.safetensors", ("model", "info", "model.safetensors"), told=True),
    Subject("network of a map", "model.safetensors", MAP),
    Subject("forest", "forest.safetensors", ("model", "info", "forest.safetensors"), told=True),
    Subject("forest of a map", "forest.safetensors", (*MAP[:-3], "forest.safetensors", *MAP[-2:])),
    Subject("samples.npz", "samples.npz", info("samples.npz"), told=True),
    Subject("samples.csv", "samples.csv", info("samples.csv"), told=True),
    Subject("samples.parquet", "samples.parquet", info("samples.parquet"), told=True),
    Subject("samples of a training", "samples.npz", TRAIN, results=("trained.safetensors",)),
    Subject(
        "samples of a forest", "samples.csv",
        (*FOREST, "--no-scores", "--out", "new.safetensors"),
        results=("new.safetensors",),
    ),
    Subject("training", "trained.progress/*", TRAIN, given=False, results=("trained.safetensors",)),
    Subject("season", "season.toml", (*EXPORT[:-4], "--season", "season.toml", "--out", "new")),
    Subject("legend", "legend.toml", info("samples.csv", "--legend", "legend.toml"), told=True),
    Subject("table", "table.toml", REFERENCE),
    Subject("reference", "reference.tif", REFERENCE),
    Subject("mask", "mask.tif", (*MAP, "--cropland-mask", "mask.tif")),
    Subject("like", "like.tif", LIKE),
    Subject("config", "run/run.toml", CONFIG, results=RUN),
    Subject("plan", "run/[ra]*[nb]", (*AGAIN, "run"), given=False, results=RUN),
    Subject("ledger", "run/ledger.jsonl", (*AGAIN, "run"), given=False, results=RUN),
    Subject("tasks", "run/tasks.jsonl", (*AGAIN, "run"), given=False, results=RUN),
    Subject("ledger of a status", "run/ledger.jsonl", ("status", "run", "--json"), results=()),
    Subject("plan of a status", "run/run.json", ("status", "run", "--json"), results=()),
    Subject("predictions", "run/predictions/*.tif", (*AGAIN, "run"), given=False, results=RUN),
    Subject("map", "run/map/*", (*AGAIN, "run"), given=False, results=RUN),
    Subject("model of a run", "run/model.safetensors", CONFIG, given=False, results=RUN),
    Subject("composites", "half/composites/*.tif", (*AGAIN, "half"), given=False, results=HALF),
    Subject("composites of samples", "run/composites/*.tif", PSEUDO, given=False, may_lack=True),
    Subject("predictions of samples", "run/predictions/*.tif", PSEUDO, given=False),
    Subject("answers", "answers.csv", REPORT),
    Subject("answers.gpkg", "answers.gpkg", (*REPORT[:3], "answers.gpkg", *REPORT[4:])),
    Subject("sample", "sample/[dk]*", REPORT, given=False),
    Subject("map of a sample", "run/map/crop_map.tif", REPORT, given=False, may_lack=True),
    Subject("map to sample", "run/map/c*.tif*", (*SAMPLE, "new"), may_lack=True),
    Subject("districts", "districts.gpkg", (*SAMPLE, "new", *DISTRICTS)),
    Subject("composites of pages", "run/composites/*.tif", SHEET, given=False, results=SHEETS),
    Subject("sample of elsewhere", "[sp][to][ri]*[as]*.csv", ELSEWHERE),
    Subject("visits", "visits.csv", VISITS, told=True),
    Subject("raster and legend", "[rc]*[es].[tc][is][fv]", (*RASTER, "--out", "new")),
    Subject("parcels.gpkg", "parcels.gpkg", (*FIELDS, "parcels.gpkg")),
    Subject("parcels.parquet", "parcels.parquet", (*FIELDS, "parcels.parquet")),
    Subject("parcels.geojson", "parcels.geojson", (*FIELDS, "parcels.geojson")),
    Subject("probabilities", "probable/map/p*.tif", SMOOTH, results=SMOOTHED),
    Subject("legend of a map", "run/map/legend.json", SIEVE, given=False, results=SMOOTHED),
    Subject("verified", "probable/**/*.*", VERIFY, given=False, results=(), told=True),
    Subject("map of a page", "run/map/*.[tj][is][fo]", PAGE),
    Subject("evaluated", "samples.npz", (*EVALUATE, "samples.npz"), told=True, results=()),
    Subject("model evaluated", "model.safetensors", (*EVALUATE, "samples.csv"), told=True, results=()),
    Subject("published", "published/*/**/*.*", VERIFY_PUBLISHED, given=False, results=(), told=True),
    Subject("around the published", "published/*.*", VERIFY_PUBLISHED, given=False, results=(), told=True),
    Subject("list of what is published", "published/SHA256SUMS", VERIFY_PUBLISHED, results=(), told=True),
    Subject("map to publish", "probable/map/*.json", (*PUBLISH, "new", *AREAS), results=TABLES),
    Subject("statistics", "statistics.csv", (*PUBLISH, "new", *AREAS), results=TABLES),
    Subject("districts to publish", "districts.gpkg", (*PUBLISH, "new", *AREAS), results=TABLES),
    Subject("publication", "published/**/*.json", (*PUBLISH, "published"), results=("published/areas.csv",)),
)  # fmt: skip
"""What is damaged."""


@dataclass
class Mutations:
    """The cases of this part: subjects in turn, with mutators and chances by number."""

    seed: int
    folder: Path
    _expected: dict[str, Results] = field(default_factory=dict)

    kind: str = "mutation"

    @cached_property
    def place(self) -> Path:
        """What copies are damaged of: files given, a run finished, one half done, a training begun."""
        place = make_place(self.folder / "work")
        _succeeds(Command.of(place, *AGAIN, "run"))
        _succeeds(Command.of(place, *PROBABLE))
        add_assessed(place)
        copied(place / "run", place / "half")
        shutil.rmtree(place / "half" / "map")
        shutil.rmtree(place / "half" / "predictions")
        shutil.copy(OLD_TASKS, place / "run" / "tasks.jsonl")
        with Command.of(place, *TRAIN).started((14, signal.SIGTERM)) as process:
            process.ended()
        assert (place / "trained.progress" / "state.pt").is_file(), "the training was not begun"
        for leftover in place.rglob("*.part"):
            leftover.unlink()
        return place.rename(self.folder / "place")  # a run knows where its scenes lie

    def case(self, number: int) -> tuple[str, Callable[[], Verdict]]:
        """What a case is, and how it is carried out."""
        chance = Random(f"{self.seed}:{self.kind}:{number}")
        subject = SUBJECTS[number % len(SUBJECTS)]
        target = chance.choice(sorted(self.place.glob(subject.files)))
        mutator = chance.choice(those_for(target))
        name = f"{subject.name}: {target.name} {mutator.name}"
        return name, lambda: self._carry_out(subject, target, mutator, chance)

    def _carry_out(self, subject: Subject, target: Path, mutator: Mutator, chance: Random) -> Verdict:
        expected = self.expected(subject)
        folder = copied(self.place, self.folder / "work")
        try:
            before = set(contents(folder))
            mutator.change(folder / target.relative_to(self.place), chance)
            verdict = _first(subject, mutator, folder, before, expected)
            if verdict.words.startswith("refused") and any(
                folder.glob(subject.results[0] if subject.results else "-")
            ):
                return self._restored(subject, folder, expected, verdict)
            return verdict
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def expected(self, subject: Subject) -> Results:
        """What the command makes undisturbed."""
        if subject.name not in self._expected:
            folder = copied(self.place, self.folder / "work")
            outcome = _succeeds(Command.of(folder, *subject.command))
            self._expected[subject.name] = subject.results_of(folder, outcome)
            shutil.rmtree(folder)
        return self._expected[subject.name]

    def _restored(self, subject: Subject, folder: Path, expected: Results, verdict: Verdict) -> Verdict:
        """With the file restored, the same command ends as if nothing had been."""
        restore(self.place, folder)
        outcome = Command.of(folder, *subject.command).run()
        if wrong := misbehaviour(outcome):
            return Verdict(f"once restored: {wrong}", True)
        if outcome.code == 2 and subject.given and "holds a run of something else" in outcome.stderr:
            return Verdict(f"{verdict.words}, then another run")  # what was given is a part of what a run is
        if outcome.code != 0:
            return Verdict(f"once restored still refused: {outcome.stderr[-300:]}", True)
        if other := differing(subject.results_of(folder, outcome), expected):
            return Verdict(f"once restored another result: {other}", True)
        return Verdict(f"{verdict.words}, then same")


def _first(subject: Subject, mutator: Mutator, folder: Path, before: set[str], expected: Results) -> Verdict:
    outcome = Command.of(folder, *subject.command).run()
    wrong = misbehaviour(outcome) or left_behind(folder, before)
    if wrong:
        return Verdict(wrong, True)
    if outcome.code != 0:
        return Verdict(f"refused {outcome.code}: {_error(outcome)}")
    other = differing(subject.results_of(folder, outcome), expected)
    if not other:
        return Verdict("same")
    lawful = (subject.given and mutator.content) or (subject.may_lack and mutator.name in GONE)
    return Verdict(f"{'other input' if lawful else 'another result'}: {other}", not lawful)


def _error(outcome: Outcome) -> str:
    return next(line for line in outcome.stderr.splitlines() if line.startswith("Error: "))[7:150]


def _succeeds(command: Command) -> Outcome:
    outcome = command.run()
    assert outcome.code == 0, f"undisturbed, {command.arguments} fails: {outcome.stderr}"
    return outcome
