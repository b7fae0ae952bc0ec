"""`cropmap export`: composites alone, and what a later map makes of them."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.merge
from numpy.typing import NDArray

from gee_pipeline.recipe import CloudRule, Recipe
from tests.support.tiny_place import BINS, CELL_SIZE, FILES, Place, codes, files, run_cropmap, times

pytestmark = pytest.mark.slow

CELLS = {f"composites/r000{r}_c000{c}.tif" for r in (0, 1) for c in (0, 1)}


def composite(run: Path) -> tuple[NDArray[np.int16], tuple[str, ...], dict[str, Any]]:
    """Values `(bin and band, y, x)`, names and recipe of one cell."""
    with rasterio.open(run / "composites" / "r0000_c0000.tif") as file:
        return file.read(), file.descriptions, json.loads(file.tags()["CROPMAP_RECIPE"])


def test_export_writes_composites_only_and_tells_where(place: Place, tmp_path: Path) -> None:
    result = place.export(tmp_path / "run")
    assert result.exit_code == 0
    assert (
        files(tmp_path / "run")
        == {
            "area.wkb",
            "composites/composites.vrt",
            "cropmap.log",
            "ledger.jsonl",
            "run.json",
            "run.toml",
        }
        | CELLS
    )
    assert result.stdout == f"Composites of 4 cells: {tmp_path / 'run' / 'composites'}\n"
    assert result.stderr.splitlines()[0] == "The scenes are simulated: no satellite saw them."
    values, names, _ = composite(tmp_path / "run")
    assert names[:4] == ("B2_24", "B4_24", "B8_24", "B2_25")  # bins of days 121 to 334
    assert len(names) == 43 * 3
    assert values.dtype == np.int16
    gaps = (values == -9999).reshape(43, 3, CELL_SIZE, CELL_SIZE)
    assert (gaps.all(axis=1) == gaps.any(axis=1)).all()  # an observation is whole or absent
    assert 0 < (~gaps).mean() < 0.1


def test_all_composites_open_as_one_raster(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert place.export(run).exit_code == 0
    expected, _ = rasterio.merge.merge(sorted((run / "composites").glob("*.tif")))
    with rasterio.open(run / "composites" / "composites.vrt") as whole:
        np.testing.assert_array_equal(whole.read(), expected)
        colors = {one.name for one in whole.colorinterp}
    assert not colors & {"red", "green", "blue"}  # without B3 there are no true colours


def test_a_run_of_very_many_composites_says_how_to_read_them(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.workflow.steps.MOST_SOURCES", 500)
    result = place.export(tmp_path / "run")
    assert result.exit_code == 0
    assert "have no composites.vrt, which would list 516 bands" in result.stderr
    assert "cropmap.open_run" in result.stderr
    assert not (tmp_path / "run" / "composites" / "composites.vrt").exists()


def test_a_damaged_composite_that_a_map_no_longer_needs_is_told_and_stays(
    place: Place, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert place.predict(run).exit_code == 0
    damaged = run / "composites" / "r0000_c0000.tif"
    damaged.write_bytes(b"no composite")
    result = place.predict(run)
    assert result.exit_code == 0
    assert "composites.vrt is not written" in result.stderr
    assert str(damaged) in result.stderr
    assert "only without its prediction is it made again" in result.stderr
    assert not (run / "composites" / "composites.vrt").exists()
    damaged.unlink()
    (run / "predictions" / damaged.name).unlink()
    assert place.predict(run).exit_code == 0
    with rasterio.open(run / "composites" / "composites.vrt") as whole:
        assert (whole.read(window=((0, CELL_SIZE), (0, CELL_SIZE))) != -9999).any()


def test_a_run_does_not_continue_with_other_pixels(place: Place, tmp_path: Path) -> None:
    own = place.copied(tmp_path / "place")
    run = tmp_path / "run"
    assert own.export(run, bands="B4").exit_code == 0
    assert own.export(run, bands="B4").exit_code == 0
    band = next(own.catalog.parent.rglob("B04.tif"))
    with rasterio.open(band, "r+") as file:
        file.write(file.read(1) + 100, 1)
    result = own.export(run, bands="B4")
    assert result.exit_code == 2
    assert "never mixes two sources" in result.stderr
    assert "4 finished cells" in result.stderr


def test_json_counts_the_cells(place: Place, tmp_path: Path) -> None:
    result = place.export(tmp_path / "run", "--quiet", "--json")
    assert result.stderr == ""
    values = json.loads(result.stdout)
    assert (values["planned"], values["done"], values["failures"]) == (4, 4, [])
    assert values["folder"] == str(tmp_path / "run")


def test_the_whole_season_has_73_bins_and_the_bands_asked_for(place: Place, tmp_path: Path) -> None:
    assert place.export(tmp_path / "run", "--whole-season", bands="B11,B4").exit_code == 0
    _, names, recipe = composite(tmp_path / "run")
    assert names == tuple(f"{band}_{index}" for index in range(73) for band in ("B11", "B4"))
    assert Recipe.from_dict(recipe).bands == ("B11", "B4")


def test_a_lower_threshold_keeps_more_pixels(place: Place, tmp_path: Path) -> None:
    seen = {}
    for threshold in (0.2, 0.95):
        run = tmp_path / f"run{threshold}"
        assert place.export(run, bands="B4", cloud_threshold=threshold).exit_code == 0
        values, _, recipe = composite(run)
        assert Recipe.from_dict(recipe).sensors[0].clear == CloudRule(threshold=threshold)
        seen[threshold] = (values != -9999).sum()
    assert seen[0.2] > 1.1 * seen[0.95]


def test_run_toml_repeats_the_export(place: Place, tmp_path: Path) -> None:
    place.export(tmp_path / "run", "--whole-season", bands="B4,B8", cloud_threshold=0.5, cloud_band="cs_cdf")
    kept = tomllib.loads((tmp_path / "run" / "run.toml").read_text())
    assert (kept["bands"], kept["cloud_threshold"], kept["cloud_band"]) == (["B4", "B8"], 0.5, "cs_cdf")
    again = run_cropmap("export", "--config", tmp_path / "run" / "run.toml", "--out", tmp_path / "other")
    assert again.exit_code == 0, again.stderr
    for first, second in zip(composite(tmp_path / "run"), composite(tmp_path / "other"), strict=True):
        assert np.array_equal(first, second)  # type: ignore[arg-type]


@pytest.mark.parametrize("flags", [(), ("--whole-season",)])
def test_a_later_map_reads_no_scene_again(
    place: Place, finished: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    mine, run = place.copied(tmp_path / "scenes"), tmp_path / "run"
    assert mine.export(run, *flags).exit_code == 0
    before = times(run)
    for asset in (tmp_path / "scenes" / "items").glob("*/*.tif"):
        asset.unlink()
    result = mine.predict(run)
    assert result.exit_code == 0, result.stderr
    assert (codes(run) == codes(finished)).all()
    assert times(run).items() >= before.items()
    assert files(run) == FILES


def test_composites_of_other_bands_are_not_mapped(place: Place, tmp_path: Path) -> None:
    place.export(tmp_path / "run", bands="B4")
    before = files(tmp_path / "run")
    result = place.predict(tmp_path / "run")
    assert result.exit_code == 2
    assert "recipe bands: B4 in the run, B2, B4, B8 now" in result.stderr
    assert "--out" in result.stderr
    assert files(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("bands", "B4,B99", "B4, B99"),
        ("bands", "B4,B4", "each band once"),
        ("bands", "B4,,B8", "empty name"),
        ("cloud_threshold", "1.5", "between 0 and 1, got 1.5"),
        ("cloud_threshold", "nan", "between 0 and 1, got nan"),
        ("cloud_band", "clouds", "'cs', 'cs_cdf'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(
    place: Place, tmp_path: Path, option: str, value: str, named: str
) -> None:
    result = place.export(tmp_path / "run", **{option: value})
    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_window_of_the_tiny_model_is_shorter(finished: Path) -> None:
    _, names, _ = composite(finished)
    assert len(names) == BINS * 3
    assert names[0] == "B2_30"


def test_exporting_again_leaves_the_file_that_repeats_the_map(place: Place, tmp_path: Path) -> None:
    for work in (place.export, place.predict, place.export):
        assert work(tmp_path / "run").exit_code == 0
    assert "model" in tomllib.loads((tmp_path / "run" / "run.toml").read_text(encoding="utf-8"))


def test_the_run_toml_of_a_map_tells_an_export_its_area_too(place: Place, tmp_path: Path) -> None:
    config, out = tmp_path / "run.toml", tmp_path / "run"
    config.write_text(
        f"aoi = '{place.area}'\nyear = 2021\nsource = '{place.catalog}'\ncell_size = 32\n"
        "workers = 0\ndevice = 'auto'\nmodel = 'model.safetensors'\ncropland_mask = 'mask.tif:40'\n"
    )
    result = run_cropmap("export", "--config", config, "--out", out, "--bands", "B2")
    assert result.exit_code == 0, result.stderr
    assert composite(out)[1][0] == "B2_24"
    config.write_text(config.read_text() + "devise = 'auto'\n")
    assert "unknown option devise." in run_cropmap("export", "--config", config).stderr


def test_an_export_keeps_the_clock_of_its_run(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert place.export(run, bands="B4", clock="utc").exit_code == 0
    assert tomllib.loads((run / "run.toml").read_text())["clock"] == "utc"
    assert place.export(run, bands="B4").exit_code == 0
    result = place.export(run, bands="B4", clock="solar")
    assert result.exit_code == 2
    assert "clock: utc in the run, solar now" in result.stderr
