"""How much memory looking at a large map takes: a made map of 10,000 x 10,000 pixels, a process for each way.

    python -m benchmarks.looking

The map is made of squares of 10 x 10 pixels of random classes; what is measured is the peak of the resident
memory of a new process, imports included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window

from benchmarks.listing import peak_memory
from inference.product.legend import Legend
from training.samples.crops import crop_classes

SIDE: Final = 10_000
"""Pixels along a side of the map."""

ROWS: Final = 500
"""Rows that are written at a time."""

LEGEND: Final = Legend.of(crop_classes(("corn", "soybeans", "rice", "cotton", "other")))


def make_map(folder: Path, side: int = SIDE) -> None:
    """The class map, its confidence, legend and report.

    Args:
        folder: Where they shall stand.
        side: Pixels along a side, a multiple of `ROWS`.
    """
    folder.mkdir(parents=True)
    rng, place = np.random.default_rng(0), rasterio.Affine(10, 0, 600_000, 0, -10, 4_000_000)
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "uint8", "crs": "EPSG:32615",
        "transform": place, "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate",
    }  # fmt: skip
    for name, nodata, times in (("crop_map", 0, 1), ("confidence", 255, 15)):
        with rasterio.open(folder / f"{name}.tif", "w", nodata=nodata, **profile) as file:
            for top in range(0, side, ROWS):
                squares = rng.integers(1, 6, (ROWS // 10, side // 10), dtype=np.uint8)
                pixels = times * squares.repeat(10, 0).repeat(10, 1)
                file.write(pixels, 1, window=Window(0, top, side, ROWS))
            if name == "crop_map":
                file.write_colormap(1, LEGEND.colormap())
        with rasterio.open(folder / f"{name}.tif", "r+") as file:
            file.build_overviews([2, 4, 8, 16], Resampling.mode if times == 1 else Resampling.average)
    (folder / "legend.json").write_text(json.dumps(LEGEND.to_dict()))
    (folder / "report.json").write_text(json.dumps(_report(side)))


def _report(side: int) -> dict[str, Any]:
    share = 1 / len(LEGEND.crops)
    counted = {"pixels": round(side**2 * share), "hectares": side**2 * share / 100, "share": share}
    means = {"mean_confidence": 45.0, "mean_clear": 20.0}
    classes = [{"code": e.code, "name": e.name, **counted, **means} for e in LEGEND.crops]
    area = {"pixels": side**2, "hectares": side**2 / 100}
    return {"title": "Made map", "classes": classes, "area": area, "simulated": True, "notices": []}


def _open(folder: Path) -> Any:
    import cropmap

    return cropmap.open_map(folder)


def _quicklook(folder: Path) -> None:
    from inference.product.map_facts import CodeArea, MapSummary
    from inference.product.quicklook import draw_quicklook
    from tests.support.made_runs import made_facts

    areas = tuple(CodeArea(e.code, e.name, 20_000_000, 200_000.0, 45.0, 20.0) for e in LEGEND.entries)
    summary = MapSummary(folder, 1, (SIDE, SIDE), areas)
    picture = folder.parent / "quicklook.png"
    draw_quicklook(picture, folder / "crop_map.tif", LEGEND, summary, made_facts(simulated=True))


def _smallest(folder: Path) -> None:
    import dask.array

    dask.array.unique(_open(folder).classes.data).compute()


WAYS: Final[Mapping[str, Callable[[Path], Any]]] = {
    "open_map(...).areas": lambda folder: _open(folder).areas,
    "the map at the end of a cell": lambda folder: _open(folder)._repr_html_(),
    "open_map(...).show()": lambda folder: _open(folder).show(),
    "mean of .confidence": lambda folder: float(_open(folder).confidence.mean()),
    "distinct codes of .classes": _smallest,
    "quicklook.png": _quicklook,
}
"""What people do with a map."""


def peak(folder: Path, way: str) -> float:
    """MiB that a new process took at most for one way."""
    command = [sys.executable, "-m", "benchmarks.looking", way, str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _peak() -> int:
    """Bytes that this process had at most; on Linux without those of its parent."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_memory()
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def main() -> None:
    """Make the map and measure all ways; with arguments, do one."""
    if len(sys.argv) > 1:
        WAYS[sys.argv[1]](Path(sys.argv[2]))
        print(_peak() / 2**20)
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "map"
        make_map(folder)
        for way in WAYS:
            print(f"{way}: {peak(folder, way):,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
