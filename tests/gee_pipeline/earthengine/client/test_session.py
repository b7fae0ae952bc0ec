"""Credentials, the one session of a process, and requests over HTTP to a server that imitates the service."""

import json
import logging
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import ee
import google.auth
import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from gee_pipeline.earthengine.client.faults import Fault, FaultKind
from gee_pipeline.earthengine.client.limiter import Limiter
from gee_pipeline.earthengine.client.session import Session, connect, disconnect, find_access, pixel_grid
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.client.spending import Meter
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.errors import AccessError, EarthEngineError, InputError
from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.server import Emulator

pytestmark = pytest.mark.slow

LEFT, TOP = 640_000, 4_820_480
BANDS = ("B2", "B8")


# --- credentials


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home on a machine that is none of Google's."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    # asking for the metadata server takes seconds where packets are dropped
    monkeypatch.setattr("google.auth._default._get_gce_credentials", lambda *args, **kwargs: (None, None))
    monkeypatch.setattr("google.auth._cloud_sdk.get_project_id", lambda: None)
    return tmp_path


def user(token: str, **more: str) -> dict[str, str]:
    client = {"client_id": "1.apps.googleusercontent.com", "client_secret": "s", "type": "authorized_user"}
    return client | {"refresh_token": token} | more


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def store(home: Path, content: Any) -> Path:
    return write(home / ".config" / "earthengine" / "credentials", content)


def log_in_with_gcloud(home: Path, content: Any) -> Path:
    return write(home / "gcloud" / "application_default_credentials.json", content)


def settings(**fields: Any) -> EarthEngineSettings:
    return EarthEngineSettings(**{"url": None, "project": "crop-maps", **fields})


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory, server: Emulator) -> Path:
    return server.key_file(tmp_path_factory.mktemp("key"))


def test_a_named_service_account_goes_before_all_others(home, key_file) -> None:
    log_in_with_gcloud(home, user("of gcloud"))
    store(home, user("of earthengine"))
    access = find_access(settings(service_account=key_file))
    assert access.credentials.service_account_email == "cropmap@crop-maps.iam.gserviceaccount.com"


def test_default_credentials_go_before_stored_ones(home) -> None:
    store(home, user("of earthengine"))
    log_in_with_gcloud(home, user("of gcloud"))
    assert find_access(settings()).credentials.refresh_token == "of gcloud"


def test_a_file_in_the_environment_goes_before_that_of_gcloud(home, monkeypatch) -> None:
    store(home, user("of earthengine"))
    log_in_with_gcloud(home, user("of gcloud"))
    named = write(home / "named.json", user("of the environment"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(named))
    assert find_access(settings()).credentials.refresh_token == "of the environment"


def test_stored_credentials_are_found(home) -> None:
    store(home, user("of earthengine"))
    assert find_access(settings()).credentials.refresh_token == "of earthengine"


def test_stored_credentials_need_no_look_for_a_metadata_server(home, monkeypatch) -> None:
    store(home, user("of earthengine"))
    monkeypatch.setattr(google.auth, "default", lambda **kwargs: pytest.fail("looked for"))
    find_access(settings())


@pytest.mark.parametrize("stored", [None, {"project": "crop-maps"}])
def test_no_credentials_name_the_ways_to_get_them_and_the_one_that_needs_none(home, stored) -> None:
    if stored:
        store(home, stored)
    with pytest.raises(AccessError) as caught:
        find_access(settings())
    for way in (
        "cropmap ee login",
        "gcloud auth application-default login",
        "--service-account",
        "--source",
    ):
        assert way in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "no JSON",
        "[]",
        {"type": "service_account"},
        {"client_email": 1, "token_uri": 2, "private_key": 3},
    ],
)
def test_an_unreadable_key_is_named(home, content) -> None:
    path = home / "key.json"
    if content:
        write(path, content)
    with pytest.raises(AccessError, match=r"key\.json.*--service-account"):
        find_access(settings(service_account=path))


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}"])
def test_unreadable_default_credentials_are_no_reason_to_take_others(home, content) -> None:
    store(home, user("of earthengine"))
    log_in_with_gcloud(home, content)
    with pytest.raises(AccessError, match="default credentials cannot be read"):
        find_access(settings())


