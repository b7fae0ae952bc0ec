"""A network on Earth Engine's servers: weights in table assets, how they come there and are found again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from gee_pipeline.earthengine.client.assets import (
    REQUEST_LIMIT,
    AssetRequest,
    is_there,
    require_asset_name,
    table_request,
)
from gee_pipeline.earthengine.client.session import Session
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.network.network_weights import NetworkWeights
from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.earthengine.network.weight_tables import Row, weight_rows, weight_tables
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, read_sealed, size_text, write_sealed
from inference.deployment.asset_tasks import (
    POLL_SECONDS,
    AssetTasks,
    Deployable,
    begin,
    only_one,
    remedy_for_asset,
)
from inference.deployment.network_probe import NetworkProbe, probe_network
from inference.deployment.servable_network import network_weights
from inference.models.checkpoint import Checkpoint
from inference.models.shipped import SHIPPED

FORMAT: Final = 1
"""Version of the file; one of another version is refused."""

_WAY_OUT: Final = (
    "Delete it and run 'cropmap deploy --overwrite', or leave it deleted: weights then go along."
)


@dataclass(frozen=True)
class NetworkDeployment:
    """Where the weights of a network are."""

    network: str
    """Digest of the model."""
    assets: tuple[str, ...]
    """Tables `projects/P/assets/NAME` in order."""

    def __post_init__(self) -> None:
        for asset in self.assets:
            require_asset_name(asset)
        if not self.assets:
            raise InputError("A deployment of a network names the tables of its weights, got none.")

    def to_dict(self) -> dict[str, Any]:
        """The deployment as JSON values."""
        return {"format": FORMAT, "network": self.network, "assets": list(self.assets)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkDeployment:
        """The deployment that `to_dict` wrote.

        Raises:
            MismatchError: Another version wrote it.
        """
        if values.get("format") != FORMAT or "network" not in values:
            raise MismatchError(
                f"This cropmap reads deployments of networks of format {FORMAT}, got "
                f"{values.get('format')!r} of {', '.join(sorted(values))}. {_WAY_OUT}"
            )
        return cls(values["network"], tuple(values["assets"]))


@dataclass(frozen=True)
class DeployedNetwork:
    """How a deployment stands."""

    deployment: NetworkDeployment
    """Where the weights are, or will be."""
    weights: int
    """How many there are."""
    multiplications: int
    """What a pixel takes."""
    path: Path
    """File of the deployment; written when the comparison has passed."""
    probe: NetworkProbe | None = None
    """What the comparison found; None while tasks are at work."""
    eecu_seconds: float = 0.0
    """Earth Engine compute units times seconds that the tasks took."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            **asdict(replace(self, probe=None)),
            "deployment": self.deployment.to_dict(),
            "path": str(self.path),
            "probe": asdict(self.probe) if self.probe else None,
        }


def beside(model: Path | str | None, path: Path, suffix: str) -> Path:
    """Where a file that belongs to a model stands: next to it, or for one that ships where the command runs.

    Args:
        model: What was given: a path, the name of a model that ships, or None.
        path: File of the model.
        suffix: Of the file, such as `.deployment.json`.
    """
    if isinstance(model, Path):
        return path.with_suffix(suffix)
    name = next(name for name, file in SHIPPED.items() if file == path.name)
    return Path(f"{name}{suffix}")


def load_network_deployment(path: Path, checkpoint: Checkpoint) -> NetworkDeployment | None:
    """The deployment of a file; None where there is none, and weights go with every request.

    Raises:
        CorruptFileError: It is damaged.
        MismatchError: It is of another model or version.
    """
    if not path.is_file():
        return None
    try:
        found = NetworkDeployment.from_dict(read_sealed(path, _WAY_OUT))
    except (*ODD_VALUES, InputError) as error:
        raise CorruptFileError(f"{path} is not a deployment of a network ({error!r}). {_WAY_OUT}") from error
    if found.network != checkpoint.digest:
        raise MismatchError(
            f"{path} is of the model {found.network}, and this model is {checkpoint.digest}. Deploy it with "
            "'cropmap deploy --overwrite', or delete the file: weights then go with every request."
        )
    return found


def served_network(checkpoint: Checkpoint, deployment: NetworkDeployment | None) -> ServedNetwork:
    """A network as the servers find it.

    Args:
        checkpoint: The model.
        deployment: Where its weights are; None lets them go with every request.

    Raises:
        InputError: The network is too large, or has layers that the servers' graph does not know.
    """
    weights = network_weights(checkpoint)
    return ServedNetwork(weights, checkpoint.digest, deployment.assets if deployment else ())


