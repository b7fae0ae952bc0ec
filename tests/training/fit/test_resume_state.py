import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from filelock import FileLock

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNetConfig
from inference.models.networks.normalisation import Normalisation
from training.fit.augment import Augmentation
from training.fit.loop import fit
from training.fit.options import SplitRule, TrainingOptions
from training.fit.resume_state import (
    FACTS_FILE,
    LOCK_FILE,
    STATE_FILE,
    ResumeState,
    forget,
    samples_digest,
    training_lock,
)
from training.fit.train import train_checkpoint

pytestmark = pytest.mark.slow

TINY = CropNetConfig("compact", (4, 4), (2, 2), (0.2, 0.1), 10, 3)
NORMALISATION = Normalisation((0.1,) * 10, (0.1,) * 10)
OPTIONS = TrainingOptions(epochs=3, batch_size=16, learning_rate=0.01, device="cpu")


class Killed(Exception):
    """Stands for the end of the process."""


def die_at(batch):
    def progress(step):
        if step.done == batch and step.start != step.done:
            raise Killed

    return progress


def same(one, two):
    equal = [torch.equal(one.weights[name], two.weights[name]) for name in two.weights]
    return all(equal) and one.history == two.history and one.best_epoch == two.best_epoch


@pytest.fixture
def train(made_samples, tmp_path):
    sides = made_samples(60), made_samples(30, seed=9)  # four batches of fifteen in an epoch

    def run(options=OPTIONS, progress=lambda step: None, resume_state=True, facts=None):
        augmentation = Augmentation.of(options.augmentation, options, Recipe())
        return fit(
            TINY,
            *sides,
            options,
            recipe=Recipe(),
            normalisation=NORMALISATION,
            augmentation=augmentation,
            progress=progress,
            resume_state=ResumeState(tmp_path / "m.progress", facts or {"epochs": 3})
            if resume_state
            else None,
        )

    return run


@pytest.mark.parametrize(
    ("augmentation", "deaths"),
    [
        ("field", [1]),  # after the first batch
        ("field", [4]),  # between the last batch of an epoch and its scores
        ("field", [5, 7, 10]),  # three times
        ("field", [12]),  # in the last batch of all
        ("paper", [6]),
        ("code", [17]),  # 180 samples an epoch with the copies: twelve batches
        ("none", [9]),
    ],
)
def test_a_training_that_was_killed_ends_with_the_same_bits(train, monkeypatch, augmentation, deaths):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    options = replace(OPTIONS, augmentation=augmentation)
    whole = train(options, resume_state=False)
    for batch in deaths:
        with pytest.raises(Killed):
            train(options, die_at(batch))
    starts = set()
    result = train(options, lambda step: starts.add(step.start))
    assert starts == {deaths[-1] - 1}  # the batch of the death itself was not kept
    assert same(result, whole)
    np.testing.assert_array_equal(result.logits, whole.logits)


@pytest.mark.parametrize("batch", [3, 6, 11])
def test_batches_since_the_last_state_are_trained_again(train, monkeypatch, batch):
    clock = itertools.count(step=6)  # a batch takes six seconds or more: a state every fourth
    monkeypatch.setattr("training.fit.loop.time.monotonic", lambda: float(next(clock)))
    with pytest.raises(Killed):
        train(progress=die_at(batch))
    assert same(train(), train(resume_state=False))


def test_early_stopping_goes_on_counting(train, monkeypatch):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    options = replace(OPTIONS, epochs=40, patience=2)
    whole = train(options, resume_state=False)
    assert len(whole.history) == whole.best_epoch + 2 < 40
    with pytest.raises(Killed):
        train(options, die_at(4 * whole.best_epoch + 6))  # within the second stale epoch
    assert same(train(options), whole)


def test_a_training_that_was_over_is_not_trained_again(train):
    """Also one of a second: `cropmap tune` makes dozens, and a kill shall not cost them all."""
    first, steps = train(), []
    assert same(train(progress=steps.append), first)
    assert [(step.done, step.total) for step in steps] == [(12, 12)]


def test_other_facts_are_refused_and_named(train, monkeypatch):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    train(facts={"epochs": 3, "seed": 1, "patience": None})
    with pytest.raises(
        MismatchError, match=r"epochs: 3 then, 4 now; patience: None then, 2 now\..*--restart"
    ):
        train(facts={"epochs": 4, "seed": 1, "patience": 2})


def test_after_forgetting_a_training_begins_anew(train, monkeypatch, tmp_path):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    train()
    forget(tmp_path / "m.progress")
    steps = []
    train(facts={"epochs": 4}, progress=steps.append)
    assert (steps[0].done, steps[0].start) == (1, 0)


