"""Numbers of a file to reflectance x 10,000, against exact decimal arithmetic."""

import math
from decimal import Decimal

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from gee_pipeline.sensors import SENTINEL_2
from gee_pipeline.stac.assets import BandAsset
from gee_pipeline.stac.encoding import (
    Encoding,
    band_encoding,
    decode,
    plain_encoding,
    require_meaning,
    store_values,
)

NAN = float("nan")


def asset(scale=None, offset=None, nodata=None, default_offset=0.0):
    return BandAsset("B02", "B02.tif", 1, scale, offset, nodata, None, default_offset)


def stored(numbers, encoding):
    numbers = np.array([numbers], np.float32)
    out, clear = np.full(numbers.shape, 77, np.int16), np.ones(numbers.shape, bool)
    store_values(numbers, encoding, SENTINEL_2, out, clear)
    return [int(v) if c else None for v, c in zip(out[0], clear[0], strict=True)]


def exact(number, scale, offset):
    return math.floor((Decimal(number) * Decimal(scale) + Decimal(offset)) * 10_000 + Decimal("0.5"))


@pytest.mark.parametrize(("scale", "offset"), [("0.0001", "-0.1"), ("0.00005", "0"), ("0.00005", "-0.10005")])
def test_every_16_bit_number_is_scaled_as_in_decimal_arithmetic(scale, offset):
    numbers = range(1, 30_000, 7)
    expected = [exact(n, scale, offset) for n in numbers]
    assert stored(list(numbers), Encoding(float(scale), float(offset), 0.0)) == expected


def test_reflectance_is_clipped_to_what_can_be_stored():
    assert stored([3.2766, 3.2767, 9.0, -0.9998, -0.9999, -5.0], Encoding(1, 0, NAN)) == [
        32_766,
        32_766,
        32_766,
        -9_998,
        -9_998,
        -9_998,
    ]


def test_nodata_and_what_is_no_reflectance_is_not_clear():
    numbers = [0.25, 0.0, NAN, float("inf"), -float("inf"), 1e20, -1e20, 10.5, -0.05]
    assert stored(numbers, Encoding(1, 0, 0.0)) == [2_500, None, None, None, None, None, None, None, -500]


NUMBERS = [1_234, 0, -9_999, -32_768, -50]


@pytest.mark.parametrize(
    ("given", "data_type", "file_nodata", "expected"),
    [
        pytest.param(asset(), "int16", None, [1_234, None, None, None, -50], id="nothing declared"),
        pytest.param(
            asset(0.0001, 0), "int16", None, [1_234, None, None, None, -50], id="only scale and offset"
        ),
        pytest.param(
            asset(nodata=7), "int16", None, [1_234, 0, -9_998, -9_998, -50], id="another is declared"
        ),
        pytest.param(asset(), "int16", 7, [1_234, 0, -9_998, -9_998, -50], id="the file declares another"),
    ],
)
def test_signed_numbers_that_mean_nodata_do_so_where_none_is_declared(
    given, data_type, file_nodata, expected
):
    assert stored(NUMBERS, band_encoding(given, SENTINEL_2, data_type, file_nodata)) == expected


@pytest.mark.parametrize(
    ("scale", "offset", "said"),
    [
        (0.0, 0.0, "the scale 0"),
        (-0.0001, 0.0, "the scale -0.0001"),
        (NAN, 0.0, "the scale nan"),
        (float("inf"), 0.0, "the scale inf"),
        (0.0001, NAN, "the offset nan"),
        (0.0001, float("-inf"), "the offset -inf"),
    ],
)
def test_impossible_scales_and_offsets_are_refused(scale, offset, said):
    with pytest.raises(InputError, match=rf"asset B02 \(B02.tif\) declares {said}\."):
        require_meaning(asset(scale, offset), SENTINEL_2)


def test_zero_is_a_value_where_nodata_is_another_number():
    assert stored([0, 65_535], Encoding(0.0001, 0, 65_535.0)) == [0, None]


@pytest.mark.parametrize(
    ("given", "data_type", "file_nodata", "scale", "offset", "nodata"),
    [
        pytest.param(asset(0.0002, -0.1, 5), "uint16", None, 0.0002, -0.1, 5, id="as declared"),
        pytest.param(asset(), "uint16", None, 0.0001, 0, 0, id="whole numbers, old baseline"),
        pytest.param(asset(default_offset=-0.1), "uint16", None, 0.0001, -0.1, 0, id="new baseline"),
        pytest.param(asset(), "int16", -999, 0.0001, 0, NAN, id="the file knows its nodata"),
        pytest.param(asset(default_offset=-0.1), "float32", None, 1, 0, NAN, id="fractions"),
        pytest.param(asset(scale=0.01), "uint8", None, 0.01, 0, 0, id="a scale without offset"),
    ],
)
def test_what_is_not_declared_follows_the_type(given, data_type, file_nodata, scale, offset, nodata):
    found = band_encoding(given, SENTINEL_2, data_type, file_nodata)
    assert (found.scale, found.offset) == (scale, offset)
    assert found.nodata == nodata or (math.isnan(nodata) and math.isnan(found.nodata))


def test_a_score_is_scaled_and_its_nodata_has_no_value():
    values = decode(np.array([75, 100, 255, NAN], np.float32), plain_encoding(asset(0.01, None, 255)))
    np.testing.assert_allclose(values, [0.75, 1.0, NAN, NAN], rtol=1e-12)
