"""What confidence is worth, by hand."""

import numpy as np
import pytest

from assessment.evaluation.confidence import confidence_of


def test_four_answers_by_hand() -> None:
    """Confidences 0.9, 0.8, 0.7, 0.6; the second is wrong."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    found = confidence_of(probabilities, np.array([0, 1, 1, 1]))
    assert found.mean == pytest.approx(0.75)
    assert found.calibration_error == pytest.approx((0.1 + 0.8 + 0.3 + 0.4) / 4)  # each in a bin of its own
    assert found.tells_right == pytest.approx(1 / 3)  # of 0.9, 0.7 and 0.6 only the first is above 0.8
    errors = [0, 1 / 2, 1 / 3, 1 / 4]
    assert found.area_under_risk == pytest.approx(np.mean(errors))
    by_coverage = {one.coverage: one for one in found.risks}
    assert by_coverage[0.5].error == pytest.approx(1 / 2)
    assert by_coverage[0.5].confidence == pytest.approx(0.8)
    assert by_coverage[1.0].error == pytest.approx(1 / 4)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_where_all_are_right_or_all_wrong_nothing_is_told_apart(labels: list[int]) -> None:
    assert confidence_of(np.array([[0.9, 0.1]] * 3), np.array(labels)).tells_right is None
