"""Samples as a model knows them, and what it says of those it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry import mapping

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season, require_year
from gee_pipeline.season_of_area import hemispheres_of
from inference.models.model_card import training_places
from training.samples.class_choice import merge_into
from training.samples.class_legend import LEFT_OUT
from training.samples.samples import Samples

PSEUDO_CAUTION: Final = (
    "Labels are another model's own answers (pseudo-labels): all scores show how well they are repeated "
    "where that model was confident, not how often they are true."
)
"""A teacher's errors are right answers to its pupil, and the doubtful pixels were left out."""


def in_classes_of(names: Sequence[str], recipe: Recipe, samples: Samples, model: str, called: str) -> Samples:
    """Samples by the classes of a model: what it does not know is "other", or left out where it has none.

    Args:
        names: The model's classes in the order of their codes.
        recipe: How its series are made.
        samples: Samples of any classes.
        model: What the model is called in messages.
        called: What the samples are called there.

    Raises:
        MismatchError: They were made by another recipe.
        InputError: None of them has a class of the model.
    """
    mine = replace(recipe, clock="utc")  # the series have their days already
    mine.require_same(
        replace(samples.recipe, clock="utc"), model, called, "Give samples that were made by its recipe."
    )
    labels = np.array(merge_into(samples.class_names, names))[samples.labels]
    if not (known := labels != LEFT_OUT).any():
        raise InputError(
            f"{called} must have samples of {model[0].lower()}{model[1:]}'s classes {', '.join(names)}, "
            "and has none. Give others, or say with --legend what their labels mean."
        )
    kept = samples.take(known)
    left_out = samples.left_out + int((~known).sum())
    return replace(kept, labels=labels[known], class_names=tuple(names), colors=None, left_out=left_out)


def season_of(samples: Samples, year: int | None) -> Season | None:
    """What the samples say; else the year's season, unknown where they lie in both hemispheres.

    Args:
        samples: Labelled series.
        year: Year that the user gives; None leaves it to the samples.

    Raises:
        InputError: The year has not four digits.
    """
    if year is None or (samples.season and samples.season.year == year):
        return samples.season
    require_year(year)  # a wrong year is reported, also where the places are unknown
    sides = set() if samples.lat is None else set(hemispheres_of(samples.lat).tolist())
    rule = samples.recipe.season
    if rule.same_everywhere:
        return rule.season(year, "north")
    return rule.season(year, sides.pop()) if len(sides) == 1 else None


def origin_facts(samples: Samples, year: int | None, season: Season | None) -> dict[str, Any]:
    """Data, year, first day of the season, footprint and samples by class, as JSON values; a caution where
    labels were not observed.

    Args:
        samples: All labelled series, of training and held out.
        year: Year that the user gives.
        season: What `season_of` finds.
    """
    return {
        "data": samples.source,
        "year": season.year if season else year,
        "season_start": season.start.isoformat() if season else None,
        "footprint": footprint(samples),
        "samples": samples.counts,
        **({"caution": PSEUDO_CAUTION} if samples.pseudo else {}),
    }


def footprint(samples: Samples) -> dict[str, Any] | None:
    """The convex hull of the places as a GeoJSON polygon in EPSG:4326, or None where they are unknown."""
    if samples.lon is None or samples.lat is None:
        return None
    hull = shapely.MultiPoint(np.column_stack([samples.lon, samples.lat])).convex_hull
    area = shapely.set_precision(hull, 1e-4)
    if area.geom_type != "Polygon" or area.is_empty:  # few places, or all in one line
        area = shapely.set_precision(hull.buffer(0.01), 1e-4)  # about a kilometre around
    return dict(mapping(area))


def footprints_together(*footprints: Any) -> dict[str, Any] | None:
    """The places of some GeoJSON footprints, not all that lies between; None where all are unknown.

    Args:
        *footprints: GeoJSON geometries in EPSG:4326, or None.
    """
    known = [training_places(one) for one in footprints if one is not None]
    return dict(mapping(shapely.union_all(known))) if known else None


def with_groups(samples: Samples) -> Samples:
    """The samples, whose countries are their groups where they have no groups."""
    return replace(samples, groups=samples.country if samples.groups is None else samples.groups)
