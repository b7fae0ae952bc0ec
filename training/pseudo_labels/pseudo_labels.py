"""Labelled series drawn from the map of a finished run: what a forest is trained on where no labels are.

CropNet maps a part of a region; its confident and stable labels train a Random Forest, which is nearly as
good there and needs no GPU (Tong et al. 2025, section 4.2).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import ODD_VALUES, require_writable, write_json
from inference.models.checkpoint import Checkpoint, load_checkpoint
from inference.run.plan import RunPlan
from training.pseudo_labels.candidates import scan
from training.pseudo_labels.drawing import Drawn, draw
from training.pseudo_labels.network_run import NetworkRun, open_network_run, places_of, series_text
from training.pseudo_labels.reference import Reference, read_reference
from training.pseudo_labels.report import Findings, PseudoReport, build_report, lack_notice
from training.pseudo_labels.rules import PseudoRules
from training.pseudo_labels.stability import Stability, require_comparable
from training.pseudo_labels.statistics import StageCounts
from training.samples.crops import NAMES
from training.samples.sample_origin import PSEUDO_LABELS
from training.sampling.cell_samples import require_same_request
from training.sampling.sample_file import pack_samples, read_metadata, require_npz


@dataclass(frozen=True)
class PseudoRequest:
    """What `cropmap forest pseudo-label` is asked for."""

    run: Path
    """Folder of a finished run with its composites."""
    out: Path
    """The npz file to write."""
    rules: PseudoRules = field(default_factory=PseudoRules)
    """Which pixels may stand as labels."""
    also: tuple[Path, ...] = ()
    """Other checkpoints that must give the same class."""
    reference: Path | None = None
    """Raster or samples with true labels, to measure how many pseudo-labels are wrong."""
    classes_table: Path | None = None
    """TOML file of classes, or `cdl`, for the values of a raster; None takes them for codes of the run."""
    legend: Path | None = None
    """What the labels of reference samples mean; None is CropGlobe's legend."""
    device: str = "auto"
    """Where the networks run: `auto`, `cpu`, `cuda` or `cuda:1`."""

    def __post_init__(self) -> None:
        if self.reference is None and (self.classes_table or self.legend):
            raise InputError(
                "--classes-table and --legend say what the labels of a reference mean. Name it with "
                "--reference."
            )


@dataclass(frozen=True)
class PseudoListener:
    """Receives notices and progress."""

    notice: Callable[[str], None] = lambda text: None
    """Takes one sentence for the user."""
    progress: Callable[[str, int, int], None] = lambda step, done, planned: None
    """Takes the step (`cells` or `samples`), what is done of it and what is planned."""


@dataclass(frozen=True)
class _Opened(NetworkRun):
    """A run that labels can be drawn from, and the other networks that are asked."""

    others: tuple[Checkpoint, ...]


def draw_pseudo_labels(request: PseudoRequest, listener: PseudoListener | None = None) -> PseudoReport:
    """A file of labelled series that trainings take, its report, and the report as JSON next to it.

    A file of the same request that is there already is kept; a new reference measures it again.

    Args:
        request: Run, rules, other checkpoints and reference.
        listener: Receives notices and progress.

    Raises:
        InputError: The run is of composites only, of a forest, or without composites; fewer than two classes
            have a sample; or something else in the request cannot be used.
        IncompleteRunError: The run is not finished.
        MismatchError: The file is of another request, or model, checkpoints or reference do not fit the run.
        CorruptFileError: A file of the run is damaged.
    """
    listener = listener or PseudoListener()
    require_npz(request.out)
    require_writable(request.out)
    opened = _open(request)
    reference = _reference(request, opened.plan)
    report = _finished(request, opened, reference) or _draw_and_write(request, opened, reference, listener)
    _write_beside(request, opened, report)
    for text in report.notices:
        listener.notice(text)
    return report


def report_path(out: Path) -> Path:
    """Path of the report of a file of samples: `samples.report.json` next to `samples.npz`."""
    return out.with_name(f"{out.stem}.report.json")


def legend_path(out: Path) -> Path:
    """Path of the legend where CropGlobe lacks a class: `samples.legend.json`."""
    return out.with_name(f"{out.stem}.legend.json")


def _open(request: PseudoRequest) -> _Opened:
    run = open_network_run(request.run, "pseudo-labels are drawn from")
    others = tuple(load_checkpoint(path) for path in request.also)
    for path, other in zip(request.also, others, strict=True):
        require_comparable(run.checkpoint, other, str(path))
    return _Opened(run.folder, run.plan, run.model, run.checkpoint, run.composites, others)


def _reference(request: PseudoRequest, plan: RunPlan) -> Reference | None:
    if request.reference is None:
        return None
    return read_reference(request.reference, plan, table=request.classes_table, legend=request.legend)


def _draw_and_write(
    request: PseudoRequest, opened: _Opened, reference: Reference | None, listener: PseudoListener
) -> PseudoReport:
    """The report of samples that were drawn and written."""
    found, drawn = _draw(request, opened, reference, listener)
    report = build_report(
        opened.plan,
        request.rules,
        found,
        out=str(request.out),
        run=str(request.run),
        legend=_own_legend(request, opened),
    )
    _require_classes(report)
    _write(request, opened, drawn, report)
    return report


