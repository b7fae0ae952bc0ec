"""Samples by class beside the published tables; totals of those stand in the paper too."""

from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.errors import CorruptFileError
from training.cropglobe.counts import _tables, counts_of

TOTALS = {"ARG": 12_085, "AUS": 18_861, "BEL": 5_484, "CHN": 3_063, "FRA": 108_699, "GBR": 13_263,
          "NLD": 7_318, "USA": 133_279}  # fmt: skip
SUBSET = {"ARG": 6_348, "BEL": 4_857, "CHN": 1_926, "FRA": 24_829, "GBR": 2_829, "NLD": 4_808, "USA": 46_976}


def write(path: Path, *counts: int) -> Path:
    np.savez(path, lbl=np.repeat(np.arange(7), counts))
    return path


def test_the_tables_have_the_totals_of_the_paper() -> None:
    for table, totals in ((1, TOTALS), (2, SUBSET)):
        assert {code: sum(row) for (of, code), row in _tables().items() if of == table} == totals
    columns = np.array([row for (of, _), row in _tables().items() if of == 1]).sum(axis=0)
    assert columns.tolist() == [56_127, 42_435, 21_488, 58_434, 14_995, 19_624, 88_949]


def test_a_file_with_the_published_samples_agrees(tmp_path: Path) -> None:
    path = write(tmp_path / "median_S2_CHN_month1-12_day5.npz", 0, 0, 1581, 0, 0, 0, 1482)
    found = counts_of(path)
    assert found is not None
    assert found.text == "CHN: 3,063 samples, by class as in table 1 of the paper"


def test_other_numbers_are_named(tmp_path: Path) -> None:
    found = counts_of(write(tmp_path / "presto_embedding_S2_CHN_MayNov.npz", 7, 0, 1581, 0, 0, 0, 1481))
    assert found is not None
    assert found.text.endswith("not as in table 1 of the paper: corn 7 for 0, other 1,481 for 1,482")


def test_hyperspectral_samples_are_those_of_table_2(tmp_path: Path) -> None:
    found = counts_of(write(tmp_path / "median_EMIT_CHN_single.npz", 0, 0, 986, 0, 0, 0, 940))
    assert found is not None
    assert "as in table 2" in found.text


def test_a_country_of_no_table_is_passed_over(tmp_path: Path) -> None:
    assert counts_of(write(tmp_path / "median_S2_DEU_month1-12_day5.npz", 1, 1, 1, 1, 1, 1, 1)) is None


@pytest.mark.parametrize("labels", [[0.5, 1], [7], [-1]])
def test_labels_of_another_kind_are_refused(tmp_path: Path, labels: list[float]) -> None:
    path = tmp_path / "median_S2_CHN_month1-12_day5.npz"
    np.savez(path, lbl=np.array(labels))
    with pytest.raises(CorruptFileError, match="holds no labels 0 to 6"):
        counts_of(path)