def deploy_network(
    checkpoint: Checkpoint,
    session: Session,
    path: Path,
    asset: str,
    *,
    overwrite: bool = False,
    wait: bool = True,
    notice: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
    poll_seconds: float = POLL_SECONDS,
) -> DeployedNetwork:
    """Write a network's weights to table assets, and compare its answers there with those here.

    The same call continues one that was interrupted; no task is started twice. Where all is written already,
    only the comparison is made.

    Args:
        checkpoint: The model.
        session: Session of Earth Engine.
        path: File of the deployment, as `beside` gives it.
        asset: `projects/P/assets/NAME`; several tables add `_1`, `_2`, ... to the name.
        overwrite: Whether assets that exist are replaced.
        wait: Whether to wait for the end of all tasks; without, nothing is compared yet.
        notice: Takes one sentence for the user.
        sleep: Waits a number of seconds.
        poll_seconds: Seconds between two looks at the tasks.

    Raises:
        AccessError: Earth Engine does not let us in, or not to the assets.
        InputError: The servers cannot run the network, or an asset cannot be written there.
        EarthEngineError: A task failed, or the servers do not compute with the weights.
        MismatchError: The servers answer otherwise, or another deployment of the model is under way.
    """
    require_asset_name(asset)
    weights = network_weights(checkpoint)
    tables = dict(_tables(weights, checkpoint.digest, asset))
    target = _Target(checkpoint, weights, session, path, tables, overwrite, notice, sleep)
    return target.compared() if target.is_there() and not overwrite else target.write(wait, poll_seconds)


def _tables(weights: NetworkWeights, digest: str, asset: str) -> Iterator[tuple[str, list[Row]]]:
    tables = list(weight_tables(weight_rows(weights, digest)))
    for number, table in enumerate(tables, start=1):
        yield (asset if len(tables) == 1 else f"{asset}_{number}"), table


@dataclass(frozen=True)
class _Target:
    """One deployment and its options."""

    checkpoint: Checkpoint
    weights: NetworkWeights
    session: Session
    path: Path
    tables: dict[str, list[Row]]
    overwrite: bool
    notice: Callable[[str], None]
    sleep: Callable[[float], None]
    deployment: NetworkDeployment = field(init=False)

    def __post_init__(self) -> None:
        named = NetworkDeployment(self.checkpoint.digest, tuple(self.tables))
        object.__setattr__(self, "deployment", named)  # frozen

    def is_there(self) -> bool:
        """Whether a former call has deployed exactly this, and its assets still exist."""
        try:
            if load_network_deployment(self.path, self.checkpoint) != self.deployment:
                return False
        except (CorruptFileError, MismatchError):
            return False
        return all(is_there(self.session, asset, sleep=self.sleep) for asset in self.tables)

    def write(self, wait: bool, poll_seconds: float) -> DeployedNetwork:
        """Have the assets written, and compare."""
        path = self.path.with_suffix(".tasks.json")
        with only_one(path):
            about = {"network": self.deployment.network, "overwrite": self.overwrite}
            tasks = AssetTasks(
                path,
                begin(path, about, self.deployment.assets),
                self.session,
                Deployable("network", self.deployment.network, self._request, _too_large, remedy_for_asset),
                notice=self.notice,
                sleep=self.sleep,
            )
            done = tasks.write(
                "table", self.compared, overwrite=self.overwrite, wait=wait, poll_seconds=poll_seconds
            )
            return done or self._result()

    def compared(self, eecu_seconds: float = 0) -> DeployedNetwork:
        """The deployment, when the servers answer as we do."""
        served = ServedNetwork(self.weights, self.checkpoint.digest, self.deployment.assets)
        found = probe_network(self.checkpoint, served, Fetcher(self.session, sleep=self.sleep))
        write_sealed(self.path, self.deployment.to_dict())
        return replace(self._result(), probe=found, eecu_seconds=eecu_seconds)

    def _result(self) -> DeployedNetwork:
        weights = self.weights
        return DeployedNetwork(self.deployment, weights.count, weights.multiplications, self.path)

    def _request(self, asset: str, name: str) -> AssetRequest:
        return table_request(self.tables[asset], asset, name, overwrite=self.overwrite)


def _too_large(size: int, said: str) -> str:
    words = f" Earth Engine says: {said.rstrip('.')}." if said else ""
    return (
        f"The request with the weights takes {size:,} bytes ({size_text(size)}), and Earth Engine takes "
        f"{REQUEST_LIMIT:,} at most.{words} Distil a smaller network: 'cropmap distill --channels 8'."
    )
