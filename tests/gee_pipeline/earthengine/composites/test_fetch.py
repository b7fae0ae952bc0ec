"""Plans of requests, and fetching through a session that does as the test says."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from gee_pipeline.earthengine.client.faults import Fault, FaultKind
from gee_pipeline.earthengine.client.limiter import Limiter
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites.fetch import (
    MOST_BANDS,
    Expected,
    Fetcher,
    PixelRequest,
    plan_requests,
)
from gee_pipeline.errors import AccessError, EarthEngineError, InputError

pytestmark = pytest.mark.slow

LEFT, TOP = 640_000, 4_820_480
BANDS = ("B2", "B8", "B11")

TOO_LARGE = Fault(FaultKind.TOO_LARGE, "User memory limit exceeded.", 400)
LATER = Fault(FaultKind.LATER, "The service is currently unavailable.", 503)
TOO_MANY = Fault(FaultKind.TOO_MANY, "Too Many Requests", 429)
NEVER = Fault(FaultKind.NEVER, "Image.select: Band pattern 'B99' did not match any bands.", 400)
ACCESS = Fault(FaultKind.ACCESS, "Project crop-maps is not registered to use Earth Engine.", 403)


def geobox(height: int, width: int | None = None) -> GeoBox:
    return GeoBox((height, width or height), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32615")


def value_at(row: int, col: int, index: int, band: int) -> int:
    """What the ground shows; rows and columns are counted from the cell's corner."""
    return (row * 131 + col * 17 + index * 7 + band * 3) % 9973 - 5000


def ground(shape: tuple[int, int], bins: Sequence[int], bands: int) -> np.ndarray:
    out = np.empty((len(bins), bands, *shape), np.int16)
    for place, index in enumerate(bins):
        for band in range(bands):
            for row in range(shape[0]):
                for col in range(shape[1]):
                    out[place, band, row, col] = value_at(row, col, index, band)
    return out


@dataclass(frozen=True)
class Part:
    """Stands for an image: what was asked for, and nothing computed."""

    geobox: GeoBox
    bins: Sequence[int]

    @property
    def samples(self) -> int:
        return len(self.bins) * self.geobox.shape[0] * self.geobox.shape[1]


def tiff(values: np.ndarray, box: GeoBox, names: list[str] | None = None, crs: str = "EPSG:32615") -> bytes:
    count, height, width = values.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=values.dtype,
            crs=crs,
            transform=box.transform,
        ) as file:
            file.write(values)
            if names:
                file.descriptions = names
        return bytes(memory.getbuffer())


def true_answer(part: Part, bands: tuple[str, ...] = BANDS) -> bytes:
    col = round((part.geobox.transform.c - LEFT) / 10)
    row = round((TOP - part.geobox.transform.f) / 10)
    height, width = part.geobox.shape
    rows, cols = np.arange(row, row + height)[:, None], np.arange(col, col + width)
    values = [
        (rows * 131 + cols * 17 + index * 7 + band * 3) % 9973 - 5000
        for index in part.bins
        for band in range(len(bands))
    ]
    names = [f"{name}_{index}" for index in part.bins for name in bands]
    return tiff(np.array(values, np.int16), part.geobox, names)


@dataclass
class FakeSession:
    """Answers with the truth unless a rule says otherwise."""

    rule: Callable[[Part], Fault | bytes | None] = lambda part: None
    settings: EarthEngineSettings = field(default_factory=lambda: EarthEngineSettings(url=None))
    project: str = "crop-maps"
    limiter: Limiter = field(default_factory=Limiter)
    asked: list[Part] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pixels(self, image: Part, box: GeoBox) -> bytes:
        assert image.geobox == box
        with self.lock:
            self.asked.append(image)
            answer = self.rule(image)
        if isinstance(answer, Fault):
            raise answer
        return true_answer(image) if answer is None else answer

    def value(self, expression: object) -> object:
        return self.pixels(expression, expression.geobox)


def script(*answers: Fault | bytes | None) -> Callable[[Part], Fault | bytes | None]:
    """These answers in order, then the truth."""
    left = list(answers)
    return lambda part: left.pop(0) if left else None


def fetcher(session: FakeSession, waits: list[float] | None = None) -> Fetcher:
    return Fetcher(session, sleep=(waits if waits is not None else []).append, random=Random(1))


def fetch(session: FakeSession, box: GeoBox, bins: range, waits: list[float] | None = None) -> np.ndarray:
    return fetcher(session, waits).composite(Part, box, bins, BANDS)


