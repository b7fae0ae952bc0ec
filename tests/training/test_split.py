from dataclasses import replace

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from training.options import SplitRule
from training.split import in_blocks, split_samples


def squares(samples, indices, size=0.5):
    return {
        (int(lon // size), int(lat // size))
        for lon, lat in zip(samples.lon[indices], samples.lat[indices], strict=True)
    }


@pytest.mark.parametrize("seed", range(8))
def test_no_block_is_on_both_sides(made_samples, seed):
    samples = made_samples(200)
    split = split_samples(samples, SplitRule(seed=seed))
    assert not squares(samples, split.training) & squares(samples, split.validation)


@pytest.mark.parametrize("rule", ["blocks", "random"])
def test_every_sample_is_on_one_side(made_samples, rule):
    samples = made_samples(200)
    split = split_samples(samples, SplitRule(rule=rule))
    assert sorted([*split.training, *split.validation]) == list(range(200))


@pytest.mark.parametrize("rule", ["blocks", "random"])
def test_each_class_is_held_out_in_nearly_the_share_asked_for(made_samples, rule):
    samples = made_samples(960, classes=5)
    split = split_samples(samples, SplitRule(rule=rule, share=0.25))
    held_out = np.bincount(samples.labels[split.validation])
    np.testing.assert_allclose(held_out / 192, 0.25, atol=0.06)


def test_the_seed_decides(made_samples):
    samples = made_samples(200)
    held_out = [split_samples(samples, SplitRule(seed=seed)).validation.tolist() for seed in (1, 1, 2, 3)]
    assert held_out[0] == held_out[1]
    assert held_out[0] != held_out[2] != held_out[3]


def test_the_facts_find_the_held_out_samples_again(made_samples):
    samples = made_samples(200)
    split = split_samples(samples, SplitRule(block_size=0.25, share=0.4))
    assert split.facts["block_size"] == 0.25
    assert np.flatnonzero(in_blocks(samples, split.facts)).tolist() == sorted(split.validation)


def test_western_and_southern_blocks_are_as_large_as_others(made_samples):
    # Truncation instead of floor would join the blocks on both sides of 0 degrees.
    samples = made_samples(16)
    lon, lat = np.tile([-0.3, -0.1, 0.1, 0.3], 4), np.repeat([-0.3, -0.1, 0.1, 0.3], 4)
    split = split_samples(replace(samples, lon=lon, lat=lat), SplitRule(block_size=0.25, share=0.1))
    assert {tuple(block) for block in split.facts["held_out_blocks"]} <= {
        (column, row) for column in (-2, -1, 0, 1) for row in (-2, -1, 0, 1)
    }
    assert len(split.validation) == 2


def test_without_places_the_way_out_is_named(made_samples):
    placeless = replace(made_samples(), lon=None, lat=None)
    with pytest.raises(InputError, match=r"lon and lat.*--split random"):
        split_samples(placeless, SplitRule())
    assert len(split_samples(placeless, SplitRule(rule="random")).validation) == 13


def test_a_random_split_is_called_optimistic(made_samples):
    facts = split_samples(made_samples(), SplitRule(rule="random")).facts
    assert "optimistic" in facts["caution"]
    assert "caution" not in split_samples(made_samples(), SplitRule()).facts


def test_too_few_blocks_are_refused(made_samples):
    with pytest.raises(InputError, match=r"at least 5 blocks, got 1 of 25 degrees.*--block-size"):
        split_samples(made_samples(), SplitRule(block_size=25))


def test_a_class_that_only_one_block_has_is_trained_on(made_samples):
    samples = made_samples(200)
    labels = np.where(samples.labels == 2, 0, samples.labels)
    block = (samples.lon < -90.5) & (samples.lat < 35.5)
    split = split_samples(replace(samples, labels=np.where(block, 2, labels)), SplitRule())
    assert (labels[split.training] >= 0).all()
    assert np.isin(np.flatnonzero(block), split.training).all()


def test_a_class_that_would_not_be_trained_is_named(made_samples):
    samples = made_samples(10, classes=5)
    apart = replace(samples, lon=samples.labels * 1.0, lat=np.zeros(10))  # one block a class
    with pytest.raises(
        InputError, match=r"all of (corn|soybeans|rice|cotton|other) lie in held-out blocks.*--seed"
    ):
        split_samples(apart, SplitRule())


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 0.6}, {"block_size": 0}, {"rule": "west"}])
def test_a_rule_out_of_range_is_refused(wrong):
    with pytest.raises(InputError, match=r"A split is by blocks, column or random"):
        SplitRule(**wrong)
