from training.foundation.crop_classes import DATASETS
from training.foundation.published import FIRST, LATER, published_accuracies

TENTHS = {
    "CDL": "71.3 77.7 79.2 85.6 69.8 77.5 85.1",
    "NCCM": "68.1 75.1 84.8 90.1 72.6 85.9 90.1",
    "EuroCrops": "61.5 67.7 73.6 80.6 68.2 75.2 82.1",
    "SAS": "59.3 66.9 78.9 86.3 66.5 78.3 85.0",
    "SACT": "65.4 68.1 74.4 79.3 68.8 73.5 80.4",
}
"""The first version, noted by another hand: ood with 0, 10, 100, 900 local images, id with 10, 100, 900."""

COLUMNS = [("ood", 0), ("ood", 10), ("ood", 100), ("ood", 900), ("id", 10), ("id", 100), ("id", 900)]


def test_the_numbers_of_the_first_version_are_those_that_were_noted():
    known = published_accuracies()
    for name, line in TENTHS.items():
        for (setting, images), value in zip(COLUMNS, map(float, line.split()), strict=True):
            assert abs(known[FIRST, name, setting, images] - value) <= 0.051


def test_both_versions_have_every_cell():
    cells = {
        (version, name, *column) for version in (FIRST, LATER) for name in DATASETS for column in COLUMNS
    }
    assert set(published_accuracies()) == cells
