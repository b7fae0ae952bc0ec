"""What of this machine cropmap needs, looked at piece by piece, each with what to do where it is missing."""

from __future__ import annotations

import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

State = Literal["ok", "note", "fault"]
"""Fine; missing, but only some need it; something that nothing works without."""

PYTHONS: Final = ((3, 11), (3, 13))
"""The first and the last Python that cropmap is made for."""

LEAST_DISK: Final = 5 * 2**30
"""Free bytes below which a run of a county may not fit."""

SERVICES: Final = ("https://earthengine.googleapis.com", "https://storage.googleapis.com")
"""What maps from Earth Engine reach."""

EXTRAS: Final = {
    "geemap": "maps in notebooks: pip install 'cropmap[notebook]'",
    "exactextract": "parcels: pip install 'cropmap[fields]'",
    "tifffile": "faster reading of composites: pip install 'cropmap[fast]'",
    "gcsfs": "files of batch tasks, and of maps for assets, in a bucket: pip install 'cropmap[gcs]'",
}
"""Packages that not everybody needs, and what for."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What, in a word."""
    state: State
    """How it stands."""
    text: str
    """What was found; where something is missing, also what to do."""


def examine(folder: Path, *, network: bool = True) -> Iterator[Finding]:
    """Everything, in the order in which a map needs it; a look that fails itself is a fault with its words.

    Args:
        folder: Where runs are to be written; it exists.
        network: Whether services are reached for; nothing is asked of them.
    """
    looks: list[tuple[str, Callable[[Path], Finding]]] = [
        ("cropmap", _cropmap),
        ("python", _python),
        ("gdal", _gdal),
        ("proj", _proj),
        ("torch", _torch),
        ("gpu", _gpu),
        ("numba", _numba),
        ("disk", _disk),
        ("extras", _extras),
        ("earth engine", _earth_engine),
    ]
    for name, look in looks:
        yield _looked(name, look, folder)
    if network:
        for address in SERVICES:
            yield _reached(address)


def versions() -> str:
    """One line for a report of a fault: cropmap, Python, system, and the packages that decide results."""
    names = ("torch", "numpy", "rasterio", "pyproj", "earthengine-api", "dask")
    found = ", ".join(f"{name} {_version(name)}" for name in names)
    return (
        f"cropmap {_version('cropmap')}, Python {platform.python_version()} on {platform.platform()}; {found}"
    )


def _looked(name: str, look: Callable[[Path], Finding], folder: Path) -> Finding:
    try:
        return look(folder)
    except Exception as error:  # the doctor reports what ails, whatever it is
        words = " ".join(str(error).split())[:300]
        return Finding(
            name, "fault", f"{type(error).__name__}: {words}. Install cropmap again (docs/installing.md)."
        )


def _cropmap(folder: Path) -> Finding:
    from inference.models.shipped import SHIPPED, model_path

    for name in SHIPPED:
        model_path(name)  # says what is missing
    return Finding("cropmap", "ok", f"{_version('cropmap')} in {Path(__file__).parents[2]}")


def _python(folder: Path) -> Finding:
    first, last = PYTHONS
    text = f"{platform.python_version()} ({platform.platform()})"
    if not first <= sys.version_info[:2] <= last:
        wanted = " to ".join(".".join(map(str, one)) for one in PYTHONS)
        return Finding("python", "note", f"{text}; cropmap is tested with {wanted}.")
    return Finding("python", "ok", text)


def _gdal(folder: Path) -> Finding:
    """A raster is written and read: a GDAL of another installation on the library path shows here."""
    import numpy as np
    import rasterio

    values = np.arange(16, dtype=np.int16).reshape(4, 4)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "look.tif"
        profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "int16"}
        place_of_it = {"crs": "EPSG:32615", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 4_000_000)}
        with rasterio.open(path, "w", compress="deflate", **profile, **place_of_it) as file:
            file.write(values, 1)
        with rasterio.open(path) as file:
            same = bool((file.read(1) == values).all())
    if not same:
        return Finding("gdal", "fault", "A raster does not come back as written: install rasterio again.")
    return Finding("gdal", "ok", f"{rasterio.__gdal_version__} of rasterio {rasterio.__version__}")


def _proj(folder: Path) -> Finding:
    """A point whose place is known, to the metre: PROJ without its data is wrong or fails."""
    import pyproj

    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32615", always_xy=True).transform(-93.0, 36.0)
    if abs(x - 500_000) > 1 or abs(y - 3_983_948) > 1:
        return Finding(
            "proj",
            "fault",
            f"A point of UTM zone 15 comes out at {x:.0f}, {y:.0f}: another PROJ is in the way. Unset "
            "PROJ_LIB and PROJ_DATA, or use an environment of its own.",
        )
    return Finding("proj", "ok", f"{pyproj.proj_version_str}, data in {pyproj.datadir.get_data_dir()}")


def _torch(folder: Path) -> Finding:
    import torch

    return Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _gpu(folder: Path) -> Finding:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Finding("gpu", "ok", f"{names} (CUDA {torch.version.cuda})")
    if torch.version.cuda:
        text = f"torch is built for CUDA {torch.version.cuda}, but no GPU is seen: look at nvidia-smi."
        return Finding("gpu", "note", text)
    text = "none used: this torch is built for the CPU. docs/machines.md says how to get another."
    return Finding("gpu", "note", text)


def _numba(folder: Path) -> Finding:
    import numpy as np

    from inference.models.series import fill_gaps

    found = fill_gaps(np.array([[[100, -9999, 300]]], np.int16))
    if found[0, 0].tolist() != [100, 200, 300]:
        return Finding("numba", "fault", f"A gap is filled with {found[0, 0].tolist()}: install numba again.")
    return Finding("numba", "ok", f"{_version('numba')}: compiled code works")


def _disk(folder: Path) -> Finding:
    there = folder.absolute()
    with tempfile.TemporaryFile(dir=there):
        free = shutil.disk_usage(there).free
    text = f"{free / 2**30:,.0f} GiB free in {there}"
    if free < LEAST_DISK:
        return Finding("disk", "note", f"{text}: little for a run; 'cropmap estimate' tells what one takes.")
    return Finding("disk", "ok", text)


def _extras(folder: Path) -> Finding:
    missing = [f"{name} ({why})" for name, why in EXTRAS.items() if _version(name) == "missing"]
    if missing:
        return Finding("extras", "note", f"not installed: {'; '.join(missing)}")
    return Finding("extras", "ok", ", ".join(f"{name} {_version(name)}" for name in EXTRAS))


def _earth_engine(folder: Path) -> Finding:
    """Whether there are credentials; nothing is asked of Google."""
    from gee_pipeline.earthengine.client.session import find_access
    from gee_pipeline.earthengine.client.settings import EarthEngineSettings
    from gee_pipeline.errors import AccessError

    try:
        access = find_access(EarthEngineSettings())
    except AccessError as error:
        return Finding("earth engine", "note", f"{error} Maps from --source need no account.")
    return Finding("earth engine", "ok", f"project {access.project}; 'cropmap ee check' tries it")


def _reached(address: str, timeout: float = 5.0) -> Finding:
    host = urlsplit(address).hostname or address
    try:
        with socket.create_connection((host, 443), timeout=timeout):
            return Finding("network", "ok", f"{host} can be reached")
    except OSError as error:
        text = (
            f"{host} cannot be reached ({error}). Maps from Earth Engine need it: look at proxy and firewall."
        )
        return Finding("network", "note", text)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
