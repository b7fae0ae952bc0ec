import math
from dataclasses import replace

import numpy as np
import pytest

from assessment.estimation.accuracy import LabelledSample, assess
from assessment.estimation.designs import Stratified

#                 wheat stratum     maize stratum  nothing mapped
MAP = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, -1, -1])
REF = np.array([0, 0, 0, 0, 1, 1, 1, 0, 2, 0, 1])
STRATUM = np.array([0] * 5 + [1] * 4 + [2] * 2)
SIZES = np.array([500.0, 400.0, 100.0])


@pytest.fixture
def sample() -> LabelledSample:
    design = Stratified(STRATUM, SIZES)
    return LabelledSample(
        design, ("wheat", "maize", "vineyard"), MAP, REF, 10.0, np.ones(len(MAP)), map_strata=True
    )


def test_areas_are_those_of_the_whole_frame_mapped_or_not(sample: LabelledSample) -> None:
    found = assess(sample)
    areas = [one.area.value for one in found.classes]
    assert areas == pytest.approx([0.01 * (400 + 100 + 50), 0.01 * (100 + 200 + 50), 0.01 * 100])
    assert sum(areas) == pytest.approx(10)
    assert found.shares.sum() == pytest.approx(1)
    assert found.shares[3].tolist() == pytest.approx([0.05, 0.05, 0])  # what the map does not show
    assert found.counts.tolist() == [[4, 1, 0], [1, 2, 1], [0, 0, 0], [1, 1, 0]]


def test_accuracy_is_that_of_what_is_mapped_and_omissions_count_where_nothing_is(
    sample: LabelledSample,
) -> None:
    found = assess(sample)
    wheat, maize, vineyard = found.classes
    assert found.overall.value == pytest.approx((400 + 200) / 900)
    assert (wheat.users.value, maize.users.value) == (pytest.approx(0.8), pytest.approx(0.5))
    assert (wheat.producers.value, maize.producers.value) == (
        pytest.approx(400 / 550),
        pytest.approx(200 / 350),
    )
    assert wheat.f1.value == pytest.approx(2 * 0.8 * (400 / 550) / (0.8 + 400 / 550))
    assert vineyard.producers.value == 0
    assert vineyard.users is None
    assert vineyard.area.se > 0


def test_larger_units_count_for_more(sample: LabelledSample) -> None:
    size = np.where(REF == 0, 2.0, 1.0)
    found = assess(replace(sample, size=size))
    wheat = 2 * (400 + 100 + 50)
    rest = 100 + 200 + 50 + 100
    assert found.classes[0].area.value == pytest.approx(10 * wheat / (wheat + rest))
    assert sum(one.area.value for one in found.classes) == pytest.approx(10)
    same = assess(replace(sample, size=np.full(len(MAP), 3.0)))
    assert same.classes[0].area.se == pytest.approx(assess(sample).classes[0].area.se)


def test_a_district_keeps_the_units_outside_it_and_has_its_own_size(sample: LabelledSample) -> None:
    inside = np.array([1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0], bool)
    found = assess(sample, inside, 4.0)
    of_wheat = (100 * 2 + 100) / (100 * 3 + 100 * 2)
    assert found.units == 5
    assert found.classes[0].area.value == pytest.approx(4 * of_wheat)
    # By hand: e = (y - R) inside and 0 outside, with all units of every stratum (Cochran 1977, 5A.14).
    e = ((REF == 0) - of_wheat) * inside
    variance = sum(
        n_pop**2 * (1 - len(part) / n_pop) * e[part].var(ddof=1) / len(part)
        for n_pop, part in ((500, range(5)), (400, range(5, 9)))
        for part in (list(part),)
    )
    assert found.classes[0].area.se == pytest.approx(4 * np.sqrt(variance) / 500)


def test_a_district_without_a_unit_has_no_numbers(sample: LabelledSample) -> None:
    found = assess(sample, np.zeros(len(MAP), bool), 4.0)
    assert found.units == 0
    assert found.overall is None
    assert {one.area for one in found.classes} == {None}


def test_a_class_without_an_error_is_never_certain(sample: LabelledSample) -> None:
    perfect = assess(replace(sample, reference=np.where(MAP < 0, 0, MAP)))
    assert perfect.overall.value == 1
    assert perfect.overall.se == pytest.approx(0, abs=1e-12)
    assert perfect.overall.low < 0.9
    wheat = perfect.classes[0]
    assert (wheat.users.interval, round(wheat.users.low, 3)) == ("clopper-pearson", 0.478)
    assert wheat.producers.low < wheat.producers.value < wheat.producers.high
    assert {"few units", "few omissions"} <= set(wheat.area.flags)


def test_a_stratum_without_an_error_does_not_count_as_certain() -> None:
    # 900 pixels that the map is sure of, 30 units, all right; 100 others, 20 units, half of them right
    stratum = np.repeat([0, 1], [30, 20])
    design = Stratified(stratum, np.array([900.0, 100.0]), finite=False)
    reference = np.repeat([0, 0, 1], [30, 10, 10])
    size, shown = np.ones(50), np.zeros(50, np.intp)
    found = assess(LabelledSample(design, ("rice", "other"), shown, reference, 1000.0, size)).classes[0].users
    assert found is not None
    variance = 0.1**2 * 0.25 / 19  # what the sample shows
    assert (found.value, found.se) == (pytest.approx(0.95), pytest.approx(math.sqrt(variance)))
    half = 0.5 / 31  # half a unit more that is wrong
    n = 0.95 * 0.05 / (variance + 0.9**2 * half * (1 - half) / 30)
    middle, reach = (0.95 + 1.96**2 / (2 * n)), 1.96 * math.sqrt(0.95 * 0.05 / n + 1.96**2 / (4 * n**2))
    below = 1 + 1.96**2 / n
    assert (found.low, found.high) == pytest.approx(((middle - reach) / below, (middle + reach) / below))
