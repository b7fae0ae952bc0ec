"""What each address of the emulator answers: Earth Engine, tokens, Cloud Storage and Drive."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, unquote

import numpy as np

from tests.support.ee_emulator.assets import check_name
from tests.support.ee_emulator.exports import Export
from tests.support.ee_emulator.faults import Refusal, bad_token, foreign_project, no_token, unknown_field
from tests.support.ee_emulator.log import LoggedRequest
from tests.support.ee_emulator.pixels import (
    PAYLOAD_LIMIT,
    asked_grid,
    check_size,
    chosen,
    encode,
    may_be_too_large,
)
from tests.support.ee_emulator.profiles import asked_profiles, cost

if TYPE_CHECKING:
    from tests.support.ee_emulator.server import Emulator

_LEGACY_PROJECT: Final = "earthengine-legacy"
"""What the client names when it was given no project: that of the service account counts."""


@dataclass(frozen=True)
class Reply:
    """Status, bytes and headers of an answer."""

    body: bytes
    status: int = 200
    kind: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One request, read and understood as far as its address goes."""

    emulator: Emulator
    entry: LoggedRequest
    parts: tuple[str, ...]
    """Parts of the path that the route leaves open."""
    query: Mapping[str, str]
    raw: bytes
    authorization: str

    def body(self) -> dict[str, Any]:
        """The JSON that was sent."""
        if self.entry.body is None:
            raise Refusal(400, "Invalid JSON payload received.")
        return self.entry.body


Service = Callable[[Call], Reply]


def route(method: str, path: str) -> tuple[str, tuple[str, ...], Service]:
    """Kind, open parts and service of an address."""
    for known, pattern, kind, service in _ROUTES:
        match = re.fullmatch(pattern, path)
        if match and known == method:
            return kind, tuple(unquote(part) for part in match.groups()), service
    return "unknown", (), _unknown


def refused(call: Call) -> Refusal | None:
    """Why a request is not even looked at: its size, its token, its project."""
    if len(call.raw) > PAYLOAD_LIMIT:
        return Refusal(400, f"Request payload size exceeds the limit: {PAYLOAD_LIMIT} bytes.")
    return _refused_token(call) or _refused_project(call)


def _refused_token(call: Call) -> Refusal | None:
    kind, emulator = call.entry.kind, call.emulator
    if emulator.anonymous or kind in ("discovery", "token"):
        return None
    scheme, _, token = call.authorization.partition(" ")
    if not token:
        public = kind == "storage" and not emulator.private_storage
        return None if public else no_token()
    return None if scheme == "Bearer" and emulator.tokens.good(token) else bad_token()


def _refused_project(call: Call) -> Refusal | None:
    if not call.entry.path.startswith("/v1/") or not call.parts:
        return None
    mine = call.emulator.project
    if call.entry.kind != "asset" and call.parts[0] not in (mine, _LEGACY_PROJECT):
        return foreign_project(call.parts[0])
    asked = call.entry.headers.get("x-goog-user-project", mine)
    return None if asked == mine else foreign_project(asked)


