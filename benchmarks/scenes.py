"""Speed from scenes on a disk to medians, beside odc-stac with xarray, and what is fetched over http.

    python -m benchmarks.scenes [--cells 4] [--scenes 72] [--rounds 3]

Scenes are made in a temporary folder, as Sentinel-2 catalogs have them: one file a band, of 10 or 20 m, with
blocks of 256 and of 1,024 pixels that do not lie on the cells of the grid. The same block of cells is read by
both, one after the other and again; the time is CPU time of this process. odc-stac is compared with where it
is installed. Over http the bytes of all answers are counted against those of the files' blocks that touch the
area, each once. Exits with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np
import pystac
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter

from benchmarks.compositing import rounded
from examples.scene_writer import asset_key, write_catalog, write_scene
from gee_pipeline.bands import BANDS
from gee_pipeline.grid import CELL_SIZE, Cell, Grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac.composites.source import StacSource
from inference.run.execute import MEMORY_BUDGET
from inference.run.prediction import bounded_gdal
from inference.run.prefetch import in_blocks

BLOCKS: Final = (256, 1_024)
"""Pixels along a block of the files."""

FASTER: Final = 1.5
"""How many times as fast as odc-stac with xarray the engine has to be. Both have the same files to decode,
which is most of what is left of the engine's time."""

FETCHED: Final = 1.3
"""Most bytes that are fetched for each byte of a block of cells."""

AREA: Final = (12, 8, 3)
"""Cells along a side of an area, those of the blocks of cells that it is read in, and its scenes."""

FETCHED_OF_AREA: Final = {256: 1.3, 1_024: 1.8}
"""The same of the area, by the blocks of the files: those on the border of two blocks of cells are fetched
for both."""

SEASON, RECIPE = SUMMER.season(2021, "north"), Recipe()
CRS, LEFT, TOP = "EPSG:32615", 691_200, 3_916_800  # a corner of the lattice of cells
BEFORE: Final = 5_220
"""Metres by which scenes begin west and north of the cells, as tiles of 60 m lie anywhere on the lattice."""

FINE: Final = ("B2", "B3", "B4", "B8")
KINDS: Final = 6
"""Different scenes; the others are links to their files, with names of their own."""


@dataclass(frozen=True)
class Place:
    """Scenes on a disk, and the cells to make of them."""

    catalog: Path
    """The catalog."""
    items: list[pystac.Item]
    """Its items."""
    cells: list[Cell]
    """A square of cells."""
    geobox: GeoBox
    """All their pixels."""

    @property
    def pixels(self) -> int:
        """Pixels of the cells."""
        return self.geobox.shape[0] * self.geobox.shape[1]


