"""From settings to the one initialised Earth Engine client of a process, and single requests through it."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, TypeVar

import ee
import google.auth
import google.auth.credentials
import google.auth.exceptions
from ee import deprecation, oauth
from ee._state import EEState  # see client_state
from google.auth import _cloud_sdk, environment_vars  # gcloud's file has no public name; ee asks here too
from google.oauth2.credentials import Credentials
from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client import client_state
from gee_pipeline.earthengine.client.faults import (
    FAILURES,
    NO_PROJECT,
    Fault,
    FaultKind,
    access_error,
    fault_of,
)
from gee_pipeline.earthengine.client.limiter import Limiter
from gee_pipeline.earthengine.client.retry import persistently
from gee_pipeline.earthengine.client.settings import PROJECT_LIMIT, EarthEngineSettings
from gee_pipeline.earthengine.client.spending import Meter
from gee_pipeline.earthengine.client.transport import Transport
from gee_pipeline.errors import AccessError, NoCredentialsError, NoProjectError
from gee_pipeline.grid import name_crs

T = TypeVar("T")

ExportKind = Literal["image", "table", "classifier"]
"""What a task exports."""

_UNREADABLE: Final = (OSError, ValueError, TypeError, AttributeError)
"""What Google's clients raise of a file that is none of theirs; the last two of JSON in another shape."""

OPENING_DEADLINE: Final = 60.0
"""Seconds for each of the first requests: they compute nothing, and who waits is a person."""

OPENING_TRIES: Final = 3

RESTRICTED_REQUESTS: Final = 2
"""Requests at once in restricted mode."""

RESTRICTED_NOTICE: Final = (
    "The project {project} has used up its noncommercial computing quota and is in restricted mode: "
    f"cropmap now makes {RESTRICTED_REQUESTS} requests at a time, and the run takes longer. See "
    "https://developers.google.com/earth-engine/guides/noncommercial_tiers."
)

NO_CREDENTIALS: Final = (
    "Earth Engine needs credentials, and none were found. Do one of these: run `cropmap ee login`; "
    "run `gcloud auth application-default login`; or give the key of a service account with "
    "--service-account KEY.json. To map without Earth Engine, name a STAC catalog or API with --source."
)

WORKLOAD: Final = "cropmap"
"""Workload tag of requests that belong to no run."""

_NOISY: Final = ("googleapiclient.http", "google.auth._default", "google_auth_httplib2")
"""Loggers that write to stderr what the errors and notices of cropmap say."""


@dataclass(frozen=True)
class Access:
    """Who asks, and for which project."""

    credentials: google.auth.credentials.Credentials
    """Credentials of google-auth."""
    project: str
    """Google Cloud project that pays and counts."""


