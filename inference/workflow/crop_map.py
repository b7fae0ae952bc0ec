"""A map that is predicted on this machine or its Dask workers, by a network or a forest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gee_pipeline.source import Source
from inference.models.checkpoint import Checkpoint
from inference.models.forest_model import ForestModel
from inference.models.forest_predictor import HOW
from inference.models.pixel_model import device_of, load_model
from inference.models.shipped import model_path
from inference.product.map_facts import MapSummary
from inference.run.plan import RunPlan
from inference.workflow.mapping import Background, PlannedMap, carry_out, plan_map
from inference.workflow.request import Listener, MapRequest
from inference.workflow.source import found_scenes, open_source
from inference.workflow.steps import Workers, workers_of


def make_map(request: MapRequest, listener: Listener | None = None, *, margin: int = 0) -> MapSummary:
    """A whole crop map of an area and a year; what an earlier call of the same request finished is kept.

    Args:
        request: Area, year, source, model and how to work.
        listener: Receives notices and progress.
        margin: Bins that the stored composites have before and after the model's window, as far as the season
            has them; they decide no pixel.

    Raises:
        InputError: Something in the request cannot be used; nothing was written.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Cells failed; the same request continues.
        BudgetSpentError: `max_eecu_hours` did not suffice.
    """
    listener = listener or Listener()
    path = model_path(request.model)
    model = load_model(path)
    device = device_of(model, request.device)
    planned = plan_map(
        request,
        model,
        path,
        lambda: open_source(request, model.recipe),
        listener,
        kind="local-forest" if isinstance(model, ForestModel) else "checkpoint",
        margin=margin,
    )
    plan = replace(planned.plan, network_form=_network_form(model, device, planned.plan))
    return carry_out(_LocalMap(request, replace(planned, plan=plan), device), listener)


def _network_form(model: Checkpoint | ForestModel, device: str, plan: RunPlan) -> str:
    if isinstance(model, ForestModel):
        return ""
    from inference.models.predictor import form_for, resolve_device

    return form_for(model, resolve_device(device), len(plan.cells) * plan.grid.cell_size**2)


@dataclass(frozen=True)
class _LocalMap:
    """Cells are predicted by workers on this machine, or on a cluster."""

    request: MapRequest
    planned: PlannedMap[Checkpoint | ForestModel, Source]
    device: str

    @property
    def plan(self) -> RunPlan:
        """The run."""
        return self.planned.plan

    @property
    def source(self) -> Source:
        """What composites are read from."""
        return self.planned.source

    def prepare(self, listener: Listener) -> tuple[Background, Workers]:
        """The scenes, then the scheduler or device."""
        known, model = self.planned, self.planned.model
        survey = found_scenes(known.source, known.plan, known.aoi, listener)
        how = HOW.format(trees=len(model.trees)) if isinstance(model, ForestModel) else ""
        background = Background(known.aoi, model, known.model_name, survey, known.gap, how)
        return background, workers_of(self.request, self.device)
