"""Pixels from Earth Engine: planned requests in parallel, asked again or split, verified, put together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, Final, Protocol, TypeVar

import ee
import numpy as np
import pyproj
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.client.faults import Fault, FaultKind, access_error, broken, request_error
from gee_pipeline.earthengine.client.limiter import Limiter
from gee_pipeline.earthengine.client.retry import TRIES, persistently
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES

T = TypeVar("T")

VALUE_BYTES: Final = 2
"""int16."""

MOST_BANDS: Final = 1024
"""Bands that Earth Engine puts into one answer at most, in its own words."""

SMALLEST_SIDE: Final = 64
"""Pixels to which a cell is split at most: smaller requests cost more in overhead than they save."""

SMALLEST_SIDE_OF_SMALL: Final = 16
"""The same for cells below `SMALLEST_SIDE`."""

PROBATION: Final = 64
"""Answers in a row after which requests of twice the size are tried again."""


class Asked(Protocol):
    """What a fetcher needs of a session."""

    settings: EarthEngineSettings
    project: str
    limiter: Limiter

    def pixels(self, image: ee.Image, geobox: GeoBox) -> bytes:
        """One request for pixels; raises Fault."""

    def value(self, expression: ee.ComputedObject) -> Any:
        """One request for a value; raises Fault."""


@dataclass(frozen=True)
class PixelRequest:
    """Some pixels in some bins: what one request asks for."""

    geobox: GeoBox
    """Pixels."""
    bins: tuple[int, ...]
    """Bins, in order."""
    bands: int
    """Bands a bin."""

    @property
    def bytes(self) -> int:
        """Size of the answer, uncompressed."""
        height, width = self.geobox.shape
        return height * width * len(self.bins) * self.bands * VALUE_BYTES

    def halves(self, smallest_side: int = 1) -> tuple[PixelRequest, ...]:
        """Two requests for the same: half the bins each, or half the pixels where there is one bin.

        Args:
            smallest_side: Pixels that a side keeps at least.

        Returns:
            Nothing where the request is as small as it may be.
        """
        if len(self.bins) > 1:
            half = len(self.bins) // 2
            return tuple(PixelRequest(self.geobox, bins, self.bands) for bins in _cut(self.bins, half))
        height, width = self.geobox.shape
        if max(height, width) // 2 < smallest_side:
            return ()
        if height >= width:
            boxes = self.geobox[: height // 2, :], self.geobox[height // 2 :, :]
        else:
            boxes = self.geobox[:, : width // 2], self.geobox[:, width // 2 :]
        return tuple(PixelRequest(box, self.bins, self.bands) for box in boxes)


def plan_requests(geobox: GeoBox, bins: Sequence[int], bands: int, budget: int) -> list[PixelRequest]:
    """Requests that together cover each pixel of each bin once, none larger than a budget.

    None has more than `MOST_BANDS` bands either. Bins are divided first, as evenly as they go; a cell of
    which not even one bin fits is halved.

    Args:
        geobox: Pixels of the cell.
        bins: Bins, in order.
        bands: Bands a bin.
        budget: Bytes of one answer, uncompressed.

    Raises:
        InputError: Not even one pixel fits.
    """
    if not bins:
        return []
    bins = tuple(bins)
    one_bin = PixelRequest(geobox, bins[:1], bands)
    if fitting := min(budget // one_bin.bytes, max(MOST_BANDS // bands, 1)):
        requests = -(-len(bins) // fitting)
        return [PixelRequest(geobox, part, bands) for part in _divide(bins, requests)]
    if not (halves := one_bin.halves()):
        raise InputError(f"A request for {bands} bands takes at least {one_bin.bytes} bytes, got {budget}.")
    return [request for half in halves for request in plan_requests(half.geobox, bins, bands, budget)]


class Fetcher:
    """Asks a session for pixels and values until they are there, in requests of a size that works.

    Safe to use from many threads; one fetcher a job, since it remembers that size.
    """

    def __init__(
        self, session: Asked, *, sleep: Callable[[float], None] = time.sleep, random: Random | None = None
    ) -> None:
        """Ask nothing yet.

        Args:
            session: Makes single requests.
            sleep: Waits a number of seconds.
            random: Source of the jitter of waits.
        """
        self.session = session
        self._sleep = sleep
        self._random = random or Random()
        self._composites = _LargestRequest(session.settings.request_bytes)
        self._classified = _LargestRequest(session.settings.request_bytes)

    @property
    def budget(self) -> int:
        """Bytes of the largest request for composites: those configured, or fewer if that proved too many."""
        return self._composites.bytes

    def composite(
        self,
        image_of: Callable[[GeoBox, Sequence[int]], ee.Image],
        geobox: GeoBox,
        bins: Sequence[int],
        bands: tuple[str, ...],
    ) -> NDArray[np.int16]:
        """The medians of a cell `(bin, band, y, x)`, nodata where there is no observation.

        Args:
            image_of: The image of some pixels and bins: int16, bands `B2_24`, `B3_24`, ... bin by bin.
            geobox: Pixels of the cell.
            bins: Bins, in order; those between may be left out.
            bands: Bands in order.

        Raises:
            AccessError: Earth Engine does not let us in; no other cell can be had either.
            EarthEngineError: A request failed for good.
        """

        def ask(request: PixelRequest, stop: threading.Event) -> NDArray[Any]:
            image = image_of(request.geobox, request.bins)
            names = [f"{band}_{index}" for index in request.bins for band in bands]
            return self._pixels(image, request.geobox, stop, Expected(tuple(names), "int16"))

        out = np.full((len(bins), len(bands), *geobox.shape), NODATA, np.int16)
        plan = plan_requests(geobox, bins, len(bands), self.budget)
        for request, values in self._gather(plan, ask, _smallest_side(geobox), self._composites):
            rows, cols = _window(geobox, request.geobox)
            first = bins.index(request.bins[0])
            shape = (len(request.bins), len(bands), *request.geobox.shape)
            out[first : first + len(request.bins), :, rows, cols] = values.reshape(shape)
        return out

    def raster(
        self,
        image: ee.Image,
        geobox: GeoBox,
        expected: Expected | None = None,
        *,
        costly: bool = False,
        most_pixels: int | None = None,
    ) -> NDArray[Any]:
        """The pixels of any image `(band, y, x)` in its own type.

        Args:
            image: What to compute.
            geobox: CRS, transform and shape of the pixels.
            expected: Bands and type that the answer must have; None takes any.
            costly: Whether one image is like the next and takes the servers much memory, so that a size which
                worked is kept to.
            most_pixels: Pixels that one request asks for at most; None leaves that to the size of answers.

        Raises:
            AccessError: Earth Engine does not let us in.
            EarthEngineError: A request failed for good.
        """

        def ask(request: PixelRequest, stop: threading.Event) -> NDArray[Any]:
            return self._pixels(image, request.geobox, stop, expected or Expected())

        out, learned = None, self._classified if costly else None
        largest = learned.bytes if learned else self.session.settings.request_bytes
        if most_pixels is not None:
            largest = min(largest, most_pixels * VALUE_BYTES)
        plan = plan_requests(geobox, (0,), 1, largest)
        for request, values in self._gather(plan, ask, _smallest_side(geobox), learned):
            if out is None:
                out = np.empty((len(values), *geobox.shape), values.dtype)
            rows, cols = _window(geobox, request.geobox)
            out[:, rows, cols] = values
        assert out is not None
        return out

    def value(self, expression: ee.ComputedObject, read: Callable[[Any], T]) -> T:
        """What `read` makes of the value of an expression.

        Args:
            expression: What to compute.
            read: Takes JSON values; any of `ODD_VALUES` that it raises means a broken answer.

        Raises:
            AccessError: Earth Engine does not let us in.
            EarthEngineError: The request failed for good.
        """

        def ask() -> T:
            answer = self._one_of_many(lambda: self.session.value(expression))
            try:
                return read(answer)
            except ODD_VALUES as error:
                raise broken(f"{str(answer)[:100]!r} is no value of this expression") from error

        try:
            return self._persistently(ask)
        except Fault as fault:
            raise self._final(fault) from fault

    def _pixels(
        self, image: ee.Image, geobox: GeoBox, stop: threading.Event, expected: Expected
    ) -> NDArray[Any]:
        def ask() -> NDArray[Any]:
            content = self._one_of_many(lambda: self.session.pixels(image, geobox), stop)
            return read_answer(content, geobox, expected)

        return self._persistently(ask)

    def _one_of_many(self, ask: Callable[[], T], stop: threading.Event | None = None) -> T:
        """One request under the limit of the whole job."""
        limiter = self.session.limiter
        with limiter.slot():
            if stop and stop.is_set():
                raise _Stopped
            try:
                return ask()
            except Fault as fault:
                if fault.kind is FaultKind.TOO_MANY:
                    limiter.too_many()
                if stop and fault.kind in (FaultKind.ACCESS, FaultKind.NEVER):
                    stop.set()
                raise

    def _persistently(self, ask: Callable[[], T]) -> T:
        return persistently(ask, sleep=self._sleep, random=self._random)

    def _gather(
        self,
        plan: Sequence[PixelRequest],
        ask: Callable[[PixelRequest, threading.Event], NDArray[Any]],
        smallest_side: int,
        learned: _LargestRequest | None,
    ) -> Iterator[tuple[PixelRequest, NDArray[Any]]]:
        """The answers to requests as they come; a request that is too large is halved.

        Threads and not a pool of them: those of a pool would hold up the end of an interrupted process until
        the last answer.
        """
        waiting, running = deque(plan), dict[Future[NDArray[Any]], PixelRequest]()
        planned, stop = set(plan), threading.Event()
        try:
            while waiting or running:
                while waiting and len(running) < self.session.settings.most_requests:
                    request = waiting.popleft()
                    running[_in_thread(ask, request, stop)] = request
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    request = running.pop(future)
                    try:
                        values = future.result()
                    except _Stopped:
                        continue  # the fault that stopped it comes with another answer
                    except Fault as fault:
                        waiting.extendleft(self._smaller(request, fault, smallest_side))
                        continue
                    if learned:
                        learned.worked(request.bytes, split=request not in planned)
                    yield request, values
        finally:
            stop.set()

    def _smaller(self, request: PixelRequest, fault: Fault, smallest_side: int) -> tuple[PixelRequest, ...]:
        halves = request.halves(smallest_side) if fault.kind is FaultKind.TOO_LARGE else ()
        if not halves:
            raise self._final(fault) from fault
        return halves

    def _final(self, fault: Fault) -> Exception:
        if fault.kind is FaultKind.ACCESS:
            return access_error(fault, self.session.project)
        return request_error(fault, TRIES)


class _LargestRequest:
    """Bytes of the largest request of one kind: what worked after more was too much.

    It begins with what was set. After a refusal it is what worked, and after many successes twice as much. A
    limit that all cells meet so costs one refusal in `PROBATION` requests; one difficult cell does not make
    many small requests out of all that follow.
    """

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, most
        self._proved = 0  # answers since it last changed
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        with self._lock:
            return self._bytes

    def worked(self, size: int, *, split: bool) -> None:
        """Take note of an answer of some bytes, of a request that was split or not."""
        with self._lock:
            if split and size < self._bytes:
                self._bytes, self._proved = size, 0
                return
            self._proved += 1
            if self._proved >= PROBATION and self._bytes < self._most:
                self._bytes, self._proved = min(2 * self._bytes, self._most), 0


@dataclass(frozen=True)
class Expected:
    """What an answer must hold besides its grid; None is anything."""

    bands: tuple[str, ...] | None = None
    """Names of the bands in order."""
    dtype: str | None = None
    """Type of the values."""


def read_answer(content: bytes, geobox: GeoBox, expected: Expected) -> NDArray[Any]:
    """The values `(band, y, x)` of a GeoTIFF that holds what was asked for.

    Args:
        content: The whole file.
        geobox: Pixels that were asked for.
        expected: Bands and type that were asked for.

    Raises:
        Fault: It is not a whole GeoTIFF, or one of something else; the next answer may be right.
    """
    if not content:
        raise broken("it is empty")
    try:
        with MemoryFile(content) as memory, memory.open(driver="GTiff") as file:
            _require_expected(file, geobox, expected)
            return file.read()
    except (RasterioError, ValueError) as error:
        raise broken(f"no whole GeoTIFF in {len(content):,} bytes ({error})") from error


def _require_expected(file: DatasetReader, geobox: GeoBox, expected: Expected) -> None:
    if file.shape != tuple(geobox.shape):
        raise broken(f"{_size(file.shape)} pixels instead of {_size(geobox.shape)}")
    if not file.transform.almost_equals(geobox.transform, precision=1e-6):
        raise broken(f"pixels at {tuple(file.transform)[:6]} instead of {tuple(geobox.transform)[:6]}")
    if not _same_crs(file.crs, geobox.crs):
        raise broken(f"pixels in {file.crs} instead of {geobox.crs}")
    if expected.dtype and set(file.dtypes) != {expected.dtype}:
        raise broken(f"values of {', '.join(sorted(set(file.dtypes)))} instead of {expected.dtype}")
    if expected.bands is not None:
        _require_bands(file, expected.bands)


def _require_bands(file: DatasetReader, bands: tuple[str, ...]) -> None:
    """Names are compared where the file has them; the order is that of the request in any case."""
    if file.count != len(bands):
        raise broken(f"{file.count} bands instead of {len(bands)}")
    if any(file.descriptions) and file.descriptions != bands:
        name, other = next(pair for pair in zip(file.descriptions, bands, strict=True) if pair[0] != pair[1])
        raise broken(f"a band {name} instead of {other}")


def _same_crs(found: Any, wanted: Any) -> bool:
    if found is None:
        return False
    one, other = pyproj.CRS.from_user_input(found), pyproj.CRS.from_user_input(wanted)
    codes = one.to_epsg(), other.to_epsg()
    return codes[0] == codes[1] if None not in codes else one.equals(other, ignore_axis_order=True)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"


class _Stopped(Exception):
    """A sibling failed for good, or the one who asked is gone: nobody waits for this answer."""


def _in_thread(
    ask: Callable[[PixelRequest, threading.Event], NDArray[Any]], request: PixelRequest, stop: threading.Event
) -> Future[NDArray[Any]]:
    future: Future[NDArray[Any]] = Future()

    def work() -> None:
        try:
            future.set_result(ask(request, stop))
        except BaseException as error:
            future.set_exception(error)  # raised again where the result is awaited

    threading.Thread(target=work, daemon=True, name="earth-engine").start()
    return future


def _smallest_side(geobox: GeoBox) -> int:
    return SMALLEST_SIDE if min(geobox.shape) >= SMALLEST_SIDE else SMALLEST_SIDE_OF_SMALL


def _window(cell: GeoBox, part: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of a part within its cell."""
    col, row = (round(v) for v in ~cell.transform * (part.transform.c, part.transform.f))
    height, width = part.shape
    return slice(row, row + height), slice(col, col + width)


def _cut(bins: tuple[int, ...], first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return bins[:first], bins[first:]


def _divide(bins: tuple[int, ...], parts: int) -> list[tuple[int, ...]]:
    """Parts whose lengths differ by one at most."""
    edges = [len(bins) * part // parts for part in range(parts + 1)]
    return [bins[start:stop] for start, stop in pairwise(edges)]
