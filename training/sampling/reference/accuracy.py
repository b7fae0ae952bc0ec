"""Which values of a reference map are right often enough to be labels: CropGlobe's filter."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.files import read_limited
from training.samples.crops import NAMES, OTHER
from training.samples.labels import Label, plain_label
from training.sampling.reference.class_table import NO_CLASS, THE_REST, ClassTable
from training.sampling.reference.reference_maps import (
    ParcelsFile,
    Place,
    ReferenceMap,
    ServerTable,
    place_of,
)
from training.sampling.reference.square_labels import SquareLabels

LEAST_OF_CROPS: Final = 85.0
"""Per cent of producer's and user's accuracy that a value of a crop has more than (Tong et al. 2025, 2.3)."""

LEAST_OF_OTHERS: Final = 80.0
"""Per cent of user's accuracy that any value has at least."""

STATES: Final = ("TIGER/2018/States", "NAME")
"""The states of the USA on Earth Engine, and the property with their names."""

EVERYWHERE: Final = ""
"""Region of accuracies that are those of the whole map."""

_COLUMNS: Final = ("value", "user", "producer", "region")
_ANY_REGION: Final = ClassTable({OTHER: (THE_REST,)})


@dataclass(frozen=True)
class Accuracy:
    """How right a map is where it shows a value."""

    user: float
    """User's accuracy, per cent."""
    producer: float | None
    """Producer's accuracy, per cent; None where it is not known, and not asked for then."""

    def is_enough(self, crop: bool) -> bool:
        """Whether labels may be taken of it.

        Args:
            crop: Whether the value is of a crop of its own, not of "other".
        """
        if not crop:
            return self.user >= LEAST_OF_OTHERS
        if self.producer is None:
            return self.user >= LEAST_OF_OTHERS
        return min(self.user, self.producer) > LEAST_OF_CROPS


@dataclass(frozen=True)
class AccuracyFilter:
    """The accuracies of a map's values, region by region."""

    accuracies: Mapping[tuple[str, Label], Accuracy]
    """Region without case and value as labels are compared -> accuracy."""
    regions: ReferenceMap | None
    """Polygons of the regions; None where the accuracies are those of the whole map."""

    def kept(
        self, labels: SquareLabels, regions: SquareLabels | None, table: ClassTable
    ) -> NDArray[np.bool_]:
        """Points `(y, x)` whose value is right often enough in their region.

        A value without accuracies is left out. Land that is "other" by a map of cropland has no value, and
        stays.

        Args:
            labels: Of the map.
            regions: Names of the regions at the same points; None where there are none.
            table: What the values mean.
        """
        names = np.full(labels.codes.shape, EVERYWHERE) if regions is None else regions.values
        kept = np.zeros(labels.codes.shape, np.bool_)
        kept[~labels.known] = True
        pairs = zip(names[labels.known].tolist(), labels.values[labels.known].tolist(), strict=True)
        for name, value in set(pairs):
            code = table.code_of(value)
            found = self.accuracies.get((name.strip().casefold(), plain_label(value)))
            if code == NO_CLASS or (found and found.is_enough(NAMES[code - 1] != OTHER)):
                kept |= labels.known & (names == name) & (labels.values == value)
        return kept

    def to_dict(self) -> dict[str, Any]:
        """What decides it, as JSON values."""
        rows = sorted(
            [region, str(value), one.user, one.producer] for (region, value), one in self.accuracies.items()
        )
        return {"rows": rows, "regions": self.regions.place.describe() if self.regions else None}


def accuracy_filter(
    path: Path | None, regions: str | None, column: str | None, reference: ReferenceMap
) -> AccuracyFilter | None:
    """The filter of a table of accuracies; None where there is none.

    Args:
        path: CSV with the columns `value`, `user` and, where known, `producer` (per cent, 0 to 100) and
            `region`.
        regions: Path of polygons or `table:ID`; None takes the states on Earth Engine for the Cropland Data
            Layer.
        column: Column of the regions' names.
        reference: The map that the accuracies are of.

    Raises:
        InputError: The table or the regions cannot be used.
    """
    if path is None:
        if regions or column:
            raise InputError(
                "--regions and --region-column say where the accuracies of a table hold, and no table is "
                "given. Name it with --accuracy, or omit them."
            )
        return None
    accuracies = _read(path)
    by_region = any(region != EVERYWHERE for region, _ in accuracies)
    if not by_region:
        if regions or column:
            raise InputError(
                f"{path} has no column region, so its accuracies hold everywhere. Omit --regions and "
                "--region-column."
            )
        return AccuracyFilter(accuracies, None)
    return AccuracyFilter(accuracies, ReferenceMap(_regions(regions, column, reference), _ANY_REGION))


def _regions(regions: str | None, column: str | None, reference: ReferenceMap) -> Place:
    if regions is None:
        if reference.known is not None and reference.known.name == "cdl":
            return ServerTable(*STATES)
        raise InputError(
            "The accuracies are those of regions. Say which land they are, with --regions states.gpkg "
            "--region-column name, or --regions table:ID."
        )
    if column is None:
        raise InputError(f"--regions {regions} needs the column of their names. Give --region-column.")
    place = place_of(regions, column)
    if not isinstance(place, ParcelsFile | ServerTable):
        raise InputError(f"Regions are polygons, and {regions} is none. Give a path or table:ID.")
    return place


def _read(path: Path) -> dict[tuple[str, Label], Accuracy]:
    try:
        text = read_limited(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text in UTF-8. Save it as CSV UTF-8.") from error
    rows = csv.DictReader(text.splitlines())
    names = set(rows.fieldnames or ())
    if not {"value", "user"} <= names:
        raise InputError(
            f"{path} is a table of accuracies with the columns value and user, and producer and region where "
            f"they are known; it has {', '.join(sorted(names)) or 'none'}."
        )
    found: dict[tuple[str, Label], Accuracy] = {}
    for number, row in enumerate(rows, 2):
        key = (str(row.get("region") or EVERYWHERE).strip().casefold(), plain_label(row["value"] or ""))
        if key in found:
            raise InputError(f"{path} has the value {row['value']} of a region twice, again in row {number}.")
        user, producer = (_per_cent(path, number, name, row.get(name)) for name in ("user", "producer"))
        if user is None:
            raise InputError(f"{path} has no user's accuracy in row {number}. Fill it, or take the row out.")
        found[key] = Accuracy(user, producer)
    if not found:
        raise InputError(f"{path} has no row. Give the accuracy of each value that may be a label.")
    return found


def _per_cent(path: Path, row: int, name: str, text: str | None) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text.strip().rstrip("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise InputError(
            f"Accuracies are per cent, 0 to 100; {path} has {name} {text!r} in row {row}. Correct it."
        )
    return value
