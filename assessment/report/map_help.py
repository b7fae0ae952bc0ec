"""What the probabilities of a map say of every pixel of the frame and of the pixels of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assessment.report.results import ClassCovariate
from assessment.report.sampled import Sampled, SampledUnit
from assessment.sample.frame import Progress, with_progress
from assessment.sample.map_file import PROBABILITIES, AssessedMap, reading
from gee_pipeline.map_codes import NONE, NOT_CROPLAND

NO_PROBABILITIES: Final = (
    "The map has no probabilities, so areas rest on the sample alone; 'cropmap predict' with --layers "
    "probabilities adds them to a finished run."
)


def class_covariates(
    assessed: AssessedMap, sampled: Sampled, report: Progress = lambda *_: None
) -> list[ClassCovariate | None] | None:
    """By class, its probability at the sampled pixels and in all over the frame; None without probabilities.

    Memory does not grow with the area: one window of one class is held at a time.

    Args:
        assessed: The map.
        sampled: The sample, drawn from it.
        report: Receives the windows read and all windows.
    """
    path = assessed.beside(PROBABILITIES)
    if path is None:
        return None
    units = sampled.answered
    codes = _codes(assessed, sampled.classes)
    sums, values = _pass(assessed, path, units, report)
    out: list[ClassCovariate | None] = []
    for name in sampled.classes:
        code = codes.get(name, 0)
        if 1 <= code <= len(sums):
            totals = {assessed.name(c): float(s) for c, s in enumerate(sums[code - 1]) if s > 0}
            out.append(ClassCovariate(values[code - 1], totals))
        else:  # not cropland is no class of the model: its mask is what the map says
            shown = np.array([float(unit.map == name) for unit in units])
            known = code == NOT_CROPLAND and name in sampled.mapped
            out.append(ClassCovariate(shown, {name: sampled.mapped[name][1]}) if known else None)
    return out


def _codes(assessed: AssessedMap, classes: Sequence[str]) -> dict[str, int]:
    return {name: code for code, name in assessed.names.items() if name in classes}


def _pass(
    assessed: AssessedMap, path: Path, units: Sequence[SampledUnit], report: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(band, code)`: probability times hectares over the frame; `(band, unit)`: probability of each unit."""
    rows, cols = (np.array([getattr(unit, key) for unit in units]) for key in ("row", "col"))
    with reading(assessed.path, assessed) as codes, reading(path, assessed) as file:
        sums, values = np.zeros((file.count, 256)), np.zeros((file.count, len(units)))
        for window in with_progress(assessed, report):
            shown = codes.read(1, window=window)
            inside = shown != assessed.outside if assessed.outside is not None else np.ones(shown.shape, bool)
            area, own = assessed.pixel_hectares(window)[inside], shown[inside]
            top, left = rows - window.row_off, cols - window.col_off
            here = (top >= 0) & (top < window.height) & (left >= 0) & (left < window.width)
            for band in range(file.count):
                p = _shares(file.read(band + 1, window=window))
                sums[band] += np.bincount(own, p[inside] * area, minlength=256)
                values[band, here] = p[top[here], left[here]]
    return sums, values


def _shares(percent: NDArray[Any]) -> NDArray[np.float64]:
    """Whole percents as shares; 0 where the map has no probability."""
    return np.where(percent == NONE, 0, percent) / 100