@pytest.mark.parametrize("content", ["no JSON", "[]"])
def test_unreadable_stored_credentials_are_named(home, content) -> None:
    path = store(home, content)
    with pytest.raises(AccessError, match="cropmap ee login") as caught:
        find_access(settings())
    assert str(path) in str(caught.value)


def test_the_project_is_the_named_one_or_that_of_the_credentials(home, key_file) -> None:
    store(home, {**user("of earthengine"), "project": "of-the-file"})
    assert find_access(settings(project=None)).project == "of-the-file"
    assert find_access(settings()).project == "crop-maps"
    assert find_access(settings(project=None, service_account=key_file)).project == "crop-maps"
    assert find_access(settings(project="other", service_account=key_file)).project == "other"


def test_the_quota_project_of_gcloud_is_taken(home) -> None:
    log_in_with_gcloud(home, user("of gcloud", quota_project_id="of-the-quota"))
    access = find_access(settings(project=None))
    assert access.project == "of-the-quota"
    assert access.credentials.quota_project_id is None, "the client sends it, and copies credentials with one"


def test_no_project_is_asked_for(home) -> None:
    store(home, user("of earthengine"))
    with pytest.raises(AccessError, match="--project"):
        find_access(settings(project=None))


# --- a server that knows one image


def evaluate(expression: dict[str, Any], archive: None) -> Any:
    """A number is itself; an image is the first bin and the number of bins that it was made of."""
    node = expression["values"][expression["result"]]
    if "functionInvocationValue" in node:
        node = node["functionInvocationValue"]["arguments"]["value"]
        while "valueReference" in node:
            node = expression["values"][node["valueReference"]]
    return node["constantValue"]


def image_pixels(image: list[int], grid: Any) -> list[tuple[str, np.ndarray, np.ndarray]]:
    rows, cols = np.mgrid[: grid.height, : grid.width]
    rows = rows + round((TOP - grid.transform.f) / 10)
    cols = cols + round((grid.transform.c - LEFT) / 10)
    first, count = image
    return [
        (f"{name}_{index}", (rows * 31 + cols * 7 + index * 101 + band).astype("int16"), rows >= 0)
        for index in range(first, first + count)
        for band, name in enumerate(BANDS)
    ]


def image_of(box: GeoBox, bins: range) -> ee.Image:
    return ee.Image.constant([bins[0], len(bins)])


def ground(side: int, bins: range) -> np.ndarray:
    """What `image_pixels` shows, value by value."""
    out = np.empty((len(bins), len(BANDS), side, side), np.int16)
    for place, index in enumerate(bins):
        for band in range(len(BANDS)):
            for row in range(side):
                for col in range(side):
                    out[place, band, row, col] = row * 31 + col * 7 + index * 101 + band
    return out


