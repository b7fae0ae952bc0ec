import csv
import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from assessment.estimation.accuracy import LabelledSample, assess
from assessment.estimation.designs import Stratified
from assessment.report.report import Report, ReportRequest, make_report
from assessment.report.sampled import Choices
from assessment.report.sourced import AnswerRequest
from assessment.sample.design import design_sample
from assessment.sample.record import load_design
from assessment.sample.request import DesignRequest
from gee_pipeline.errors import InputError
from tests.support.assessed_map import NAMES, AssessedPlace, key_rows, write_map, write_rows

CLASSES = ["wheat", "maize", "other", "not cropland"]


@pytest.fixture
def drawn(place: AssessedPlace, small_windows: None, tmp_path: Path) -> AssessedPlace:
    districts = place.write_districts(tmp_path / "d.gpkg")
    design_sample(
        DesignRequest(place.folder, points=300, districts=districts, district_column="name", seed=2)
    )
    return place


def reported(place: AssessedPlace, *answers: Path, **options) -> Report:
    extra = {k: options.pop(k) for k in ("adjudicated", "id_column", "answer_column") if k in options}
    return make_report(ReportRequest(place.folder, AnswerRequest(answers, **extra), **options))


def _fields(line: str) -> list[str]:
    """The fields of a line of answers in which points became commas: id, lon, lat, answer, ..."""
    parts = line.split(",")
    return parts if parts[0] == "id" else [parts[0], ",".join(parts[1:3]), ",".join(parts[3:5]), *parts[5:]]


