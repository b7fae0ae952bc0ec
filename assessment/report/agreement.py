"""Agreement of a map with points that were not drawn at random: it holds for the points alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
from numpy.typing import NDArray

from assessment.report.answers import ANSWERS, IDS
from assessment.sample.layer import read_layer
from assessment.sample.map_file import AssessedMap, open_map, reading
from assessment.sample.tables import VECTORS, Faults, column, read_places, read_table
from assessment.sample.text_table import plain
from gee_pipeline.errors import InputError

FIRST_LINE: Final = (
    "These points are not a probability sample: the figures hold for the points, not for the map, and "
    "say nothing of areas."
)
"""What every answer begins with."""


@dataclass(frozen=True)
class PointAgreement:
    """How many points have the class of the map."""

    labels: tuple[str, ...]
    """What the map shows and what points say, in the order of the table."""
    table: NDArray[np.intp]
    """`(label, label)`: points, map by reference."""
    same: int
    """Points with the class of the map."""
    points: int
    """Points where the map has a class."""
    unmapped: Mapping[str, int]
    """Points where it has none, by what it shows."""


def compare(
    place: Path, points: Path, *, label_column: str | None = None, legend: Path | None = None
) -> PointAgreement:
    """The agreement of a map with labelled points.

    Args:
        place: Folder of a run, or a map.
        points: Table with `lon`, `lat` in degrees and a label, or a vector file with a label.
        label_column: Column of the labels; None takes a usual one.
        legend: Names of the codes of a map.

    Raises:
        InputError: The points lie outside the map, have unknown labels or no place; all of them are named.
    """
    assessed = open_map(place, legend)
    ids, labels, lon, lat = _points(points, label_column)
    faults = Faults()
    rows, cols = _pixels(assessed, lon, lat)
    inside = (rows >= 0) & (rows < assessed.shape[0]) & (cols >= 0) & (cols < assessed.shape[1])
    codes = _codes_at(assessed, rows, cols, inside)
    outside = ~inside | (codes == (-1 if assessed.outside is None else assessed.outside))
    faults.add(
        [ids[i] for i in np.flatnonzero(outside).tolist()],
        "{n} points lie outside the area of the map: {ids}",
    )
    names = tuple(name for code, name in sorted(assessed.names.items()) if code not in assessed.unmapped)
    known = names or tuple(sorted({assessed.name(c) for c in codes[~outside].tolist()}))
    said = _named(ids, labels, known, faults)
    faults.refuse("Correct or remove them and give the same command again.")
    return _table(assessed, codes, said, known)


def _points(
    path: Path, label_column: str | None
) -> tuple[Sequence[str], Sequence[str], NDArray[Any], NDArray[Any]]:
    """Ids, labels, longitudes and latitudes."""
    rows = _with_ids(path)
    key = column(rows, None, IDS, path, "a heading")
    label = column(rows, label_column, ANSWERS, path, "--label-column")
    ids = [row[key] for row in rows]
    if path.suffix.lower() in VECTORS:
        lon, lat = _geometries(path)
    else:
        lon, lat = read_places(rows, ids, path)
    return ids, [row[label] for row in rows], lon, lat


def _with_ids(path: Path) -> list[dict[str, str]]:
    """The rows of a table; those without ids are called by their number."""
    rows = [dict(row) for row in read_table(path)]
    if not any(name.lower() in IDS for name in rows[0]):
        for number, row in enumerate(rows, start=1):
            row["id"] = f"row {number}"
    return rows


def _geometries(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    frame = read_layer(path, "points")
    if frame.crs is None:
        raise InputError(f"The points {path} have no CRS. Save them as GeoPackage with their CRS set.")
    if frame.geometry.is_empty.any() or frame.geometry.isna().any():
        raise InputError(f"Some points of {path} have no place. Remove them.")
    inside = frame.geometry.representative_point().to_crs("EPSG:4326")
    return inside.x.to_numpy(), inside.y.to_numpy()


def _pixels(
    assessed: AssessedMap, lon: NDArray[Any], lat: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the pixels in which points lie; far outside where the CRS does not reach."""
    project = pyproj.Transformer.from_crs("EPSG:4326", assessed.crs, always_xy=True)
    x, y = (np.where(np.isfinite(v), v, -1e9) for v in project.transform(lon, lat))
    inverse = ~assessed.transform
    cols = inverse.a * x + inverse.b * y + inverse.c
    rows = inverse.d * x + inverse.e * y + inverse.f
    return np.floor(rows).astype(np.intp), np.floor(cols).astype(np.intp)


def _codes_at(
    assessed: AssessedMap, rows: NDArray[np.intp], cols: NDArray[np.intp], inside: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Code of the map at each point, -1 outside of it; window by window."""
    out = np.full(len(rows), -1)
    with reading(assessed.path, assessed) as file:
        for window in assessed.windows():
            top, left = rows - window.row_off, cols - window.col_off
            here = inside & (top >= 0) & (top < window.height) & (left >= 0) & (left < window.width)
            if here.any():
                out[here] = file.read(1, window=window)[top[here], left[here]]
    return out


def _named(ids: Sequence[str], labels: Sequence[str], known: Sequence[str], faults: Faults) -> dict[int, str]:
    """Class of each point by its place in the table; labels outside the legend are noted."""
    names = {plain(name): name for name in known}
    found = {place: names.get(plain(label), "") for place, label in enumerate(labels)}
    faults.add(
        [f"{labels[place] or 'empty'!r} of {ids[place]}" for place, name in found.items() if not name],
        f"labels outside the legend of the map ({', '.join(known)}): {{ids}}",
    )
    return found


def _table(
    assessed: AssessedMap, codes: NDArray[np.intp], said: Mapping[int, str], known: Sequence[str]
) -> PointAgreement:
    place = {name: index for index, name in enumerate(known)}
    table = np.zeros((len(known), len(known)), np.intp)
    unmapped: Counter[str] = Counter()
    for point, code in enumerate(codes.tolist()):
        shown = assessed.name(code)
        if shown in place:
            table[place[shown], place[said[point]]] += 1
        else:
            unmapped[shown] += 1
    return PointAgreement(tuple(known), table, int(np.trace(table)), int(table.sum()), dict(unmapped))