def geobox(side: int = 8) -> GeoBox:
    return GeoBox((side, side), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32615")


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(None, evaluate=evaluate, image_pixels=image_pixels) as server:
        yield server
    assert server.errors == []


@pytest.fixture(scope="module")
def opened(server: Emulator, key_file: Path) -> Iterator[Session]:
    yield connect(EarthEngineSettings(service_account=key_file, url=server.url))
    disconnect()


@pytest.fixture
def session(server: Emulator, opened: Session) -> Session:
    """The module's session, as if it had just been opened."""
    session = connect(opened.settings)
    session.limiter, session.meter = Limiter(), Meter()
    session.take_notices()
    server.log.clear()
    server.rule = None
    return session


@pytest.fixture
def alone(server: Emulator, key_file: Path) -> Iterator[Callable[..., Session]]:
    """Opens sessions of their own, with other settings than the module's."""
    waits: list[float] = []

    def open_session(**fields: Any) -> Session:
        server.log.clear()
        fields = {"service_account": key_file, "url": server.url, **fields}
        return connect(EarthEngineSettings(**fields), sleep=waits.append)

    disconnect()
    server.rule = None
    yield open_session
    disconnect()


def fetch(session: Session, side: int = 8, bins: range = range(24, 27)) -> np.ndarray:
    fetcher = Fetcher(session, sleep=lambda seconds: None, random=Random(1))
    return fetcher.composite(image_of, geobox(side), bins, BANDS)


def statuses(server: Emulator, kind: str) -> list[int | None]:
    return [entry.status for entry in server.log.of(kind)]


# --- opening


def test_opening_asks_the_endpoint_and_nobody_else(alone, server, monkeypatch) -> None:
    """The client would fetch a list of deprecated data sets from another host, without a timeout."""
    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **kwargs: pytest.fail(f"asked {args}"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = alone()
    assert session.project == "crop-maps"
    assert {entry.kind for entry in server.log} == {"token", "discovery", "algorithms"}
    assert len(server.log.of("token")) == 1
    assert session.value(ee.Number(42)) == 42


def test_threads_that_connect_at_once_share_one_session(alone, server) -> None:
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(lambda _: alone(), range(8)))
    assert len(set(map(id, sessions))) == 1
    assert len(server.log.of("algorithms")) <= 1


def test_other_settings_take_the_place_of_the_session(alone) -> None:
    first = alone()
    second = alone(most_requests=3)
    assert second is not first
    assert second.limiter.limit == 3
    with pytest.raises(RuntimeError, match="Another Earth Engine session"):
        first.value(ee.Number(1))
    assert second.value(ee.Number(1)) == 1


def test_a_server_that_is_busy_for_a_moment_is_asked_again(alone, server) -> None:
    server.script("algorithms", Answer.error(503, "The service is currently unavailable."))
    assert alone().value(ee.Number(1)) == 1


def test_a_server_that_stays_silent_is_told_with_the_way_that_needs_none(alone, server) -> None:
    server.script("discovery", *[Answer.error(503, "The service is currently unavailable.")] * 3)
    with pytest.raises(AccessError, match=r"does not answer: The service is currently.*--source"):
        alone()


def test_no_server_is_told_the_same_way(alone, key_file) -> None:
    with pytest.raises(AccessError, match="does not answer"):
        alone(url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://ftp.example.org", "https://", "http://[", "http://host:x"]
)
def test_what_is_no_address_of_a_server_is_refused_before_anything_is_asked(url) -> None:
    with pytest.raises(InputError, match=r"CROPMAP_EE_URL.*https://.*got") as caught:
        settings(url=url)
    assert url in str(caught.value)


def test_another_server_than_earth_engine_is_told(alone, server) -> None:
    server.rule = lambda request: Answer.error(404, "Not found") if request.kind == "discovery" else None
    with pytest.raises(AccessError, match=r"There is no Earth Engine at .*CROPMAP_EE_URL"):
        alone()


def test_revoked_credentials_are_told(alone, server) -> None:
    server.tokens.revoked = True
    try:
        with pytest.raises(AccessError, match="expired, revoked or not valid") as caught:
            alone()
    finally:
        server.tokens.revoked = False
    assert "Token has been expired or revoked" in str(caught.value)


def test_a_foreign_project_is_told(alone) -> None:
    with pytest.raises(AccessError, match="The project somebody-elses does not exist, or these credentials"):
        alone(project="somebody-elses")


REFUSALS = {
    "unregistered": (
        "Project crop-maps is not registered to use Earth Engine. Visit https://code.earthengine.google.com/"
        "register?project=crop-maps to register your project.",
        "is not registered for Earth Engine",
    ),
    "disabled": (
        "Google Earth Engine API has not been used in project 599401802498 before or it is disabled. Enable "
        "it by visiting https://console.developers.google.com/apis/api/earthengine.googleapis.com/overview?"
        "project=599401802498 then retry.",
        "API is not enabled in the project crop-maps",
    ),
    "denied": (
        "Permission 'earthengine.computations.create' denied on resource '//cloudresourcemanager.googleapis"
        ".com/projects/crop-maps' (or it may not exist).",
        "lack a permission in the project crop-maps",
    ),
    "no quota project": (
        "Your application is authenticating by using local Application Default Credentials. The "
        "earthengine.googleapis.com API requires a quota project, which is not set by default.",
        "Give one with --project",
    ),
}


@pytest.mark.parametrize(("words", "part"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_at_the_door_is_one_message(alone, server, words, part) -> None:
    server.script("algorithms", Answer.error(403, words))
    with pytest.raises(AccessError, match=part):
        alone()
    assert len(server.log.of("algorithms")) == 1, "asking again would not help"


@pytest.mark.parametrize(("words", "part"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_in_the_middle_of_a_run_is_the_same_message(session, server, words, part) -> None:
    server.rule = lambda request: Answer.error(403, words) if request.kind == "pixels" else None
    with pytest.raises(AccessError, match=part):
        fetch(session)
    assert len(server.log.of("pixels")) == 1


# --- requests


def test_pixels_lie_on_the_grid_that_was_asked_for(session, server) -> None:
    content = session.pixels(image_of(geobox(), range(24, 27)), geobox())
    with MemoryFile(content) as memory, memory.open() as file:
        assert file.transform == geobox().transform
        assert file.crs == rasterio.crs.CRS.from_epsg(32615)
        assert file.descriptions == tuple(f"{band}_{index}" for index in (24, 25, 26) for band in BANDS)
        np.testing.assert_array_equal(file.read(), ground(8, range(24, 27)).reshape(6, 8, 8))
    assert statuses(server, "pixels") == [200]
    assert server.log.of("pixels")[0].headers["x-goog-user-project"] == "crop-maps"


def test_another_file_format_can_be_asked_for(session) -> None:
    assert session.pixels(ee.Image.constant([0, 1]), geobox(), file_format="NPY").startswith(b"\x93NUMPY")


def test_a_grid_is_given_in_full() -> None:
    assert pixel_grid(GeoBox((3, 5), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32615")) == {
        "crsCode": "EPSG:32615",
        "dimensions": {"width": 5, "height": 3},
        "affineTransform": {
            "scaleX": 10,
            "shearX": 0,
            "translateX": LEFT,
            "shearY": 0,
            "scaleY": -10,
            "translateY": TOP,
        },
    }


def test_a_crs_without_a_code_is_given_by_its_text() -> None:
    albers = "+proj=aea +lat_1=38 +lat_2=44 +lat_0=0 +lon_0=-93 +datum=WGS84 +units=m"
    grid = pixel_grid(GeoBox((3, 5), Affine(10, 0, 0, 0, -10, 0), albers))
    assert "Albers" in grid["crsWkt"]
    assert "crsCode" not in grid


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (429, "Too Many Requests", FaultKind.TOO_MANY),
        (503, "The service is currently unavailable.", FaultKind.LATER),
        (400, "User memory limit exceeded.", FaultKind.TOO_LARGE),
        (400, "Image.select: Band pattern 'B99' did not match any bands.", FaultKind.NEVER),
    ],
)
def test_the_client_asks_once_and_the_fault_is_ours_to_see(session, server, status, words, kind) -> None:
    server.script("value", Answer.error(status, words))
    server.script("pixels", Answer.error(status, words))
    for ask in (
        lambda: session.value(ee.Number(1)),
        lambda: session.pixels(ee.Image.constant([0, 1]), geobox()),
    ):
        with pytest.raises(Fault) as caught:
            ask()
        assert (caught.value.kind, caught.value.status, caught.value.message) == (kind, status, words)
    assert statuses(server, "value") == statuses(server, "pixels") == [status]


def test_two_refusals_then_success(session, server) -> None:
    server.script("pixels", *[Answer.error(429, "Too many concurrent aggregations.")] * 2)
    np.testing.assert_array_equal(fetch(session), ground(8, range(24, 27)))
    assert statuses(server, "pixels") == [429, 429, 200]
    assert session.limiter.limit == 8


def shifted(content: bytes) -> bytes:
    """The same pixels, half a pixel to the east."""
    with MemoryFile(content) as memory, memory.open() as file:
        profile, names, values = file.profile, file.descriptions, file.read()
    profile["transform"] = profile["transform"] @ Affine.translation(0.5, 0)
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(values)
            file.descriptions = names
        return bytes(memory.getbuffer())


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer.error(500, "An internal error has occurred."), 500),
        (Answer.error(503, "The service is currently unavailable."), 503),
        (Answer.truncated(), 200),
        (Answer.garbage(), 200),
        (Answer.close(), None),
        (Answer.changed(shifted), 200),
    ],
    ids=["internal error", "unavailable", "truncated", "garbage", "closed", "another grid"],
)
def test_an_answer_that_failed_on_its_way_is_asked_for_again(session, server, answer, status) -> None:
    server.script("pixels", answer)
    np.testing.assert_array_equal(fetch(session), ground(8, range(24, 27)))
    assert statuses(server, "pixels") == [status, 200]


@pytest.mark.parametrize(
    "answer", [Answer.slow(5), Answer.silent(), Answer.trickle()], ids=["slow", "silent", "trickle"]
)
def test_an_answer_beyond_the_deadline_is_given_up_and_asked_for_again(
    session, server, monkeypatch, answer
) -> None:
    monkeypatch.setattr(session.transport, "deadline", 0.4)
    server.script("pixels", answer)
    start = time.monotonic()
    np.testing.assert_array_equal(fetch(session), ground(8, range(24, 27)))
    assert time.monotonic() - start >= 0.4
    assert len(server.log.of("pixels")) == 2


def test_a_garbled_value_is_asked_for_again(session, server) -> None:
    server.script("value", Answer.garbage(), Answer.truncated())
    fetcher = Fetcher(session, sleep=lambda seconds: None)
    assert fetcher.value(ee.Number(42), int) == 42
    assert len(server.log.of("value")) == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[1, 2]",
        b"{}",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"result": null}',
        b'{"result": "many"}',
    ],
)
def test_an_answer_of_another_form_is_asked_for_again(session, server, answer) -> None:
    server.script("value", *[Answer.bytes(answer)] * 2)
    assert Fetcher(session, sleep=lambda seconds: None).value(ee.Number(42), int) == 42
    assert len(server.log.of("value")) == 3