def _told(value: Any) -> Reply:
    return Reply(json.dumps(value, default=_plain).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise Refusal(400, f"The emulator cannot tell a {type(value).__name__} as JSON.")


def _unknown(call: Call) -> Reply:
    raise Refusal(404, f"The emulator does not know {call.entry.method} {call.entry.path}.")


# Earth Engine


def _discovery(call: Call) -> Reply:
    if call.query.get("version") != "v1":
        raise Refusal(404, f"The emulator speaks v1 only, not {call.query.get('version')}.")
    root = f"{call.emulator.url}/"
    return _told(_discovery_document() | {"rootUrl": root, "baseUrl": root})


@lru_cache(maxsize=1)
def _discovery_document() -> dict[str, Any]:
    """The packaged document as version 1, with `classifier:export`, which it lacks."""
    text = (resources.files("ee") / "tests" / "cloud_api_discovery_document.json").read_text()
    document = json.loads(text.replace("v1alpha", "v1"))
    projects = document["resources"]["projects"]["resources"]
    image = json.dumps({"methods": {"export": projects["image"]["methods"]["export"]}})
    classifier = image.replace("image:export", "classifier:export").replace("image.", "classifier.")
    projects["classifier"] = json.loads(classifier)
    return document


def _algorithms(call: Call) -> Reply:
    return Reply(_packaged_algorithms())


@lru_cache(maxsize=1)
def _packaged_algorithms() -> bytes:
    return (resources.files("ee") / "tests" / "algorithms.json").read_bytes()


def _token(call: Call) -> Reply:
    return Reply(call.emulator.tokens.grant(dict(parse_qsl(call.raw.decode()))))


def _value(call: Call) -> Reply:
    body = call.body()
    if unknown := set(body) - {"expression", "workloadTag"}:
        raise unknown_field(min(unknown))
    profiles = asked_profiles(body["expression"])
    if profiles is not None:
        return _told({"result": call.emulator.profiles.table(profiles)})
    reply = _told({"result": call.emulator.plain(call.emulator.value(body["expression"]))})
    call.entry.eecu_seconds = cost(0)
    return reply


def _pixels(call: Call) -> Reply:
    body, emulator = call.body(), call.emulator
    grid = call.entry.grid = asked_grid(body)
    names = body.get("bandIds", [])
    image = emulator.value(body["expression"])
    if may_be_too_large(grid):
        check_size(chosen(emulator.bands(image, grid.corner()), names), grid)
    bands = chosen(emulator.bands(image, grid), names)
    check_size(bands, grid)
    call.entry.bands = tuple(name for name, _, _ in bands)
    call.entry.eecu_seconds = cost(len(bands) * grid.width * grid.height)
    return Reply(encode(bands, grid, body["fileFormat"]), kind="application/octet-stream")


def _export_image(call: Call) -> Reply:
    task = call.emulator.tasks.start(call.body(), "EXPORT_IMAGE")
    if isinstance(task.export, Export):
        call.entry.grid = task.export.grid
    return _told(task.resource())


def _export_classifier(call: Call) -> Reply:
    return _told(call.emulator.tasks.start(call.body(), "EXPORT_CLASSIFIER").resource())


def _export_table(call: Call) -> Reply:
    return _told(call.emulator.tasks.start(call.body(), "EXPORT_FEATURES").resource())


def _import_image(call: Call) -> Reply:
    return _told(call.emulator.tasks.start(call.body(), "INGEST_IMAGE").resource())


def _asset(call: Call) -> Reply:
    return _told(call.emulator.assets.get(_asset_name(call)))


def _delete_asset(call: Call) -> Reply:
    _require_own(call)
    call.emulator.assets.delete(_asset_name(call))
    return _told({})


def _create_asset(call: Call) -> Reply:
    """Folders only; the rest comes from tasks."""
    _require_own(call)
    body = call.body()
    if unknown := set(body) - {"type", "name", "properties"}:
        raise unknown_field(min(unknown))
    if body.get("type") != "FOLDER":
        raise Refusal(400, f"The emulator creates folders only, no {body.get('type')!r}.")
    name = f"projects/{call.parts[0]}/assets/{call.query.get('assetId', '')}"
    return _told(call.emulator.assets.create_folder(name))


def _assets(call: Call) -> Reply:
    """What is in a folder, or in a project."""
    if unknown := set(call.query) - {"pageSize", "pageToken", "view", "alt", "prettyPrint", "key"}:
        raise Refusal(400, f"The emulator lists assets without {min(unknown)}.")
    parent = f"projects/{call.parts[0]}/assets" if len(call.parts) == 1 else _asset_name(call)
    first, size = int(call.query.get("pageToken", 0)), int(call.query.get("pageSize", 0))
    return _told(call.emulator.assets.listing(parent, first, size))


def _asset_name(call: Call) -> str:
    name = f"projects/{call.parts[0]}/assets/{call.parts[1]}"
    check_name(name)
    return name


def _require_own(call: Call) -> None:
    if call.parts[0] != call.emulator.project:
        raise Refusal(
            403, f"Permission denied on the assets of project {call.parts[0]} (earthengine.assets.create)."
        )


def _operations(call: Call) -> Reply:
    return _told(call.emulator.tasks.listing(call.query))


def _operation(call: Call) -> Reply:
    return _told(call.emulator.tasks.look(_operation_name(call)))


def _cancel(call: Call) -> Reply:
    return _told(call.emulator.tasks.cancel(_operation_name(call)))


def _operation_name(call: Call) -> str:
    return f"projects/{call.emulator.project}/operations/{call.parts[1]}"


# Cloud Storage


def _bucket(call: Call) -> Reply:
    return _told(call.emulator.storage.bucket_metadata(call.parts[0]))


def _objects(call: Call) -> Reply:
    return _told(call.emulator.storage.listing(call.parts[0], call.query, call.emulator.url))


def _object(call: Call) -> Reply:
    bucket, name = call.parts
    metadata = call.emulator.storage.metadata(bucket, name, call.emulator.url)
    if call.query.get("generation", metadata["generation"]) != metadata["generation"]:
        raise Refusal(404, f"No such object: {bucket}/{name}#{call.query['generation']}")
    if call.query.get("alt") != "media" and not call.entry.path.startswith("/download/"):
        return _told(metadata)
    hashes = {"X-Goog-Hash": f"crc32c={metadata['crc32c']},md5={metadata['md5Hash']}"}
    return _media(call, call.emulator.storage.get(bucket, name), hashes)


def _upload(call: Call) -> Reply:
    """An object in one request, or the beginning or a part of a resumable upload."""
    bucket, storage, root = call.parts[0], call.emulator.storage, call.emulator.url
    if call.query.get("uploadType") == "multipart":
        name, data = _two_parts(call.raw, call.entry.headers["content-type"])
        storage.upload(bucket, name, data)
        return _told(storage.metadata(bucket, name, root))
    name = call.query["name"]
    if "upload_id" not in call.query:
        address = f"{root}/upload/storage/v1/b/{bucket}/o?name={quote(name)}&upload_id="
        return Reply(b"", headers={"Location": address + storage.begin_upload(bucket)})
    whole = storage.go_on_with(call.query["upload_id"], call.raw)
    last, size = re.fullmatch(r"bytes \d+-(\d+)/(\d+)", call.entry.headers["content-range"]).groups()
    if int(last) + 1 < int(size):
        return Reply(b"", status=308, headers={"Range": f"bytes=0-{last}"})
    storage.upload(bucket, name, whole)
    return _told(storage.metadata(bucket, name, root))


def _two_parts(raw: bytes, kind: str) -> tuple[str, bytes]:
    """Name and bytes of an object in a body of type multipart/related."""
    mark = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    _, about, data, _ = raw.split(mark)
    name = json.loads(about.partition(b"\n\n")[2])["name"]
    return name, data.partition(b"\n\n")[2].removesuffix(b"\n")


def _delete_object(call: Call) -> Reply:
    call.emulator.storage.delete(*call.parts)
    return Reply(b"", status=204)


# Drive


def _files(call: Call) -> Reply:
    return _told(call.emulator.drive.listing(call.query))


def _file(call: Call) -> Reply:
    file = call.emulator.drive.get(call.parts[0])
    return _media(call, file.data, {}) if call.query.get("alt") == "media" else _told(file.resource())


def _delete_file(call: Call) -> Reply:
    call.emulator.drive.delete(call.parts[0])
    return Reply(b"", status=204)


def _media(call: Call, data: bytes, headers: dict[str, str]) -> Reply:
    """A file's bytes, or the part that a Range header asks for."""
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", call.entry.headers.get("range", ""))
    if wanted is None:
        return Reply(data, kind="image/tiff", headers=headers)
    first, last = wanted.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        return Reply(b"", status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
    return Reply(data[start : end + 1], status=206, kind="image/tiff", headers=headers | span)


_ROUTES: Final[tuple[tuple[str, str, str, Service], ...]] = (
    ("GET", r"/\$discovery/rest", "discovery", _discovery),
    ("POST", r"/token", "token", _token),
    ("GET", r"/v1/projects/([^/]+)/algorithms", "algorithms", _algorithms),
    ("POST", r"/v1/projects/([^/]+)/value:compute", "value", _value),
    ("POST", r"/v1/projects/([^/]+)/image:computePixels", "pixels", _pixels),
    ("POST", r"/v1/projects/([^/]+)/image:export", "export", _export_image),
    ("POST", r"/v1/projects/([^/]+)/image:import", "import", _import_image),
    ("POST", r"/v1/projects/([^/]+)/classifier:export", "export", _export_classifier),
    ("POST", r"/v1/projects/([^/]+)/table:export", "export", _export_table),
    ("GET", r"/v1/projects/([^/]+):listAssets", "asset", _assets),
    ("GET", r"/v1/projects/([^/]+)/assets/(.+):listAssets", "asset", _assets),
    ("GET", r"/v1/projects/([^/]+)/assets/([^:]+)", "asset", _asset),
    ("DELETE", r"/v1/projects/([^/]+)/assets/([^:]+)", "asset", _delete_asset),
    ("POST", r"/v1/projects/([^/]+)/assets", "asset", _create_asset),
    ("GET", r"/v1/projects/([^/]+)/operations", "operations", _operations),
    ("GET", r"/v1/projects/([^/]+)/operations/([A-Z0-9]+)", "operation", _operation),
    ("POST", r"/v1/projects/([^/]+)/operations/([A-Z0-9]+):cancel", "operation", _cancel),
    ("GET", r"/storage/v1/b/([^/]+)", "storage", _bucket),
    ("GET", r"/storage/v1/b/([^/]+)/o", "storage", _objects),
    ("GET", r"(?:/download)?/storage/v1/b/([^/]+)/o/(.+)", "storage", _object),
    ("POST", r"/upload/storage/v1/b/([^/]+)/o", "upload", _upload),
    ("DELETE", r"/storage/v1/b/([^/]+)/o/(.+)", "storage", _delete_object),
    ("GET", r"/drive/v3/files", "drive", _files),
    ("GET", r"/drive/v3/files/([^/]+)", "drive", _file),
    ("DELETE", r"/drive/v3/files/([^/]+)", "drive", _delete_file),
)

KINDS: Final = tuple(dict.fromkeys(kind for _, _, kind, _ in _ROUTES))
"""Kinds of requests, as the log and scripts name them."""
