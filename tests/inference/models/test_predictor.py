import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from gee_pipeline.errors import InputError, MismatchError
from inference.models import predictor
from inference.models.networks.cropnet import CropNetConfig
from inference.models.predictor import CPU_BATCH, Predictor, resolve_device
from inference.models.series import model_input

pytestmark = pytest.mark.slow

NARROW = replace(CropNetConfig.of("compact", 5), preset="narrow", channels=(32,) * 4)
"""For tests of what is made of logits: sixteen times as fast."""


@pytest.fixture
def series():
    random = np.random.default_rng(0)
    values = random.integers(0, 5_000, (300, 10, 43)).astype(np.int16)
    gaps = random.random((300, 1, 43)) < 0.4
    gaps[:, :, 5] = False
    return np.where(gaps, np.int16(-9999), values)


def _plain_logits(checkpoint, series):
    """`model(x)` on all pixels at once, in float64."""
    x = torch.from_numpy(model_input(series, checkpoint.normalisation, checkpoint.recipe)).double()
    return checkpoint.build().double()(x).detach().numpy()


def _undecided(checkpoint, series):
    """The same with logits of mean 0, so that each class wins somewhere."""
    shift = torch.from_numpy(_plain_logits(checkpoint, series).mean(axis=0)).float()
    bias = checkpoint.weights["head.bias"] - shift
    return replace(checkpoint, weights=checkpoint.weights | {"head.bias": bias})


@pytest.mark.parametrize("preset", ["compact", "paper"])
def test_logits_are_those_of_the_network(preset, make_checkpoint, series):
    checkpoint, few = make_checkpoint(preset), series[:140]  # more than a batch, and not a whole number
    found = Predictor(checkpoint, "cpu").logits(few)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _plain_logits(checkpoint, few), atol=1e-4, rtol=0)


def test_a_checkpoint_of_one_dimension_maps_too(make_checkpoint, series):
    flat = CropNetConfig("flat", (16, 16), (2, 2), (0.0, 0.0), 10, 5, dimensions=1)
    checkpoint = _undecided(make_checkpoint(config=flat), series)
    one = Predictor(checkpoint, "cpu", memory_budget=37 * 4 * 4 * 16 * 215)  # maps of half of 430 positions
    assert one.batch_size == 37
    wanted = _plain_logits(checkpoint, series)
    np.testing.assert_allclose(one.logits(series), wanted, atol=1e-4, rtol=0)
    np.testing.assert_array_equal(one.predict(series).codes, 1 + wanted.argmax(axis=1))


def test_codes_and_confidence_are_the_softmax_of_the_logits(make_checkpoint, series):
    series = series[:90]
    checkpoint = _undecided(make_checkpoint(config=NARROW, temperature=0.1), series)
    logits = _plain_logits(checkpoint, series) / 0.1
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    percent = 100 * odds.max(axis=1) / odds.sum(axis=1)
    found = Predictor(checkpoint, "cpu").predict(series)
    assert found.codes.dtype == found.confidence.dtype == np.uint8
    np.testing.assert_array_equal(found.codes, 1 + logits.argmax(axis=1))
    assert np.abs(found.confidence - percent).max() <= 0.5 + 1e-3  # rounded, not cut off
    assert set(found.codes) == {1, 2, 3, 4, 5}
    assert found.confidence.min() >= 20  # five classes: the likeliest has a fifth at least
    assert found.confidence.max() <= 100


def test_a_temperature_changes_confidence_but_no_class(make_checkpoint, series):
    checkpoint = _undecided(make_checkpoint(config=NARROW), series := series[:60])
    # at 1e9 the probabilities are a fifth each, as far as float32 can tell
    by_temperature = {
        t: Predictor(replace(checkpoint, temperature=t), "cpu").predict(series) for t in (0.05, 0.3, 1e9)
    }
    likeliest = 1 + _plain_logits(checkpoint, series).argmax(axis=1)
    for found in by_temperature.values():
        np.testing.assert_array_equal(found.codes, likeliest)
    means = [found.confidence.mean() for found in by_temperature.values()]
    assert means[0] > means[1] + 5
    assert means[2] == 20


def test_the_batch_size_does_not_change_the_result(make_checkpoint, series):
    checkpoint = make_checkpoint(config=NARROW)
    whole = Predictor(checkpoint, "cpu")
    small = Predictor(checkpoint, "cpu", memory_budget=5 * 2**18)
    assert small.batch_size < whole.batch_size
    np.testing.assert_allclose(small.logits(series), whole.logits(series), atol=1e-5)


