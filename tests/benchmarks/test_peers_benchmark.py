"""The benchmark beside other libraries compares ways that give the same classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers
from inference.models.series import fill_gaps

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("limit", "status"), [("0", 0), ("1e9", 1)])
def test_it_names_each_way_and_whether_the_limit_holds(
    capsys: pytest.CaptureFixture[str], limit: str, status: int
) -> None:
    assert peers.main(["--size", "32", "--rounds", "1", "--limit", limit]) == status
    said = capsys.readouterr().out
    assert said.startswith("cropmap, fast: ")
    assert "dask map_blocks and plain torch: " in said


def test_a_way_with_other_classes_is_no_peer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "by_blocks", lambda task: np.zeros((32, 32), np.intp))
    task = peers.make_task(tmp_path / "cell.tif", 32, "fast")
    with pytest.raises(AssertionError, match="map_blocks and plain torch gives other classes"):
        peers.measure(task, rounds=1)


def test_their_gaps_are_filled_as_ours() -> None:
    rng = np.random.default_rng(1)
    series = rng.integers(0, 5_000, (200, 3, 20)).astype(np.int16)
    series = np.where(rng.random((200, 1, 20)) < 0.6, np.int16(-9999), series)
    series[:, :, 4] = 7
    np.testing.assert_allclose(peers.filled(series), fill_gaps(series), atol=1e-3)