@dataclass(eq=False)
class Session:
    """The client of this process: each method makes exactly one request and raises `Fault` if it fails.

    The client keeps its state for the whole process, so there is one session at a time; `connect` gives it.
    """

    settings: EarthEngineSettings
    """How Earth Engine is reached."""
    project: str
    """Google Cloud project that pays and counts."""
    limiter: Limiter
    """Requests at once; who asks in parallel goes through it."""
    transport: Transport
    """Connections of the client."""
    meter: Meter = field(default_factory=Meter)
    """Requests, bytes and computing time so far."""
    state: EEState = field(default_factory=client_state.fresh)
    """What the client holds for this session."""
    _notices: list[str] = field(default_factory=list)
    _noticed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _of_thread: threading.local = field(default_factory=threading.local)

    def pixels(self, image: ee.Image, geobox: GeoBox, *, file_format: str = "GEO_TIFF") -> bytes:
        """The pixels of an image on a grid, as a file.

        Args:
            image: What to compute.
            geobox: CRS, transform and shape of the pixels.
            file_format: Name of an Earth Engine ImageFileFormat.

        Raises:
            Fault: The request failed.
        """
        params = {"expression": image, "fileFormat": file_format, "grid": pixel_grid(geobox)}
        return self._ask(lambda: ee.data.computePixels(params))

    def value(self, expression: ee.ComputedObject, *, profiled: bool = True) -> Any:
        """The value of an expression, as JSON values.

        Args:
            expression: What to compute.
            profiled: False leaves its computing time unmeasured on purpose.

        Raises:
            Fault: The request failed.
        """
        return self._ask(lambda: ee.data.computeValue(expression), profiled=profiled)

    def start_export(
        self, params: dict[str, Any], request_id: str, kind: ExportKind = "image"
    ) -> dict[str, Any]:
        """Start a task that writes files or an asset; the operation that it is.

        Args:
            params: A REST ExportImageRequest, ExportTableRequest or ExportClassifierRequest; its expression
                may be the object itself.
            request_id: The same id starts the same task once, however often it is asked for.
            kind: What is exported.

        Raises:
            Fault: The request failed.
        """
        export = {
            "image": ee.data.exportImage,
            "table": ee.data.exportTable,
            "classifier": ee.data.exportClassifier,
        }[kind]
        return self._ask(lambda: export(request_id, params), profiled=False)

    def start_import(self, params: dict[str, Any], request_id: str) -> dict[str, Any]:
        """Start a task that ingests an image asset from files in Cloud Storage; the operation that it is.

        Args:
            params: A REST ImportImageRequest.
            request_id: The same id starts the same task once, however often it is asked for.

        Raises:
            Fault: The request failed.
        """
        return self._ask(lambda: _import_image({**params, "requestId": request_id}), profiled=False)

    def asset(self, name: str) -> dict[str, Any] | None:
        """What Earth Engine says of an asset, such as its type; None where there is none of this name.

        Args:
            name: `projects/.../assets/...`.

        Raises:
            Fault: The request failed.
        """
        try:
            return self._ask(lambda: ee.data.getAsset(name), profiled=False)
        except Fault as fault:
            if fault.status == 404 and fault.kind is FaultKind.NEVER:
                return None
            raise

    def operation(self, name: str) -> dict[str, Any]:
        """The state of a task.

        Args:
            name: `projects/.../operations/...`.

        Raises:
            Fault: The request failed.
        """
        return self._ask(lambda: ee.data.getOperation(name), profiled=False)

    def operations(self) -> list[dict[str, Any]]:
        """The tasks of the project, newest first: those at work, and those of the last days.

        Raises:
            Fault: The request failed.
        """
        return self._ask(lambda: list(ee.data.listOperations()), profiled=False)

    def label(self, name: str) -> None:
        """The workload tag of all requests and tasks that follow, by which Cloud Monitoring attributes costs.

        Args:
            name: Up to 63 lower-case letters, digits, hyphens and underscores.
        """
        self.state.workload_tag.set(name)

    def notice(self, text: str) -> None:
        """Keep one sentence for the user; the same sentence is kept once."""
        with self._lock:
            if text not in self._noticed:
                self._noticed.add(text)
                self._notices.append(text)

    def take_notices(self) -> list[str]:
        """What the user should know since the last call, one sentence each."""
        with self._lock:
            notices, self._notices = self._notices, []
        return notices

    def hear(self, size: int, restricted: bool) -> None:
        """Take note of an answer in the thread that asked.

        Args:
            size: Bytes of the answer.
            restricted: The server says that the project is in restricted mode.
        """
        self._of_thread.size = getattr(self._of_thread, "size", 0) + size
        if restricted:
            self.limiter.restrict(RESTRICTED_REQUESTS)
            self.notice(RESTRICTED_NOTICE.format(project=self.project))

    def _ask(self, request: Callable[[], T], *, profiled: bool = True) -> T:
        if _open is not self:
            raise RuntimeError("Another Earth Engine session took this one's place; ask connect() for it.")
        profiles: list[str] = []
        self._of_thread.size = 0
        fault = None
        try:
            with (
                client_state.in_place(self.state),
                ee.data.profiling(profiles.append if profiled else None),
            ):
                return request()
        except FAILURES as error:
            fault = fault_of(error)
            raise fault from error
        finally:
            computed = profiled and (fault is None or fault.kind in _COMPUTED)
            self.meter.count(self._of_thread.size, profiles, computed=computed)


