import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
import torch

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import DiskFullError, IncompleteRunError, InputError, MismatchError, PlaceError
from inference.models.series import model_input
from inference.record.lock import run_lock
from inference.run import cell_task
from inference.run.cropland import CroplandMask
from inference.run.execute import Progress, run
from inference.run.ledger import status
from inference.run.plan import RunPlan
from inference.run.planning import open_or_create
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
    predictions,
    values_of,
)

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 3 * SIZE, 2 * SIZE


def mosaic(folder: Path) -> Any:
    """The three bands `(3, y, x)` of all cells; 77 where no cell was planned."""
    out = np.full((3, HEIGHT, WIDTH), 77, np.uint8)
    for path in (folder / "predictions").glob("*.tif"):
        with rasterio.open(path) as file:
            col = round((file.transform.c - LEFT) / 10)
            row = round((TOP - file.transform.f) / 10)
            out[:, row : row + SIZE, col : col + SIZE] = file.read()
    return out


def area_mask() -> Any:
    transform = rasterio.Affine(10, 0, LEFT, 0, -10, TOP)
    return rasterio.features.geometry_mask([polygon()], (HEIGHT, WIDTH), transform, invert=True)


def oracle(plan: RunPlan, cropland: Any = None) -> Any:
    """The map pixel by pixel, with the plain network: no cells, no files, no batches of the predictor."""
    inside = area_mask()
    out = np.stack([np.zeros((HEIGHT, WIDTH)), *[np.full((HEIGHT, WIDTH), 255)] * 2]).astype(np.uint8)
    known = {}
    for cell in plan.grid.cells(plan.cells):
        values = values_of(cell, RECIPE.window)
        for y, x in np.ndindex(SIZE, SIZE):
            row, col = cell.row * SIZE + y, cell.col * SIZE + x
            if not inside[row, col]:
                continue
            if cropland is not None and not cropland[row, col]:
                out[0, row, col] = 254
                continue
            series = values[:, :, y, x].T
            seen = int((series[0] != NODATA).sum())
            out[0, row, col], out[2, row, col] = 255, seen
            if seen >= RECIPE.min_clear_bins:
                known[row, col] = series
    for (row, col), chances in zip(known, plain_softmax(np.stack([*known.values()])), strict=True):
        out[0, row, col] = 1 + chances.argmax()
        out[1, row, col] = round(100 * float(chances.max()))
    return out


def plain_softmax(series: Any) -> Any:
    model = checkpoint()
    with torch.inference_mode():
        return (
            model.build()(torch.from_numpy(model_input(series, model.normalisation, model.recipe)))
            .softmax(1)
            .numpy()
        )


def assert_same_map(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found[2], expected[2])
    np.testing.assert_array_equal(found[0], expected[0])
    assert np.abs(found[1].astype(int) - expected[1].astype(int)).max() <= 1  # rounding of 1e-6


def test_every_pixel_is_what_the_plain_network_says(tmp_path: Path) -> None:
    plan = map_plan(tmp_path, FakeSource())
    summary = carry_out(tmp_path / "run", plan)
    summary.raise_if_incomplete()
    expected = oracle(plan)
    assert_same_map(mosaic(tmp_path / "run"), expected)
    codes, counts = np.unique(expected[0], return_counts=True)
    assert summary.pixels == dict(zip(codes.tolist(), counts.tolist(), strict=True))
    assert {0, 255} < set(summary.pixels)  # the case holds an outside and a want of observations
    assert (summary.planned, summary.done, summary.skipped, summary.failed) == (6, 6, 0, 0)


