import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely

from gee_pipeline.aoi import Aoi
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import CloudRule
from gee_pipeline.season import SUMMER, Season
from gee_pipeline.store import composite_path
from inference.record.lock import run_lock
from inference.run.cropland import CroplandMask
from inference.run.plan import RunPlan, load_plan
from inference.run.planning import added_scenes, open_or_create, plan_run
from tests.support.fake_runs import (
    LEFT,
    RECIPE,
    SIZE,
    STEP,
    TOP,
    FakeSource,
    aoi,
    carry_out,
    checkpoint,
    export_plan,
    map_plan,
    polygon,
)


def made_mask(path: Path, value: int = 1) -> CroplandMask:
    values = np.full((64, 96), value, np.uint8)
    transform = rasterio.Affine(10, 0, LEFT, 0, -10, TOP)
    profile = {"width": 96, "height": 64, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(values, 1)
    return CroplandMask.parse(str(path))


def test_planning_writes_nothing_and_covers_the_area(tmp_path: Path) -> None:
    plan = export_plan(FakeSource())
    assert list(tmp_path.iterdir()) == []
    corners = {
        (r, c)
        for r in range(2)
        for c in range(3)
        if shapely.box(LEFT + c * STEP, TOP - (r + 1) * STEP, LEFT + (c + 1) * STEP, TOP - r * STEP)
        .intersection(polygon())
        .area
    }
    assert {tuple(cell) for cell in plan.cells.tolist()} == corners
    assert plan.bins == range(24, 36)


def test_a_run_read_back_is_the_same_plan(tmp_path: Path) -> None:
    mask = made_mask(tmp_path / "mask.tif")
    plan = map_plan(tmp_path, FakeSource(), cropland=mask)
    opened, resumed = open_or_create(tmp_path / "run", plan)
    loaded = load_plan(tmp_path / "run")
    assert not resumed
    assert opened == plan
    assert loaded == plan
    assert loaded.digest == plan.digest
    assert loaded.mask == mask
    np.testing.assert_array_equal(loaded.cells, plan.cells)


def test_the_run_keeps_a_copy_of_its_model(tmp_path: Path) -> None:
    plan = map_plan(tmp_path, FakeSource())
    open_or_create(tmp_path / "run", plan)
    assert plan.model
    copy = load_plan(tmp_path / "run").model
    assert copy
    assert copy.path.parent == tmp_path / "run"
    assert copy.path.read_bytes() == plan.model.path.read_bytes()


def test_run_json_stays_small_with_a_complex_border_and_a_hundred_thousand_cells(tmp_path: Path) -> None:
    angles = np.linspace(0, 2 * np.pi, 50_000, endpoint=False)
    radius = 55_000 + 300 * np.sin(900 * angles)
    star = shapely.Polygon(np.column_stack([LEFT + radius * np.cos(angles), TOP + radius * np.sin(angles)]))
    plan = export_plan(FakeSource(), aoi=aoi(star))
    open_or_create(tmp_path / "run", plan)
    assert len(plan.cells) > 90_000
    assert (tmp_path / "run" / "run.json").stat().st_size < 8_000
    assert shapely.equals_exact(load_plan(tmp_path / "run").area, star)


@pytest.mark.slow
def test_the_same_plan_continues(tmp_path: Path) -> None:
    plan = map_plan(tmp_path, FakeSource())
    open_or_create(tmp_path / "run", plan)
    again, resumed = open_or_create(tmp_path / "run", plan)
    assert resumed
    assert again == plan
    assert again.reader is plan.reader


def test_a_model_that_was_moved_continues(tmp_path: Path) -> None:
    plan = map_plan(tmp_path, FakeSource())
    assert plan.model
    open_or_create(tmp_path / "run", plan)
    moved = plan.model.path.rename(tmp_path / "renamed.safetensors")
    _, resumed = open_or_create(
        tmp_path / "run", replace(plan, model=replace(plan.model, path=moved, name=moved.name))
    )
    assert resumed


def test_an_area_that_differs_by_a_millimetre_is_the_same(tmp_path: Path) -> None:
    plan = export_plan(FakeSource())
    open_or_create(tmp_path / "run", plan)
    moved = shapely.transform(polygon(), lambda xy: xy + 0.001)
    again, _ = open_or_create(tmp_path / "run", export_plan(FakeSource(), aoi=aoi(moved)))
    assert again.digest == plan.digest


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"aoi": aoi(shapely.box(LEFT, TOP - 600, LEFT + 900, TOP))}, ["area: 0.", "km²"]),
        ({"crs": "EPSG:3035"}, ["CRS: EPSG:32633 in the run, EPSG:3035 now"]),
        (
            {"season": SUMMER.season(2022, "north")},
            ["season: 2021 from 2021-01-01 in the run, 2022 from 2022-01-01 now"],
        ),
        ({"season": Season(2021, date(2021, 2, 1))}, ["2021-01-01", "2021-02-01"]),
        (
            {"source": FakeSource(about={"kind": "fake", "href": "there"})},
            ["source href: nowhere", "there now"],
        ),
        ({"seed": 2}, ["model: model1.safetensors", "model2.safetensors"]),
        ({"bins": range(20, 40)}, ["bins: 24 to 35 in the run, 20 to 39 now"]),
    ],
)
def test_a_changed_plan_is_refused_and_the_change_named(
    tmp_path: Path, changed: dict[str, Any], named: list[str]
) -> None:
    open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))
    before = (tmp_path / "run" / "run.json").read_bytes()
    source = changed.pop("source", FakeSource())
    with pytest.raises(MismatchError) as caught:
        open_or_create(tmp_path / "run", map_plan(tmp_path, source, **changed))
    assert all(part in str(caught.value) for part in (*named, "--out", "run.toml"))
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_another_cropland_mask_is_refused(tmp_path: Path) -> None:
    mask = made_mask(tmp_path / "mask.tif")
    open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource(), cropland=mask))
    with pytest.raises(MismatchError, match=r"cropland mask: .*mask\.tif \(values non-zero.*none now"):
        open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))
    other = replace(mask, values=((40, 40),))
    with pytest.raises(MismatchError, match="values 40"):
        open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource(), cropland=other))


