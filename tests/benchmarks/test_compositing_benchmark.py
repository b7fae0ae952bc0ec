"""The compositing benchmark compares like with like: a ratio counts only where all methods agree."""

import numpy as np
import pytest

from benchmarks import compositing


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_every_method_is_measured_and_reported_beside_the_engine():
    nanoseconds = compositing.measure(compositing.make_stack(24, 12), rounds=1)
    assert set(compositing.REQUIRED) < set(nanoseconds)
    assert all(value > 0 for value in nanoseconds.values())
    text = compositing.report(nanoseconds)
    for name in nanoseconds:
        assert name in text


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_a_method_that_differs_stops_the_benchmark(monkeypatch):
    monkeypatch.setattr(compositing, "xarray_groupby", lambda stack: np.zeros((43, 10, 24, 24), np.float32))
    with pytest.raises(AssertionError, match="xarray groupby median, bottleneck differs"):
        compositing.measure(compositing.make_stack(24, 12), rounds=1)
