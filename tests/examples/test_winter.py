"""Winter crops of the simulated place."""

from __future__ import annotations

import numpy as np
import pytest

from examples.fields import make_landscape
from examples.phenology import CLASSES, load_phenology
from examples.winter import CROPS, WINTER_CLASSES, ground_with_winter, sow, summer_truth
from gee_pipeline.bands import BANDS

NIR, RED = BANDS.index("B8"), BANDS.index("B4")
ON_TIME = np.zeros(1, np.float32)


@pytest.fixture(scope="module")
def land():
    phenology = load_phenology()
    landscape = make_landscape(np.random.default_rng(5), 128, phenology)
    return phenology, landscape, sow(np.random.default_rng(6), landscape, phenology)


@pytest.mark.parametrize("name", CROPS)
def test_a_winter_crop_is_green_in_april_and_ripe_in_july(name):
    green = {day: float(CROPS[name].greenness(day, ON_TIME)[0]) for day in (-93, -20, 100, 190)}
    assert green[-93] < 0.1  # before it comes up
    assert 0.3 < green[-20] < 0.6
    assert green[100] > 0.85
    assert green[190] < 0.05


def test_rapeseed_is_greener_before_winter_and_flowers():
    wheat, rapeseed = CROPS["winter wheat"], CROPS["rapeseed"]
    assert rapeseed.greenness(-40, ON_TIME) > wheat.greenness(-40, ON_TIME) + 0.2
    assert rapeseed.bloom(95, ON_TIME) == 1
    assert wheat.bloom(95, ON_TIME) == 0


def test_winter_crops_stand_before_late_summer_crops_only(land):
    phenology, landscape, winter = land
    sown = np.isin(winter.codes, [WINTER_CLASSES[name] for name in CROPS])
    assert {*landscape.codes[sown].tolist()} == {CLASSES["soybeans"], CLASSES["other"]}
    assert (winter.codes[landscape.codes == 0] == 0).all()  # margins
    double = landscape.kind == phenology.kinds.index("wheat then soybeans")
    assert (winter.codes[double] == WINTER_CLASSES["winter wheat"]).all()
    assert {*winter.codes.tolist()} == {0, *WINTER_CLASSES.values()}


def test_soybeans_after_a_winter_crop_are_other_in_summer(land):
    """As the statistics have it: the kind "wheat then soybeans" is of the class other."""
    phenology, landscape, winter = land
    assert phenology.classes[phenology.kinds.index("wheat then soybeans")] == "other"
    truth = summer_truth(landscape, winter)
    for field in range(1, len(landscape.codes)):
        usual, sown = landscape.codes[field], winter.codes[field] != WINTER_CLASSES["no winter crop"]
        expected = CLASSES["other"] if sown and usual == CLASSES["soybeans"] else usual
        assert (truth[landscape.field == field] == expected).all()
    assert (truth[landscape.field == 0] == 0).all()


def test_the_ground_shows_winter_crops_in_april_and_not_in_september(land):
    phenology, landscape, winter = land
    rng = np.random.default_rng(7)
    sown = np.isin(winter.codes, [WINTER_CLASSES[name] for name in CROPS])[landscape.field]
    bare = (winter.codes == WINTER_CLASSES["no winter crop"])[landscape.field]
    ndvi = {}
    for day in (100, 250):
        image = ground_with_winter(rng, day, landscape, winter, phenology)
        ndvi[day] = (image[NIR] - image[RED]) / (image[NIR] + image[RED])
    assert np.median(ndvi[100][sown]) > np.median(ndvi[100][bare]) + 0.3
    assert (ndvi[250][sown] < 1).all()
    assert abs(np.median(ndvi[250][sown]) - np.median(ndvi[250][bare])) < 0.3
