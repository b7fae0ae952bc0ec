"""Three ways to a map from Earth Engine: composites fetched, a forest on the servers, a network there.

    python -m benchmarks.three_ways --out build/three_ways [--real] [--size 96] [--trees 100]

All ways map the same scenes by the commands that a user gives, against the emulator of Earth Engine in
tests/support/ee_emulator. The scenes are simulated, as those of the demo, and the networks are those that
ship; with --real they are painted with real pixels under real clouds (benchmarks/painting.py, needs the real
data), and networks of 32, 16 and 8 channels learn from other pixels first. The forest is grown from
pseudo-labels of the first way's map. Accuracy and bytes are measured; what the servers take, nobody has
measured. Writes report.json and report.md into the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np

from benchmarks.forest_way import BLOCK, PER_CLASS, PROJECT, SPACING, YEAR, Ask, emulated, scored
from benchmarks.painting import CRS, paint, read_canvas, read_clouds, write_scenes
from benchmarks.real_map import CLASSES, CLOUDS, DATA, PARCELS, SAMPLES, SOURCE, halves
from examples.simulated_scenes import Settings as SceneSettings
from examples.simulated_scenes import simulate
from gee_pipeline.files import write_bytes, write_json
from gee_pipeline.recipe import Recipe
from inference.deployment.servable_network import network_weights
from inference.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inference.models.networks.cropnet import CropNetConfig
from inference.models.shipped import model_path
from training.distillation.distill import distill
from training.distillation.options import DistillOptions
from training.distillation.teacher import Teacher
from training.fit.options import SplitRule, TrainingOptions
from training.fit.train import train_checkpoint
from training.samples.samples import read_samples

STUDENTS: Final = (16, 8)
"""Channels of the networks on the servers."""


CELL_SIZE: Final = 32
"""Pixels along a side of a cell: few of those that the emulator computes lie outside the area."""


@dataclass(frozen=True)
class Networks:
    """What maps, by name."""

    teacher: tuple[str, str]
    """The network that maps here alone: what it is called, and file or name."""
    small: dict[str, str]
    """Networks that map on both sides."""


@dataclass(frozen=True)
class Row:
    """One way and what came of it."""

    way: str
    accuracy: float
    macro_f1: float
    pixels: int
    """Field pixels that were scored."""
    bytes_a_pixel: float
    """Of all answers, as they came over the network, for each mapped pixel."""
    multiplications: int | None
    """That the servers take a pixel besides the composite; None where they run no network."""


def main() -> None:
    """Go all ways and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build", "three_ways"), help="folder")
    parser.add_argument("--real", action="store_true", help="paint the scenes with real pixels")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data")
    parser.add_argument("--size", type=int, default=96, help="pixels along a side of the simulated scenes")
    parser.add_argument("--trees", type=int, default=100, help="trees of the forest; 0 grows none")
    parser.add_argument("--side", type=int, default=600, help="metres that are mapped, with --real")
    parser.add_argument("--epochs", type=int, default=25, help="of the trained network, with --real")
    options = parser.parse_args()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if options.real:
        about = "Each field shows one real pixel of Arkansas, under real clouds."
        networks = painted(options.data, out, options.epochs)
        cut_area(out / "scenes" / "area.geojson", options.side)
    else:
        about = "The scenes are simulated."
        simulate(out / "scenes", SceneSettings(size=options.size))
        networks = Networks(("accurate, 128 channels", "accurate"), {"fast, 16 channels": "fast"})
    rows = list(go(networks, out, options.trees))
    write_json(out / "report.json", {"about": about, "rows": [vars(row) for row in rows]})
    text = "\n".join(table(rows))
    write_bytes(out / "report.md", f"{about}\n\n{text}\n".encode())
    print(text)


def painted(data: Path, out: Path, epochs: int) -> Networks:
    """Scenes whose fields show eastern pixels of Arkansas, and networks that western ones taught."""
    west, east = halves(read_samples([data / SAMPLES], CLASSES, source=SOURCE))
    if not (out / "scenes" / "catalog.json").exists():
        recipe = Recipe()
        painting = paint(read_canvas(data / PARCELS, small=True), east, np.random.default_rng(1))
        clouds = read_clouds(data / CLOUDS.parent, range(recipe.season.first_day, recipe.season.last_day + 1))
        write_scenes(out / "scenes", painting, clouds, recipe.season.season(YEAR, "north"), recipe)
    rule = SplitRule(block_size=0.25, seed=1)
    teacher = out / "teacher.safetensors"
    if not teacher.exists():
        trained = TrainingOptions(seed=1, device="cpu", epochs=epochs, batch_size=64, learning_rate=1e-3)
        config = CropNetConfig.of("small-32", len(CLASSES))
        save_checkpoint(teacher, train_checkpoint(west, trained, rule, year=YEAR, config=config))
    for channels in STUDENTS:
        _teach(teacher, west, rule, channels, out / f"small-{channels}.safetensors")
    names = {f"{channels} channels": str(out / f"small-{channels}.safetensors") for channels in STUDENTS}
    return Networks(("32 channels", str(teacher)), names)