def make_place(folder: Path, *, block: int, cells: int, scenes: int, cell_size: int = CELL_SIZE) -> Place:
    """Write scenes of smooth fields with noise, half of each under clouds.

    Args:
        folder: An empty folder.
        block: Pixels along a block of the files.
        cells: Cells along a side of the square.
        scenes: Scenes, spread over the model's window.
        cell_size: Pixels along a side of a cell.
    """
    side = cells * cell_size
    size = -(-(side + BEFORE // 10 + 64) // 4) * 4
    box = GeoBox((size, size), Affine(10, 0, LEFT - BEFORE, 0, -10, TOP + BEFORE), CRS)
    items: list[pystac.Item] = []
    for number in range(scenes):
        moment = datetime(2021, 5, 1, 16, 50, tzinfo=UTC) + timedelta(days=number * 214 / scenes)
        name = f"MADE_{number:03d}"
        if number < KINDS:
            items.append(_drawn(folder, name, moment, box, np.random.default_rng(number), block))
        else:
            items.append(_linked(folder, items[number % KINDS], name, moment))
    catalog = write_catalog(folder, items, "Made scenes", "Made for a benchmark.")
    grid = Grid(GeoBox((side, side), Affine(10, 0, LEFT, 0, -10, TOP), CRS), cell_size)
    return Place(
        catalog,
        items,
        [grid.cell(row, col) for row in range(cells) for col in range(cells)],
        grid.geobox,
    )


def _drawn(
    folder: Path, name: str, moment: datetime, box: GeoBox, rng: np.random.Generator, block: int
) -> pystac.Item:
    size = box.shape[0]
    ground = gaussian_filter(rng.normal(0, 1, (size // 2, size // 2)), 6) * 8_000 + 2_500
    bands = {}
    for band in BANDS:
        field = ground.repeat(2, 0).repeat(2, 1) if band in FINE else ground
        bands[band] = np.clip(field + rng.normal(0, 30, field.shape), 1, 12_000).astype(np.int16)
    clouds = gaussian_filter(rng.normal(0, 1, (size, size)).astype(np.float32), 20) > 0
    score = np.where(clouds, 0.2, 0.9).astype(np.float32)
    return write_scene(folder, name, acquired=moment, geobox=box, bands=bands, clear_score=score, block=block)


def _linked(folder: Path, like: pystac.Item, name: str, moment: datetime) -> pystac.Item:
    home = folder / "items" / name
    home.mkdir(parents=True)
    for file in (folder / "items" / like.id).glob("*.tif"):
        os.link(file, home / file.name)
    item = like.clone()
    item.id, item.datetime = name, moment
    return item


def engine(place: Place, spill: Path) -> NDArray[np.int16]:
    """What a run does with a block of cells, `(cell, bin, band, y, x)`."""
    with bounded_gdal(MEMORY_BUDGET // 4):
        source = StacSource(str(place.catalog), RECIPE)
        made = source.read_block(place.cells, SEASON, RECIPE.window, spill)
        return np.stack([composite.values.copy() for _, composite in made])


def reference(place: Place) -> NDArray[np.int16]:
    """The same by `odc.stac.load` and a median of xarray, bin by bin, `(bin, band, y, x)`.

    A groupby over the whole season gives the same and takes as long, but gigabytes of memory.
    """
    out = np.full((len(RECIPE.window), len(BANDS), *place.geobox.shape), np.float32(np.nan))
    saved = [place.catalog.parent / "items" / item.id / f"{item.id}.json" for item in place.items]
    items = [pystac.Item.from_file(str(path)) for path in saved]
    bins = [(item.datetime.date() - SEASON.start).days // RECIPE.bin_days for item in items if item.datetime]
    for index in sorted({*bins} & {*RECIPE.window}):
        own = [item for item, its_bin in zip(items, bins, strict=True) if its_bin == index]
        out[index - RECIPE.window.start] = _median(own, place.geobox)
    return rounded(out)


def _median(items: list[pystac.Item], geobox: GeoBox) -> NDArray[np.float32]:
    import odc.stac
    import xarray as xr

    keys = [asset_key(band) for band in BANDS]
    cube = odc.stac.load(items, bands=[*keys, "cs"], geobox=geobox, resampling="nearest")
    clear = (cube["cs"] != 255) & (cube["cs"] >= 75)
    numbers = cube[keys].to_dataarray("band").transpose("time", "band", "y", "x")
    values = numbers.where(clear & (numbers != 0).all("band")).astype(np.float32) - np.float32(1_000)
    with xr.set_options(use_bottleneck=True, use_flox=False):
        return values.median("time", skipna=True).values


def in_cells(values: NDArray[np.int16], place: Place) -> NDArray[np.int16]:
    """Values `(bin, band, y, x)` of the square as `(cell, bin, band, y, x)`."""
    size = place.cells[0].geobox.shape[0]
    corners = [(cell.row * size, cell.col * size) for cell in place.cells]
    return np.stack([values[..., y : y + size, x : x + size] for y, x in corners])


def measure(place: Place, spill: Path, rounds: int) -> dict[str, float]:
    """Pixels per CPU-second of each method, medians of interleaved rounds.

    Raises:
        AssertionError: They do not agree.
    """
    methods: dict[str, Callable[[], NDArray[np.int16]]] = {"cropmap": lambda: engine(place, spill)}
    if importlib.util.find_spec("odc.stac"):
        methods["odc-stac, xarray median, bottleneck"] = lambda: in_cells(reference(place), place)
    engine(replace(place, cells=place.cells[:2]), spill)  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        found = []
        for name, method in methods.items():
            start = time.process_time()
            found.append(method())
            seconds[name].append(time.process_time() - start)
        # Halves are rounded from floats of 32 bits there, which lose some.
        assert all(np.abs(one.astype(int) - found[0]).max() <= 1 for one in found), "the methods differ"
    return {name: place.pixels / float(np.median(taken)) for name, taken in seconds.items()}


@dataclass(frozen=True)
class Fetched:
    """What was fetched over http."""

    requests: int
    """Answers."""
    bytes: int
    """Bytes of files in them."""
    needed: int
    """Bytes of the files' blocks that touch the area."""


def fetch(place: Place, spill: Path, side: int | None = None) -> Fetched:
    """Make the cells from a server on this machine, and count what it sends.

    Args:
        place: The cells.
        spill: Folder for bins that wait.
        side: Cells along a side of the blocks of cells; None makes all of them together.
    """
    cells = {(cell.row, cell.col): cell for cell in place.cells}
    blocks = in_blocks(np.array([*cells], np.int32), side or len(cells))
    with serving(place.catalog.parent) as (url, sent), bounded_gdal(MEMORY_BUDGET // 4):
        source = StacSource(f"{url}/{place.catalog.name}", RECIPE)
        for block in blocks:
            for _ in source.read_block([cells[at] for at in block.places], SEASON, RECIPE.window, spill):
                pass
    needed = sum(
        _bytes_within(place.catalog.parent / "items" / item.id / f"{key}.tif", place.geobox)
        for item in place.items
        for key in (*map(asset_key, BANDS), "cs")
    )
    return Fetched(len(sent), sum(sent), needed)


def _bytes_within(path: Path, geobox: GeoBox) -> int:
    """Bytes of the blocks of a file that touch an area."""
    with rasterio.open(path) as file:
        window = file.window(*geobox.boundingbox.bbox)
        (top, bottom), (left, right) = window.toranges()
        height, width = file.block_shapes[0]
        places = [
            (row, col)
            for row in range(int(top) // height, -(-int(bottom) // height))
            for col in range(int(left) // width, -(-int(right) // width))
        ]
        return sum(int(file.get_tag_item(f"BLOCK_SIZE_{c}_{r}", "TIFF", bidx=1)) for r, c in places)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """A server of a folder that answers ranges: its address, and the bytes of each answer with a GeoTIFF."""
    sent: list[int] = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = folder / self.path.lstrip("/")
            data = path.read_bytes() if path.is_file() else b""
            asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            start, end = (int(asked[1]), int(asked[2] or len(data) - 1)) if asked else (0, len(data) - 1)
            part = data[start : end + 1]
            self.send_response(404 if not data else 206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if body:
                self.wfile.write(part)
                sent.extend([len(part)] * (path.suffix == ".tif"))

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", sent
        finally:
            server.shutdown()


def fetch_area(home: Path, block: int) -> Fetched:
    """What is fetched of an area that is larger than a block of cells."""
    cells, side, scenes = AREA
    place = make_place(home / "area", block=block, cells=cells, scenes=scenes)
    return fetch(place, home / "spill", side)


def report(block: int, rates: dict[str, float], fetched: dict[str, Fetched]) -> list[str]:
    """Lines to print, and after them those of limits that are missed."""
    own = rates["cropmap"]
    lines = [f"{block:5} px blocks  {name:36} {rate:9,.0f} px/s and core" for name, rate in rates.items()]
    lines += [f"{block:5} px blocks  {told(name, what)}" for name, what in fetched.items()]
    others = {name: own / rate for name, rate in rates.items() if name != "cropmap"}
    lines += [f"{block:5} px blocks  {ratio:.1f} times as fast as {name}" for name, ratio in others.items()]
    return lines


def told(name: str, fetched: Fetched) -> str:
    """What was fetched, in words."""
    return (
        f"over http: {fetched.requests:,} answers, {fetched.bytes / 1e6:,.0f} MB, "
        f"{fetched.bytes / fetched.needed:.2f} of the {fetched.needed / 1e6:,.0f} MB of {name}"
    )


def missed(block: int, rates: dict[str, float], fetched: dict[str, Fetched]) -> list[str]:
    """The limits that are missed."""
    slow = [name for name, rate in rates.items() if name != "cropmap" and rates["cropmap"] < FASTER * rate]
    found = [f"blocks of {block}: not {FASTER} times as fast as {name}" for name in slow]
    for (name, what), limit in zip(fetched.items(), (FETCHED, FETCHED_OF_AREA[block]), strict=True):
        if what.bytes > limit * what.needed:
            found.append(f"blocks of {block}: more than {limit} bytes fetched for each of {name}")
    return found


def main() -> None:
    """Measure, print, and fail where a limit is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=4, help="cells along a side of the block [4]")
    parser.add_argument("--scenes", type=int, default=72, help="scenes within the 215 days [72]")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds [3]")
    options = parser.parse_args()
    faults: list[str] = []
    for block in BLOCKS:
        with tempfile.TemporaryDirectory(prefix="cropmap-scenes-") as home:
            place = make_place(Path(home) / "scenes", block=block, cells=options.cells, scenes=options.scenes)
            rates = measure(place, Path(home) / "spill", options.rounds)
            fetched = {
                "the block of cells": fetch(place, Path(home) / "spill"),
                f"an area of {AREA[0]} x {AREA[0]} cells": fetch_area(Path(home), block),
            }
        print("\n".join(report(block, rates, fetched)), flush=True)
        faults += missed(block, rates, fetched)
    if faults:
        raise SystemExit("Missed: " + "; ".join(faults) + ".")


if __name__ == "__main__":
    main()
