import re

from training.samples.crops import CROPS, color_of


def test_the_legend_is_that_of_cropglobe():
    names = ["corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other"]
    assert [crop.name for crop in CROPS] == names


def test_every_crop_has_a_colour_of_its_own():
    colors = [crop.color for crop in CROPS]
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)
    assert len(set(colors)) == len(colors)


def test_colours_are_near_those_of_the_cropland_data_layer():
    # Codes 1, 5, 3, 2 of the published CDL colour table.
    known = {"corn": "#ffd300", "soybeans": "#186800", "rice": "#48b4e7", "cotton": "#d54057"}
    assert {name: color_of(name) for name in known} == known