def test_an_answer_that_stays_of_another_form_fails_in_one_sentence(session, server) -> None:
    server.rule = lambda request: Answer.bytes(b"[1, 2]")
    with pytest.raises(
        EarthEngineError, match=r"in 10 tries: the answer was broken: .*The same command asks again"
    ):
        Fetcher(session, sleep=lambda seconds: None).value(ee.Number(42), int)


def test_a_wrong_request_is_made_once(session, server) -> None:
    server.rule = lambda request: Answer.error(
        400, "Image.select: Band pattern 'B99' did not match any bands."
    )
    with pytest.raises(EarthEngineError, match="Band pattern 'B99'"):
        fetch(session)
    assert statuses(server, "pixels") == [400]


def test_a_memory_limit_splits_bins_then_pixels_and_the_size_is_remembered(session, server) -> None:
    most = 16 * 16 * len(BANDS)  # samples: one bin of a quarter of the cell

    def too_much(request: LoggedRequest) -> Answer | None:
        if request.kind != "pixels":
            return None
        grid = request.body["grid"]["dimensions"]
        count = request.body["expression"]["values"]
        bins = next(
            node["functionInvocationValue"]["arguments"]["value"]["constantValue"][1]
            for node in count.values()
            if "functionInvocationValue" in node
        )
        if grid["width"] * grid["height"] * bins * len(BANDS) > most:
            return Answer.error(400, "User memory limit exceeded.")
        return None

    server.rule = too_much
    fetcher = Fetcher(session, sleep=lambda seconds: pytest.fail("waited"))
    for refused in (1 + 2 + 2 * 2, 0):  # 2 bins; 1 bin each; halves of 16 x 32 each; then nothing
        server.log.clear()
        values = fetcher.composite(image_of, geobox(32), range(24, 26), BANDS)
        np.testing.assert_array_equal(values, ground(32, range(24, 26)))
        assert sorted(statuses(server, "pixels")) == [200] * 8 + [400] * refused


