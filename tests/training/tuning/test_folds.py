"""Labels in folds by place."""

from dataclasses import replace

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from training.fit.options import SplitRule
from training.tuning.folds import folds_of


def test_each_label_is_judged_once_and_no_block_lies_in_two_folds(made_samples):
    samples = made_samples(64)
    folds = folds_of(samples, SplitRule(block_size=0.5), 5, 1)
    judged = np.concatenate([part for _, part in folds.parts])
    assert sorted(judged) == list(range(64))
    blocks = np.floor(np.column_stack([samples.lon, samples.lat]) / 0.5)
    for tuned, part in folds.parts:
        assert not {tuple(one) for one in blocks[tuned]} & {tuple(one) for one in blocks[part]}
        assert len(tuned) + len(part) == 64
    assert len(np.unique(folds.unit)) == 16
    assert folds.description == "5 folds over 16 blocks of 0.5 degrees"


def test_fewer_places_than_folds_are_folds_themselves(made_samples):
    samples = replace(made_samples(12), groups=np.array(["north", "south", "east"])[np.arange(12) % 3])
    folds = folds_of(samples, SplitRule(rule="column"), 5, 1)
    assert folds.facts["folds"] == 3
    assert [len(part) for _, part in folds.parts] == [4, 4, 4]


def test_single_samples_are_called_optimistic(made_samples):
    assert "optimistic" in folds_of(made_samples(20), SplitRule(rule="random"), 5, 1).description


def test_labels_of_one_place_are_refused(made_samples):
    samples = made_samples(20)
    samples = replace(samples, lon=np.full(20, -90.9), lat=np.full(20, 35.1))
    with pytest.raises(InputError, match="two places or more"):
        folds_of(samples, SplitRule(block_size=0.5), 5, 1)
    with pytest.raises(InputError, match="lon and lat"):
        folds_of(replace(samples, lon=None, lat=None), SplitRule(), 5, 1)
