"""Faulty input as others' programs met it: what must be refused, and what the message must name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assessment.report.report import Report, ReportRequest, make_report
from assessment.report.sampled import Choices
from assessment.report.sourced import AnswerRequest
from gee_pipeline.errors import InputError
from tests.support.published import Case, find_case


@pytest.fixture
def case() -> Case:
    return find_case("40-pitfalls-one")


@pytest.fixture
def report(case: Case, tmp_path: Path):
    def make(points: str, strata: str = "strata.csv", classes: tuple[str, ...] = (), **choices) -> Report:
        answers = AnswerRequest((case.folder / points,), classes=classes)
        place = case.folder / strata
        return make_report(ReportRequest(place, answers, Choices(**choices), out=tmp_path / "report"))

    return make


def by_name(found: Report) -> dict:
    return {one.name: one for one in found.results.plain.classes}


def test_the_reference_case_has_the_published_numbers(case: Case, report) -> None:
    found = report("good.csv")
    maize, cereal = (by_name(found)[name] for name in ("maize", "cereal"))
    plain, area = found.results.plain, found.results.plain.hectares
    values = {
        "good.oa": plain.overall.value,
        "good.se_oa": plain.overall.se,
        "good.ua.maize": maize.users.value,
        "good.se_ua.maize": maize.users.se,
        "good.pa.maize": maize.producers.value,
        "good.se_pa.maize": maize.producers.se,
        "good.area.maize": maize.area.value / area,
        "good.se_area.maize": maize.area.se / area,
        "good.area.cereal": cereal.area.value / area,
        "good.se_area.cereal": cereal.area.se / area,
    }
    mine = {key for key in case.values if key.startswith("good.")}
    assert {key: values[key] for key in mine} == {key: case.printed(key) for key in mine}


def test_a_class_that_the_map_lacks_has_an_area_and_no_users_accuracy(case: Case, report) -> None:
    found = report("new_class.csv", classes=("cereal", "maize", "other", "vineyard"))
    vineyard, area = by_name(found)["vineyard"], found.results.plain.hectares
    assert found.results.plain.overall.value == case.printed("new.oa")
    assert vineyard.area.value / area == case.printed("new.area.vineyard")
    assert vineyard.area.se / area == case.printed("new.se_area.vineyard")
    assert by_name(found)["other"].area.value / area == case.printed("new.area.other")
    assert vineyard.users is None
    assert (vineyard.producers.value, vineyard.producers.high > 0) == (0, True)
    text = (found.folder / "accuracy.csv").read_text()
    assert "users,vineyard,none" in text


def test_missing_answers_are_left_out_only_on_demand_and_with_limits(case: Case, report) -> None:
    with pytest.raises(InputError, match=r"points without an answer: 4, in the strata .*: 3, 70, 71, 190"):
        report("missing.csv")
    found = report("missing.csv", missing_at_random=True)
    limits = found.results.missing
    assert found.results.plain.overall.value == case.printed("missing.oa")
    assert (limits.wrong, limits.right) == (case.printed("missing.low"), case.printed("missing.high"))
    assert any("0.8997 if all of them were wrong, 0.9150 if right" in text for text in found.notices)


@pytest.mark.parametrize(
    ("points", "strata", "words"),
    [
        ("good.csv", "strata_rice.csv", r"nothing is known of the strata rice \(1.96% of the area\)"),
        ("one_unit.csv", "strata.csv", r"these have one: cereal \(n = 1\)"),
        ("zero_with_units.csv", "strata_zero.csv", "the points 999 lie in strata without area"),
        ("duplicate_same.csv", "strata.csv", r"several rows of the ids 5 \(cereal / cereal\)"),
        ("duplicate_other.csv", "strata.csv", r"several rows of the ids 5 \(cereal / other\)"),
        (
            "outside_legend.csv",
            "strata.csv",
            r"the legend \(cereal, maize, other\): 'mais' of id 8\.",
        ),
        ("good.csv", "good.csv", "no area and no interval"),
    ],
)
def test_what_cannot_be_estimated_from_is_refused_by_name(
    report, tmp_path: Path, points: str, strata: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        report(points, strata)
    assert list(tmp_path.iterdir()) == []


def test_a_stratum_can_be_left_out_by_name_and_the_area_is_said(report) -> None:
    found = report("good.csv", "strata_rice.csv", leave_out=("rice",))
    assert found.results.plain.hectares == 2_000_000
    assert any("98.04% of the area" in text for text in found.notices)


def test_strata_can_be_merged_by_name(report) -> None:
    found = report("one_unit.csv", merge=(("cereal", "maize"),))
    assert [stratum.name for stratum in found.sampled.strata] == ["cereal+maize", "other"]
    assert sum(one.area.value for one in found.results.plain.classes) == pytest.approx(2_000_000)


def test_a_stratum_without_area_is_said_and_changes_nothing(report) -> None:
    found = report("good.csv", "strata_zero.csv")
    assert "bare has no area." in found.notices
    assert found.results.plain.overall == report("good.csv").results.plain.overall


def test_case_and_blanks_are_corrected_and_said(case: Case, report, tmp_path: Path) -> None:
    rows = (case.folder / "outside_legend.csv").read_text().replace("mais", "maize")
    (tmp_path / "points.csv").write_text(rows)
    answers = AnswerRequest((tmp_path / "points.csv",))
    found = make_report(ReportRequest(case.folder / "strata.csv", answers, out=tmp_path / "report"))
    assert any("corrected for id 60" in text or "corrected for id 7" in text for text in found.notices)


def test_a_purposive_sample_is_no_probability_sample(case: Case, tmp_path: Path) -> None:
    design = tmp_path / "design.json"
    design.write_text(json.dumps({"method": "purposive"}))
    request = ReportRequest(design, AnswerRequest((case.folder / "good.csv",)))
    with pytest.raises(InputError, match=r"not a probability sample.*cropmap assess agreement"):
        make_report(request)
