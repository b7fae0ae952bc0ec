"""A sample that was drawn from one map, put to another map of the same pixels, such as a smoothed one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assessment.report.sampled import Sampled, SampledUnit
from assessment.report.sourced import Sourced
from assessment.sample.frame import Progress, with_progress
from assessment.sample.map_file import AssessedMap, open_map, reading
from assessment.sample.tables import Faults
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.grid import name_crs


def put_to_map(sourced: Sourced, path: Path, faults: Faults, report: Progress = lambda *_: None) -> Sourced:
    """The same points and answers with what another map shows; strata stay those that were drawn from.

    Args:
        sourced: The sample.
        path: A raster of classes on the pixels of the map that the sample was drawn from.
        faults: Receives points outside the map, and classes without a place in the legend.
        report: Receives the windows read and all windows.

    Raises:
        InputError: The map of the sample is not at hand to compare pixels.
        MismatchError: The other map has other pixels.
    """
    if sourced.map is None:
        raise InputError("A sample is put to another map beside its own, which is not at hand. Restore it.")
    other = open_map(path)
    if not other.crs.equals(sourced.map.crs, ignore_axis_order=True) and not _same_place(other, sourced.map):
        raise MismatchError(
            f"{path} is in {name_crs(other.crs)}, {sourced.map.path} in {name_crs(sourced.map.crs)}: they do "
            "not have the same pixels. Warp it to the pixels of that map."
        )
    with reading(path, sourced.map):  # the same pixels, or refused
        pixels, hectares, codes = _read(other, sourced.sampled.units, report)
    sampled = sourced.sampled
    units = tuple(
        replace(unit, map=other.name(code), drawn_as=unit.map)
        for unit, code in zip(sampled.units, codes, strict=True)
    )
    shown = np.flatnonzero(pixels).tolist()
    mapped = {other.name(code): (float(pixels[code]), float(hectares[code])) for code in shown}
    _note_differences(sampled, other, units, codes, mapped, faults)
    text = f"The figures are of {path.name}; the points were drawn from {sourced.map.path.name}."
    put = replace(sampled, units=units, mapped=mapped, notices=(*sampled.notices, text))
    return replace(sourced, sampled=put, map=other)


def _same_place(one: AssessedMap, other: AssessedMap) -> bool:
    """Whether the first corners of two maps lie in one pixel: a CRS may be written in several ways."""
    at = np.zeros(1)
    places = [np.ravel(assessed.places(at, at)) for assessed in (one, other)]
    return bool(np.abs(places[0] - places[1]).max() < 1e-5)


def _read(
    other: AssessedMap, units: Sequence[SampledUnit], report: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """Pixels and hectares by code `(256,)` of the frame, and the code at each unit."""
    rows, cols = (np.array([getattr(unit, key) for unit in units]) for key in ("row", "col"))
    pixels, hectares, codes = np.zeros(256), np.zeros(256), np.zeros(len(units), np.intp)
    with reading(other.path, other) as file:
        for window in with_progress(other, report):
            found = file.read(1, window=window)
            pixels += np.bincount(found.ravel(), minlength=256)
            hectares += np.bincount(found.ravel(), other.pixel_hectares(window).ravel(), minlength=256)
            top, left = rows - window.row_off, cols - window.col_off
            here = (top >= 0) & (top < window.height) & (left >= 0) & (left < window.width)
            codes[here] = found[top[here], left[here]]
    if other.outside is not None:
        pixels[other.outside] = 0
    return pixels, hectares, codes.tolist()


def _note_differences(
    sampled: Sampled,
    other: AssessedMap,
    units: Sequence[SampledUnit],
    codes: Sequence[int],
    mapped: dict[str, tuple[float, float]],
    faults: Faults,
) -> None:
    """Note what makes the other map one of another area or legend."""
    outside = [unit.id for unit, code in zip(units, codes, strict=True) if code == other.outside]
    faults.add(outside, f"the points {{ids}} lie outside the area of {other.path.name}")
    covered, drawn = sum(n for n, _ in mapped.values()), sum(one.pixels for one in sampled.strata)
    if covered != drawn:
        text = f"{other.path.name} covers {{ids}}: it is a map of another area"
        faults.add([f"{covered:,.0f} pixels, the sample was drawn from {drawn:,.0f}"], text)
    known = {*sampled.classes, *map(other.name, other.unmapped)}
    strange = sorted(set(mapped) - known)
    faults.add(strange, f"{other.path.name} shows classes that the legend of the sample lacks: {{ids}}")
