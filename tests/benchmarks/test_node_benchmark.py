"""The stand-in for a card takes its time, and cells wait for nothing else."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks import node
from inference.models.checkpoint import load_checkpoint
from inference.models.shipped import model_path

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("limit", "status"), [("0", 0), ("1.01", 1)])
def test_no_rate_is_above_that_of_the_card(
    capsys: pytest.CaptureFixture[str], limit: str, status: int
) -> None:
    assert node.main(["--card", "400000", "--cells", "3", "--limit", limit]) == status
    assert "stand-in for a card" in capsys.readouterr().out


def test_the_stand_in_works_on_one_batch_at_a_time() -> None:
    model = node.StandIn(load_checkpoint(model_path(None)), rate=10_000)
    start = time.perf_counter()
    found = model.predict(np.zeros((2_000, 10, 43), np.int16))
    assert time.perf_counter() - start >= 0.2
    assert set(found.codes) == {model.classes[0].code}
    assert model.busy == pytest.approx(0.2)
