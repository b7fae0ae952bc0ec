"""A run as one worker process holds it: its plan, its source and its one model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, MismatchError
from gee_pipeline.files import require_folder
from gee_pipeline.grid import Cell, inside
from gee_pipeline.layers import LayerName
from gee_pipeline.map_codes import NOT_ENOUGH, OUTSIDE
from gee_pipeline.observations import ValueStatistics
from gee_pipeline.source import BlockSource, Composite, PredictingSource, RemoteSource, Source
from gee_pipeline.store import composite_path, read_composite, require_whole, write_composite
from inference.models.pixel_prediction import Prediction
from inference.models.series import clear_bins, pixel_series
from inference.run.cell_layers import bands_with_room, blank_bands, fill_layers, has_class
from inference.run.ledger import CellRecord, stamp_of
from inference.run.plan import RUN_FILE, RunPlan, load_plan
from inference.run.prediction import GDAL_CACHE, Finished, prediction_path, read_finished, write_prediction
from inference.run.server_prediction import server_prediction

if TYPE_CHECKING:
    from distributed import Worker

    from inference.models.pixel_model import PixelModel

OTHER_CLASSES: Final = 0.001
"""Share of a cell's pixels whose class may come out differently when layers are added: another processor
rounds differently, where two classes are as likely."""


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker must know about a run besides the run folder; small, for it travels with every cell."""

    folder: Path
    """Folder of the run, as the workers see it."""
    source: Source
    """Where composites come from."""
    composites_only: bool
    """True where no map is wanted."""
    devices: tuple[str, ...] = ("auto",)
    """Devices that the workers share out among themselves by their names 0, 1, ..."""
    memory_budget: int = 2**30
    """Bytes that one thread's batch may take in the model."""
    gdal_cache: int = GDAL_CACHE
    """Bytes of decoded blocks that GDAL may keep in a process of the files that are open."""
    computing: int | None = 1
    """Threads of a worker in which a network works on a CPU; None takes as many as it has for cells."""
    token: str = field(default_factory=lambda: uuid4().hex)
    """Tells two runs of one folder apart."""

    @property
    def fetching_is_all(self) -> bool:
        """Whether a cell is done once it has come from a server."""
        remote = isinstance(self.source, RemoteSource)
        return remote and (self.composites_only or isinstance(self.source, PredictingSource))


@dataclass(frozen=True)
class ReadyCell:
    """A cell that can be worked on; what a server computes of it has been fetched."""

    row: int
    """Row of the cell."""
    col: int
    """Column of the cell."""
    remade: bool = False
    """True where the composite of a former run was damaged and made again."""
    seconds: float = 0.0
    """Wall time of fetching it."""
    reused: bool = True
    """True where there was nothing to fetch."""


@dataclass(frozen=True)
class CellBlock:
    """Neighbouring cells whose composites are made together before each is worked on."""

    places: tuple[tuple[int, int], ...]
    """Rows and columns of the cells, row by row."""


