import numpy as np
import pytest
import torch
from torch import nn

from inference.models.forms.winograd import TALLEST, WinogradConvolution, minimal_filter


@pytest.mark.parametrize("results", range(1, TALLEST + 1))
def test_a_minimal_filter_is_a_correlation(results):
    random = np.random.default_rng(results)
    kernel, data = random.normal(size=3), random.normal(size=results + 2)
    interpolate, evaluate, gather = minimal_filter(results)
    found = gather @ ((evaluate @ kernel) * (interpolate @ data))
    np.testing.assert_allclose(found, np.correlate(data, kernel, "valid"), atol=1e-10)


@pytest.mark.parametrize("height", range(1, TALLEST + 1))
@pytest.mark.parametrize("width", [1, 2, 4, 5, 11, 22])  # less than a tile, one, and not a whole number
def test_it_equals_a_direct_convolution(height, width):
    torch.manual_seed(height * width)
    convolution = nn.Conv2d(16, 24, 3, padding=1)
    x = torch.randn(7, 16, height, width).relu()
    wanted = convolution.double()(x.double()).relu().detach()
    with torch.inference_mode():
        positions = x.permute(3, 2, 0, 1).flatten(0, 1)
        found = WinogradConvolution(convolution.float(), height)(positions)
    found = found.view(width, height, 7, 24).permute(2, 3, 1, 0)
    assert (found - wanted).abs().max() < 2e-5


def test_a_pixel_without_number_leaves_the_others_alone():
    x = torch.randn(5 * 22, 3, 8)
    x[:, 1] = float("nan")
    with torch.inference_mode():
        y = WinogradConvolution(nn.Conv2d(8, 8, 3, padding=1), 5)(x)
    assert y[:, [0, 2]].isfinite().all()
