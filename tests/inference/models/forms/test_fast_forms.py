import pytest
import torch
from torch import nn

from inference.models.forms.fast_forms import MAPS, DirectCropNet, WinogradCropNet, activation_bytes, prepare
from inference.models.networks.cropnet import CropNetConfig

FORMS = [DirectCropNet, WinogradCropNet]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("preset", ["compact", "paper"])
def test_each_form_gives_the_networks_logits(form, preset, make_network):
    network = make_network(CropNetConfig.of(preset, classes=7))
    x = torch.randn(24, 1, 10, 43)
    with torch.inference_mode():
        wanted = network(x)
        found = form(network)(x)
    assert found.shape == (24, 7)
    assert wanted.std() > 0.1
    assert (found - wanted).abs().max() < 1e-4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("bands", "bins", "strides"),
    [
        (9, 43, (2, 1)),  # a catalog without B8
        (10, 73, (2, 2)),  # the whole year
        (10, 43, (1, 1)),  # maps too tall for Winograd
        (1, 1, (1, 1)),  # the smallest there is
        (4, 7, (3, 1)),
    ],
)
def test_other_shapes_too(form, bands, bins, strides, make_network):
    network = make_network(CropNetConfig("other", (6, 9), strides, (0.1, 0.1), bands, classes=3))
    x = torch.randn(5, 1, bands, bins)
    with torch.inference_mode():
        torch.testing.assert_close(form(network)(x), network(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "form"), [("direct", DirectCropNet), ("winograd", WinogradCropNet)])
def test_the_form_is_taken_by_its_name(name, form, make_network):
    network = make_network(CropNetConfig("tiny", (4,), (2,), (0.1,), 10, 3))
    assert isinstance(prepare(network, torch.device("cpu"), name), form)


def test_a_network_of_one_dimension_stays_plain(make_network):
    network = make_network(CropNetConfig("flat", (4,), (2,), (0.1,), 10, 3, dimensions=1))
    assert prepare(network, torch.device("cpu")) is network


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("preset", ["compact", "paper"])
@pytest.mark.parametrize("bins", [43, 73])
def test_activations_are_counted_from_the_largest_map(preset, bins, dimensions, make_network):
    network, sizes = make_network(CropNetConfig.of(preset, classes=7, dimensions=dimensions)), []
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            module.register_forward_hook(lambda _m, _x, y: sizes.append(y.nbytes))
    network(torch.zeros(1, 1, 10, bins))
    assert activation_bytes(network.config, bins) == MAPS * max(sizes)