class CellWorker:
    """The plan, the source and the model of a run, opened once a process; its threads share them."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.plan = load_plan(setup.folder)
        self._mask = self.plan.mask
        self._loading = threading.Lock()
        self._pixel_model: PixelModel | None = None

    def composite_only(self, cell: Cell) -> CellRecord:
        """Make the composite of a cell unless it is there."""
        if has_composite(self.setup.folder, self.plan, cell):
            return replace(self._composite_record(cell), reused=True)
        clock = _Clock()
        remade = composite_path(self.setup.folder, cell).exists()
        with clock.step("composite"):
            composite = self._make_composite(cell)
        record = self._composite_record(cell)
        return replace(record, remade=remade, seconds=clock.seconds, **_observed(composite))

    def _composite_record(self, cell: Cell) -> CellRecord:
        """The record of a cell whose composite is all that is wanted, and is there."""
        stamp = stamp_of(composite_path(self.setup.folder, cell)) or ()
        return CellRecord(cell.name, "done", int(inside(self.plan.area, cell.geobox).sum()), file=stamp)

    def make_block(self, cells: Sequence[Cell]) -> Iterator[ReadyCell | CellRecord]:
        """Make the composites that several cells lack, from scenes that are read once.

        Yields what was made: the record of the cell where composites are all that is wanted. A cell that does
        not come fails when its own turn comes, or has what it needs.
        """
        source, start = self.setup.source, time.perf_counter()
        lacking = [cell for cell in cells if self._lacks_composite(cell)]
        if not isinstance(source, BlockSource) or len(lacking) < 2:
            return
        made = source.read_block(lacking, self.plan.season, self.plan.bins, self.setup.folder / "composites")
        for cell, composite in made:
            self._keep_composite(cell, composite)
            seconds = round((time.perf_counter() - start) / len(lacking), 3)
            if not self.setup.composites_only:
                yield ReadyCell(cell.row, cell.col, seconds=seconds, reused=False)
                continue
            record = self._composite_record(cell)
            yield replace(record, seconds={"composite": seconds}, **_observed(composite))

    def _lacks_composite(self, cell: Cell) -> bool:
        if composite_path(self.setup.folder, cell).exists():
            return False
        return self.setup.composites_only or self._needs_composite(cell)

    def map_cell(self, cell: Cell) -> CellRecord:
        """Make the prediction of a cell, or the layers that it lacks, unless all is there."""
        record, path = self._mapped(cell), prediction_path(self.setup.folder, cell)
        return replace(record, file=stamp_of(path) or ())

    def _mapped(self, cell: Cell) -> CellRecord:
        path = prediction_path(self.setup.folder, cell)
        finished = read_finished(path, cell, self.plan.digest)
        if finished and finished.has(self.plan.layers):
            return _record(cell, finished.bands, finished.skipped, reused=True)
        area, wanted = self._wanted(cell)
        if finished:
            return self._add_layers(cell, finished, area, wanted)
        if not wanted.any():
            return self._skip(cell, area)
        if isinstance(self.setup.source, PredictingSource):
            return self._take_prediction(self.setup.source, cell, area, wanted)
        return self._predict_cell(cell, area, wanted)

    def fetch(self, cell: Cell) -> ReadyCell:
        """Bring the composite of a cell to the disk, unless its prediction is there or needs none."""
        path, clock = composite_path(self.setup.folder, cell), _Clock()
        if not self._needs_composite(cell) or self._kept(cell):
            return ReadyCell(cell.row, cell.col)
        there = path.exists()
        with clock.step("composite"):
            self._make_composite(cell)
        return ReadyCell(cell.row, cell.col, remade=there, seconds=clock.seconds["composite"], reused=False)

    def _needs_composite(self, cell: Cell) -> bool:
        finished = read_finished(prediction_path(self.setup.folder, cell), cell, self.plan.digest)
        if finished:
            return not finished.has(self.plan.layers) and bool(has_class(finished.bands).any())
        return bool(self._wanted(cell)[1].any())

    def _wanted(self, cell: Cell) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which pixels `(y, x)` lie in the area, and which of these are to be mapped."""
        area = inside(self.plan.area, cell.geobox)
        return area, area & self._mask.read(cell.geobox) if self._mask else area

    def _skip(self, cell: Cell, area: NDArray[np.bool_]) -> CellRecord:
        bands = blank_bands(area, self.plan)
        self._write(cell, bands, skipped=True)
        return _record(cell, bands, skipped=True)

    def _write(self, cell: Cell, bands: NDArray[np.uint8], *, skipped: bool = False) -> None:
        path, plan = prediction_path(self.setup.folder, cell), self.plan
        require_folder(self.setup.folder, RUN_FILE)
        write_prediction(path, bands, cell, plan.digest, skipped=skipped, layers=plan.layers)

    def _predict_cell(self, cell: Cell, area: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> CellRecord:
        clock = _Clock()
        with clock.step("composite"):
            composite, remade = self._window(cell)
        if composite.cropland is not None:
            wanted = wanted & composite.cropland
        if not wanted.any():
            return self._skip(cell, area)
        with clock.step("predict"):
            bands = self._predict(composite.values, area, wanted)
        self._write(cell, bands)
        return _record(
            cell, bands, skipped=False, remade=remade, seconds=clock.seconds, **_observed(composite)
        )

    def _add_layers(
        self, cell: Cell, finished: Finished, area: NDArray[np.bool_], wanted: NDArray[np.bool_]
    ) -> CellRecord:
        """Give a finished cell the layers that it lacks; what it has stays as it is, bit for bit."""
        clock, remade = _Clock(), False
        bands = bands_with_room(finished, self.plan)
        known = has_class(bands)
        if known.any():
            missing = tuple(name for name in self.plan.layers if name not in finished.layers)
            with clock.step("layers"):
                remade = self._compute_layers(cell, bands, known, missing, area, wanted)
        self._write(cell, bands, skipped=finished.skipped)
        return _record(cell, bands, finished.skipped, remade=remade, seconds=clock.seconds)

    def predict_again(self, cell: Cell) -> NDArray[np.uint8] | None:
        """The bands `(band, y, x)` of a cell from its stored composite; None where there is no whole one."""
        composite = self._kept(cell)
        if composite is None:
            return None
        area, wanted = self._wanted(cell)
        if composite.cropland is not None:
            wanted = wanted & composite.cropland
        return self._predict(composite.values, area, wanted)

    def _compute_layers(
        self,
        cell: Cell,
        bands: NDArray[np.uint8],
        known: NDArray[np.bool_],
        missing: tuple[LayerName, ...],
        area: NDArray[np.bool_],
        wanted: NDArray[np.bool_],
    ) -> bool:
        """Fill layers of the pixels that have a class; whether a damaged composite was made again for it."""
        if isinstance(self.setup.source, PredictingSource):
            served, _ = self.setup.source.read_prediction(cell, self.plan.season, self.plan.layers)
            again, _ = server_prediction(served, area, wanted, self.plan)
            self._require_unchanged(cell, (again[:3] == bands[:3]).all())
            bands[3:] = again[3:]
            return False
        composite, remade = self._window(cell)
        observed = clear_bins(composite.values, self.plan.recipe.group_sizes)
        self._require_unchanged(cell, (observed == bands[2])[known].all())
        scored = self._model().scored(pixel_series(composite.values, known))
        others = (scored.prediction.codes != bands[0][known]).mean()
        self._require_unchanged(cell, others <= OTHER_CLASSES)
        prediction = Prediction(bands[0][known], bands[1][known])
        fill_layers(bands, known, missing, replace(scored, prediction=prediction), self.plan)
        return remade

    def _require_unchanged(self, cell: Cell, unchanged: bool | np.bool_) -> None:
        """Refuse to put layers next to classes that were made of something else."""
        if not unchanged:
            path = prediction_path(self.setup.folder, cell)
            raise MismatchError(
                f"The layers of cell {cell.name} belong to the classes that are in {path}, but what these "
                "were made of has changed. Delete that file and run the same command again: the cell is "
                "computed as a whole."
            )

    def _take_prediction(
        self, source: PredictingSource, cell: Cell, area: NDArray[np.bool_], wanted: NDArray[np.bool_]
    ) -> CellRecord:
        """Make the prediction of a cell out of what a server says of it."""
        clock = _Clock()
        with clock.step("fetch"):
            served, counts = source.read_prediction(cell, self.plan.season, self.plan.layers)
        bands, skipped = server_prediction(served, area, wanted, self.plan)
        self._write(cell, bands, skipped=skipped)
        return _record(cell, bands, skipped, seconds=clock.seconds, scenes=asdict(counts))

    def _window(self, cell: Cell) -> tuple[Composite, bool]:
        """The bins of the model window, and whether a damaged file was made again."""
        there = composite_path(self.setup.folder, cell).exists()
        if kept := self._kept(cell):
            return kept, False
        made, window = self._make_composite(cell), self.plan.recipe.window
        first = window.start - self.plan.bins.start
        return replace(made, values=made.values[first : first + len(window)], bins=window), there

    def _kept(self, cell: Cell) -> Composite | None:
        """The bins of the model window as they are stored; None where they are missing or damaged."""
        path = composite_path(self.setup.folder, cell)
        try:
            if path.exists():
                return read_composite(path, cell, self.plan.recipe, self.plan.season, self.plan.recipe.window)
        except CorruptFileError:
            pass  # a composite is ours to make again, unlike a scene
        return None

    def _make_composite(self, cell: Cell) -> Composite:
        composite = self.setup.source.read_cell(cell, self.plan.season, self.plan.bins)
        self._keep_composite(cell, composite)
        return composite

    def _keep_composite(self, cell: Cell, composite: Composite) -> None:
        plan, path = self.plan, composite_path(self.setup.folder, cell)
        expected = (len(plan.bins), len(plan.recipe.bands), *cell.geobox.shape)
        if composite.values.shape != expected:
            raise MismatchError(
                f"The composite of cell {cell.name} must have the shape (bin, band, y, x) = {expected}, the "
                f"source gave {composite.values.shape}."
            )
        require_folder(self.setup.folder, RUN_FILE)
        write_composite(path, composite, plan.recipe, plan.season, plan.shown_source)

    def _predict(
        self, values: NDArray[np.int16], area: NDArray[np.bool_], wanted: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """The bands `(band, y, x)` of a prediction; the model sees only wanted pixels with enough data."""
        bands = blank_bands(area, self.plan)
        codes, confidence, clear = bands[:3]
        observed = clear_bins(values, self.plan.recipe.group_sizes)
        # A series without any observation has no input at all, whatever the recipe says.
        known = wanted & (observed >= max(self.plan.recipe.min_clear_bins, 1))
        clear[wanted] = observed[wanted]
        codes[wanted] = NOT_ENOUGH
        if known.any():
            prediction = self._labelled(bands, known, pixel_series(values, known))
            codes[known], confidence[known] = prediction.codes, prediction.confidence
        return bands

    def _labelled(
        self, bands: NDArray[np.uint8], known: NDArray[np.bool_], series: NDArray[np.int16]
    ) -> Prediction:
        """What the model says of series, after the layers that are wanted were written into the bands."""
        if not self.plan.layers:
            return self._model().predict(series)
        scored = self._model().scored(series)
        fill_layers(bands, known, self.plan.layers, scored, self.plan)
        return scored.prediction

    def _model(self) -> PixelModel:
        """The model, loaded at the first cell that needs it, once a process."""
        with self._loading:
            if self._pixel_model is None:
                self._pixel_model = self._load_model()
            return self._pixel_model

    def _load_model(self) -> PixelModel:
        # Imported here: workers that make composites only never pay for torch (0.3 GB, 2 s).
        from inference.models.pixel_model import load_model, open_model

        planned = self.plan.model
        if planned is None:
            raise AssertionError("a run without a model predicts nothing")
        model = load_model(planned.path)
        if model.digest != planned.digest:
            raise MismatchError(
                f"The model's copy {planned.path} has the digest {model.digest}, the run began with "
                f"{planned.digest}. Run the same command again: it copies the model again."
            )
        return open_model(
            model,
            _my_device(self.setup.devices),
            memory_budget=self.setup.memory_budget,
            form=self.plan.network_form,
            threads=self.setup.computing or _dask_worker().state.nthreads,
        )


def has_composite(folder: Path, plan: RunPlan, cell: Cell) -> bool:
    """Whether a cell's composite stands there and fits the plan; all that the plan needs of it is read.

    Raises:
        MismatchError: It belongs to another run.
    """
    path = composite_path(folder, cell)
    if not path.exists():
        return False
    try:
        require_whole(path, cell, plan.recipe, plan.season, plan.bins)
    except CorruptFileError:
        return False
    return True


class _Observed(TypedDict):
    scenes: dict[str, int]
    values: list[list[int]]


def _observed(composite: Composite) -> _Observed:
    return {"scenes": asdict(composite.counts), "values": ValueStatistics.of(composite.values).rows}


class _Clock:
    """Wall time of named steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def _my_device(devices: tuple[str, ...]) -> str:
    """The device of this worker: workers of a local cluster are named 0, 1, ... ."""
    if len(devices) == 1:
        return devices[0]
    try:
        name = _dask_worker().name
    except ValueError:  # no Dask worker: the plain loop
        return devices[0]
    return devices[name % len(devices)] if isinstance(name, int) else devices[0]


def _dask_worker() -> Worker:
    from distributed import get_worker

    return get_worker()


def _record(
    cell: Cell,
    bands: NDArray[np.uint8],
    skipped: bool,
    *,
    reused: bool = False,
    remade: bool = False,
    seconds: dict[str, float] | None = None,
    scenes: dict[str, int] | None = None,
    values: Sequence[Sequence[int]] = (),
) -> CellRecord:
    return CellRecord(
        cell.name,
        "skipped" if skipped else "done",
        pixels=int((bands[0] != OUTSIDE).sum()),
        reused=reused,
        remade=remade,
        seconds=seconds or {},
        scenes=scenes or {},
        values=values,
    )
