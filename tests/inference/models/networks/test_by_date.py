"""Networks that read dates: sizes by formula, attention that sums to one, and an order that matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from inference.models.networks.attention import HEADS, WIDTH, SelfAttention, Transformer, sinusoids
from inference.models.networks.recurrent import DCM, EVERY, PAN, PhenoCropNet
from inference.models.networks.specification import pixel_bytes
from inference.models.networks.temporal_cnn import CHANNELS, TemporalCNN

BANDS, BINS, CLASSES = 10, 43, 7


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    return {
        "dcm": DCM(BANDS, CLASSES),
        "transformer": Transformer(BANDS, BINS, CLASSES),
        "temporal-cnn": TemporalCNN(BANDS, CLASSES),
        "pan": PAN(BANDS, CLASSES),
        "phenocropnet": PhenoCropNet(BANDS, CLASSES),
    }


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def lstm(inputs: int, hidden: int) -> int:
    """Both directions of a layer: four gates of weights for input and state, and two biases."""
    return 2 * 4 * hidden * (inputs + hidden + 2)


def gru(inputs: int, hidden: int, directions: int) -> int:
    return directions * 3 * hidden * (inputs + hidden + 2)


def attention(width: int) -> int:
    return 4 * (width * width + width)


def test_sizes_are_those_of_the_formulas() -> None:
    sizes = {name: count(network) for name, network in networks().items()}
    assert sizes["dcm"] == lstm(10, 256) + lstm(512, 256) + 513 + 512 * 7 + 7
    assert sizes["pan"] == gru(10, 128, 1) + gru(128, 128, 1) + 128 * 7 + 7
    periods = gru(10, 64, 2) + gru(128, 64, 2) + 2 * attention(128)
    assert sizes["phenocropnet"] == periods + 128 * 7 + 7
    layer = attention(64) + 64 * 128 + 128 + 128 * 64 + 64 + 4 * 64
    assert sizes["transformer"] == 10 * 64 + 64 + 3 * layer + 64 * 7 + 7
    convolutions = sum(5 * i * o + 2 * o for i, o in zip((10, 64, 128), CHANNELS, strict=True))
    assert sizes["temporal-cnn"] == convolutions + 256 * 7 + 7


@pytest.mark.parametrize("name", networks())
def test_the_order_of_the_dates_matters(name: str) -> None:
    network = networks()[name].eval()
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(4, 1, BANDS, BINS)).astype(np.float32))
    with torch.inference_mode():
        assert not torch.allclose(network(x), network(x.flip(3)), atol=1e-4)
        assert torch.allclose(network(x)[:2], network(x[:2]), atol=1e-5)  # each sample by itself


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("bins", [1, 3, 7])
def test_short_series_are_read_too(name: str, bins: int) -> None:
    if name == "transformer":
        assert Transformer(BANDS, bins, CLASSES).eval()(torch.zeros(2, 1, BANDS, bins)).shape == (2, CLASSES)
        return
    assert networks()[name].eval()(torch.zeros(2, 1, BANDS, bins)).shape == (2, CLASSES)


def test_attention_of_dcm_sums_to_one_and_weighs_the_states() -> None:
    network = networks()["dcm"].eval()
    assert isinstance(network, DCM)
    states = torch.randn(3, BINS, 512)
    shares = network.weights(states)
    assert torch.allclose(shares.sum(dim=1), torch.ones(3))
    expected = torch.relu(states @ network.attention.weight[0] + network.attention.bias).softmax(dim=1)
    assert torch.allclose(shares, expected, atol=1e-6)


def test_forget_gates_of_dcm_start_open() -> None:
    network = networks()["dcm"]
    assert isinstance(network, DCM)
    for name, bias in network.recurrent.named_parameters():
        if name.startswith("bias_ih"):
            assert (bias[256:512] == 3).all()
            assert (bias[:256] != 3).all()


def test_the_states_of_pan_are_those_of_every_fourth_date_and_the_last() -> None:
    network = networks()["pan"].eval()
    assert isinstance(network, PAN)
    x = torch.randn(2, 1, BANDS, BINS)
    levels = network.levels(x)
    assert len(levels) == (BINS - 1) // EVERY + 1 == 11
    shorter = network.levels(x[..., :8])  # what comes later does not change a state
    assert torch.allclose(levels[0], shorter[0], atol=1e-6)
    assert torch.allclose(levels[1], shorter[1], atol=1e-6)


def test_self_attention_by_loops() -> None:
    torch.manual_seed(3)
    network = SelfAttention(WIDTH, HEADS).double()
    x = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    asked = network.asked(x)
    q, k, v = asked.split(WIDTH, dim=2)
    size = WIDTH // HEADS
    out = torch.zeros_like(x)
    for sample in range(2):
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            for date in range(5):
                likeness = k[sample, :, part] @ q[sample, date, part] / size**0.5
                out[sample, date, part] = likeness.softmax(dim=0) @ v[sample, :, part]
    torch.testing.assert_close(network(x), network.joined(out))


def test_positions_are_sines_and_cosines() -> None:
    found = sinusoids(7)
    assert found.shape == (7, WIDTH)
    assert float(found[3, 0]) == pytest.approx(np.sin(3), abs=1e-6)
    assert float(found[3, 1]) == pytest.approx(np.cos(3), abs=1e-6)


@pytest.mark.parametrize("name", networks())
def test_the_memory_of_a_pixel_counts_recurrent_layers(name: str) -> None:
    found = pixel_bytes(networks()[name].eval(), BANDS, BINS)
    widest = {"dcm": 512 * BINS, "transformer": 128 * BINS, "temporal-cnn": 256 * BINS, "pan": 128 * BINS}
    assert found >= 4 * widest.get(name, 128)
