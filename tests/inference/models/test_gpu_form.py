"""The GPU's way from stored series to logits; what needs no GPU is shown on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gee_pipeline.observations import group_slices
from inference.models.forms.fast_forms import DirectCropNet
from inference.models.gpu_form import (
    GpuNetwork,
    StoredSeriesNet,
    filled,
    gpu_network,
    is_proven,
    made_series,
)
from inference.models.predictor import Predictor
from inference.models.series import fill_gaps

CPU = torch.device("cpu")


@pytest.mark.parametrize("groups", [None, (4, 6), (1, 1, 8)])
@pytest.mark.parametrize("gaps", [0.0, 0.5, 0.97])
def test_gaps_are_filled_as_everywhere(groups, gaps):
    random = np.random.default_rng(4)
    series = random.integers(0, 9_000, (500, 10, 43)).astype(np.int16)
    series[np.broadcast_to(random.random((500, 10, 43)) < gaps / 3, series.shape)] = -9999
    series[np.broadcast_to(random.random((500, 1, 43)) < gaps, series.shape)] = -9999
    expected = fill_gaps(series, groups)
    found = filled(torch.from_numpy(series), group_slices(groups or (10,))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3)  # NaN where nothing was seen, in both


@pytest.fixture
def checkpoint(make_checkpoint):
    return make_checkpoint("small-16")


@pytest.fixture
def net(checkpoint):
    def make(dtype):
        return StoredSeriesNet(DirectCropNet(checkpoint.build()), checkpoint, dtype)

    return make


def stored(checkpoint, pixels, seed=0):
    return made_series(pixels, (len(checkpoint.recipe.bands), len(checkpoint.recipe.window)), seed)


def test_logits_are_those_of_the_predictor(checkpoint, net):
    series = stored(checkpoint, 40)
    with torch.inference_mode():
        found = net(torch.float32)(series).numpy()
    np.testing.assert_allclose(found, Predictor(checkpoint, "cpu").logits(series.numpy()), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_keep_the_classes_and_logits_have_32(dtype, checkpoint, net):
    series = stored(checkpoint, 200)
    with torch.inference_mode():
        exact, found = net(torch.float32)(series), net(dtype)(series)
    assert found.dtype == torch.float32
    best, second = exact.topk(2, dim=1).values.T
    clear = best - second > 0.05
    assert (exact.argmax(1) == found.argmax(1))[clear].all()
    assert (exact - found).abs().max() > 0  # it is another precision


@pytest.mark.parametrize("pixels", [1, 7, 8, 9, 24, 61])
def test_batches_of_one_size_give_every_pixel_its_own_logits(pixels, checkpoint, net):
    series = stored(checkpoint, pixels, seed=pixels)
    step = net(torch.float32)
    sizes = []

    def counted(batch):
        sizes.append(len(batch))
        return step(batch)

    shape, classes = tuple(series.shape[1:]), len(checkpoint.classes)
    network = GpuNetwork(counted, shape, classes, CPU, batch=8)
    found = network.logits(series.numpy())
    again = network.logits(series.numpy()[::-1])  # buffers hold the former pixels
    with torch.inference_mode():
        expected = step(series).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(again[::-1], expected, atol=1e-5)
    assert set(sizes) == {8}


def test_a_form_that_fails_or_errs_is_not_used(checkpoint, net, caplog):
    series, exact = stored(checkpoint, 64), net(torch.float32)
    assert is_proven(exact, exact, series)
    assert not is_proven(lambda batch: -exact(batch), exact, series)
    assert "other classes" in caplog.text
    assert not is_proven(lambda batch: exact(batch) + torch.nan, exact, series)

    def broken(batch):
        raise RuntimeError("no compiler\nwith a long trace")

    assert not is_proven(broken, exact, series)
    assert "no compiler" in caplog.text


def test_weights_that_16_bits_cannot_hold_have_no_fast_form(checkpoint):
    assert gpu_network(checkpoint, CPU, 16) is not None
    weights = dict(checkpoint.weights)
    first = next(name for name in weights if name.endswith("0.1.weight"))  # of the first normalisation
    weights[first] = weights[first] * 1e7
    assert gpu_network(replace(checkpoint, weights=weights), CPU, 16) is None
