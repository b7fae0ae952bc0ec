"""The file that a sampling leaves: CropGlobe's packaging, and how it came about."""

from __future__ import annotations

import importlib.metadata
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import ODD_VALUES, parse_json, require_no_pipe, write_bytes
from gee_pipeline.observations import least_observed
from training.samples.crops import NAMES
from training.samples.npz_file import DAMAGED_NPZ, require_room
from training.samples.sample_origin import METADATA
from training.sampling.cell_samples import CellSamples, Facts
from training.sampling.plan import SamplePlan
from training.sampling.series.raw_series import RawSeries, raw_path
from training.sampling.squares.grid import SampleCell


@dataclass(frozen=True)
class SampleSummary:
    """What a sampling found."""

    out: str
    """The npz file."""
    samples: int
    """Samples in the file."""
    classes: dict[str, int]
    """Samples by class that the table knows, in the order of CropGlobe's labels."""
    cells: int
    """Squares that share area with the area."""
    cells_without: int
    """Squares without a candidate."""
    cells_missing: tuple[str, ...]
    """Squares that failed or were not begun, by their south-west corners."""
    candidates: int
    """Points that samples could have taken."""
    sparse: int
    """Samples with fewer observed bins than a model asks for: `cropmap train` leaves them out."""
    left_out: dict[str, int]
    """Value of the reference map that is in no class -> points with it, the most frequent first."""
    scenes: int | None
    """Scenes that touch the area within the season."""
    eecu_hours: float
    """Computing time that was measured, former starts included."""

    @property
    def complete(self) -> bool:
        """Whether all squares are done."""
        return not self.cells_missing


def summarise(
    plan: SamplePlan, done: Mapping[SampleCell, CellSamples], out: Path, facts: Facts
) -> SampleSummary:
    """The summary of the squares that are done.

    Args:
        plan: All squares.
        done: Samples of a square.
        out: The npz file.
        facts: Scenes and expenses.
    """
    labels, left_out = Counter[int](), Counter[str]()
    for samples in done.values():
        labels.update(samples.labels.tolist())
        left_out.update({str(value): int(count) for value, count in samples.left_out.tolist()})
    return SampleSummary(
        out=str(out),
        samples=labels.total(),
        classes={name: labels[NAMES.index(name)] for name in plan.reference.table.names},
        cells=len(plan.cells),
        cells_without=sum(samples.candidates == 0 for samples in done.values()),
        cells_missing=tuple(cell.name for cell in plan.cells if cell not in done),
        candidates=sum(samples.candidates for samples in done.values()),
        sparse=sum(_sparse(samples, plan) for samples in done.values()),
        left_out=dict(left_out.most_common()),
        scenes=facts.scenes,
        eecu_hours=facts.spent.eecu_seconds / 3600,
    )


def write_samples(
    out: Path,
    plan: SamplePlan,
    done: Mapping[SampleCell, CellSamples],
    summary: SampleSummary,
    *,
    simulated: bool = False,
) -> None:
    """Write the samples as CropGlobe packs them, square by square, atomically.

    Keys: `fea` int16 (sample, 10, 73), gaps -9999; `lbl`; `observed` (sample, 73); `lon` and `lat` of the
    pixel's centre; `value` of the reference map; `metadata`, a JSON text on how all came about.

    Args:
        out: The npz file.
        plan: What was drawn.
        done: Samples of a square.
        summary: What was found.
        simulated: Whether the scenes are, which the file then says.

    Raises:
        DiskFullError: The disk has no room.
    """
    parts = [done[cell] for cell in plan.cells if cell in done]
    if plan.raw:
        _write_raw(
            raw_path(out), parts, plan, _said(plan, simulated)
        )  # first: who finds the samples finds these too
    pack_samples(
        out,
        series=np.concatenate([part.series for part in parts]),
        labels=np.concatenate([part.labels for part in parts]).astype(np.int64),
        lon=np.concatenate([part.lon for part in parts]),
        lat=np.concatenate([part.lat for part in parts]),
        values=np.concatenate([part.values for part in parts]),
        metadata=_metadata(plan, summary, simulated),
    )


