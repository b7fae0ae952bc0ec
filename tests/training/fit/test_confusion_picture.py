"""The printed sheet of confusion matrices."""

import numpy as np
import pytest
from matplotlib.image import imread

from training.fit.confusion_picture import Panel, class_shares, compose_panels, draw_panels


def panel(*names, counts=None):
    counts = np.eye(len(names), dtype=np.int64) if counts is None else np.array(counts)
    return Panel("held out", names, counts)


def test_shares_are_of_the_samples_of_a_class_and_classes_without_any_are_left_out():
    names, percents = class_shares(("corn", "rice", "rye"), np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]]))
    assert names == ("corn", "rye")
    assert percents.tolist() == [[75, 25, 0], [0, 50, 50]]


@pytest.mark.parametrize("panels", [1, 4])
def test_no_letter_of_a_long_note_is_cut_off(panels):
    note = "All scores show how well the labels are repeated, not how often they are true. " * 3
    figure = compose_panels([panel("corn", "rice")] * panels, title="f", note=note)
    figure.canvas.draw()
    box = figure._supxlabel.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert box.y0 >= 0
    assert " ".join(figure._supxlabel.get_text().split()).endswith(note.strip())


def test_a_dollar_sign_in_a_name_is_no_formula(tmp_path):
    draw_panels(tmp_path / "p.png", [panel("a$", "b$x_{")], title="f$_$.safetensors", note="$^$")
    assert imread(tmp_path / "p.png").shape[1] > 300
