"""What the files beside a map say of it: names of the classes, pixels and hectares."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import ODD_VALUES, in_words, read_json
from gee_pipeline.map_codes import OUTSIDE
from inference.product.statistics import SQUARE_METRES, MapStatistics
from inference.run.completeness import RunSummary
from inference.run.plan import RunPlan
from inference.verification.findings import Finding

SAME_AREA: Final = 1e-6
"""Part of an area by which it may differ: another version of PROJ computes pixels a little otherwise."""


def read_report(path: Path) -> dict[str, Any]:
    """The report of a map, with all parts that are verified.

    Raises:
        CorruptFileError: It is damaged, or something else.
    """
    values = read_json(path)
    try:
        digests, _ = [values[name]["digest"] for name in ("model", "recipe")], values["source"]
        counted = values["certificate"].get("pixels", {})
        classes = {
            int(one["code"]): (str(one["name"]), int(one["pixels"]), float(one["hectares"]))
            for one in values["classes"]
        }
        if not (all(isinstance(digest, str) for digest in digests) and isinstance(counted, dict)):
            raise ValueError("digests are texts, pixels are counted by code")
    except ODD_VALUES as error:
        raise CorruptFileError(
            f"{path} is no report of a map: {in_words(error)}. Run 'cropmap predict' again: it writes it."
        ) from error
    return {**values, "classes": classes}


def _names(plan: RunPlan) -> dict[int, str]:
    """The classes of the model by code."""
    return dict(enumerate(plan.model.classes if plan.model else (), start=1))


def legend_finding(folder: Path, plan: RunPlan, crop_map: Any) -> Finding:
    """Whether legend and raster call the classes what the model calls them.

    Args:
        folder: Folder of the map.
        plan: The run.
        crop_map: The raster of classes, open for reading.
    """
    expected = _names(plan)
    tags = crop_map.tags(1) | crop_map.tags()
    said = {"crop_map.tif": {code: tags.get(f"CLASS_{code}") for code in expected}}
    try:
        entries = {int(one["code"]): one["name"] for one in read_json(folder / "legend.json")["classes"]}
    except (CorruptFileError, FileNotFoundError, *ODD_VALUES) as error:
        return Finding("legend", False, f"legend.json cannot be used: {in_words(error)}")
    said["legend.json"] = {code: entries.get(code) for code in expected}
    for name, names in said.items():
        if other := [f"{code} {names[code]!r}" for code in expected if names[code] != expected[code]]:
            return Finding("legend", False, f"{name} names {', '.join(other)}, the model {expected}")
    return Finding("legend", True, f"{len(expected)} classes have the names that the model gives them")


def areas_finding(
    report: dict[str, Any], plan: RunPlan, summary: RunSummary, counted: MapStatistics
) -> Finding:
    """Whether the pixels and hectares of the report are those of the cells.

    Args:
        report: As `read_report` has it.
        plan: The run.
        summary: What was found of its cells.
        counted: The pixels of all cells.
    """
    if summary.failures:
        return Finding("areas", None, "not all cells are there to be counted")
    faults = []
    pixels, hectares = counted.confidence.sum(axis=1), counted.area / SQUARE_METRES
    there = {code for code in np.flatnonzero(pixels).tolist() if code != OUTSIDE}
    for code in sorted(there | report["classes"].keys()):
        name, said, area = report["classes"].get(code, ("", 0, 0.0))
        called = _names(plan).get(code, name)
        if (name, said) != (called, pixels[code]) or not math.isclose(
            area, hectares[code], rel_tol=SAME_AREA
        ):
            faults.append(
                f"{name or 'nothing'} with {said:,} pixels and {area:,.2f} ha for code {code}, the cells "
                f"have {called or 'it'} with {pixels[code]:,} and {hectares[code]:,.2f}"
            )
    if faults:
        return Finding("areas", False, f"the report says {'; '.join(faults)}")
    return Finding("areas", True, "pixels and hectares of the report are those of the cells")
