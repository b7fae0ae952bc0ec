"""What a student learns from."""

import numpy as np
import torch
from scipy.special import rel_entr, softmax

from training.distillation.lessons import Distillation, lessons, with_copies
from training.fit.batches import BatchMaker
from training.fit.training_step import Batch


def series(count, seed=0):
    return np.random.default_rng(seed).integers(100, 4000, (count, 10, 73)).astype(np.int16)


def add_one(some, rng):
    return some + np.int16(1)


def test_the_series_come_first_and_copies_fill_up_to_the_number_wanted():
    own = series(4)
    bank = with_copies(own, 10, (add_one,), np.random.default_rng(0))
    assert (bank[:4] == own).all()
    assert (bank[4:8] == own + 1).all()
    assert (bank[8:] == own[:2] + 1).all()
    assert len(bank) == 10


def test_each_series_has_a_changed_copy_also_where_fewer_are_wanted():
    bank = with_copies(series(4), 3, (add_one,), np.random.default_rng(0))
    assert len(bank) == 8
    assert (bank[4:] == bank[:4] + 1).all()


class Echo:
    """A teacher that answers by the first band's mean."""

    def __init__(self, recipe):
        self.recipe, self.class_names = recipe, ("dark", "bright")

    def logits(self, some, report=lambda done: None):
        report(len(some))
        bright = np.where(some == -9999, 2000, some)[:, 0].mean(axis=1) - 2000
        return np.column_stack([-bright, bright]).astype(np.float32)


def test_labels_are_the_likeliest_answers_and_nothing_is_hidden_wholly(made_samples):
    samples = made_samples(12)
    seen = []
    found = lessons(Echo(samples.recipe), samples.series, 30, 1, lambda *step: seen.append(step))
    assert (found.samples.series[:12] == samples.series).all()
    assert len(found.samples) == len(found.logits) == 30
    assert (found.samples.labels == found.logits.argmax(axis=1)).all()
    assert found.samples.pseudo
    assert (found.samples.observed_bins(samples.recipe.window) >= samples.recipe.min_clear_bins).all()
    assert seen == [(30, 30)]


def test_the_loss_is_the_divergence_of_the_softened_answers():
    random = np.random.default_rng(3)
    theirs, own = random.normal(0, 3, (2, 5, 4))
    step = Distillation(theirs.astype(np.float32), softness=2.0)
    step.begin(torch.nn.Identity(), BatchMaker(None, None, torch.device("cpu")))
    rows = torch.tensor([4, 0, 2])
    batch = Batch(torch.from_numpy(own[rows]), rows, rows, 0, 1, random)
    expected = rel_entr(softmax(theirs[rows] / 2, axis=1), softmax(own[rows] / 2, axis=1)).sum(axis=1).mean()
    assert np.isclose(float(step.loss(lambda x: x.float(), batch)), 4 * expected, rtol=1e-5)
    same = Batch(torch.from_numpy(theirs[rows]), rows, rows, 0, 1, random)
    assert abs(float(step.loss(lambda x: x.float(), same))) < 1e-5
    assert step.state() == {}
