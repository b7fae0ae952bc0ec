"""Batch tasks: where they write, what they are asked for, and what their end means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

import ee
import pyproj
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.client.faults import FAILURES, Fault, fault_of
from gee_pipeline.errors import InputError

TILE: Final = 256
"""Pixels along one side of the squares that Earth Engine computes at a time; its own default."""

SMALLEST_TILE: Final = 32
"""Where a task still lacks memory with squares of this side, no smaller ones are tried."""

MAX_PIXELS: Final = 10_000_000_000_000
"""Pixels a task may export; the default of 1e8 is less than a block of cells with many bands may need."""

PENDING_LIMIT: Final = 100
"""Tasks of a run that wait or work at once; Earth Engine takes 3,000 of a project."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_FORMS = "gcs://BUCKET/PREFIX (Google Cloud Storage) or drive:FOLDER (Google Drive)"


@dataclass(frozen=True)
class Destination:
    """Where tasks write their files."""

    kind: Literal["gcs", "drive"]
    """Cloud Storage or Drive."""
    place: str
    """Bucket, or folder of the Drive."""
    prefix: str = ""
    """What stands before file names in a bucket, without slashes at its ends; empty in a Drive."""

    @classmethod
    def parse(cls, text: str) -> Destination:
        """The destination that a user named.

        Args:
            text: `gcs://bucket/prefix`, `gs://bucket/prefix` or `drive:folder`.

        Raises:
            InputError: It is none of these, or names no possible bucket or folder.
        """
        scheme, colon, rest = text.strip().partition(":")
        if scheme in ("gcs", "gs") and rest.startswith("//"):
            return _bucket(text, rest[2:])
        if scheme == "drive" and colon:
            return _drive(text, rest)
        raise InputError(f"--to takes {_FORMS}, got {text!r}.")

    def __str__(self) -> str:
        if self.kind == "drive":
            return f"drive:{self.place}"
        return f"gcs://{self.place}/{self.prefix}".rstrip("/")

    def file_name(self, name: str) -> str:
        """The name under which a file stands in the bucket or folder."""
        return f"{self.prefix}/{name}" if self.prefix else name


class Remedy(Enum):
    """What may help a task that failed."""

    AGAIN = "again"
    """The same task: the fault was Earth Engine's own, or time."""
    SMALLER = "smaller"
    """A part of the block, computed in smaller squares: memory or size."""
    NONE = "none"
    """Nothing that cropmap can do."""


