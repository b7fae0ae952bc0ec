"""Opening what a plan reads: the reference map, the regions of its accuracies, and the series."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gee_pipeline.earthengine.composites.fetch import Fetcher
from training.sampling.cell_sampler import SeriesReader
from training.sampling.plan import SamplePlan
from training.sampling.reference.accuracy import AccuracyFilter
from training.sampling.reference.class_table import NO_CLASS, ClassTable
from training.sampling.reference.parcel_labels import ParcelLabels
from training.sampling.reference.raster_labels import RasterLabels
from training.sampling.reference.reference_maps import (
    ParcelsFile,
    RasterFile,
    ReferenceMap,
    ServerImage,
    ServerTable,
)
from training.sampling.reference.server_labels import ImageLabels, TableLabels
from training.sampling.reference.square_labels import LabelReader, SquareLabels
from training.sampling.series.scene_series import SceneSeries
from training.sampling.series.server_series import ServerSeries
from training.sampling.squares.grid import SampleCell


def needs_earth_engine(plan: SamplePlan, series: bool = True) -> bool:
    """Whether anything of a plan is on Earth Engine.

    Args:
        plan: What is drawn.
        series: Whether series are asked for, and not labels alone.
    """
    regions = plan.accuracy.regions if plan.accuracy else None
    maps = [plan.reference, *([regions] if regions else [])]
    return (series and plan.scenes is None) or any(one.on_earth_engine for one in maps)


def open_labels(plan: SamplePlan, fetcher: Fetcher | None, folder: Path) -> LabelReader:
    """The labels of a plan, those left out whose accuracy is too low.

    Args:
        plan: What is drawn.
        fetcher: Asks Earth Engine; None where nothing is there.
        folder: Where files without an index are copied to.
    """
    labels = _reader(plan, plan.reference, fetcher, folder)
    if plan.accuracy is None:
        return labels
    regions = plan.accuracy.regions
    reader = _reader(replace(plan, cropland=None), regions, fetcher, folder / "regions") if regions else None
    return AccurateLabels(labels, reader, plan.accuracy, plan.reference.table)


def open_series(plan: SamplePlan, fetcher: Fetcher | None) -> SeriesReader:
    """The series of a plan."""
    if plan.scenes is not None:
        return SceneSeries(plan.season, plan.scenes)
    assert fetcher is not None
    return ServerSeries(plan.season, plan.recipe, fetcher)


@dataclass(frozen=True)
class AccurateLabels:
    """Labels of a map without those whose accuracy is too low."""

    labels: LabelReader
    """Reads the map."""
    regions: LabelReader | None
    """Reads the names of the regions; None where accuracies hold everywhere."""
    accuracy: AccuracyFilter
    """Says which values are right often enough."""
    table: ClassTable
    """What the values mean."""

    def require(self) -> None:
        """Look at map and regions once.

        Raises:
            InputError: One cannot be used.
        """
        self.labels.require()
        if self.regions:
            self.regions.require()

    def read(self, cell: SampleCell, spacing: int, buffer: float) -> SquareLabels:
        """The labels of a square.

        Raises:
            CropmapError: A map cannot be read there.
        """
        labels = self.labels.read(cell, spacing, buffer)
        regions = self.regions.read(cell, spacing, 0) if self.regions else None
        kept = self.accuracy.kept(labels, regions, self.table)
        return replace(labels, codes=np.where(kept, labels.codes, NO_CLASS).astype(np.uint8))


def _reader(plan: SamplePlan, reference: ReferenceMap, fetcher: Fetcher | None, folder: Path) -> LabelReader:
    place, table = reference.place, reference.table
    if isinstance(place, RasterFile):
        return RasterLabels(place.path, table, plan.aoi, plan.cropland)
    if isinstance(place, ParcelsFile):
        return ParcelLabels(place, table, plan.aoi, folder, plan.cropland)
    assert fetcher is not None
    if isinstance(place, ServerTable):
        return TableLabels(place, table, fetcher)
    assert isinstance(place, ServerImage)
    return ImageLabels(place, table, fetcher)
