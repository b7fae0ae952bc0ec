"""The made-up landscape: fields, margins, shares."""

import numpy as np
import pytest

from examples.fields import draw_fields, make_landscape, share_out
from examples.phenology import load_phenology


@pytest.fixture(scope="module")
def landscape():
    return make_landscape(np.random.default_rng(4), 192, load_phenology())


def test_classes_have_the_real_shares_of_the_area(landscape):
    truth = landscape.truth
    found = np.bincount(truth[truth > 0], minlength=6)[1:] / (truth > 0).sum()
    real = list(load_phenology().class_shares().values())
    np.testing.assert_allclose(found, real, atol=0.03)


def test_margins_surround_the_fields(landscape):
    margin = landscape.truth == 0
    assert 0.05 < margin.mean() < 0.30  # small places have small fields, so more margin
    field = landscape.field
    for one, other in ((field[:, :-1], field[:, 1:]), (field[:-1], field[1:])):
        touching = (one != other) & (one > 0) & (other > 0)
        assert touching.mean() < 0.001  # a tilted margin of one pixel may be crossed at a corner


def test_a_field_is_one_class_and_a_class_many_fields(landscape):
    for number in range(1, landscape.field.max() + 1):
        assert len(np.unique(landscape.truth[landscape.field == number])) == 1
    assert (np.bincount(landscape.codes[1:], minlength=6)[1:] >= 5).all()


def test_pixels_of_a_field_are_more_alike_than_fields(landscape):
    inside = [landscape.scores[landscape.field == n].std(axis=0) for n in range(1, 60)]
    means = [landscape.scores[landscape.field == n].mean(axis=0) for n in range(1, 60)]
    assert np.mean(inside) < 0.6 * np.std(means, axis=0).mean()
    assert np.mean(inside) > 0.05


def test_fields_have_the_size_of_fields():
    areas = np.bincount(draw_fields(np.random.default_rng(0), 512).ravel())[1:] / 100  # hectares
    assert 3 < np.median(areas) < 20
    assert len(areas) > 150


def test_shares_are_met_whatever_the_order():
    areas = np.array([50, *[10] * 100])
    codes = share_out(np.random.default_rng(0), areas, [0.5, 0.3, 0.2])
    assert codes[0] == 0
    np.testing.assert_allclose(np.bincount(codes)[1:], [50, 30, 20], atol=1)
