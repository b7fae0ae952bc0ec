"""Two seasons of one simulated place: a winter model is trained and mapped, beside the summer map.

    python -m examples.two_seasons two_seasons

The winter model learns from another simulated place with other fields. Everything is SIMULATED; the figures
show that the parts work together, not how right a map of a real place is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray

from examples.demo import describe
from examples.fields import Landscape, make_landscape
from examples.phenology import Phenology, load_phenology
from examples.scene_writer import write_catalog
from examples.scoring import Score, class_names, score
from examples.simulated_scenes import (
    CRS,
    SIMULATED,
    Settings,
    acquisitions,
    is_complete,
    write_area,
    write_scenes,
    write_truth,
)
from examples.two_seasons_picture import draw_two_seasons
from examples.winter import WINTER_CLASSES, WinterFields, ground_with_winter, sow, summer_truth
from gee_pipeline.bands import BANDS
from gee_pipeline.errors import CropmapError
from gee_pipeline.files import write_json

SIZE: Final = 128
"""Pixels along a side of either place."""

PLACES: Final = {"map": 1, "training": 2}
"""The mapped place and that of the samples, by the seed of their fields and clouds."""

PER_CLASS: Final = 300
"""Samples of a class."""

FIRST_PASS: Final = -94
"""Day of the year of the first pass: the winter begins on 3 October, which is day -89."""

SQUARE: Final = 320.0
"""Metres along a side of the squares of land that are held out as a whole."""

EPOCHS: Final = 20
"""Passes of the training of the winter's model."""

SEASONS: Final = ("winter", "summer")

WINTER_CURVES: Final = "Winter crops follow made-up logistic curves (examples/winter.py)."

LEGEND: Final = "legend.toml"
"""Name of the file with the winter's classes."""

Run = Callable[[Sequence[str]], None]
"""Runs `cropmap` with some arguments."""


def run_cropmap(arguments: Sequence[str]) -> None:
    """Run `cropmap` as a user does.

    Raises:
        SystemExit: It failed; with its exit code.
    """
    print("$ cropmap " + " ".join(arguments), flush=True)
    if code := subprocess.run([sys.executable, "-m", "cli.main", *arguments], check=False).returncode:
        raise SystemExit(code)


def make_place(folder: Path, settings: Settings) -> None:
    """Write scenes from October to November of the next year, and the truth of both seasons.

    Args:
        folder: Gets `catalog.json`, `area.geojson`, `fields_summer.tif`, `fields_winter.tif`, and the classes
            of the winter as `legend.toml`.
        settings: Which place.

    Raises:
        InputError: The folder holds scenes of other settings.
    """
    if is_complete(folder, settings):
        return
    folder.mkdir(parents=True, exist_ok=True)
    phenology, landscape, winter = land_of(settings)
    write_area(folder / "area.geojson", settings)
    write_truth(folder / "fields_summer.tif", summer_truth(landscape, winter), settings.geobox)
    (folder / LEGEND).write_text(_legend(), encoding="utf-8")
    write_truth(folder / "fields_winter.tif", winter.codes[landscape.field], settings.geobox, WINTER_CLASSES)

    def paint(rng: np.random.Generator, day: float) -> NDArray[np.float32]:
        return ground_with_winter(rng, day, landscape, winter, phenology)

    items = list(write_scenes(folder, settings, acquisitions(settings, FIRST_PASS), paint))
    write_catalog(folder, items, "Simulated Sentinel-2 scenes of two seasons", f"{SIMULATED} {WINTER_CURVES}")
    write_json(folder / "settings.json", settings.facts)


def land_of(settings: Settings) -> tuple[Phenology, Landscape, WinterFields]:
    """What grows in a place."""
    phenology = load_phenology()
    landscape = make_landscape(np.random.default_rng([settings.seed, 0]), settings.size, phenology)
    return phenology, landscape, sow(np.random.default_rng([settings.seed, 2]), landscape, phenology)


def draw_samples(run: Path, truth: Path, out: Path, per_class: int = PER_CLASS) -> int:
    """Series of field pixels from the composites of a run; returns how many there are.

    Args:
        run: Folder of `cropmap export --season winter`.
        truth: Codes of the winter's classes.
        out: The npz to write: `fea` (sample, 10, 61), `lbl`, and places for the split.
        per_class: Samples of a class, at most.
    """
    parts = [_field_pixels(path, truth) for path in sorted((run / "composites").glob("*.tif"))]
    fea, lbl, xy = (np.concatenate(one) for one in zip(*parts, strict=True))
    rng = np.random.default_rng(3)
    codes = WINTER_CLASSES.values()
    chosen = np.concatenate([rng.permutation(np.flatnonzero(lbl == code))[:per_class] for code in codes])
    squares = np.floor(xy[chosen] / SQUARE).astype(int)
    group = np.array([f"{x}_{y}" for x, y in squares])
    to = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    lon, lat = to.transform(*xy[chosen].T)
    np.savez_compressed(out, fea=fea[chosen], lbl=lbl[chosen], group=group, lon=lon, lat=lat)
    return len(chosen)


