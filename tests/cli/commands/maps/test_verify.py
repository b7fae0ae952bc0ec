"""`cropmap verify`: a finished run holds; whatever is changed in it is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from gee_pipeline.files import read_json, write_json
from inference.run.plan import load_plan
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


def _rewritten(
    name: str, change: Callable[[dict[str, object], np.ndarray], np.ndarray]
) -> Callable[[Path], None]:
    """A raster with the same tags and another place or shape."""

    def spoil(run: Path) -> None:
        path = run / "map" / name
        with rasterio.open(path) as file:
            profile, bands, tags = dict(file.profile), file.read(), file.tags()
        bands = change(profile, bands)
        profile |= {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
        with rasterio.open(path, "w", **profile) as file:
            file.write(bands)
            file.update_tags(**tags)

    return spoil


def _east(profile: dict, bands: np.ndarray) -> np.ndarray:
    profile["transform"] = profile["transform"] @ Affine.translation(100, 0)
    return bands


def _other_zone(profile: dict, bands: np.ndarray) -> np.ndarray:
    profile["crs"] = "EPSG:32616"
    return bands


def _cut(profile: dict, bands: np.ndarray) -> np.ndarray:
    return bands[:, :40]


def _legend(run: Path) -> None:
    values = read_json(run / "map" / "legend.json")
    one, other = values["classes"][1:3]
    one["name"], other["name"] = other["name"], one["name"]
    write_json(run / "map" / "legend.json", values)


def _tags(run: Path) -> None:
    with rasterio.open(run / "map" / "crop_map.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.update_tags(CLASS_1="rice")
        file.update_tags(1, CLASS_1="rice")


def _hectares(values: dict) -> None:
    values["classes"][0]["hectares"] *= 1.01


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_rewritten("crop_map.tif", _east), "map: crop_map.tif begins at"),
        (_rewritten("confidence.tif", _east), "map: confidence.tif begins at"),
        (_rewritten("crop_map.tif", _other_zone), "map: crop_map.tif is in EPSG:32616, not in EPSG:32615"),
        (_rewritten("clear_observations.tif", _cut), "map: clear_observations.tif has (1, "),
        (_legend, "legend: legend.json names 1 'soybeans', 2 'corn', the model"),
        (_tags, "legend: crop_map.tif names 1 'rice', the model"),
        (_report(_hectares), "areas: the report says corn with"),
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


@pytest.mark.parametrize(
    "spoil",
    [
        _report(lambda v: v.pop("recipe")),
        _report(lambda v: v.update(classes=[1])),
        _report(lambda v: v.update(certificate=3)),
        lambda run: write_json(run / "map" / "report.json", []),
    ],
)
def test_a_report_that_is_none_is_named(run: Path, spoil: Callable[[Path], None]) -> None:
    spoil(run)
    result = run_cropmap("verify", run)
    assert result.exit_code == 2
    assert "report.json is no report of a map" in result.stderr


def test_a_pixel_outside_the_cells_of_a_run_is_found(place: Place, tmp_path: Path) -> None:
    """A map is a rectangle; an area of two corners has cells in these alone."""
    with rasterio.open(place.fields) as file:
        west, south, east, north = file.bounds
        crs = file.crs
    boxes = [
        shapely.box(west + 9, south + 9, west + 99, south + 99),
        shapely.box(east - 99, north - 99, east - 9, north - 9),
    ]
    area, out = tmp_path / "area.geojson", tmp_path / "run"
    geopandas.GeoDataFrame(geometry=[shapely.MultiPolygon(boxes)], crs=crs).to_crs(4326).to_file(area)
    assert place.predict(out, aoi=area).exit_code == 0
    assert run_cropmap("verify", out, "--cells", 0).exit_code == 0
    plan = load_plan(out)
    gone = next(
        (row, col)
        for row, col in np.ndindex(plan.grid.shape)
        if (row, col) not in {tuple(cell) for cell in plan.cells.tolist()}
    )
    with rasterio.open(out / "map" / "crop_map.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        codes = file.read(1)
        codes[gone[0] * plan.grid.cell_size, gone[1] * plan.grid.cell_size] = 2
        file.write(codes, 1)
    result = run_cropmap("verify", out, "--cells", 0)
    assert result.exit_code == 2
    assert "map: pixels that differ from those of the cells: crop_map.tif 1" in result.stderr


def test_cells_of_another_composite_are_found(run: Path) -> None:
    """A prediction that is whole, but not what the model makes of its composite."""
    from gee_pipeline.grid import Cell
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
    assert "of 3 cells drawn none has a composite" in result.stdout


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_a_damaged_composite_is_no_missing_one(run: Path, damage: Callable[[bytes], bytes]) -> None:
    for path in (run / "composites").glob("*.tif"):
        path.write_bytes(damage(path.read_bytes()))
    result = run_cropmap("verify", run, "--cells", 1)
    assert result.exit_code == 2
    assert "has a damaged composite" in result.stderr


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
