"""Pixels of an asset on the pixels of a cell: nearest, whole or an error."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox, geobox_union_conservative
from rasterio.enums import MaskFlags, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject
from requests import RequestException

from gee_pipeline.incoming.addresses import is_endless, is_remote, without_secrets
from gee_pipeline.stac.composites.nearest import Lookup, look_up, overlap

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

_MOST_OPEN: Final = 128
"""Files that stay open at a time; operating systems allow a process a few hundred."""

_MOST_PROFILES: Final = 65_536
"""Files of which a process remembers what they say."""

_SMALL: Final = ("uint8", "int8", "uint16", "int16")
"""Types of numbers of which any program says the same about nodata."""

T = TypeVar("T")

# Warping from and into arrays makes rasterio warn of files without georeference; real ones are errors here.
warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning, module="rasterio")


_log = logging.getLogger("cropmap.stac")


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


class OpenFiles:
    """Files that stay open while the cells of a block are read, so that each is opened once.

    GDAL keeps what it has decoded of a file until the file is closed: a block of the file that several cells
    share is fetched and decoded once.
    """

    def __init__(self, cells: Sequence[GeoBox] = ()) -> None:
        """Nothing is open yet.

        Args:
            cells: Pixels of the cells that will be read from them, row by row.
        """
        self._files: dict[str, rasterio.DatasetReader] = {}
        self._rows = _rows_of(cells)
        self._fetched = set[tuple[str, float]]()

    def __enter__(self) -> OpenFiles:
        return self

    def __exit__(self, *error: object) -> None:
        while self._files:
            self._files.popitem()[1].close()

    @contextmanager
    def opened(self, href: str) -> Iterator[rasterio.DatasetReader]:
        """A file, for one thread at a time; one that fails is closed, and opened again by the next attempt.

        Raises:
            rasterio.errors.RasterioError: The file cannot be opened.
        """
        with _environment(href):
            file = self._files.pop(href, None) or _open(href)
            try:
                yield file
            except BaseException:
                file.close()
                raise
        if len(self._files) >= _MOST_OPEN:
            self._files.pop(next(iter(self._files))).close()
        self._files[href] = file

    def fetch_row(
        self, href: str, file: rasterio.DatasetReader, indices: Sequence[int], geobox: GeoBox
    ) -> None:
        """Fetch what a row of cells needs of a file over the network, before the first of them is read.

        Of several blocks GDAL asks for the bytes, of one after the other for ever more beyond it, as if the
        file were read to its end. What it has decoded stays with it until the cells are read.

        Args:
            href: The file; of one on this machine nothing is fetched.
            file: The same, open.
            indices: Bands counted from 1.
            geobox: Pixels of the first cell.
        """
        row = self._rows.get(geobox.affine.f)
        if row is None or (href, geobox.affine.f) in self._fetched or not is_remote(href):
            return
        self._fetched.add((href, geobox.affine.f))
        place = look_up(read_profile(href).box, row)
        if place and place.window:
            file.read(list(indices), window=place.window)


def _rows_of(cells: Sequence[GeoBox]) -> dict[float, GeoBox]:
    """The pixels of each row of cells by its northern edge; a cell that is alone in its row is none."""
    rows: dict[float, list[GeoBox]] = defaultdict(list)
    for cell in cells:
        rows[cell.affine.f].append(cell)
    return {top: geobox_union_conservative(row) for top, row in rows.items() if len(row) > 1}


def read_bands(
    href: str, indices: Sequence[int], geobox: GeoBox, files: OpenFiles | None = None
) -> NDArray[np.float32]:
    """Bands of a file at the nearest pixel, `(band, y, x)`, as stored; NaN for nodata and outside the file.

    Args:
        href: Path or URL of anything GDAL reads.
        indices: Bands counted from 1.
        geobox: Pixels to fill, in any CRS.
        files: Where the file stays open; None closes it again.

    Raises:
        rasterio.errors.RasterioError: The file is missing, damaged, short or without georeference.
        IndexError: The file has fewer bands.
    """
    if files is None:
        with OpenFiles() as files:
            return read_bands(href, indices, geobox, files)
    out = np.full((len(indices), *geobox.shape), np.nan, np.float32)
    with files.opened(href) as file:
        profile = read_profile(href)
        nodata = file.nodatavals[indices[0] - 1]
        plain = _is_small(file) and (len(indices) == 1 or nodata is None)
        place = look_up(profile.box, geobox)
        if place and (plain or place.same_pixels):
            files.fetch_row(href, file, indices, geobox)
            _take(file, indices, nodata, place, out)
        else:
            rows, cols = (slice(part.start, part.stop) for part in overlap(profile.box, geobox).roi_dst)
            if rows.start < rows.stop and cols.start < cols.stop:
                _warp(file, indices, nodata, geobox[rows, cols], out[:, rows, cols])
    if profile.masked:
        out[:, ~_valid(href, geobox)] = np.nan
    return out


def _is_small(file: rasterio.DatasetReader) -> bool:
    return len(set(file.dtypes)) == 1 and file.dtypes[0] in _SMALL


def _take(
    file: rasterio.DatasetReader,
    indices: Sequence[int],
    nodata: float | None,
    place: Lookup,
    out: NDArray[np.float32],
) -> None:
    """Read the source pixels of a cell, and spread them over it."""
    if place.window is None:
        return
    number = file.dtypes[0] if _is_small(file) else "float32"
    place.spread(file.read(list(indices), window=place.window, out_dtype=number), nodata, out)


def _warp(
    file: rasterio.DatasetReader,
    indices: Sequence[int],
    nodata: float | None,
    geobox: GeoBox,
    out: NDArray[np.float32],
) -> None:
    """Let GDAL look for the nearest source pixels, in another CRS or on a grid between the pixels."""
    numbers = np.empty_like(out)
    reproject(
        rasterio.band(file, list(indices)),
        numbers,
        src_nodata=nodata,
        dst_crs=str(geobox.crs),
        dst_transform=geobox.transform,
        dst_nodata=np.nan,
        resampling=Resampling.nearest,
    )
    out[:] = numbers


def _valid(href: str, geobox: GeoBox) -> NDArray[np.bool_]:
    """Where the mask of a file `(y, x)`, at the nearest pixel, says that there is something."""
    height, width = geobox.shape
    place = {"crs": str(geobox.crs), "transform": geobox.transform, "width": width, "height": height}
    with (
        rasterio.Env(**_gdal_options()),
        _open(href) as file,
        WarpedVRT(file, resampling=Resampling.nearest, add_alpha=not _has_alpha(file), **place) as warped,
    ):
        return warped.read(warped.count) > 0


def _has_alpha(file: rasterio.DatasetReader) -> bool:
    return any(MaskFlags.alpha in flags for flags in file.mask_flag_enums)


def read_profile(href: str) -> Profile:
    """The type and nodata of a file's numbers, and its place; known from when it was last opened.

    Raises:
        rasterio.errors.RasterioError: The file cannot be opened, or lost its georeference: GDAL would place
            its pixels at 0, 0 and the cell would stay blank.
    """
    if href not in _profiles:
        _open(href).close()
    return _profiles[href]


_profiles: Final[dict[str, Profile]] = {}
"""What the files that were opened say, by their href; as many as `_MOST_PROFILES`."""


def _open(href: str) -> rasterio.DatasetReader:
    """Open a file and keep its profile.

    Raises:
        rasterio.errors.RasterioError: As `read_profile`.
    """
    if not is_remote(href) and is_endless(href):
        raise rasterio.errors.RasterioError("it is not a file, but a pipe or a device")
    with rasterio.Env(**_gdal_options()):
        file = rasterio.open(signed(href), driver=_driver_of(href), sharing=False)
    try:
        profile = _profile_of(file)
    except BaseException:
        file.close()
        raise
    if len(_profiles) >= _MOST_PROFILES:
        _profiles.pop(next(iter(_profiles)), None)
    _profiles[href] = profile
    return file


def _profile_of(file: rasterio.DatasetReader) -> Profile:
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
            with rasterio.Env(**_AFRESH) if attempt else nullcontext():
                return read()
        except (rasterio.errors.RasterioError, IndexError, OSError) as error:
            reason = str(error.__cause__ or error).rstrip(".")
            closed, for_good = _is_closed(href, reason), _is_for_good(href, reason)
            if attempt == retries or closed or (for_good and _is_missing(href, reason)):
                raise ReadFailure(reason, attempt + 1, closed=closed, for_good=for_good) from error
        _log.info("%s is read again, try %d failed: %s", without_secrets(href), attempt + 1, reason)
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


def _environment(href: str) -> AbstractContextManager[object]:
    """The settings for reading from an open file: those of this machine need none, which saves time."""
    elsewhere = is_remote(href) or href.startswith("/vsi")
    return rasterio.Env(**_gdal_options()) if elsewhere else nullcontext()


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
