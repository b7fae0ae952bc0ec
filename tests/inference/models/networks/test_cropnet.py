import math

import numpy as np
import pytest
import torch
from torch import nn

from gee_pipeline.errors import InputError
from inference.models.networks.cropnet import CropNet, CropNetConfig


@pytest.mark.parametrize(("preset", "parameters"), [("paper", 4_689_735), ("compact", 1_036_295)])
def test_a_preset_has_the_published_number_of_parameters(preset, parameters):
    network = CropNet(CropNetConfig.of(preset, classes=7))
    assert sum(p.numel() for p in network.parameters()) == parameters


# three weights a kernel instead of nine, all else as above: 3 (1*128 + 7*128^2) + 16*128 + 129*7, and
# 3 (64 + 64^2 + 64*128 + 128^2 + 128*256 + 256^2 + 256*512 + 512^2) + 4 (64 + 128 + 256 + 512) + 7*513
@pytest.mark.parametrize(("preset", "parameters"), [("paper", 1_568_199), ("compact", 347_399)])
def test_one_dimension_has_a_third_of_the_kernels(preset, parameters):
    network = CropNet(CropNetConfig.of(preset, classes=7, dimensions=1))
    assert sum(p.numel() for p in network.parameters()) == parameters
    kinds = [type(m) for m in network.blocks[0]]
    assert kinds == [nn.Conv1d, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Dropout1d]


@pytest.mark.parametrize(
    ("preset", "shapes"),
    [
        ("paper", [(64, 5, 22), (128, 5, 22), (256, 3, 11), (512, 3, 11)]),  # stride 2 in blocks 1 and 3
        ("compact", [(128, 5, 22)] * 4),  # stride 2 in block 1
    ],
)
def test_blocks_give_maps_of_the_documented_size(preset, shapes):
    x, found = torch.zeros(2, 1, 10, 43), []
    network = CropNet(CropNetConfig.of(preset, classes=3)).eval()
    for block in network.blocks:
        x = block(x)
        found.append(tuple(x.shape[1:]))
    assert found == shapes
    assert network(torch.zeros(2, 1, 10, 43)).shape == (2, 3)


def test_the_logits_are_those_of_the_written_out_formula(make_network):
    config = CropNetConfig("tiny", (3, 4), (2, 1), (0.2, 0.3), bands=5, classes=2)
    network = make_network(config).double()
    x = np.random.default_rng(0).normal(size=(5, 7))
    with torch.no_grad():
        found = network(torch.from_numpy(x)[None, None])[0].numpy()
    np.testing.assert_allclose(found, _written_out(network, x[None]), rtol=1e-10)


def test_one_dimension_is_the_written_out_formula_on_the_flat_series(make_network):
    """A row of the matrix alone, with the kernels as the middle rows of 3x3 kernels: the same formula."""
    config = CropNetConfig("tiny", (3, 4), (2, 1), (0.2, 0.3), bands=5, classes=2, dimensions=1)
    network = make_network(config).double()
    x = np.random.default_rng(0).normal(size=(5, 7))
    with torch.no_grad():
        found = network(torch.from_numpy(x)[None, None])[0].numpy()
    flat = np.concatenate(list(x))[None, None]  # band after band
    np.testing.assert_allclose(found, _written_out(network, flat), rtol=1e-10)


def _written_out(network, maps):
    """One pixel through the network, by numpy loops over the state's names."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    for block in range(len(network.config.channels)):
        for conv, norm, stride in ((0, 1, network.config.strides[block]), (3, 4, 1)):
            kernels = state[f"blocks.{block}.{conv}.weight"]
            if kernels.ndim == 3:
                kernels = np.pad(kernels[:, :, None], ((0, 0), (0, 0), (1, 1), (0, 0)))
            maps = _convolved(maps, kernels, stride)
            mean, var, weight, bias = (
                state[f"blocks.{block}.{norm}.{key}"][:, None, None]
                for key in ("running_mean", "running_var", "weight", "bias")
            )
            maps = np.maximum((maps - mean) / np.sqrt(var + 1e-5) * weight + bias, 0)
    return state["head.weight"] @ maps.mean(axis=(1, 2)) + state["head.bias"]


def _convolved(maps, kernels, stride):
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    rows, cols = range(0, maps.shape[1], stride), range(0, maps.shape[2], stride)
    return np.array(
        [[[(padded[:, r : r + 3, c : c + 3] * k).sum() for c in cols] for r in rows] for k in kernels]
    )


def test_weights_start_kaiming_normal():
    torch.manual_seed(0)
    network = CropNet(CropNetConfig.of("compact", classes=100))
    wide = network.blocks[1][0].weight  # 128 x 128 x 3 x 3: 147,456 draws, so the deviation is known to 0.5 %
    assert wide.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.01)  # fan-out
    assert wide.mean().item() == pytest.approx(0, abs=5e-4)
    first = network.blocks[0][0].weight  # one input channel: fan-in would make it 11 times as large
    assert first.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.1)
    assert network.head.weight.std().item() == pytest.approx(math.sqrt(2 / 128), rel=0.03)  # fan-in
    assert not network.head.bias.any()


def test_whole_maps_are_dropped_in_training_only():
    network = CropNet(CropNetConfig.of("compact", classes=3))
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout2d)] == [0.2, 0.3, 0.3, 0.4]
    torch.manual_seed(0)
    x = torch.randn(4, 1, 10, 43)
    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))
    kept = network.blocks(x).flatten(2).any(dim=2).float().mean().item()
    assert 0.5 < kept < 0.7  # 0.6 of the maps of the last block


def test_convolutions_have_no_bias():
    convolutions = [m for m in CropNet(CropNetConfig.of("paper", 3)).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 8
    assert all(c.bias is None for c in convolutions)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: CropNetConfig.of("large", 3), "compact, paper.*'large'"),  # no such preset
        (lambda: CropNetConfig.of("paper", 0), "at least 1"),  # nothing to distinguish
        (lambda: CropNetConfig("x", (8, 8), (2,), (0.1, 0.1), 10, 3), "2, 1 and 2"),  # a stride is missing
        (lambda: CropNetConfig("x", (8,), (0,), (0.1,), 10, 3), "at least 1"),  # no step
        (lambda: CropNetConfig("x", (8.5,), (1,), (0.1,), 10, 3), "at least 1"),  # half a feature map
        (lambda: CropNetConfig("x", (10**9,), (1,), (0.1,), 10, 3), "at most 65,536"),  # no memory holds it
        (lambda: CropNetConfig("x", (8,), (1,), (1.0,), 10, 3), "dropout"),  # everything dropped
        (lambda: CropNetConfig("x", (), (), (), 10, 3), "0, 0 and 0"),  # no block
        (lambda: CropNetConfig.of("paper", 3, dimensions=3), "1 or 2 dimensions, got 3"),  # no such network
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(make, names):
    with pytest.raises(InputError, match=names):
        make()
