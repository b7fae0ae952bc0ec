"""What a large static catalog costs: read once, kept in a run, opened by a worker process.

    python -m benchmarks.listing [--items 50000]

Items are made in a temporary folder, one file each, as static catalogs have them. Each step is measured in a
process of its own: CPU time and the peak of resident memory, both without what importing takes. Exits with 1
where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import shapely

from gee_pipeline.bands import BANDS
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac.catalog import open_catalog
from gee_pipeline.stac.scene_file import open_scenes, write_scenes

LIMITS: Final = {"read": (0.6e-3, 6_000), "open": (0.1e-3, 3_000)}
"""Most CPU-seconds and bytes of memory for each item."""

_EACH: Final = 145
"""Items of one tile, a season of two orbits."""

RECIPE = Recipe()
SPAN = SUMMER.season(2021, "north").span(range(73), RECIPE.bin_days)
GLOBE = shapely.box(-180, -90, 180, 90)


@dataclass(frozen=True)
class Cost:
    """What a step took."""

    items: int
    """Items, or scenes that were kept of them."""
    seconds: float
    """CPU time."""
    bytes: int
    """By how much the peak of resident memory rose."""


def make_catalog(folder: Path, items: int) -> Path:
    """Write a static catalog of made items, one file each; returns its path."""
    links = []
    for number in range(items):
        item = made_item(number)
        path = Path(f"{number // 1000}") / f"{item['id']}.json"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(item), encoding="utf-8")
        links.append({"rel": "item", "href": f"./{path.as_posix()}", "type": "application/geo+json"})
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "made", "description": "", "links": links}
    (folder / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
    return folder / "catalog.json"


def made_item(number: int) -> dict[str, Any]:
    """An item of Sentinel-2 with twelve assets; 145 of each tile, tiles side by side."""
    tile, turn = divmod(number, _EACH)
    west, south = -100 + tile % 20, 30 + tile // 20 % 20
    corners = [(west, south), (west + 1.2, south), (west + 1.2, south + 1), (west, south + 1), (west, south)]
    day = date(2021, 1, 1) + timedelta(days=turn * 365 // _EACH)
    name = f"S2A_{tile:04d}_{day:%Y%m%d}_{turn}"
    declared = {"data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": -0.1}
    assets = {
        key: {
            "href": f"https://host.example/{tile}/{day}/{key}.tif",
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "eo:bands": [{"name": key}],
            "raster:bands": [declared],
            "proj:transform": [10, 0, 600_000 + tile, 0, -10, 4_000_000],
            "proj:shape": [10_980, 10_980],
        }
        for key in (*BANDS, "cs", "SCL")
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": [west, south, west + 1.2, south + 1],
        "properties": {
            "datetime": f"{day}T10:30:00Z",
            "platform": "sentinel-2a",
            "proj:epsg": 32615,
            "s2:processing_baseline": "05.00",
        },
        "links": [],
        "assets": assets,
    }


def read(catalog: Path, kept: Path) -> Cost:
    """Read the catalog and keep its scenes, as the process does that begins a run."""

    def work() -> int:
        scenes = open_catalog(str(catalog), None, RECIPE).known(GLOBE, SPAN)
        write_scenes(kept, scenes)
        return len(scenes)

    return _cost(work)


def opened(catalog: Path, kept: Path) -> Cost:
    """Open the scenes that were kept, and take those of one tile, as each worker does."""

    def work() -> int:
        index = open_scenes(kept, RECIPE)
        index.touching(shapely.box(-99.6, 30.4, -99.5, 30.5))
        return len(index.scenes)

    return _cost(work)


STEPS: Final[dict[str, Callable[[Path, Path], Cost]]] = {"read": read, "open": opened}


def _cost(work: Callable[[], int]) -> Cost:
    before, start = peak_memory(), time.process_time()
    items = work()
    return Cost(items, time.process_time() - start, peak_memory() - before)


def peak_memory() -> int:
    """Bytes of memory that this process had at most."""
    memory = psutil.Process().memory_info()
    if sys.platform == "win32":
        return int(memory.peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def in_process(step: str, catalog: Path, kept: Path) -> Cost:
    """What a step takes in a new process."""
    command = [sys.executable, "-m", "benchmarks.listing", "--step", step, str(catalog), str(kept)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Cost(**json.loads(said.splitlines()[-1]))


def missed(step: str, cost: Cost) -> list[str]:
    """The limits that a step misses."""
    seconds, size = LIMITS[step]
    found = [] if cost.seconds <= seconds * cost.items else [f"{step}: CPU time"]
    return found if cost.bytes <= size * cost.items else [*found, f"{step}: memory"]


def main() -> None:
    """Measure, print, and fail where a limit is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=50_000, help="items of the catalog [50000]")
    parser.add_argument("--step", nargs=3, metavar=("STEP", "CATALOG", "KEPT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step, catalog, kept = options.step
        print(json.dumps(STEPS[step](Path(catalog), Path(kept)).__dict__))
        return
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cropmap-listing-") as home:
        catalog, kept = make_catalog(Path(home), options.items), Path(home) / "scenes.npz"
        for step in STEPS:
            cost = in_process(step, catalog, kept)
            print(
                f"{step:5} {cost.items:7,} scenes {cost.seconds:7.1f} s {cost.bytes / 1e6:7,.0f} MB",
                flush=True,
            )
            faults += missed(step, cost)
        print(f"kept  {kept.stat().st_size / 1e6:.1f} MB")
    if faults:
        raise SystemExit("Missed: " + "; ".join(faults) + ".")


if __name__ == "__main__":
    main()
