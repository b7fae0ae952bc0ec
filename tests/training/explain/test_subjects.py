from datetime import date

import numpy as np
import pytest

from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.recipe import RecipeOptions
from tests.support.explain_place import passing_checkpoint, spike_samples
from training.explain.options import ExplainOptions
from training.explain.subjects import Region, chosen_classes, read_region

BOTH = (0, 1)


@pytest.fixture
def packed(tmp_path):
    """Files as CropGlobe packs them, by their labels: 0 corn, 1 soybeans, 2 rice."""

    def write(name="samples.npz", labels=(0, 0, 2, 2), **more):
        count = len(labels)
        fea = np.random.default_rng(len(name)).integers(300, 600, (count, 10, 73)).astype(np.int16)
        np.savez(tmp_path / name, **{"fea": fea, "lbl": np.array(labels), **more})
        return tmp_path / name

    return write


def test_labels_become_those_of_the_model(packed):
    region = read_region("source", [packed(labels=(2, 0, 0, 2, 2))], passing_checkpoint(), BOTH)
    assert region.samples.labels.tolist() == [1, 0, 0, 1, 1]
    assert region.samples.class_names == ("corn", "rice")


def test_classes_that_the_model_does_not_know_are_left_out(packed):
    region = read_region("source", [packed(labels=(0, 1, 2, 1))], passing_checkpoint(), BOTH)
    assert region.samples.counts == {"corn": 1, "rice": 1}


def test_only_classes_that_are_explained_are_taken(packed):
    region = read_region("source", [packed()], passing_checkpoint(), [1])
    assert region.samples.labels.tolist() == [1, 1]


def test_the_source_needs_every_class(packed):
    path = packed(labels=(1, 1, 2))
    with pytest.raises(InputError, match=r"samples\.npz has none of corn.*--classes rice"):
        read_region("source", [path], passing_checkpoint(), BOTH)


def test_the_target_may_lack_some_classes_but_not_all(packed):
    region = read_region("target", [packed(labels=(1, 1, 2))], passing_checkpoint(), BOTH)
    assert region.samples.counts == {"corn": 0, "rice": 1}
    with pytest.raises(InputError, match=r"target none\.npz has samples of none.*--legend"):
        read_region("target", [packed("none.npz", labels=(1, 3))], passing_checkpoint(), BOTH)


def test_samples_of_other_bands_than_the_models_are_refused(packed):
    few = np.full((4, 5, 73), 400, np.int16)
    with pytest.raises(InputError, match=r"\(4, 5, 73\)"):
        read_region("source", [packed(fea=few)], passing_checkpoint(), BOTH)


def test_classes_are_named_as_in_the_model():
    checkpoint = passing_checkpoint()
    assert chosen_classes(checkpoint, None) == (0, 1)
    assert chosen_classes(checkpoint, ("Rice",)) == (1,)
    with pytest.raises(InputError, match=r"corn, rice; got --classes with potatoes"):
        chosen_classes(checkpoint, ("rice", "potatoes"))


@pytest.mark.parametrize(
    ("lat", "start"),
    [
        ((35.0, 36.0), date(2001, 1, 1)),  # north
        ((-35.0, -1.0), date(2000, 7, 1)),  # south: half a year earlier
        ((-1.0, 1.0), None),  # both
    ],
)
def test_months_follow_the_hemisphere_where_the_files_do_not_tell(packed, lat, start):
    places = {"lon": np.full(4, 10.0), "lat": np.repeat(lat, 2)}
    region = read_region("source", [packed(**places)], passing_checkpoint(), BOTH)
    assert region.season_start == start


def test_another_start_than_the_models_is_refused(packed):
    asked = RecipeOptions(season_start=date(2020, 9, 1))
    with pytest.raises(MismatchError, match=r"The model and the options given.*1 September"):
        read_region("source", [packed()], passing_checkpoint(), BOTH, asked=asked)


def test_a_pick_is_so_many_of_each_class_and_follows_the_seed():
    region = Region("source", spike_samples(40, 3), None)
    pick = region.pick(10, seed=1)
    assert pick.counts == {"corn": 10, "rice": 3}
    np.testing.assert_array_equal(pick.series, region.pick(10, seed=1).series)
    assert (pick.series != region.pick(10, seed=2).series).any()


def test_a_pick_holds_no_more_than_the_limit_in_all(monkeypatch):
    monkeypatch.setattr("training.explain.subjects.GROUP_LIMIT", 9)
    assert Region("source", spike_samples(40, 30), None).pick(10, seed=1).counts == {"corn": 4, "rice": 4}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"per_class": 1}, "--per-class 300"),
        ({"per_class": 10_001}, "2 to 10,000"),
        ({"seed": -1}, "--seed 1"),
        ({"augmentation": "much"}, "field, paper, code, code-days, none"),
        ({"perplexity": 0.5}, "--perplexity 30"),
        ({"format": "gif"}, "png, pdf, svg"),
    ],
)
def test_options_out_of_range_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        ExplainOptions(**given)
