"""The numbers of a benchmark as files: one row per run, one per cell with the published number, Markdown."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.files import write_bytes
from gee_pipeline.season import SUMMER, length_text
from gee_pipeline.sensors import sensor_of
from training.scores.metrics import Scores
from training.transfer.alignment import Alignment, aligned_scores
from training.transfer.protocol import Protocol
from training.transfer.published import SOURCE, Published, published
from training.transfer.training_record import NOT_ADAPTED, Job, TrainingRecord

PAPER_PROTOCOL: Final = {
    "preset": "paper",
    "epochs": 50,
    "batch_size": 256,
    "learning_rate": 1e-4,
    "schedule": "constant",
    "seeds": 10,
    "window_first_day": 121,
    "window_last_day": 334,
    "bin_days": 5,
}
"""Tong et al. 2025, sections 3.3 and 4.1."""

_OF_SENTINEL_2: Final = ("window_first_day", "window_last_day", "bin_days")
"""What the paper says of series; spectra have months."""


@dataclass(frozen=True)
class Row:
    """One training tested in one region."""

    source: str
    """Region that trained."""
    target: str
    """Test region; the source itself on a part that is held out."""
    job: Job
    """Which training."""
    scores: Scores
    """After alignment of classes."""
    record: TrainingRecord
    """What else the training gave."""
    as_published: bool = True
    """Whether the classes are those of the published numbers."""
    inputs: str = ""
    """What the model saw, where it is not the series of Sentinel-2."""


@dataclass(frozen=True)
class MethodScores:
    """A method in one direction: mean and standard deviation over the seeds, 0 to 1."""

    source: str
    """Region that trained."""
    target: str
    """Test region."""
    model: str
    """Name of the model."""
    augmentation: str
    """Name of the augmentation."""
    runs: int
    """Number of seeds."""
    accuracy: float
    """Mean overall accuracy."""
    accuracy_std: float | None
    """Standard deviation of a sample (divided by runs less one); None of a single run."""
    macro_f1: float
    """Mean macro-F1."""
    macro_f1_std: float | None
    """As for the accuracy."""
    names: tuple[str, ...]
    """Classes of the confusion matrix."""
    confusion: tuple[tuple[int, ...], ...]
    """`(label, predicted)`, counts of all runs together."""
    weighted_f1: float
    """Mean F1, each class as many times as it has samples."""
    as_published: bool = True
    """Whether the classes are those of the published numbers."""
    adaptation: str = NOT_ADAPTED
    """How the network was adapted to the region."""
    inputs: str = ""
    """What the models saw, where it is not the series of Sentinel-2."""

    @property
    def method(self) -> tuple[str, ...]:
        """Model, and augmentation and adaptation where there are."""
        return (self.model, *(one for one in (self.augmentation, self.adaptation) if one != "none"))

    @property
    def published(self) -> Published | None:
        """The number of the same cell in the paper; None where it is of other classes, or adapted."""
        if not self.as_published or self.adaptation != NOT_ADAPTED:
            return None
        return published(self.source, self.target, self.model, self.augmentation, self.inputs)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The confusion matrix as an array."""
        return np.array(self.confusion, np.int64)


def rows_of(
    records: Iterable[TrainingRecord], alignments: Mapping[str, Alignment], protocol: Protocol
) -> list[Row]:
    """A row for each training and region of the protocol.

    Args:
        records: Finished trainings.
        alignments: How each region is evaluated.
        protocol: Names the regions.
    """
    rows = []
    for record in records:
        for code in record.job.regions_of(protocol.source, protocol.targets):
            seen = record.regions[code]
            scores = aligned_scores(seen.counts, seen.names, record.names, alignments[code])
            own = alignments[code].as_published
            rows.append(Row(protocol.source, code, record.job, scores, record, own, protocol.inputs))
    return rows


