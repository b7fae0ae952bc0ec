from pathlib import Path

import numpy as np
import pytest

from assessment.report.report import Report, ReportRequest, make_report
from assessment.report.sourced import AnswerRequest
from assessment.sample.design import design_sample
from assessment.sample.request import DesignRequest
from gee_pipeline.errors import InputError, MismatchError
from tests.support.assessed_map import NAMES, AssessedPlace, key_rows, write_raster

TAGS = {f"CLASS_{code}": name for code, name in NAMES.items()}


@pytest.fixture
def drawn(place: AssessedPlace, small_windows: None) -> AssessedPlace:
    design_sample(DesignRequest(place.folder, points=300, seed=5))
    return place


def reported(place: AssessedPlace, tmp_path: Path, codes: np.ndarray, tags=TAGS, **profile) -> Report:
    other = write_raster(tmp_path / "other.tif", codes[None], 0, tags, **profile)
    answers = AnswerRequest((place.answer(tmp_path / "a.csv"),))
    return make_report(ReportRequest(place.folder, answers, other=other))


def test_another_map_has_its_own_accuracy_from_the_same_points(drawn: AssessedPlace, tmp_path: Path) -> None:
    better = np.where((drawn.codes != 0) & (np.arange(120) < 60), drawn.truth, drawn.codes).astype(np.uint8)
    found = reported(drawn, tmp_path, better)
    answers = AnswerRequest((tmp_path / "a.csv",))
    before = make_report(ReportRequest(drawn.folder, answers)).results
    rows = key_rows(drawn.sample)
    weights = np.array([1 / float(row["probability"]) for row in rows])
    row, col = (np.array([int(r[key]) for r in rows]) for key in ("row", "col"))
    shown, there = better[row, col], drawn.truth[row, col]
    mapped = shown != 255
    expected = weights[mapped] @ (shown == there)[mapped] / weights[mapped].sum()
    assert found.results.plain.overall.value == pytest.approx(expected, rel=1e-6)
    assert found.results.plain.overall.value > before.plain.overall.value
    # What is there does not depend on the map.
    assert [one.area for one in found.results.plain.classes] == [one.area for one in before.plain.classes]
    assert found.results.mapped[0] == pytest.approx(0.01 * (better == 1).sum(), rel=1e-3)
    assert found.folder == drawn.sample / "report_other"
    assert any("other.tif; the points were drawn from crop_map.tif" in text for text in found.notices)


def test_a_map_of_another_area_or_legend_is_refused(drawn: AssessedPlace, tmp_path: Path) -> None:
    codes = drawn.codes.copy()
    codes[:, :5] = 0
    codes[codes == 2] = 9
    with pytest.raises(InputError) as error:
        reported(drawn, tmp_path, codes, {**TAGS, "CLASS_9": "rye"})
    for words in (
        "lie outside the area of other.tif",
        "map of another area",
        "legend of the sample lacks: rye",
    ):
        assert words in str(error.value)


def test_a_map_on_other_pixels_is_refused(drawn: AssessedPlace, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="has other pixels"):
        reported(drawn, tmp_path, drawn.codes[:50])


def test_a_map_in_another_crs_is_refused_and_no_layer_is_advised(
    drawn: AssessedPlace, tmp_path: Path
) -> None:
    """The numbers of its pixels are the same, its place is not."""
    with pytest.raises(MismatchError, match="do not have the same pixels"):
        reported(drawn, tmp_path, drawn.codes, crs="EPSG:32634")
    found = reported(drawn, tmp_path, drawn.codes)
    assert not any("--layers probabilities" in text for text in found.notices)


def test_what_an_area_rests_on_is_the_map_that_was_drawn_from(drawn: AssessedPlace, tmp_path: Path) -> None:
    """A map that is right everywhere has no omissions; an area has the interval of the design still."""
    right = np.where(drawn.codes == 0, 0, drawn.truth).astype(np.uint8)
    after = reported(drawn, tmp_path, right).results.plain.classes
    answers = AnswerRequest((tmp_path / "a.csv",))
    before = make_report(ReportRequest(drawn.folder, answers)).results.plain.classes
    assert min(one.omitted_units for one in before[:3]) >= 5
    assert [one.area for one in after] == [one.area for one in before]
