import numpy as np
import pytest

from training.foundation.views import changed, crop_of

SIDE = 64


def coded(side=SIDE):
    """An image whose two channels say row and column, and labels that say so too, coarsely."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    labels = (1 + 2 * (rows >= side / 2) + (columns >= side / 2)).astype(np.uint8)
    return np.stack([rows, columns]), labels


def test_crops_keep_the_shares_of_the_paper():
    rng = np.random.default_rng(1)
    shares, ratios = [], []
    for _ in range(2000):
        top, left, height, width = crop_of((256, 256), rng)
        assert 0 <= top <= top + height <= 256
        assert 0 <= left <= left + width <= 256
        shares.append(height * width / 256**2)
        ratios.append(width / height)
    assert 0.59 < min(shares) < 0.62 and max(shares) <= 1  # noqa: PT018
    assert 0.74 < min(ratios) < 0.85
    assert 1.2 < max(ratios) < 1.35


def test_image_and_labels_are_changed_alike():
    """Where a pixel came from stands in the image itself: its label must be that of there."""
    image, labels = coded()
    rng = np.random.default_rng(2)
    turned = set()
    for _ in range(40):
        seen, marks = changed(image, labels, rng)
        assert seen.shape == image.shape
        assert marks.shape == labels.shape
        rows, columns = seen
        # beside the border of two fields a pixel may be of either: bilinear and nearest differ there
        clear = (abs(rows - SIDE / 2 + 0.5) > 1) & (abs(columns - SIDE / 2 + 0.5) > 1)
        expected = 1 + 2 * (rows >= SIDE / 2) + (columns >= SIDE / 2)
        assert (marks[clear] == expected[clear]).all()
        turned.add((bool(rows[0, 0] > rows[-1, 0]), bool(columns[0, 0] > columns[0, -1])))
    assert len(turned) == 4


def test_labels_are_never_mixed():
    rng = np.random.default_rng(3)
    labels = rng.choice([0, 2, 5], (SIDE, SIDE)).astype(np.uint8)
    _, marks = changed(np.zeros((1, SIDE, SIDE), np.float32), labels, rng)
    assert set(np.unique(marks)) == {0, 2, 5}


@pytest.mark.parametrize("side", [32, 64])
def test_the_same_draw_gives_the_same_view(side):
    image, labels = coded(side)
    first = changed(image, labels, np.random.default_rng(7))
    again = changed(image, labels, np.random.default_rng(7))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
