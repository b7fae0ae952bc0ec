"""What the benchmark of regions left out compares, and its table, by hand."""

from benchmarks.left_out_region import ARKANSAS, CALIFORNIA, CANADA, TRAININGS, Result, table
from training.shipped.wide_checkpoint import FILES


def test_no_region_tests_what_it_trained_and_each_is_tested():
    pairs = [(test, trained) for trained, tests in TRAININGS.items() for test in tests]
    assert all(test not in trained for test, trained in pairs)
    assert {test for test, _ in pairs} == set(FILES)


def test_the_table_has_means_and_spreads_by_region_and_training():
    found = [
        Result((ARKANSAS,), CANADA, 1, 0.3, 0.2),
        Result((ARKANSAS, CALIFORNIA), CANADA, 1, 0.7, 0.5),
        Result((ARKANSAS,), CANADA, 2, 0.5, 0.2),
    ]
    assert list(table(found))[2:] == [
        "| Canada 2017 | Arkansas 2021 | 2 | 0.400 ± 0.141 | 0.200 ± 0.000 |",
        "| Canada 2017 | Arkansas 2021, California 2021 | 1 | 0.700 | 0.500 |",
    ]
