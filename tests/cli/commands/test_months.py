"""Monthly series as WorldCereal has them: trained, mapped, shown and explained by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from inference.models.checkpoint import load_checkpoint
from inference.models.networks.cropnet import PRESETS
from tests.support.tiny_place import Place, codes, run_cropmap

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
LEGEND = ROOT / "docs" / "worldcereal_legend.toml"
BANDS = "B2,B4,B8"
READING = ("--bands", BANDS, "--bin-days", "month", "--min-clear-bins", 2, "--legend", LEGEND)
FAST = (
    "--epochs",
    12,
    "--learning-rate",
    0.005,
    "--batch-size",
    16,
    "--device",
    "cpu",
    "--quiet",
    "--split",
    "random",
)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))


def monthly(path: Path) -> Path:
    """Winter wheat is green until June, maize from July on; a third of the months has no observation."""
    rng = np.random.default_rng(4)
    code = np.where(np.arange(80) % 2, 1200, 1110)
    month = np.arange(1, 13)
    green = np.where(code[:, None] == 1110, month < 7, month > 6)
    near = np.where(green, 4200, 1800) + rng.integers(-200, 200, (80, 12))
    red = np.where(green, 400, 1500) + rng.integers(-100, 100, (80, 12))
    series = np.stack([near, red // 2, red], axis=1).astype(np.int32)
    series[np.broadcast_to((rng.random((80, 12)) < 0.33)[:, None], series.shape)] = 65_535
    places = {"lon": -91 + rng.uniform(0, 2, 80), "lat": 35 + rng.uniform(0, 2, 80)}
    starts = np.full(80, "2021-01-01")
    np.savez(
        path,
        series=series,
        bands=np.array(["B08", "B02", "B04"]),
        croptype=code,
        start_date=starts,
        **places,
    )
    return path


@pytest.mark.parametrize(("season", "bins"), [("summer", [4, 11]), ("year", [0, 12])])
def test_months_train_and_map(
    place: Place, tmp_path: Path, small_network: None, season: str, bins: list[int]
) -> None:
    out = tmp_path / "months.safetensors"
    words = (monthly(tmp_path / "a.npz"), *READING, "--season", season, "--out", out)
    trained = run_cropmap(
        "train", *words, "--classes", "winter wheat,maize", "--augmentation", "field", *FAST
    )
    assert trained.exit_code == 0, trained.stderr
    checkpoint = load_checkpoint(out)
    assert (checkpoint.recipe.bin_days, checkpoint.provenance["season_start"]) == ("month", "2021-01-01")
    assert np.isfinite([epoch["loss"] for epoch in checkpoint.metrics["history"]]).all()
    assert checkpoint.metrics["accuracy"] > 0.9  # two classes that differ in every month

    mapped = place.predict(tmp_path / "run", model=out)
    assert mapped.exit_code == 0, mapped.stderr
    plan = json.loads((tmp_path / "run" / "run.json").read_text())
    assert plan["bins"] == bins
    assert set(np.unique(codes(tmp_path / "run"))) & {1, 2}
    with rasterio.open(next((tmp_path / "run" / "composites").glob("*.tif"))) as file:
        assert file.descriptions[:3] == tuple(f"{band}_{bins[0]}" for band in BANDS.split(","))
        assert file.count == 3 * (bins[1] - bins[0])


def test_months_are_shown(tmp_path: Path) -> None:
    words = (monthly(tmp_path / "a.npz"), *READING, "--season", "year", "--picture", tmp_path / "a.png")
    found = run_cropmap("samples", "info", *words, "--classes", "winter wheat,maize")
    assert found.exit_code == 0, found.stderr
    assert "2021, from 2021-01-01, bins of a calendar month" in found.stdout
    assert (tmp_path / "a.png").stat().st_size > 20_000


def test_a_missing_band_ends_the_training_with_a_way_out(tmp_path: Path) -> None:
    words = ("--season", "year", "--bin-days", "month", "--legend", LEGEND)
    found = run_cropmap("train", monthly(tmp_path / "a.npz"), *words, "--out", tmp_path / "a.safetensors")
    assert found.exit_code == 2
    assert [part for part in ("B3", "B8A", "--bands B2,B4,B8") if part not in found.stderr] == []
