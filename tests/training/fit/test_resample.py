"""Moved, stretched and warped series against a plain loop over samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from gee_pipeline.errors import InputError
from inference.models.series import fill_gaps
from training.fit.resample import CODE, PAPER, Draws, draw, resample

WINDOW = range(24, 67)
T = len(WINDOW)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws_of(start, end, knots=None, warped=None):
    samples = len(start)
    return Draws(
        torch.tensor(start, dtype=torch.float32),
        torch.tensor(end, dtype=torch.float32),
        torch.ones(samples, 5) if knots is None else torch.tensor(knots, dtype=torch.float32),
        torch.zeros(samples, dtype=torch.bool) if warped is None else torch.tensor(warped),
    )


def run(series, draws):
    filled = torch.from_numpy(fill_gaps(series))
    observed = torch.from_numpy((series != -9999).all(axis=1))
    return resample(filled, observed, draws, window=WINDOW, bin_days=5).numpy()


def by_day(one, start, end):
    """`(band, bin)` of one series `(band, bin)`: each new bin reads its middle day off the observations.

    Observations lie at the middle of their bins; those of bins that the moved window does not touch are
    unknown, unless there are no others.
    """
    span = (335 + end) - (120 + start)
    middle_days = [120 + start + span * (2 * j + 1) / (2 * T) for j in range(T)]
    first, last = (min(max((day - 2.5) / 5, 0), 72) for day in (middle_days[0], middle_days[-1]))
    seen = [b for b in range(73) if one[0, b] != -9999]
    inside = [b for b in seen if np.floor(first) <= b <= np.ceil(last)] or seen
    days = [2.5 + 5 * b for b in inside]
    return np.array([np.interp(middle_days, days, band[inside]) for band in one])


def full(samples=8, seed=0):
    return np.random.default_rng(seed).integers(0, 6_000, (samples, 10, 73)).astype(np.int16)


def gappy(samples=8, seed=0, share=0.4):
    gaps = np.random.default_rng(seed + 1).random((samples, 1, 73)) < share
    return np.where(gaps, np.int16(-9999), full(samples, seed))


# days by which start and end move
MOVES = [
    (0, 0),  # nothing
    (5, 5),  # one bin
    (-7, -7),  # between bins
    (-30, 10),  # longest of the paper
    (10, -30),  # shortest of the paper
    (-40, -20),  # shift and scale together
    (-50, 50),  # beyond the end of the year by 20 days
    (50, 50),
]


@pytest.mark.parametrize("make", [full, gappy])
def test_moved_series_equal_a_plain_loop_by_day(make):
    series = make(len(MOVES))
    start, end = zip(*MOVES, strict=True)
    found = run(series, draws_of(start, end))
    for one, result, (a, b) in zip(series, found, MOVES, strict=True):
        np.testing.assert_allclose(result, by_day(one, a, b), atol=0.05)  # of 6,000: float32 positions


def test_random_draws_equal_a_plain_loop():
    series = gappy(60, seed=5, share=0.7)
    draws = draw(CODE, 60, generator(3))
    found = run(series, draws)
    for i, one in enumerate(series):
        expected = by_day(one, float(draws.start[i]), float(draws.end[i]))
        if draws.warped[i]:
            spline = CubicSpline(
                np.linspace(1, T, 5), draws.knots[i].double().numpy()
            )  # the paper's abscissae
            expected = expected * spline(np.arange(1, T + 1))
        np.testing.assert_allclose(found[i], expected, atol=0.1)


def test_a_shift_by_whole_bins_takes_the_neighbouring_bins():
    series = full(2)
    found = run(series, draws_of([10, -15], [10, -15]))
    np.testing.assert_array_equal(found[0], series[0, :, 26:69])
    np.testing.assert_array_equal(found[1], series[1, :, 21:64])


def test_before_the_first_observation_of_the_window_its_value_holds():
    series = gappy(1, share=0)
    series[:, :, 24:30] = -9999  # bin 23 is observed, but no map of this window would know
    found = run(series, draws_of([0], [0]))
    np.testing.assert_array_equal(found[0, :, :6], np.repeat(series[0, :, 30:31], 6, axis=1))
    earlier = run(series, draws_of([-5], [-5]))  # now the window begins at bin 23
    np.testing.assert_array_equal(earlier[0, :, 0], series[0, :, 23])
    step = (series[0, :, 30] - series[0, :, 23].astype(float)) / 7
    np.testing.assert_allclose(earlier[0, :, 1], series[0, :, 23] + step, rtol=1e-5)


def test_a_window_without_observations_is_filled_from_beyond_it():
    series = np.full((1, 10, 73), -9999, np.int16)
    series[:, :, 5] = 700
    np.testing.assert_array_equal(run(series, draws_of([50], [50])), np.full((1, 10, T), 700))


def test_a_warp_multiplies_all_bands_by_scipys_spline():
    series, knots = full(3), np.random.default_rng(2).normal(1, 0.2, (3, 5))
    found = run(series, draws_of([0] * 3, [0] * 3, knots, [True, False, True]))
    for i in (0, 2):
        curve = CubicSpline(np.linspace(0, T - 1, 5), knots[i])(np.arange(T))
        np.testing.assert_allclose(found[i], series[i, :, 24:67] * curve, rtol=1e-5)
    np.testing.assert_array_equal(found[1], series[1, :, 24:67])


def test_without_draws_a_series_is_bit_for_bit_its_filled_window():
    series = gappy(200, share=0.6)
    still = replace(PAPER, shift_share=0, scale_share=0, warp_share=0)
    expected = fill_gaps(np.ascontiguousarray(series[:, :, 24:67]))
    np.testing.assert_array_equal(run(series, draw(still, 200, generator())), expected)


def test_an_original_stays_as_it_is_among_changed_copies():
    original = np.arange(300) % 3 == 0
    draws = draw(CODE, 300, generator(), original=original)
    for values in (draws.start, draws.end, draws.warped):
        assert not values[original].any()
    assert (draws.start[~original] != 0).float().mean() > 0.9
    everyone = draw(CODE, 300, generator())
    assert torch.equal(
        draws.start[~original], everyone.start[~original]
    )  # the others' draws do not depend on it


def shares(values, least, most):
    counts = np.bincount((values - least).astype(int), minlength=most - least + 1)
    assert len(counts) == most - least + 1  # none outside
    return counts / len(values)


def test_shifts_are_uniform_over_whole_days_and_reach_half_of_the_samples():
    draws = draw(replace(PAPER, scale_share=0), 84_000, generator())
    start = draws.start.numpy()
    np.testing.assert_array_equal(start, draws.end.numpy())
    expected = np.full(21, 0.5 / 21)
    expected[10] += 0.5  # 0 days: also all that do not shift
    np.testing.assert_allclose(shares(start, -10, 10), expected, atol=0.01)
    np.testing.assert_allclose(
        np.delete(shares(start, -10, 10), 10), 0.5 / 21, rtol=0.1
    )  # 2,000 each: 4.5 sd


def test_start_and_end_scale_each_on_its_own():
    draws = draw(replace(PAPER, shift_share=0, scale_share=1), 82_000, generator())
    start, end = draws.start.numpy(), draws.end.numpy()
    for values in (start, end):
        np.testing.assert_allclose(shares(values, -30, 10), 1 / 41, rtol=0.1)
    assert abs(np.corrcoef(start, end)[0, 1]) < 0.02


def test_half_of_the_papers_samples_take_part_in_each_transform_independently():
    still = replace(PAPER, scale_days=(0, 0))
    draws = draw(still, 40_000, generator())
    shifted, warped = (draws.start != 0).numpy(), draws.warped.numpy()
    assert shifted.mean() == pytest.approx(0.5 * 20 / 21, abs=0.01)
    assert warped.mean() == pytest.approx(0.5, abs=0.01)
    assert (shifted & warped).mean() == pytest.approx(0.25 * 20 / 21, abs=0.01)


def test_knots_are_normal_about_one():
    knots = draw(PAPER, 40_000, generator()).knots.numpy()
    np.testing.assert_allclose(knots.mean(axis=0), 1, atol=0.005)
    np.testing.assert_allclose(knots.std(axis=0), 0.2, atol=0.004)
    np.testing.assert_allclose(np.corrcoef(knots.T), np.eye(5), atol=0.02)


@pytest.mark.parametrize(("moves", "reach"), [(PAPER, (-40, 20)), (CODE, (-50, 50))])
def test_shift_and_scale_add_up_in_paper_and_scale_overwrites_in_code(moves, reach):
    draws = draw(replace(moves, shift_share=1, scale_share=1), 20_000, generator())
    for values in (draws.start, draws.end):
        assert (values.min(), values.max()) == reach
    correlation = np.corrcoef(draws.start.numpy(), draws.end.numpy())[0, 1]
    # the shift is in both ends: variance (21^2 - 1) / 12 of the whole, which has (41^2 - 1) / 12 more
    assert correlation == pytest.approx(440 / (440 + 1680) if moves is PAPER else 0, abs=0.03)


def test_all_samples_of_code_that_do_not_scale_shift():
    draws = draw(CODE, 40_000, generator())
    together = (draws.start == draws.end).numpy()
    assert together.mean() == pytest.approx(0.5 + 0.5 / 101, abs=0.01)
    assert (draws.start[together] == 0).float().mean() == pytest.approx(1 / 101, abs=0.003)
    assert draws.warped.float().mean() == pytest.approx(0.25, abs=0.01)
    assert draws.knots.std().item() == pytest.approx(0.1, abs=0.002)


def test_the_seed_decides_every_draw():
    one, same, other = (draw(PAPER, 50, generator(seed)) for seed in (1, 1, 2))
    for name in ("start", "end", "knots", "warped"):
        assert torch.equal(getattr(one, name), getattr(same, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))


def test_autocast_does_not_round_the_series():
    series, draws = full(20), draw(PAPER, 20, generator())
    plain = run(series, draws)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(series, draws)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, plain)


CASES = Path(__file__).resolve().parents[3] / ".." / "shared" / "cases" / "augmentation"


def in_cut(one, start, end):
    """`(band, bin)` of one series without gaps, cut at whole bins, and how many of these there were."""
    first, stop = max((120 + start) // 5, 0), min(-(-(334 + end) // 5), 73)
    cut = one[:, first:stop].astype(float)
    at = (np.arange(T) + 0.5) * cut.shape[1] / T - 0.5
    return np.array([np.interp(at, np.arange(cut.shape[1]), band) for band in cut])


def run_in_cut(series, draws):
    filled = torch.from_numpy(fill_gaps(series))
    observed = torch.from_numpy((series != -9999).all(axis=1))
    return resample(filled, observed, draws, window=WINDOW, bin_days=5, days=(120, 334)).numpy()


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (-50, -50), (50, 50), (-50, 50), (50, -50), (3, -4), (-120, 0), (60, 39), (200, -330)],
)
def test_whole_bins_are_cut_and_stretched_within_the_cut(start, end):
    series = full(3)
    found = run_in_cut(series, draws_of([start] * 3, [end] * 3))
    if start > end + 214:  # nothing is left between the days: the bin of the first day holds
        expected = np.repeat(series[:, :, (120 + start) // 5][:, :, None], T, axis=2)
    else:
        expected = [in_cut(one, start, end) for one in series]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0.01)


def test_a_window_that_is_not_moved_is_cut_as_it_is():
    series = gappy()
    found, same = run_in_cut(series, draws_of([0] * 8, [0] * 8)), run(series, draws_of([0] * 8, [0] * 8))
    np.testing.assert_array_equal(found, same)


def test_the_published_operation_gives_the_published_series():
    if not CASES.is_dir():
        pytest.skip("The series of the published code are not next to this checkout (../shared).")
    with np.load(CASES / "published_code.npz") as file:
        case = {name: file[name] for name in file}
    shift, scale = case["shift_days"].tolist(), case["scale_days"].T.tolist()
    for expected, draws in (("shifted", draws_of(shift, shift)), ("scaled", draws_of(*scale))):
        np.testing.assert_allclose(run_in_cut(case["series"], draws), case[expected], rtol=1e-5, atol=0.01)
    still = draws_of([0] * 12, [0] * 12, case["knots"].tolist(), [True] * 12)
    np.testing.assert_allclose(run_in_cut(case["series"], still), case["warped"], rtol=1e-5, atol=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_gives_the_same_series():
    series, draws = gappy(200), draw(CODE, 200, generator())
    device = torch.device("cuda")
    filled = torch.from_numpy(fill_gaps(series)).to(device)
    observed = torch.from_numpy((series != -9999).all(axis=1)).to(device)
    found = resample(filled, observed, draws.to(device), window=WINDOW, bin_days=5)
    assert found.device.type == "cuda"
    np.testing.assert_allclose(found.cpu().numpy(), run(series, draws), rtol=1e-5, atol=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift_days": (5, -5)}, "Shift days"),
        ({"scale_days": (-400, 0)}, "Scale days"),
        ({"warp_share": 1.5}, "warp share lies within 0 to 1, got 1.5"),
        ({"warp_knots": 1}, "2 to 20 knots.* got 0.2, 1 and 0"),
        ({"copies": -1}, "copies"),
    ],
)
def test_values_outside_their_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(PAPER, **change)


def test_the_presets_are_those_of_the_paper_and_of_its_code():
    assert (PAPER.shift_days, PAPER.scale_days, PAPER.warp_sigma) == ((-10, 10), (-30, 10), 0.2)
    assert (PAPER.shift_share, PAPER.scale_share, PAPER.warp_share, PAPER.warp_knots) == (0.5, 0.5, 0.5, 5)
    assert (CODE.shift_days, CODE.scale_days, CODE.warp_sigma) == ((-50, 50), (-50, 50), 0.1)
    assert (CODE.shift_share, CODE.scale_share, CODE.warp_share, CODE.warp_knots) == (1, 0.5, 0.25, 5)
    assert (PAPER.copies, CODE.copies) == (0, 2)
