"""A few squares of an area, drawn at random: what a model is tried on before the whole is mapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import geopandas
import numpy as np
import shapely

from gee_pipeline.aoi import read_aoi
from gee_pipeline.errors import InputError
from gee_pipeline.files import write_bytes
from gee_pipeline.grid import make_grid, name_crs
from inference.workflow.request import MapRequest

SIDE: Final = 64
"""Pixels along a side of a square, which is a cell: 640 m, so that several places are little work."""

AREA: Final = "squares.geojson"
"""Name of the file of the squares, in the folder of the trial."""

_INSIDE: Final = 1.0
"""Metres by which squares are drawn smaller: in degrees and back they must not touch the next cell."""


def trial_folder(request: MapRequest) -> Path:
    """Where the trial of a map is kept, where nothing else is said.

    Args:
        request: The map that is thought of.
    """
    return Path(f"{request.aoi.stem}-{request.year}-advice")


def trial_of(request: MapRequest, folder: Path, squares: int, seed: int) -> MapRequest:
    """The request of a map of a few squares of the area, on the area's own pixels.

    Args:
        request: The map that is thought of.
        folder: Where the trial is kept.
        squares: How many squares are drawn.
        seed: Of the draw.

    Raises:
        InputError: The area cannot be read, or has no grid in that CRS.
    """
    aoi = read_aoi(request.aoi, request.layer)
    grid = make_grid(aoi, request.crs, SIDE, like=request.like)
    crs = grid.geobox.crs
    area = aoi.to(str(crs))
    cells = grid.cells_touching(area)
    if not len(cells):
        raise InputError(f"{request.aoi} has no area to try the model on. Check it.")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(cells))[:squares])
    boxes = [shapely.box(*cell.geobox.boundingbox.bbox) for cell in grid.cells(cells[chosen])]
    parts = shapely.intersection(shapely.union_all(shapely.buffer(boxes, -_INSIDE, join_style="mitre")), area)
    frame = geopandas.GeoDataFrame(geometry=[parts], crs=str(crs)).to_crs("EPSG:4326")
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / AREA, frame.to_json().encode())
    own = None if request.like else request.crs or name_crs(crs)
    return replace(request, aoi=folder / AREA, layer=None, out=folder / "run", crs=own, cell_size=SIDE)
