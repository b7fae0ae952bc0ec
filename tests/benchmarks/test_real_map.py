"""The benchmark on real pixels, small: it fails where bands, order, scale or grid are wrong."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from filelock import FileLock
from rasterio.windows import from_bounds
from sklearn.metrics import confusion_matrix, f1_score

from benchmarks.painting import read_canvas
from benchmarks.real_map import (
    CLASSES,
    DATA,
    PARCELS,
    SAMPLES,
    STRIP,
    Settings,
    halves,
    measure,
    without_east,
)
from benchmarks.real_map_report import Report
from examples.scoring import Score
from gee_pipeline.bands import NODATA
from inference.models.checkpoint import load_checkpoint
from inference.models.predictor import Predictor
from training.samples.samples import read_samples
from training.shipped.wide_checkpoint import FILES, read_regions

OTHERS = ("California 2021", "Canada 2017")

ROOT = Path(__file__).resolve().parents[2]

with_data = pytest.mark.skipif(
    not (DATA / SAMPLES).exists(),
    reason=f"the real data is not next to the checkout ({DATA.parent.name}/data)",
)

LEAST = 0.8
"""Overall accuracy that the small run must reach. It reaches 0.85 with this seed, 0.88 and 0.89 with others;
a map two pixels off reaches 0.73, half the reflectance 0.60, bands in ESA's order 0.14."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one small run, made once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real_map"
    with FileLock(f"{out}.lock"):
        if not (out / "report.json").exists():
            out.mkdir()
            measure(DATA, out, Settings(small=True))
    return out


def read_on(path: Path, fields: Path) -> np.ndarray:
    """All bands of a raster at the pixels of `fields.tif`, 0 beyond it; both must share one lattice."""
    with rasterio.open(path) as file, rasterio.open(fields) as truth:
        assert file.crs == truth.crs
        window = from_bounds(*truth.bounds, transform=file.transform)
        offset = np.array([window.row_off, window.col_off])
        assert offset == pytest.approx(offset.round(), abs=1e-6)
        return file.read(window=window.round_offsets().round_lengths(), boundless=True, fill_value=0)


@pytest.mark.slow
@with_data
def test_the_map_of_eastern_pixels_is_right_and_the_report_states_how_right(folder: Path) -> None:
    fields = folder / "scenes" / "fields.tif"
    truth = read_on(fields, fields)[0]
    mapped = read_on(folder / "run" / "map" / "crop_map.tif", fields)[0]
    on_field = truth > 0
    report = json.loads((folder / "report.json").read_text())
    assert (mapped[on_field] != 0).all()
    right = (truth == mapped)[on_field].mean()
    assert right > LEAST
    assert report["overall_accuracy"] == pytest.approx(right)
    labels = range(1, len(CLASSES) + 1)
    table = confusion_matrix(truth[on_field], mapped[on_field], labels=labels)
    assert report["confusion"] == table.tolist()
    macro_f1 = f1_score(truth[on_field], mapped[on_field], labels=labels, average="macro")
    assert report["macro_f1"] == pytest.approx(macro_f1)


@pytest.mark.slow
@with_data
def test_the_bound_is_out_of_reach_of_a_shifted_or_transposed_map(folder: Path) -> None:
    fields = folder / "scenes" / "fields.tif"
    truth = read_on(fields, fields)[0]
    mapped = read_on(folder / "run" / "map" / "crop_map.tif", fields)[0]
    for wrong in (np.roll(mapped, 2, axis=0), np.roll(mapped, 2, axis=1), mapped.T, mapped[::-1]):
        assert (wrong == truth)[truth > 0].mean() < LEAST


@pytest.mark.slow
@with_data
@pytest.mark.parametrize(
    ("order", "factor"),
    [
        ([0, 1, 2, 4, 5, 6, 3, 7, 8, 9], 1.0),  # B8 after B7, as ESA counts
        (list(range(10)), 0.5),  # another scale
    ],
)
def test_the_bound_is_out_of_reach_of_wrong_bands_or_scale(
    folder: Path, order: list[int], factor: float
) -> None:
    fields = folder / "scenes" / "fields.tif"
    truth = read_on(fields, fields)[0]
    values = composites(folder)
    observed = (values != NODATA).all(axis=1, keepdims=True)
    wrong = np.where(observed, values[:, order] * factor, NODATA).astype(np.int16)
    keep = (truth > 0) & (observed.sum(axis=(0, 1)) >= 8)
    predictor = Predictor(load_checkpoint(folder / "model.safetensors"), "cpu")
    series = wrong[:, :, keep].transpose(2, 1, 0)
    assert (predictor.predict(series).codes == truth[keep]).mean() < LEAST


