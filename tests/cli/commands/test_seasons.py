"""The season of a model: a map is made in it, and in no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import shapely

from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER, WINTER, MonthDay
from inference.models.checkpoint import load_checkpoint
from inference.models.networks.cropnet import PRESETS
from tests.support.tiny_place import Place, codes, run_cropmap, tiny_model

pytestmark = pytest.mark.slow

FAST = ("--epochs", 1, "--batch-size", 16, "--device", "cpu", "--quiet")
OCTOBER = "2020-10-01"
LONG = SUMMER.starting(MonthDay(10, 1), 2021)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command trains real presets; tests take one of them small."""
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))


def plan_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def test_another_first_day_than_the_models_is_refused(place: Place, tmp_path: Path) -> None:
    result = place.predict(tmp_path / "run", season_start=OCTOBER)
    assert result.exit_code == 2
    message = result.stderr.splitlines()[-1]
    assert [
        part for part in ("2021-01-01", OCTOBER, "model.safetensors", "--season-start") if part not in message
    ] == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("day", ["2021-01-01", "01-01"])
def test_the_models_own_first_day_may_be_said(place: Place, tmp_path: Path, day: str) -> None:
    result = place.predict(tmp_path / "run", season_start=day)
    assert result.exit_code == 0, result.stderr
    assert plan_of(tmp_path / "run")["season"]["start"] == "2021-01-01"
    again = run_cropmap("predict", "--config", tmp_path / "run" / "run.toml")
    assert again.exit_code == 0, again.stderr


def npz(path: Path) -> Path:
    rng = np.random.default_rng(2)
    labels = np.arange(64) % 2
    fea = (rng.integers(200, 3000, (64, 10, 73)) + 500 * labels[:, None, None]).astype(np.int16)
    np.savez(path, fea=fea, lbl=labels, lon=-91 + rng.uniform(0, 2, 64), lat=35 + rng.uniform(0, 2, 64))
    return path


def table(path: Path) -> Path:
    rng = np.random.default_rng(3)
    days = pandas.date_range("2021-02-01", "2021-08-20", freq="10D")
    columns = {
        f"{band}_{day:%Y-%m-%d}": rng.integers(300, 3000, 40) for day in days for band in Recipe().bands
    }
    places = {"lon": -91 + rng.uniform(0, 2, 40), "lat": 35 + rng.uniform(0, 2, 40)}
    pandas.DataFrame({"label": np.arange(40) % 2, **places, **columns}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("write", [npz, table])
def test_a_model_is_mapped_in_the_season_it_was_trained_for(
    place: Place, tmp_path: Path, small_network: None, write: Any
) -> None:
    samples, out = (
        write(tmp_path / ("a.csv" if write is table else "a.npz")),
        tmp_path / "october.safetensors",
    )
    result = run_cropmap(
        "train", samples, "--out", out, "--year", 2021, "--season-start", OCTOBER, "--split", "random", *FAST
    )
    assert result.exit_code == 0, result.stderr
    checkpoint = load_checkpoint(out)
    assert checkpoint.recipe.season == LONG
    assert checkpoint.provenance["season_start"] == OCTOBER
    card = run_cropmap("model", "info", out).stdout
    assert f"season from {OCTOBER}" in card
    assert "1 October of the year before" in card
    result = place.predict(tmp_path / "run", model=out)
    assert result.exit_code == 0, result.stderr
    assert plan_of(tmp_path / "run")["season"] == {"year": 2021, "start": OCTOBER, "hours_ahead": -6}
    refused = place.predict(tmp_path / "other", model=out, season_start="01-01")
    assert refused.exit_code == 2
    assert OCTOBER in refused.stderr


@pytest.mark.parametrize("network", ["mlp", "cropnet-1d", "cropnet-1d-harmonic", "presto"])
def test_every_network_that_is_trained_can_be_shown_and_mapped(
    place: Place, tmp_path: Path, small_network: None, network: str
) -> None:
    out = tmp_path / "model.safetensors"
    words = ("--out", out, "--model", network, "--year", 2021, "--split", "random", "--min-clear-bins", 2)
    result = run_cropmap("train", npz(tmp_path / "a.npz"), *words, *FAST)
    assert result.exit_code == 0, result.stderr
    assert "parameters, 10 bands x 43 bins" in run_cropmap("model", "info", out).stdout
    result = place.predict(tmp_path / "run", model=out)
    assert result.exit_code == 0, result.stderr
    assert set(np.unique(codes(tmp_path / "run"))) & {1, 2}


def test_a_winter_model_maps_the_winter(place: Place, tmp_path: Path) -> None:
    recipe = Recipe.of(bands=("B2", "B4", "B8"), season=WINTER, min_clear_bins=2)
    model = tiny_model(tmp_path / "winter.safetensors", recipe)
    result = place.predict(tmp_path / "run", model=model, year=2021)
    assert result.exit_code == 0, result.stderr
    plan = plan_of(tmp_path / "run")
    assert plan["season"] == {"year": 2021, "start": "2020-10-03"}
    assert plan["bins"] == [0, 61]


def test_an_old_model_of_another_season_than_its_recipe_says_is_refused(place: Place, tmp_path: Path) -> None:
    from dataclasses import replace

    from inference.models.checkpoint import save_checkpoint

    old = load_checkpoint(place.model)
    told = old.provenance | {"year": 2021, "season_start": OCTOBER}
    save_checkpoint(tmp_path / "old.safetensors", replace(old, provenance=told))
    result = place.predict(tmp_path / "run", model=tmp_path / "old.safetensors")
    assert result.exit_code == 2
    assert OCTOBER in result.stderr
    assert "Train it again" in result.stderr


def test_composites_of_one_season_are_not_continued_with_another(place: Place, tmp_path: Path) -> None:
    first = place.export(tmp_path / "run", season="winter")
    assert first.exit_code == 0, first.stderr
    again = run_cropmap("export", "--config", tmp_path / "run" / "run.toml")
    assert again.exit_code == 0, again.stderr
    other = place.export(tmp_path / "run", season="summer")
    assert other.exit_code == 2
    assert "2020-10-03" in other.stderr


def test_a_season_of_ones_own_is_kept_with_the_run(place: Place, tmp_path: Path) -> None:
    own = tmp_path / "rains.toml"
    own.write_text('name = "long rains"\nstart = "04-01"\nfirst_day = 1\nlast_day = 120\n')
    result = place.export(tmp_path / "run", season=own, bin_days="month")
    assert result.exit_code == 0, result.stderr
    own.unlink()
    again = run_cropmap("export", "--config", tmp_path / "run" / "run.toml")
    assert again.exit_code == 0, again.stderr
    plan = plan_of(tmp_path / "run")
    assert plan["season"]["start"] == "2021-04-01"
    assert plan["bins"] == [0, 4]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"season": "spring"}, ("spring", "summer, winter, year")),
        ({"season_start": "02-29"}, ("02-29", "not a valid date")),
        ({"window": "121"}, ("121:334",)),
        ({"window": "300:200"}, ("days 1 to 365",)),
        ({"bin_days": "week"}, ("'week'", "month")),
        ({"bin_days": 0}, ("1 to 365 days",)),
        ({"season": "winter", "bin_days": "month"}, ("first day of a month", "--bin-days 30")),
    ],
)
def test_an_impossible_season_is_refused(
    place: Place, tmp_path: Path, options: dict[str, Any], named: tuple[str, ...]
) -> None:
    result = place.export(tmp_path / "run", **options)
    assert result.exit_code == 2
    assert [part for part in named if part not in result.stderr] == []
    assert not (tmp_path / "run").exists()


