"""A run of made predictions with a map, and an assessment of it by an interpreter who errs in one class."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from inference.product.map_writer import write_map
from tests.support.made_runs import CROPS, MadeRun, made_facts, made_grid, made_run, random_layers
from tests.support.tiny_place import run_cropmap


def made_map(folder: Path, **facts: Any) -> MadeRun:
    """Two by three cells of 32 px, in noise, a rim of 8 px outside."""
    layers = random_layers((64, 96))
    layers[0, :8], layers[1:, :8] = 0, 255
    made = made_run(folder, made_grid(2, 3, cell_size=32), layers)
    write_again(made, **facts)
    return made


def write_again(run: MadeRun, **facts: Any) -> None:
    """Write the map of a run."""
    write_map(run.folder, run.grid, run.cells, CROPS, made_facts(**facts))


def assess(run: MadeRun, *options: object) -> Path:
    """The folder of a report on a sample in which every fourth pixel of soybeans is corn."""
    assert run_cropmap("assess", "design", run.folder, "--points", 400, "--quiet", *options).exit_code == 0
    folder = run.folder / "assessment"
    with (folder / "key.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = folder / "answers.csv"
    with answers.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "answer"])
        for index, row in enumerate(rows):
            said = row["map"] if row["map"] in {crop.name for crop in CROPS} else "other"
            writer.writerow([row["id"], "corn" if said == "soybeans" and index % 4 == 0 else said])
    by_district = ("--by", "district") if "--districts" in options else ()
    result = run_cropmap("assess", "report", run.folder, answers, "--quiet", *by_district)
    assert result.exit_code == 0, result.stderr
    return folder / "report"
