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
from gee_pipeline.recipe import USUAL, Recipe
from gee_pipeline.season import Hemisphere, Season
from gee_pipeline.season_of_area import require_imagery, season_of_area
from training.sampling.grid import SampleCell, cells_touching
from training.sampling.reference_maps import ReferenceMap, reference_map
from training.sampling.rule import SamplingRule


@dataclass(frozen=True)
class SampleRequest:
    """What `cropmap sample` is asked for."""

    aoi: Path
    """Vector file of the area of interest."""
    year: int
    """Year of the reference map and of the season."""
    reference: str
    """`cdl`, `asset:ID` or `asset:ID:BAND`."""
    out: Path
    """The npz file to write."""
    classes_table: Path | None = None
    """TOML file of classes."""
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

    def __post_init__(self) -> None:
        require_hours(self.max_eecu_hours)


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

    def to_dict(self) -> dict[str, Any]:
        """What samples are compared by, as JSON values; two plans that give other samples differ in it."""
        return {
            "area": hashlib.sha256(self.aoi.lonlat.normalize().wkb).hexdigest()[:16],
            "year": self.season.year,
            "season_start": self.season.start.isoformat(),
            **self.reference.to_dict(),
            **self.recipe.composite_fields,
            **self.rule.to_dict(),
        }

    @property
    def source(self) -> str:
        """One sentence on labels and imagery."""
        table = self.reference.table.source.rstrip(".")
        drawn = f"{self.rule.per_cell} {'of each class' if self.rule.each_class else 'in all'}"
        return (
            f"Series of {self.season.year} by Google Earth Engine (S2_SR_HARMONIZED, Cloud Score+), "
            f"labels of {self.reference.asset}{f' ({table})' if table else ''}; {drawn} in squares of "
            f"{self.rule.grid:g} degrees, {self.rule.buffer:g} m from other classes."
        )


def plan_samples(request: SampleRequest, notice: Callable[[str], None] = lambda text: None) -> SamplePlan:
    """The plan of a request.

    Args:
        request: Area, year, reference and how to draw.
        notice: Takes what was repaired in the area, one sentence each.

    Raises:
        InputError: The area, the year, the reference or its table cannot be used.
    """
    reference = reference_map(request.reference, request.year, request.classes_table)
    aoi = read_aoi(request.aoi, request.layer)
    for text in aoi.notices:
        notice(text)
    season = season_of_area(aoi, request.recipe, request.year, request.hemisphere, notice)
    require_imagery(request.recipe, season)
    return SamplePlan(
        aoi=aoi,
        season=season,
        reference=reference,
        recipe=request.recipe,
        rule=request.rule,
        cells=tuple(cells_touching(aoi.lonlat, request.rule)),
    )
