"""Pixels of an asset on the pixels of a cell: nearest, whole or an error."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.loader import RioDriver
from odc.loader.types import RasterBandMetadata, RasterLoadParams, RasterSource
from rasterio.enums import MaskFlags, Resampling
from rasterio.vrt import WarpedVRT
from requests import RequestException

from gee_pipeline.incoming.addresses import is_endless, is_remote, without_secrets

_GDAL_OPTIONS: Final = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # scenes have no side-car files
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_TIMEOUT": "120",
    "GDAL_HTTP_CONNECTTIMEOUT": "30",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # seconds below the limit, bytes a second, that end a transfer
    "GDAL_HTTP_LOW_SPEED_LIMIT": "100",
}
"""Set around each read, unless the environment says otherwise."""

_AFRESH: Final = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/"}
"""GDAL remembers that a remote file failed and does not ask its server again, unless configured so."""

_CLOSED: Final = (*(f"HTTP response code: {status}" for status in (401, 403, 409)), "AccessDenied")
"""Answers to who has no credentials; Azure gives 409 where links are not signed."""

_GONE: Final = (*(f"HTTP response code: {status}" for status in (404, 410)), "NoSuchKey", "NoSuchBucket")
"""Answers that a file is not there."""

_BLOBS: Final = ".blob.core.windows.net"
"""Where Planetary Computer keeps its files."""

_FIRST_WAIT: Final = {False: 0.05, True: 1.0}
"""Seconds before the first retry of a local and a remote file; doubled each time."""

_NEAREST: Final = RasterLoadParams(
    dtype="float32",  # holds every 16-bit number exactly, and NaN for nodata
    fill_value=float("nan"),
    resampling="nearest",
    use_overviews=False,
    fail_on_error=True,
)

_ALL_BANDS: Final = RasterBandMetadata(data_type="float32", dims=("band", "y", "x"))

_DRIVER: Final = RioDriver()


T = TypeVar("T")

# Warping from and into arrays makes rasterio warn of files without georeference; real ones are errors here.
warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning, module="rasterio")
logging.getLogger("odc.loader").addHandler(logging.NullHandler())  # failures reach the user as errors


class _WithoutSecrets(logging.Filter):
    """Shows the URLs in a line as messages do: GDAL says of each answer whose it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), ()
        return True


logging.getLogger("rasterio._env").addFilter(_WithoutSecrets())


