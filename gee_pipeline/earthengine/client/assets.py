"""Assets of Earth Engine: how they are named, asked for and written, and what may stand in the way."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random
from typing import Any, Final, TypeVar

import ee
from ee import serializer

from gee_pipeline.earthengine.client.faults import WRITER_ROLES, Fault, FaultKind, access_error, request_error
from gee_pipeline.earthengine.client.retry import TRIES, persistently
from gee_pipeline.earthengine.client.session import WORKLOAD, ExportKind, Session
from gee_pipeline.errors import AccessError, InputError

T = TypeVar("T")

REQUEST_LIMIT: Final = 10_485_760
"""Bytes of one request's body that Earth Engine takes at most."""

TEXT_LIMIT: Final = 100_000
"""Characters that one string in a table asset has at most (Earth Engine's guide to exporting tables)."""

ENVELOPE_BYTES: Final = 2_048
"""What a request holds besides the trees: names, modes and nodes of the expression; plenty."""

TABLE_BYTES: Final = 5_000_000
"""Bytes of contents that the request for one table holds at most: half of the limit."""

ROW_BYTES: Final = 512
"""What a feature adds to a request besides its text."""

_ASSET: Final = re.compile(r"projects/[a-z0-9.:-]+/assets(/[A-Za-z0-9_-]+)+")


@dataclass(frozen=True)
class AssetRequest:
    """A request for a task that writes one asset; nothing is sent."""

    kind: ExportKind
    """Table or classifier, which are computed; or an image, which is ingested from files."""
    asset: str
    """What it writes."""
    name: str
    """Marks the request, and names its task; letters, digits and hyphens, at most 60."""
    body: dict[str, Any]
    """The rest of it, its expression in the form that is sent."""

    @cached_property
    def bytes(self) -> int:
        """Size of its body as it is sent."""
        return json_bytes({**self.body, "requestId": self.name, "workloadTag": WORKLOAD})

    def start(self, session: Session) -> dict[str, Any]:
        """Send it; Earth Engine's operation.

        Raises:
            Fault: The request failed.
        """
        if self.kind == "image":
            return session.start_import(self.body, self.name)
        return session.start_export(self.body, self.name, self.kind)


def json_bytes(values: Any) -> int:
    """Size of JSON values in a request: line ends and the like take two bytes."""
    return len(json.dumps(values))  # the client's own form, which is ASCII


def asset_request(kind: ExportKind, asset: str, name: str, task: ee.batch.Task) -> AssetRequest:
    """The request that starts an export to an asset, as it is sent."""
    body = dict(task.config or {})
    body["expression"] = serializer.encode(body["expression"], for_cloud_api=True)
    return AssetRequest(kind, asset, name, body)


def table_request(
    rows: Sequence[Mapping[str, int | str]], asset: str, name: str, *, overwrite: bool
) -> AssetRequest:
    """The request that makes a table asset.

    Args:
        rows: Properties of each feature, in order.
        asset: What it writes.
        name: Marks the request, and names its task.
        overwrite: Whether an asset that exists is replaced.
    """
    nowhere = ee.Geometry.Point([0, 0])  # a table takes no features without a geometry
    features = [ee.Feature(nowhere, dict(row)) for row in rows]
    task = ee.batch.Export.table.toAsset(
        ee.FeatureCollection(features), description=name, assetId=asset, overwrite=overwrite
    )
    return asset_request("table", asset, name, task)


