"""Whether composites look like what they are said to be: numbers that anybody would see in a histogram.

Limits were set by real series: of fields in Arkansas, California, Belgium, Switzerland and of 1,000 points
all over the world the mean of no band lies further than 1.0 standard deviations from the default model's, and
at most 0.03 % of a band's values are exactly 0. A lost offset moves B2 by 2.6, one that is taken off twice by
-2.5, a scale ten times too small all bands by -1.5 to -2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.observations import ValueStatistics
from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from inference.run.ledger import Observed

FAR: Final = 1.5
"""Standard deviations of the training values between whose mean and the observed mean a band is told of."""

MUCH_NEGATIVE: Final = 0.1
"""Share of a band's reflectances below 0."""

MUCH_EXACT: Final = 0.05
"""Share of a band's reflectances that are exactly 0, or exactly 1."""

MUCH_CLIPPED: Final = 0.01
"""Share of a band's values at an end of the range that composites can store."""

MUCH_STRUCK: Final = 0.5
"""Share of clear pixels without a valid value."""

MANY_EMPTY: Final = 0.1
"""Share of scenes that should show a cell and show nothing."""


@dataclass(frozen=True)
class Check:
    """The observed values of a run, by the rules of its recipe and model."""

    observed: Observed
    """What the run's ledger says."""
    recipe: Recipe
    """Bands and their sensors."""
    normalisation: Normalisation | None = None
    """Mean and standard deviation of the training values; None where the model has none."""

    def notices(self) -> tuple[str, ...]:
        """What looks wrong, one sentence each."""
        values = self.observed.values
        found = [] if values is None else [*self._numbers(values), *self._distance(values)]
        return tuple(text for text in (*found, *self._scenes()) if text)

    def report(self) -> dict[str, Any]:
        """The statistics as JSON values, in the unit of each sensor; empty where none were counted."""
        values = self.observed.values
        if values is None:
            return {}
        scenes = self.observed.scenes
        return {
            "cells": self.observed.cells,
            "cells_without_scenes": self.observed.without_scenes,
            "scenes": {"read": scenes.scenes, "empty": scenes.empty},
            "clear_pixels": {"by_mask": scenes.clear, "without_valid_value": scenes.struck},
            "bands": [self._band(values, place) for place in range(len(self.recipe.bands))],
        }

    def _band(self, values: ValueStatistics, place: int) -> dict[str, Any]:
        scale, known = self._scales[place], self.normalisation
        columns = {"mean": values.mean / scale, "standard_deviation": values.deviation / scale}
        shares = {name: getattr(values, name) for name in ("zero", "one", "negative", "clipped")}
        trained = {"mean": known.mean[place], "standard_deviation": known.std[place]} if known else None
        return {
            "band": self.recipe.bands[place],
            "values": int(values.count[place]),
            **{name: round(float(column[place]), 4) for name, column in columns.items()},
            "shares": {name: round(float(column[place]), 6) for name, column in shares.items()},
            "training": trained,
        }

    @property
    def _scales(self) -> NDArray[np.float64]:
        """What is stored for one unit, by band."""
        groups = self.recipe.sensors
        return np.array([group.sensor.scale for group in groups for _ in group.bands], np.float64)

    @property
    def _reflectance(self) -> NDArray[np.bool_]:
        """Which bands are reflectances."""
        groups = self.recipe.sensors
        return np.array([group.sensor.unit == "reflectance" for group in groups for _ in group.bands])

    def _numbers(self, values: ValueStatistics) -> list[str]:
        return [
            self._shares(
                self._worst(values.negative, MUCH_NEGATIVE, self._reflectance),
                "of the observed reflectances are negative (below 0), which no surface is. The offset is "
                "taken off twice, or the scale is wrong: check both in the items (STAC raster extension).",
            ),
            self._shares(
                self._worst(values.zero, MUCH_EXACT, self._reflectance),
                "of the observed reflectances are exactly 0. Nodata is not declared, or the scale is taken "
                "twice: check both in the items (STAC raster extension).",
            ),
            self._shares(
                self._worst(values.one, MUCH_EXACT, self._reflectance),
                "of the observed reflectances are exactly 1. The numbers are saturated or no reflectance.",
            ),
            self._shares(
                self._worst(values.clipped, MUCH_CLIPPED),
                "of the observed values lie outside what can be stored and were clipped. Check scale and "
                "offset in the items (STAC raster extension).",
            ),
        ]

    def _distance(self, values: ValueStatistics) -> list[str]:
        """A notice of bands that are not like those of the training."""
        if self.normalisation is None:
            return []
        mean, deviation = (np.array(part) for part in (self.normalisation.mean, self.normalisation.std))
        seen = values.mean / self._scales
        distance = (seen - mean) / deviation
        far = [place for place in np.argsort(-np.abs(distance)) if abs(distance[place]) > FAR]
        if not far:
            return []
        named = ", ".join(f"{self.recipe.bands[p]} {seen[p]:.3f} (training {mean[p]:.3f})" for p in far)
        return [
            "The observed values are not like those that the model was trained on. Mean of "
            f"{named}: {len(far)} of {len(mean)} bands lie further than {FAR} standard deviations away. The "
            "place is of another kind, clouds are not masked, or scale and offset are wrong: distrust the "
            "map until you know which."
        ]

    def _scenes(self) -> list[str]:
        scenes, found = self.observed.scenes, []
        if without := self.observed.without_scenes:
            found.append(
                f"No scene shows {without:,} of {self.observed.cells:,} cells: nothing is known there. Give "
                "a --source that covers the whole area."
            )
        if scenes.struck > MUCH_STRUCK * max(scenes.clear, 1):
            found.append(
                f"{scenes.struck / scenes.clear:.0%} of the clear pixels have no valid value in some band "
                "and were left out. The numbers are not in the declared unit: declare scale, offset and "
                "nodata in the items (STAC raster extension)."
            )
        expected = scenes.scenes + scenes.empty
        if scenes.empty > MANY_EMPTY * max(expected, 1):
            found.append(
                f"In {scenes.empty:,} of {expected:,} looks of a scene at a cell there is no pixel, though "
                "the footprint covers the cell: footprints are larger than what was seen, or belong to other "
                "files."
            )
        return found

    def _worst(
        self, shares: NDArray[np.float64], limit: float, bands: NDArray[np.bool_] | None = None
    ) -> Sequence[tuple[str, float]]:
        """The bands whose share exceeds a limit."""
        wanted = np.ones(len(shares), np.bool_) if bands is None else bands
        return [
            (self.recipe.bands[place], float(shares[place]))
            for place in np.flatnonzero(wanted & (np.nan_to_num(shares) > limit))
        ]

    @staticmethod
    def _shares(bands: Sequence[tuple[str, float]], text: str) -> str:
        named = ", ".join(f"{share:.0%} in {band}" for band, share in bands)
        return f"Implausible numbers: {named} {text}" if bands else ""
