"""All parcels of a file looked at before the first is worked on: what is wrong is named at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from gee_pipeline.errors import InputError
from gee_pipeline.vectors.parcels import ParcelBatch, ParcelFile, read_batches

NAMED: Final = 5
"""Parcels that a message names."""

_POLYGONS: Final = (int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON))


@dataclass(frozen=True)
class Surveyed:
    """What a file of parcels holds."""

    parcels: int
    """How many there are."""
    declared: Counter[str]
    """Parcels by declared label."""


def survey(parcels: ParcelFile, *, repair: bool = False) -> Surveyed:
    """Look at every id, polygon and label of a file.

    Args:
        parcels: The file.
        repair: Whether invalid polygons will be made valid; else they are refused.

    Raises:
        InputError: There is no parcel, an id is missing or repeated, or a polygon is missing or invalid.
    """
    ids, labels, faults, count = [], Counter[str](), Faults(), 0
    for batch in read_batches(parcels):
        if parcels.id_column is not None:
            ids.append(_hashed_ids(batch, parcels))
        for row, reason in _bad_geometries(batch, repair):
            faults.add(f"{_called(batch, row)} {reason}")
        labels.update(label for label in batch.declared or () if label is not None)
        count += len(batch)
    if count == 0:
        raise InputError(f"{parcels.path} holds no parcel. Give a layer with polygons.")
    faults.raise_if_any(parcels)
    _require_unique(parcels, ids)
    return Surveyed(count, labels)


class Faults:
    """Parcels that cannot be used: their number, and the first of them in words."""

    def __init__(self) -> None:
        self._count, self._named = 0, list[str]()

    def add(self, text: str) -> None:
        """Note one."""
        self._count += 1
        if self._count <= NAMED:
            self._named.append(text)

    def raise_if_any(self, parcels: ParcelFile) -> None:
        """Name them.

        Raises:
            InputError: There are some.
        """
        if self._count:
            more = f" and {self._count - NAMED:,} more" if self._count > NAMED else ""
            raise InputError(
                f"Every parcel is a valid polygon; in {parcels.path} {'; '.join(self._named)}{more}. Correct "
                "them, or give --repair to make invalid ones valid and leave out those without a polygon."
            )


def _bad_geometries(batch: ParcelBatch, repair: bool) -> Iterator[tuple[int, str]]:
    """Index and fault of each polygon that cannot be used."""
    geometries = batch.geometries()
    areal = np.isin(shapely.get_type_id(geometries), _POLYGONS) & ~shapely.is_empty(geometries)
    for row in np.flatnonzero(~areal):
        one = geometries[row]
        kind = "no polygon" if one is None or one.is_empty else f"a {one.geom_type} in place of a polygon"
        if not repair or (one is not None and not one.is_empty):
            yield int(row), f"has {kind}"
    if not repair:
        for row in np.flatnonzero(areal & ~shapely.is_valid(geometries)):
            yield int(row), f"is invalid ({shapely.is_valid_reason(geometries[row])})"


def _called(batch: ParcelBatch, row: int) -> str:
    return f"row {batch.first + row:,} (id {batch.ids[row].as_py()})"


def _hashed_ids(batch: ParcelBatch, parcels: ParcelFile) -> NDArray[np.uint64]:
    """64 bits an id, by which repeated ones are found: ids of 5 million parcels take 40 MB."""
    if batch.ids.null_count:
        row = int(np.flatnonzero(batch.ids.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(
            f"Every parcel has an id; row {batch.first + row:,} of {parcels.path} has none in "
            f"{parcels.id_column!r}. Fill it, or leave out --id to count the rows."
        )
    texts = np.array([str(value) for value in batch.ids.to_pylist()], object)
    return np.asarray(pd.util.hash_array(texts, categorize=False))


def _require_unique(parcels: ParcelFile, hashed: Sequence[NDArray[np.uint64]]) -> None:
    if not hashed:
        return
    every = np.concatenate(hashed)
    found, counts = np.unique(every, return_counts=True)
    repeated = found[counts > 1]
    if len(repeated):
        rows = np.flatnonzero(np.isin(every, repeated[:NAMED]))[: 2 * NAMED]
        names = _ids_at(parcels, rows)
        raise InputError(
            f"Each parcel has an id of its own; in {parcels.path} {len(repeated):,} values of "
            f"{parcels.id_column!r} occur more than once, such as {', '.join(names)} in the rows "
            f"{', '.join(f'{row + 1:,}' for row in rows)}. Choose another --id, or leave it out."
        )


def _ids_at(parcels: ParcelFile, rows: NDArray[np.intp]) -> list[str]:
    """Ids of some rows, counted from 0, each once."""
    names = dict[str, None]()
    for batch in read_batches(parcels):
        inside = rows[(rows >= batch.first - 1) & (rows < batch.first - 1 + len(batch))]
        names |= dict.fromkeys(str(batch.ids[int(row) - batch.first + 1].as_py()) for row in inside)
    return list(names)
