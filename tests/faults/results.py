"""What a command makes, to compare with the same undisturbed, and what may lawfully differ."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import numpy as np
import rasterio

from tests.faults.places import contents

Results = dict[str, bytes]
"""Bytes by the path of a file."""

Comparing = Literal["bytes", "shown", "pixels"]
"""How rasters are compared: by their bytes; by pixels, place and tags, where a damaged file was believed for
its damage changed nothing of them; or without tags, which hold the digest of all that was given, so that
another form of the same input gives other ones."""

LAWFUL: Final = (
    "ledger.jsonl",  # times, and what was done again
    "tasks.jsonl",  # as the ledger
    "map/report.json",  # when the map was made, what the ledger counts
    "map/item.json",  # when the map was made
    "cropmap.log",  # times, and what was done again
    "run.toml",  # where the run lies
    ".report.json",  # of samples: when they were drawn
    ".lock",
    "run.owner.json",
)
"""How the names of files end that may differ between two undisturbed runs, and between a run that was killed
and one that was not. Beside them: the computing time in the metadata of samples from Earth Engine, when
scenes were listed, and when a GeoPackage was written. All other files, also maps, composites, predictions,
models and pictures, must be equal to the byte."""

OF_THE_INPUT: Final = ("run.json", ".xml")
"""Files that hold digests of what was given."""


def results_of(folder: Path, patterns: Iterable[str] = ("**/*",), comparing: Comparing = "bytes") -> Results:
    """Files that may not differ.

    Args:
        folder: Where the command worked.
        patterns: Of its files.
        comparing: How rasters are compared.
    """
    lawful = LAWFUL + (OF_THE_INPUT if comparing == "pixels" else ())
    return {
        name: _comparable(folder / name, content, comparing)
        for name, content in contents(folder, patterns).items()
        if not name.startswith("logs/") and not name.endswith(lawful)
    }


def differing(found: Results, expected: Results) -> str:
    """Names of files that are not as they should be, or there in one only; empty where there are none."""
    names = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _comparable(path: Path, content: bytes, comparing: Comparing) -> bytes:
    if path.suffix == ".npz":
        return _without_costs(content, comparing == "pixels")
    if path.suffix == ".gpkg":
        return _without_change(path)
    if path.parent.name == "scenes" and path.name.startswith("r"):
        return _without_times(content)
    return content if path.suffix != ".tif" or comparing == "bytes" else _shown(path, comparing == "shown")


def _without_change(path: Path) -> bytes:
    """All rows of a GeoPackage but for when it was written."""
    with closing(sqlite3.connect(path)) as database:
        try:
            lines = [
                line for line in database.iterdump() if not line.startswith('INSERT INTO "gpkg_contents"')
            ]
        except sqlite3.DatabaseError:  # no GeoPackage
            return path.read_bytes()
    return "\n".join(lines).encode()


def _without_times(content: bytes) -> bytes:
    """A list of scenes of Earth Engine, whenever it was made."""
    values = json.loads(content)
    return json.dumps(
        {name: values[name] for name in values.keys() - {"surveyed", "sha256"}}, sort_keys=True
    ).encode()


def _shown(path: Path, tags: bool) -> bytes:
    with rasterio.open(path) as file:
        place = f"{file.crs} {file.transform} {file.nodata} {file.shape} {file.descriptions}"
        said = f"{sorted(file.tags().items())}" if tags else ""
        return f"{place} {said}".encode() + file.read().tobytes()


def _without_costs(content: bytes, arrays_only: bool) -> bytes:
    """Arrays of samples; of their metadata all but what the servers computed, or nothing."""
    try:
        with np.load(io.BytesIO(content)) as file:
            arrays = {name: file[name] for name in sorted(file.files)}
    except (ValueError, OSError, KeyError):  # no npz
        return content
    metadata = json.loads(str(arrays.pop("metadata", "{}")))
    metadata.get("summary", {}).pop("eecu_hours", None)
    values = b"".join(name.encode() + array.tobytes() for name, array in arrays.items())
    return values if arrays_only else values + json.dumps(metadata).encode()