_COMPUTED: Final = (FaultKind.LATER, FaultKind.TOO_LARGE)
"""Faults of requests that may have cost computing time."""

_lock = threading.Lock()
_open: Session | None = None


def connect(settings: EarthEngineSettings, *, sleep: Callable[[float], None] = time.sleep) -> Session:
    """The session of this process; opened once, safe to call from many threads.

    Other settings than last time open a new session in place of the old one, because the client keeps its
    state for the whole process.

    Args:
        settings: Project, credentials, endpoint and limits.
        sleep: Waits a number of seconds between tries.

    Raises:
        AccessError: There are no credentials or no project, or Earth Engine does not let them in.
    """
    global _open
    with _lock:
        if _open is None or _open.settings != settings:
            _open = None
            _open = _connect(settings, sleep)
        return _open


def opened(settings: EarthEngineSettings) -> Session | None:
    """The session of this process where it is open and has these settings; nothing is opened."""
    with _lock:
        return _open if _open is not None and _open.settings == settings else None


def disconnect() -> None:
    """Forget the session and the state of the client; the next `connect` starts again."""
    global _open
    with _lock:
        if _open is not None:
            _open.transport.close()
        _open = None
        with client_state.in_place(client_state.fresh()):
            ee.Reset()


def _import_image(body: dict[str, Any]) -> dict[str, Any]:
    """As `ee.data.startIngestion`, which sends neither the request's id (1.7.50) nor a description."""
    images = ee.data._get_cloud_projects().image()
    call = images.import_(project=ee.data._get_projects_path(), body=body)
    answer: dict[str, Any] = ee.data._execute_cloud_call(call)
    return answer


def pixel_grid(geobox: GeoBox) -> dict[str, Any]:
    """A geobox as Earth Engine's PixelGrid; a scale and a region would leave the origin to the server."""
    height, width = geobox.shape
    a, b, c, d, e, f = geobox.transform[:6]
    name = name_crs(geobox.crs)
    crs = {"crsCode": name} if name.startswith("EPSG:") else {"crsWkt": _wkt(geobox)}
    return crs | {
        "dimensions": {"width": width, "height": height},
        "affineTransform": {
            "scaleX": a,
            "shearX": b,
            "translateX": c,
            "shearY": d,
            "scaleY": e,
            "translateY": f,
        },
    }


def _wkt(geobox: GeoBox) -> str:
    assert geobox.crs is not None
    return geobox.crs.to_wkt()


def find_access(settings: EarthEngineSettings) -> Access:
    """Credentials in the order of how plainly they were asked for, and the project they work for.

    The key of `--service-account`; else application default credentials; else those that `earthengine
    authenticate` stored. The last two are taken in this order where they are files. Asking the metadata
    server of Google's own machines comes last: on another machine it can take seconds to fail.

    Raises:
        AccessError: There are none, they cannot be read, or they name no project and neither do the settings.
    """
    credentials, project = _credentials(settings)
    project = settings.project or credentials.quota_project_id or project
    if not project or oauth.is_sdk_project(project):
        raise NoProjectError(NO_PROJECT)
    if credentials.quota_project_id:  # the client sends the project itself; one object, so one token
        credentials = credentials.with_quota_project(None)
    return Access(credentials, project)


