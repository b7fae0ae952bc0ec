import numpy as np
import pytest

from benchmarks.real_transfer import mean_seconds, write_regions
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


def test_times_are_means_of_a_method(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("model,augmentation,seconds\nrf,none,2\ncropnet,code,9\nrf,none,4\n", encoding="utf-8")
    assert mean_seconds(path) == {("rf", "none"): 3, ("cropnet", "code"): 9}
