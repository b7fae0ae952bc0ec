import csv

import numpy as np
import pytest
from matplotlib.image import imread

from training.fit.curves import compose_curves, draw_curves, write_curves_table
from training.scores.calibration import calibrate

pytestmark = pytest.mark.slow

HISTORY = [
    {"number": 1, "loss": 1.5, "accuracy": 0.5, "macro_f1": 0.4, "held_out_loss": 1.25},
    {"number": 2, "loss": 0.75, "accuracy": 0.8, "macro_f1": 0.7, "held_out_loss": 0.8},
    {"number": 3, "loss": 0.5, "accuracy": 0.85, "macro_f1": 0.7, "held_out_loss": 0.9},
]


@pytest.fixture
def metrics():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 300)
    logits = 4 * rng.normal(0, 1, (300, 3)) + 4 * np.eye(3)[labels]
    facts = calibrate(logits, labels).to_dict()
    return {"history": HISTORY, "calibration": facts, "split": "blocks of 0.5 degrees, 300 samples"}


def lines(axes):
    return {line.get_label().split(" (")[0]: line.get_xydata().tolist() for line in axes.get_lines()}


def test_the_table_has_a_row_an_epoch(tmp_path):
    write_curves_table(tmp_path / "m.curves.csv", HISTORY)
    with (tmp_path / "m.curves.csv").open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert rows == HISTORY


def test_the_curves_are_those_of_the_history(metrics):
    losses, scores, _ = compose_curves(metrics, "m").axes
    assert lines(losses)["training"] == [[1, 1.5], [2, 0.75], [3, 0.5]]
    assert lines(losses)["held out"] == [[1, 1.25], [2, 0.8], [3, 0.9]]
    assert lines(scores)["macro-F1"] == [[1, 0.4], [2, 0.7], [3, 0.7]]
    assert lines(scores)["accuracy"] == [[1, 0.5], [2, 0.8], [3, 0.85]]


def test_the_best_epoch_is_the_first_of_equals(metrics):
    _, scores, _ = compose_curves(metrics, "m").axes
    labels = [text.get_text() for text in scores.get_legend().get_texts()]
    assert "best epoch, 2" in labels


def test_reliability_is_drawn_with_and_without_the_temperature(metrics):
    _, _, axes = compose_curves(metrics, "m").axes
    facts = metrics["calibration"]
    marks = {marks.get_label(): marks for marks in axes.collections}
    for when, label in (("before", "as trained"), ("after", f"temperature {facts['temperature']:.3g}")):
        bins = facts[f"reliability_{when}"]
        drawn = marks.pop(f"{label}: error {facts[f'ece_{when}']:.1%}")
        assert drawn.get_offsets().tolist() == [[one["confidence"], one["accuracy"]] for one in bins]
        assert np.argmax(drawn.get_sizes()) == np.argmax([one["samples"] for one in bins])
    assert not marks


def test_the_picture_can_be_printed(metrics, tmp_path):
    draw_curves(tmp_path / "m.curves.png", metrics, "m.safetensors: overall accuracy 85.0%")
    picture = imread(tmp_path / "m.curves.png")
    assert picture.shape[:2] == (1170, 3300)  # 11 x 3.9 inches at 150 dots
    assert picture[..., :3].std() > 0.05


def test_one_epoch_is_drawn_as_a_point(metrics):
    losses = compose_curves({**metrics, "history": HISTORY[:1]}, "m").axes[0]
    assert losses.get_lines()[0].get_marker() == "."
