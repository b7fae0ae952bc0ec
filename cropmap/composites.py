"""The composites of a run as one dataset that is read when it is looked at."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.store import composite_path, open_composite
from inference.run.plan import RunPlan

if TYPE_CHECKING:
    import xarray


def open_composites(folder: Path, plan: RunPlan) -> xarray.Dataset:
    """Reflectance `(time, y, x)` of each band, NaN in gaps and where a cell has no composite.

    `time` is the first day of each bin. Nothing is read before it is needed; a cell is read whole, and
    verified.

    Args:
        folder: Folder of a run.
        plan: Its plan.

    Raises:
        InputError: The run has no composites.
    """
    import rioxarray  # noqa: F401 - gives arrays their .rio
    import xarray as xr

    if not (folder / "composites").is_dir():
        served = plan.model is not None and plan.model.on_servers
        why = "Earth Engine labelled its pixels" if served else "they were deleted"
        raise InputError(
            f"The run in {folder} keeps no composites: {why}. Make them with cropmap.export in another folder"
            f"{', or map without on=' + repr('servers') if served else ''}."
        )
    values = _blocks(folder, plan)
    height, width = plan.grid.geobox.shape
    values = values[:, :, :height, :width]
    starts = [plan.season.bin(index, plan.recipe.bin_days).start for index in plan.bins]
    x, y = (plan.grid.geobox.coordinates[name].values for name in ("x", "y"))
    array = xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(starts, "datetime64[ns]"),
            "band": list(plan.recipe.bands),
            "y": y,
            "x": x,
        },
    )
    found = array.to_dataset("band").rio.write_crs(str(plan.grid.geobox.crs))
    found.attrs = {"title": "medians of clear observations; gaps are NaN", "year": plan.season.year}
    return found


def _blocks(folder: Path, plan: RunPlan) -> da.Array:
    """`(bin, band, y, x)` of all cells of the grid, one chunk a cell."""
    side = plan.grid.cell_size
    planned = {tuple(pair) for pair in plan.cells.tolist()}
    shape = (len(plan.bins), len(plan.recipe.bands), side, side)
    nothing = da.full(shape, np.float32(np.nan), chunks=shape)  # type: ignore[no-untyped-call]
    rows, columns = (-(-size // side) for size in plan.grid.geobox.shape)

    def chunk(row: int, column: int) -> da.Array:
        if (row, column) not in planned:
            return nothing
        path = composite_path(folder, plan.grid.cell(row, column))
        if not path.is_file():
            return nothing
        read = delayed(partial(_values, path, shape))()
        return da.from_delayed(read, shape, np.float32)  # type: ignore[no-untyped-call]

    cells = [[chunk(row, column) for column in range(columns)] for row in range(rows)]
    return da.block([[cells]])  # type: ignore[no-untyped-call]


def _values(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The values of a cell, with NaN where it ends short of its square."""
    found = open_composite(path).values
    if found.shape[:2] != shape[:2]:
        raise CorruptFileError(
            f"{path} has {found.shape[0]} bins of {found.shape[1]} bands, the run {shape[0]} of {shape[1]}."
        )
    out = np.full(shape, np.float32(np.nan))
    out[:, :, : found.shape[2], : found.shape[3]] = found
    return out
