"""Export tasks of images: where they write, and what they are asked for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import pyproj
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError

if TYPE_CHECKING:
    import ee

TILE: Final = 256
"""Pixels along one side of the squares that Earth Engine computes at a time; its own default."""

SMALLEST_TILE: Final = 32
"""Where a task still lacks memory with squares of this side, no smaller ones are tried."""

MAX_PIXELS: Final = 10_000_000_000_000
"""Pixels a task may export; the default of 1e8 is less than a block of cells with many bands may need."""

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
            return _bucket(text, rest[2:], "--to gcs://BUCKET/PREFIX")
        if scheme == "drive" and colon:
            return _drive(text, rest)
        raise InputError(f"--to takes {_FORMS}, got {text!r}.")

    @classmethod
    def bucket(cls, text: str) -> Destination:
        """The place in a bucket that a user named.

        Args:
            text: `gs://bucket/prefix` or `gcs://bucket/prefix`.

        Raises:
            InputError: It is neither, or names no possible bucket.
        """
        scheme, _, rest = text.strip().partition("://")
        if scheme not in ("gcs", "gs") or not rest:
            raise InputError(f"--bucket takes gs://BUCKET/PREFIX (Google Cloud Storage), got {text!r}.")
        return _bucket(text, rest, "--bucket gs://BUCKET/PREFIX")

    @property
    def uri(self) -> str:
        """The place in a bucket as Google's own programs write it."""
        return f"gs://{self.place}/{self.prefix}".rstrip("/")

    def __str__(self) -> str:
        if self.kind == "drive":
            return f"drive:{self.place}"
        return f"gcs://{self.place}/{self.prefix}".rstrip("/")

    def file_name(self, name: str) -> str:
        """The name under which a file stands in the bucket or folder."""
        return f"{self.prefix}/{name}" if self.prefix else name


def square_of(most_pixels: int | None) -> int:
    """Pixels along one side of the squares that a task computes at a time: a power of two.

    Args:
        most_pixels: As many at most, where arrays take the servers much memory.
    """
    if most_pixels is None:
        return TILE
    return min(max(2 ** int(math.log2(math.sqrt(most_pixels))), SMALLEST_TILE), TILE)


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
    import ee  # runs on scenes read lists of tasks too, which need no Earth Engine

    if destination.kind == "gcs":
        task = ee.batch.Export.image.toCloudStorage(image, bucket=destination.place, **options)
    else:
        task = ee.batch.Export.image.toDrive(image, folder=destination.place, **options)
    return dict(task.config or {})


def crs_code(geobox: GeoBox) -> str:
    """The CRS of a geobox as Earth Engine takes it: its EPSG code, or its WKT where it has none."""
    crs = pyproj.CRS.from_user_input(str(geobox.crs))
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt("WKT1_GDAL"))


def _bucket(text: str, rest: str, form: str) -> Destination:
    bucket, _, prefix = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(
            "A bucket's name has 3 to 222 lower-case letters, digits, '-', '_' and '.', got "
            f"{bucket!r} in {text!r}. Write {form}."
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