def test_the_figures_are_those_of_the_design_and_of_the_truth_at_its_points(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    found = reported(drawn, drawn.answer(tmp_path / "a.csv"))
    rows = key_rows(drawn.sample)
    strata = [*CLASSES, "not enough observations"]
    stratum = np.array([strata.index(row["stratum"]) for row in rows])
    truth = [NAMES[int(drawn.truth[int(r["row"]), int(r["col"])])] for r in rows]
    codes = [1, 2, 3, 254, 255]
    expected = assess(
        LabelledSample(
            Stratified(stratum, np.array([float((drawn.codes == c).sum()) for c in codes])),
            CLASSES,
            np.where(stratum < 4, stratum, -1),
            np.array([CLASSES.index(name) for name in truth]),
            load_design(drawn.sample).hectares,
            np.ones(len(rows)),
            map_strata=True,
        )
    )
    mine = found.results.plain
    assert mine.overall.value == pytest.approx(expected.overall.value)
    for one, other in zip(mine.classes, expected.classes, strict=True):
        assert (one.area.value, one.area.se) == (
            pytest.approx(other.area.value, rel=1e-5),
            pytest.approx(other.area.se, rel=1e-4),
        )
        assert one.users.interval == other.users.interval
    assert found.results.mapped[0] == pytest.approx(0.01 * (drawn.codes == 1).sum(), rel=1e-3)
    assert mine.hectares == pytest.approx(0.01 * (drawn.codes != 0).sum(), rel=1e-3)


def test_the_maps_probabilities_narrow_the_areas(drawn: AssessedPlace, tmp_path: Path) -> None:
    found = reported(drawn, drawn.answer(tmp_path / "a.csv")).results
    for k, assisted in enumerate(found.assisted):
        plain = found.plain.classes[k].area
        assert assisted.area.se <= plain.se * 1.02
        assert assisted.gain == pytest.approx(1 - assisted.area.se / plain.se, abs=1e-6)
        assert found.narrowest(k) in ("plain", "model-assisted")
    assert max(one.gain for one in found.assisted) > 0.03
    assert max(found.assisted[0].lambdas) > 0.5


def test_the_assisted_area_is_the_formula_on_arrays(drawn: AssessedPlace, tmp_path: Path) -> None:
    """Lambda by map class from covariances, F summed over all pixels."""
    found = reported(drawn, drawn.answer(tmp_path / "a.csv")).results
    rows = key_rows(drawn.sample)
    row, col = (np.array([int(r[k]) for r in rows]) for k in ("row", "col"))
    p = np.where(drawn.probabilities[0] == 255, 0, drawn.probabilities[0]) / 100
    y, f, shown = (drawn.truth[row, col] == 1) * 1.0, p[row, col], drawn.codes[row, col]
    total, weights = 0.0, []
    groups = [(shown == c, (drawn.codes == c).sum()) for c in (1, 2, 3, 254, 255)]
    scale = [size**2 * (1 - part.sum() / size) / part.sum() for part, size in groups]
    joint = sum(a * np.cov(y[part], f[part]) for a, (part, _) in zip(scale, groups, strict=True))
    common = joint[0, 1] / joint[1, 1]
    for code in (1, 2, 3, 254, 255):
        part, size = shown == code, (drawn.codes == code).sum()
        spread, cases = f[part].var(ddof=1), min(y[part].sum(), (1 - y[part]).sum())
        weight = np.cov(y[part], f[part])[0, 1] / spread if spread > 0 and cases >= 10 else np.nan
        weights.append(min(max(weight, 0), 1) if weight == weight else common)
        total += weights[-1] * p[drawn.codes == code].sum()
        total += size * (y[part] - weights[-1] * f[part]).mean()
    assert weights.count(common) == 3
    assert found.assisted[0].area.value == pytest.approx(0.01 * total, rel=2e-3)


def test_without_probabilities_the_plain_figures_stand_alone_and_it_is_said_how_to_get_them(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    (drawn.folder / "map" / "probabilities.tif").unlink()
    found = reported(drawn, drawn.answer(tmp_path / "a.csv"))
    assert set(found.results.assisted) == {None}
    assert any("--layers probabilities" in text for text in found.notices)


def test_districts_have_their_own_size(drawn: AssessedPlace, tmp_path: Path) -> None:
    found = reported(drawn, drawn.answer(tmp_path / "a.csv"), districts=True)
    names = [one.name for one in found.results.districts]
    assert names == ["outside the districts", "North", "South"]
    north = found.results.districts[1].accuracy
    assert north.hectares == pytest.approx(0.01 * (drawn.codes[:40, :100] != 0).sum(), rel=1e-3)
    assert sum(one.area.value for one in north.classes) == pytest.approx(north.hectares)
    with (found.folder / "districts.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["district"] == "North" and row["class"] == "wheat"]
    assert float(rows[0]["value"]) == pytest.approx(north.classes[0].area.value)


def test_merged_strata_keep_the_rates_at_which_they_were_sampled(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    """Small strata have more points for their size: mixed with large ones, their classes would grow."""
    answers = drawn.answer(tmp_path / "a.csv")
    apart = reported(drawn, answers).results.plain
    merged = reported(drawn, answers, choices=Choices(merge=(("wheat", "not cropland"),))).results.plain
    rows = key_rows(drawn.sample)
    strata = {
        name: [r for r in rows if r["stratum"] == name] for name in [*CLASSES, "not enough observations"]
    }
    sizes = dict(zip(strata, [float((drawn.codes == c).sum()) for c in (1, 2, 3, 254, 255)], strict=True))
    total = sum(sizes.values())
    for k, (one, other) in enumerate(zip(merged.classes, apart.classes, strict=True)):
        assert one.area.value == pytest.approx(other.area.value)
        assert one.area.se >= other.area.se * 0.999
        variance, share = 0.0, other.area.value / apart.hectares
        for group in (("wheat", "not cropland"), ("maize",), ("other",), ("not enough observations",)):
            z = [
                sizes[name]
                / len(strata[name])
                * (float(drawn.truth[int(r["row"]), int(r["col"])] == k + 1) - share)
                for name in group
                for r in strata[name]
            ]
            n, size = len(z), sum(sizes[name] for name in group)
            variance += (1 - n / size) * n * np.var(z, ddof=1)
        if k < 3:
            assert one.area.se / apart.hectares == pytest.approx(variance**0.5 / total, rel=1e-4)


def test_what_a_stratum_without_answers_is_merged_with_stands_for_it(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    gone = {r["id"] for r in key_rows(drawn.sample) if r["stratum"] == "not cropland"}
    answers = drawn.answer(tmp_path / "a.csv", lambda r: {**r, "answer": ""} if r["id"] in gone else r)
    choices = Choices(missing_at_random=True, merge=(("other", "not cropland"),))
    found = reported(drawn, answers, choices=choices)
    rows = [r for r in key_rows(drawn.sample) if r["id"] not in gone]
    shares = 0.0
    for name, codes in {
        "wheat": [1],
        "maize": [2],
        "other": [3, 254],
        "not enough observations": [255],
    }.items():
        wheat = [drawn.truth[int(r["row"]), int(r["col"])] == 1 for r in rows if r["stratum"] == name]
        shares += np.isin(drawn.codes, codes).sum() * np.mean(wheat)
    assert found.results.plain.classes[0].area.value == pytest.approx(0.01 * shares, rel=1e-3)
    assert any("No answer is of not cropland: what" in text for text in found.notices)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (Choices(merge=(("wheat",),)), "two strata or more, got wheat alone"),
        (Choices(merge=(("wheat", "maize"), ("maize", "other"))), "the strata maize are merged or left out"),
        (
            Choices(merge=(("wheat", "maize"),), leave_out=("wheat",)),
            "the strata wheat are merged or left out",
        ),
        (Choices(leave_out=(*CLASSES, "not enough observations")), "nothing is left of the area"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(
    drawn: AssessedPlace, tmp_path: Path, choices: Choices, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        reported(drawn, drawn.answer(tmp_path / "a.csv"), choices=choices)
    assert not (drawn.sample / "report").exists()


def test_districts_are_of_the_whole_frame(drawn: AssessedPlace, tmp_path: Path) -> None:
    """The area of a district without a stratum is not known, and its hectares would be wrong."""
    answers = drawn.answer(tmp_path / "a.csv")
    with pytest.raises(InputError, match="--by district or --leave-out"):
        reported(drawn, answers, districts=True, choices=Choices(leave_out=("not cropland",)))


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_points_that_were_moved_in_a_vector_file_are_named(
    drawn: AssessedPlace, tmp_path: Path, name: str
) -> None:
    """Also where columns still say the old place: points lie where their geometry is."""
    with drawn.answer(tmp_path / "a.csv").open() as file:
        said = {row["id"]: row["answer"] for row in csv.DictReader(file)}
    frame = geopandas.read_file(drawn.sample / "points.gpkg")
    frame["answer"] = frame["id"].map(said)
    frame["lon"], frame["lat"] = frame.geometry.x, frame.geometry.y
    moved = frame["id"].isin(["7", "30"])
    frame.loc[moved, "geometry"] = frame[moved].translate(0.001)
    frame.to_file(tmp_path / name)
    with pytest.raises(InputError, match=r"not where they were drawn: (7, 30|30, 7)\."):
        reported(drawn, tmp_path / name)


def test_answers_to_another_sample_of_the_same_map_are_refused(drawn: AssessedPlace, tmp_path: Path) -> None:
    """Samples number their points alike."""
    answers = drawn.answer(tmp_path / "a.csv")
    with answers.open(newline="") as file:
        text = file.read().replace(".", ",").replace("\r", "")
    lines = [";".join(_fields(line)) for line in text.splitlines()]
    (tmp_path / "excel.csv").write_text("sep=;\n" + "\n".join([*lines, ";;;"]) + "\n", encoding="utf-8-sig")
    assert reported(drawn, tmp_path / "excel.csv").results.plain.units == 300
    design_sample(DesignRequest(drawn.folder, points=300, seed=9, out=tmp_path / "other"))
    with pytest.raises(InputError, match="not where they were drawn"):
        reported(replace(drawn, folder=tmp_path / "other"), tmp_path / "excel.csv")


def test_answers_without_places_rest_on_their_ids_which_is_said(drawn: AssessedPlace, tmp_path: Path) -> None:
    with drawn.answer(tmp_path / "a.csv").open() as file:
        rows = [{"id": row["id"], "answer": row["answer"]} for row in csv.DictReader(file)]
    found = reported(drawn, write_rows(tmp_path / "b.csv", rows))
    assert any("b.csv has no places" in text for text in found.notices)


def test_a_file_that_is_given_twice_does_not_agree_with_itself(drawn: AssessedPlace, tmp_path: Path) -> None:
    answers = drawn.answer(tmp_path / "a.csv")
    with pytest.raises(InputError, match="is given twice"):
        reported(drawn, answers, tmp_path / "." / "a.csv")


def test_third_decisions_are_of_points_of_the_sample_and_say_what_they_replace(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    answers = drawn.answer(tmp_path / "a.csv")
    rows = [r for r in key_rows(drawn.sample) if drawn.truth[int(r["row"]), int(r["col"])] == 1]
    third = write_rows(tmp_path / "t.csv", [{"id": rows[0]["id"], "answer": "maize"}])
    found = reported(drawn, answers, adjudicated=third)
    assert any(f"agreed on at the points {rows[0]['id']}." in text for text in found.notices)
    stranger = write_rows(tmp_path / "s.csv", [{"id": "9999", "answer": "maize"}])
    with pytest.raises(InputError, match=r"s\.csv has ids that are not of the sample: 9999"):
        reported(drawn, answers, adjudicated=stranger)


def test_classes_are_not_added_twice(drawn: AssessedPlace, tmp_path: Path) -> None:
    answers = AnswerRequest((drawn.answer(tmp_path / "a.csv"),), classes=("Wheat",))
    with pytest.raises(InputError, match="has 'Wheat', which is 'wheat' already"):
        make_report(ReportRequest(drawn.folder, answers))


def test_a_simple_sample_is_post_stratified_by_what_the_map_shows(
    place: AssessedPlace, tmp_path: Path
) -> None:
    design_sample(DesignRequest(place.folder, points=300, strata="none", seed=2))
    found = reported(place, place.answer(tmp_path / "a.csv")).results
    plain, post = found.plain.classes[0].area, found.post_stratified.classes[0].area
    assert found.best is found.post_stratified
    assert post.se < plain.se
    rows = key_rows(place.sample)
    groups = {code: [r for r in rows if r["map"] == name] for code, name in NAMES.items()}
    by_hand = sum(
        (place.codes == code).sum()
        * np.mean([place.truth[int(r["row"]), int(r["col"])] == 1 for r in members])
        for code, members in groups.items()
    )
    assert post.value == pytest.approx(0.01 * by_hand, rel=1e-3)
    assert found.assisted[0].area.se < plain.se


def test_a_report_is_whole_tables_json_and_a_paragraph(drawn: AssessedPlace, tmp_path: Path) -> None:
    found = reported(drawn, drawn.answer(tmp_path / "a.csv"))
    files = {path.name for path in found.folder.iterdir()}
    tables = {f"{name}.csv" for name in ("accuracy", "area", "matrix_counts", "matrix_shares")}
    assert files == tables | {"report.json", "methods.txt"}
    values = json.loads((found.folder / "report.json").read_text(encoding="utf-8"))
    assert values["plain"]["overall"]["value"] == found.results.plain.overall.value
    assert values["classes"] == CLASSES
    with (found.folder / "area.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["estimator"] for row in rows} == {"plain", "model-assisted"}
    assert sum(row["narrowest"] == "yes" for row in rows) == 4
    shares = np.genfromtxt(found.folder / "matrix_shares.csv", delimiter=",", skip_header=1)[:, 1:]
    assert shares.sum() == pytest.approx(1)
    text = (found.folder / "methods.txt").read_text(encoding="utf-8")
    assert "300 points" in text
    assert "Mapped areas are counts of pixels" in text


def test_answers_in_a_geopackage_and_of_collect_earth_online_are_read(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    plain = reported(drawn, drawn.answer(tmp_path / "a.csv")).results.plain.overall
    frame = geopandas.read_file(drawn.sample / "points.gpkg")
    with (tmp_path / "a.csv").open() as file:
        said = {row["id"]: row["answer"] for row in csv.DictReader(file)}
    frame["answer"] = frame["id"].map(said)
    frame.to_file(tmp_path / "a.gpkg", driver="GPKG")
    assert reported(drawn, tmp_path / "a.gpkg").results.plain.overall == plain
    rows = [{"plotid": i, "land cover": answer} for i, answer in said.items()]
    ceo = write_rows(tmp_path / "ceo.csv", rows)
    assert reported(drawn, ceo, answer_column="land cover").results.plain.overall == plain


def test_two_interpreters_are_compared_and_differences_need_a_third_decision(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    one = drawn.answer(tmp_path / "one.csv")
    other = drawn.answer(
        tmp_path / "two.csv", lambda row: {**row, "answer": "other"} if row["id"] in "123456789" else row
    )
    differing = [
        row["id"]
        for row in key_rows(drawn.sample)
        if row["id"] in "123456789" and drawn.truth[int(row["row"]), int(row["col"])] != 3
    ]
    with pytest.raises(InputError, match=rf"interpreters differ on {len(differing)} points: {differing[0]} "):
        reported(drawn, one, other)
    third = write_rows(tmp_path / "three.csv", [{"id": i, "answer": "maize"} for i in differing])
    found = reported(drawn, one, other, adjudicated=third)
    assert found.agreement.points == 300
    assert found.agreement.same == pytest.approx(1 - len(differing) / 300)
    answers = {unit.id: unit.answer for unit in found.sampled.units}
    assert {answers[i] for i in differing} == {"maize"}


def test_all_faults_are_named_at_once_and_nothing_is_written(drawn: AssessedPlace, tmp_path: Path) -> None:
    def spoil(row):
        changes = {"5": {"answer": "rye"}, "6": {"id": "6001"}, "7": {"lat": "0"}, "8": {"answer": ""}}
        return {**row, **changes.get(row["id"], {})}

    with pytest.raises(InputError) as error:
        reported(drawn, drawn.answer(tmp_path / "a.csv", spoil))
    text = str(error.value)
    assert text.startswith("4 things are wrong: (1)")
    for words in ("'rye' of id 5", "not of the sample: 6001", "were drawn: 7", "without an answer: 2, in"):
        assert words in text
    assert "6, 8" in text or "8, 6" in text
    assert not (drawn.sample / "report").exists()


def test_a_changed_map_is_refused(drawn: AssessedPlace, tmp_path: Path) -> None:
    answers = drawn.answer(tmp_path / "a.csv")
    drawn.codes[0, 0] = 3 if drawn.codes[0, 0] == 2 else 2
    write_map(drawn)
    with pytest.raises(InputError, match="has changed since the sample was drawn"):
        reported(drawn, answers)


def test_the_same_map_in_another_file_is_no_other_map(drawn: AssessedPlace, tmp_path: Path) -> None:
    answers = drawn.answer(tmp_path / "a.csv")
    with rasterio.open(drawn.folder / "map" / "crop_map.tif", "r+") as file:
        file.update_tags(CROPMAP_VERSION="9.9")
    assert reported(drawn, answers).results.plain.units == 300


def test_a_sample_can_be_reported_on_where_its_map_is_gone(drawn: AssessedPlace, tmp_path: Path) -> None:
    answers = drawn.answer(tmp_path / "a.csv")
    before = reported(drawn, answers).results.plain
    (drawn.folder / "map" / "crop_map.tif").unlink()
    found = reported(replace(drawn, folder=drawn.sample), answers, out=tmp_path / "again")
    assert found.results.plain.overall == before.overall
    assert any("no longer there" in text for text in found.notices)


def test_a_run_without_a_sample_says_how_to_draw_one(place: AssessedPlace, tmp_path: Path) -> None:
    answers = write_rows(tmp_path / "a.csv", [{"id": "1", "answer": "wheat"}])
    with pytest.raises(InputError, match="cropmap assess design"):
        reported(place, answers)


def test_districts_of_a_sample_without_them_are_refused(place: AssessedPlace, tmp_path: Path) -> None:
    design_sample(DesignRequest(place.folder, points=100))
    with pytest.raises(InputError, match="has no districts"):
        reported(place, place.answer(tmp_path / "a.csv"), districts=True)