def cut_area(path: Path, side: int) -> None:
    """Leave the middle of an area, so many metres each way: the emulator labels some ten pixels a second."""
    area = geopandas.read_file(path).to_crs(CRS)
    middle = area.union_all().centroid.buffer(side / 2, cap_style="square")
    geopandas.GeoSeries([middle], crs=CRS).to_crs("EPSG:4326").to_file(path, driver="GeoJSON")


def _teach(teacher: Path, samples: Any, rule: SplitRule, channels: int, path: Path) -> None:
    """A student of some channels, unless it is there."""
    if not path.exists():
        known = Teacher.of([(teacher.name, load_checkpoint(teacher))], "cpu")
        options = DistillOptions(channels=(channels,), series=30_000, device="cpu")
        save_checkpoint(path, distill(known, samples, options, rule=rule)[-1].checkpoint)


def go(networks: Networks, out: Path, trees: int) -> Iterator[Row]:
    """Every way and how right its map is."""
    whole, fields = out / "scenes" / "area.geojson", out / "scenes" / "fields.tif"
    with emulated(out / "scenes" / "catalog.json", out) as ask:
        access = {"project": PROJECT, "service_account": out / "service-account.json"}
        usual = {"aoi": whole, "year": YEAR, "cell_size": CELL_SIZE, **access}

        def row(way: str, name: str, command: str, multiplications: int | None = None, **more: object) -> Row:
            ask(command, out=out / name, **usual, **more)
            return _row(way, out / name, fields, multiplications)

        title, teacher = networks.teacher
        yield row(f"composites fetched, network here ({title})", "here", "predict", model=teacher, workers=0)
        for number, (title, model) in enumerate(networks.small.items()):
            yield row(
                f"composites fetched, network here ({title})",
                f"here-{number}",
                "predict",
                model=model,
                workers=0,
            )
            ask("compare", model=model, **usual)  # once for an area: what it fetches is not the map's
            work = network_weights(_opened(model)).multiplications
            yield row(
                f"network on the servers ({title})",
                f"servers-{number}",
                "predict",
                work,
                on="servers",
                model=model,
            )
        if not trees:  # a small place has too few pseudo-labels
            return
        forest = grown(ask, out, fields, trees, access)
        ask("forest verify", forest=forest, **usual)
        yield row(f"forest on the servers ({trees} trees)", "forest", "forest predict", forest=forest)


def _opened(model: str) -> Checkpoint:
    return load_checkpoint(Path(model) if model.endswith(".safetensors") else model_path(model))


def grown(ask: Ask, out: Path, fields: Path, trees: int, access: dict[str, Any]) -> Path:
    """A deployed forest of pseudo-labels of the first map."""
    forest = out / "forest.safetensors"
    labels = {"per_class": PER_CLASS, "spacing": SPACING, "reference": fields}
    ask("forest pseudo-label", run=out / "here", out=out / "pseudo.npz", **labels)
    ask("forest train", out / "pseudo.npz", out=forest, trees=trees, block_size=BLOCK, year=YEAR)
    ask("forest deploy", forest, asset=f"projects/{PROJECT}/assets/forest", **access)
    return forest


def _row(way: str, run: Path, fields: Path, multiplications: int | None) -> Row:
    found = scored(way, run, fields)
    report = json.loads((run / "map" / "report.json").read_text(encoding="utf-8"))
    pixels = sum(report["certificate"]["pixels"].values())
    fetched = report["spent"]["bytes"] / pixels
    return Row(way, found.accuracy, found.macro_f1, found.pixels, fetched, multiplications)


def table(rows: list[Row]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield "| way | overall accuracy | macro-F1 | bytes fetched a pixel | multiplications there, a pixel |"
    yield "|---|--:|--:|--:|--:|"
    for row in rows:
        work = "" if row.multiplications is None else f"{row.multiplications:,}"
        scores = f"{row.accuracy:.3f} | {row.macro_f1:.3f}"
        yield f"| {row.way} | {scores} | {row.bytes_a_pixel:,.1f} | {work} |"


if __name__ == "__main__":
    main()
