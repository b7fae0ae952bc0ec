"""A finished map as an image asset of Earth Engine: uploaded to a bucket, ingested from there, looked at.

What is asked for is noted in the run folder, as for assets of models (`inference/deployment/asset_tasks.py`):
a command that was stopped finds its files in the bucket and its task at Earth Engine.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from assessment.document.facts import Words, sound_records
from assessment.publication.map_image import MapImage, map_image
from gee_pipeline.earthengine.client.assets import answered, require_asset_name
from gee_pipeline.earthengine.client.session import Session, connect, find_access
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites.storage import FolderStorage, open_bucket
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.earthengine.tasks.task import Task
from gee_pipeline.errors import AccessError, InputError, MismatchError
from gee_pipeline.files import size_text, write_json
from inference.deployment.asset_tasks import (
    POLL_SECONDS,
    AssetTasks,
    Deployable,
    DeploymentRecord,
    begin,
    only_one,
    remedy_for_asset,
)

RECORD: Final = "asset.tasks.json"
"""File in the run folder that says which task was asked for; there while one is under way."""

TOLD_SHARE: Final = 0.1
"""Share of the work that is done between two notices: a country takes hours."""

_BY_HAND: Final = (
    "Or write the manifest with --manifest, bring the files to the bucket yourself, and use 'earthengine "
    "upload image --manifest'."
)


@dataclass(frozen=True)
class MapAssetRequest:
    """Which map becomes which asset."""

    run: Path
    """Folder of a finished run."""
    asset: str
    """`projects/P/assets/NAME`."""
    bucket: str | None
    """`gs://BUCKET/PREFIX`, through which the files go."""
    words: Words = field(default_factory=Words)
    """The publisher's; the title is that of the map."""
    smoothed: bool = False
    """Whether the classes of the smoothed map are a band too."""
    overwrite: bool = False
    """Whether an asset that exists is replaced."""
    wait: bool = True
    """Whether to wait for the end; without, the ingestion is started."""
    keep_upload: bool = False
    """Whether the files stay in the bucket."""
    settings: EarthEngineSettings = field(default_factory=EarthEngineSettings)
    """How Earth Engine is reached."""

    def __post_init__(self) -> None:
        require_asset_name(self.asset)
        self.destination  # noqa: B018  # refused early

    @property
    def destination(self) -> Destination:
        """The place in a bucket."""
        if self.bucket is None:
            raise InputError(
                "Earth Engine ingests images from Google Cloud Storage alone. Name a bucket that these "
                "credentials may write to: --bucket gs://BUCKET/PREFIX."
            )
        return Destination.bucket(self.bucket)


@dataclass(frozen=True)
class MapAsset:
    """How the asset of a map stands."""

    map: MapImage
    """What it is to be."""
    done: bool
    """Whether it is there, with the bands, pixels, days and properties of the map."""

    @property
    def asset(self) -> str:
        """Its name."""
        return self.map.image.name


def write_manifest(request: MapAssetRequest, path: Path) -> MapImage:
    """Write the manifest of a map, for those who upload it themselves; nothing is sent.

    Args:
        request: What is wanted; the files are to lie in its bucket, under their own names.
        path: The file.

    Raises:
        IncompleteRunError: The map is not whole.
        InputError: The folder holds no run.
        CorruptFileError: A raster of the map is missing or damaged.
        MismatchError: A raster is of another map.
        DiskFullError: The disk has no room.
    """
    found = _image_of(request)
    write_json(path, found.image.manifest(request.destination.uri))
    return found


def publish_asset(
    request: MapAssetRequest,
    *,
    notice: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
    poll_seconds: float = POLL_SECONDS,
) -> MapAsset:
    """Have a map ingested by Earth Engine, and look whether the asset is what was asked for.

    The same call continues one that was stopped: no file is uploaded twice, and no task started twice. Where
    the asset is there already, as this call would make it, nothing is sent.

    Args:
        request: What is wanted.
        notice: Takes one sentence for the user.
        sleep: Waits a number of seconds.
        poll_seconds: Seconds between two looks at the task.

    Raises:
        IncompleteRunError: The map is not whole.
        InputError: The folder holds no run, the asset exists, or has no folder to lie in.
        CorruptFileError: A raster of the map is missing or damaged.
        AccessError: Earth Engine or the bucket cannot be used.
        EarthEngineError: The ingestion failed, or a request was not answered in all tries.
        MismatchError: The asset is not what was asked for, or another one of this run is under way.
    """
    found = _image_of(request)
    session = connect(request.settings)
    with only_one(request.run / RECORD):
        return _Publishing(request, found, session, notice, sleep).publish(poll_seconds)


def _image_of(request: MapAssetRequest) -> MapImage:
    with sound_records(request.run / "map"):
        return map_image(request.run, request.asset, request.words, smoothed=request.smoothed)