def _field_pixels(composite: Path, truth: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Series `(pixel, band, bin)`, codes and places `(pixel, 2)` of the pixels in fields."""
    with rasterio.open(composite) as file, rasterio.open(truth) as fields:
        x, y = (np.array(axis) for axis in file.xy(*np.mgrid[: file.height, : file.width].reshape(2, -1)))
        codes = np.array([value[0] for value in fields.sample(zip(x, y, strict=True))])
        inside = codes > 0
        series = file.read().reshape(-1, len(BANDS), file.height * file.width)[..., inside]
    return series.transpose(2, 1, 0), codes[inside], np.column_stack([x, y])[inside]


def commands(folder: Path, epochs: int = EPOCHS) -> dict[str, list[str]]:
    """The arguments of `cropmap`, step by step."""
    trained, mapped = folder / "training", folder / "map"

    def at(place: Path, run: str) -> list[str]:
        source = [f"--aoi={place / 'area.geojson'}", f"--source={place / 'catalog.json'}", "--year=2021"]
        return [*source, f"--out={folder / run}", "--workers=0"]

    samples, model = folder / "samples.npz", folder / "winter.safetensors"
    options = ["--season=winter", "--year=2021", f"--legend={folder / 'legend.toml'}", "--split=column"]
    return {
        "export": ["export", *at(trained, "training_run"), "--season=winter"],
        "train": ["train", str(samples), f"--out={model}", *options, "--model=mlp", f"--epochs={epochs}"],
        "winter": ["predict", *at(mapped, "winter_run"), f"--model={model}"],
        "summer": ["predict", *at(mapped, "summer_run")],
    }


def run_example(
    folder: Path,
    *,
    size: int = SIZE,
    epochs: int = EPOCHS,
    acquisitions: int | None = None,
    run: Run = run_cropmap,
) -> dict[str, Score]:
    """Make what is missing of the example; returns how right the map of each season is.

    Args:
        folder: Where to work.
        size: Pixels along a side of either place.
        epochs: Of the winter's model.
        acquisitions: Passes of the satellites, spread evenly; None takes all.
        run: Runs `cropmap`.

    Raises:
        InputError: The folder holds other scenes.
        SystemExit: A command of `cropmap` failed.
    """
    for name, seed in PLACES.items():
        make_place(folder / name, Settings(size=size, seed=seed, acquisitions=acquisitions))
    steps = commands(folder, epochs)
    (folder / "legend.toml").write_text(_legend(), encoding="utf-8")
    if not (folder / "winter.safetensors").exists():
        run(steps["export"])
        draw_samples(
            folder / "training_run", folder / "training" / "fields_winter.tif", folder / "samples.npz"
        )
        run(steps["train"])
    for season in SEASONS:
        run(steps[season])
    return {season: _score(folder, season) for season in SEASONS}


def _score(folder: Path, season: str) -> Score:
    crop_map = folder / f"{season}_run" / "map" / "crop_map.tif"
    return score(
        crop_map, folder / "map" / f"fields_{season}.tif", class_names(crop_map.with_name("legend.json"))
    )


def _legend() -> str:
    colors = {"winter wheat": "#b77c00", "rapeseed": "#ffd300", "no winter crop": "#989b88"}
    classes = [
        f'[[classes]]\nname = "{n}"\ncolor = "{colors[n]}"\nlabels = [{c}]\n'
        for n, c in WINTER_CLASSES.items()
    ]
    return 'source = "SIMULATED winter crops."\n\n' + "\n".join(classes)


def main() -> None:
    """Make both maps, and print where they are and how right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("two_seasons"), help="where to work")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of 10 m along a side [128]")
    chosen = parser.parse_args()
    try:
        scores = run_example(chosen.folder, size=chosen.size)
        picture = draw_two_seasons(chosen.folder / "two_seasons.png", chosen.folder, scores)
    except CropmapError as error:
        parser.error(str(error))
    for season, result in scores.items():
        print(f"\n{season}: {chosen.folder / f'{season}_run' / 'map' / 'crop_map.tif'}\n{describe(result)}")
    print(f"\nPicture: {picture}. Both places are SIMULATED: the figures are not those of a real map.")


if __name__ == "__main__":
    main()
