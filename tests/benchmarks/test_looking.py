"""The benchmark of looking at a large map, on a small one."""

import pytest

from benchmarks.looking import WAYS, make_map, peak
from cropmap.run import CropMap

pytestmark = pytest.mark.slow


def test_the_made_map_is_one_that_opens_and_each_process_says_its_peak(tmp_path):
    make_map(tmp_path / "map", side=1_000)
    found = CropMap.open(tmp_path / "map")
    assert found.classes.shape == (1_000, 1_000)
    assert set(found.areas["name"]) == {"corn", "soybeans", "rice", "cotton", "other"}
    assert 20 < peak(tmp_path / "map", "open_map(...).areas") < 1_024
    assert "quicklook.png" in WAYS
