"""What a map's report and STAC item state: what went in (MapFacts) and what came out (MapSummary)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import InputError
from gee_pipeline.layers import LayerName, in_order, placed
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.source import Spent

COUNTED: Final = "Areas are pixel counts, not area estimates."
"""Said beside every hectare of a map: what it misses and what it takes for a class do not cancel."""


@dataclass(frozen=True)
class MapFacts:
    """What the map cannot know from its own pixels."""

    title: str
    """Heading of the map, for example `Crop map of Poinsett County 2021`."""
    season: Season
    """The mapped season; its year is the map's year."""
    recipe: Recipe
    """How scenes became the model's input."""
    source: Mapping[str, Any]
    """What identifies the scenes, as `Source.describe()` says."""
    model: str
    """Name of the model, for a reader: `compact`, or the checkpoint's file name."""
    version: str
    """Version of cropmap that made the map."""
    model_digest: str = ""
    """Digest of the checkpoint."""
    run_digest: str = ""
    """Digest of the run's plan."""
    workload: str = ""
    """Workload tag of the run's requests to a server."""
    layers: tuple[LayerName, ...] = ()
    """Layers on request, in the order of the table."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What the checkpoint was trained on, as it says itself."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """How good the checkpoint was on its validation data."""
    prediction_sets: Mapping[str, Any] = field(default_factory=dict)
    """What the sets of its pixels rest on, as `PredictionSets.to_dict` says; empty where it has none."""
    confidence: str = ""
    """How the confidence of a pixel was made; empty where the model's own metrics say it."""
    simulated: bool = False
    """True where the scenes are simulated; the quicklook, the STAC item and the report then say so."""
    notices: tuple[str, ...] = ()
    """What the reader of the map should know, one sentence each."""
    completeness: Mapping[str, Any] = field(default_factory=dict)
    """Counts of cells: `planned`, `done`, `failed`, `skipped`; more keys are kept as they are."""
    observed: Mapping[str, Any] = field(default_factory=dict)
    """What the observed values are like, see `plausibility.Check.report`; empty where none were counted."""
    spent: Spent = field(default_factory=Spent)
    """What a server was asked for the map; nothing where the scenes were read from files."""
    command: str = ""
    """The command that made the map."""
    config: str = ""
    """The TOML text that reproduces the run."""
    area: BaseGeometry | None = None
    """The mapped polygon in EPSG:4326, longitude first; None takes the grid's outline as footprint."""
    created: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    """When the map was made, with a time zone."""

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise InputError("A map needs a title, got an empty one. Give one with --title.")
        if self.created.tzinfo is None:
            raise InputError(f"The time of making needs a time zone, got {self.created.isoformat()}.")

    @property
    def year(self) -> int:
        """The mapped year."""
        return self.season.year


@dataclass(frozen=True)
class CodeArea:
    """How much of the map one code covers."""

    code: int
    """Value in `crop_map.tif`."""
    name: str
    """Name in the legend."""
    pixels: int
    """Number of pixels."""
    hectares: float
    """True ground area on the ellipsoid."""
    mean_confidence: float | None
    """Mean confidence, 0 to 100; None where no pixel has one."""
    mean_clear: float | None
    """Mean number of clear observations; None where no pixel has one."""


@dataclass(frozen=True)
class MapSummary:
    """What stands in the map, counted while it was written."""

    folder: Path
    """The folder with all files of the map."""
    cells: int
    """Number of cells in the map."""
    shape: tuple[int, int]
    """Height and width of the map in pixels."""
    areas: tuple[CodeArea, ...]
    """The classes in order of their codes, then "not cropland" and "not enough observations"."""
    means: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Mean of each band of the layers on request, by layer; None where no pixel has a value."""
    outside: float | None = None
    """Share of the pixels with a class that lie outside the model's area of applicability; None where the
    map does not have that layer."""
    set_sizes: tuple[float, ...] = ()
    """Shares of the pixels with a class by the number of classes in their prediction set, from 0; empty where
    the map does not have that layer."""

    @property
    def rasters(self) -> tuple[Path, ...]:
        """All its rasters, the class map first."""
        return tuple(self.folder / f"{one.layer.name}.tif" for one in placed(in_order(self.means), 1))

    @property
    def crop_map(self) -> Path:
        """The class map, a Cloud-Optimized GeoTIFF."""
        return self.folder / "crop_map.tif"

    @property
    def confidence(self) -> Path:
        """Confidence 0 to 100 of every classified pixel."""
        return self.folder / "confidence.tif"

    @property
    def clear_observations(self) -> Path:
        """Number of observed bins of every pixel."""
        return self.folder / "clear_observations.tif"

    @property
    def report(self) -> Path:
        """Everything about the map as JSON; it is there exactly when the map is whole."""
        return self.folder / "report.json"

    @property
    def page(self) -> Path:
        """Where `cropmap report` writes its page about the map."""
        return page_path(self.folder)

    @property
    def pixels(self) -> int:
        """Pixels inside the area."""
        return sum(area.pixels for area in self.areas)

    @property
    def hectares(self) -> float:
        """Ground area of the mapped area."""
        return sum(area.hectares for area in self.areas)


def page_path(folder: Path) -> Path:
    """Where `cropmap report` writes its page about a map.

    Args:
        folder: Folder of the map.
    """
    return folder / "report.html"


def hectares_text(value: float) -> str:
    """An area for a reader, never 0.0 where there is a pixel: `0.01`, `23.4`, `1,234`."""
    decimals = 2 if 0 < value < 1 else 1 if value < 1000 else 0
    return f"{value:,.{decimals}f}"


def set_sizes_text(shares: Sequence[float]) -> str:
    """Sizes of prediction sets for a reader: `one class on 81.2%, several on 12.3%, none on 6.5%`.

    Args:
        shares: Of the pixels with a class, by the number of classes in their set, from 0.
    """
    none, one, several = shares[0], sum(shares[1:2]), sum(shares[2:])
    return f"one class on {one:.1%}, several on {several:.1%}, none on {none:.1%}"
