"""The training benchmark compares like with like: both ways from series to input do the same."""

import numpy as np
import pytest
import torch

from benchmarks import training
from training.fit.resample import CODE, PAPER, draw

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("moves", [PAPER, CODE])
def test_the_loop_changes_as_many_samples_as_far(moves):
    """Both draws from the same ranges: means, spreads and shares of 4,000 samples agree."""
    rng = np.random.default_rng(0)
    changes = [training.draw_one(moves, rng) for _ in range(4_000)]
    batch = draw(moves, 4_000, torch.Generator().manual_seed(0))
    assert np.mean([c.knots is not None for c in changes]) == pytest.approx(moves.warp_share, abs=0.03)
    assert np.mean([c.start != c.end for c in changes]) == pytest.approx(moves.scale_share, abs=0.04)
    for name in ("start", "end"):
        days, expected = np.array([getattr(c, name) for c in changes]), getattr(batch, name).numpy()
        assert days.mean() == pytest.approx(expected.mean(), abs=2.5)  # standard error of the difference 0.7
        assert days.std() == pytest.approx(expected.std(), rel=0.06)


def test_both_ways_give_the_same_kind_of_input():
    contenders = training.make_contenders("paper", "compact", 8, torch.device("cpu"))
    inputs = {name: contenders[name].work() for name in training.INPUTS}
    assert {(one.shape, one.dtype) for one in inputs.values()} == {((8, 1, 10, 43), torch.float32)}
    assert torch.equal(contenders["plain"].work(), inputs["plain"])


def test_the_loop_without_changes_gives_the_input_of_mapping():
    still = training.Moves((0, 0), 0, (0, 0), 0, 0, 0)
    series = training.random_series(20)
    expected = training.BatchMaker(training.RECIPE, training.NORMALISATION, torch.device("cpu")).inputs(
        series
    )
    found = training.inputs_by_loop(series, still, np.random.default_rng(0))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_piece_of_work_is_timed_in_every_round():
    contenders = training.make_contenders("code", "compact", 2, torch.device("cpu"))
    inputs = [contenders[name] for name in training.INPUTS]
    training.run_rounds(inputs, 0, torch.device("cpu"))
    assert {len(one.seconds) for one in inputs} == {3}
    assert set(training.INPUTS) | set(training.STEPS) == set(contenders)
