from pathlib import Path

import numpy as np
import pytest

from assessment.report.report import ReportRequest, make_report
from assessment.report.sourced import AnswerRequest
from gee_pipeline.errors import InputError
from tests.support.assessed_map import write_rows

STRATA = [{"stratum": "all", "pixels": 1000, "pixel_area_m2": 900}]


def points() -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    return [
        {
            "id": f"u{n}",
            "map": "ab"[n % 2],
            "reference": "ab"[int(rng.random() < 0.5)],
            "probability": float(p),
        }
        for n, p in enumerate(rng.uniform(0.01, 0.2, 50))
    ]


def reported(folder: Path, strata: list, rows: list):
    sizes = write_rows(folder / "strata.csv", strata)
    return make_report(ReportRequest(sizes, AnswerRequest((write_rows(folder / "points.csv", rows),))))


def test_units_of_unequal_probability_are_weighted_by_its_inverse(tmp_path: Path) -> None:
    rows = points()
    found = reported(tmp_path, STRATA, rows)
    w = np.array([1 / row["probability"] for row in rows])
    y = np.array([row["reference"] == "a" for row in rows])
    share = w @ y / w.sum()
    e = w * (y - share)
    se = np.sqrt(50 / 49 * ((e - e.mean()) ** 2).sum()) / w.sum()
    area = found.results.plain.classes[0].area
    assert (area.value, area.se) == (pytest.approx(90 * share), pytest.approx(90 * se))
    assert found.results.plain.hectares == pytest.approx(90)
    assert found.sampled.method == "unequal"
    assert found.folder == tmp_path / "points_report"
    assert "inclusion probabilities of their own" in (found.folder / "methods.txt").read_text()


@pytest.mark.parametrize("p", ["0", "1.5", "", "a half"])
def test_impossible_probabilities_are_named(tmp_path: Path, p: str) -> None:
    rows = points()
    rows[3]["probability"] = p
    with pytest.raises(InputError, match="that of u3 is not"):
        reported(tmp_path, STRATA, rows)


@pytest.mark.parametrize(
    ("names", "area", "unit"),
    [
        (("stratum", "pixels", "hectares"), 12, "ha"),
        (("class", "pixels", ""), 800, "pixels"),
        (("name", "n", "pixel_area_ha"), 500 * 7 + 300 * 5, "ha"),
    ],
)
def test_strata_may_say_their_area_in_several_ways(tmp_path: Path, names, area, unit) -> None:
    keys = [name for name in names if name]
    strata = [dict(zip(keys, row, strict=False)) for row in (("a", 500, 7), ("b", 300, 5))]
    shown = ["ab"[n % 2] for n in range(30)]
    rows = [{"id": n, "stratum": m, "map": m, "answer": "ab"[n % 3 == 0]} for n, m in enumerate(shown)]
    found = reported(tmp_path, strata, rows)
    assert found.sampled.unit == unit
    assert sum(one.area.value for one in found.results.plain.classes) == pytest.approx(area)
    assert sum(found.results.mapped) == pytest.approx(area)


def test_sizes_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    strata = [{"stratum": "a", "pixels": "many"}, {"stratum": "b", "pixels": "-3"}]
    with pytest.raises(InputError, match=r"2 things are wrong: \(1\) the stratum a .*\(2\) the stratum b"):
        reported(tmp_path, strata, points())


def test_points_without_a_stratum_or_a_probability_are_refused(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "probability"} for row in points()]
    with pytest.raises(InputError, match="no column stratum"):
        reported(tmp_path, STRATA, rows)


def of_strata() -> list[dict[str, object]]:
    """40 points of two strata that are classes, a fifth of them wrong."""
    shown = ["ab"[n % 2] for n in range(40)]
    return [
        {"id": n, "stratum": m, "map": m, "answer": m if n % 5 else "ba"["ab".index(m)]}
        for n, m in enumerate(shown)
    ]


def test_strata_with_pixels_of_their_own_size_count_by_their_area(tmp_path: Path) -> None:
    strata = [
        {"stratum": "a", "pixels": 500, "hectares": 50},
        {"stratum": "b", "pixels": 500, "hectares": 450},
    ]
    found = reported(tmp_path, strata, of_strata()).results
    assert found.plain.classes[0].area.value == pytest.approx(50 * 0.8 + 450 * 0.2)
    assert found.mapped == (50, 450)
    spread = 0.8 * 0.2 * 20 / 19 / 20
    assert found.plain.classes[0].area.se == pytest.approx((spread * (50**2 + 450**2)) ** 0.5)


@pytest.mark.parametrize(
    ("strata", "change", "words"),
    [
        ({}, {"map": "A"}, "names of classes differ by case alone: a / A;"),
        ({"hectares": 0}, {}, "the strata b have pixels without an area"),
        ({"pixels": 0}, {}, "the strata b have pixels without an area, or an area without pixels"),
        ({"pixels": "5,000"}, {}, "'5,000' is no number of 0 or more, with a decimal point"),
        ({"hectares": ""}, {}, "'nothing' is no number"),
    ],
)
def test_tables_that_would_give_a_silent_number_are_refused(
    tmp_path: Path, strata: dict[str, object], change: dict[str, object], words: str
) -> None:
    sizes = [
        {"stratum": "a", "pixels": 500, "hectares": 5},
        {"stratum": "b", "pixels": 500, "hectares": 5} | strata,
    ]
    rows = of_strata()
    rows[2] |= change
    with pytest.raises(InputError, match=words):
        reported(tmp_path, sizes, rows)


def test_every_interpreter_answers_the_same_sample(tmp_path: Path) -> None:
    sizes = write_rows(tmp_path / "strata.csv", [{"stratum": n, "pixels": 500} for n in "ab"])
    one = write_rows(tmp_path / "one.csv", of_strata())
    other = write_rows(tmp_path / "two.csv", [{"id": "77", "answer": "a"}])
    with pytest.raises(InputError, match=r"two\.csv has ids that are not of the sample: 77"):
        make_report(ReportRequest(sizes, AnswerRequest((one, other))))


@pytest.mark.parametrize(("pixels", "odd"), [(800, False), (1_000, False), (6_000, True), (60, True)])
def test_probabilities_of_another_frame_are_noted(tmp_path: Path, pixels: int, odd: bool) -> None:
    """50 units drawn with probabilities of 0.04 to 0.08 stand for some 850."""
    rng = np.random.default_rng(1)
    rows = [
        row | {"probability": float(p)} for row, p in zip(points(), rng.uniform(0.04, 0.08, 50), strict=True)
    ]
    strata = [{"stratum": "all", "pixels": pixels, "pixel_area_m2": 900}]
    found = reported(tmp_path, strata, rows)
    assert any("The probabilities stand for" in text for text in found.notices) is odd
