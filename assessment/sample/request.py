"""What sample is wanted of which map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assessment.planning.sizes import Allocation
from assessment.sample.strata import StrataBy
from gee_pipeline.errors import InputError


@dataclass(frozen=True)
class DesignRequest:
    """What sample is wanted of which map."""

    place: Path
    """Folder of a run, or a raster of class codes."""
    points: int | None = None
    """Points in all."""
    target_se: float | None = None
    """Standard error of the overall accuracy to reach, in place of a number of points."""
    strata: StrataBy = "class"
    """What a stratum is."""
    allocate: Allocation = "proportional"
    """How the points are shared out beyond the floor."""
    floor: int | None = None
    """Points of each stratum at least; None is 50, or less where that would take more than half of them."""
    expect: Mapping[str, float] = field(default_factory=dict)
    """User's accuracy that is hoped for, by class."""
    districts: Path | None = None
    """Polygons with a name."""
    district_column: str | None = None
    """Column of the names."""
    classes: tuple[str, ...] = ()
    """Classes that an answer may name besides those of the map."""
    legend: Path | None = None
    """Names of the codes of a raster."""
    blocks: float | None = None
    """Side of blocks, metres, in which points are drawn; None draws them anywhere."""
    blocks_drawn: int | None = None
    """Blocks to draw."""
    seed: int = 0
    """Seed of the draw."""
    out: Path | None = None
    """Folder of the sample; None is `assessment` in the run, or beside the raster."""

    def __post_init__(self) -> None:
        if (self.points is None) == (self.target_se is None):
            raise InputError("Give either --points, such as 600, or --target-se, such as 0.01.")
        if (self.districts is None) != (self.district_column is None):
            raise InputError(
                "Districts need a file and the column of their names: --districts and --district-column."
            )
        if self.strata == "class+district" and self.districts is None:
            raise InputError("Strata by district need --districts and --district-column.")
        self._require_whole_blocks()
        if bad := {name: value for name, value in self.expect.items() if not 0 < value <= 1}:
            raise InputError(f"An accuracy to expect is above 0 and at most 1, got {bad}. Correct --expect.")

    def _require_whole_blocks(self) -> None:
        if (self.blocks is None) != (self.blocks_drawn is None):
            raise InputError("Blocks need a side and a number: --blocks, such as 2000, and --blocks-drawn.")
        if self.blocks is not None and not 0 < self.blocks < math.inf:
            raise InputError(f"Blocks have a side in metres, such as 2000; got --blocks {self.blocks:g}.")
        if self.blocks is not None and (self.strata != "none" or self.points is None):
            raise InputError("Points in blocks need --strata none and --points.")

    @property
    def folder(self) -> Path:
        """Where the sample comes to."""
        return self.out or assessment_folder(self.place)


def assessment_folder(place: Path) -> Path:
    """Folder of the sample of a run or a raster, where nothing else is said."""
    return place / "assessment" if place.is_dir() else place.with_name(f"{place.stem}_assessment")
