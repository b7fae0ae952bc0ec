import numpy as np
import pytest

from training.foundation.crop_classes import BEYOND, CLASSES, DATASETS

# The tables of the authors' scripts, written out a second time: original code -> class.
EXPECTED = {
    "CDL": {
        **{code: 0 for code in (0, 225, 226, 228, 230, 236, 237, 238, 239, 240, 241)},
        **{1: 1, 12: 1, 13: 1, 5: 2, 22: 4, 23: 4, 24: 4},
        **{3: 5, 2: 5, 4: 5, 111: 5, 141: 5, 254: 5, 231: 5, 235: 5},  # rice, and double crops not listed
    },
    "NCCM": {15: 0, 1: 1, 2: 2, 0: 3, 3: 5, 7: 5},
    "SAS": {1: 2, 0: 5, 2: 3, 255: 3},  # whatever else becomes rice
    "SACT": {0: 0, 7: 4, 1: 5, 9: 5},
    "EuroCrops": {
        0: 0,
        3301010600: 1,
        3301010699: 1,
        3301160000: 2,
        3301010700: 3,
        3301010101: 4,
        3301010200: 4,
        3301010300: 5,
        3303060000: 5,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_codes_become_classes_as_the_scripts_of_the_authors_say(name):
    codes = np.array([list(EXPECTED[name])], np.int64)
    assert DATASETS[name].table.harmonised(codes).tolist() == [list(EXPECTED[name].values())]


def test_the_data_sets_are_the_five_of_the_later_versions():
    assert set(DATASETS) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_lies_outside_the_raster_is_no_data_in_every_table(name):
    assert DATASETS[name].table.code_of(BEYOND) == 0


@pytest.mark.parametrize(
    ("name", "classes"), [("SAS", {"soybean", "other", "rice"}), ("SACT", {"wheat", "other"})]
)
def test_data_sets_of_two_classes_know_no_others(name, classes):
    made = DATASETS[name].table.harmonised(np.arange(256))
    assert {CLASSES[code - 1] for code in np.unique(made) if code} == classes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CDL", "Rice (3) is not in the table"),
        ("SAS", "makes rice (3) of every other code"),
        ("NCCM", "no wheat"),
    ],
)
def test_what_is_odd_is_said(name, words):
    assert words in DATASETS[name].oddity