# --- plans


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    first=st.integers(0, 40),
    count=st.integers(1, 33),
    bands=st.integers(1, 10),
    budget=st.integers(20, 40_000),
)
@settings(max_examples=150, deadline=None)
def test_a_plan_covers_each_pixel_of_each_bin_once_and_keeps_to_its_budget(
    height, width, first, count, bands, budget
) -> None:
    bins = range(first, first + count)
    plan = plan_requests(geobox(height, width), bins, bands, budget)
    seen = np.zeros((count, height, width), int)
    for request in plan:
        rows, cols = request.geobox.shape
        assert rows * cols * len(request.bins) * bands * 2 == request.bytes <= budget
        assert request.geobox.crs == geobox(1).crs
        top = round((TOP - request.geobox.transform.f) / 10)
        left = round((request.geobox.transform.c - LEFT) / 10)
        for index in request.bins:
            seen[index - first, top : top + rows, left : left + cols] += 1
    assert (seen == 1).all()


def test_a_default_cell_takes_two_requests_of_even_bins() -> None:
    plan = plan_requests(geobox(256), range(24, 67), 10, EarthEngineSettings().request_bytes)
    assert [request.bins for request in plan] == [tuple(range(24, 45)), tuple(range(45, 67))]


def test_a_cell_is_halved_only_where_not_one_bin_fits() -> None:
    plan = plan_requests(geobox(256), range(2), 10, 256 * 256 * 10 * 2 - 1)
    sizes = [(tuple(request.geobox.shape), len(request.bins)) for request in plan]
    assert sizes == [((128, 256), 1)] * 4


def test_a_small_cell_with_many_bins_keeps_to_the_band_limit() -> None:
    plan = plan_requests(geobox(8), range(365), 10, 16 * 2**20)
    assert max(len(request.bins) * 10 for request in plan) <= MOST_BANDS == 1024


def test_no_bins_need_no_request() -> None:
    assert plan_requests(geobox(8), range(5, 5), 10, 1000) == []


def test_a_budget_below_one_pixel_is_refused() -> None:
    with pytest.raises(InputError, match="at least 20 bytes, got 19"):
        plan_requests(geobox(8), range(3), 10, 19)


def test_halves_cover_the_whole_and_end_at_the_smallest_side() -> None:
    whole = PixelRequest(geobox(64, 128), range(1), 10)
    sizes = set()
    waiting = [whole]
    while waiting:
        request = waiting.pop()
        if halves := request.halves(32):
            assert sum(half.bytes for half in halves) == request.bytes
            waiting += halves
        else:
            sizes.add(tuple(request.geobox.shape))
    assert sizes == {(32, 32)}


# --- answers


def test_parts_are_put_where_they_belong() -> None:
    settings = EarthEngineSettings(url=None, request_bytes=4 * 3 * 20 * 30 * 2)
    session = FakeSession(settings=settings)
    values = fetch(session, geobox(20, 30), range(24, 35))
    np.testing.assert_array_equal(values, ground((20, 30), range(24, 35), 3))
    assert values.dtype == np.int16
    assert sorted(len(part.bins) for part in session.asked) == [3, 4, 4]


def test_the_size_of_a_planned_request_is_nothing_to_learn_from() -> None:
    settings = EarthEngineSettings(url=None, request_bytes=4 * 3 * 8 * 8 * 2)
    one = fetcher(FakeSession(settings=settings))
    one.composite(Part, geobox(8), range(5), BANDS)
    assert one.budget == settings.request_bytes


def test_parts_of_a_cell_are_put_where_they_belong() -> None:
    settings = EarthEngineSettings(url=None, request_bytes=3 * 100 * 2)
    session = FakeSession(settings=settings)
    values = fetch(session, geobox(20, 30), range(3))
    np.testing.assert_array_equal(values, ground((20, 30), range(3), 3))
    assert max(part.samples for part in session.asked) <= 100


def test_no_bins_are_no_requests() -> None:
    session = FakeSession()
    assert fetch(session, geobox(20, 30), range(24, 24)).shape == (0, 3, 20, 30)
    assert session.asked == []


@pytest.mark.parametrize("fault", [LATER, TOO_MANY])
def test_a_fault_that_passes_is_asked_again_after_a_wait(fault) -> None:
    waits: list[float] = []
    session = FakeSession(script(fault, fault))
    values = fetch(session, geobox(8), range(2), waits)
    np.testing.assert_array_equal(values, ground((8, 8), range(2), 3))
    assert len(session.asked) == 3
    assert len(waits) == 2
    assert 0 <= waits[0] <= 2
    assert 0 <= waits[1] <= 4


