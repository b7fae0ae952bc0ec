"""A warning where 16 bits cost time."""

import pytest
import torch

from training.fit import precision
from training.fit.precision import mixed_over_float32, precision_warning

CPU = torch.device("cpu")


@pytest.fixture
def steps(monkeypatch):
    """Steps take the seconds that a test says: in 32 bits and in 16."""
    seconds = {False: 1.0, True: 1.0}
    monkeypatch.setattr(precision, "_seconds", lambda layers, x, mixed: seconds[mixed])
    return seconds


def test_where_16_bits_are_slower_the_warning_says_how_much(steps):
    steps[True] = 19.0
    assert "takes 19.0 times as long" in precision_warning("mixed", CPU)


def test_where_they_are_faster_there_is_nothing_to_say(steps):
    steps[True] = 0.5
    assert precision_warning("mixed", CPU) is None


@pytest.mark.parametrize(("asked", "device"), [("auto", "cpu"), ("float32", "cpu"), ("mixed", "cuda")])
def test_nothing_else_is_doubted(asked, device, steps):
    steps[True] = 19.0
    assert precision_warning(asked, torch.device(device)) is None


def test_real_steps_have_a_ratio_and_leave_the_random_state():
    before = torch.get_rng_state()
    assert mixed_over_float32() > 0
    assert torch.equal(torch.get_rng_state(), before)