def test_a_mask_under_another_path_to_the_same_file_continues_and_another_file_does_not(
    tmp_path: Path,
) -> None:
    """A run.toml names the mask from its folder: `run/../mask.tif`."""
    mask = made_mask(tmp_path / "mask.tif")
    begun = map_plan(tmp_path, FakeSource(), cropland=mask)
    open_or_create(tmp_path / "run", begun)
    detour = replace(mask, path=str(tmp_path / "run" / ".." / "mask.tif"))
    plan, _ = open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource(), cropland=detour))
    assert plan.digest == begun.digest
    (tmp_path / "new").mkdir()
    other = made_mask(tmp_path / "new" / "mask.tif", value=2)  # as large, so only its place is another
    plan, _ = open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource(), cropland=other))
    assert plan.digest != begun.digest
    assert plan.mask == other


def test_another_cloud_rule_is_refused(tmp_path: Path) -> None:
    open_or_create(tmp_path / "run", export_plan(FakeSource()))
    other = RECIPE.with_clear(CloudRule(threshold=0.5))
    with pytest.raises(MismatchError, match=r"recipe clear pixels: .*0\.75.* in the run, .*0\.5.* now"):
        open_or_create(tmp_path / "run", export_plan(FakeSource(), recipe=other))


def test_composites_of_the_whole_season_take_a_model_later(tmp_path: Path) -> None:
    open_or_create(tmp_path / "run", export_plan(FakeSource(), bins=range(73)))
    plan, resumed = open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))
    assert resumed
    assert plan.bins == range(73)
    assert load_plan(tmp_path / "run") == plan
    # and whoever exports again leaves the model where it is
    open_or_create(tmp_path / "run", export_plan(FakeSource()))
    assert load_plan(tmp_path / "run") == plan


def test_composites_that_lack_bins_of_the_model_are_refused(tmp_path: Path) -> None:
    open_or_create(tmp_path / "run", export_plan(FakeSource(), bins=range(24, 30)))
    with pytest.raises(MismatchError, match="bins: 24 to 29 in the run, 24 to 35 now"):
        open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))


def test_a_plan_that_lacks_bins_of_its_model_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="24 to 35"):
        map_plan(tmp_path, FakeSource(), bins=range(24, 30))
    with pytest.raises(InputError, match="0 to 72"):
        export_plan(FakeSource(), bins=range(70, 80))


def test_a_recipe_other_than_the_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="min_clear_bins: 8 against 3"):
        plan_run(
            aoi(),
            SUMMER.season(2021, "north"),
            replace(RECIPE, min_clear_bins=3),
            FakeSource(),
            checkpoint=checkpoint(),
            checkpoint_path=tmp_path / "model",
        )


