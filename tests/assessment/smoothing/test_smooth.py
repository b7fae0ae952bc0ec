"""The smoothed map of a run: as the whole array at once, described, and the other one untouched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
from numpy.typing import NDArray
from rio_cogeo import cog_validate

from assessment.smoothing.filters import bayes, likeliest, logits, majority
from assessment.smoothing.request import SmoothRequest
from assessment.smoothing.smooth import LOWEST_PERCENT, smooth_map
from gee_pipeline.errors import IncompleteRunError, InputError
from tests.support.assessed_map import NAMES, AssessedPlace

CLASSES = np.array([1, 2, 3], np.uint8)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map of 90 x 120 pixels is smoothed in 30 windows, or 13 strips."""
    monkeypatch.setattr("assessment.smoothing.smooth.COG_BLOCK", 20)
    monkeypatch.setattr("assessment.smoothing.smooth.STRIP_PIXELS", 7 * 120)


@pytest.fixture
def run(place: AssessedPlace) -> AssessedPlace:
    entries = [{"code": 0, "name": "outside", "color": None}]
    entries += [{"code": c, "name": n, "color": f"#{c:02x}8040"} for c, n in NAMES.items()]
    legend = place.folder / "map" / "legend.json"
    legend.write_text(json.dumps({"classes": entries}), encoding="utf-8")
    return place


def smoothed(request: SmoothRequest) -> NDArray[np.uint8]:
    with rasterio.open(smooth_map(request).folder / "crop_map_smoothed.tif") as file:
        return file.read(1)


@pytest.mark.parametrize("window", [3, 9])
def test_majority_leaves_no_seam(run: AssessedPlace, window: int) -> None:
    expected = majority(np.pad(run.codes, window // 2), CLASSES, window)
    assert (expected != run.codes).any()
    assert np.array_equal(smoothed(SmoothRequest(run.folder, "majority", window)), expected)


@pytest.mark.parametrize("window", [5, 9, 43])  # the last one wider than two windows of the map
def test_bayes_leaves_no_seam(run: AssessedPlace, window: int) -> None:
    halo = window // 2
    whole = np.pad(run.probabilities, ((0, 0), (halo, halo), (halo, halo)), mode="symmetric")
    known = (whole != 255).all(axis=0)
    values = logits(np.where(known, whole, 1).astype(float), LOWEST_PERCENT)
    values = bayes(values, known, window=window, smoothness=3)
    values[:, ~np.isin(run.codes, CLASSES)] = np.nan
    expected = likeliest(values, run.codes)
    assert (expected != run.codes).any()
    assert np.array_equal(smoothed(SmoothRequest(run.folder, window=window, smoothness=3)), expected)


def test_a_sieve_leaves_no_seam(run: AssessedPlace) -> None:
    mask = np.isin(run.codes, CLASSES)
    expected = rasterio.features.sieve(run.codes, 5, mask=mask)
    assert (expected != run.codes).any()
    assert np.array_equal(smoothed(SmoothRequest(run.folder, "sieve", minimum_area=0.05)), expected)


def test_pixels_without_a_class_stay(run: AssessedPlace) -> None:
    for method in ("bayes", "majority", "sieve"):
        found = smoothed(SmoothRequest(run.folder, method))  # type: ignore[arg-type]  # one of them
        kept = ~np.isin(run.codes, CLASSES)
        assert np.array_equal(found[kept], run.codes[kept])
        assert np.isin(found[~kept], CLASSES).all()


def test_what_changed_is_counted(run: AssessedPlace) -> None:
    before = (run.folder / "map" / "crop_map.tif").read_bytes()
    changed = smooth_map(SmoothRequest(run.folder, "majority", 5))
    after = majority(np.pad(run.codes, 2), CLASSES, 5)
    assert changed.changed == (after != run.codes).sum()
    assert changed.pixels[2, 1] == ((run.codes == 2) & (after == 1)).sum()
    kept = json.loads((changed.folder / "report.json").read_text(encoding="utf-8"))
    for entry in kept["classes"]:
        assert entry["pixels_before"] == (run.codes == entry["code"]).sum()
        assert entry["pixels_after"] == (after == entry["code"]).sum()
        assert entry["hectares_after"] / entry["pixels_after"] == pytest.approx(0.01, rel=1e-3)
    assert (kept["method"], kept["window"]) == ("majority", 5)
    assert (run.folder / "map" / "crop_map.tif").read_bytes() == before


def test_the_raster_is_one_of_the_maps(run: AssessedPlace) -> None:
    folder = smooth_map(SmoothRequest(run.folder)).folder
    assert {path.name for path in folder.iterdir()} == {
        "crop_map_smoothed.tif",
        "crop_map_smoothed.tif.aux.xml",
        "crop_map_smoothed.qml",
        "legend.json",
        "report.json",
    }
    path = folder / "crop_map_smoothed.tif"
    assert cog_validate(path)[0]
    with rasterio.open(path) as file:
        assert file.colormap(1)[2] == (2, 0x80, 0x40, 255)
        assert file.tags(1)["CLASS_2"] == "maize"
        assert file.tags()["SMOOTHED_METHOD"] == "bayes"
        assert file.tags()["TIFFTAG_IMAGEDESCRIPTION"].startswith("Smoothed (bayes)")
    assert not (run.folder / "smoothed.part").exists()


def test_without_probabilities_the_command_that_adds_them_is_named(run: AssessedPlace) -> None:
    (run.folder / "map" / "probabilities.tif").unlink()
    with pytest.raises(InputError, match=r"predict --config .*run\.toml --layers probabilities"):
        smooth_map(SmoothRequest(run.folder))
    assert not (run.folder / "smoothed").exists()
    assert not (run.folder / "smoothed.part").exists()


def test_a_map_that_is_not_whole_is_refused(run: AssessedPlace) -> None:
    (run.folder / "map" / "report.json").unlink()
    with pytest.raises(IncompleteRunError):
        smooth_map(SmoothRequest(run.folder, "majority"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 4}, "odd number of pixels"),
        ({"window": 1}, "odd number of pixels"),
        ({"smoothness": 0.0}, "variance above 0"),
        ({"method": "sieve", "window": 3}, "--window belongs to --method bayes and majority"),
        ({"method": "majority", "minimum_area": 1.0}, "--minimum-area belongs to --method sieve"),
        ({"method": "sieve", "minimum_area": -1.0}, "hectares above 0"),
    ],
)
def test_odd_settings_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SmoothRequest(Path("run"), **options)  # type: ignore[arg-type]  # some are wrong on purpose