TaskState = Literal["active", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class TaskAnswer:
    """What Earth Engine says of a task."""

    name: str
    """Name of the operation, `projects/.../operations/...`."""
    description: str
    """What the task was called when it was submitted."""
    state: TaskState
    """Active covers waiting, working and being cancelled."""
    message: str = ""
    """Earth Engine's own words on a failure."""
    cure: Remedy = Remedy.NONE
    """What may help after a failure."""
    eecu_seconds: float = 0.0
    """Earth Engine compute units times seconds that it took so far."""

    @classmethod
    def of(cls, operation: Mapping[str, Any]) -> TaskAnswer:
        """The answer in an operation as the REST API gives it."""
        metadata, error = operation.get("metadata", {}), operation.get("error", {})
        state = _state(str(metadata.get("state")), done=bool(operation.get("done")), failed=bool(error))
        message = str(error.get("message") or "Earth Engine gave no reason") if state == "failed" else ""
        return cls(
            name=str(operation["name"]),
            description=str(metadata.get("description", "")),
            state=state,
            message=message,
            cure=cure_of(message, error.get("code")) if state == "failed" else Remedy.NONE,
            eecu_seconds=float(metadata.get("batchEecuUsageSeconds") or 0),
        )


def cure_of(message: str, code: int | None = None) -> Remedy:
    """What may help after a failure.

    Args:
        message: Earth Engine's own words.
        code: Number of the canonical error, where it is known (google.rpc.Code).
    """
    text = message.lower()
    if any(words in text for words in ("memory", "too large", "too many pixels", "too many bands")):
        return Remedy.SMALLER
    passing = ("internal error", "timed out", "timeout", "deadline", "unavailable", "try again", "backend")
    if code in _PASSING_CODES or any(words in text for words in passing):
        return Remedy.AGAIN
    return Remedy.NONE


def export_request(
    image: ee.Image,
    geobox: GeoBox,
    *,
    file_size: int,
    tile: int,
    destination: Destination,
    file_prefix: str,
    description: str,
    nodata: int | None = NODATA,
) -> dict[str, Any]:
    """The body of a request to export an image on exactly the pixels of a geobox; nothing is sent.

    Args:
        image: Bands of one integer type, without masked pixels.
        geobox: Pixels to export.
        file_size: Pixels along one side of a file.
        tile: Pixels along one side of the squares that are computed at a time.
        destination: Where the files go.
        file_prefix: How the names of the files begin.
        description: Name of the task: letters, digits, hyphens.
        nodata: Value that the files name as that of pixels without any; None names none.
    """
    height, width = geobox.shape
    options: dict[str, Any] = {
        "description": description,
        "dimensions": f"{width}x{height}",
        "crs": crs_code(geobox),
        "crsTransform": list(geobox.transform)[:6],
        "maxPixels": MAX_PIXELS,
        "fileDimensions": file_size,
        "skipEmptyTiles": False,
        "fileFormat": "GeoTIFF",
        "fileNamePrefix": destination.file_name(file_prefix),
    }
    if nodata is not None:
        options["formatOptions"] = {"noData": nodata}
    if (side := math.gcd(tile, file_size)) != TILE:  # a file is a whole number of squares
        options["shardSize"] = side
    if destination.kind == "gcs":
        task = ee.batch.Export.image.toCloudStorage(image, bucket=destination.place, **options)
    else:
        task = ee.batch.Export.image.toDrive(image, folder=destination.place, **options)
    return dict(task.config or {})


def list_operations() -> list[dict[str, Any]]:
    """The tasks of the session's project, newest first: those at work, and those of the last days.

    Raises:
        Fault: The request failed.
    """
    try:
        return list(ee.data.listOperations())
    except FAILURES as error:
        raise fault_of(error) from error


def queue_is_full(fault: Fault) -> bool:
    """Whether Earth Engine takes no more tasks of the project now."""
    text = fault.message.lower()
    return "too many tasks" in text or ("queue" in text and "tasks" in text)


def is_repeated(fault: Fault) -> bool:
    """Whether Earth Engine says that it had a request's id before."""
    text = fault.message.lower()
    return fault.status == 409 or ("request" in text and any(w in text for w in ("already", "duplicate")))


def crs_code(geobox: GeoBox) -> str:
    """How Earth Engine is told the CRS of a geobox: its EPSG code, or its WKT where it has none."""
    crs = pyproj.CRS.from_user_input(str(geobox.crs))
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt("WKT1_GDAL"))


_PASSING_CODES = (4, 10, 13, 14)
"""Deadline exceeded, aborted, internal, unavailable."""

_STATES: dict[str, TaskState] = {
    "PENDING": "active",
    "RUNNING": "active",
    "CANCELLING": "active",
    "SUCCEEDED": "done",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
}


def _state(name: str, *, done: bool, failed: bool) -> TaskState:
    if name in _STATES:
        return _STATES[name]
    if not done:
        return "active"
    return "failed" if failed else "done"


def _bucket(text: str, rest: str) -> Destination:
    bucket, _, prefix = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(
            "A bucket's name has 3 to 222 lower-case letters, digits, '-', '_' and '.', got "
            f"{bucket!r} in {text!r}. Write --to gcs://BUCKET/PREFIX."
        )
    parts = [part for part in prefix.split("/") if part]
    if ".." in parts or any(char in prefix for char in "*?[]#\n\r\\"):
        raise InputError(
            f"A prefix in a bucket has no '..' and none of * ? [ ] # \\, got {prefix!r} in {text!r}."
        )
    return Destination("gcs", bucket, "/".join(parts))


def _drive(text: str, rest: str) -> Destination:
    folder = rest.strip().strip("/")
    if not folder:
        raise InputError(f"--to drive:FOLDER takes the name of a folder, got {text!r}.")
    *above, name = re.split(r"[/\\]", folder)
    if above:
        raise InputError(
            f"Earth Engine takes the name of one Drive folder and no path, got {folder!r}. Write --to "
            f"drive:{name}; the folder is found wherever it stands."
        )
    return Destination("drive", folder)
