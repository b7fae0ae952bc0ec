"""Bringing a forest to Earth Engine: sizes first, then the tasks, then a comparison of votes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gee_pipeline.earthengine.client.assets import AssetRequest, is_there, table_request
from gee_pipeline.earthengine.client.session import ExportKind, Session
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.forest.classifier_assets import (
    MODES,
    TreeRow,
    classifier_request,
    table_chunks,
    table_row,
)
from gee_pipeline.earthengine.forest.deploy_options import DEFAULT_CONFIDENCE, DEFAULT_WAY, Confidence, Way
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from inference.deployment.asset_tasks import POLL_SECONDS, AssetTasks, Deployable, begin, only_one
from inference.deployment.deployment import (
    DeployedSizes,
    Deployment,
    deployed_sizes,
    deployment_path,
    ensembles,
    load_deployment,
    remedy_for,
    require_target,
    save_deployment,
    too_large,
)
from inference.deployment.probe import Probe, probe
from inference.models.forest_model import ForestModel


@dataclass(frozen=True)
class Trees:
    """What a classifier asset holds."""

    texts: tuple[str, ...]


Contents = Mapping[str, Trees | list[TreeRow]]
"""What each asset holds, by name in order: the trees of a classifier, or the rows of a table."""


@dataclass(frozen=True)
class Deployed:
    """How a deployment stands."""

    deployment: Deployment
    """Where the trees are, or will be."""
    sizes: DeployedSizes
    """How large they are."""
    path: Path
    """File of the deployment; written when the comparison has passed."""
    probe: Probe | None = None
    """What the comparison found; None while tasks are at work."""
    eecu_seconds: float = 0.0
    """Earth Engine compute units times seconds that the tasks took."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "deployment": self.deployment.to_dict(),
            "sizes": self.sizes.to_dict(),
            "path": str(self.path),
            "probe": asdict(self.probe) if self.probe else None,
            "eecu_seconds": self.eecu_seconds,
        }


def deploy(
    model: ForestModel,
    session: Session,
    forest: Path,
    *,
    asset: str | None = None,
    way: Way = DEFAULT_WAY,
    confidence: Confidence = DEFAULT_CONFIDENCE,
    overwrite: bool = False,
    wait: bool = True,
    notice: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
    poll_seconds: float = POLL_SECONDS,
) -> Deployed:
    """Bring a forest to Earth Engine's servers, and compare the votes there with those here.

    The same call continues one that was interrupted; no task is started twice. Where all is written already,
    only the comparison is made.

    Args:
        model: The forest.
        session: Session of Earth Engine.
        forest: File of the forest; the deployment is written next to it.
        asset: `projects/P/assets/NAME`; several assets add to the name. None only with the way `inline`.
        way: How the trees come to the servers.
        confidence: What the servers report besides a class.
        overwrite: Whether assets that exist are replaced.
        wait: Whether to wait for the end of all tasks; without, nothing is compared yet.
        notice: Takes one sentence for the user.
        sleep: Waits a number of seconds.
        poll_seconds: Seconds between two looks at the tasks.

    Raises:
        AccessError: Earth Engine does not let us in, or not to the assets.
        InputError: The forest is too large, or an asset cannot be written there.
        EarthEngineError: A task failed, or the servers do not classify with the trees.
        MismatchError: The servers vote otherwise, or another deployment of the forest is under way.
    """
    sizes = deployed_sizes(model, confidence)
    sizes.require_fit(way)
    contents = _contents(model, way, confidence, asset)
    deployment = Deployment(
        way, confidence, tuple(contents), model.digest, len(model.classes), len(model.trees), sizes.bytes
    )
    result = Deployed(deployment, sizes, deployment_path(forest))
    target = _Target(model, session, result, contents, overwrite, notice, sleep)
    if not contents or (not overwrite and target.is_there()):
        return target.compared()
    return target.write(wait, poll_seconds)


@dataclass(frozen=True)
class _Target:
    """One deployment and its options."""

    model: ForestModel
    session: Session
    result: Deployed
    contents: Contents
    overwrite: bool
    notice: Callable[[str], None]
    sleep: Callable[[float], None]

    def is_there(self) -> bool:
        """Whether a former call has deployed exactly this, and its assets still exist."""
        try:
            if load_deployment(self.result.path) != self.result.deployment:
                return False
        except (InputError, CorruptFileError, MismatchError):
            return False
        return all(is_there(self.session, asset, sleep=self.sleep) for asset in self.contents)

    def write(self, wait: bool, poll_seconds: float) -> Deployed:
        """Have the assets written, and compare."""
        path = self.result.path.with_suffix(".tasks.json")
        with only_one(path):
            kind: ExportKind = "table" if self.result.deployment.way == "table" else "classifier"
            done = self._tasks(path).write(
                kind, self.compared, overwrite=self.overwrite, wait=wait, poll_seconds=poll_seconds
            )
            return done or self.result

    def compared(self, eecu_seconds: float = 0) -> Deployed:
        """The deployment, when the servers vote as we do."""
        deployment = self.result.deployment
        found = probe(self.model, deployment, Fetcher(self.session, sleep=self.sleep))
        save_deployment(self.result.path, deployment)
        return replace(self.result, probe=found, eecu_seconds=eecu_seconds)

    def _tasks(self, path: Path) -> AssetTasks:
        deployment = self.result.deployment
        about = {
            "forest": deployment.forest,
            "way": deployment.way,
            "confidence": deployment.confidence,
            "overwrite": self.overwrite,
        }
        return AssetTasks(
            path,
            begin(path, about, deployment.assets),
            self.session,
            self._subject,
            notice=self.notice,
            sleep=self.sleep,
        )

    @property
    def _subject(self) -> Deployable:
        sizes, way = self.result.sizes, self.result.deployment.way
        return Deployable(
            "forest",
            self.result.deployment.forest,
            self._request,
            lambda size, said: too_large(sizes, way, size, said),
            lambda message: remedy_for(message, sizes.confidence),
        )

    def _request(self, asset: str, name: str) -> AssetRequest:
        content = self.contents[asset]
        if isinstance(content, Trees):
            mode = MODES[self.result.deployment.confidence]
            return classifier_request(content.texts, mode, asset, name, overwrite=self.overwrite)
        return table_request(list(map(table_row, content)), asset, name, overwrite=self.overwrite)


def _contents(model: ForestModel, way: Way, confidence: Confidence, asset: str | None) -> Contents:
    """What each asset is to hold."""
    require_target(way, asset)
    if asset is None:
        return {}
    texts = ensembles(model, confidence)
    if way == "classifier":
        names = [asset] if len(texts) == 1 else [f"{asset}_class_{code + 1}" for code in range(len(texts))]
        return {name: Trees(trees) for name, trees in zip(names, texts, strict=True)}
    trees = [(number, text) for number, ensemble in enumerate(texts) for text in ensemble]
    rows = [TreeRow(number, index, text) for index, (number, text) in enumerate(trees)]
    return {f"{asset}_{number}": chunk for number, chunk in enumerate(table_chunks(rows), start=1)}