def across(place: Place, path: Path, south: float, north: float) -> Path:
    """A square of a kilometre whose sides lie this many degrees from the equator."""
    return place.write_area(path, shapely.box(20, -south, 20.01, north))


def test_an_area_on_both_sides_of_the_equator_is_refused(place: Place, tmp_path: Path) -> None:
    area = across(place, tmp_path / "both.geojson", 0.004, 0.006)
    result = place.export(tmp_path / "run", aoi=area)
    assert result.exit_code == 2
    assert [part for part in ("60%", "40%", "--hemisphere") if part not in result.stderr] == []
    for side, start in (("north", "2021-01-01"), ("south", "2020-07-01")):
        result = place.export(tmp_path / side, aoi=area, hemisphere=side)
        assert "no scene" in result.stderr.lower() or start in result.stderr
        assert "--hemisphere" not in result.stderr


def test_a_sliver_beyond_the_equator_is_mapped_with_the_rest(place: Place, tmp_path: Path) -> None:
    area = across(place, tmp_path / "sliver.geojson", 0.0002, 0.0098)
    result = place.export(tmp_path / "run", aoi=area)
    assert "2.0% of the area lie beyond the equator" in result.stderr


@pytest.mark.parametrize(
    ("season", "year", "side", "refused"),
    [
        ("winter", 2017, "north", True),  # its window begins in October 2016
        ("summer", 2017, "south", True),  # in October 2016
        ("summer", 2017, "north", False),
        ("summer", 2018, "south", False),
        ("winter", 2018, "north", False),
    ],
)
def test_the_first_images_bound_the_window_and_not_the_year(
    place: Place, season: str, year: int, side: str, refused: bool
) -> None:
    result = run_cropmap(
        "estimate",
        "--aoi",
        place.area,
        "--year",
        year,
        "--season",
        season,
        "--hemisphere",
        side,
        "--samples",
        0,
    )
    assert result.exit_code == (2 if refused else 0), result.stderr
    assert ("2017-03-28" in result.stderr) == refused
