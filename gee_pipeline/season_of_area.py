"""The season that is mapped in an area: its side of the equator, and whether there was imagery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Hemisphere, Season, SeasonRule, hours_ahead

MOST_BEYOND: Final = 0.05
"""Share of an area that may lie beyond the equator and still be mapped in the season of the rest."""

_EQUAL_AREA: Final = "EPSG:6933"
"""Cylindrical, so that the equator is y = 0."""

_FAR: Final = 1e8
"""Metres beyond every point of the projection."""


def hemisphere_of(
    aoi: Aoi, rule: SeasonRule, asked: Hemisphere | None = None
) -> tuple[Hemisphere, str | None]:
    """The hemisphere whose season an area is mapped in, and a notice where a part of it lies in the other.

    Args:
        aoi: Area of interest.
        rule: The season; where it starts on one day everywhere, the side does not matter.
        asked: What the user says.

    Raises:
        InputError: More than 5 % of the area lie on each side, and the season starts half a year apart there.
    """
    if asked is not None:
        return asked, None
    south = _share_in_the_south(aoi)
    side: Hemisphere = "south" if south > 0.5 else "north"
    beyond = min(south, 1 - south)
    if beyond == 0 or rule.same_everywhere:
        return side, None
    if beyond > MOST_BEYOND:
        raise InputError(
            f"The season '{rule.name}' starts on {rule.north} north of the equator and on {rule.south} south "
            f"of it, and {1 - south:.0%} of the area lie north, {south:.0%} south. Say which to take with "
            "--hemisphere north or south, or cut the area at the equator."
        )
    return side, (
        f"{beyond:.1%} of the area lie beyond the equator; all of it is mapped in the season of the {side}."
    )


def season_of_area(
    aoi: Aoi,
    recipe: Recipe,
    year: int,
    hemisphere: Hemisphere | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> Season:
    """The season that a year names in an area.

    Args:
        aoi: Area of interest.
        recipe: Its season rule and its clock.
        year: The year that names the season.
        hemisphere: Side of the equator; None takes that of the area.
        notice: Takes a sentence where a part of the area lies on the other side.

    Raises:
        InputError: The year has not four digits, its season is to come, or the area lies on both sides of
            the equator.
    """
    side, beyond = hemisphere_of(aoi, recipe.season, hemisphere)
    if beyond:
        notice(beyond)
    ahead = hours_ahead(recipe.clock, aoi.lonlat.centroid.x)
    season = replace(recipe.season.season(year, side), hours_ahead=ahead)
    if season.start > date.today():
        raise InputError(
            f"The season of {year} begins on {season.start}, which is to come. Choose an earlier --year."
        )
    return season


def require_imagery(recipe: Recipe, season: Season) -> None:
    """Refuse a window of days before the first images on Earth Engine.

    Raises:
        InputError: A sensor of the recipe had none yet on the window's first day.
    """
    first = season.bin(recipe.window[0], recipe.bin_days).start
    for group in recipe.sensors:
        sensor = group.sensor
        if first < sensor.first_day:
            raise InputError(
                f"The season of {season.year} needs images from {first} on, but {sensor.collection} begins "
                f"on {sensor.first_day}, at first with gaps. Choose a later --year, or scenes of your own "
                "(--source)."
            )


def hemispheres_of(latitudes: NDArray[np.float64]) -> NDArray[np.str_]:
    """`(place,)`: north or south; a place on the equator counts as north."""
    return np.where(latitudes < 0, "south", "north")


def _share_in_the_south(aoi: Aoi) -> float:
    _, south, _, north = aoi.lonlat.bounds
    if south >= 0 or north <= 0:
        return float(south < 0)
    area = aoi.to(_EQUAL_AREA)
    return float(shapely.clip_by_rect(area, -_FAR, -_FAR, _FAR, 0).area / area.area)
