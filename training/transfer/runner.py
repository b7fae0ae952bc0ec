"""A benchmark from the files to its tables and pictures; what is finished is kept."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w
import torch

from gee_pipeline.errors import CropmapError, DiskFullError, IncompleteRunError, MismatchError, PlaceError
from gee_pipeline.files import require_writable, write_bytes
from inference.models.predictor import resolve_device
from training.fit.loop import FitProgress
from training.fit.resume_state import forget, training_lock
from training.models.registry import MODELS
from training.pretrained.start import require_files, weights_of
from training.transfer.material import Material, load
from training.transfer.one_training import augmentation_of, train_once
from training.transfer.pictures import draw_confusions
from training.transfer.protocol import Protocol
from training.transfer.tables import (
    MethodScores,
    rows_of,
    scores_by_method,
    write_report,
    write_results,
    write_table,
)
from training.transfer.training_record import (
    NOT_ADAPTED,
    Job,
    TrainingRecord,
    read_record,
    record_path,
)
from training.transfer.yields import Yields, read_yields, yield_pairs, yield_section

RUNS: Final = "runs"
"""Folder of the records within that of a benchmark."""


@dataclass(frozen=True)
class Standing:
    """Where a benchmark stands."""

    done: int
    """Trainings that are finished."""
    failed: int
    """Trainings that failed in this start."""
    total: int
    """Trainings of the benchmark."""
    job: Job | None
    """The training that runs now, or has just ended."""
    seconds_left: float | None
    """Guess from the trainings of this start, or None before the first."""
    step: FitProgress | None = None
    """Where the network that is trained stands."""
    record: TrainingRecord | None = None
    """What the training gave that has just ended."""
    error: str | None = None
    """Why the training failed that has just ended."""


@dataclass(frozen=True)
class Summary:
    """What a benchmark gave."""

    folder: Path
    """Where everything stands."""
    cells: tuple[MethodScores, ...]
    """A mean for each direction and method."""
    trained: int
    """Trainings of this start."""
    kept: int
    """Trainings of former starts."""
    failures: dict[str, str]
    """Name of a training -> why it failed."""

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON values; scores 0 to 1, published ones in percent."""
        cells = [
            asdict(cell) | {"published": cell.published and asdict(cell.published)} for cell in self.cells
        ]
        return {
            "folder": str(self.folder),
            "trained": self.trained,
            "kept": self.kept,
            "failures": self.failures,
            "cells": cells,
        }

    def require_complete(self) -> None:
        """Raise where a training failed.

        Raises:
            IncompleteRunError: Naming each failed training.
        """
        if self.failures:
            lines = "; ".join(f"{name}: {reason}" for name, reason in self.failures.items())
            raise IncompleteRunError(
                f"{len(self.failures)} of {len(self.failures) + self.trained + self.kept} trainings failed; "
                f"the same command tries them again, and keeps the others. {lines}"
            )


Listener = Callable[[Standing], None]


def jobs_of(protocol: Protocol) -> list[Job]:
    """The trainings of a protocol: seed by seed, so that an early stop leaves all methods comparable."""
    methods = [
        (model, augmentation)
        for model in protocol.models
        for augmentation in (("none",) if MODELS[model].kind == "forest" else protocol.augmentations)
    ]
    return [
        Job(*method, seed, **rest)
        for seed in range(1, protocol.seeds + 1)
        for method in methods
        for rest in _uses(protocol, adaptable=MODELS[method[0]].adaptable)
    ]


def _uses(protocol: Protocol, *, adaptable: bool) -> Iterator[dict[str, Any]]:
    """What a method is trained for: all targets, the source itself, and each target it is adapted to."""
    if NOT_ADAPTED in protocol.adaptations or not adaptable:
        yield from [{"in_region": False}] * bool(protocol.targets) + [
            {"in_region": True}
        ] * protocol.in_region
    for name in protocol.adaptations if adaptable else ():
        if name != NOT_ADAPTED:
            yield from ({"adaptation": name, "target": code} for code in protocol.targets)


