"""A first map in one command: simulated scenes, `cropmap predict`, and how right the map is.

    python -m examples.demo demo

Run it again to see that a finished run is kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from examples.field_data import PARCELS, VISITS, write_parcels, write_visits
from examples.phenology import CLASSES
from examples.scoring import Score, class_names, score
from examples.simulated_scenes import Settings, is_complete, simulate
from gee_pipeline.errors import CropmapError, InputError

DEMO_SIZE = 256
"""Pixels along a side: 50,000 pixels in the area."""

MODEL = "fast"
"""The model that ships with cropmap and maps many times as fast: the default takes two cores two minutes."""


def predict_command(folder: Path, year: int, model: str = MODEL) -> list[str]:
    """The arguments of `cropmap` that map the scenes of a demo folder."""
    scenes = folder / "scenes"
    return [
        "predict",
        f"--aoi={scenes / 'area.geojson'}",
        f"--year={year}",
        f"--source={scenes / 'catalog.json'}",
        f"--model={model}",
        "--workers=0",  # four small cells: to start more processes takes longer than the cells
        f"--out={folder / 'run'}",
    ]


def describe(result: Score) -> str:
    """A table of a score, ready to print."""
    rows = [
        f"  {name:<10} {result.recall[name]:>7.1%} {result.precision[name]:>10.1%} {result.f1[name]:>7.3f}"
        for name in result.names
    ]
    head = f"  {'class':<10} {'recall':>7} {'precision':>10} {'F1':>7}"
    total = (
        f"Overall accuracy {result.overall_accuracy:.1%}, macro-F1 {result.macro_f1:.3f}, over "
        f"{result.pixels:,} field pixels ({int(result.unmapped.sum()):,} without a class, counted as wrong)."
    )
    return "\n".join([head, *rows, total])


def main() -> None:
    """Make the scenes and the map, and print where it is and how right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"), help="where to work [demo]")
    parser.add_argument("--size", type=int, default=DEMO_SIZE, help="pixels of 10 m along a side [256]")
    chosen = parser.parse_args()
    try:
        sys.exit(run_demo(chosen.folder, Settings(size=chosen.size)))
    except CropmapError as error:
        parser.error(str(error))


def run_demo(folder: Path, settings: Settings) -> int:
    """Make what is missing of a demo and tell of it; returns the exit code of `cropmap predict`.

    Args:
        folder: Gets `scenes`, `run` and the field data of the notebooks.
        settings: Which scenes.

    Raises:
        InputError: The folder holds other scenes, or the map has other classes than the fields.
    """
    scenes = folder / "scenes"
    made = is_complete(scenes, settings)
    print(f"{'Found' if made else 'Making'} simulated scenes in {scenes}", flush=True)
    simulate(scenes, settings)
    write_field_data(folder)
    command = predict_command(folder, settings.year)
    print("$ cropmap " + " ".join(command), flush=True)
    if code := subprocess.run([sys.executable, "-m", "cli.main", *command], check=False).returncode:
        return code
    crop_map = folder / "run" / "map" / "crop_map.tif"
    print(f"\nMap: {crop_map}\n{describe(score(crop_map, scenes / 'fields.tif', _names(crop_map)))}")
    print(
        "The scenes are SIMULATED from statistics of real pixels in eastern Arkansas: the figures show\n"
        "that the parts work together, not how right a map of a real place is."
    )
    return 0


def write_field_data(folder: Path) -> None:
    """Write visited points and declared parcels of a demo's fields, unless they are there.

    Args:
        folder: Of the demo, with `scenes`.
    """
    for name, write in ((VISITS, write_visits), (PARCELS, write_parcels)):
        if not (folder / name).exists():
            write(folder / name, folder / "scenes" / "fields.tif")


def _names(crop_map: Path) -> tuple[str, ...]:
    """Names of the map's classes, which have to be those of the truth."""
    names = class_names(crop_map.with_name("legend.json"))
    if names != tuple(CLASSES):
        raise InputError(f"The fields are {', '.join(CLASSES)}; the map has {', '.join(names)}.")
    return names


if __name__ == "__main__":
    main()
