"""Labels of a field campaign with the series of a run's composites at their places: samples to learn from."""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from assessment.sample.layer import read_layer
from assessment.sample.tables import VECTORS, read_points, text_of
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import require_writable
from inference.run.plan import RunPlan, load_plan
from training.pseudo_labels.candidates import CANDIDATE
from training.pseudo_labels.drawing import stored_series
from training.pseudo_labels.network_run import places_of, require_composites, series_text
from training.sampling.sample_file import pack_samples, read_metadata, require_npz

LABEL: Final = "label"
"""Column of the labels, unless another is named; places that are suggested have it, empty."""

COLLECTED: Final = "collected"
"""Kind of the request in the file's text."""


@dataclass(frozen=True)
class Collected:
    """What became of the labels."""

    out: Path
    """The samples."""
    classes: dict[str, int]
    """Samples by label."""
    empty: int
    """Places without a label yet."""
    outside: int
    """Places outside the run's pixels, or whose composite is not there."""
    narrow: int = 0
    """Labelled polygons without a point that is as far inside as was asked for."""


def collect(folder: Path, points: Path, out: Path, column: str = LABEL, buffer: float = 0) -> Collected:
    """Write samples of the labelled places of a file, with the series of a run at their pixels.

    Args:
        folder: Folder of a run with composites; no map is needed.
        points: CSV with `lon` and `lat` in degrees, or a vector file of points or polygons, of which a point
            inside is taken; with a column of labels.
        out: The npz file to write, which 'cropmap tune' and 'cropmap train' read.
        column: The column.
        buffer: Metres that the point inside a polygon lies from its edge at least: pixels there are mixed.
            CropGlobe keeps 60 (Tong et al. 2025, section 2.3).

    Raises:
        InputError: The buffer is no length, the file has no such column, places or CRS, or no label lies on
            the run's composites.
        CorruptFileError: A composite is damaged.
    """
    if not 0 <= buffer < math.inf:
        raise InputError(f"A buffer is 0 metres or more, got {buffer}. Give for example --buffer 20.")
    require_npz(out)
    _require_ours(out)
    require_writable(out)
    plan, composites = load_plan(folder), require_composites(folder)
    frame = _rows(points, column)
    labels = np.array([text_of(value) for value in frame[column]], dtype=np.str_)
    named = labels != ""
    places, narrow = _places(plan, frame, buffer)
    pixels, there = _pixels(plan, places, composites)
    kept = named & there
    empty, thin, outside = (int(which.sum()) for which in (~named, named & narrow, named & ~there & ~narrow))
    if not kept.any():
        raise InputError(
            f"No label of {points} lies on a composite of {folder}: {empty:,} of {len(labels):,} places have "
            f"none in the column {column}, {outside:,} lie elsewhere, {thin:,} have no place {buffer:g} m "
            "from an edge. Fill the column, name the run of that place, take a smaller --buffer, or see "
            "whether longitude and latitude are exchanged."
        )
    lon, lat = places_of(plan, pixels[kept])
    pack_samples(
        out,
        series=stored_series(folder, plan, pixels[kept]),
        labels=labels[kept],
        lon=lon,
        lat=lat,
        values=labels[kept],
        metadata=_metadata(folder, plan, points),
    )
    names, counts = np.unique(labels[kept], return_counts=True)
    found = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return Collected(out, found, empty, outside, thin)


def _require_ours(out: Path) -> None:
    """Refuse to replace what is no file of labels that were collected."""
    if not out.exists():
        return
    try:
        known = read_metadata(out)
    except CorruptFileError:
        known = None
    if known is None or known["request"].get("kind") != COLLECTED:
        raise InputError(
            f"{out} is there already and holds no collected labels, so it is not replaced. Choose another "
            "--out."
        )


def _rows(points: Path, column: str) -> Any:
    is_table = points.suffix.lower() not in VECTORS
    frame = read_points(points) if is_table else read_layer(points, "labels")
    if column not in frame.columns:
        known = ", ".join(str(name) for name in frame.columns if name != "geometry")
        raise InputError(
            f"The labels {points} have no column {column}; there are {known}. Name it with --label-column."
        )
    if getattr(frame, "crs", None) is None:
        raise InputError(f"The labels {points} have no places with a CRS. Save them with their CRS.")
    return frame


def _places(plan: RunPlan, frame: Any, buffer: float) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """`(place,)`: a point in each shape, in the CRS of the run, or None; and which are too narrow for one."""
    shapes = frame.geometry.to_crs(str(plan.grid.geobox.crs)).to_numpy()
    areal = shapely.get_dimensions(shapes) == 2
    inner = np.where(areal, shapely.buffer(shapes, -buffer), shapes) if buffer else shapes
    narrow = areal & shapely.is_empty(inner) & ~shapely.is_empty(shapes)
    points: NDArray[Any] = shapely.point_on_surface(inner)
    points[shapely.is_empty(points)] = None
    return points, narrow


def _pixels(
    plan: RunPlan, places: NDArray[Any], composites: frozenset[str]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """`(place,)`: pixel of each place, and whether a composite holds it."""
    grid = plan.grid
    x, y = shapely.get_x(places), shapely.get_y(places)
    col, row = ~grid.geobox.transform * (np.asarray(x), np.asarray(y))
    height, width = grid.geobox.shape
    inside = np.isfinite(row) & np.isfinite(col) & (row >= 0) & (row < height) & (col >= 0) & (col < width)
    row, col = (np.where(inside, values, 0).astype(np.int64) for values in (row, col))
    out = np.zeros(len(row), CANDIDATE)
    out["row"], out["y"] = np.divmod(row, grid.cell_size)
    out["col"], out["x"] = np.divmod(col, grid.cell_size)
    cells = [grid.cell(int(one["row"]), int(one["col"])).name for one in out]
    return out, inside & np.isin(np.array(cells, dtype=np.str_), list(composites))


def _metadata(folder: Path, plan: RunPlan, points: Path) -> dict[str, Any]:
    season = plan.season
    return {
        "cropmap_version": importlib.metadata.version("cropmap"),
        "source": f"Labels of {points.name}. {series_text(folder, plan)}",
        "request": {
            "kind": COLLECTED,
            "run": plan.digest,
            "year": season.year,
            "season_start": season.start.isoformat(),
        },
        "recipe": plan.recipe.to_dict(),
    }