def test_too_many_halves_the_limit_and_a_passing_fault_does_not() -> None:
    session = FakeSession(script(TOO_MANY))
    fetch(session, geobox(8), range(2))
    assert session.limiter.limit == 8
    session = FakeSession(script(LATER))
    fetch(session, geobox(8), range(2))
    assert session.limiter.limit == 16


def test_ten_tries_and_no_more() -> None:
    session = FakeSession(lambda part: LATER)
    with pytest.raises(EarthEngineError, match=r"10 tries \(HTTP 503\): The service is"):
        fetch(session, geobox(8), range(2))
    assert len(session.asked) == 10


def box_of(shift: float = 0, size: int = 8) -> GeoBox:
    return GeoBox((size, size), Affine(10, 0, LEFT + shift, 0, -10, TOP), "EPSG:32615")


def names(bins: range = range(2), bands: tuple[str, ...] = BANDS) -> list[str]:
    return [f"{band}_{index}" for index in bins for band in bands]


ZEROS = np.zeros((6, 8, 8), np.int16)

BROKEN = {
    "no TIFF": bytes(range(256)),
    "nothing": b"",
    "an error page": b"<html><body>502</body></html>",
    "a third of a TIFF": true_answer(Part(box_of(), range(2)))[:800],
    "another size": tiff(np.zeros((6, 8, 7), np.int16), box_of(), names()),
    "one pixel off": tiff(ZEROS, box_of(10), names()),
    "half a pixel off": tiff(ZEROS, box_of(5), names()),
    "another zone": tiff(ZEROS, box_of(), names(), crs="EPSG:32616"),
    "too few bands": tiff(ZEROS[:5], box_of(), names()[:5]),
    "bands in another order": tiff(ZEROS, box_of(), names()[::-1]),
    "bands of another bin": tiff(ZEROS, box_of(), names(range(1, 3))),
    "another type": tiff(ZEROS.astype(np.int32), box_of(), names()),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_asked_for_again(content) -> None:
    session = FakeSession(script(content))
    values = fetch(session, geobox(8), range(2))
    np.testing.assert_array_equal(values, ground((8, 8), range(2), 3))
    assert len(session.asked) == 2


def test_an_answer_that_stays_broken_ends_with_what_is_wrong() -> None:
    session = FakeSession(lambda part: BROKEN["another zone"])
    with pytest.raises(EarthEngineError, match="EPSG:32616 instead of EPSG:32615"):
        fetch(session, geobox(8), range(2))


def test_an_answer_without_band_names_is_taken_in_order() -> None:
    session = FakeSession(script(tiff(ZEROS, box_of())))
    assert (fetch(session, geobox(8), range(2)) == 0).all()


def test_a_crs_without_a_code_is_compared_by_what_it_says() -> None:
    albers = "+proj=aea +lat_1=38 +lat_2=44 +lat_0=0 +lon_0=-93 +datum=WGS84 +units=m"
    box = GeoBox((8, 8), Affine(10, 0, LEFT, 0, -10, TOP), rasterio.crs.CRS.from_string(albers).to_wkt())
    moved = albers.replace("-93", "-92")
    answers = [tiff(ZEROS, box, names(), crs=moved), tiff(ZEROS, box, names(), crs=albers)]
    session = FakeSession(script(*answers))
    assert (fetch(session, box, range(2)) == 0).all()
    assert len(session.asked) == 2


# --- splits


def limit(samples: int) -> Callable[[Part], Fault | None]:
    return lambda part: TOO_LARGE if part.samples > samples else None


def test_bins_are_halved_first_and_the_size_that_worked_is_remembered() -> None:
    session = FakeSession(limit(5 * 32 * 32))
    one = fetcher(session)
    values = one.composite(Part, geobox(32), range(16), BANDS)
    np.testing.assert_array_equal(values, ground((32, 32), range(16), 3))
    assert [len(part.bins) for part in session.asked] == [16, 8, 8, 4, 4, 4, 4]
    assert {tuple(part.geobox.shape) for part in session.asked} == {(32, 32)}
    assert one.budget == 4 * 32 * 32 * 3 * 2
    session.asked.clear()
    one.composite(Part, geobox(32), range(16), BANDS)
    assert [len(part.bins) for part in session.asked] == [4] * 4, "the next cell begins with what worked"


def test_pixels_are_halved_once_single_bins_are_too_large() -> None:
    session = FakeSession(limit(64 * 64))
    values = fetch(session, geobox(128), range(2))
    np.testing.assert_array_equal(values, ground((128, 128), range(2), 3))
    shapes = [(len(part.bins), *part.geobox.shape) for part in session.asked]
    assert shapes[0] == (2, 128, 128)
    assert shapes.count((1, 64, 64)) == 8


def test_one_cell_whose_pixels_are_halved_does_not_shrink_all_further_requests() -> None:
    session = FakeSession(limit(64 * 64))
    one = fetcher(session)
    one.composite(Part, geobox(128), range(4), BANDS)
    session.rule = lambda part: None
    sizes = []
    for _ in range(60):
        sizes.append(one.budget // (64 * 64 * 3 * 2))
        one.composite(Part, geobox(128), range(4), BANDS)
    assert sizes[0] == 1  # a bin of 64 x 64 pixels: 16 requests per cell
    assert sizes == sorted(sizes)
    assert sizes[-1] >= 16  # the whole cell again


@pytest.mark.parametrize(
    ("side", "smallest"),
    [
        (256, 64),  # a cell: not below 64
        (64, 64),
        (48, 24),  # 24 is the last half that is not below 16
        (32, 16),  # a small cell: not below 16
        (16, 16),
    ],
)
def test_what_is_too_large_at_the_smallest_size_fails_for_good(side, smallest) -> None:
    session = FakeSession(lambda part: TOO_LARGE)
    with pytest.raises(EarthEngineError, match="User memory limit exceeded"):
        fetch(session, geobox(side), range(2))
    assert min(min(part.geobox.shape) for part in session.asked) == smallest


def test_a_cell_that_fails_for_good_leaves_the_size_as_it_was() -> None:
    session = FakeSession(lambda part: TOO_LARGE)
    one = fetcher(session)
    with pytest.raises(EarthEngineError):
        one.composite(Part, geobox(16), range(2), BANDS)
    assert one.budget == 28 * 2**20


def test_requests_grow_again_to_the_size_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gee_pipeline.earthengine.composites.fetch.PROBATION", 5)
    settings = EarthEngineSettings(url=None, request_bytes=6 * 8 * 8 * 3 * 2)
    one = fetcher(FakeSession(script(TOO_LARGE, TOO_LARGE), settings=settings))
    bins = [one.budget // (8 * 8 * 3 * 2)]
    for _ in range(4):
        one.composite(Part, geobox(8), range(10), BANDS)
        bins.append(one.budget // (8 * 8 * 3 * 2))
    assert bins[0] == bins[-1] == 6
    assert bins[1] == 2
    assert bins == [6, *sorted(bins[1:])]


def test_bins_that_are_left_out_are_not_asked_for() -> None:
    session = FakeSession()
    values = fetcher(session).composite(Part, geobox(8), (3, 4, 9, 30), BANDS)
    np.testing.assert_array_equal(values, ground((8, 8), (3, 4, 9, 30), 3))
    assert [part.bins for part in session.asked] == [(3, 4, 9, 30)]


# --- faults that end it


def test_what_never_succeeds_is_asked_once() -> None:
    session = FakeSession(lambda part: NEVER)
    with pytest.raises(EarthEngineError, match="Band pattern 'B99'"):
        fetch(session, geobox(8), range(2))
    assert len(session.asked) == 1


def test_a_lack_of_access_ends_it_with_the_cure_and_the_waiting_requests_are_not_made() -> None:
    settings = EarthEngineSettings(url=None, request_bytes=8 * 8 * 3 * 2)
    session = FakeSession(lambda part: ACCESS, settings=settings, limiter=Limiter(1))
    with pytest.raises(AccessError, match="is not registered for Earth Engine"):
        fetch(session, geobox(8), range(60))
    for thread in [thread for thread in threading.enumerate() if thread.name == "earth-engine"]:
        thread.join(5)
    assert len(session.asked) == 1, "of the 32 that waited for their turn"


def test_a_mistake_of_ours_is_raised_as_it_is() -> None:
    def image_of(box: GeoBox, bins: range) -> Part:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetcher(FakeSession()).composite(image_of, geobox(8), range(2), BANDS)


def test_one_limit_holds_for_cells_fetched_at_once() -> None:
    lock, counts, full = threading.Lock(), SimpleNamespace(now=0, most=0), threading.Event()

    class Slow(FakeSession):
        def pixels(self, image: Part, box: GeoBox) -> bytes:
            with lock:
                counts.now += 1
                counts.most = max(counts.most, counts.now)
                if counts.now == 3:
                    full.set()
            full.wait(10)  # the first ones wait for the third
            time.sleep(0.005)  # long enough for a fourth to be seen
            with lock:
                counts.now -= 1
            return super().pixels(image, box)

    settings = EarthEngineSettings(url=None, request_bytes=8 * 8 * 3 * 2)
    one = fetcher(Slow(settings=settings, limiter=Limiter(3)))
    cells = [
        threading.Thread(target=one.composite, args=(Part, geobox(8), range(6), BANDS)) for _ in range(4)
    ]
    for cell in cells:
        cell.start()
    for cell in cells:
        cell.join()
    assert counts.most == 3


# --- rasters and values


def test_a_raster_keeps_its_type_and_is_split_where_it_is_too_large() -> None:
    def rule(part: Part) -> Fault | bytes:
        if part.samples > 64 * 64:
            return TOO_LARGE
        col = round((part.geobox.transform.c - LEFT) / 10)
        row = round((TOP - part.geobox.transform.f) / 10)
        height, width = part.geobox.shape
        rows, cols = np.arange(row, row + height)[:, None], np.arange(col, col + width)
        return tiff(np.array([rows * 2 + cols, rows + cols * 0], np.uint16), part.geobox, ["a", "b"])

    class ByBox(FakeSession):
        def pixels(self, image: str, box: GeoBox) -> bytes:
            assert image == "mask"
            return super().pixels(Part(box, range(1)), box)

    session = ByBox(rule)
    one = fetcher(session)
    values = one.raster("mask", geobox(128))
    assert values.dtype == np.uint16
    expected = [[[2 * y + x for x in range(128)] for y in range(128)], [[y] * 128 for y in range(128)]]
    np.testing.assert_array_equal(values, expected)
    assert one.budget == 28 * 2**20, "a raster of other bands says nothing about composites"


def test_a_costly_raster_keeps_to_the_size_that_worked() -> None:
    def rule(part: Part) -> Fault | bytes:
        if part.samples > 64 * 128:
            return TOO_LARGE
        return tiff(np.zeros((3, *part.geobox.shape), np.uint8), part.geobox, ["a", "b", "c"])

    class ByBox(FakeSession):
        def pixels(self, image: str, box: GeoBox) -> bytes:
            return super().pixels(Part(box, range(1)), box)

    session = ByBox(rule)
    one = fetcher(session)
    for _ in range(2):
        assert one.raster("classes", geobox(128), costly=True).shape == (3, 128, 128)
    sizes = [part.samples for part in session.asked]
    assert sizes == [128 * 128] + [64 * 128] * 4, "the next cell begins with what worked"
    assert one.budget == 28 * 2**20, "composites are another matter"


def test_a_raster_of_other_bands_or_type_than_expected_is_asked_for_again() -> None:
    box = geobox(32)
    right = tiff(np.ones((2, 32, 32), np.uint8), box, ["class", "clear"])
    wrong = tiff(np.ones((2, 32, 32), np.uint8), box, ["clear", "class"])
    wide = tiff(np.ones((2, 32, 32), np.int16), box, ["class", "clear"])

    class ByBox(FakeSession):
        def pixels(self, image: str, box: GeoBox) -> bytes:
            return super().pixels(Part(box, range(1)), box)

    session = ByBox(script(wrong, wide, right))
    values = fetcher(session).raster("classes", box, Expected(("class", "clear"), "uint8"))
    assert (values == 1).all()
    assert len(session.asked) == 3


def test_a_value_is_asked_for_until_it_is_there() -> None:
    session = FakeSession(script(LATER, TOO_MANY, b"42"))
    assert fetcher(session).value(Part(geobox(1), range(1)), bytes) == b"42"
    assert session.limiter.limit == 8


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        (ACCESS, AccessError, 1),
        (NEVER, EarthEngineError, 1),
        (TOO_LARGE, EarthEngineError, 1),
        (LATER, EarthEngineError, 10),
        (TOO_MANY, EarthEngineError, 10),
    ],
)
def test_a_value_that_cannot_be_had_ends_like_pixels(fault, error, tries) -> None:
    session = FakeSession(lambda part: fault)
    with pytest.raises(error):
        fetcher(session).value(Part(geobox(1), range(1)), bytes)
    assert len(session.asked) == tries