@dataclass(frozen=True)
class _Publishing:
    """One asset of one map, and how it comes to be."""

    request: MapAssetRequest
    map: MapImage
    session: Session
    notice: Callable[[str], None]
    sleep: Callable[[float], None]

    def publish(self, poll_seconds: float) -> MapAsset:
        """Have the asset written unless it is there."""
        request, path = self.request, self.request.run / RECORD
        record = begin(path, self._about(), [request.asset])
        begun = record.tasks[0].state != "planned"
        if not begun and not request.overwrite and not self._differences(if_missing="it is missing"):
            path.unlink(missing_ok=True)
            return MapAsset(self.map, done=True)
        tasks = _IngestionTasks(self, path, record)
        done = tasks.write(
            "image",
            lambda _: self._looked_at(tasks.upload),
            overwrite=request.overwrite,
            wait=request.wait,
            poll_seconds=poll_seconds,
        )
        return done or MapAsset(self.map, done=False)

    def _looked_at(self, upload: _Upload) -> MapAsset:
        """The asset as it is there; its files are no longer needed, whatever it is."""
        if not self.request.keep_upload:
            upload.remove()
        if differences := self._differences(if_missing="it is not there"):
            raise MismatchError(
                f"Earth Engine wrote {self.request.asset} otherwise than it was asked to: "
                f"{'; '.join(differences)}. Delete it, and publish the map again."
            )
        return MapAsset(self.map, done=True)

    def _differences(self, *, if_missing: str) -> list[str]:
        asset = self.request.asset
        found = answered(self.session, partial(self.session.asset, asset), asset, sleep=self.sleep)
        return [if_missing] if found is None else self.map.image.differences(found)

    def _about(self) -> dict[str, Any]:
        """What is asked for, by which a record is known again."""
        manifest = json.dumps(self.map.image.manifest(""), sort_keys=True)
        return {
            "map": self.map.digest,
            "manifest": hashlib.sha256(manifest.encode()).hexdigest(),
            "bucket": self.request.destination.uri,
            "overwrite": self.request.overwrite,
        }


@dataclass(frozen=True)
class _Upload:
    """The files of a map in a bucket, in a folder of this publication's own."""

    map: MapImage
    folder: str
    """Below the place in the bucket."""
    uri: str
    """The folder, `gs://...`."""
    storage: FolderStorage
    notice: Callable[[str], None]

    def put(self) -> None:
        """Bring there what is not there yet.

        Raises:
            AccessError: The bucket may not be written to.
        """
        for name, path in self.map.files.items():
            size = size_text(path.stat().st_size)
            self.notice(f"{name} ({size}) goes to {self.uri}.")
            if not self.storage.put(path, f"{self.folder}/{name}"):
                self.notice(f"{name} is there already.")

    def remove(self) -> None:
        """Delete them; where that is not allowed, say so."""
        try:
            for name in self.map.files:
                self.storage.remove(f"{self.folder}/{name}")
        except AccessError as error:
            self.notice(f"The uploaded files stay in {self.uri}: {error}")


class _IngestionTasks(AssetTasks):
    """The task that ingests a map; its files are brought to the bucket just before it is asked for."""

    def __init__(self, publishing: _Publishing, path: Path, record: DeploymentRecord) -> None:
        self._told = 0.0
        request, found = publishing.request, publishing.map
        access, destination = find_access(request.settings), request.destination
        folder = f"cropmap-{found.digest[:16]}-{record.token}"
        storage = open_bucket(destination, access.credentials, access.project, otherwise=_BY_HAND)
        self.upload = _Upload(found, folder, f"{destination.uri}/{folder}", storage, publishing.notice)
        subject = Deployable(
            "map",
            found.digest[:16],
            lambda asset, name: found.image.request(self.upload.uri, name, overwrite=request.overwrite),
            _too_large,
            remedy_for_asset,
        )
        super().__init__(
            path, record, publishing.session, subject, notice=publishing.notice, sleep=publishing.sleep
        )

    def operation(self, name: str) -> Mapping[str, Any]:
        """How the task stands; every tenth of the work is told."""
        found = super().operation(name)
        share = float(found.get("metadata", {}).get("progress") or 0)
        if share >= self._told + TOLD_SHARE:
            self._told = share
            self.upload.notice(f"Earth Engine has done {share:.0%} of it.")
        return found

    def submit(self, task: Task[str], request_id: str) -> Mapping[str, Any]:
        """The files, then the request."""
        self.upload.put()
        return super().submit(task, request_id)


def _too_large(size: int, said: str) -> str:
    words = f" Earth Engine says: {said.rstrip('.')}." if said else ""
    return f"Earth Engine cannot ingest this map; its manifest takes {size:,} bytes.{words}"
