"""Names of classes: what no other code of a map has, and every file of a legend can hold."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gee_pipeline.errors import InputError
from inference.models.crop_class import LONGEST_NAME, CropClass
from inference.product.legend import Legend
from inference.product.qgis_style import class_style


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("not cropland", "already"),
        (" Not Cropland ", "already"),
        ("not enough observations", "already"),
        ("Outside", "already"),
        ("", "needs a name"),
        ("corn\x00", "holds '.x00'"),
        ("corn\x1b[31m", "holds"),
        ("corn\nsoybeans", "one line"),
        ("corn\u2028", "one line"),
        ("corn\ud800", "one line"),  # half of a pair
        ("corn\uffff", "one line"),
        ("c" * 20_000, "at most 100 characters"),
        (3, "a name"),
        (True, "a name"),
    ],
)
def test_a_name_that_a_legend_cannot_hold_is_refused(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        CropClass(1, name, "#ffd300")


@given(st.text(max_size=LONGEST_NAME))
def test_whatever_is_accepted_comes_back_from_the_files(name: str) -> None:
    try:
        classes = (CropClass(1, name, "#ffd300"), CropClass(2, "other <&> ö", "#00a8e2"))
    except InputError:
        return
    legend = Legend.of(classes)
    style = ET.fromstring(class_style(legend))
    assert [entry.get("label") for entry in style.iter("paletteEntry")][:2] == [name, "other <&> ö"]
    names = [category.text or "" for category in ET.fromstring(legend.to_pam()).iter("Category")]
    assert names[1:3] == [name, "other <&> ö"]
