"""`cropmap verify`: a finished run holds; whatever is changed in it is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gee_pipeline.files import read_json, write_json
from tests.support.tiny_place import Place, files, run_cropmap


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_a_finished_run_holds_wherever_it_lies(run: Path) -> None:
    before = files(run)
    result = run_cropmap("verify", run, "--cells", 4)
    assert result.exit_code == 0, result.stderr
    assert "4 of 4 have the digest they were written with" in result.stdout
    assert "3 rasters hold the pixels of the cells" in result.stdout
    assert "3 cells came out the same from their composites" in result.stdout  # one has no class
    assert result.stdout.endswith("Verified: yes\n")
    assert files(run) == before


def test_a_run_of_version_0_1_0_holds(tmp_path: Path) -> None:
    written = Path(__file__).parents[3] / "written_by_0_1_0" / "finished"
    shutil.copytree(written, tmp_path / "run")
    result = run_cropmap("verify", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "2 cells came out the same" in result.stdout


def test_digests_are_those_of_the_files(run: Path) -> None:
    values = json.loads(run_cropmap("verify", run, "--json").stdout)
    assert values["verified"] is True
    content = (run / "map" / "crop_map.tif").read_bytes()
    assert values["digests"]["crop_map.tif"] == hashlib.sha256(content).hexdigest()
    assert values["digests"]["model"] == read_json(run / "run.json")["model"]["digest"]


def test_layers_on_request_are_verified_too(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert place.predict(out, "--layers", "margin,probabilities").exit_code == 0
    result = run_cropmap("verify", out)
    assert result.exit_code == 0, result.stderr
    assert "5 rasters hold" in result.stdout


def _pixel(run: Path) -> None:
    with rasterio.open(run / "map" / "crop_map.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        codes = file.read(1)
        row, col = np.argwhere((codes > 0) & (codes < 254))[0]
        codes[row, col] = codes[row, col] % 5 + 1
        file.write(codes, 1)


def _damaged_cell(run: Path) -> None:
    path = run / "predictions" / "r0000_c0001.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _other_model(run: Path) -> None:
    path = run / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def _report(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        values = read_json(run / "map" / "report.json")
        change(values)
        write_json(run / "map" / "report.json", values)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_pixel, "map: pixels that differ from those of the cells: crop_map.tif 1"),
        (_damaged_cell, "cells: 1 of 4 are missing or damaged: r0000_c0001"),
        (_other_model, "model: "),
        (_report(lambda v: v["recipe"].update(digest="0" * 16)), "recipe: the report says 0000"),  # type: ignore[attr-defined]
        (_report(lambda v: v["source"].update(kind="others")), "source: the report says"),  # type: ignore[attr-defined]
        (_report(lambda v: v["certificate"].update(pixels={"1": 1})), "cells: they hold"),  # type: ignore[attr-defined]
    ],
)
def test_what_was_changed_is_named(run: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(run)
    result = run_cropmap("verify", run)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Verified: no" in result.stdout


def test_cells_of_another_composite_are_found(run: Path) -> None:
    """A prediction that is whole, but not what the model makes of its composite."""
    from gee_pipeline.grid import Cell
    from inference.run.plan import load_plan
    from inference.run.prediction import prediction_path, read_finished, write_prediction

    plan = load_plan(run)
    cell: Cell = plan.grid.cell(0, 0)
    kept = read_finished(prediction_path(run, cell), cell, plan.digest)
    assert kept is not None
    bands = kept.bands.copy()
    mapped = (bands[0] > 0) & (bands[0] < 254)
    bands[0][mapped] = bands[0][mapped] % 5 + 1
    write_prediction(prediction_path(run, cell), bands, cell, plan.digest)
    result = run_cropmap("verify", run, "--cells", 4)
    assert result.exit_code == 2
    assert "r0000_c0000 has other classes in 100.00% of its pixels" in result.stderr


def test_without_composites_nothing_is_predicted_again(run: Path) -> None:
    shutil.rmtree(run / "composites")
    result = run_cropmap("verify", run)
    assert result.exit_code == 0
    assert "of 3 cells drawn none has a whole composite" in result.stdout


def test_a_cropland_mask_of_another_machine_is_not_needed(place: Place, tmp_path: Path) -> None:
    mask, out = tmp_path / "mask.tif", tmp_path / "run"
    shutil.copy(place.fields, mask)
    assert place.predict(out, cropland_mask=mask).exit_code == 0
    assert "cells came out the same" in run_cropmap("verify", out).stdout
    mask.unlink()
    result = run_cropmap("verify", out)
    assert result.exit_code == 0, result.stderr
    assert f"The cropland mask {mask} does not exist" in result.stdout


def test_a_run_without_a_map_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "map" / "report.json").unlink()
    result = run_cropmap("verify", run)
    assert result.exit_code == 3
    assert "cropmap predict --config" in result.stderr
    nothing = run_cropmap("verify", tmp_path)
    assert (nothing.exit_code, "holds no run" in nothing.stderr) == (2, True)