def _connect(settings: EarthEngineSettings, sleep: Callable[[float], None]) -> Session:
    access = find_access(settings)
    transport = Transport(min(OPENING_DEADLINE, settings.deadline), connections=PROJECT_LIMIT)
    session = Session(settings, access.project, Limiter(most=settings.most_requests), transport)
    transport.on_answer = session.hear
    try:
        session.state = persistently(
            functools.partial(_initialize, settings, access, transport),
            sleep=sleep,
            random=Random(),
            tries=OPENING_TRIES,
        )
    except Fault as fault:
        raise _not_opened(fault, settings, access.project) from fault
    transport.deadline = settings.deadline
    session.label(WORKLOAD)
    return session


def _initialize(settings: EarthEngineSettings, access: Access, transport: Transport) -> EEState:
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with client_state.in_place(client_state.fresh()):
            ee.Reset()
            _leave_out_deprecation_catalog()
            ee.data.setMaxRetries(0)  # every refusal is ours to see: the limiter lives on them
            ee.Initialize(
                access.credentials, url=settings.url, project=access.project, http_transport=transport
            )
            return client_state.current()
    except FAILURES as error:
        raise fault_of(error) from error


def _leave_out_deprecation_catalog() -> None:
    """Keep the client from fetching a list of deprecated data sets over the internet.

    It would ask storage.googleapis.com without a timeout, past our transport: a hang where packets are
    dropped. It does not where the list is not empty.
    """
    deprecation.deprecated_assets[""] = deprecation.DeprecatedAsset("", None, None, None)


def _not_opened(fault: Fault, settings: EarthEngineSettings, project: str) -> AccessError:
    if fault.kind is FaultKind.ACCESS:
        return access_error(fault, project)
    url = settings.url or ee.data.DEFAULT_CLOUD_API_BASE_URL
    said = fault.message.rstrip(".")
    if fault.temporary:
        return AccessError(
            f"Earth Engine at {url} does not answer: {said}. Check the network and try again; to map without "
            "Earth Engine, name a STAC catalog or API with --source."
        )
    return AccessError(
        f"There is no Earth Engine at {url}: {said}. Check the environment variable CROPMAP_EE_URL."
    )


def _credentials(settings: EarthEngineSettings) -> tuple[Any, str | None]:
    if settings.service_account:
        return _service_account(settings.service_account)
    if not _default_file() and (found := _stored_credentials()):
        return found
    if found := _default_credentials():
        return found
    raise NoCredentialsError(NO_CREDENTIALS)


def _service_account(path: Path) -> tuple[Any, str | None]:
    try:
        credentials = ee.ServiceAccountCredentials(None, str(path))
    except _UNREADABLE as error:
        said = str(error).rstrip(".")
        raise AccessError(
            f"The key of a service account cannot be read from {path}: {said}. Give the JSON file that "
            "Google Cloud made with --service-account."
        ) from error
    return credentials, credentials.project_id


def _default_file() -> bool:
    """Whether somebody chose default credentials: a file is named, or gcloud wrote one."""
    named = os.environ.get(environment_vars.CREDENTIALS)
    return bool(named) or _gcloud_file().exists()


def _gcloud_file() -> Path:
    return Path(_cloud_sdk.get_application_default_credentials_path())  # type: ignore[no-untyped-call]


def _default_credentials() -> tuple[Any, str | None] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on quota projects; --project says which one
            return google.auth.default(scopes=oauth.SCOPES)
    except (google.auth.exceptions.DefaultCredentialsError, *_UNREADABLE) as error:
        if not _default_file():
            return None
        raise AccessError(
            f"The application default credentials cannot be read: {error}. Log in again with `gcloud auth "
            "application-default login`, or give a key with --service-account KEY.json."
        ) from error


def _stored_credentials() -> tuple[Any, str | None] | None:
    try:
        arguments = oauth.get_credentials_arguments()
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        raise AccessError(
            f"The stored credentials in {oauth.get_credentials_path()} cannot be read: {error}. Run "
            "`cropmap ee login` again."
        ) from error
    if not arguments["refresh_token"]:
        return None
    return Credentials(None, **arguments), None  # type: ignore[no-untyped-call]
