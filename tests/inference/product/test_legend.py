import json
import re
import xml.etree.ElementTree as ET

import pytest

from gee_pipeline.errors import InputError
from inference.models.crop_class import CropClass
from inference.product.legend import Legend, LegendEntry
from tests.support.made_runs import CROPS

LEGEND = Legend.of(CROPS)


def test_the_classes_come_by_code_and_then_the_two_special_codes():
    legend = Legend.of(tuple(reversed(CROPS)))
    assert [(entry.code, entry.name) for entry in legend.entries] == [
        (1, "corn"),
        (2, "soybeans"),
        (3, "rice"),
        (4, "cotton"),
        (5, "other"),
        (254, "not cropland"),
        (255, "not enough observations"),
    ]
    assert legend.codes == {0, 1, 2, 3, 4, 5, 254, 255}
    assert [entry.name for entry in legend.crops] == ["corn", "soybeans", "rice", "cotton", "other"]


def test_two_classes_of_one_code_are_refused():
    with pytest.raises(InputError, match=r"one meaning, got several for \[2\]"):
        Legend.of((CropClass(2, "rye", "#111111"), CropClass(2, "oats", "#222222")))


def test_the_colour_table_holds_the_colours_and_makes_the_outside_transparent():
    colors = LEGEND.colormap()
    assert colors[4] == (208, 90, 138, 255)
    assert colors[0][3] == 0
    assert set(colors) == LEGEND.codes


def test_the_special_codes_are_grey_and_not_white():
    grey, dark = LEGEND.entries[-2:]
    assert len(set(grey.rgb)) == len(set(dark.rgb)) == 1
    assert dark.rgb < grey.rgb < (240, 240, 240)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("not cropland", "not-cropland"),
        ("Maïs (grain)", "mais-grain"),
        ("水稻", "class-7"),  # no ASCII letter at all
        ("  --x_1 ", "x-1"),
    ],
)
def test_a_name_for_machines_has_letters_digits_and_dashes(name, slug):
    assert LegendEntry(7, name, "#000000").slug == slug
    assert re.fullmatch(r"[0-9A-Za-z-_]+", slug)


def test_legend_json_names_every_code():
    values = json.loads(json.dumps(LEGEND.to_dict()))
    assert values["classes"][0] == {"code": 0, "name": "outside", "color": None}
    rice, other = values["classes"][3], values["classes"][5]
    assert (rice["code"], rice["name"], rice["color"]) == (3, "rice", "#2a9df4")
    assert (rice["standard_codes"]["cdl"], rice["standard_codes"]["eucropmap"]) == (["3"], ["217"])
    assert other == {"code": 5, "name": "other", "color": "#9c7a54"}
    assert [entry["code"] for entry in values["classes"]] == [0, 1, 2, 3, 4, 5, 254, 255]


def test_names_with_signs_of_xml_stay_as_they_are():
    legend = Legend.of((CropClass(1, 'peas & "beans" <dry>', "#112233"),))
    table = ET.fromstring(legend.to_pam().decode())
    assert table.findall(".//Category")[1].text == 'peas & "beans" <dry>'
