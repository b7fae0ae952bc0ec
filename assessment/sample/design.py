"""The sample of a map: counted, planned, drawn and written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from assessment.planning.expected import Expected
from assessment.sample.blocks import count_blocks, draw_blocks
from assessment.sample.drawing import draw
from assessment.sample.frame import Progress
from assessment.sample.map_file import AssessedMap, open_map
from assessment.sample.plan import SamplePlan
from assessment.sample.point_files import write_points
from assessment.sample.record import DESIGN_FILE, SampleDesign, load_design, to_csv
from assessment.sample.request import DesignRequest
from gee_pipeline.errors import MismatchError
from gee_pipeline.files import require_writable, write_bytes

PLAN_FILE: Final = "plan.csv"


@dataclass(frozen=True)
class Designed:
    """A sample that was drawn."""

    folder: Path
    """Where it is."""
    design: SampleDesign
    """How it was drawn."""
    expected: Expected
    """Standard errors to expect."""
    classes: tuple[str, ...]
    """Mapped classes, in the order of `expected`."""
    notices: tuple[str, ...]
    """What to know of it, one sentence each."""


def design_sample(request: DesignRequest, report: Progress = lambda *_: None) -> Designed:
    """Draw a sample of the pixels of a map and write it for interpreters.

    Args:
        request: What is wanted.
        report: Receives windows of the map that were read, and all of them.

    Raises:
        InputError: The map, the districts or the numbers cannot be used; nothing was written.
        MismatchError: Another sample is in the folder.
        IncompleteRunError: The run has no whole map.
    """
    assessed = open_map(request.place, request.legend)
    plan = SamplePlan.of(request, assessed, report)
    shared = plan.shared()
    if request.blocks is None:
        drawn = draw(assessed, plan.frame, plan.districts, shared.units, request.seed)
        design = plan.record(shared.units, drawn)
    else:
        design = _in_blocks(plan, request.blocks, report)
    expected = plan_table(plan.labels, shared.expected, design.hectares)
    _write(request.folder, design, assessed, expected)
    return Designed(request.folder, design, shared.expected, plan.labels, plan.notices())


def _in_blocks(plan: SamplePlan, side: float, report: Progress) -> SampleDesign:
    """A sample of blocks and of pixels in them."""
    request, partition = plan.request, plan.frame.partition
    frame = count_blocks(plan.map, side, report)
    blocks, points = request.blocks_drawn or 0, request.points or 0
    drawn = draw_blocks(plan.map, partition, plan.districts, frame, blocks, points, request.seed)
    return plan.record(np.array([len(drawn.row)]), drawn, frame)


def plan_table(labels: Sequence[str], expected: Expected, hectares: float) -> bytes:
    """What to expect as CSV: the area of each class, and the overall accuracy.

    Args:
        labels: Names of the mapped classes.
        expected: Standard errors to expect.
        hectares: Area of the frame.
    """
    rows = [
        {
            "what": "area",
            "class": name,
            "hectares": share * hectares,
            "se": se * hectares,
            "cv": se / share if share > 0 else "",
        }
        for name, share, se in zip(labels, expected.areas.tolist(), expected.area_se.tolist(), strict=True)
    ]
    overall = {"what": "overall accuracy", "se": expected.overall_se}
    return to_csv(("what", "class", "hectares", "se", "cv"), [*rows, overall])


def _write(folder: Path, design: SampleDesign, assessed: AssessedMap, expected: bytes) -> None:
    """All files of a sample; what was half written before is replaced, another sample is not."""
    if (folder / DESIGN_FILE).exists() and load_design(folder) != design:
        raise MismatchError(
            f"{folder} holds another sample. Answers to it would be lost: choose another --out, or delete it."
        )
    begun = (folder / DESIGN_FILE).exists()
    require_writable(folder / DESIGN_FILE)
    work = folder / "points.part"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        write_points(work, design, pixel=abs(assessed.transform.a))
        for path in sorted(work.iterdir()):
            if not (begun and (folder / path.name).exists()):  # an interpreter may be filling it in
                path.replace(folder / path.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_bytes(folder / PLAN_FILE, expected)
    design.save(folder)
