import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, recall_score

from training.foundation.patch_scores import DRAWS, confusion_of, score_patches


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def made(rng, images=12, side=16, right=0.7):
    """Labels without rice, and answers that are right in a part of the pixels; images differ."""
    labels = rng.choice([0, 1, 2, 4, 5], (images, side, side), p=[0.2, 0.1, 0.2, 0.1, 0.4])
    share = np.clip(right + rng.normal(0, 0.2, images), 0, 1)[:, None, None]
    said = np.where(rng.random(labels.shape) < share, labels, rng.integers(1, 6, labels.shape))
    return labels, np.where(said == 0, 3, said)  # a network answers everywhere


def test_scores_are_those_of_scikit_learn(rng):
    labels, said = made(rng)
    scores = score_patches(np.stack([confusion_of(a, b) for a, b in zip(labels, said, strict=True)])[None])
    true, predicted = labels[labels > 0], said[labels > 0]
    there = [1, 2, 4, 5]
    assert scores.accuracy.value == pytest.approx(accuracy_score(true, predicted))
    recalls = recall_score(true, predicted, labels=there, average=None)
    assert scores.average.value == pytest.approx(recalls.mean())
    assert scores.f1 == pytest.approx(f1_score(true, predicted, labels=there, average="macro"))
    assert scores.jaccard == pytest.approx(jaccard_score(true, predicted, labels=there, average="macro"))
    assert scores.found == pytest.approx([recalls[0], recalls[1], None, recalls[2], recalls[3]])
    assert scores.pixels == tuple(int((labels == code).sum()) for code in range(1, 6))


def test_the_interval_is_that_of_a_loop_that_draws_images(rng):
    """Another generator, pixels instead of counts; both have the noise of their draws."""
    labels, said = made(rng)
    counts = np.stack([confusion_of(a, b) for a, b in zip(labels, said, strict=True)])
    ours = score_patches(counts[None], draws=8000).accuracy
    average = score_patches(counts[None], draws=8000).average
    draw, overall, averages = random.Random(4), [], []
    for _ in range(4000):
        chosen = [draw.randrange(len(labels)) for _ in labels]
        true, predicted = labels[chosen].ravel(), said[chosen].ravel()
        right = (true == predicted)[true > 0]
        overall.append(right.mean())
        averages.append(np.mean([(predicted[true == c] == c).mean() for c in (1, 2, 4, 5)]))
    for interval, drawn in ((ours, overall), (average, averages)):
        width = interval.high - interval.low
        assert interval.low == pytest.approx(np.percentile(drawn, 2.5), abs=0.08 * width)
        assert interval.high == pytest.approx(np.percentile(drawn, 97.5), abs=0.08 * width)
        assert interval.low < interval.value < interval.high


def test_images_are_drawn_and_not_pixels(rng):
    """Twice as many pixels in the same images leave the interval as it is; twice the images narrow it."""
    labels, said = made(rng, images=30)
    counts = np.stack([confusion_of(a, b) for a, b in zip(labels, said, strict=True)])

    def width(some):
        found = score_patches(some[None]).accuracy
        return found.high - found.low

    assert width(2 * counts) == pytest.approx(width(counts))
    assert width(np.concatenate([counts] * 4)) == pytest.approx(width(counts) / 2, rel=0.15)


def test_several_trainings_are_averaged_on_the_same_draws(rng):
    labels, said = made(rng)
    other = np.where(rng.random(said.shape) < 0.3, 1, said)
    both = np.stack(
        [[confusion_of(a, b) for a, b in zip(labels, answers, strict=True)] for answers in (said, other)]
    )
    together, first, second = score_patches(both), score_patches(both[:1]), score_patches(both[1:])
    assert together.accuracy.value == pytest.approx((first.accuracy.value + second.accuracy.value) / 2)
    assert score_patches(both[[0, 0]]).accuracy == first.accuracy


def test_no_answer_is_never_right(rng):
    labels = np.array([[1, 1, 2, 0]])
    counts = confusion_of(labels, np.array([[1, 0, 0, 1]]))
    assert counts[0].tolist() == [1, 0, 0, 0, 0, 1]
    assert counts[1].tolist() == [0, 0, 0, 0, 0, 1]
    assert score_patches(counts[None, None]).accuracy.value == pytest.approx(1 / 3)


def test_an_image_without_labels_does_no_harm(rng):
    labels, said = made(rng, images=2)
    labels[1] = 0
    counts = np.stack([confusion_of(a, b) for a, b in zip(labels, said, strict=True)])
    scores = score_patches(counts[None])
    assert scores.accuracy.low == pytest.approx(scores.accuracy.value)  # draws of the other image alone
    assert not np.isnan(scores.average.high)


def test_the_usual_number_of_draws_is_said_in_the_documents():
    from tests.test_docs import ROOT

    text = (ROOT / "docs" / "foundation_patches.md").read_text(encoding="utf-8")
    assert f"with replacement {DRAWS:,} times" in text
