"""The scenes that a server listed for a run: how many, when, and how many cells show one that is gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gee_pipeline.earthengine.composites.block_scenes import SceneRecord, read_blocks, read_record
from gee_pipeline.grid import cell_name
from inference.run.ledger import read_finish_times
from inference.run.plan import RunPlan


@dataclass(frozen=True)
class ListedScenes:
    """What the completeness record says of the scenes of a run."""

    record: SceneRecord
    """What the lists hold."""
    cells: int
    """Finished cells that are made of a scene which was withdrawn since; they stay as they are."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**self.record.to_dict(), "cells_of_withdrawn": self.cells}


def listed_scenes(folder: Path, plan: RunPlan) -> ListedScenes | None:
    """The scenes of a run by its lists; None where it has none, as runs on scenes of a catalog.

    Args:
        folder: Folder of the run.
        plan: The run.

    Raises:
        CorruptFileError: A list is damaged.
    """
    scored = [group.sensor.name for group in plan.recipe.sensors if group.clear]
    record = read_record(folder, scored)
    return (
        None if record is None else ListedScenes(record, _made_of(folder, record) if record.withdrawn else 0)
    )


def _made_of(folder: Path, record: SceneRecord) -> int:
    """How many cells were finished while a scene of theirs was listed that is gone now."""
    times, found = read_finish_times(folder), set[str]()
    for block in read_blocks(folder):
        for one in block.withdrawn:
            names = {cell_name(*cell) for cell in one.cells}
            found |= {name for name in names if times.get(name, float("inf")) < one.noticed.timestamp()}
        for index in record.withdrawn:  # a block that needed nothing since lists it still
            found |= {cell_name(*cell) for cell in block.cells_of(index)} & times.keys()
    return len(found)
