from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gee_pipeline.errors import InputError
from training.fit.options import RULES, SplitRule
from training.fit.split import in_blocks, split_samples
from training.samples.samples import read_samples


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
    apart = replace(samples, lon=samples.labels * 1.0, lat=np.zeros(10))  # one block per class
    with pytest.raises(
        InputError, match=r"all of (corn|soybeans|rice|cotton|other) lie in held-out blocks.*another seed"
    ):
        split_samples(apart, SplitRule())


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 0.6}, {"block_size": 0}, {"rule": "west"}])
def test_a_rule_out_of_range_is_refused(wrong):
    with pytest.raises(InputError, match=r"A split is by blocks, column or random"):
        SplitRule(**wrong)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 1000),
    share=st.floats(0.2, 0.5),
    size=st.floats(0.1, 3.0),
    data=st.data(),
)
def test_nothing_that_is_held_out_trains(made_samples, rule, seed, share, size, data):
    """Whatever the rule and the places: each sample on one side, each block and group too."""
    samples = made_samples(60)
    # to a decimetre: the quotient of a smaller number and a block's side can lose its sign
    lons, lats = (st.floats(-most, most).map(lambda value: round(value, 6)) for most in (180, 90))
    places = st.tuples(lons, lats, st.sampled_from("abcdefgh"))
    lon, lat, groups = zip(*data.draw(st.lists(places, min_size=60, max_size=60)), strict=True)
    samples = replace(samples, lon=np.array(lon), lat=np.array(lat), groups=np.array(groups))
    try:
        split = split_samples(samples, SplitRule(rule=rule, block_size=size, share=share, seed=seed))
    except InputError:  # too few blocks or groups, or a class in held-out ones alone
        assume(False)
    assert sorted([*split.training, *split.validation]) == list(range(60))
    assert len(split.training)
    assert len(split.validation)
    if rule == "blocks":
        assert not squares(samples, split.training, size) & squares(samples, split.validation, size)
    if rule == "column":
        assert not {groups[i] for i in split.training} & {groups[i] for i in split.validation}


def test_exact_duplicates_of_a_series_never_stand_on_both_sides(tmp_path):
    """They are dropped when files are read, also across files, so no split can part them."""
    fea = np.random.default_rng(0).integers(200, 3000, (40, 10, 73)).astype(np.int16)
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, fea=fea[np.arange(60) % 40], lbl=np.arange(60) % 40 % 2)
    samples = read_samples([tmp_path / "a.npz", tmp_path / "b.npz"])
    split = split_samples(samples, SplitRule(rule="random"))
    sides = [{s.tobytes() for s in samples.series[i]} for i in (split.training, split.validation)]
    assert (len(sides[0]), len(sides[1])) == (32, 8)
    assert not sides[0] & sides[1]


def test_groups_are_held_out_whole(made_samples):
    samples = made_samples(200)
    groups = np.array([f"farm {i % 10}" for i in range(200)])
    split = split_samples(replace(samples, groups=groups), SplitRule(rule="column"))
    assert split.facts["held_out_groups"] == sorted({groups[i] for i in split.validation})
    assert len(split.facts["held_out_groups"]) == 2
    assert split.description == "2 groups of the samples, 40 samples"


def test_a_split_by_column_needs_groups(made_samples):
    with pytest.raises(InputError, match=r"key or column group.*--group-column"):
        split_samples(made_samples(), SplitRule(rule="column"))
    alone = replace(made_samples(60), groups=np.array(["a", "b", "c"] * 20))
    with pytest.raises(InputError, match=r"at least 5 groups, got 3"):
        split_samples(alone, SplitRule(rule="column"))


def test_a_class_with_one_sample_is_refused(made_samples):
    samples = made_samples(60)
    labels = np.where(np.arange(60) == 7, 2, samples.labels % 2)
    with pytest.raises(InputError, match=r"two samples or more.*rice has one.*--classes"):
        split_samples(replace(samples, labels=labels), SplitRule())


def test_the_rules_are_described_in_words(made_samples):
    samples = made_samples(200)
    blocks = split_samples(samples, SplitRule(block_size=0.25)).description
    assert blocks.startswith("blocks of 0.25 degrees, ")
    random = split_samples(samples, SplitRule(rule="random")).description
    assert random == "samples at random, 40 samples; optimistic, because their neighbours train"
