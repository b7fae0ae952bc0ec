"""Maps whose truth is known at every pixel, and simulated interpreters who answer it.

Samples are planned, drawn, recorded and put together by the functions behind `cropmap assess`.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from assessment.report.map_help import class_covariates
from assessment.report.report import ReportRequest, make_report
from assessment.report.results import ClassCovariate, Results
from assessment.report.sampled import Sampled
from assessment.report.sourced import AnswerRequest
from assessment.report.sources import sample_of
from assessment.sample.blocks import BlockFrame, count_blocks, draw_blocks
from assessment.sample.design import design_sample
from assessment.sample.drawing import draw
from assessment.sample.map_file import PROBABILITIES, AssessedMap, open_map
from assessment.sample.plan import SamplePlan
from assessment.sample.record import SampleDesign, to_csv
from assessment.sample.request import DesignRequest
from assessment.sheet.sheet import SheetRequest, write_sheets
from examples.demo import DEMO_SIZE, predict_command
from examples.simulated_scenes import Settings, simulate
from gee_pipeline.errors import InputError
from gee_pipeline.map_codes import NONE, NOT_ENOUGH, OUTSIDE
from inference.run.plan import CONFIG_FILE

MADE_SHAPE: Final = (500, 800)
MADE: Final = {1: "wheat", 2: "maize", 3: "rape", 4: "other"}
MADE_SHARES: Final = (0.35, 0.15, 0.04, 0.46)

ELSEWHERE: Final = "other"
"""Class of what lies between fields: margins that the demo paints as land without a crop, and what the
painted fields of `benchmarks/real_map.py` leave free, where no scene shows anything."""


@dataclass(frozen=True)
class KnownMap:
    """A map and what is truly there."""

    title: str
    """What it is."""
    place: Path
    """The map or its run folder, as `cropmap assess` is given it."""
    map: AssessedMap
    """The map, with probabilities and confidence beside it."""
    truth: NDArray[np.intp]
    """`(y, x)`: index of the class; that outside the frame does not matter."""

    @classmethod
    def read(cls, title: str, run: Path, fields: Path) -> KnownMap:
        """The map of a finished run and a raster of the fields.

        Args:
            title: What it is.
            run: Folder of the run.
            fields: True codes of the fields, 0 between them, on any grid.
        """
        assessed = open_map(run)
        with rasterio.open(assessed.path) as crop_map, rasterio.open(fields) as file:
            grid = {"crs": crop_map.crs, "transform": crop_map.transform}
            size = {"height": crop_map.height, "width": crop_map.width}
            with WarpedVRT(file, resampling=Resampling.nearest, **grid, **size) as vrt:
                codes = vrt.read(1)
        between = _classes(assessed).index(ELSEWHERE)
        return cls(title, run, assessed, np.where(codes == 0, between, codes.astype(np.intp) - 1))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, code 1 first."""
        return _classes(self.map)

    @cached_property
    def shown(self) -> NDArray[np.uint8]:
        """`(y, x)`: codes of the map."""
        with rasterio.open(self.map.path) as file:
            return file.read(1)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """`(class, y, x)`: those of the map, 0 where it has none."""
        with rasterio.open(self.map.path.with_name(PROBABILITIES)) as file:
            percent = file.read()
        return np.where(percent == NONE, 0, percent) / 100

    def truths(self) -> dict[tuple[str, str], float]:
        """True value by measure and class; areas in hectares."""
        inside = self.shown != OUTSIDE
        area = self.map.pixel_hectares(next(self.map.windows()))[inside]
        shown, truth = self.shown[inside].astype(np.intp) - 1, self.truth[inside]
        mapped = shown < len(self.classes)
        out = {("overall", ""): float(area[shown == truth].sum() / area[mapped].sum())}
        for k, name in enumerate(self.classes):
            here, there = area[shown == k].sum(), area[truth == k].sum()
            both = area[(shown == k) & (truth == k)].sum()
            ratios = {"users": (both, here), "producers": (both, there), "f1": (2 * both, here + there)}
            out["area", name] = float(there)
            out |= {(key, name): float(a / b) for key, (a, b) in ratios.items() if b > 0}
        return out

    def answers(self, design: SampleDesign) -> dict[str, str]:
        """What a simulated interpreter says of each point: the truth."""
        return {unit.id: self.classes[self.truth[unit.row, unit.col]] for unit in design.units}