def scores_by_method(rows: Sequence[Row]) -> list[MethodScores]:
    """The rows of each direction and method together, in the order of their first rows by direction."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.target, *row.job.method), []).append(row)
    targets = list(dict.fromkeys(row.target for row in rows))
    ordered = sorted(groups, key=lambda key: targets.index(key[0]))  # stable: methods keep their order
    return [_cell(groups[key]) for key in ordered]


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """Write results.csv: one row per training and region; scores 0 to 1."""
    _write_csv(path, [_flat(row) for row in rows])


def write_table(path: Path, cells: Sequence[MethodScores]) -> None:
    """Write table.csv: one row per direction and method; percent, as published."""
    _write_csv(path, [_beside(cell) for cell in cells])


def write_report(
    path: Path,
    cells: Sequence[MethodScores],
    rows: Sequence[Row],
    alignments: Mapping[str, Alignment],
    protocol: Protocol,
    more: Sequence[str] = (),
) -> None:
    """Write table.md: one table per direction, what is tested, and where the protocol is not the paper's.

    Args:
        path: The file.
        cells: Methods by direction.
        rows: The trainings.
        alignments: Code -> how a region is evaluated.
        protocol: What was done.
        more: Further sections, in Markdown.
    """
    parts = [f"# Trained on {protocol.source}", _how(rows, protocol)]
    for code in protocol.regions:
        chosen = [cell for cell in cells if cell.target == code]
        if chosen:
            tested = int(chosen[0].counts.sum() / chosen[0].runs)
            about = f"{alignments[code].reason} {tested:,} samples per run."
            parts += [f"## {protocol.source} → {code}", about, _markdown(chosen)]
    if any(cell.published for cell in cells):
        parts.append(_about_published(protocol, rows))
    write_bytes(path, ("\n\n".join([*parts, *more]) + "\n").encode())


def departures(protocol: Protocol, rows: Sequence[Row]) -> list[str]:
    """Where a benchmark is not that of the paper, in words."""
    changed = [
        f"{name.replace('_', ' ')} {getattr(protocol, name)} for {value}"
        for name, value in PAPER_PROTOCOL.items()
        if getattr(protocol, name) != value and (protocol.cropglobe or name not in _OF_SENTINEL_2)
    ]
    if (protocol.season.north, protocol.season.south) != (SUMMER.north, SUMMER.south):
        changed.append(f"a season {protocol.season.days}")
    if protocol.min_clear_bins is not None:
        changed.append(f"series of {protocol.min_clear_bins} observed bins or more")
    if protocol.moves != type(protocol.moves)():
        changed.append("other ranges of augmentation")
    if protocol.classes:
        changed.append(f"the classes {', '.join(protocol.classes)}")
    if protocol.target_classes:
        changed.append("classes of targets that were given")
    if protocol.in_region and not any("optimistic" in row.record.split for row in rows):
        changed.append("a region tested on places that are held out, where the paper's test is random")
    return changed


def percent(mean: float, std: float | None) -> str:
    """`97.79 ± 0.30` of figures 0 to 1."""
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def _cell(rows: Sequence[Row]) -> MethodScores:
    accuracy = [row.scores.accuracy for row in rows]
    macro_f1 = [row.scores.macro_f1 for row in rows]
    counts = np.sum([row.scores.confusion for row in rows], axis=0)
    return MethodScores(
        source=rows[0].source,
        target=rows[0].target,
        model=rows[0].job.model,
        augmentation=rows[0].job.augmentation,
        adaptation=rows[0].job.adaptation,
        runs=len(rows),
        accuracy=statistics.fmean(accuracy),
        accuracy_std=_std(accuracy),
        macro_f1=statistics.fmean(macro_f1),
        macro_f1_std=_std(macro_f1),
        names=tuple(one.name for one in rows[0].scores.classes),
        confusion=tuple(tuple(row) for row in counts.tolist()),
        weighted_f1=statistics.fmean(row.scores.weighted_f1 for row in rows),
        as_published=all(row.as_published for row in rows),
        inputs=rows[0].inputs,
    )


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _flat(row: Row) -> dict[str, Any]:
    record = row.record
    return {
        "source": row.source,
        "target": row.target,
        **{name: value for name, value in asdict(row.job).items() if name != "target"},
        "accuracy": f"{row.scores.accuracy:.6f}",
        "macro_f1": f"{row.scores.macro_f1:.6f}",
        "weighted_f1": f"{row.scores.weighted_f1:.6f}",
        "samples": sum(one.samples for one in row.scores.classes),
        "classes": " ".join(one.name for one in row.scores.classes if one.samples),
        "held_out_accuracy": f"{record.held_out_accuracy:.6f}",
        "held_out_macro_f1": f"{record.held_out_macro_f1:.6f}",
        "held_out": record.split,
        "best_epoch": record.best_epoch,
        "training_samples": record.training_samples,
        "seconds": f"{record.seconds:.1f}",
        "digest": record.digest,
    }


def _beside(cell: MethodScores) -> dict[str, Any]:
    ours = {
        "accuracy": cell.accuracy,
        "accuracy_std": cell.accuracy_std,
        "macro_f1": cell.macro_f1,
        "macro_f1_std": cell.macro_f1_std,
    }
    weighted = f"{100 * cell.weighted_f1:.2f}"
    theirs = cell.published
    return {
        "source": cell.source,
        "target": cell.target,
        "model": cell.model,
        "augmentation": cell.augmentation,
        "adaptation": cell.adaptation,
        "runs": cell.runs,
        **{name: None if value is None else f"{100 * value:.2f}" for name, value in ours.items()},
        "weighted_f1": weighted,
        **{f"published_{name}": f"{getattr(theirs, name):.2f}" if theirs else None for name in ours},
        "published_in": theirs.place if theirs else None,
    }


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def _markdown(cells: Sequence[MethodScores]) -> str:
    """A table; with a column of adaptations where there are some."""
    adapted = [("Adaptation", "---")] * any(cell.adaptation != NOT_ADAPTED for cell in cells)
    lines = [
        ("Model", "Augmentation", *(name for name, _ in adapted), *_FIGURES),
        ("---", "---", *(rule for _, rule in adapted), "--:", "--:", "--:", "--:", "--:", "---"),
    ]
    for cell in cells:
        there = cell.published
        lines.append(
            (
                cell.model,
                cell.augmentation,
                *(cell.adaptation for _ in adapted),
                str(cell.runs),
                percent(cell.accuracy, cell.accuracy_std),
                f"{there.accuracy:.2f} ± {there.accuracy_std:.2f}" if there else "",
                percent(cell.macro_f1, cell.macro_f1_std),
                f"{there.macro_f1:.2f} ± {there.macro_f1_std:.2f}" if there else "",
                there.place if there else "",
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_FIGURES: Final = ("Runs", "OA (%)", "published", "macro-F1 (%)", "published", "in")


def _how(rows: Sequence[Row], protocol: Protocol) -> str:
    first = rows[0].record
    networks = f"{protocol.epochs} epochs, batches of {protocol.batch_size}, learning rate "
    held_out = f"a part of {protocol.source} that is held out by {first.split}"
    return (
        f"{_sensors(protocol)}{first.training_samples:,} samples of {protocol.source} trained the first "
        "model, with weights that give every class the same say; the classes are "
        f"{', '.join(first.names)}. Networks: preset {protocol.preset}, {networks}"
        f"{protocol.learning_rate:g} ({protocol.schedule}), precision {protocol.precision}; their best epoch "
        f"is the one with the best macro-F1 on {held_out}. Forests train on the same samples. Days "
        f"{protocol.window_first_day} to {protocol.window_last_day} of the season, bins of "
        f"{length_text(protocol.bin_days)}. Mean and standard deviation over the seeds; macro-F1 is over the "
        "classes that have samples in the region."
    )


def _sensors(protocol: Protocol) -> str:
    titles = " and ".join(sensor_of(name).title for name in protocol.sensors)
    return "" if protocol.cropglobe else f"The models see {titles}. "


def _about_published(protocol: Protocol, rows: Sequence[Row]) -> str:
    changed = departures(protocol, rows)
    same = "The protocol is that of the paper, but for what follows." if not changed else ""
    differs = f"Not as in the paper: {'; '.join(changed)}." if changed else ""
    return (
        f"Published: {SOURCE}. {same}{differs} The authors' published script chooses the best epoch on "
        "samples that train; here they are apart."
    )