def table_parts(rows: Iterable[T], bytes_of: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """The rows of each table, in order: as many as `limit` bytes hold, one at least."""
    part: list[T] = []
    size = 0
    for row in rows:
        more = bytes_of(row)
        if part and size + more > limit:
            yield part
            part, size = [], 0
        part.append(row)
        size += more
    if part:
        yield part


def rows_of_tables(assets: Sequence[str]) -> ee.FeatureCollection:
    """The rows of some tables together, in no order."""
    return ee.FeatureCollection([ee.FeatureCollection(asset) for asset in assets]).flatten()


def is_there(session: Session, asset: str, *, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Whether there is an asset of a name, asked again after faults that pass.

    Raises:
        AccessError: Earth Engine does not let us in, or not to the asset.
        EarthEngineError: It was refused, or not answered in all tries.
    """
    return answered(session, partial(session.asset, asset), asset, sleep=sleep) is not None


def require_asset_name(asset: str) -> None:
    """Refuse what is not the name of an asset in a Cloud project.

    Raises:
        InputError: It is not one.
    """
    if not _ASSET.fullmatch(asset):
        raise InputError(
            "--asset takes projects/PROJECT/assets/NAME, also with folders before the name; names have "
            f"letters, digits, '-' and '_'. Got {asset!r}."
        )


def require_place(
    session: Session,
    assets: Sequence[str],
    kind: ExportKind,
    *,
    overwrite: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Refuse assets that could not be written, or would replace others without request or of another type.

    Args:
        session: Session of Earth Engine.
        assets: What is to be written, all in one folder.
        kind: What these are.
        overwrite: Whether assets that exist are to be replaced.
        sleep: Waits a number of seconds between tries.

    Raises:
        AccessError: Earth Engine does not let us in, or not to these assets.
        InputError: The folder does not exist, or one of the assets does and is not to be replaced.
    """
    if not assets:
        return
    _require_folder(session, assets[0].rpartition("/")[0], sleep)
    for asset in assets:
        found = answered(session, partial(session.asset, asset), asset, sleep=sleep)
        if found is not None:
            _require_replaceable(asset, str(found.get("type", "asset")), kind, overwrite)


def answered(
    session: Session, ask: Callable[[], T], asset: str, *, sleep: Callable[[float], None] = time.sleep
) -> T:
    """The answer to a request about an asset, asked again after faults that pass.

    Args:
        session: Session of Earth Engine.
        ask: Makes the request once.
        asset: What it is about; its project is named where access is missing.
        sleep: Waits a number of seconds between tries.

    Raises:
        AccessError: Earth Engine does not let us in, or not to the asset.
        EarthEngineError: It was refused, or not answered in all tries.
    """
    try:
        return persistently(ask, sleep=sleep, random=Random())
    except Fault as fault:
        if fault.kind is FaultKind.ACCESS:
            raise asset_access_error(fault, asset) from fault
        raise request_error(fault, TRIES) from fault


def asset_access_error(fault: Fault, asset: str) -> AccessError:
    """The message for a lack of access to an asset.

    Args:
        fault: A fault of the kind ACCESS.
        asset: What was asked for.
    """
    return access_error(fault, project_of(asset), roles=WRITER_ROLES)


def project_of(asset: str) -> str:
    """The Cloud project that an asset belongs to."""
    return asset.split("/")[1]


def _require_folder(session: Session, folder: str, sleep: Callable[[float], None]) -> None:
    if folder == f"projects/{project_of(folder)}/assets":
        return
    found = answered(session, lambda: session.asset(folder), folder, sleep=sleep)
    if found is None:
        raise InputError(
            f"An asset lies in a folder that exists, and there is no {folder}. Make it with `earthengine "
            f"create folder {folder}`, or choose another place with --asset."
        )
    if found.get("type") != "FOLDER":
        raise InputError(
            f"An asset lies in a folder, and {folder} is not a folder but an asset ({found.get('type')}). "
            "Choose another place with --asset."
        )


def _require_replaceable(asset: str, found: str, kind: ExportKind, overwrite: bool) -> None:
    if overwrite and found != kind.upper():
        raise InputError(
            f"--overwrite replaces assets of the same type ({kind}), and {asset} is of another type "
            f"({found.lower()}). Choose another name with --asset."
        )
    if not overwrite:
        raise InputError(
            f"An asset is replaced only on request, and {asset} exists already ({found.lower()}). Choose "
            "another name with --asset, or replace it with --overwrite."
        )