@dataclass(frozen=True)
class KnownDesign:
    """A design on a map whose truth is known, drawn as often as one likes."""

    place: KnownMap
    """The map."""
    plan: SamplePlan
    """How `cropmap assess design` would draw."""
    units: NDArray[np.intp]
    """`(stratum,)`: points."""
    blocks: BlockFrame | None
    """Blocks of the frame, where points are drawn in blocks."""

    @classmethod
    def of(cls, place: KnownMap, request: DesignRequest) -> KnownDesign:
        """What a request asks for."""
        plan = SamplePlan.of(request, place.map, lambda *_: None)
        blocks = None if request.blocks is None else count_blocks(place.map, request.blocks)
        return cls(place, plan, plan.shared().units, blocks)

    def record(self, seed: int) -> SampleDesign:
        """One sample, as the command keeps it."""
        request, frame, districts = self.plan.request, self.plan.frame, self.plan.districts
        plan = replace(self.plan, request=replace(request, seed=seed))
        if self.blocks is None:
            return plan.record(self.units, draw(plan.map, frame, districts, self.units, seed))
        wanted = request.blocks_drawn or 0, request.points or 0
        drawn = draw_blocks(plan.map, frame.partition, districts, self.blocks, *wanted, seed)
        return plan.record(np.array([len(drawn.row)]), drawn, self.blocks)

    def sample(self, seed: int) -> tuple[Sampled, list[ClassCovariate | None]]:
        """One sample with its answers, and what the map says of it."""
        design = self.record(seed)
        sampled = sample_of(design, self.place.answers(design))
        return sampled, [self._covariate(sampled, k) for k in range(len(sampled.classes))]

    @cached_property
    def _totals(self) -> list[ClassCovariate | None]:
        """What the map says of the whole frame, which no sample changes."""
        design = self.record(0)
        return class_covariates(self.place.map, sample_of(design, self.place.answers(design))) or []

    def _covariate(self, sampled: Sampled, k: int) -> ClassCovariate | None:
        if (known := self._totals[k]) is None:
            return None
        rows, cols = (np.array([getattr(unit, key) for unit in sampled.units]) for key in ("row", "col"))
        return replace(known, values=self.place.probabilities[k, rows, cols])


def made_map(folder: Path, seed: int = 0, shape: tuple[int, int] = MADE_SHAPE) -> KnownMap:
    """A map that is right in nine of ten pixels and a little less sure than it could be; a class is rare."""
    rng = np.random.default_rng(seed)
    parts = rng.dirichlet(0.3 * np.array(MADE_SHARES), shape)
    truth = (rng.random(shape)[..., None] > np.cumsum(parts, axis=-1)[..., :3]).sum(axis=-1)
    said = np.maximum(parts, 1e-9) ** 0.7
    percent = np.round(100 * said / said.sum(axis=-1, keepdims=True)).astype(np.uint8)
    codes = (1 + percent.argmax(axis=-1)).astype(np.uint8)
    sure = percent.max(axis=-1)
    hidden = rng.random(shape) < 0.06
    codes[hidden], sure[hidden], percent[hidden] = NOT_ENOUGH, NONE, NONE
    tags = {f"CLASS_{code}": name for code, name in {**MADE, NOT_ENOUGH: "not enough observations"}.items()}
    _write(folder / "crop_map.tif", codes[None], OUTSIDE, tags)
    _write(folder / "confidence.tif", sure[None], NONE)
    _write(folder / PROBABILITIES, np.moveaxis(percent, -1, 0), NONE)
    path = folder / "crop_map.tif"
    return KnownMap("A made map", path, open_map(path), truth.astype(np.intp))


def demo_map(folder: Path) -> KnownMap:
    """The map of the demo with probabilities, made where it is missing: two processor cores take minutes.

    Args:
        folder: Folder of the demo.
    """
    scenes, settings = folder / "scenes", Settings(size=DEMO_SIZE)
    simulate(scenes, settings)
    _predict(predict_command(folder, settings.year, "accurate"))
    title = "The demo: SIMULATED scenes"
    return KnownMap.read(title, folder / "run", scenes / "fields.tif")


def real_map(folder: Path) -> KnownMap:
    """The map of `benchmarks/real_map.py` with probabilities, which are added where they are missing.

    Args:
        folder: Folder of that benchmark.

    Raises:
        InputError: It was not run there.
    """
    run = folder / "run"
    if not (folder / "report.json").is_file():
        raise InputError(
            f"{folder} holds no map of painted real pixels. Make it with 'python -m benchmarks.real_map "
            f"--out {folder}', which needs the real data."
        )
    _predict(["predict", f"--config={run / CONFIG_FILE}"])
    title = "Painted fields: real pixels in made-up places, under real clouds"
    return KnownMap.read(title, run, folder / "scenes" / "fields.tif")


def _predict(words: list[str]) -> None:
    """Run the command as a user would; a finished run gets its probabilities alone.

    Raises:
        subprocess.CalledProcessError: It did not end well; its message is on stderr.
    """
    command = [sys.executable, "-m", "cli.main", *words, "--layers=probabilities"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def whole_way(design: KnownDesign, folder: Path) -> Results:
    """One sample from the design to the report: files, answer sheets filled in by two, everything read again.

    Args:
        design: What is drawn, with seed 0.
        folder: New folder of the sample.
    """
    request = replace(design.plan.request, out=folder)
    drawn = design_sample(request).design
    sheets = write_sheets(SheetRequest(request.place, interpreters=2, pages=False, sample=folder))
    for sheet in sheets.answers:
        fill_in(sheet, design.place.answers(drawn))
    return make_report(ReportRequest(folder, AnswerRequest(sheets.answers))).results


def fill_in(sheet: Path, answers: Mapping[str, str]) -> None:
    """Write answers by id into an answer sheet."""
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = [{**row, "answer": answers[row["id"]]} for row in csv.DictReader(file)]
    sheet.write_bytes(to_csv(tuple(rows[0]), rows))


def _write(path: Path, bands: NDArray[np.uint8], nodata: int, tags: dict[str, str] | None = None) -> None:
    count, height, width = bands.shape
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    size = {"count": count, "height": height, "width": width, "dtype": "uint8", "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", **place, **size) as file:
        file.write(bands)
        file.update_tags(**(tags or {}))


def _classes(assessed: AssessedMap) -> tuple[str, ...]:
    """Names of the classes of a map, code 1 first."""
    return tuple(assessed.name(code) for code in sorted(assessed.names) if code not in (254, 255))