class ReadFailure(Exception):
    """A file could not be read: the reason and the number of attempts."""

    def __init__(self, reason: str, attempts: int, *, closed: bool = False, for_good: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.attempts = attempts
        self.closed = closed
        """Whether its server wants credentials or a signed link."""
        self.for_good = for_good
        """Whether the file is missing or damaged, so that it stays so."""


@dataclass(frozen=True)
class Profile:
    """What a file says of its numbers."""

    data_type: str
    """Type of the first band."""
    nodata: float | None
    """Number without meaning."""
    box: GeoBox
    """Its pixels."""
    masked: bool
    """Whether a mask of its own, or transparency, says which pixels are valid."""


def read_bands(href: str, indices: Sequence[int], geobox: GeoBox) -> NDArray[np.float32]:
    """Bands of a file at the nearest pixel, `(band, y, x)`, as stored; NaN for nodata and outside the file.

    Args:
        href: Path or URL of anything GDAL reads.
        indices: Bands counted from 1.
        geobox: Pixels to fill, in any CRS.

    Raises:
        rasterio.errors.RasterioError: The file is missing, damaged, short or without georeference.
        IndexError: The file has fewer bands.
    """
    profile = read_profile(href)
    href = signed(href)
    out = np.full((len(indices), *geobox.shape), np.nan, np.float32)
    context = _DRIVER.new_load(geobox)
    with _DRIVER.restore_env(_gdal_options(), context) as local:
        reader = _DRIVER.open(RasterSource(href, band=0, meta=_ALL_BANDS), local)
        (rows, cols), pixels = reader.read(_NEAREST, geobox, selection=list(indices))
        out[:, rows, cols] = pixels
    if profile.masked:
        out[:, ~_valid(href, geobox)] = np.nan
    return out


def _valid(href: str, geobox: GeoBox) -> NDArray[np.bool_]:
    """Where the mask of a file `(y, x)`, at the nearest pixel, says that there is something."""
    height, width = geobox.shape
    place = {"crs": str(geobox.crs), "transform": geobox.transform, "width": width, "height": height}
    with (
        rasterio.Env(**_gdal_options()),
        rasterio.open(href, driver=_driver_of(href)) as file,
        WarpedVRT(file, resampling=Resampling.nearest, add_alpha=not _has_alpha(file), **place) as warped,
    ):
        return warped.read(warped.count) > 0


def _has_alpha(file: rasterio.DatasetReader) -> bool:
    return any(MaskFlags.alpha in flags for flags in file.mask_flag_enums)


@lru_cache(maxsize=65_536)
def read_profile(href: str) -> Profile:
    """The type and nodata of a file's numbers.

    Raises:
        rasterio.errors.RasterioError: The file cannot be opened, or lost its georeference: GDAL would place
            its pixels at 0, 0 and the cell would stay blank.
    """
    if not is_remote(href) and is_endless(href):
        raise rasterio.errors.RasterioError("it is not a file, but a pipe or a device")
    with rasterio.Env(**_gdal_options()), rasterio.open(signed(href), driver=_driver_of(href)) as file:
        if file.crs is None or file.transform.is_identity:
            raise rasterio.errors.RasterioError("it has no georeference (a CRS and a transform)")
        box = GeoBox(file.shape, file.transform, str(file.crs))
        masked = any(MaskFlags.per_dataset in flags for flags in file.mask_flag_enums)
        return Profile(file.dtypes[0], file.nodata, box, masked)


def retried(read: Callable[[], T], href: str, retries: int) -> T:
    """What a read returns, tried again where that can help.

    Args:
        read: Reads the file.
        href: The file; one that is missing on a disk, or refused by its server, is tried once only.
        retries: Attempts after the first.

    Raises:
        ReadFailure: All attempts failed.
    """
    remote = is_remote(href)
    for attempt in range(retries + 1):
        try:
            with rasterio.Env(**(_AFRESH if attempt else {})):
                return read()
        except (rasterio.errors.RasterioError, IndexError, OSError) as error:
            reason = str(error.__cause__ or error).rstrip(".")
            closed, for_good = _is_closed(href, reason), _is_for_good(href, reason)
            if attempt == retries or closed or (for_good and _is_missing(href, reason)):
                raise ReadFailure(reason, attempt + 1, closed=closed, for_good=for_good) from error
        time.sleep(_FIRST_WAIT[remote] * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def signed(href: str) -> str:
    """The URL with a signature where it is one of Planetary Computer's, by its package; else as it is.

    The package keeps signatures and renews them before they expire.
    """
    host = urlsplit(href).hostname or ""
    if not is_remote(href) or not host.endswith(_BLOBS) or "sig=" in href:
        return href
    try:
        import planetary_computer
    except ImportError:
        return href
    try:
        return str(planetary_computer.sign(href))
    except RequestException:  # a container that it does not know; the file's own server says what it wants
        return href


def _driver_of(href: str) -> str | None:
    """What opens a file; over the network one whose files hold their pixels, for a VRT may lead anywhere."""
    if not is_remote(href):
        return None
    return "JP2OpenJPEG" if urlsplit(href).path.lower().endswith(".jp2") else "GTiff"


def _is_closed(href: str, reason: str) -> bool:
    return is_remote(href) and any(answer in reason for answer in _CLOSED)


def _is_for_good(href: str, reason: str) -> bool:
    """Whether a file stays as it is: one that is gone, or one of this machine, missing or damaged."""
    return not is_remote(href) or any(answer in reason for answer in _GONE)


def _is_missing(href: str, reason: str) -> bool:
    """Whether a file is not there, so that one attempt is enough; a damaged one may still be written."""
    return is_remote(href) or not (href.startswith("/vsi") or Path(href).exists())


def _gdal_options() -> dict[str, str]:
    return {key: value for key, value in _GDAL_OPTIONS.items() if key not in os.environ}
