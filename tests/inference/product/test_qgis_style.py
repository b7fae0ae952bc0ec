"""Styles that QGIS takes by itself: codes in their colours, values on a scale that two maps share."""

import xml.etree.ElementTree as ET

import pytest

from gee_pipeline.layers import CLEAR_OBSERVATIONS, CONFIDENCE, CROP_MAP, MARGIN, PROBABILITIES, SECOND
from inference.models.crop_class import CropClass
from inference.product.legend import Legend
from inference.product.qgis_style import layer_pipe, layer_style
from tests.support.made_runs import CROPS

LEGEND = Legend.of(CROPS)


def test_codes_have_an_entry_each():
    root = ET.fromstring(layer_style(CROP_MAP, LEGEND, 43).decode())
    renderer = root.find("pipe/rasterrenderer")
    assert (root.tag, renderer.get("type"), renderer.get("band")) == ("qgis", "paletted", "1")
    entries = {int(e.get("value")): (e.get("label"), e.get("color")) for e in renderer.iter("paletteEntry")}
    assert entries[2] == ("soybeans", "#2f7d32")
    assert sorted(entries) == [1, 2, 3, 4, 5, 254, 255]


def test_second_classes_have_no_codes_of_what_is_no_class():
    style = ET.fromstring(layer_style(SECOND, LEGEND.of_classes(), 43).decode())
    assert [int(e.get("value")) for e in style.iter("paletteEntry")] == [1, 2, 3, 4, 5]


def test_names_with_signs_of_xml_stay_as_they_are():
    legend = Legend.of((CropClass(1, 'peas & "beans" <dry>', "#112233"),))
    style = ET.fromstring(layer_style(CROP_MAP, legend, 43).decode())
    assert style.find(".//paletteEntry").get("label") == 'peas & "beans" <dry>'


@pytest.mark.parametrize(
    ("layer", "highest"), [(CONFIDENCE, 100), (MARGIN, 100), (PROBABILITIES, 100), (CLEAR_OBSERVATIONS, 43)]
)
def test_values_go_from_none_to_the_highest_that_there_can_be(layer, highest):
    pipe = layer_pipe(layer, LEGEND, 43, band=2)
    renderer, shader = pipe.find("rasterrenderer"), pipe.find(".//colorrampshader")
    assert (renderer.get("type"), renderer.get("band")) == ("singlebandpseudocolor", "2")
    stops = [float(item.get("value")) for item in shader.iter("item")]
    assert (stops[0], stops[-1]) == (0, highest)
    assert stops == sorted(stops)
    colors = [item.get("color") for item in shader.iter("item")]
    assert (colors[0], colors[-1]) == ("#00224e", "#fee838")  # the ends of cividis