def test_pixels_that_are_not_cropland_are_never_sent_to_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cropland = np.random.default_rng(5).integers(0, 2, (HEIGHT, WIDTH)).astype(np.uint8)
    cropland[:SIZE, :SIZE] = 0  # a whole cell
    profile = {"width": WIDTH, "height": HEIGHT, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    transform = rasterio.Affine(10, 0, LEFT, 0, -10, TOP)
    with rasterio.open(tmp_path / "mask.tif", "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(cropland, 1)
    sent = 0

    def counted(self: Any, series: Any) -> Any:
        nonlocal sent
        sent += len(series)
        return original(self, series)

    from inference.models.predictor import Predictor

    original = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", counted)
    source = FakeSource(tmp_path / "calls.txt")
    plan = map_plan(tmp_path, source, cropland=CroplandMask.parse(f"{tmp_path / 'mask.tif'}:1"))
    summary = carry_out(tmp_path / "run", plan)
    expected = oracle(plan, cropland)
    assert_same_map(mosaic(tmp_path / "run"), expected)
    assert sent == ((expected[0] >= 1) & (expected[0] <= 3)).sum()
    assert "r0000_c0000" not in source.called()
    assert (summary.done, summary.skipped) == (5, 1)


def test_export_writes_composites_and_predict_uses_them(tmp_path: Path) -> None:
    source = FakeSource(tmp_path / "calls.txt")
    summary = carry_out(tmp_path / "run", export_plan(source, bins=range(73)))
    summary.raise_if_incomplete()
    assert (summary.goal, summary.done) == ("composites", 6)
    assert not (tmp_path / "run" / "predictions").exists()
    assert sorted(source.called()) == sorted(set(source.called()))
    assert status(tmp_path / "run").done == 6

    plan = map_plan(tmp_path, source)
    carry_out(tmp_path / "run", plan).raise_if_incomplete()
    assert len(source.called()) == 6  # nothing was read again
    assert_same_map(mosaic(tmp_path / "run"), oracle(plan))
    assert status(tmp_path / "run").done == 6


def test_finished_cells_are_not_computed_again(tmp_path: Path) -> None:
    source = FakeSource(tmp_path / "calls.txt")
    plan = map_plan(tmp_path, source)
    carry_out(tmp_path / "run", plan)
    first = predictions(tmp_path / "run")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "predictions").iterdir()}
    summary = carry_out(tmp_path / "run", plan)
    assert len(source.called()) == 6
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "predictions").iterdir()} == times
    assert predictions(tmp_path / "run") == first
    assert summary.done == 6
    ledger = (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()
    assert len(ledger) == 2 + 6  # two starts; a cell's line is written once


def test_a_finished_run_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = map_plan(tmp_path, FakeSource())
    carry_out(tmp_path / "run", plan)
    monkeypatch.setattr(
        "inference.run.scheduler.local_client", lambda worker_plan: pytest.fail("a cluster for nothing")
    )
    carry_out(tmp_path / "run", plan, workers=2).raise_if_incomplete()


@pytest.mark.parametrize("folder", ["predictions", "composites"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "no raster"])
def test_a_damaged_file_is_made_again(tmp_path: Path, folder: str, damage: str) -> None:
    source = FakeSource(tmp_path / "calls.txt")
    plan = map_plan(tmp_path, source)
    carry_out(tmp_path / "run", plan)
    before = predictions(tmp_path / "run")
    path = tmp_path / "run" / folder / "r0001_c0001.tif"
    (tmp_path / "run" / "predictions" / path.name).unlink()
    content = path.read_bytes() if path.exists() else before[path.name]
    if damage == "missing":
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"hello")
    summary = carry_out(tmp_path / "run", plan)
    summary.raise_if_incomplete()
    assert predictions(tmp_path / "run") == before
    assert source.called().count("r0001_c0001") == (1 if folder == "predictions" else 2)


def test_a_file_that_vanishes_at_the_end_is_missed(tmp_path: Path) -> None:
    def vandal(progress: Progress) -> None:
        if progress.done == progress.planned:
            (tmp_path / "run" / "predictions" / "r0000_c0001.tif").unlink()

    summary = carry_out(tmp_path / "run", map_plan(tmp_path, FakeSource()), on_progress=vandal)
    with pytest.raises(
        IncompleteRunError, match=r"1 of 6 cells.*\n.*r0000_c0001.*missing or damaged"
    ) as caught:
        summary.raise_if_incomplete()
    assert caught.value.exit_code == 3