def test_the_memory_budget_bounds_the_batch(make_checkpoint):
    checkpoint = make_checkpoint()
    each = 4 * 4 * 128 * 5 * 22  # four maps of float32
    assert Predictor(checkpoint, "cpu", memory_budget=10 * each).batch_size == 10
    assert Predictor(checkpoint, "cpu", memory_budget=11 * each - 1).batch_size == 10
    assert Predictor(checkpoint, "cpu", memory_budget=2**40).batch_size == CPU_BATCH
    with pytest.raises(InputError, match=r"0\.21 MiB.*0\.00 MiB"):
        Predictor(checkpoint, "cpu", memory_budget=1_000)


def test_batches_never_exceed_the_batch_size(make_checkpoint, series, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        predictor, "model_input", lambda s, n, r: sizes.append(len(s)) or model_input(s, n, r)
    )
    one = Predictor(make_checkpoint(config=NARROW), "cpu", memory_budget=4 * 2**20)
    one.logits(series)
    assert sum(sizes) == len(series)
    assert max(sizes) == one.batch_size < len(series)


def test_a_series_without_observation_is_never_labelled(make_checkpoint, series):
    series[1] = -9999
    with pytest.raises(AssertionError, match="without any observation"):
        Predictor(make_checkpoint(), "cpu").predict(series[:3])


def test_no_pixels_give_no_codes(make_checkpoint):
    found = Predictor(make_checkpoint(), "cpu").predict(np.empty((0, 10, 43), np.int16))
    assert found.codes.shape == found.confidence.shape == (0,)


def test_threads_may_share_a_predictor(make_checkpoint, series):
    shared = Predictor(make_checkpoint(config=NARROW), "cpu", memory_budget=2 * 2**20)
    parts = [series[i::4] for i in range(4)]
    alone = [shared.logits(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(shared.logits, parts * 3))
    for i, found in enumerate(together):
        np.testing.assert_allclose(found, alone[i % 4], atol=1e-5)


@pytest.fixture
def torch_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_so_many_threads_work_at_a_time_whoever_asks(
    threads, make_checkpoint, series, monkeypatch, torch_threads
):
    checkpoint = make_checkpoint(config=NARROW)
    expected = Predictor(checkpoint, "cpu", memory_budget=2 * 2**20).logits(series)
    under_way, most, parts = [], [], set()

    def watched(part, *rest):
        under_way.append(part)
        most.append(len(under_way))
        parts.add(torch.get_num_threads())
        time.sleep(0.002)
        found = model_input(part, *rest)
        under_way.pop()
        return found

    monkeypatch.setattr(predictor, "model_input", watched)
    one = Predictor(checkpoint, "cpu", memory_budget=threads * 2 * 2**20, threads=threads)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(one.logits, [series] * 3))
    assert max(most) == threads
    assert parts == {1}  # no operation is divided among threads
    for logits in found:
        np.testing.assert_array_equal(logits, expected)


def test_a_batch_that_fails_in_a_thread_fails_the_prediction(make_checkpoint, series, monkeypatch):
    one = Predictor(make_checkpoint(config=NARROW), "cpu", threads=2)
    monkeypatch.setattr(predictor, "model_input", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        one.logits(series)


def test_another_shape_of_series_is_refused(make_checkpoint):
    one = Predictor(make_checkpoint(), "cpu")
    for shape in ((4, 9, 43), (4, 10, 73)):
        with pytest.raises(MismatchError, match=r"10 bands and 43 bins, got"):
            one.logits(np.zeros(shape, np.int16))


def test_the_codes_are_those_of_the_classes(make_checkpoint, series):
    checkpoint = make_checkpoint(classes=3)
    for winner in range(3):
        bias = torch.full((3,), -1e3)
        bias[winner] = 1e3
        biased = replace(checkpoint, weights=checkpoint.weights | {"head.bias": bias})
        found = Predictor(biased, "cpu").predict(series[:5])
        assert found.codes.tolist() == [checkpoint.classes[winner].code] * 5
        assert found.confidence.tolist() == [100] * 5


@pytest.mark.parametrize(
    ("name", "devices", "wanted"),
    [
        ("cpu", 2, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_is_found(name, devices, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    assert resolve_device(name) == torch.device(wanted)


@pytest.mark.parametrize(
    ("name", "devices", "names"),
    [
        ("cuda", 0, "cuda was asked for.*0 CUDA devices.*--device auto or cpu"),
        ("cuda:2", 2, "cuda:2 was asked for.*2 CUDA devices"),
        ("gpu", 1, "auto, cpu, cuda or cuda:N, got 'gpu'"),
        ("cuda:first", 1, "got 'cuda:first'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(name, devices, names, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    with pytest.raises(InputError, match=names):
        resolve_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_gives_the_same_classes(make_checkpoint, series):
    checkpoint = make_checkpoint()
    here, there = (Predictor(checkpoint, device).predict(series) for device in ("cpu", "cuda"))
    assert (here.codes == there.codes).mean() > 0.99
    assert np.abs(here.confidence.astype(int) - there.confidence).max() <= 1
