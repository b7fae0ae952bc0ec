"""What a frame consists of, and how right each part of it can be expected to be."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assessment.planning.confidence_strata import cut_points
from assessment.planning.expected import UNKNOWN
from assessment.sample.frame import Progress, count_codes, count_confidence, count_sets
from assessment.sample.map_file import AssessedMap
from assessment.sample.request import DesignRequest
from assessment.sample.strata import CONFIDENCE_PARTS, SET_CUTS, Part, parts_of
from assessment.sample.text_table import plain
from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES, read_json
from gee_pipeline.map_codes import NONE


def find_parts(
    request: DesignRequest, assessed: AssessedMap, report: Progress
) -> tuple[tuple[Part, ...], dict[Part, float]]:
    """The parts of the frame, and the user's accuracy to expect of each.

    Args:
        request: What sample is wanted.
        assessed: The map.
        report: Receives the windows read and all windows.

    Raises:
        InputError: The map is empty, two codes have one name, or a name is unknown.
    """
    found = {"confidence": _by_confidence, "sets": _by_sets}.get(request.strata, _by_class)
    accuracy = found(assessed, report)
    codes = list(dict.fromkeys(part.code for part in accuracy))
    _require_frame(assessed, codes)
    _require_known(request, [assessed.name(code) for code in codes])
    expected = {part: request.expect.get(assessed.name(part.code), p) for part, p in accuracy.items()}
    return tuple(accuracy), expected


def _by_class(assessed: AssessedMap, report: Progress) -> dict[Part, float]:
    codes = np.flatnonzero(count_codes(assessed, report)).tolist()
    known = _reported_confidence(assessed)
    return {part: known.get(part.code, UNKNOWN) for part in parts_of(codes)}


def _by_confidence(assessed: AssessedMap, report: Progress) -> dict[Part, float]:
    counts = count_confidence(assessed, report)
    codes = np.flatnonzero(counts.sum(1)).tolist()
    cuts = {c: cut_points(counts[c, :101], CONFIDENCE_PARTS) for c in codes if c not in assessed.unmapped}
    return {part: _mean_confidence(counts[part.code], part) for part in parts_of(codes, cuts)}


def _by_sets(assessed: AssessedMap, report: Progress) -> dict[Part, float]:
    """Each class by its sets: where they are empty or of several classes, it is less sure."""
    counts, sums = count_sets(assessed, report)
    codes = np.flatnonzero(counts.sum(1)).tolist()
    cuts = {c: SET_CUTS for c in codes if counts[c, :NONE].any()}
    out = {}
    for part in parts_of(codes, cuts):
        inside = slice(part.low, part.high + 1)
        pixels = counts[part.code, inside].sum()
        mean = sums[part.code, inside].sum() / pixels / 100 if pixels and part.code in cuts else UNKNOWN
        out[part] = float(np.clip(mean, 0.01, 0.99))
    return out


def _require_frame(assessed: AssessedMap, codes: list[int]) -> None:
    if not codes:
        raise InputError(f"{assessed.path} has no pixel inside its area. Check the map.")
    if not set(codes) - assessed.unmapped:
        raise InputError(f"{assessed.path} shows no class anywhere, so there is nothing to assess.")
    names = Counter(plain(assessed.name(code)) for code in codes)
    if twice := [name for name, n in names.items() if n > 1]:
        raise InputError(f"Each class has a name of its own; {assessed.path} has several codes for {twice}.")


def _require_known(request: DesignRequest, names: list[str]) -> None:
    if unknown := sorted(set(request.expect) - set(names)):
        raise InputError(f"--expect names {unknown}; the map has {names}. Correct the names.")


def _mean_confidence(counts: NDArray[np.int64], part: Part) -> float:
    """Mean confidence of a part of a class as a share; that of no pixel is not known."""
    values = np.arange(part.low, min(part.high, 100) + 1)
    pixels = counts[values]
    if not pixels.any():
        return UNKNOWN
    return float(np.clip(pixels @ values / pixels.sum() / 100, 0.01, 0.99))


def _reported_confidence(assessed: AssessedMap) -> dict[int, float]:
    """Mean confidence of each code as the map's report says it; empty where there is no such report."""
    path = assessed.path.with_name("report.json")
    if not path.is_file():
        return {}
    try:
        found: list[dict[str, Any]] = read_json(path)["classes"]
        return {
            int(one["code"]): float(np.clip(one["mean_confidence"] / 100, 0.01, 0.99))
            for one in found
            if one["mean_confidence"] is not None
        }
    except ODD_VALUES:  # a report of something else
        return {}
