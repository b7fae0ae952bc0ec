"""A finished run looked at from end to end: on any machine, without the scenes it was made of."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from dask.system import CPU_COUNT
from numpy.typing import NDArray

from gee_pipeline.errors import CropmapError, IncompleteRunError, InputError
from gee_pipeline.grid import Cell
from gee_pipeline.store import composite_path
from inference.models.pixel_model import load_model
from inference.run.cell_layers import has_class
from inference.run.cell_worker import OTHER_CLASSES, CellWorker, WorkerSetup
from inference.run.completeness import RunSummary, check_completeness
from inference.run.plan import CONFIG_FILE, RunPlan, load_plan
from inference.run.prediction import bounded_gdal, prediction_path, read_finished
from inference.verification.findings import Finding, Verified
from inference.verification.map_rasters import MapRasters
from inference.verification.said import areas_finding, legend_finding, read_report
from inference.verification.seams import seam_findings

CELLS: Final = 3
"""Cells that are predicted again."""

_WAY_OUT: Final = (
    "Run 'cropmap predict' again: it makes what is damaged again, a composite only where its prediction is "
    "deleted too; or restore the folder from a copy."
)

_STEP: Final = 1
"""Percent by which a confidence may differ: another processor rounds differently."""


def verify_run(folder: Path, cells: int = CELLS, seed: int = 1) -> Verified:
    """What holds of a finished run, and what does not.

    Args:
        folder: Folder of the run.
        cells: Cells with a class that are predicted again from their composites, drawn at random.
        seed: Seed of the draw.

    Raises:
        InputError: The folder holds no run, or one of composites.
        IncompleteRunError: Its map is not whole.
        CorruptFileError: run.json, the area or the report is damaged.
    """
    plan = load_plan(folder)
    report = _report_of(folder, plan)
    with bounded_gdal(), MapRasters(folder, plan) as rasters:
        summary = check_completeness(folder, plan, "map", {}, time.monotonic(), rasters.compare)
        findings = (
            _model(plan, report),
            _record("recipe", plan.recipe.digest, report["recipe"]["digest"]),
            _source(folder, plan, report),
            _cells(summary, report),
            rasters.finding(summary),
            legend_finding(folder / "map", plan, rasters.crop_map),
            areas_finding(report, plan, summary, rasters.statistics),
            _predicted_again(folder, plan, _drawn(rasters.with_class, cells, seed)),
            *seam_findings(rasters.crop_map, plan.grid.cell_size),
        )
        digests = _digests(plan, rasters)
    return Verified(folder, findings, digests, _WAY_OUT)


def _report_of(folder: Path, plan: RunPlan) -> dict[str, Any]:
    if plan.model is None:
        raise InputError(f"{folder} holds composites and no map. Name the --out of predict.")
    path = folder / "map" / "report.json"
    if not path.is_file():
        raise IncompleteRunError(
            f"The map of {folder} is not whole, so there is nothing to verify. Finish it with "
            f"'cropmap {plan.command} --config {folder / CONFIG_FILE}'."
        )
    return read_report(path)


def _record(name: str, planned: Any, reported: Any) -> Finding:
    if planned == reported:
        return Finding(name, True, f"{name} of the report and of the run: {str(planned)[:16]}")
    return Finding(name, False, f"the report says {reported}, the run {planned}")


def _model(plan: RunPlan, report: dict[str, Any]) -> Finding:
    """The copy of the model is the one that the run began with, and that the report names."""
    planned = plan.model
    if planned is None:
        raise AssertionError("a run of a map has a model")
    try:
        found = load_model(planned.path).digest
    except CropmapError as error:
        return Finding("model", False, str(error))
    if found != planned.digest:
        return Finding(
            "model", False, f"{planned.path.name} has the digest {found}, the run {planned.digest}"
        )
    return _record("model", planned.digest, report["model"]["digest"])


def _source(folder: Path, plan: RunPlan, report: dict[str, Any]) -> Finding:
    """The scenes that the run names are those that the report names; lists of a server are undamaged."""
    from inference.run.listed_scenes import listed_scenes

    try:
        listed_scenes(folder, plan)
    except CropmapError as error:
        return Finding("source", False, str(error))
    planned = json.loads(json.dumps(plan.shown_source))
    if planned != report["source"]:
        return Finding("source", False, f"the report says {report['source']}, the run {planned}")
    return Finding("source", True, f"source of the report and of the run: {_digest(planned)[:16]}")


def _cells(summary: RunSummary, report: dict[str, Any]) -> Finding:
    """Every planned cell is whole, and holds what the report counted."""
    whole = summary.done + summary.skipped
    if summary.failures:
        named = ", ".join(failure.name for failure in summary.failures[:5])
        return Finding(
            "cells", False, f"{summary.failed:,} of {summary.planned:,} are missing or damaged: {named}"
        )
    found = {str(code): count for code, count in summary.pixels.items()}
    if found != (counted := report["certificate"].get("pixels", found)):
        return Finding("cells", False, f"they hold {found} pixels by code, the report {counted}")
    return Finding("cells", True, f"{whole:,} of {summary.planned:,} have the digest they were written with")


def _drawn(cells: Sequence[Cell], count: int, seed: int) -> list[Cell]:
    chosen = np.random.default_rng(seed).permutation(len(cells))[:count]
    return [cells[index] for index in sorted(chosen)]


def _predicted_again(folder: Path, plan: RunPlan, cells: Sequence[Cell]) -> Finding:
    """Cells are predicted again from their stored composites, and compared."""
    if plan.model is not None and (kind := plan.model.on_servers):
        command = {"forest": "cropmap forest verify", "network": "cropmap compare"}[kind]
        return Finding("predictions", None, f"they were made by a server; '{command}' compares them")
    no_source = cast(Any, None)  # composites are read, none is made
    worker = CellWorker(WorkerSetup(folder, no_source, composites_only=False, computing=CPU_COUNT))
    try:
        found = {cell.name: _compared(worker, folder, plan, cell) for cell in cells}
    except InputError as error:  # a cropland mask that lies on another machine
        return Finding("predictions", None, str(error))
    except CropmapError as error:
        return Finding("predictions", False, str(error))
    if faults := [f"{name} {fault}" for name, fault in found.items() if fault]:
        return Finding("predictions", False, "; ".join(faults))
    same = sum(fault == "" for fault in found.values())
    if not same:
        return Finding("predictions", None, f"of {len(cells)} cells drawn none has a composite")
    more = f", {len(found) - same} more have no composite" if same < len(found) else ""
    return Finding("predictions", True, f"{same} cells came out the same from their composites{more}")


def _compared(worker: CellWorker, folder: Path, plan: RunPlan, cell: Cell) -> str | None:
    """How a cell differs when it is predicted again; empty where it does not, None without a composite."""
    again = worker.predict_again(cell)
    kept = read_finished(prediction_path(folder, cell), cell, plan.digest)
    if again is None and composite_path(folder, cell).exists():
        return "has a damaged composite"
    return None if again is None or kept is None else _difference(again, kept.bands)


def _difference(again: NDArray[np.uint8], kept: NDArray[np.uint8]) -> str:
    """How a prediction differs from the one that is kept, beyond rounding; empty where it does not."""
    known = has_class(kept)
    if not np.array_equal(again[2], kept[2]):
        return "has other clear observations"
    others = float((again[0] != kept[0])[known].mean())
    if others > OTHER_CLASSES or not np.array_equal(again[0][~known], kept[0][~known]):
        return f"has other classes in {others:.2%} of its pixels"
    step = np.abs(again[1].astype(int) - kept[1])[known]
    if (step > _STEP).mean() > OTHER_CLASSES:
        return f"has another confidence in {(step > _STEP).mean():.2%} of its pixels"
    return ""


def _digests(plan: RunPlan, rasters: MapRasters) -> dict[str, str]:
    found = {
        "run": plan.digest,
        "model": plan.model.digest if plan.model else "",
        "recipe": plan.recipe.digest,
        "source": _digest(plan.shown_source),
        "cells": rasters.cells_digest.hexdigest(),
    }
    for path in rasters.paths:
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
