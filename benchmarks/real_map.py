"""How good a map of real pixels is, made by the real command: trained in the west, tested in the east.

    python -m benchmarks.real_map --out build/real_map [--wide]

Trains CropNet on the western half of the Arkansas pixels of 2021, paints fields with the observed series of
eastern pixels under real clouds (`benchmarks/painting.py`), runs `cropmap predict` on the scenes and scores
every field pixel. With `--wide` the network is made as the model `wide` is, of 32 channels and with
California and Canada beside western Arkansas; the fields and clouds of a seed stay the same. Writes
`report.json` and `report.md` into the folder. Needs the real data, which is not part of this repository: a
folder with `usa-2021`, `bavaria-parcels`, `slovenia-clouds` and, with `--wide`, `worldcereal` (--data).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from benchmarks.forest import forest_confusion, train_forest
from benchmarks.painting import Painting, paint, read_canvas, read_clouds, write_scenes
from benchmarks.real_map_report import Report
from examples.scoring import Score, score
from gee_pipeline.files import write_bytes, write_json
from gee_pipeline.recipe import Recipe
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.networks.cropnet import CropNetConfig
from inference.models.predictor import Predictor
from training.fit.options import SplitRule, TrainingOptions
from training.fit.robustness import evaluate_series
from training.fit.train import train_checkpoint
from training.samples.samples import Samples, read_samples
from training.shipped.wide_checkpoint import FILES, OPTIONS, SPLIT, for_maps, read_regions

DATA: Final = Path(__file__).resolve().parents[1].parent / "shared" / "data"
"""Where the real data lies unless --data names another place: next to the checkout."""

SAMPLES: Final = Path("usa-2021", "median_S2_ARK_month1-12_day5.npz")
PARCELS: Final = Path("bavaria-parcels", "Test_area.shp")
CLOUDS: Final = Path("slovenia-clouds", "CLP.npy")

CLASSES: Final = ("corn", "soybeans", "rice", "cotton", "other")
YEAR: Final = 2021

STRIP: Final = 0.05
"""Degrees of longitude left out between the halves: 4.5 km, several times the widest field."""

NORTH_OF_ARKANSAS: Final = 37.0
"""Degrees: the other regions east of western Arkansas lie north of it."""

SOURCE: Final = (
    "the western half of 5,000 pixels in Arkansas, 2021: Sentinel-2 medians of ten days, labels of the USDA "
    "Cropland Data Layer."
)


@dataclass(frozen=True)
class Settings:
    """What decides the result."""

    small: bool = False
    """Part of the fields, a narrow network, fewer epochs: a check within a minute, not a figure to quote."""
    epochs: int | None = None
    """Passes over the training samples; None takes the default of `cropmap train`, or 10 where small."""
    seed: int = 1
    """Seed of the training, of the pixels drawn and of the forest."""
    wide: bool = False
    """Train as the model `wide` is trained, but without eastern Arkansas."""

    @property
    def options(self) -> TrainingOptions:
        """How the network is trained: by the defaults of `cropmap train`, or in a hurry."""
        chosen = TrainingOptions(seed=self.seed, device="cpu")
        if self.small:
            chosen = replace(chosen, epochs=10, batch_size=32, learning_rate=3e-3)
        return replace(chosen, epochs=self.epochs or chosen.epochs)

    @property
    def config(self) -> CropNetConfig:
        """The network: `compact`, or one of 48 instead of 128 feature maps, which is seven times as fast."""
        compact = CropNetConfig.of("compact", len(CLASSES))
        return replace(compact, preset="narrow", channels=(48,) * 4) if self.small else compact

    @property
    def trees(self) -> int:
        """Trees of the forest; the paper's number where not small (Tong et al. 2025)."""
        return 100 if self.small else 500


@dataclass(frozen=True)
class Clock:
    """Seconds by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    """In the order of the steps."""

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Measure a step and tell it on stderr."""
        print(f"{step} ...", file=sys.stderr, flush=True)
        start = perf_counter()
        yield
        self.seconds[step] = round(perf_counter() - start, 1)


def measure(data: Path, out: Path, settings: Settings = Settings()) -> Report:
    """Train, paint, map and score; the scenes, the model, the run and the report stay in `out`.

    Args:
        data: Folder of the real data.
        out: New or empty folder.
        settings: What decides the result.
    """
    clock, recipe = Clock(), Recipe()
    west, east = halves(read_samples([data / SAMPLES], CLASSES, source=SOURCE))
    with clock.time("train"):
        checkpoint = train_wide(data, west, settings) if settings.wide else train(west, settings)
        save_checkpoint(out / "model.safetensors", checkpoint)
    with clock.time("paint"):
        painting = paint(
            read_canvas(data / PARCELS, settings.small), east, np.random.default_rng(settings.seed)
        )
        clouds = read_clouds(data / CLOUDS.parent, range(recipe.season.first_day, recipe.season.last_day + 1))
        write_scenes(out / "scenes", painting, clouds, recipe.season.season(YEAR, "north"), recipe)
    with clock.time("map"):
        predict(out)
    with clock.time("compare"):
        forest = train_forest(west, settings.options, recipe, settings.trees)
        confusion = forest_confusion(forest, out / "run", out / "scenes" / "fields.tif", recipe, len(CLASSES))
        # no painting, clouds, scenes or map
        bare = evaluate_series(Predictor(checkpoint, "cpu"), east.series, east).accuracy
    report = _report(out, settings, clock, painting, east, checkpoint, confusion, bare)
    write_json(out / "report.json", report.to_dict())
    write_bytes(out / "report.md", report.to_markdown().encode())
    return report