def _write_raw(path: Path, parts: Sequence[CellSamples], plan: SamplePlan, source: str) -> None:
    """Every acquisition of the samples, atomically; `sample` counts the rows of `fea`."""
    firsts = accumulate((len(part.labels) for part in parts[:-1]), initial=0)
    numbered = zip(parts, firsts, strict=True)
    series = [part.raw.counted_from(first) for part, first in numbered if part.raw]
    arrays = RawSeries.of(series, len(plan.recipe.bands)).arrays
    content = io.BytesIO()
    metadata = json.dumps({"cropmap_version": importlib.metadata.version("cropmap"), "source": source})
    np.savez_compressed(content, **arrays, bands=np.array(plan.recipe.bands), metadata=np.array(metadata))
    write_bytes(path, content.getbuffer())


def require_npz(out: Path) -> None:
    """Refuse another ending: trainings would take the file for a table, and two files share one report.

    Raises:
        InputError: The name does not end in .npz.
    """
    if out.suffix != ".npz":
        raise InputError(f"Samples are written as npz, got {out}. Choose an --out that ends in .npz.")


def pack_samples(
    out: Path,
    *,
    series: NDArray[np.int16],
    labels: NDArray[Any],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    values: NDArray[Any],
    metadata: dict[str, Any],
    **more: NDArray[Any],
) -> None:
    """Write labelled series in CropGlobe's packaging, atomically.

    Args:
        out: The npz file.
        series: `(sample, band, bin)`, whole season, reflectance x 10,000, gaps -9999.
        labels: `(sample,)`, numbers or names of the legend.
        lon: `(sample,)`, degrees east of the pixel's centre.
        lat: `(sample,)`, degrees north.
        values: `(sample,)`, value of the map that the labels come from.
        metadata: How all came about, as JSON values; `training.samples.sample_origin` reads it.
        **more: Further values of each sample, by key.

    Raises:
        DiskFullError: The disk has no room.
    """
    content = io.BytesIO()
    arrays: dict[str, Any] = {"fea": series, "lbl": labels, "observed": (series != NODATA).any(axis=1)}
    arrays |= {"lon": lon, "lat": lat, "value": values, **more}
    np.savez_compressed(content, **arrays, metadata=np.array(json.dumps(metadata)))
    write_bytes(out, content.getbuffer())


def read_metadata(path: Path) -> dict[str, Any] | None:
    """How a file of samples came about, all of which is whole; None where it does not say.

    Raises:
        CorruptFileError: The file is damaged or no npz.
    """
    require_no_pipe(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            require_room(path, arrays.zip)
            text = str(arrays[METADATA]) if METADATA in arrays.files else "null"
            damaged = arrays.zip.testzip()  # reads all: who finds a finished file takes its samples for whole
            if damaged is not None:
                raise ValueError(f"{damaged} does not have its checksum")
    except DAMAGED_NPZ as error:
        raise CorruptFileError(f"{path} is not a whole npz file: {error}. Delete it.") from error
    try:
        values = parse_json(text, path)
    except CorruptFileError:  # what other programs write under this key
        return None
    ours = isinstance(values, dict) and isinstance(values.get("request"), dict)
    return values if ours else None


def _said(plan: SamplePlan, simulated: bool) -> str:
    """Where the samples come from."""
    return f"{plan.source} The scenes are SIMULATED." if simulated else plan.source


def _metadata(plan: SamplePlan, summary: SampleSummary, simulated: bool) -> dict[str, Any]:
    return {
        "cropmap_version": importlib.metadata.version("cropmap"),
        "source": _said(plan, simulated),
        "request": plan.to_dict(),
        "recipe": plan.recipe.to_dict(),
        "summary": asdict(summary),
    }


def read_summary(metadata: dict[str, Any]) -> SampleSummary:
    """The summary in what `read_metadata` returned.

    Raises:
        CorruptFileError: It is not one that was written with samples.
    """
    try:
        values = metadata["summary"]
        return SampleSummary(**{**values, "cells_missing": tuple(values["cells_missing"])})
    except ODD_VALUES as error:
        raise CorruptFileError(
            f"The summary of these samples is damaged ({error!r}). Draw them again."
        ) from error


def _sparse(samples: CellSamples, plan: SamplePlan) -> int:
    window = plan.recipe.window
    observed = least_observed(samples.series[:, :, window.start : window.stop], plan.recipe.group_sizes)
    return int((observed < plan.recipe.min_clear_bins).sum())
