"""Trees as assets of Earth Engine: how they are asked for, how large that is, and how the servers read them.

A classifier asset is an ensemble with its output mode. A table asset holds one tree a feature, as text with
`#` in place of line ends: several tables together hold more than one request may carry.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random
from typing import Any, Final, TypeVar

import ee
from ee import serializer

from gee_pipeline.earthengine.client.faults import WRITER_ROLES, Fault, FaultKind, access_error, request_error
from gee_pipeline.earthengine.client.retry import TRIES, persistently
from gee_pipeline.earthengine.client.session import WORKLOAD, ExportKind, Session
from gee_pipeline.earthengine.forest.deploy_options import Confidence, Way
from gee_pipeline.errors import AccessError, InputError

T = TypeVar("T")

REQUEST_LIMIT: Final = 10_485_760
"""Bytes of one request's body that Earth Engine takes at most."""

TABLE_BYTES: Final = 5_000_000
"""Bytes of trees that the request for one table holds at most: half of the limit."""

TEXT_LIMIT: Final = 100_000
"""Characters that one string in a table asset has at most (Earth Engine's guide to exporting tables)."""

ENVELOPE_BYTES: Final = 2_048
"""What a request holds besides the trees: names, modes and nodes of the expression; plenty."""

REST_OF_REQUEST: Final = 2 * 2**20
"""What a request for predictions holds besides trees at most: medians, filling and features of 73 bins."""

MODES: Final[dict[Confidence, str]] = {
    "votes": "RAW",
    "probability": "REGRESSION",
    "none": "CLASSIFICATION",
}
"""Output mode of an ensemble."""

LINE_END: Final = "#"
"""What stands for a line end in a table."""

ROW_BYTES: Final = 512
"""What a feature adds to a request besides its tree."""

_ASSET: Final = re.compile(r"projects/[a-z0-9.:-]+/assets(/[A-Za-z0-9_-]+)+")


@dataclass(frozen=True)
class ServedTrees:
    """Trees where the servers find them; small to pickle unless they go with every request."""

    way: Way
    """How they come to the servers."""
    confidence: Confidence
    """What the ensembles answer."""
    assets: tuple[str, ...]
    """Names `projects/P/assets/NAME` in order: one a classifier, or tables; none with the way `inline`."""
    ensembles: int
    """Classifiers that the trees make: one, or one per class."""
    texts: tuple[tuple[str, ...], ...] = ()
    """With the way `inline`, the trees of each ensemble."""

    def classifiers(self) -> tuple[ee.Classifier, ...]:
        """The ensembles as Earth Engine objects; needs an initialised client."""
        mode = MODES[self.confidence]
        if self.way == "classifier":
            return tuple(ee.Classifier.load(asset) for asset in self.assets)  # the mode was exported with it
        if self.way == "inline":
            return tuple(ensemble(trees, mode) for trees in self.texts)
        return tuple(ensemble(_trees_of_tables(self.assets, e), mode) for e in range(self.ensembles))


@dataclass(frozen=True)
class TreeRow:
    """One feature of a table."""

    ensemble: int
    """Which ensemble it belongs to, from 0."""
    index: int
    """Place among all trees of all ensembles."""
    text: str
    """The tree."""

    @property
    def bytes(self) -> int:
        """What it adds to a request."""
        return json_bytes(self.text) + ROW_BYTES


@dataclass(frozen=True)
class AssetRequest:
    """A request for a task that writes one asset; nothing is sent."""

    kind: ExportKind
    """Table or classifier."""
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


def json_bytes(values: Any) -> int:
    """Size of JSON values in a request: line ends and the like take two bytes."""
    return len(json.dumps(values))  # the client's own form, which is ASCII


def ensemble(trees: Sequence[str] | ee.List, mode: str) -> ee.Classifier:
    """The classifier that asks each of some trees.

    Args:
        trees: Their texts.
        mode: Name of an output mode, see `MODES`.
    """
    return ee.Classifier.decisionTreeEnsemble(trees).setOutputMode(mode)


def classifier_request(
    trees: Sequence[str], mode: str, asset: str, name: str, *, overwrite: bool
) -> AssetRequest:
    """The request that makes a classifier asset of trees."""
    task = ee.batch.Export.classifier.toAsset(
        ensemble(list(trees), mode), description=name, assetId=asset, overwrite=overwrite
    )
    return _request("classifier", asset, name, task)


def table_request(rows: Sequence[TreeRow], asset: str, name: str, *, overwrite: bool) -> AssetRequest:
    """The request that makes a table asset of trees."""
    nowhere = ee.Geometry.Point([0, 0])  # a table takes no features without a geometry
    features = [
        ee.Feature(
            nowhere,
            {"ensemble": row.ensemble, "index": row.index, "tree": row.text.replace("\n", LINE_END)},
        )
        for row in rows
    ]
    task = ee.batch.Export.table.toAsset(
        ee.FeatureCollection(features), description=name, assetId=asset, overwrite=overwrite
    )
    return _request("table", asset, name, task)


def table_chunks(rows: Sequence[TreeRow], limit: int = TABLE_BYTES) -> Iterator[list[TreeRow]]:
    """The rows of each table, in order: as many as `limit` bytes hold, one at least."""
    chunk: list[TreeRow] = []
    size = 0
    for row in rows:
        if chunk and size + row.bytes > limit:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row.bytes
    if chunk:
        yield chunk


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
    way: Way,
    *,
    overwrite: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Refuse assets that could not be written, or would replace others without request or of another type.

    Args:
        session: Session of Earth Engine.
        assets: What is to be written, all in one folder.
        way: Whether these are classifiers or tables.
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
            _require_replaceable(asset, str(found.get("type", "asset")), way, overwrite)


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


def _require_replaceable(asset: str, kind: str, way: Way, overwrite: bool) -> None:
    if overwrite and kind != way.upper():
        raise InputError(
            f"--overwrite replaces a {way}, and {asset} is of another type ({kind.lower()}). Choose "
            "another name with --asset."
        )
    if not overwrite:
        raise InputError(
            f"An asset is replaced only on request, and {asset} exists already ({kind.lower()}). Choose "
            "another name with --asset, or replace it with --overwrite."
        )


def _request(kind: ExportKind, asset: str, name: str, task: ee.batch.Task) -> AssetRequest:
    body = dict(task.config or {})
    body["expression"] = serializer.encode(body["expression"], for_cloud_api=True)
    return AssetRequest(kind, asset, name, body)


def _trees_of_tables(assets: Sequence[str], number: int) -> ee.List:
    """The texts of one ensemble's trees in order."""
    tables = ee.FeatureCollection([ee.FeatureCollection(asset) for asset in assets])
    rows = tables.flatten().filter(ee.Filter.eq("ensemble", number)).sort("index")
    return rows.aggregate_array("tree").map(lambda text: ee.String(text).replace(LINE_END, "\n", "g"))