def test_a_broken_scene_costs_its_cell_and_not_the_run(tmp_path: Path) -> None:
    plan = map_plan(tmp_path, FakeSource(broken=("r0000_c0001", "r0001_c0002")))
    summary = carry_out(tmp_path / "run", plan)
    assert (summary.planned, summary.done, summary.failed) == (6, 4, 2)
    with pytest.raises(IncompleteRunError) as caught:
        summary.raise_if_incomplete()
    text = str(caught.value)
    assert "2 of 6 cells" in text
    assert "r0000_c0001: scene S2A_r0000_c0001 cannot be read" in text
    assert f"cropmap status {(tmp_path / 'run').absolute()}" in text
    assert "cropmap predict --config" in text
    assert caught.value.exit_code == 2  # trying again does not fix a broken scene
    assert IncompleteRunError.exit_code == 3
    found = status(tmp_path / "run")
    assert (found.done, found.failed) == (4, 2)
    assert not (tmp_path / "run" / "predictions" / "r0000_c0001.tif").exists()

    carry_out(tmp_path / "run", map_plan(tmp_path, FakeSource())).raise_if_incomplete()
    assert_same_map(mosaic(tmp_path / "run"), oracle(plan))
    assert status(tmp_path / "run").failed == 0


class FlakySource(FakeSource):
    """The operating system reports an error at the first calls."""

    errors = 2
    error: type[Exception] = OSError

    def read_cell(self, *args: Any) -> Any:
        self.seen[0] += 1
        if self.seen[0] <= self.errors:
            raise self.error("the network is down")
        return super().read_cell(*args)


def flaky(errors: int, error: type[Exception] = OSError) -> FlakySource:
    source = FlakySource()
    for name, value in {"errors": errors, "error": error, "seen": [0]}.items():
        object.__setattr__(source, name, value)
    return source


def test_an_error_of_the_operating_system_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_task, "PAUSE", 0)
    carry_out(tmp_path / "run", export_plan(flaky(2))).raise_if_incomplete()


@pytest.mark.parametrize(("error", "calls"), [(OSError, 3), (ValueError, 1)])
def test_an_error_that_stays_fails_the_cell_and_tells_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception], calls: int
) -> None:
    monkeypatch.setattr(cell_task, "PAUSE", 0)
    source = flaky(calls, error)
    summary = carry_out(tmp_path / "run", export_plan(source))
    assert [failure.name for failure in summary.failures] == ["r0000_c0000"]
    assert source.seen == [calls + 5]  # type: ignore[attr-defined]
    with pytest.raises(
        IncompleteRunError, match=rf"{error.__name__}: the network is down \(test_execute"
    ) as caught:
        summary.raise_if_incomplete()
    assert caught.value.exit_code == 3


def test_a_source_with_the_wrong_shape_is_caught(tmp_path: Path) -> None:
    class Short(FakeSource):
        def read_cell(self, cell: Any, season: Any, bins: range) -> Any:
            return super().read_cell(cell, season, bins[:-1])

    summary = carry_out(tmp_path / "run", export_plan(Short()))
    assert {failure.kind for failure in summary.failures} == {MismatchError.__name__}


