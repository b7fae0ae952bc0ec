"""A map that Earth Engine's servers make, before it is begun: model on both sides, source and run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gee_pipeline.earthengine.prediction.prediction_source import PredictionSource
from gee_pipeline.errors import InputError
from inference.deployment.deployment import Deployment, deployment_path, load_deployment
from inference.deployment.forest_on_servers import ForestOnServers
from inference.deployment.server_model import ServerModel
from inference.models.forest_model import ForestModel, load_forest
from inference.models.shipped import model_path
from inference.run.plan import PlannedKind
from inference.workflow.mapping import PlannedMap, plan_map
from inference.workflow.request import ForestRequest, Listener, NetworkRequest, ServedRequest
from inference.workflow.trained_model import TrainedModel

if TYPE_CHECKING:
    from inference.deployment.network_on_servers import NetworkOnServers
    from inference.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class PlannedServed(PlannedMap[TrainedModel, PredictionSource]):
    """A map on the servers before it is begun, and its model on both sides."""

    server_model: ServerModel
    """What labels the pixels."""
    verifications: Path
    """File of the comparisons of the model."""


def plan_served(request: ServedRequest, listener: Listener) -> PlannedServed:
    """What a map on the servers shall be; the servers are not asked for anything yet.

    Raises:
        InputError: Something in the request cannot be used, the forest is not deployed, or the servers cannot
            run the network.
        MismatchError: The deployment is of another model.
        CorruptFileError: The model or its deployment is damaged.
    """
    if isinstance(request, ForestRequest):
        return _plan_forest(request, listener)
    assert isinstance(request, NetworkRequest)
    return _plan_network(request, listener)


def _plan_forest(request: ForestRequest, listener: Listener) -> PlannedServed:
    model = load_forest(request.forest)
    deployment = load_deployment(deployment_path(request.forest), model)
    _require_scores(request, deployment)
    both = ForestOnServers(model, deployment)
    return _planned(request, model, both, request.forest, request.forest, listener, "forest")


def network_on_servers(given: Path | str | None) -> NetworkOnServers:
    """A network on both sides, and where its weights are.

    Args:
        given: Its file, the name of one that ships, or None, which is the default.

    Raises:
        InputError: There is no such model, or it is a forest.
        MismatchError: The deployment next to it is of another model.
        CorruptFileError: The model or its deployment is damaged.
    """
    # Imported here: maps of forests do without torch.
    from inference.deployment.network_deployment import beside, load_network_deployment
    from inference.deployment.network_on_servers import NetworkOnServers
    from inference.models.pixel_model import load_model

    path = model_path(given)
    model = _require_network(load_model(path), path)
    return NetworkOnServers(model, load_network_deployment(beside(given, path, ".deployment.json"), model))


def _plan_network(request: NetworkRequest, listener: Listener) -> PlannedServed:
    from inference.deployment.network_deployment import beside  # as above

    both, path = network_on_servers(request.model), model_path(request.model)
    kept = beside(request.model, path, ".json")
    return _planned(request, both.model, both, path, kept, listener, "served-network")


def _planned(
    request: ServedRequest,
    model: TrainedModel,
    both: ServerModel,
    path: Path,
    kept: Path,
    listener: Listener,
    kind: PlannedKind,
) -> PlannedServed:
    served = both.served  # refuses what the servers cannot run, before anything else is asked

    def source() -> PredictionSource:
        return PredictionSource(model.recipe, request.settings, cropland=request.cropland, model=served)

    planned = plan_map(request, model, path, source, listener, kind=kind)
    return PlannedServed(
        **vars(planned), server_model=both, verifications=kept.with_suffix(".verifications.json")
    )


def _require_network(model: ForestModel | Checkpoint, path: Path) -> Checkpoint:
    if isinstance(model, ForestModel):
        raise InputError(
            f"This takes a small network, and {path.name} is a forest. Deploy it with 'cropmap forest "
            "deploy', then map with 'cropmap forest predict' or write a script with 'cropmap forest code'."
        )
    return model


def _require_scores(request: ForestRequest, deployment: Deployment) -> None:
    """Refuse layers of classes about which the servers say nothing."""
    if request.layers and deployment.confidence == "none":
        raise InputError(
            f"--layers {','.join(request.layers)} take the votes or probabilities of all classes, but this "
            "forest was deployed with --confidence none, which answers the class alone. Deploy it again with "
            "--confidence votes or probability, or omit --layers."
        )
