"""The picture of classes beside those of the training."""

import numpy as np
from matplotlib.image import imread

from inference.advice.growth import Growth
from inference.advice.growth_picture import draw_growth
from inference.models.told.class_curves import ClassCurves

BINS = 18
NAMES = ("corn", "rice", "other")


def flat(low: float, median: float, high: float) -> tuple[tuple[float, ...], ...]:
    return tuple((value,) * BINS for value in (low, median, high))


CURVES = ClassCurves((flat(0.4, 0.5, 0.6), flat(0.1, 0.2, 0.3), flat(0.0, 0.1, 0.2)))


def test_the_picture_has_a_panel_for_each_class(tmp_path) -> None:
    found = [Growth(name, 35, 0.2, 0.0, flat(0.7, 0.8, 0.9)) for name in ("corn", "other")]
    draw_growth(tmp_path / "curves.png", found, NAMES, CURVES)
    picture = imread(tmp_path / "curves.png")[..., :3]
    blue, orange = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
    for color in (blue, orange):
        near = (np.abs(picture - np.array(color) / 255) < 0.05).all(axis=-1)
        columns = np.flatnonzero(near.any(axis=0))
        assert columns.min() < picture.shape[1] / 3 < columns.max() < 2 * picture.shape[1] / 3
