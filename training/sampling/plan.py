"""Everything that decides a set of samples, known before anything is asked of a server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.earthengine.client.budget import require_hours
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.errors import InputError
from gee_pipeline.incoming.addresses import without_secrets
from gee_pipeline.recipe import USUAL, Recipe
from gee_pipeline.season import Hemisphere, Season
from gee_pipeline.season_of_area import require_imagery, season_of_area
from gee_pipeline.sensors import SENTINEL_2
from gee_pipeline.stac.choice import BadScenes, SceneChoice
from gee_pipeline.stac.composites.source import StacSource
from inference.run.cropland import CroplandMask
from training.sampling.reference.accuracy import AccuracyFilter, accuracy_filter
from training.sampling.reference.reference_maps import ReferenceMap, reference_map
from training.sampling.squares.grid import SampleCell, cells_touching
from training.sampling.squares.rule import SamplingRule


@dataclass(frozen=True)
class SampleRequest:
    """What `cropmap sample` is asked for."""

    aoi: Path
    """Vector file of the area of interest."""
    year: int
    """Year of the reference map and of the season."""
    reference: str
    """Name of a known map, or where a map of one's own lies: `asset:ID`, `asset:ID:BAND`, `table:ID`, a
    path."""
    out: Path
    """The npz file to write."""
    classes_table: Path | None = None
    """TOML file of classes, or the name of a known map or list of codes."""
    rule: SamplingRule = field(default_factory=SamplingRule)
    """How samples are drawn."""
    recipe: Recipe = USUAL
    """How series are made."""
    layer: str | None = None
    """Layer of the vector file; None takes its only one."""
    hemisphere: Hemisphere | None = None
    """Side of the equator whose season is drawn; None takes that of the area."""
    settings: EarthEngineSettings = field(default_factory=EarthEngineSettings)
    """Access and limits."""
    max_eecu_hours: float | None = None
    """Computing time that may be used, former starts included; None sets no limit."""
    reference_at: str | None = None
    """Where the map of that name lies; None is where Earth Engine has it."""
    code_column: str | None = None
    """Column of the codes, of polygons; None takes that of the known map."""
    reference_layer: str | None = None
    """Layer of a file of polygons; None takes its only one."""
    cropland_mask: str | None = None
    """FILE or FILE:VALUES: where land without a class of a map on this machine is "other"."""
    accuracy: Path | None = None
    """CSV with the accuracy of each value of the map; None keeps all."""
    regions: str | None = None
    """Polygons of the regions that the accuracies are of: a path or `table:ID`."""
    region_column: str | None = None
    """Column of the regions' names."""
    source: str | None = None
    """STAC catalog or API that series are read from; None is Google Earth Engine."""
    collection: str | None = None
    """Collection within a STAC API."""
    leave_out_scene: tuple[str, ...] = ()
    """Ids of scenes that are not used."""
    bad_scenes: BadScenes = "stop"
    """What becomes of scenes that cannot be used: they stop the sampling, or are left out."""
    raw: bool = False
    """Whether every acquisition of the samples is kept too."""

    def __post_init__(self) -> None:
        require_hours(self.max_eecu_hours)
        if self.source is None and (self.collection or self.leave_out_scene or self.bad_scenes != "stop"):
            raise InputError(
                "--collection, --leave-out-scene and --bad-scenes concern the scenes of a STAC catalog, but "
                "no --source is given. Name the catalog with --source, or omit them to use Earth Engine."
            )


