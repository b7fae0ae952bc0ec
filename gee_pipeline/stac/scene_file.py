"""Scenes of a catalog as one file that worker processes open, so that the catalog is read by one process."""

from __future__ import annotations

import io
import json
import zlib
from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import shapely
from numpy.typing import NDArray

from gee_pipeline.files import write_bytes
from gee_pipeline.incoming.addresses import without_secrets
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.stac.assets import BandAsset
from gee_pipeline.stac.index import SceneIndex
from gee_pipeline.stac.scene import Scene

_DECODED = 2_048
"""Scenes that a process keeps as they are used; neighbouring cells are made of the same ones."""


def has_secrets(scenes: Sequence[Scene]) -> bool:
    """Whether a link of a scene holds what gives access, which is written to no file."""
    assets = (a for scene in scenes for a in (*scene.bands.values(), scene.score, scene.classes) if a)
    return any(without_secrets(asset.href) != asset.href for asset in assets)


def write_scenes(path: Path, scenes: Sequence[Scene]) -> None:
    """Write scenes, in the order in which they are laid on one another.

    Args:
        path: Where the file shall stand.
        scenes: Scenes without secrets in their links.

    Raises:
        DiskFullError: The disk has no room.
    """
    records, record_ends = _joined(zlib.compress(json.dumps(_values(scene)).encode(), 1) for scene in scenes)
    outlines, outline_ends = _joined(shapely.to_wkb(scene.footprint) for scene in scenes)
    memory = io.BytesIO()
    np.savez(memory, records=records, record_ends=record_ends, outlines=outlines, outline_ends=outline_ends)
    write_bytes(path, memory.getbuffer())


def open_scenes(path: Path, recipe: Recipe) -> SceneIndex:
    """The scenes of a file, each decoded when it is asked for; read once a process, again when it changed.

    Args:
        path: A file that `write_scenes` wrote for this run.
        recipe: Whose sensors the scenes are of.
    """
    return _opened(path, path.stat().st_mtime_ns, recipe)


@lru_cache(maxsize=2)
def _opened(path: Path, _modified: int, recipe: Recipe) -> SceneIndex:
    with np.load(path) as file:
        outlines = _split(file["outlines"], file["outline_ends"])
        scenes = _StoredScenes(_split(file["records"], file["record_ends"]), outlines, recipe)
    return SceneIndex(scenes, shapely.STRtree(shapely.from_wkb(outlines)))


class _StoredScenes(Sequence[Scene]):
    """Scenes as they are stored; one that is asked for is kept for a while."""

    def __init__(self, records: list[bytes], outlines: list[bytes], recipe: Recipe) -> None:
        self._records, self._outlines = records, outlines
        self._groups = {group.name: group for group in recipe.sensors}
        self._scene = lru_cache(maxsize=_DECODED)(self._decoded)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, place: int) -> Scene: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Scene]: ...
    def __getitem__(self, place: int | slice) -> Scene | Sequence[Scene]:
        if isinstance(place, slice):
            return [self._scene(one) for one in range(len(self))[place]]
        return self._scene(range(len(self))[place])

    def _decoded(self, place: int) -> Scene:
        values = json.loads(zlib.decompress(self._records[place]))
        return _scene(values, shapely.from_wkb(self._outlines[place]), self._groups)


def _values(scene: Scene) -> dict[str, Any]:
    """A scene but for its footprint, as JSON values."""
    return {
        "id": scene.id,
        "collection": scene.collection,
        "time": scene.time.isoformat(),
        "group": scene.group.name,
        "bands": {name: asset.values for name, asset in scene.bands.items()},
        "score": scene.score and scene.score.values,
        "classes": scene.classes and scene.classes.values,
        "simulated": scene.simulated,
        "tile": scene.tile,
        "processing": scene.processing,
    }


def _scene(values: dict[str, Any], footprint: Any, groups: dict[str, SensorGroup]) -> Scene:
    numbers, made = values["processing"]
    return Scene(
        id=values["id"],
        collection=values["collection"],
        time=datetime.fromisoformat(values["time"]),
        footprint=footprint,
        group=groups[values["group"]],
        bands={name: _asset(asset) for name, asset in values["bands"].items()},
        score=values["score"] and _asset(values["score"]),
        classes=values["classes"] and _asset(values["classes"]),
        simulated=values["simulated"],
        tile=values["tile"],
        processing=(tuple(numbers), made),
    )


def _asset(values: list[Any]) -> BandAsset:
    plain: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    return BandAsset(*plain)


def _joined(parts: Iterable[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All parts in one, and where each ends."""
    data, ends = bytearray(), array("q")
    for part in parts:
        data += part
        ends.append(len(data))
    return np.frombuffer(data, np.uint8), np.array(ends, np.int64)


def _split(joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    data, starts = joined.tobytes(), [0, *ends.tolist()]
    return [data[start:end] for start, end in zip(starts, ends.tolist(), strict=False)]