@pytest.mark.slow
@with_data
def test_composites_hold_observations_of_eastern_pixels_in_their_own_bins_and_no_cloud(folder: Path) -> None:
    _, east = halves(read_samples([DATA / SAMPLES], CLASSES))
    real = {(t, *east.series[i, :, t].tolist()) for i, t in np.argwhere(east.observed).tolist()}
    field = read_canvas(DATA / PARCELS, small=True).field
    values = composites(folder)
    inner = inner_pixels(field)[::7]
    seen = [
        (24 + t, *values[t, :, row, column].tolist())
        for row, column in inner.tolist()
        for t in np.flatnonzero(values[:, 0, row, column] != NODATA).tolist()
    ]
    assert len(seen) > 8 * len(inner) > 1_000
    assert set(seen) <= real


def composites(folder: Path) -> np.ndarray:
    """`(bin, band, y, x)` at the pixels of `fields.tif`, put together from the cells."""
    fields = folder / "scenes" / "fields.tif"
    cells = [read_on(path, fields) for path in (folder / "run" / "composites").glob("*.tif")]
    whole = np.sum(cells, axis=0, dtype=np.int16)  # 0 beyond each cell
    return whole.reshape(43, 10, *whole.shape[1:])


def inner_pixels(field: np.ndarray) -> np.ndarray:
    """Rows and columns of the pixels whose 20 m pixel lies in one field, so that all bands are of one."""
    even = field[::2, ::2]
    whole = (even == field[1::2, ::2]) & (even == field[::2, 1::2]) & (even == field[1::2, 1::2])
    return np.argwhere(np.kron(whole & (even >= 0), np.ones((2, 2), bool)))


@with_data
def test_training_and_test_lie_apart() -> None:
    west, east = halves(read_samples([DATA / SAMPLES], CLASSES))
    assert west.lon is not None
    assert east.lon is not None
    assert east.lon.min() - west.lon.max() >= STRIP
    assert min(len(west), len(east)) > 2_400
    assert all(east.counts.values())


@with_data
def test_no_eastern_pixel_trains_the_wide_network_and_no_other_region_is_left_out() -> None:
    west, east = halves(read_samples([DATA / SAMPLES], CLASSES))
    every = read_regions([DATA / path for path in FILES.values()])
    kept = without_east(every, west)
    assert kept.lon is not None
    assert kept.lat is not None
    assert east.lon is not None
    assert not np.isin(kept.lon, east.lon).any()
    in_arkansas = int(np.isin(kept.lon, west.lon).sum())
    assert in_arkansas == len(west)
    assert len(kept) - in_arkansas == sum(len(read_regions([DATA / FILES[name]])) for name in OTHERS)


@pytest.mark.slow
@with_data
def test_the_report_for_readers_shows_the_same_figures(folder: Path) -> None:
    values = json.loads((folder / "report.json").read_text())
    text = (folder / "report.md").read_text()
    assert f"**{values['overall_accuracy']:.3f}**" in text
    assert f"{values['forest']['overall_accuracy']:.3f}" in text
    for name, counts in zip(CLASSES, values["confusion"], strict=True):
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
        assert [int(entry.replace(",", "")) for entry in row.split("|")[2:7]] == counts


@pytest.mark.slow
def test_without_the_data_it_says_what_is_missing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.real_map",
        "--data",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "median_S2_ARK_month1-12_day5.npz" in ended.stderr
    assert "--data" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def report() -> Report:
    """Four fields of 10, 10, 20 and 60 pixels; of the last 20 pixels have no class."""
    return Report(
        score=Score(("rice", "other"), np.array([[15, 5], [0, 60]]), np.array([0, 20])),
        forest=Score(("rice", "other"), np.array([[20, 0], [0, 60]]), np.array([0, 20])),
        pixels=np.array([10, 10, 20, 60]),
        right=np.array([10, 5, 20, 40]),
        inner=(40, 36),
        clear_bins=np.array([4, 9, 12], np.uint8),
        bare_accuracy=0.9,
        training={"training_samples": 80, "samples": {"rice": 100}, "epochs": 3, "best_epoch": 2},
        validation={"accuracy": 0.8, "macro_f1": 0.7, "history": []},
        east={"rice": 50, "other": 70},
        settings={},
        seconds={"train": 1.5},
    )


def test_pixels_without_a_class_count_as_wrong_and_are_told(report: Report) -> None:
    values = report.to_dict()
    assert values["overall_accuracy"] == 0.75
    assert values["overall_accuracy_of_mapped"] == 75 / 80
    assert values["share_not_enough_observations"] == 0.2
    assert values["overall_accuracy_away_from_borders"] == 0.9
    assert values["fields_right"] == 0.75  # the second field is half right


def test_the_interval_is_that_of_fields_and_not_of_pixels(report: Report) -> None:
    low, high = report.interval
    assert low < 0.75 < high
    assert high - low > 0.15  # 100 pixels on their own would give 0.17, 10,000 of four fields no less
    many = replace(report, pixels=report.pixels * 100, right=report.right * 100)
    assert many.interval == pytest.approx(report.interval)