@dataclass(frozen=True)
class SamplePlan:
    """What is drawn where, and of what."""

    aoi: Aoi
    """Area that holds the samples."""
    season: Season
    """The 365 days of the series."""
    reference: ReferenceMap
    """Where labels come from."""
    recipe: Recipe
    """How series are made."""
    rule: SamplingRule
    """How samples are drawn."""
    cells: tuple[SampleCell, ...]
    """Squares that share area with the area, from south to north and west to east."""
    scenes: StacSource | None = None
    """Where series are read from; None is Earth Engine."""
    cropland: CroplandMask | None = None
    """Where land without a class of a map on this machine is "other"."""
    accuracy: AccuracyFilter | None = None
    """Which values of the map are right often enough; None keeps all."""
    raw: bool = False
    """Whether every acquisition of the samples is kept too."""

    def to_dict(self) -> dict[str, Any]:
        """What samples are compared by, as JSON values; two plans that give other samples differ in it."""
        more = {
            "imagery": self.scenes.describe() if self.scenes else None,
            "cropland": {**self.cropland.describe(), **_modified(self.cropland)} if self.cropland else None,
            "accuracy": self.accuracy.to_dict() if self.accuracy else None,
            "raw": True if self.raw else None,
        }
        return {
            "area": hashlib.sha256(self.aoi.lonlat.normalize().wkb).hexdigest()[:16],
            "year": self.season.year,
            "season_start": self.season.start.isoformat(),
            **self.reference.to_dict(),
            **self.recipe.composite_fields,
            **self.rule.to_dict(),
            **{key: value for key, value in more.items() if value is not None},
        }

    @property
    def source(self) -> str:
        """One sentence on labels and imagery."""
        table = self.reference.table.source.rstrip(".")
        drawn = f"{self.rule.per_cell} {'of each class' if self.rule.each_class else 'in all'}"
        return (
            f"Series of {self.season.year} {self._imagery}, labels of {self._map}"
            f"{f' ({table})' if table else ''}; {drawn} in squares of {self.rule.grid:g} degrees, "
            f"{self.rule.buffer:g} m from other classes."
        )

    @property
    def _imagery(self) -> str:
        if self.scenes is None:
            if self.recipe.sensor_names == (SENTINEL_2.name,):
                return "by Google Earth Engine (S2_SR_HARMONIZED, Cloud Score+)"
            collections = ", ".join(group.sensor.collection for group in self.recipe.sensors)
            return f"by Google Earth Engine ({collections})"
        return f"from the scenes of {without_secrets(self.scenes.href)}"

    @property
    def _map(self) -> str:
        if self.reference.on_earth_engine:
            return self.reference.place.text
        known = self.reference.known
        return known.title if known else Path(self.reference.place.text).name


def _modified(mask: CroplandMask) -> dict[str, int]:
    """When a file was last written; another address has no such time."""
    local = Path(mask.path)
    return {"modified": local.stat().st_mtime_ns} if local.is_file() else {}


def plan_samples(request: SampleRequest, notice: Callable[[str], None] = lambda text: None) -> SamplePlan:
    """The plan of a request.

    Args:
        request: Area, year, reference and how to draw.
        notice: Takes what was repaired in the area, one sentence each.

    Raises:
        InputError: The area, the year, the reference or its table cannot be used.
    """
    reference = reference_map(
        request.reference,
        request.year,
        request.classes_table,
        at=request.reference_at,
        column=request.code_column,
        layer=request.reference_layer,
    )
    if reference.on_earth_engine and request.cropland_mask is not None:
        raise InputError(
            "--cropland-mask completes a map on this machine; of one on Earth Engine the servers do it, "
            "where the class table asks for it. Omit it."
        )
    aoi = read_aoi(request.aoi, request.layer)
    for text in aoi.notices:
        notice(text)
    season = season_of_area(aoi, request.recipe, request.year, request.hemisphere, notice)
    if request.source is None:
        require_imagery(request.recipe, season)
    return SamplePlan(
        aoi=aoi,
        season=season,
        reference=reference,
        recipe=request.recipe,
        rule=request.rule,
        cells=tuple(cells_touching(aoi.lonlat, request.rule)),
        scenes=_scenes(request),
        cropland=CroplandMask.parse(request.cropland_mask) if request.cropland_mask else None,
        accuracy=accuracy_filter(request.accuracy, request.regions, request.region_column, reference),
        raw=request.raw,
    )


def _scenes(request: SampleRequest) -> StacSource | None:
    """The scenes that a request names."""
    if request.source is None:
        return None
    choice = SceneChoice(request.leave_out_scene, request.bad_scenes)
    return StacSource(request.source, request.recipe, collection=request.collection, choice=choice)
