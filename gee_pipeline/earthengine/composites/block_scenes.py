"""The scenes of a block of cells as a run keeps them, in a file of its own, and what all of them hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from gee_pipeline.earthengine.composites.blocks import Block
from gee_pipeline.earthengine.composites.scene_list import ListedScene
from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import ODD_VALUES, read_sealed, write_sealed
from gee_pipeline.season import TimeBin

SIDE: Final = 4
"""Cells along one side of a block: 10 km of cells of 256 pixels, which a few tiles touch."""

FOLDER: Final = "scenes"
"""Folder in that of a run: one file a block."""

FORMAT: Final = 1
"""Version of the files."""

_WAY_OUT: Final = "Delete it: the scenes of its cells are listed again."

ListedRow = tuple[ListedScene, int]
"""A scene and the cells of the block that it touches: bit `n` is the n-th cell in row order."""


@dataclass(frozen=True)
class Withdrawn:
    """A scene, or its score, that was gone when a block was surveyed again."""

    index: str
    """Its id within the collection."""
    cells: tuple[tuple[int, int], ...]
    """Rows and columns of the cells of the block that it touched."""
    noticed: datetime
    """When that was seen, UTC."""


@dataclass(frozen=True)
class BlockScenes:
    """What a survey of a block found."""

    block: Block
    """The cells, planned or not."""
    span: TimeBin
    """Days that were looked at."""
    surveyed: datetime
    """When, UTC."""
    sensors: Mapping[str, tuple[ListedRow, ...]]
    """By the name of the sensor, in order of time and id."""
    withdrawn: tuple[Withdrawn, ...] = ()
    """What former surveys had listed."""

    def __post_init__(self) -> None:
        if self.block.rows != SIDE or self.block.cols != SIDE:
            raise ValueError(f"a block has {SIDE} x {SIDE} cells, got {self.block.name}")

    def covers(self, span: TimeBin, sensors: Iterable[str]) -> bool:
        """Whether some days of some sensors were looked at."""
        same_clock = self.span.hours_ahead == span.hours_ahead
        within = self.span.start <= span.start and span.end <= self.span.end
        return same_clock and within and set(sensors) <= self.sensors.keys()

    def touching(self, cells: int) -> dict[str, set[ListedScene]]:
        """The scenes that touch any of some cells, given as bits."""
        return {name: {s for s, touched in rows if touched & cells} for name, rows in self.sensors.items()}

    def cells_of(self, index: str) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the cells that a scene touches; none where it is not listed."""
        found = (touched for rows in self.sensors.values() for s, touched in rows if s.index == index)
        bits = next(found, 0)
        return tuple(place for n, place in enumerate(places(self.block)) if bits >> n & 1)

    def lists(self, index: str) -> bool:
        """Whether a scene is listed."""
        return any(scene.index == index for rows in self.sensors.values() for scene, _ in rows)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "format": FORMAT,
            "block": self.block.name,
            "days": [self.span.start.isoformat(), self.span.end.isoformat(), self.span.hours_ahead],
            "surveyed": self.surveyed.isoformat(),
            "sensors": {
                name: [f"{s.index} {s.time} {int(s.scored)} {touched:x}" for s, touched in rows]
                for name, rows in self.sensors.items()
            },
            "withdrawn": [
                # to the microsecond: cells may be finished in the same second
                [one.index, [list(cell) for cell in one.cells], one.noticed.isoformat()]
                for one in self.withdrawn
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BlockScenes:
        """What `to_dict` gave."""
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r} and not {FORMAT}")
        start, end, ahead = values["days"]
        return cls(
            block=Block.named(values["block"]),
            span=TimeBin(date.fromisoformat(start), date.fromisoformat(end), ahead),
            surveyed=datetime.fromisoformat(values["surveyed"]),
            sensors={name: tuple(map(_row, rows)) for name, rows in values["sensors"].items()},
            withdrawn=tuple(
                Withdrawn(index, tuple((row, col) for row, col in cells), datetime.fromisoformat(noticed))
                for index, cells, noticed in values["withdrawn"]
            ),
        )


@dataclass(frozen=True)
class SceneRecord:
    """What the lists of a run hold together."""

    blocks: int
    """Blocks that were surveyed."""
    scenes: int
    """Different scenes."""
    without_score: int
    """Scenes of these without Cloud Score+, of sensors that have one."""
    first: datetime
    """When the first block was surveyed, UTC."""
    last: datetime
    """When the last was."""
    withdrawn: Mapping[str, datetime] = field(default_factory=dict)
    """Scenes that were gone later, and when that was seen first."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "blocks": self.blocks,
            "scenes": self.scenes,
            "without_score": self.without_score,
            "surveyed": [one.isoformat(timespec="seconds") for one in (self.first, self.last)],
            "withdrawn": {
                name: when.isoformat(timespec="seconds") for name, when in sorted(self.withdrawn.items())
            },
        }


def read_block(path: Path) -> BlockScenes:
    """The list of a file.

    Raises:
        CorruptFileError: It is damaged.
    """
    values = read_sealed(path, _WAY_OUT)
    try:
        return BlockScenes.from_dict(values)
    except ODD_VALUES as error:
        raise CorruptFileError(f"{path} is damaged: {error}. {_WAY_OUT}") from error


def block_path(folder: Path, block: Block) -> Path:
    """Where the list of a block stands in the folder of a run."""
    return folder / FOLDER / f"{block.name}.json"


def write_block(folder: Path, found: BlockScenes) -> None:
    """Keep the list of a block in the folder of a run.

    Raises:
        DiskFullError: The disk has no room.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    write_sealed(block_path(folder, found.block), found.to_dict())


def read_blocks(folder: Path) -> Iterator[BlockScenes]:
    """The lists in the folder of a run, in order of their names; none where it has none.

    Raises:
        CorruptFileError: One is damaged.
    """
    return map(read_block, sorted((folder / FOLDER).glob("*.json")))


def read_record(folder: Path, with_scores: Iterable[str]) -> SceneRecord | None:
    """What the lists of a run hold together; None where there is none.

    Args:
        folder: Folder of the run.
        with_scores: Names of the sensors whose scenes should have a Cloud Score+.

    Raises:
        CorruptFileError: A file is damaged.
    """
    scored, names = set(with_scores), set[tuple[str, str]]()
    without, withdrawn, times = set[str](), dict[str, datetime](), []
    for found in read_blocks(folder):
        times.append(found.surveyed)
        for sensor, rows in found.sensors.items():
            names.update((sensor, scene.index) for scene, _ in rows)
            without.update(scene.index for scene, _ in rows if sensor in scored and not scene.scored)
        for one in found.withdrawn:
            withdrawn[one.index] = min(one.noticed, withdrawn.get(one.index, one.noticed))
    if not times:
        return None
    return SceneRecord(len(times), len(names), len(without), min(times), max(times), withdrawn)


def _row(text: str) -> ListedRow:
    index, time, scored, cells = text.split(" ")  # one text a scene: lists take three times as long to read
    return ListedScene(int(time), index, scored == "1"), int(cells, 16)


def places(block: Block) -> Iterator[tuple[int, int]]:
    """Rows and columns of the cells of a block, in row order."""
    return ((block.row + row, block.col + col) for row in range(block.rows) for col in range(block.cols))