def test_a_full_disk_stops_the_run_and_it_continues_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lowest level that a file passes: fsync, where a real full disk reports delayed writes too."""
    source = FakeSource(tmp_path / "calls.txt")
    plan = map_plan(tmp_path, source)
    opened, _ = open_or_create(tmp_path / "run", plan)
    written, real = 0, os.fsync

    def full(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written == 7:  # lock owner, then two files a cell: the third cell's prediction does not fit
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match=r"are needed for r0000_c0002\.tif") as caught:
            run(tmp_path / "run", opened, workers=0, device="cpu")
    assert len(source.called()) == 3  # it stopped at once
    kinds = ("composites", "predictions")
    composites, done = ([p.stat().st_size for p in (tmp_path / "run" / kind).iterdir()] for kind in kinds)
    left = (3 * sum(composites) / 3 + 4 * sum(done) / 2) / 1024  # of six cells, three and two are there
    assert str(caught.value).endswith(f"The cells that are left take about {left:.1f} KiB.")
    assert list((tmp_path / "run").rglob("*.part")) == []
    stored = list((tmp_path / "run" / "predictions").iterdir())
    assert len(stored) == 2
    assert all(rasterio.open(path).read().shape == (3, SIZE, SIZE) for path in stored)
    carry_out(tmp_path / "run", plan).raise_if_incomplete()
    assert_same_map(mosaic(tmp_path / "run"), oracle(plan))
    assert Counter(source.called()).most_common(1)[0][1] == 1


def test_what_a_killed_process_had_begun_to_write_is_removed(tmp_path: Path) -> None:
    plan, _ = open_or_create(tmp_path / "run", export_plan(FakeSource()))
    stale = [
        tmp_path / "run" / name
        for name in (
            "run.json.1.part",
            "composites/r0000_c0000.tif.1.part",
            "scenes/r0000_c0000_4x4.json.1.part",
        )
    ]
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    run(tmp_path / "run", plan, workers=0)
    assert list((tmp_path / "run").rglob("*.part")) == []


def test_a_run_that_goes_on_elsewhere_is_not_joined(tmp_path: Path) -> None:
    plan, _ = open_or_create(tmp_path / "run", export_plan(FakeSource()))
    with run_lock(tmp_path / "run"), pytest.raises(InputError, match="One process at a time"):
        run(tmp_path / "run", plan, workers=0)


def test_progress_tells_cells_pixels_and_time_left(tmp_path: Path) -> None:
    told: list[Progress] = []
    plan = map_plan(tmp_path, FakeSource(broken=("r0001_c0000",)))
    carry_out(tmp_path / "run", plan, on_progress=told.append)
    ended = [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (4, 1), (5, 1)]
    begun = [state for state in ended for _ in (0, 1)][:-1]  # each cell is told of when it begins, and ends
    assert [(p.done, p.failed) for p in told] == begun
    assert [p.under_way for p in told] == [0, 1] * 6 + [0]
    assert (told[0].seconds_left, told[0].planned) == (None, 6)
    assert told[-1].seconds_left == 0
    outside = area_mask().copy()
    outside[SIZE:, :SIZE] = False  # the broken cell
    assert told[-1].pixels == outside.sum()
    again: list[Progress] = []
    carry_out(tmp_path / "run", map_plan(tmp_path, FakeSource()), on_progress=again.append)
    assert (again[0].done, again[0].failed, again[0].seconds_left) == (5, 0, None)
    assert {p.done for p in again} == {5, 6}
    assert again[-1].pixels == area_mask()[SIZE:, :SIZE].sum()  # what was there does not count as speed


def test_an_interrupted_run_continues(tmp_path: Path) -> None:
    source = FakeSource(tmp_path / "calls.txt")
    plan = map_plan(tmp_path, source)

    def interrupt(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(tmp_path / "run", plan, on_progress=interrupt)
    assert not status(tmp_path / "run").running
    carry_out(tmp_path / "run", plan).raise_if_incomplete()
    assert Counter(source.called()).most_common(1)[0][1] == 1


def test_memory_does_not_grow_with_the_number_of_cells(tmp_path: Path) -> None:
    peaks = []
    for cells in (1, 4, 24):  # the first pays for what is loaded once
        area = shapely.box(LEFT, TOP - 320, LEFT + cells * STEP, TOP)
        plan = map_plan(tmp_path, FakeSource(), aoi=aoi(area))
        tracemalloc.start()
        carry_out(tmp_path / f"run{cells}", plan)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_cell = 2 * len(RECIPE.window) * len(RECIPE.bands) * SIZE**2
    assert peaks[2] < peaks[1] + 2 * one_cell  # twenty more cells, held, would be ten times that


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device"):
        carry_out(tmp_path / "run", map_plan(tmp_path, FakeSource()), device="tpu", workers=None)


def test_a_model_file_changed_during_the_run_is_noticed(tmp_path: Path) -> None:
    plan = map_plan(tmp_path, FakeSource())
    opened, _ = open_or_create(tmp_path / "run", plan)
    other = map_plan(tmp_path, FakeSource(), seed=2).model
    assert other
    (tmp_path / "run" / "model.safetensors").write_bytes(other.path.read_bytes())
    summary = run(tmp_path / "run", opened, workers=0, device="cpu")
    assert summary.failed == 6
    assert "the run began with" in summary.failures[0].error


RUNNER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.support.fake_runs import FakeSource, carry_out, map_plan
from pathlib import Path
home, folder = Path(sys.argv[2]), Path(sys.argv[3])
source = FakeSource(home / "calls.txt", delay=0.2)
carry_out(folder, map_plan(home, source), on_progress=lambda p: print(p.done, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize("after", [1, 3])
def test_a_run_killed_at_a_random_moment_ends_as_if_undisturbed(tmp_path: Path, after: int) -> None:
    carry_out(tmp_path / "calm", map_plan(tmp_path, FakeSource()))
    folder, calls = tmp_path / "run", tmp_path / "calls.txt"
    command = [sys.executable, "-c", RUNNER, str(Path(__file__).parents[3]), str(tmp_path), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) == after:
                break
        time.sleep(random.random() * 0.4)
        process.send_signal(signal.SIGKILL)
    finished = {path.stem for path in (folder / "predictions").glob("*.tif")}
    assert after <= len(finished)
    assert after <= status(folder).done <= len(finished)
    before = calls.read_text().split()
    source = FakeSource(calls)
    carry_out(folder, map_plan(tmp_path, source)).raise_if_incomplete()
    assert predictions(folder) == predictions(tmp_path / "calm")
    assert not finished & set(source.called()[len(before) :])
    assert list(folder.rglob("*.part")) == []
    assert status(folder).done == 6


def test_a_cell_wholly_outside_in_pixels_is_written_without_a_look_at_scenes(tmp_path: Path) -> None:
    source = FakeSource(tmp_path / "calls.txt")
    # 2 m of the second cell: none of its pixel centres lies inside.
    sliver = shapely.box(LEFT, TOP - 320, LEFT + 322, TOP)
    summary = carry_out(tmp_path / "run", map_plan(tmp_path, source, aoi=aoi(sliver)))
    assert (summary.done, summary.skipped) == (1, 1)
    assert source.called() == ["r0000_c0000"]
    assert summary.pixels[0] == SIZE * SIZE


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_place_that_cannot_be_written_ends_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    source = FakeSource(tmp_path / "calls.txt")
    plan, _ = open_or_create(tmp_path / "run", export_plan(source))

    def refused(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    with monkeypatch.context() as patch:
        patch.setattr("inference.record.lock.write_json", lambda path, values: path.touch())
        with pytest.raises(PlaceError, match=rf"{os.strerror(number)}\. .*another --out"):
            run(tmp_path / "run", plan, workers=0)
    assert len(source.called()) == 1


def test_a_run_folder_that_is_deleted_is_not_made_again_half(tmp_path: Path) -> None:
    plan, _ = open_or_create(tmp_path / "run", export_plan(FakeSource()))

    def vandal(progress: Progress) -> None:
        if progress.done == 2 and (tmp_path / "run").exists():
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(PlaceError, match="was deleted or moved"):
        run(tmp_path / "run", plan, workers=0, on_progress=vandal)
    assert not list(tmp_path.glob("run/composites"))


def test_a_flipped_bit_in_the_middle_of_a_composite_is_found(tmp_path: Path) -> None:
    plan = export_plan(FakeSource())
    carry_out(tmp_path / "run", plan)
    path = tmp_path / "run" / "composites" / "r0001_c0001.tif"
    with rasterio.open(path, "r+") as file:
        band = file.count // 2
        file.write(file.read(band) ^ 1, band)
    summary = carry_out(tmp_path / "run", plan)
    assert (summary.done, summary.remade) == (6, ("r0001_c0001",))