def test_an_expired_token_is_renewed_once_and_nobody_notices(session, server) -> None:
    server.expire_tokens()
    assert session.value(ee.Number(42)) == 42
    assert statuses(server, "value") == [401, 200]
    assert len(server.log.of("token")) == 1


def test_a_token_that_cannot_be_renewed_ends_the_run(session, server) -> None:
    server.expire_tokens()
    server.tokens.revoked = True
    try:
        with pytest.raises(AccessError, match="expired, revoked or not valid"):
            fetch(session)
    finally:
        server.tokens.revoked = False
    assert session.value(ee.Number(42)) == 42


def test_two_dozen_threads_get_through_the_end_of_a_token_and_fill_no_pool(session, server, caplog) -> None:
    session.limiter = Limiter(24)
    server.expire_tokens()
    server.script("value", *Answer.together(24))
    fetcher = Fetcher(session, sleep=lambda seconds: None)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(24) as pool:
        values = list(pool.map(lambda number: fetcher.value(ee.Number(number), int), range(72)))
    assert values == list(range(72))
    assert server.log.most_at_once("value") >= 24
    assert "Connection pool is full" not in caplog.text


def test_restricted_mode_lets_two_requests_through_and_is_told_once(session, server) -> None:
    server.script("value", Answer.restricted(), Answer.restricted())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the client's own
        session.value(ee.Number(1))
        session.value(ee.Number(1))
    assert session.limiter.limit == 2
    notices = session.take_notices()
    assert len(notices) == 1
    assert "restricted mode" in notices[0]
    assert "crop-maps" in notices[0]
    assert session.take_notices() == []