def test_a_damaged_state_is_no_training(train, monkeypatch, tmp_path):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    train()
    path = tmp_path / "m.progress" / STATE_FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CorruptFileError, match=r"state\.pt is damaged.*--restart"):
        train()


def test_a_state_larger_than_any_is_not_read(tmp_path):
    state = ResumeState(tmp_path, {"epochs": 3})
    state.keep({"losses": torch.ones(3)})
    os.truncate(state.path, 2**33)  # holes: no byte of the disk
    with pytest.raises(CorruptFileError, match=r"state\.pt is damaged.*larger than 4\.0 GiB.*--restart"):
        state.read()


@pytest.mark.parametrize("place", np.linspace(0, 1, 24, endpoint=False))
def test_a_flipped_bit_of_a_state_is_found(tmp_path, place):
    state = ResumeState(tmp_path, {"epochs": 3})
    state.keep({"network": {"w": torch.arange(400.0)}, "losses": torch.ones(3)})
    assert torch.equal(state.read()["network"]["w"], torch.arange(400.0))
    content = bytearray(state.path.read_bytes())
    content[int(place * len(content))] ^= 1
    state.path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"state\.pt is damaged.*--restart"):
        state.read()


def test_a_changed_fact_is_found(tmp_path):
    state = ResumeState(tmp_path, {"epochs": 3})
    state.keep({})
    path = tmp_path / FACTS_FILE
    path.write_text(path.read_text().replace("3,", "4,"))
    with pytest.raises(CorruptFileError, match=r"training\.json is damaged.*--restart"):
        ResumeState(tmp_path, {"epochs": 4}).read()


def test_a_state_without_its_facts_is_refused(tmp_path):
    state = ResumeState(tmp_path, {"epochs": 3})
    state.keep({})
    (tmp_path / FACTS_FILE).unlink()
    with pytest.raises(InputError, match=r"training\.json cannot be read"):
        state.read()


@pytest.mark.parametrize(
    "state",
    [
        {},  # nothing in it
        [1, 2],
        {"network": {}, "optimiser": 3},
        {"network": {"blocks.0.0.weight": torch.zeros(1)}},  # of another network
    ],
    ids=["empty", "list", "number", "network"],
)
def test_a_state_of_something_else_is_refused(train, tmp_path, state):
    ResumeState(tmp_path / "m.progress", {"epochs": 3}).keep(state)
    with pytest.raises(CorruptFileError, match=r"state\.pt is damaged.*--restart"):
        train()


def test_what_decides_the_weights_is_compared(made_samples, tmp_path, monkeypatch):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)
    samples, rule, options = made_samples(64), SplitRule(block_size=0.25), replace(OPTIONS, epochs=1)
    bright = replace(samples, series=np.where(samples.series == 800, 801, samples.series).astype(np.int16))
    train_checkpoint(samples, options, rule, config=TINY, folder=tmp_path / "p")
    changes = [
        ("learning_rate: 0.01 then, 0.02 now", samples, replace(options, learning_rate=0.02), rule),
        ("augmentation: field then, none now", samples, replace(options, augmentation="none"), rule),
        ("split share: 0.2 then, 0.3 now", samples, options, replace(rule, share=0.3)),
        ("samples: 64 with digest", bright, options, rule),
    ]
    for words, *arguments in changes:
        with pytest.raises(MismatchError, match=rf"Different are {words}[^;]*--restart"):
            train_checkpoint(*arguments, config=TINY, folder=tmp_path / "p")
    # what is only written down does not decide
    named = replace(samples, source="Now with a name.")
    again = train_checkpoint(named, options, rule, config=TINY, folder=tmp_path / "p", year=2021)
    assert again.provenance["data"] == "Now with a name."


def test_the_digest_tells_samples_apart(made_samples):
    samples = made_samples(12)
    others = [
        samples.take(np.arange(11)),
        replace(samples, labels=samples.labels[::-1].copy()),
        replace(samples, lon=samples.lon + 1),
        replace(samples, lon=None, lat=None),
        replace(samples, class_names=("corn", "soybeans", "wheat")),
        replace(samples, groups=np.array(["a"] * 12)),
    ]
    assert len({samples_digest(one) for one in (samples, *others)}) == 7
    assert samples_digest(made_samples(12)) == samples_digest(samples)


def test_two_processes_do_not_train_the_same_checkpoint(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    other = FileLock(folder / LOCK_FILE)
    with other, pytest.raises(InputError, match="Another process trains"), training_lock(folder):
        pytest.fail("both hold it")
    with training_lock(folder):
        pass
    assert not folder.exists()  # nothing was kept, so nothing is left