def run_benchmark(
    protocol: Protocol, out: Path, *, restart: bool = False, listen: Listener = lambda standing: None
) -> Summary:
    """Train and test what is not finished yet, and write tables and pictures of all.

    A training that fails does not end the others; it is named in the summary.

    Args:
        protocol: What to do.
        out: Folder of the benchmark: `runs/` with one file per training, `results.csv`, `table.csv`,
            `table.md`, `confusion_SOURCE-TARGET.png` and `run.toml`.
        restart: Forget what is finished.
        listen: Called when a training begins, advances and ends.

    Raises:
        InputError: Something given cannot be used; nothing was trained.
        MismatchError: The folder holds a benchmark with another source or protocol.
    """
    _require_augmentations(protocol)
    require_files(protocol.models, protocol.pretrained)
    require_writable(out / "run.toml")
    with training_lock(out / "running"):
        yields = read_yields(protocol.yields) if protocol.yields else None
        material = load(protocol)
        facts, jobs = facts_of(protocol, material), jobs_of(protocol)
        if restart:
            _forget(out)
        finished = {job: record for job in jobs if (record := _read(out, job, facts, material, protocol))}
        write_bytes(out / "run.toml", run_toml(protocol, out).encode())
        work = _Work(
            protocol, out, material, facts, jobs, finished, kept=len(finished), yields=yields, listen=listen
        )
        for job in jobs:
            if job not in finished:
                work.do(job)
        cells = work.write()
        _draw(out, cells)
    return Summary(out, tuple(cells), work.trained, work.kept, work.failures)


def facts_of(protocol: Protocol, material: Material) -> dict[str, Any]:
    """What decides the result of every training of a benchmark, as JSON values by name."""
    moves = {name: None if value is None else str(value) for name, value in asdict(protocol.moves).items()}
    rule = protocol.split_rule(1, has_places=material.has_places)
    weights = sorted(f"{one.name}, {one.sha256}" for one in map(weights_of, protocol.pretrained))
    source, digest = material.source, material.digests[protocol.source]
    return {
        "source": f"{protocol.source}, {len(source):,} samples with digest {digest}",
        "classes": ", ".join(source.class_names),
        "preset": protocol.preset,
        "epochs": protocol.epochs,
        "batch size": protocol.batch_size,
        "learning rate": protocol.learning_rate,
        "schedule": protocol.schedule,
        **({"normalisation": protocol.normalisation} if protocol.normalisation != "band" else {}),
        **({"pretrained": "; ".join(weights)} if weights else {}),
        "recipe": protocol.recipe.digest,
        "days": f"{protocol.window_first_day} to {protocol.window_last_day}, bins of {protocol.bin_days}",
        "split": rule.rule,
        "block size": protocol.block_size,
        "held-out share": protocol.share,
        **{name.replace("_", " "): value for name, value in moves.items()},
        "device": resolve_device(protocol.device).type,
        "precision": protocol.precision,
        "cropmap": importlib.metadata.version("cropmap"),
        "torch": torch.__version__,
        "scikit-learn": importlib.metadata.version("scikit-learn"),
    }


def run_toml(protocol: Protocol, out: Path) -> str:
    """The options that repeat a benchmark: `cropmap benchmark --config run.toml`."""
    plain = {
        "data": str(protocol.data.absolute()),
        "source": protocol.source,
        "targets": list(protocol.targets),
        "models": list(protocol.models),
        "augmentation": list(protocol.augmentations),
        "adaptation": list(protocol.adaptations),
        "pretrained": [str(path.absolute()) for path in protocol.pretrained],
        "seeds": protocol.seeds,
        "in-region": protocol.in_region,
        "classes": list(protocol.classes or ()),
        "legend": protocol.legend and str(protocol.legend.absolute()),
        "target-classes": [f"{code}={','.join(names)}" for code, names in protocol.target_classes.items()],
        "class-rules": protocol.class_rules,
        "yields": protocol.yields and str(protocol.yields.absolute()),
        "scale": protocol.scale,
        "preset": protocol.preset,
        "epochs": protocol.epochs,
        "batch-size": protocol.batch_size,
        "learning-rate": protocol.learning_rate,
        "schedule": protocol.schedule,
        "normalisation": protocol.normalisation,
        "sensors": None if protocol.cropglobe else list(protocol.sensors),
        "season": protocol.season.to_dict(),
        "bin-days": protocol.bin_days,
        "min-clear-bins": protocol.min_clear_bins,
        **{name.replace("_", "-"): _plain(value) for name, value in asdict(protocol.moves).items()},
        "split": protocol.split,
        "block-size": protocol.block_size,
        "held-out": protocol.share,
        "device": protocol.device,
        "precision": protocol.precision,
        "out": str(out.absolute()),
    }
    given = {name: value for name, value in plain.items() if value not in (None, [])}
    head = f"# cropmap {importlib.metadata.version('cropmap')}: cropmap benchmark --config run.toml\n"
    return head + tomli_w.dumps(given)


