"""The map of a model on the servers as one image: codes, confidence, clear observations, layers.

It is, pixel by pixel, what a run writes for a cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import ee

from gee_pipeline.earthengine.composites.scene_list import Scenes
from gee_pipeline.earthengine.prediction.filled_series import composites_of, observed_bins
from gee_pipeline.earthengine.prediction.served_model import Classifier, answer_bands
from gee_pipeline.layers import LayerName, band_names
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season


def prediction(
    scenes: Scenes,
    season: Season,
    recipe: Recipe,
    model: Classifier,
    *,
    cropland: ee.Image | None,
    layers: Sequence[LayerName] = (),
) -> ee.Image:
    """A map: uint8, bands `class`, `confidence`, `clear` and those of layers, no pixel masked.

    The class is 1 to K; 254 where it is not cropland, and 255 where fewer bins are observed than the recipe
    wants. The confidence is in percent, and 255 where there is none. Observed bins are 255 where it is not
    cropland. Layers are 255 where there is no class.

    Args:
        scenes: All scenes that touch the pixels that are asked for.
        season: The season whose days the bins mean.
        recipe: Bands, window, cloud rule and the least number of observed bins.
        model: What labels the pixels.
        cropland: Image of one band without masked pixels, 0 where it is not cropland; None maps everything.
        layers: Layers on request, in the order of the table.

    Raises:
        InputError: The model needs a band that the recipe does not have.
    """
    composites = composites_of(scenes, season, recipe)
    clear = observed_bins(composites, recipe)
    answers = answer_bands(layers, model.classes)
    said = model.said(composites, recipe, layers).rename(list(answers))
    few = clear.lt(max(recipe.min_clear_bins, 1))  # without an observation there is nothing to label
    names = band_names(layers, model.classes)
    blank = _constants(NOT_ENOUGH, answers)
    bands = said.unmask(blank, False).where(few, blank).addBands(clear)
    if layers:
        bands = bands.select(list(names))
    if cropland is not None:
        bands = bands.where(cropland.eq(0), _constants(NOT_CROPLAND, names))
    return bands.toUint8()


def _constants(code: int, names: Sequence[str]) -> ee.Image:
    """Bands of a prediction, the same everywhere: the code of the first, and none in the others."""
    return ee.Image.constant([code, *[NONE] * (len(names) - 1)]).rename(list(names))
