import numpy as np
import pytest

from benchmarks.real_transfer import by_method, spread, write_regions
from training.transfer.protocol import FILE


@pytest.fixture
def data(tmp_path):
    lon = np.array([-91.2, -90.7101, -90.7, -90.695, -90.68, -90.1])
    for code in ("ARK", "CAL"):
        np.savez(tmp_path / FILE.format(code), fea=np.arange(6), lbl=np.arange(6), lon=lon)
    return tmp_path


def test_the_halves_share_no_sample_and_none_lies_near_the_border(data):
    folder = write_regions(data, data / "regions")
    west, east = (np.load(folder / FILE.format(code))["lbl"].tolist() for code in ("ARW", "ARE"))
    assert (west, east) == ([0, 1], [4, 5])
    assert np.load(folder / FILE.format("ARK"))["lbl"].tolist() == [0, 1, 2, 3, 4, 5]


def test_trainings_of_a_method_are_told_by_mean_and_deviation(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(
        "model,augmentation,adaptation,accuracy\nrf,none,none,0.90\ncropnet,code,mmd,0.5\n"
        "rf,none,none,0.92\n",
        encoding="utf-8",
    )
    methods = by_method(path)
    assert list(methods) == [("rf", "none", "none"), ("cropnet", "code", "mmd")]
    assert [spread(rows, "accuracy") for rows in methods.values()] == ["91.00 ± 1.41", "50.00"]