class _Work:
    """The trainings that are to be done, and what there is to report about them."""

    def __init__(
        self,
        protocol: Protocol,
        out: Path,
        material: Material,
        facts: dict[str, Any],
        jobs: list[Job],
        finished: dict[Job, TrainingRecord],
        *,
        kept: int,
        yields: Yields | None,
        listen: Listener,
    ) -> None:
        self.protocol, self.out, self.material, self.facts = protocol, out, material, facts
        self.jobs, self.finished, self.kept, self.listen = jobs, finished, kept, listen
        self.yields = yields
        self.failures: dict[str, str] = {}
        self.trained = 0
        self.start = time.monotonic()

    def do(self, job: Job) -> None:
        """One training; what it gave is written before the next begins."""
        self._tell(job)
        folder = record_path(self.out / RUNS, job).with_suffix(".progress")
        with self._failures(job), training_lock(folder):
            record = train_once(
                job,
                self.material,
                self.protocol,
                self.facts,
                folder=folder,
                progress=lambda step: self._tell(job, step=step),
            )
            record.save(self.out / RUNS)
            self.finished[job] = record
            self.trained += 1
            self._tell(job, record=record)
        self.write()

    def write(self) -> list[MethodScores]:
        """The tables of what is finished."""
        records = [self.finished[job] for job in self.jobs if job in self.finished]
        rows = rows_of(records, self.material.alignments, self.protocol)
        cells = scores_by_method(rows)
        if rows:
            write_results(self.out / "results.csv", rows)
            write_table(self.out / "table.csv", cells)
            more = () if self.yields is None else (yield_section(yield_pairs(cells, self.yields)),)
            write_report(self.out / "table.md", cells, rows, self.material.alignments, self.protocol, more)
        return cells

    @contextmanager
    def _failures(self, job: Job) -> Iterator[None]:
        """Keep why a training failed: it diverged, no memory, no package. What hits all is raised."""
        try:
            yield
        except (DiskFullError, PlaceError, MismatchError):
            raise
        except (CropmapError, RuntimeError, ValueError, MemoryError) as error:  # torch and scikit-learn's own
            self.failures[job.name] = str(error) or type(error).__name__
            self._tell(job, error=self.failures[job.name])

    def _tell(
        self,
        job: Job,
        *,
        step: FitProgress | None = None,
        record: TrainingRecord | None = None,
        error: str | None = None,
    ) -> None:
        ended = self.trained + len(self.failures)
        left = len(self.jobs) - self.kept - ended
        seconds = (time.monotonic() - self.start) / ended * left if ended else None
        done = len(self.finished)
        failed, total = len(self.failures), len(self.jobs)
        self.listen(Standing(done, failed, total, job, seconds, step=step, record=record, error=error))


def _read(
    out: Path, job: Job, facts: dict[str, Any], material: Material, protocol: Protocol
) -> TrainingRecord | None:
    codes = job.regions_of(protocol.source, protocol.targets)
    digests = {code: material.digest_of(job.model, code) for code in codes}
    return read_record(out / RUNS, job, facts, digests)


def _forget(out: Path) -> None:
    """Remove the records of a benchmark, and where its trainings stand; nothing else."""
    for path in (out / RUNS).glob("*.json"):
        path.unlink()
    for folder in (out / RUNS).glob("*.progress"):
        forget(folder)


def _draw(out: Path, cells: list[MethodScores]) -> None:
    for code in dict.fromkeys(cell.target for cell in cells):
        chosen = [cell for cell in cells if cell.target == code]
        draw_confusions(out / f"confusion_{chosen[0].source}-{code}.png", chosen)


def _require_augmentations(protocol: Protocol) -> None:
    """Refuse ranges that no augmentation can have, before any file is read."""
    for name in protocol.augmentations:
        augmentation_of(name, protocol.moves, protocol.training_options(1), protocol.recipe)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