def _draw(
    request: PseudoRequest, opened: _Opened, reference: Reference | None, listener: PseudoListener
) -> tuple[Findings, Drawn]:
    rules, plan, stage_counts = request.rules, opened.plan, StageCounts(len(opened.model.classes))
    # Made first: what is wrong with a device or a network shows before the long pass.
    stability = Stability(
        opened.checkpoint, opened.others, passes=rules.passes, seed=rules.seed, device=request.device
    )
    found = scan(
        opened.folder,
        plan,
        rules,
        stage_counts,
        composites=opened.composites,
        reference=reference,
        report=lambda done: listener.progress("cells", done, len(plan.cells)),
    )
    drawn = draw(
        opened.folder,
        plan,
        rules,
        found.reserve,
        stability,
        stage_counts,
        lambda done, wanted: listener.progress("samples", done, wanted),
    )
    digests = tuple(other.digest for other in opened.others)
    about = reference.describe() if reference else None
    return Findings(stage_counts, drawn.candidates, found.cells, digests, about), drawn


def _require_classes(report: PseudoReport) -> None:
    if sum(count > 0 for count in report.classes.values()) >= 2:
        return
    lacking = " ".join(
        lack_notice(name, report.stages) for name, count in report.classes.items() if not count
    )
    raise InputError(
        "A forest separates two or more classes, but the rules leave samples of "
        f"{sum(count > 0 for count in report.classes.values())}. {lacking}"
    )


def _write(request: PseudoRequest, opened: _Opened, drawn: Drawn, report: PseudoReport) -> None:
    names = np.array(opened.model.classes)
    lon, lat = places_of(opened.plan, drawn.candidates)
    metadata = {
        "cropmap_version": importlib.metadata.version("cropmap"),
        "source": _source(opened, request.rules),
        "request": _request(request, opened),
        "recipe": opened.plan.recipe.to_dict(),
        "report": report.to_dict(),
    }
    pack_samples(
        request.out,
        series=drawn.series,
        labels=names[drawn.candidates["code"] - 1],
        lon=lon,
        lat=lat,
        values=drawn.candidates["code"],
        metadata=metadata,
        confidence=drawn.candidates["confidence"],
        neighbours=drawn.candidates["alike"],
        clear=drawn.candidates["clear"],
        **_stability(request.rules, drawn),
    )


def _write_beside(request: PseudoRequest, opened: _Opened, report: PseudoReport) -> None:
    """Report and legend; the next start writes them where one was stopped before them."""
    if report.legend:
        write_json(legend_path(request.out), _legend(opened.checkpoint, report))
    write_json(report_path(request.out), report.to_dict())


def _own_legend(request: PseudoRequest, opened: _Opened) -> str | None:
    """The file with the meaning of labels that CropGlobe lacks; None where it has them all."""
    return str(legend_path(request.out)) if set(opened.model.classes) - set(NAMES) else None


def _stability(rules: PseudoRules, drawn: Drawn) -> dict[str, NDArray[np.float32]]:
    """`stability`, the share of the dropout passes that gave the class, where there were any."""
    return {"stability": (drawn.agreeing / rules.passes).astype(np.float32)} if rules.passes else {}


def _legend(checkpoint: Checkpoint, report: PseudoReport) -> dict[str, Any]:
    """The classes that have samples, as `training.samples.class_legend` reads them."""
    kept = [crop for crop in checkpoint.classes if report.classes[crop.name]]
    return {"classes": [{"name": crop.name, "color": crop.color} for crop in kept]}


def _source(opened: _Opened, rules: PseudoRules) -> str:
    plan, model = opened.plan, opened.model
    also = f", {len(opened.others)} other checkpoints alike" if opened.others else ""
    return (
        f"Pseudo-labels of the model {model.name} ({model.digest}) on its map of {plan.season.year}, no "
        f"observed truth: {rules.description}{also}. {series_text(opened.folder, plan)}"
    )


def _request(request: PseudoRequest, opened: _Opened) -> dict[str, Any]:
    """What samples are compared by; two requests that give other samples differ in it."""
    season = opened.plan.season
    return {
        "kind": PSEUDO_LABELS,
        "run": opened.plan.digest,
        "year": season.year,
        "season_start": season.start.isoformat(),
        "model": opened.model.digest,
        "also": [other.digest for other in opened.others],
        **request.rules.to_dict(),
    }


def _finished(request: PseudoRequest, opened: _Opened, reference: Reference | None) -> PseudoReport | None:
    """The report of a file of the same request; None where there is none, or its noise was not measured
    so."""
    if not request.out.exists():
        return None
    metadata = read_metadata(request.out)
    if metadata is None:
        raise InputError(
            f"{request.out} exists and is not a file of 'cropmap forest pseudo-label'. Choose another --out."
        )
    require_same_request(metadata["request"], _request(request, opened), request.out)
    try:
        former = PseudoReport.from_dict(metadata["report"])
    except ODD_VALUES as error:
        raise CorruptFileError(f"The report in {request.out} is damaged ({error!r}). Delete it.") from error
    if reference and reference.describe() != former.reference:
        return None
    legend = _own_legend(request, opened)
    return replace(former, out=str(request.out), run=str(request.run), legend=legend)
