"""Answer sheets and pages of a sample, for one interpreter or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
import pyproj

from assessment.sample.frame import Progress
from assessment.sample.point_files import QUESTION
from assessment.sample.record import SampleDesign, Unit, load_design, to_csv
from assessment.sample.request import assessment_folder
from assessment.sheet.imagery import DECODED, Composites, read_imagery
from assessment.sheet.page import PagePoint, page
from gee_pipeline.errors import MismatchError
from gee_pipeline.files import require_writable, write_bytes
from inference.run.plan import RunPlan, load_plan
from inference.run.prediction import bounded_gdal

SAME_PLACE: Final = 1e-5
"""Degrees by which the place of a pixel may differ: a metre."""


@dataclass(frozen=True)
class SheetRequest:
    """Which sheets are wanted."""

    run: Path
    """Folder of a run with a sample."""
    interpreters: int = 1
    """People who answer on their own, each with an order of points of their own."""
    chip: int = 330
    """Side of the chips, metres."""
    pages: bool = True
    """Whether to make a page for each point."""
    sample: Path | None = None
    """Folder of the sample; None is `assessment` in the run."""

    @property
    def folder(self) -> Path:
        """Where the sheets come to."""
        return (self.sample or assessment_folder(self.run)) / "sheet"


@dataclass(frozen=True)
class Sheets:
    """Sheets that were written."""

    folder: Path
    """Where they are."""
    answers: tuple[Path, ...]
    """The answer sheets, one an interpreter."""
    pages: int
    """Pages, one a point."""


def write_sheets(request: SheetRequest, report: Progress = lambda *_: None) -> Sheets:
    """Write answer sheets, and a page for each point, blind; sheets that were begun are kept.

    Args:
        request: What is wanted.
        report: Receives the pages done and all pages.

    Raises:
        InputError: There is no sample, or the composites are not kept.
        MismatchError: The sample was drawn from a map of other pixels.
        CorruptFileError: A composite cannot be read.
    """
    folder = request.folder
    design = load_design(folder.parent)
    require_writable(folder / "answers-1.csv")
    if request.pages:
        _write_pages(request, design, report)
    paths = []
    for number in range(1, request.interpreters + 1):
        path = folder / f"answers-{number}.csv"
        order = np.random.default_rng([design.seed, number]).permutation(len(design.units))
        units = [design.units[place] for place in order.tolist()]
        if not path.exists():
            write_bytes(path, _sheet(units, pages=request.pages))
        paths.append(path)
    return Sheets(folder, tuple(paths), len(design.units) if request.pages else 0)


def _sheet(units: Sequence[Unit], *, pages: bool) -> bytes:
    rows = (
        {
            "id": unit.id,
            "lon": round(unit.lon, 7),
            "lat": round(unit.lat, 7),
            "page": f"pages/{unit.id}.html" if pages else "",
        }
        for unit in units
    )
    return to_csv(("id", "lon", "lat", "page", QUESTION, "sure", "note"), rows)


def _write_pages(request: SheetRequest, design: SampleDesign, report: Progress) -> None:
    """A page for each point; points of one cell one after another, so that its composite is read once."""
    plan, units = load_plan(request.run), design.units
    _require_same_place(request, plan, units)
    half = max(request.chip // 20, 1)
    size = plan.grid.cell_size
    dates = [plan.season.bin(index, plan.recipe.bin_days).start for index in plan.bins]
    by_cell = sorted(range(len(units)), key=lambda i: (units[i].row // size, units[i].col // size))
    with bounded_gdal(DECODED), Composites(request.run, plan) as composites:
        for done, place in enumerate(by_cell, start=1):
            unit = units[place]
            imagery = read_imagery(composites, unit.row, unit.col, half)
            text = page(_point(units, place), imagery, plan.recipe.bands, dates, design.classes)
            write_bytes(request.folder / "pages" / f"{unit.id}.html", text.encode())
            report(done, len(units))
    write_bytes(request.folder / "index.html", _index(units).encode())


def _require_same_place(request: SheetRequest, plan: RunPlan, units: Sequence[Unit]) -> None:
    """Refuse the points of another map: their rows and columns would show other places."""
    box = plan.grid.map_box
    rows, cols = (np.array([getattr(unit, key) for unit in units]) for key in ("row", "col"))
    t = box.transform
    x, y = t.a * (cols + 0.5) + t.c, t.e * (rows + 0.5) + t.f
    to_degrees = pyproj.Transformer.from_crs(str(box.crs), "EPSG:4326", always_xy=True)
    found, drawn = to_degrees.transform(x, y), ([u.lon for u in units], [u.lat for u in units])
    if not np.allclose(found, drawn, rtol=0, atol=SAME_PLACE):
        raise MismatchError(
            f"The points of {request.folder.parent} were drawn from a map of other pixels than those of "
            f"{request.run}: pages would show other places. Name the run that they were drawn from."
        )


def _point(units: Sequence[Unit], place: int) -> PagePoint:
    unit = units[place]
    before = units[place - 1].id if place else ""
    after = units[place + 1].id if place + 1 < len(units) else ""
    return PagePoint(unit.id, unit.lon, unit.lat, before, after)


def _index(units: Sequence[Unit]) -> str:
    links = " ".join(f'<a href="pages/{escape(u.id)}.html">{escape(u.id)}</a>' for u in units)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Points</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"></head>'
        f"<body><h1>{len(units):,} points</h1><p>{links}</p></body></html>\n"
    )
