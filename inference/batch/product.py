"""What batch tasks write of cells, composites or predictions, and how their files become those of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import ee
import numpy as np

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.client.session import Session
from gee_pipeline.earthengine.client.settings import Cropland, EarthEngineSettings
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.source import EarthEngineSource
from gee_pipeline.earthengine.composites.storage import StoredFile, read_export
from gee_pipeline.earthengine.composites.tasks import TILE, Destination, square_of
from gee_pipeline.earthengine.prediction.prediction_source import PredictionSource
from gee_pipeline.grid import Cell, inside
from gee_pipeline.source import Composite, SceneCounts
from gee_pipeline.store import CROPLAND_BAND, composite_path, write_composite
from inference.run.cell_worker import has_composite
from inference.run.ledger import Goal
from inference.run.plan import CONFIG_FILE, RunPlan
from inference.run.prediction import prediction_path, read_finished, write_prediction
from inference.run.server_prediction import server_prediction

COPIES: Final = 4
"""Times the values of a cell are in memory while its file is read, verified and written."""


class Product(Protocol):
    """What tasks write for a run."""

    @property
    def goal(self) -> Goal:
        """What the cells have become once they are collected."""

    @property
    def nodata(self) -> int | None:
        """Value that marks pixels without any in the files; None where there are none of that kind."""

    @property
    def cell_bytes(self) -> int:
        """Bytes of the values of one cell."""

    @property
    def square(self) -> int:
        """Pixels along one side of the squares that a task computes at a time, at most."""

    def image(self, cells: Sequence[Cell]) -> ee.Image:
        """What a task exports of some cells: one integer type, no pixel masked; the client must be open."""

    def has(self, cell: Cell) -> bool:
        """Whether the run has the whole file of a cell.

        Raises:
            MismatchError: The file belongs to another run.
        """

    def take(self, cell: Cell, file: StoredFile, content: bytes, counts: SceneCounts) -> bool:
        """Write the run's own file of a cell from an exported one, after that was found whole.

        Args:
            cell: The cell.
            file: The exported file, for messages.
            content: Its bytes.
            counts: What the cell was made of.

        Returns:
            Whether nothing of the cell is to be mapped.

        Raises:
            CorruptFileError: It is damaged, or not the export of this cell.
            MismatchError: It holds what the run's model never says.
            DiskFullError: The disk has no room.
        """


@dataclass(frozen=True)
class CompositeProduct:
    """All bands of all bins, and the cropland mask where the source has one."""

    folder: Path
    """Folder of the run."""
    plan: RunPlan
    """A plan whose source is Earth Engine."""
    source: EarthEngineSource
    """The source."""

    @property
    def goal(self) -> Goal:
        """What the cells have become once they are collected."""
        return "composites"

    @property
    def nodata(self) -> int:
        """Value of gaps."""
        return NODATA

    @property
    def cell_bytes(self) -> int:
        """Bytes of the values of one cell."""
        values = len(self.plan.bins) * len(self.plan.recipe.bands) * self.plan.grid.cell_size**2
        return values * np.dtype(np.int16).itemsize

    @property
    def square(self) -> int:
        """As large as they may be."""
        return TILE

    def image(self, cells: Sequence[Cell]) -> ee.Image:
        """The composite of some cells."""
        season, bins, mask = self.plan.season, self.plan.bins, self.source.cropland_image()
        scenes = self.source.scenes_of(cells, season, bins)
        medians = self.source.composite_image(scenes, season, bins)
        # A task takes one type for all bands.
        return medians if mask is None else medians.addBands(mask.rename([CROPLAND_BAND]).toInt16())

    def has(self, cell: Cell) -> bool:
        """Whether the run has the whole composite of a cell."""
        return has_composite(self.folder, self.plan, cell)

    def take(self, cell: Cell, file: StoredFile, content: bytes, counts: SceneCounts) -> bool:
        """Write the composite that a file holds."""
        plan = self.plan
        names = [name for index in plan.bins for name in graph.band_names(plan.recipe.bands, index)]
        masked = self.source.cropland != "none"
        values, mask = read_export(content, file, cell.geobox, names, masked=masked)
        shape = (len(plan.bins), len(plan.recipe.bands), *cell.geobox.shape)
        composite = Composite(values.reshape(shape), cell.geobox, plan.bins, plan.recipe.bands, counts, mask)
        write_composite(
            composite_path(self.folder, cell), composite, plan.recipe, plan.season, plan.shown_source
        )
        return False


@dataclass(frozen=True)
class PredictionProduct:
    """The classes, confidence, clear observations and layers that a model on the servers gives."""

    folder: Path
    """Folder of the run."""
    plan: RunPlan
    """A plan whose model a server runs."""
    source: EarthEngineSource
    """The source of its scenes."""

    @property
    def goal(self) -> Goal:
        """What the cells have become once they are collected."""
        return "map"

    @property
    def nodata(self) -> None:
        """Every pixel has a code."""
        return None

    @property
    def cell_bytes(self) -> int:
        """Bytes of the values of one cell."""
        return len(self.plan.bands) * self.plan.grid.cell_size**2

    @property
    def square(self) -> int:
        """Smaller where the model takes the servers much memory."""
        return square_of(self._reader.model.most_pixels)

    def image(self, cells: Sequence[Cell]) -> ee.Image:
        """The prediction of some cells, also of pixels outside the area."""
        plan = self.plan
        scenes = self.source.scenes_of(cells, plan.season, plan.recipe.window)
        return self._reader.prediction_image(scenes, plan.season, plan.layers)

    @property
    def _reader(self) -> PredictionSource:
        source = self.plan.reader
        if not isinstance(source, PredictionSource):
            raise AssertionError(f"tasks label by a source of predictions, not by {source!r}")
        return source

    def has(self, cell: Cell) -> bool:
        """Whether the run has the whole prediction of a cell."""
        finished = read_finished(prediction_path(self.folder, cell), cell, self.plan.digest)
        return finished is not None and finished.has(self.plan.layers)

    def take(self, cell: Cell, file: StoredFile, content: bytes, counts: SceneCounts) -> bool:
        """Write the prediction that a file holds, as far as the area goes."""
        served, _ = read_export(content, file, cell.geobox, self.plan.bands, dtype="uint8")
        area, mask = inside(self.plan.area, cell.geobox), self.plan.mask
        wanted = area & mask.read(cell.geobox) if mask else area
        bands, skipped = server_prediction(served, area, wanted, self.plan)
        path = prediction_path(self.folder, cell)
        write_prediction(path, bands, cell, self.plan.digest, skipped=skipped, layers=self.plan.layers)
        return skipped


def command_of(folder: Path, plan: RunPlan, destination: Destination) -> str:
    """The command that continues the tasks of a run; with `--collect` it takes in what is finished."""
    return f"cropmap {plan.command} --config {folder / CONFIG_FILE} --to {destination}"


def product_of(folder: Path, plan: RunPlan, source: EarthEngineSource) -> Product:
    """What the tasks of a run write: predictions where a server runs its model, else composites.

    Args:
        folder: Run folder.
        plan: The run.
        source: What `source_of` gives.
    """
    if plan.model and plan.model.on_servers:
        return PredictionProduct(folder, plan, source)
    return CompositeProduct(folder, plan, source)


def source_of(folder: Path, plan: RunPlan, session: Session | None) -> EarthEngineSource:
    """The scenes and composites of a run, its scenes as they are kept in its folder.

    Args:
        folder: Run folder.
        plan: The run.
        session: Session of Earth Engine; None where it will not be asked.
    """
    settings = session.settings if session else EarthEngineSettings()
    cropland: Cropland = plan.source.get("cropland", "none")
    return EarthEngineSource(plan.recipe, settings, cropland=cropland).keeping(folder)
