"""Scale, offset and order of bands: what of them can be seen in the values."""

import numpy as np
import pytest

from gee_pipeline.bands import BANDS
from gee_pipeline.errors import InputError
from training.samples.reflectance import OTHER_ORDERS, to_stored
from training.samples.samples import read_samples

LABELS = np.arange(40) % 2

# Typical reflectance x 10,000 of a closed canopy and of dry soil in the order of the rows
# B2, B3, B4, B8, B5, B6, B7, B8A, B11, B12; written down, not taken from any file.
CANOPY = np.array([300, 600, 350, 4500, 1000, 3300, 4200, 4600, 2000, 1000])
SOIL = np.array([900, 1200, 1600, 2400, 1900, 2000, 2200, 2500, 3200, 2700])


def fields(order=BANDS, green=1.0):
    """Forty fields that go from soil to canopy and back."""
    rng = np.random.default_rng(0)
    share = green * np.exp(-(((np.arange(73) - 40) / 10) ** 2))
    values = SOIL[:, None] * (1 - share) + CANOPY[:, None] * share  # (band, bin)
    noisy = values * rng.uniform(0.9, 1.1, (40, 10, 73))
    rows = [BANDS.index(band) for band in order]
    return noisy.astype(np.int16)[:, rows]


@pytest.fixture
def write(tmp_path):
    def write(fea, **arrays):
        np.savez(tmp_path / "samples.npz", fea=fea, lbl=LABELS, **arrays)
        return tmp_path / "samples.npz"

    return write


def test_fields_in_the_right_order_are_read(write):
    assert len(read_samples([write(fields())])) == 40


@pytest.mark.parametrize("order", OTHER_ORDERS)
def test_other_orders_of_the_bands_are_seen(write, order):
    with pytest.raises(
        InputError, match=rf"samples\.npz: key fea .*as if the order were {', '.join(order)}\."
    ):
        read_samples([write(fields(order))])


def test_bare_fields_tell_nothing_about_the_order(write):
    assert len(read_samples([write(fields(OTHER_ORDERS[0], green=0.0))])) == 40


@pytest.mark.parametrize("place", ["arkansas", "california"])
@pytest.mark.parametrize("order", OTHER_ORDERS)
def test_other_orders_are_seen_in_real_pixels(write, order, place, request):
    with np.load(request.getfixturevalue(place)) as raw:
        some = np.random.default_rng(0).permutation(len(raw["lbl"]))[:300]
        fea = raw["fea"][some]
    path = write(fea[:, [BANDS.index(band) for band in order]])
    np.savez(path, fea=fea[:, [BANDS.index(band) for band in order]], lbl=np.arange(300) % 2)
    with pytest.raises(InputError, match=rf"as if the order were {', '.join(order)}\."):
        read_samples([path])


@pytest.mark.parametrize(("scale", "offset"), [(1.0, None), (100.0, None), (10_000.0, 1_000.0), (255.0, 3.0)])
def test_values_of_another_scale_come_out_the_same(write, scale, offset):
    plain = fields()
    stored = plain / 10_000 * scale + (offset or 0)
    samples = read_samples([write(stored)], scale=scale, offset=offset)
    np.testing.assert_array_equal(samples.series, plain)


def test_gaps_are_not_scaled(write):
    stored = fields() / 10_000
    stored[3, :, 30:40] = -9999
    samples = read_samples([write(stored)], scale=1)
    assert (samples.series[3, :, 30:40] == -9999).all()
    assert (samples.series[4] != -9999).all()


@pytest.mark.parametrize(
    ("stored", "options", "message"),
    [
        (fields() / 10_000, {}, "reflectance 0 to 1.*--scale 1 "),
        (fields() / 100, {}, "--scale 100 for percent"),
        (fields() / 10_000, {"scale": 100.0}, "largest value with --scale 100 is"),
        (fields().astype(np.int32) * 100, {}, "must lie within .*row 0 has .*--scale"),
        (fields(), {"scale": 1.0}, "must lie within .*row 0"),
        (fields() + 1_000, {}, r"samples\.npz: key fea .*--offset 1000"),
        (fields(), {"scale": 0.0}, "A scale is above 0, got --scale 0"),
        (fields(), {"scale": float("nan")}, "A scale is above 0"),
    ],
)
def test_a_wrong_scale_is_refused_with_the_option_that_mends_it(write, stored, options, message):
    with pytest.raises(InputError, match=message):
        read_samples([write(stored)], **options)


def test_bright_fields_are_read_when_told_that_they_are_right(write):
    assert len(read_samples([write(fields() + 1_000)], offset=0)) == 40


def test_nothing_to_scale_changes_nothing():
    values = np.array([1, 2], np.int16)
    assert to_stored(values, 10_000, 0) is values
    assert to_stored(np.array([0.25]), 1, None).tolist() == [2_500]
