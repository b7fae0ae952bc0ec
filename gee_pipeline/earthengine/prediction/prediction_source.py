"""The Earth Engine source of maps made on Google's servers: cells are labelled there, and classes fetched."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ee
import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from gee_pipeline.earthengine.client.assets import answered
from gee_pipeline.earthengine.composites.fetch import Expected
from gee_pipeline.earthengine.composites.scene_list import Scenes, counted_scenes, observed_bins
from gee_pipeline.earthengine.composites.source import LEAST_AHEAD, EarthEngineSource
from gee_pipeline.earthengine.prediction.map_image import prediction
from gee_pipeline.earthengine.prediction.served_model import PREDICTION_BANDS, ServedModel
from gee_pipeline.errors import InputError
from gee_pipeline.grid import Cell
from gee_pipeline.layers import LayerName, band_names
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.season import Season
from gee_pipeline.source import SceneCounts, Survey


@dataclass(frozen=True)
class PredictionSource(EarthEngineSource):
    """Predictions of a model on the servers, and the composites that they are made of.

    It pickles small unless the model goes with every request.
    """

    model: ServedModel = field(kw_only=True)
    """What labels the pixels."""

    def describe(self) -> dict[str, Any]:
        """What identifies the source, as JSON values; where the model's assets stand does not."""
        return {**super().describe(), self.model.kind: self.model.describe()}

    def survey(self, area: BaseGeometry, season: Season, bins: range) -> Survey:
        """How many scenes there are, after the model was looked for.

        Args:
            area: Polygon in EPSG:4326.
            season: Season to map.
            bins: Bins within the season.

        Raises:
            AccessError: Earth Engine cannot be used, or not the model's assets.
            MismatchError: Its assets hold another model.
            InputError: The model is not there, or no scene touches the area or season.
        """
        self.assets_written()
        self.model.require_own(lambda expression: self._fetcher.value(expression, lambda answer: answer))
        return super().survey(area, season, bins)

    def assets_written(self) -> dict[str, str]:
        """When each asset of the model was written last, as Earth Engine says.

        Raises:
            AccessError: Earth Engine cannot be used, or not these assets.
            InputError: An asset is not there.
        """
        session, written = self.session, {}
        for asset in self.model.assets:
            found = answered(session, partial(session.asset, asset), asset)
            if found is None:  # every cell would fail
                raise InputError(
                    f"The {self.model.kind} is not on the servers: there is no asset {asset}, or these "
                    "credentials may not read it. Deploy it again with "
                    f"'{self.model.deploy_command}', or have the asset shared."
                )
            written[asset] = str(found.get("updateTime", ""))
        return written

    def read_prediction(
        self, cell: Cell, season: Season, layers: tuple[LayerName, ...] = ()
    ) -> tuple[NDArray[np.uint8], SceneCounts]:
        """Class code, confidence and clear observations `(band, y, x)` of one cell, of its whole square.

        The bands of layers follow. Without scenes, or without cropland, nothing is classified.

        Args:
            cell: The cell.
            season: Season to map.
            layers: Layers on request, in the order of the table.

        Raises:
            AccessError: Earth Engine cannot be used.
            EarthEngineError: A part of the cell failed for good.
        """
        with self._settled():
            return self._read_prediction(cell, season, layers)

    def prediction_image(
        self, scenes: Scenes, season: Season, layers: tuple[LayerName, ...] = ()
    ) -> ee.Image:
        """The prediction of some pixels as an expression, bands `band_names`; the client must be open.

        Args:
            scenes: What `scenes_of` gave for the pixels that will be asked for.
            season: Season to map.
            layers: Layers on request, in the order of the table.
        """
        return prediction(
            scenes,
            season,
            self.recipe,
            self.model,
            cropland=self.cropland_image(),
            layers=layers,
        )

    def cells_ahead(self, bins: int, cell_size: int) -> int:
        """Cells whose requests together are as many as Earth Engine takes at once."""
        requests = math.ceil(cell_size**2 * len(PREDICTION_BANDS) / self.settings.request_bytes)
        if self.model.most_pixels:
            requests = max(requests, math.ceil(cell_size**2 / self.model.most_pixels))
        return max(LEAST_AHEAD, math.ceil(self.settings.most_requests / requests))

    def _read_prediction(
        self, cell: Cell, season: Season, layers: tuple[LayerName, ...]
    ) -> tuple[NDArray[np.uint8], SceneCounts]:
        mask, window = self._cropland(cell.geobox), self.recipe.window
        names = band_names(layers, self.model.classes)
        if mask is not None and not mask.any():
            return _unseen(mask, len(names)), SceneCounts(duplicates_dropped=None)

        def make(scenes: Scenes) -> tuple[NDArray[np.uint8], SceneCounts]:
            counts = counted_scenes(scenes, self.recipe, season.hours_ahead)
            if not observed_bins(scenes, season, window, self.recipe):
                wanted = np.ones(cell.geobox.shape, np.bool_) if mask is None else mask
                return _unseen(wanted, len(names)), counts
            image = self.prediction_image(scenes, season, layers)
            expected = Expected(names, "uint8")
            return self._fetcher.raster(
                image, cell.geobox, expected, costly=True, most_pixels=self.model.most_pixels
            ), counts

        return self._of_scenes(cell, season, window, make)


def _unseen(cropland: NDArray[np.bool_], bands: int) -> NDArray[np.uint8]:
    """The prediction `(band, y, x)` of pixels without any scene, of which some are cropland."""
    codes = np.where(cropland, np.uint8(NOT_ENOUGH), np.uint8(NOT_CROPLAND))
    clear = np.where(cropland, np.uint8(0), np.uint8(NONE))
    nothing = np.full_like(codes, NONE)
    return np.stack([codes, nothing, clear, *[nothing] * (bands - len(PREDICTION_BANDS))])
