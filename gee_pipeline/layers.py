"""The layers of a map as data: what each says, how its pixels are stored, and how they are computed.

Predictions of cells, rasters of the map, STAC item, report, graphs and scripts for Earth Engine, and the
comparison of both sides take their bands from here.

Layers in addition to the three that every map has are made of the classes' parts: whole numbers that are in
proportion to the classes' probabilities (votes of trees, or probabilities in units of 2^-30). Halves round
up, and of equal parts the smaller code counts as the more likely. The formulas speak of the class of the map
as `own`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gee_pipeline.errors import InputError
from gee_pipeline.map_codes import NONE, OUTSIDE

LayerName = Literal["second", "margin", "entropy", "probabilities", "applicability", "sets", "members"]
"""A layer that a map has on request."""


@dataclass(frozen=True)
class Layer:
    """One raster of a map."""

    name: str
    """File stem of the raster, and what options call it."""
    band: str
    """Name of its band in a prediction; with `per_class` the code of the class follows, `probability_1`."""
    title: str
    """What people call it."""
    description: str
    """What a pixel says."""
    nodata: int
    """Value of pixels that are outside or have none."""
    overviews: Literal["MODE", "AVERAGE"]
    """How GDAL makes a coarser pixel out of finer ones."""
    highest: int | None
    """Largest value that means something; None where the number of classes or bins decides."""
    unit: str = ""
    """Unit of the values; empty for codes."""
    formula: str = ""
    """How it is computed from the parts of the classes; empty for layers that every map has."""
    is_class: bool = False
    """Whether its values are codes of classes, to be coloured and named as such."""
    per_class: bool = False
    """Whether it has one band a class, in order of their codes."""
    dtype: str = "uint8"
    """Type of its values."""

    @property
    def label(self) -> str:
        """Name of its band in the raster, and in the STAC item, where it has one band."""
        return "class" if self.name == "crop_map" else self.name

    def bands(self, classes: int) -> tuple[str, ...]:
        """Names of its bands in a prediction of a model with this many classes."""
        if not self.per_class:
            return (self.band,)
        return tuple(f"{self.band}_{code}" for code in range(1, classes + 1))


CROP_MAP: Final = Layer(
    "crop_map",
    "class",
    "Crop map",
    "class code",
    OUTSIDE,
    "MODE",  # a mean of two codes would be a third crop
    None,
    is_class=True,
)

CONFIDENCE: Final = Layer(
    "confidence",
    "confidence",
    "Confidence",
    "confidence of the class, 0 to 100",
    NONE,
    "AVERAGE",
    100,
    "percent",
)

CLEAR_OBSERVATIONS: Final = Layer(
    "clear_observations",
    "clear",
    "Clear observations",
    "observed bins in the model window",
    NONE,
    "AVERAGE",
    None,
    "bins",
)

SECOND: Final = Layer(
    "second",
    "second",
    "Second class",
    "code of the second most likely class",
    NONE,
    "MODE",
    None,
    formula="the code of the largest part but own; none where the model has a single class",
    is_class=True,
)

MARGIN: Final = Layer(
    "margin",
    "margin",
    "Margin",
    "probability of the class less that of the second, 0 to 100",
    NONE,
    "AVERAGE",
    100,
    "percentage points",
    formula="100 * (own - second) / whole",
)

ENTROPY: Final = Layer(
    "entropy",
    "entropy",
    "Entropy",
    "entropy of the class probabilities, 0 (one class is certain) to 100 (all are equally likely)",
    NONE,
    "AVERAGE",
    100,
    "percent",
    formula="-100 * sum of p * ln(p) / ln(classes) with p = part / whole; 0 for a single class",
)

PROBABILITIES: Final = Layer(
    "probabilities",
    "probability",
    "Probabilities",
    "probability of each class, 0 to 100",
    NONE,
    "AVERAGE",
    100,
    "percent",
    formula="100 * part / whole; for the class of the map its confidence",
    per_class=True,
)

BASE: Final = (CROP_MAP, CONFIDENCE, CLEAR_OBSERVATIONS)
"""The layers of every map, in order of the bands of a prediction."""

AT_LIMIT: Final = 100
"""Value of the layer of applicability at its limit; above it a pixel is outside."""

MOST_UNLIKE: Final = 254
"""Largest value of that layer."""

LEAST_PROBABILITY: Final = 2.0**-30
"""Probability that a smaller one counts as in that layer: a part of a class."""

APPLICABILITY: Final = Layer(
    "applicability",
    "applicability",
    "Applicability",
    "distance from the training samples in percent of the limit of applicability, above 100 outside",
    NONE,
    "AVERAGE",
    200,
    "percent",
    formula="100 * distance of the classes' log probabilities to the nearest class's training mean / limit",
)

SETS: Final = Layer(
    "sets",
    "set",
    "Prediction sets",
    "number of classes in the prediction set of the pixel, 0 where none is likely enough",
    NONE,
    "MODE",  # a mean of 0 and 2 would be a set of one class
    4,
    "classes",
    formula="number of classes with 1 - part / whole of at most the class's limit in the model's file",
)

MEMBERS: Final = Layer(
    "members",
    "member",
    "Members of prediction sets",
    "1 where the class is in the prediction set of the pixel, else 0",
    NONE,
    "MODE",
    1,
    formula="1 where 1 - part / whole is at most the class's limit in the model's file, else 0",
    per_class=True,
)

OF_SETS: Final = (SETS, MEMBERS)
"""The layers on request that need the limits of prediction sets."""

OF_PARTS: Final = (SECOND, MARGIN, ENTROPY, PROBABILITIES)
"""The layers on request that the parts of the classes decide, whatever the model."""

ON_REQUEST: Final = (*OF_PARTS, APPLICABILITY, *OF_SETS)
"""The layers that follow where they are wanted, in this order."""

HALF_AND_MORE: Final = 0.500001
"""What is added to an entropy in percent before it is cut to a whole number: halves round up, also where a
logarithm came out a little too small."""


@dataclass(frozen=True)
class PlacedLayer:
    """A layer and where its bands are in a prediction."""

    layer: Layer
    """The layer."""
    bands: range
    """Its bands, counted from 0."""


def in_order(names: Iterable[str]) -> tuple[LayerName, ...]:
    """Names of layers on request, each once and in the order of the table.

    Raises:
        InputError: There is no such layer.
    """
    wanted, known = set(names), [layer.name for layer in ON_REQUEST]
    if unknown := sorted(wanted.difference(known)):
        raise InputError(
            f"--layers takes {', '.join(known)}, separated by commas; got {', '.join(unknown)}. Class, "
            "confidence and clear observations are always there."
        )
    return tuple(name for name in known if name in wanted)  # type: ignore[misc]  # the names of the table


def placed(names: Sequence[LayerName], classes: int) -> tuple[PlacedLayer, ...]:
    """The layers of a map and where each is in its predictions.

    Args:
        names: Layers on request.
        classes: Number of classes of the model.
    """
    found, start = [], 0
    for layer in (*BASE, *(layer for layer in ON_REQUEST if layer.name in names)):
        count = len(layer.bands(classes))
        found.append(PlacedLayer(layer, range(start, start + count)))
        start += count
    return tuple(found)


def band_names(names: Sequence[LayerName], classes: int) -> tuple[str, ...]:
    """Names of all bands of a prediction: `class`, `confidence`, `clear`, and those of layers on request.

    Args:
        names: Layers on request.
        classes: Number of classes of the model.
    """
    return tuple(name for one in placed(names, classes) for name in one.layer.bands(classes))


def classes_in(names: Sequence[LayerName], bands: int) -> int | None:
    """How many classes a prediction with this many bands has: 1 where its layers do not depend on it.

    None where no prediction with these layers has this many bands.

    Args:
        names: Layers on request that it has.
        bands: Number of its bands.
    """
    per_class = sum(layer.per_class for layer in ON_REQUEST if layer.name in names)
    classes = 1 + (bands - len(band_names(names, 1))) // per_class if per_class else 1
    return classes if classes >= 1 and len(band_names(names, classes)) == bands else None
