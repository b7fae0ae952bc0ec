"""What the GPU benchmark counts and asks for; the figures themselves need a GPU."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Row, line, multiplications
from benchmarks.predictor import random_checkpoint


@pytest.mark.parametrize(("preset", "count"), [("compact", 113_668_736), ("paper", 174_433_664)])
def test_multiplications_are_those_counted_by_hand(preset, count):
    """The convolutions of section 3.3 of Tong et al. 2025 on 10 x 43, and the linear layer after them."""
    checkpoint = random_checkpoint(preset)
    linear = checkpoint.config.channels[-1] * 7
    assert multiplications(checkpoint) + linear == count


@pytest.mark.parametrize(
    ("row", "misses"),
    [
        (Row("compact", "compiled", 1e6, 0.56, 1.0), False),
        (Row("compact", "compiled", 1e6, 0.54, 1.0), True),
        (Row("compact", "", 1e6, 0.2, 1.0), False),  # only the compiled form is asked for speed
        (Row("compact", "", 1e6, 0.2, 0.9994), True),
        (Row("small-16", "compiled", 4e6, 0.1, 1.0), True),
        (Row("small-32", "compiled", 4e6, 0.1, None), False),
    ],
)
def test_a_row_that_misses_its_limit_says_so(row, misses):
    assert row.misses is misses
    assert line(row).endswith("MISSED") is misses


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 2
    assert "no CUDA device" in capsys.readouterr().err
