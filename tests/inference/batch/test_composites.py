"""Batch tasks compute the real expressions here, on scenes of which a plain loop knows the composite."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from gee_pipeline.earthengine.client.session import Session, disconnect
from gee_pipeline.earthengine.composites.tasks import Destination
from gee_pipeline.store import composite_path, read_composite
from inference.batch.collect import collect
from inference.batch.export import export_by_tasks
from inference.batch.product import source_of
from tests.support.batch_place import BUCKET, DRIVE, LEFT, SIZE, TOP, planned, session_of
from tests.support.ee_emulator.archive import Archive, ImageAsset, Raster
from tests.support.ee_emulator.server import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]

CELLS = 9
WIDTH, HEIGHT = CELLS * SIZE, SIZE
EMPTY = 65_535
NODATA = -9999

TIMES = (
    "2021-05-01T10:10:00",
    "2021-05-01T10:10:20",  # the same day, later: on top
    "2021-05-03T10:00:00",
    "2021-05-05T10:10:00",
    "2021-05-13T10:10:00",  # the second bin has no scene, the third has one
    "2021-05-14T10:00:00",  # and one without Cloud Score+
)
WITHOUT_SCORE = TIMES[-1]


def raster(values: NDArray[Any], nodata: float | None = None) -> Raster:
    return Raster(values, Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32633", nodata)


class Scenes:
    """What the satellite saw, as arrays and as an archive."""

    def __init__(self) -> None:
        chance = np.random.default_rng(7)
        shape = (len(TIMES), HEIGHT, WIDTH)
        self.values = chance.integers(0, 9_000, (2, *shape)).astype(np.uint16)
        self.values[chance.random(self.values.shape) < 0.1] = EMPTY
        self.score = np.round(chance.random(shape), 2).astype(np.float32)
        self.score[chance.random(shape) < 0.3] = 0.75  # exactly the threshold: clear
        self.classes = chance.integers(0, 12, shape).astype(np.uint8)
        self.land = chance.choice([10, 30, 40], (HEIGHT, WIDTH)).astype(np.uint8)

    def archive(self) -> Archive:
        images = [
            ImageAsset(
                "ESA/WorldCover/v200/2021", when("2021-01-01T00:00:00"), {"Map": raster(self.land)}, {}
            )
        ]
        for number, time in enumerate(TIMES):
            name = name_of(time)
            bands = {b: raster(self.values[k, number], EMPTY) for k, b in enumerate(("B2", "B4"))}
            bands["SCL"] = raster(self.classes[number])
            images.append(ImageAsset(f"COPERNICUS/S2_SR_HARMONIZED/{name}", when(time), bands, {}))
            if time != WITHOUT_SCORE:
                score = {"cs": raster(self.score[number])}
                place = f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{name}"
                images.append(ImageAsset(place, when(time), score, {}))
        return Archive(images)

    def composite(self, masked: bool, without: str | None = None) -> NDArray[np.int16]:
        """`(bin, band, y, x)` of all cells, one pixel at a time, perhaps without the scene of a time."""
        out = np.full((3, 2, HEIGHT, WIDTH), NODATA, np.int16)
        for y, x in np.ndindex(HEIGHT, WIDTH):
            if masked and self.land[y, x] != 40:
                continue
            for index in range(3):
                by_day = {}
                for number, time in enumerate(TIMES):
                    there = time != without and self.counts(number, time, y, x)
                    if (when(time).day - 1) // 5 == index and there:
                        by_day[when(time).day] = number
                for band in range(2 if by_day else 0):
                    found = sorted(int(self.values[band, number, y, x]) for number in by_day.values())
                    middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
                    out[index, band, y, x] = math.floor(middle + 0.5)
        return out

    def counts(self, number: int, time: str, y: int, x: int) -> bool:
        if EMPTY in self.values[:, number, y, x]:
            return False
        if time == WITHOUT_SCORE:
            return int(self.classes[number, y, x]) in (4, 5, 6, 7)
        return round(float(self.score[number, y, x]), 2) >= 0.75


def name_of(time: str) -> str:
    return f"{when(time):%Y%m%dT%H%M%S}_{when(time):%Y%m%dT%H%M%S}_T33TXX"


def when(time: str) -> datetime:
    return datetime.fromisoformat(time).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes()


@pytest.fixture(scope="module")
def server(scenes: Scenes) -> Iterator[Emulator]:
    with Emulator(scenes.archive()) as emulator:
        yield emulator
        assert not emulator.errors
    disconnect()


@pytest.fixture(scope="module")
def session(server: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return session_of(server, tmp_path_factory.mktemp("keys"))


@pytest.mark.parametrize(
    ("to", "cropland"), [(BUCKET, "none"), (DRIVE, "worldcover")], ids=["bucket", "Drive, masked"]
)
def test_composites_of_batch_tasks_are_those_of_a_loop_over_the_scenes(
    tmp_path: Path,
    scenes: Scenes,
    server: Emulator,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    to: Destination,
    cropland: str,
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.setenv("CROPMAP_DRIVE_URL", server.url)
    plan, masked = planned(tmp_path, CELLS, cropland=cropland), cropland != "none"
    summary = export_by_tasks(tmp_path, plan, session, to, sleep=lambda seconds: None)
    assert summary.failures == ()
    assert summary.done == 2
    assert collect(tmp_path, plan, session, to).taken == CELLS
    expected = scenes.composite(masked)
    assert (expected != NODATA).mean() > 0.1  # there is something to compare
    for cell in plan.grid.cells(plan.cells):
        columns = slice(cell.col * SIZE, (cell.col + 1) * SIZE)
        found = read_composite(composite_path(tmp_path, cell), cell, plan.recipe, plan.season, plan.bins)
        np.testing.assert_array_equal(found.values, expected[..., columns])
        assert (found.counts.scenes, found.counts.without_score, found.counts.same_day) == (6, 1, 2)
        if masked:
            np.testing.assert_array_equal(found.cropland, scenes.land[:, columns] == 40)
        else:
            assert found.cropland is None


def test_a_task_that_fails_of_a_withdrawn_scene_is_started_with_a_new_list(
    tmp_path: Path, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    disconnect()
    with Emulator(scenes.archive()) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        session, plan, told = session_of(server, tmp_path / "keys"), planned(tmp_path / "run", CELLS), []
        folder = tmp_path / "run"
        source_of(folder, plan, session).scenes_of(plan.grid.cells(plan.cells), plan.season, plan.bins)
        assert len(list((folder / "scenes").glob("*.json"))) == 3  # nine cells in a row
        server.archive.withdraw(f"COPERNICUS/S2_SR_HARMONIZED/{name_of(TIMES[2])}")
        first = export_by_tasks(folder, plan, session, BUCKET, sleep=lambda seconds: None)
        assert len(first.failures) == 2
        assert name_of(TIMES[2]) in first.failures[0].message
        second = export_by_tasks(
            folder, plan, session, BUCKET, sleep=lambda seconds: None, notice=told.append
        )
        assert (second.failures, second.done) == ((), 2)
        assert sum(name_of(TIMES[2]) in text for text in told) == 3
        server.log.clear()
        assert collect(folder, plan, None, BUCKET, places=_downloaded(server, tmp_path)).taken == CELLS
    disconnect()
    expected = scenes.composite(False, without=TIMES[2])
    assert (expected != scenes.composite(False)).any()
    for cell in plan.grid.cells(plan.cells):
        columns = slice(cell.col * SIZE, (cell.col + 1) * SIZE)
        found = read_composite(composite_path(folder, cell), cell, plan.recipe, plan.season, plan.bins)
        np.testing.assert_array_equal(found.values, expected[..., columns])
        assert (found.counts.scenes, found.counts.without_score) == (5, 1)  # from the lists, nobody was asked


def _downloaded(server: Emulator, folder: Path) -> str:
    """All exported files in one folder."""
    (folder / "downloads").mkdir()
    for name in server.storage.names(BUCKET.place):
        content = server.storage.get(BUCKET.place, name)
        (folder / "downloads" / name.rpartition("/")[2]).write_bytes(content)
    return str(folder / "downloads")