def test_a_mask_that_does_not_overlap_is_refused_before_work(tmp_path: Path) -> None:
    far = Aoi(shapely.transform(polygon(), lambda xy: xy + 50_000), aoi().crs)
    with pytest.raises(InputError, match="does not overlap"):
        map_plan(tmp_path, FakeSource(), cropland=made_mask(tmp_path / "mask.tif"), aoi=far)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").touch()
    with pytest.raises(InputError, match=r"empty folder.*cat\.jpg.*--out"):
        open_or_create(folder, export_plan(FakeSource()))
    assert [path.name for path in folder.iterdir()] == ["cat.jpg"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(InputError, match="--out takes a folder"):
        open_or_create(tmp_path / "run", export_plan(FakeSource()))


def test_a_folder_that_the_system_cannot_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be made.*--out"):
        open_or_create(tmp_path / ("x" * 300), export_plan(FakeSource()))


def test_a_run_killed_while_it_was_made_can_be_made_again(tmp_path: Path) -> None:
    open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))
    (tmp_path / "run" / "run.json").rename(tmp_path / "run" / "run.json.77.part")
    _, resumed = open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))
    assert not resumed


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        ("{ not json", CorruptFileError, "not readable as JSON"),
        ("[]", CorruptFileError, "damaged"),
        ('{"format": 99}', MismatchError, "format 99"),
        ('{"format": 1}', CorruptFileError, "damaged"),
    ],
)
def test_a_damaged_run_json_is_an_error(
    tmp_path: Path, content: str, error: type[Exception], text: str
) -> None:
    open_or_create(tmp_path / "run", export_plan(FakeSource()))
    (tmp_path / "run" / "run.json").write_text(content)
    with pytest.raises(error, match=text):
        open_or_create(tmp_path / "run", export_plan(FakeSource()))


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"polygon"),
        lambda path: os.truncate(path, 2**33),  # holes: no byte of the disk
        pytest.param(
            _endless,
            marks=pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device without an end"),
        ),
    ],
)
def test_a_damaged_area_is_an_error(tmp_path: Path, damage: Any) -> None:
    open_or_create(tmp_path / "run", export_plan(FakeSource()))
    damage(tmp_path / "run" / "area.wkb")
    with pytest.raises(CorruptFileError, match=r"area\.wkb is damaged"):
        load_plan(tmp_path / "run")


def test_run_json_reads_as_the_plan(tmp_path: Path) -> None:
    plan: RunPlan = map_plan(tmp_path, FakeSource())
    open_or_create(tmp_path / "run", plan)
    values = json.loads((tmp_path / "run" / "run.json").read_text())
    assert values["season"] == {"year": 2021, "start": "2021-01-01"}
    assert values["model"]["classes"] == ["corn", "soybeans", "other"]
    assert values["cells"] == len(plan.cells)
    assert values["grid"]["cell_size"] == SIZE
    assert values["source"] == {"kind": "fake", "href": "nowhere"}


