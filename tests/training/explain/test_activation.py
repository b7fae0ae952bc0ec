import sys

import numpy as np
import pytest
import torch
from torch import nn

from gee_pipeline.errors import InputError
from tests.support.explain_place import (
    BAND,
    BIN,
    passing_checkpoint,
    passing_network,
    spike_input,
    spike_samples,
)
from training.explain.activation import (
    class_maps,
    grad_cam,
    integrated_gradients,
    mean_activation,
    predicted,
    reference_series,
    unexplained,
)

pytest.importorskip("captum", reason="captum is not installed: pip install 'cropmap[training]'")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Product(nn.Module):
    """Logits from two cells alone: a times b, and nothing."""

    def forward(self, x):
        product = x[:, 0, BAND, BIN] * x[:, 0, 0, 0]
        return torch.stack([product, 0 * product], dim=1)


@pytest.mark.parametrize("dimensions", [2, 1])
def test_an_answer_from_one_band_and_one_bin_is_found_there_alone(dimensions):
    maps = grad_cam(passing_network(dimensions), spike_input((BAND, BIN)), 0)
    assert maps.shape == (1, 10, 43)
    assert np.argwhere(maps[0] > 1e-6).tolist() == [[BAND, BIN]]


def test_a_class_that_nothing_speaks_for_has_no_activation():
    assert not grad_cam(passing_network(), spike_input((BAND, BIN)), 1).any()


def test_a_place_after_strides_stands_where_its_convolutions_look():
    # Two blocks of stride 2: output (1, 5) is centred at input (4, 20), its neighbours 4 cells away.
    maps = grad_cam(passing_network(strides=(2, 2)), spike_input((4, 20)), 0)
    expected = np.zeros((10, 43))
    for band in range(10):
        for bin_ in range(43):
            expected[band, bin_] = max(0, 1 - abs(band - 4) / 4) * max(0, 1 - abs(bin_ - 20) / 4)
    np.testing.assert_allclose(maps[0] / maps[0].max(), expected, atol=1e-6)


def test_a_flat_series_is_folded_back_band_by_band():
    maps = grad_cam(passing_network(dimensions=1), spike_input((0, 42), (9, 0)), 0)
    assert np.argwhere(maps[0] > 1e-6).tolist() == [[0, 42], [9, 0]]


def test_no_samples_give_no_maps():
    nothing = spike_input()[:0]
    assert grad_cam(passing_network(), nothing, 0).shape == (0, 10, 43)
    assert integrated_gradients(Product(), nothing, 0, torch.zeros(10, 43)).shape == (0, 10, 43)
    assert predicted(passing_network(), nothing).shape == (0,)


def test_integrated_gradients_share_a_product_evenly_from_nothing():
    # From (0, 0) to (a, b) the integral of either factor's gradient is a b / 2 (Sundararajan et al. 2017).
    x = spike_input((BAND, BIN), height=3.0)  # a = 3, b = -1
    maps = integrated_gradients(Product(), x, 0, torch.zeros(10, 43))
    expected = np.zeros((10, 43))
    expected[BAND, BIN] = expected[0, 0] = -1.5
    np.testing.assert_allclose(maps[0], expected, atol=1e-5)


def test_integrated_gradients_are_counted_from_the_baseline():
    # From (1, 1) to (3, -1): the integrals of (2 t' b(t)) are 2 * mean(b) = 0 and -2 * mean(a) = -4.
    x = spike_input((BAND, BIN), height=3.0)
    maps = integrated_gradients(Product(), x, 0, torch.ones(10, 43))
    assert maps[0, BAND, BIN] == pytest.approx(0, abs=1e-5)
    assert maps[0, 0, 0] == pytest.approx(-4, abs=1e-5)


def test_what_attributions_leave_unexplained_is_a_share_of_the_change():
    x, start = spike_input((BAND, BIN), height=3.0), torch.zeros(10, 43)
    maps = integrated_gradients(Product(), x, 0, start)
    assert unexplained(Product(), x, 0, start, maps) == pytest.approx(0, abs=1e-5)
    assert unexplained(Product(), x, 0, start, maps / 4) == pytest.approx(0.75, abs=1e-5)
    assert unexplained(Product(), x, 1, start, 0 * maps) is None  # a logit that does not change


def test_samples_count_the_same_however_strong_their_activation():
    weak, strong = np.zeros((2, 2, 2), np.float32)
    weak[0, 0], strong[1, 1] = 0.1, 100
    mean, shown = mean_activation(np.stack([weak, strong, np.zeros((2, 2), np.float32)]))
    assert shown == 2
    np.testing.assert_allclose(mean, [[2, 0], [0, 2]], rtol=1e-6)


def test_maps_that_are_all_nothing_have_no_mean():
    assert mean_activation(np.zeros((3, 2, 2), np.float32)) == (None, 0)


def test_the_reference_gives_each_class_the_same_weight():
    inputs = torch.tensor([0.0, 0.0, 0.0, 4.0]).reshape(4, 1, 1, 1).expand(4, 1, 2, 3)
    np.testing.assert_allclose(reference_series(inputs, np.array([0, 0, 0, 1])), np.full((2, 3), 2.0))


@pytest.mark.parametrize("dimensions", [2, 1])
def test_maps_of_a_class_are_of_its_samples_that_are_predicted_right(dimensions):
    corn, rice = class_maps(passing_checkpoint(dimensions=dimensions), spike_samples(6, 5, hidden=2))
    assert (corn.label, corn.samples, corn.right, corn.shown) == (0, 6, 4, 4)
    assert (rice.label, rice.samples, rice.right, rice.shown) == (1, 5, 5, 0)
    # All of the map lies in one of 430 cells, so it is 430 times its mean there.
    assert np.argwhere(corn.activation > 1e-3).tolist() == [[BAND, BIN]]
    assert corn.activation[BAND, BIN] == pytest.approx(430, rel=1e-5)
    assert rice.activation is None


def test_attributions_sum_to_the_change_of_the_logit():
    corn, _ = class_maps(passing_checkpoint(), spike_samples(6, 5))
    # Normalised, 9,000 is 8 and the reference is half way between it and about -0.55.
    assert corn.attribution[BAND, BIN] == pytest.approx((8 - (8 - 0.55) / 2) / 430, rel=0.01)
    assert np.abs(corn.attribution).sum() == pytest.approx(corn.attribution[BAND, BIN], rel=1e-4)
    assert corn.unexplained < 1e-3


def test_attributions_are_of_so_many_samples():
    corn, rice = class_maps(passing_checkpoint(), spike_samples(6, 5), attributed=3)
    assert (corn.attributed, rice.attributed) == (3, 3)


def test_a_class_of_which_nothing_is_right_has_no_map():
    corn, _ = class_maps(passing_checkpoint(), spike_samples(3, 5, hidden=3))
    assert (corn.right, corn.activation, corn.attribution, corn.unexplained) == (0, None, None, None)


def test_maps_do_not_depend_on_the_batch(monkeypatch):
    whole = class_maps(passing_checkpoint(), spike_samples(6, 5))
    monkeypatch.setattr("training.explain.activation.BATCH", 2)
    parts = class_maps(passing_checkpoint(), spike_samples(6, 5))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.attribution, other.attribution, atol=1e-6)
        assert (one.activation is None) == (other.activation is None)


def test_without_captum_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(InputError, match=r"pip install 'cropmap\[training\]'"):
        class_maps(passing_checkpoint(), spike_samples())
