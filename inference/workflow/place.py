"""The area and the season of a request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from gee_pipeline.aoi import Aoi, read_aoi
from gee_pipeline.errors import MismatchError
from gee_pipeline.grid import grid_like, on_grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SEASONS, MonthDay, Season, SeasonRule
from gee_pipeline.season_of_area import require_imagery, season_of_area
from inference.workflow.request import Listener, ModelRequest, Request
from inference.workflow.trained_model import TrainedModel


def find_place(request: Request, recipe: Recipe, listener: Listener) -> tuple[Aoi, Season]:
    """The area and the season of a request.

    Args:
        request: Area, year and side of the equator.
        recipe: The season rule that the year is read by, of the model where there is one.
        listener: Receives notices.

    Raises:
        InputError: The area cannot be read, lies on both sides of the equator, or had no images yet.
    """
    aoi = read_aoi(request.aoi, request.layer)
    if request.like is not None:
        aoi = on_grid(aoi, grid_like(request.like, request.cell_size))
    for text in aoi.notices:
        listener.notice(text)
    season = season_of_area(aoi, recipe, request.year, request.hemisphere, listener.notice)
    rule = recipe.season
    if all((rule.north, rule.south) != (usual.north, usual.south) for usual in SEASONS.values()):
        last = season.bin(recipe.window[-1], recipe.bin_days).last
        listener.notice(
            f"The season of {season.year} starts on {season.start} here; its window ends on {last}."
        )
    if request.on_earth_engine:
        require_imagery(recipe, season)
    return aoi, season


def season_of_model(
    request: ModelRequest, model: TrainedModel, name: str, listener: Listener
) -> tuple[Aoi, Season]:
    """The area of a request, and its season by the rule that a model was trained with.

    Args:
        request: Area, year and the first day that the user expects.
        model: What labels the pixels.
        name: What the model is called.
        listener: Receives notices.

    Raises:
        InputError: As `find_place`.
        MismatchError: The model was trained on another season than the request asks for.
    """
    rule, facts = model.recipe.season, model.provenance
    trained = _trained_start(facts)
    if trained and facts.get("year") and not _is_of(rule, trained, int(facts["year"])):
        raise MismatchError(
            f"Model {name} was trained on series from {trained}, by a version of cropmap that would map it "
            f"{rule.days}. Train it again with this version and --season-start "
            f"{MonthDay.of(trained)}."
        )
    aoi, season = find_place(request, model.recipe, listener)
    asked = request.season_start
    if asked is not None and not rule.starts_on(asked, season):
        raise MismatchError(
            f"A model maps only the season it was trained for: {name} starts on {season.start} for "
            f"{season.year} ({rule}), --season-start asks for {asked}. Leave --season-start out, or train a "
            "model on series of that season."
        )
    return aoi, season


def _trained_start(provenance: Mapping[str, Any]) -> date | None:
    start = provenance.get("season_start")
    return date.fromisoformat(start) if isinstance(start, str) else None


def _is_of(rule: SeasonRule, start: date, year: int) -> bool:
    return start in (rule.north.in_year(year), rule.south.in_year(year))