HOLDER = """
import sys, time
from pathlib import Path
from inference.record.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_in_use_is_refused_until_the_other_process_dies(tmp_path: Path) -> None:
    folder, plan = tmp_path / "run", export_plan(FakeSource())
    open_or_create(folder, plan)
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"process {holder.pid} on .* works in .*--out"):
            open_or_create(folder, plan)
        holder.kill()
        holder.wait()
    started = time.monotonic()
    open_or_create(folder, plan)
    assert time.monotonic() - started < 60


def test_the_lock_leaves_no_owner_behind(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        assert (tmp_path / "run.owner.json").exists()
    assert not (tmp_path / "run.owner.json").exists()


def test_an_area_between_the_centres_of_pixels_is_refused(tmp_path: Path) -> None:
    sliver = shapely.box(LEFT + 16, TOP - 900, LEFT + 24, TOP - 10)  # centres stand at 15 and 25
    with pytest.raises(InputError, match=r"of 7,120\.0 m² holds none.*--aoi"):
        map_plan(tmp_path, FakeSource(), aoi=aoi(sliver))


def test_a_damaged_run_file_says_what_to_do(tmp_path: Path) -> None:
    open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(CorruptFileError, match=r"run\.json is damaged.*another --out"):
        open_or_create(tmp_path / "run", map_plan(tmp_path, FakeSource()))


def test_a_changed_run_json_is_found(tmp_path: Path) -> None:
    open_or_create(tmp_path / "run", export_plan(FakeSource()))
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text().replace('"cells": 6', '"cells": 5'))
    with pytest.raises(CorruptFileError, match=r"run\.json is damaged.*digest.*another --out"):
        load_plan(tmp_path / "run")


@dataclass(frozen=True)
class FileSource(FakeSource):
    """A source that knows its files."""

    prints: dict[str, str] = field(default_factory=dict)

    def fingerprints(self, area: Any, season: Any, bins: range) -> dict[str, str]:
        return self.prints

    def shows(self, cell: Any, season: Any, bins: range, scenes: Any) -> bool:
        return True


def test_an_export_into_the_folder_of_a_map_leaves_it_a_map(tmp_path: Path) -> None:
    """Also where a file was restored that no finished cell shows."""
    run = tmp_path / "run"
    open_or_create(run, map_plan(tmp_path, FileSource(prints={"S1": "damaged", "S2": "whole"})))
    model = load_plan(run).model
    open_or_create(run, export_plan(FileSource(prints={"S1": "restored", "S2": "whole"})))
    assert load_plan(run).model == model is not None
    assert load_plan(run).scenes == {"S1": "restored", "S2": "whole"}


def begun(run: Path, prints: dict[str, str]) -> RunPlan:
    """A run of some scenes with one finished cell."""
    plan, _ = open_or_create(run, export_plan(FileSource(prints=prints)))
    path = composite_path(run, next(plan.grid.cells(plan.cells)))
    path.parent.mkdir(parents=True)
    path.touch()
    return plan


def test_scenes_that_are_gone_or_changed_end_a_run_that_has_cells(tmp_path: Path) -> None:
    run, two = tmp_path / "run", {"S1": "a", "S2": "b"}
    open_or_create(run, export_plan(FileSource(prints={**two, "S3": "c"})))
    begun(run, two)  # without a cell nothing shows S3
    with pytest.raises(MismatchError, match=r"1 scenes of the run in .* are gone, first S3"):
        open_or_create(run, export_plan(FileSource(prints=two)))
    with pytest.raises(MismatchError, match=r"1 scenes have changed since .*, first S1; 1 finished cells"):
        open_or_create(run, export_plan(FileSource(prints={**two, "S1": "x", "S3": "c"})))
    open_or_create(run, export_plan(FileSource(prints={"S1": "", "S2": "b", "S3": "c"})))  # a deleted file
    assert load_plan(run).scenes == {"S1": "a", "S2": "b", "S3": "c"}
    open_or_create(run, export_plan(FileSource()))  # now nothing is known


def test_scenes_that_came_later_are_counted_with_the_cells_that_lack_them(tmp_path: Path) -> None:
    run, prints = tmp_path / "run", {"S1": "a"}
    assert added_scenes(run, export_plan(FileSource(prints=prints))) == (0, 0)
    begun(run, prints)
    assert added_scenes(run, export_plan(FileSource(prints=prints))) == (0, 0)
    assert added_scenes(run, export_plan(FileSource(prints={**prints, "S2": "b", "S3": "c"}))) == (2, 1)


@dataclass(frozen=True)
class FileOfTheWest(FileSource):
    """All cells but those of the first column do not show any scene that changes."""

    def shows(self, cell: Any, season: Any, bins: range, scenes: Any) -> bool:
        return bool(scenes) and cell.col == 0


def test_cells_that_show_a_scene_for_which_another_failed_are_made_again_once_it_is_restored(
    tmp_path: Path,
) -> None:
    """Its file may have been another one, which some cells could read."""
    run, failing = tmp_path / "run", ("r0000_c0000",)
    carry_out(run, export_plan(FileOfTheWest(prints={"S2A_r0000_c0000": "wrong"}, broken=failing)))
    before = {path.stem for path in (run / "composites").iterdir()}
    assert before >= {"r0001_c0000", "r0000_c0001"}
    open_or_create(run, export_plan(FileOfTheWest(prints={"S2A_r0000_c0000": "restored"})))
    assert {path.stem for path in (run / "composites").iterdir()} == before - {"r0001_c0000"}
    assert load_plan(run).scenes == {"S2A_r0000_c0000": "restored"}


def test_cells_that_show_a_scene_for_which_none_failed_are_not_mixed_with_another(tmp_path: Path) -> None:
    run, failing = tmp_path / "run", ("r0000_c0000",)
    carry_out(run, export_plan(FileSource(prints={"S1": "was"}, broken=failing)))
    with pytest.raises(MismatchError, match=r"files of 1 scenes have changed.*5 finished"):
        open_or_create(run, export_plan(FileSource(prints={"S1": "is"})))
    assert len(list((run / "composites").iterdir())) == 5