def halves(samples: Samples) -> tuple[Samples, Samples]:
    """The samples west and east of their median longitude, without a strip between."""
    assert samples.lon is not None  # the file has places
    middle = float(np.median(samples.lon))
    return samples.take(samples.lon < middle - STRIP / 2), samples.take(samples.lon > middle + STRIP / 2)


def train(west: Samples, settings: Settings) -> Checkpoint:
    """A checkpoint fitted to western samples; the best epoch is chosen on western blocks held out."""
    rule = SplitRule(block_size=0.25, seed=settings.seed)  # half of Arkansas has few larger blocks
    return train_checkpoint(west, settings.options, rule, year=YEAR, config=settings.config)


def train_wide(data: Path, west: Samples, settings: Settings) -> Checkpoint:
    """A checkpoint made as the model `wide` is, fitted to western Arkansas, California and Canada."""
    every = without_east(read_regions([data / path for path in FILES.values()]), west)
    options = replace(OPTIONS, seed=settings.seed, epochs=settings.options.epochs, device="cpu")
    return for_maps(train_checkpoint(every, options, replace(SPLIT, seed=settings.seed)))


def without_east(every: Samples, west: Samples) -> Samples:
    """The samples of all regions but those of Arkansas that lie east of the western ones."""
    assert every.lon is not None  # the files have places
    assert every.lat is not None
    assert west.lon is not None
    return every.take((every.lat >= NORTH_OF_ARKANSAS) | (every.lon <= west.lon.max()))


def predict(out: Path) -> None:
    """Run the command as a user would.

    Raises:
        subprocess.CalledProcessError: It did not end well; its message is on stderr.
    """
    options = {
        "aoi": out / "scenes" / "area.geojson",
        "year": YEAR,
        "source": out / "scenes" / "catalog.json",
        "model": out / "model.safetensors",
        "out": out / "run",
        "workers": 0,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    subprocess.run(
        [sys.executable, "-m", "cli.main", "predict", *words], check=True, stdout=subprocess.DEVNULL
    )


def read_like(path: Path, painting: Painting) -> NDArray[np.uint8]:
    """The first band of a raster at the pixels of the painting, `(y, x)`."""
    geobox = painting.canvas.geobox
    grid = {"crs": str(geobox.crs), "transform": geobox.transform}
    size = {"width": geobox.shape[1], "height": geobox.shape[0]}
    with rasterio.open(path) as file, WarpedVRT(file, resampling=Resampling.nearest, **grid, **size) as vrt:
        return vrt.read(1)


def _report(
    out: Path,
    settings: Settings,
    clock: Clock,
    painting: Painting,
    east: Samples,
    checkpoint: Checkpoint,
    forest: NDArray[np.int64],
    bare: float,
) -> Report:
    maps = out / "run" / "map"
    scored = score(maps / "crop_map.tif", out / "scenes" / "fields.tif", CLASSES)
    on_field = painting.truth > 0
    if scored.pixels != on_field.sum():
        raise RuntimeError(f"{on_field.sum()} field pixels were painted, but {scored.pixels} lie in the map.")
    field_of = painting.canvas.field[on_field]
    right = (read_like(maps / "crop_map.tif", painting) == painting.truth)[on_field]
    inner = painting.canvas.inner[on_field]
    return Report(
        score=scored,
        forest=Score(CLASSES, forest, scored.unmapped),
        pixels=np.bincount(field_of),
        right=np.bincount(field_of, right).astype(np.int64),
        inner=(int(inner.sum()), int(right[inner].sum())),
        clear_bins=read_like(maps / "clear_observations.tif", painting)[on_field],
        bare_accuracy=bare,
        training=checkpoint.provenance,
        validation=checkpoint.metrics,
        east=east.counts,
        settings=asdict(settings),
        seconds=clock.seconds,
    )


def main() -> int:
    """Measure from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build", "real_map"), help="new folder [build/real_map]"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data [../shared/data]")
    parser.add_argument("--small", action="store_true", help="a quick check, no figure to quote")
    parser.add_argument(
        "--epochs", type=int, help=f"passes over the training samples [{TrainingOptions.epochs}; small: 10]"
    )
    parser.add_argument("--wide", action="store_true", help="train as the model wide is trained")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="seed of all chance [1]")
    chosen: dict[str, Any] = vars(parser.parse_args())
    data, out = chosen.pop("data"), chosen.pop("out")
    if missing := [str(data / name) for name in (SAMPLES, PARCELS, CLOUDS) if not (data / name).exists()]:
        print(
            f"The real data is not here: {', '.join(missing)}. Name its folder with --data.", file=sys.stderr
        )
        return 2
    if out.exists() and any(out.iterdir()):
        print(f"{out} must be a new or empty folder. Delete it or name another with --out.", file=sys.stderr)
        return 2
    try:
        print(measure(data, out, Settings(**chosen)).to_markdown())
    except subprocess.CalledProcessError as error:
        return error.returncode  # the command has said on stderr what went wrong
    return 0


if __name__ == "__main__":
    sys.exit(main())
