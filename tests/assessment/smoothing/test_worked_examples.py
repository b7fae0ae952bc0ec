"""Worked examples with published results, where their tables lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from assessment.smoothing.filters import bayes, logits, majority
from tests.assessment.smoothing.test_sieve import by_strips
from tests.support.published import Case, find_case


def table(case: Case, name: str) -> NDArray[np.float64]:
    return np.loadtxt(case.folder / name, delimiter=",", skiprows=1)


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("window", [3, 5])
def test_majority(name: str, window: int) -> None:
    case = find_case("24-majority-filter")
    codes = table(case, f"{name}.csv").astype(np.uint8)
    found = majority(np.pad(codes, window // 2), np.arange(1, 10, dtype=np.uint8), window)
    assert np.array_equal(found, table(case, f"{name}_{window}.csv"))
    assert (found != codes).sum() == case.printed(f"{name}.{window}.changed")


def test_bayes_as_in_sits() -> None:
    case = find_case("20-bayes-smoothing-small")
    settings = case.json("settings.json")
    probabilities, smoothed = (
        table(case, name)[:, 2:].T.reshape(3, settings["rows"], settings["cols"])
        for name in ("probabilities.csv", "smoothed.csv")
    )
    halo = settings["window"] // 2
    values = np.pad(logits(probabilities), ((0, 0), (halo, halo), (halo, halo)), mode="symmetric")
    found = bayes(
        values,
        np.ones(values.shape[1:], bool),
        window=settings["window"],
        smoothness=settings["smoothness"][0],
        neighbours=settings["neigh_fraction"],
    )
    assert 1 / (1 + np.exp(-found)) == pytest.approx(smoothed, abs=1e-10)
    assert (found.argmax(0) != probabilities.argmax(0)).sum() == case.printed("changed")


@pytest.mark.parametrize("name", ["nodata", "cross", "unmergeable"])
def test_sieve_as_in_gdal(name: str, tmp_path: Path) -> None:
    case = find_case("22-sieve-gdal")
    values = case.json("cases.json")[name]
    grid = np.array(values["grid"], np.uint8)
    classes = np.array([code for code in range(256) if code != values.get("nodata")], np.uint8)
    found = by_strips(grid, classes, values["size"], tmp_path, 2, values["connectivity"])
    assert (found != grid).sum() == case.printed(f"{name}.changed")
    if "expected" in values:
        assert np.array_equal(found, values["expected"])