def test_what_was_spent_is_what_the_server_counted(session, server) -> None:
    server.script("pixels", Answer.error(429, "Too Many Requests"))
    fetch(session)
    session.value(ee.Number(1))
    asked = [*server.log.of("pixels"), *server.log.of("value")]
    charged = sum(entry.eecu_seconds for entry in asked)
    assert charged > 0
    spent = session.meter.spent
    assert spent.requests == len(asked) == 3
    assert spent.bytes == sum(entry.sent for entry in asked)
    session.meter.settle(session)
    assert session.meter.spent.eecu_seconds == pytest.approx(charged, abs=1e-6)
    assert session.meter.spent.unmeasured == 0


def test_an_export_is_started_with_one_request_and_followed_with_one_each(session, server) -> None:
    params = {
        "expression": ee.Image.constant([0, 1]),
        "description": "cell",
        "fileExportOptions": {
            "fileFormat": "GEO_TIFF",
            "cloudStorageDestination": {"bucket": "bucket", "filenamePrefix": "cell"},
        },
        "grid": pixel_grid(geobox()),
    }
    server.script("export", Answer.error(503, "The service is currently unavailable."))
    with pytest.raises(Fault) as caught:
        session.start_export(params, "run-1-cell-1")
    assert caught.value.kind is FaultKind.LATER
    first, again = (session.start_export(params, "run-1-cell-1") for _ in range(2))
    assert first["name"] == again["name"]
    assert session.operation(first["name"])["name"] == first["name"]
    assert statuses(server, "export") == [503, 200, 200]
    assert statuses(server, "operation") == [200]
    assert session.meter.spent.unmeasured == 0, "a task's time is not a request's"
