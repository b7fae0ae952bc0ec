from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from assessment.report.report import ReportRequest, make_report
from assessment.report.sourced import AnswerRequest
from assessment.sample.blocks import count_blocks
from assessment.sample.design import design_sample
from assessment.sample.map_file import open_map
from assessment.sample.request import DesignRequest
from tests.support.assessed_map import AssessedPlace, key_rows

SIDE = 20


@pytest.fixture
def drawn(place: AssessedPlace, small_windows: None) -> AssessedPlace:
    asked = DesignRequest(place.folder, points=90, strata="none", blocks=SIDE * 10.0, blocks_drawn=9, seed=3)
    design_sample(asked)
    return place


@pytest.mark.usefixtures("small_windows")
def test_pixels_of_the_area_are_counted_by_block(place: AssessedPlace) -> None:
    frame = count_blocks(open_map(place.folder), SIDE * 10.0)
    assert frame.shape == (5, 6)
    expected = [
        [(place.codes[y : y + SIDE, x : x + SIDE] != 0).sum() for x in range(0, 120, SIDE)]
        for y in range(0, 90, SIDE)
    ]
    assert frame.pixels.reshape(frame.shape).tolist() == expected
    assert frame.count == 30


def test_points_lie_in_the_blocks_that_were_drawn(drawn: AssessedPlace) -> None:
    rows = key_rows(drawn.sample)
    blocks = defaultdict(list)
    for row in rows:
        y, x = int(row["row"]), int(row["col"])
        assert row["block"] == f"r{y // SIDE}_c{x // SIDE}"
        assert drawn.codes[y, x] != 0
        blocks[row["block"]].append((y, x))
        inside = drawn.codes[y // SIDE * SIDE :, x // SIDE * SIDE :][:SIDE, :SIDE] != 0
        assert int(row["block_pixels"]) == inside.sum()
        assert float(row["probability"]) == pytest.approx(9 / 30 * 10 / inside.sum())
    assert {len(set(places)) for places in blocks.values()} == {10}
    assert len(blocks) == 9


def test_the_report_is_that_of_two_stages(drawn: AssessedPlace, tmp_path: Path) -> None:
    answers = AnswerRequest((drawn.answer(tmp_path / "a.csv"),))
    found = make_report(ReportRequest(drawn.folder, answers)).results
    blocks = defaultdict(list)
    for row in key_rows(drawn.sample):
        y = drawn.truth[int(row["row"]), int(row["col"])] == 1
        blocks[row["block"], int(row["block_pixels"])].append(float(y))
    sizes = np.array([n for _, n in blocks])
    totals = np.array([n * np.mean(y) for (_, n), y in blocks.items()])
    share = totals.sum() / sizes.sum()
    # Cochran 1977, 11.30: the ratio to size over blocks, and the pixels within them.
    between = 30**2 * (1 - 9 / 30) * (((totals - share * sizes) ** 2).sum() / 8) / 9
    within = 30 / 9 * sum(n**2 * (1 - 10 / n) * np.var(y, ddof=1) / 10 for (_, n), y in blocks.items())
    area = found.plain.classes[0].area
    hectares = found.plain.hectares
    assert area.value == pytest.approx(hectares * share, rel=1e-4)
    assert area.se == pytest.approx(hectares * np.sqrt(between + within) / (30 / 9 * sizes.sum()), rel=1e-3)
    assert area.interval == "t"
    assert area.high - area.value > 1.96 * area.se
    assert found.post_stratified is None
    assert found.assisted[0] is not None
