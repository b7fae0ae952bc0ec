"""The source of a request's composites, and what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gee_pipeline.aoi import Aoi
from gee_pipeline.recipe import Recipe
from gee_pipeline.source import Source, Survey
from gee_pipeline.stac.choice import SceneChoice
from inference.run.plan import RunPlan
from inference.workflow.request import Listener, Request, SceneRequest

if TYPE_CHECKING:
    from gee_pipeline.earthengine.composites.source import EarthEngineSource


def open_source(request: SceneRequest, recipe: Recipe) -> Source:
    """The source of composites that a request names: Earth Engine, unless it names scenes.

    Raises:
        InputError: The source cannot be opened.
    """
    if request.source is not None:
        from gee_pipeline.stac.composites.source import (
            StacSource,
        )  # seconds that a run on Earth Engine is spared

        choice = SceneChoice(request.leave_out_scene, request.bad_scenes)
        return StacSource(request.source, recipe, collection=request.collection, choice=choice)
    return open_earth_engine(request, recipe)


def open_earth_engine(request: Request, recipe: Recipe) -> EarthEngineSource:
    """Earth Engine as a source of composites; nothing is asked yet."""
    from gee_pipeline.earthengine.composites.source import EarthEngineSource  # so is a run on scenes

    return EarthEngineSource(recipe, request.settings, cropland=request.cropland)


def found_scenes(source: Source, plan: RunPlan, aoi: Aoi, listener: Listener) -> Survey:
    """What the source has for a plan.

    Raises:
        InputError: It has no scene of the area or season.
        AccessError: It cannot be used.
    """
    survey = source.survey(aoi.lonlat, plan.season, plan.bins)
    if survey.simulated:
        listener.notice("The scenes are simulated: no satellite saw them.")
    for text in survey.notices:
        listener.notice(text)
    return survey
