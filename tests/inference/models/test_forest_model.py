import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.deployment.forest_text import class_strings
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.forest_model import ForestModel, Tree, load_forest, save_forest, share_parts
from inference.models.model_file import content_digest
from tests.support.made_forests import NAMES, RECIPE, grown, legend, made_rows, model_of


@pytest.fixture(scope="module")
def model():
    provenance = {"data": "Überall", "year": 2021, "samples": {"crop 1": 30}}
    metrics = {"hard_vote": {"accuracy": 0.9}}
    forest = grown(*made_rows(80), max_leaf_nodes=9)
    return model_of(forest, 3, provenance=provenance, metrics=metrics)


@pytest.fixture
def path(tmp_path, model):
    save_forest(tmp_path / "forest.safetensors", model)
    return tmp_path / "forest.safetensors"


def _tree(**fields):
    """A root with two leaves, in which classes 1 and 2 are sure."""
    known = {
        "left": np.array([1, -1, -1]),
        "right": np.array([2, -1, -1]),
        "feature": np.array([0, -1, -1]),
        "threshold": np.array([0.5, 0, 0]),
        "share": np.array([[0.5, 0.5], [1, 0], [0, 1]]),
    }
    return Tree(**{name: np.array(value) for name, value in (known | fields).items()})


def _leaf(*share):
    one = np.array([-1])
    return Tree(left=one, right=one, feature=one, threshold=np.zeros(1), share=np.array([share]))


def _forest(*trees, classes=2, **fields):
    fields = {"recipe": RECIPE} | fields
    return ForestModel(trees=trees, classes=legend(classes), **fields)


def test_the_features_are_those_of_the_recipe(model):
    assert model.feature_names == NAMES
    assert _forest(_tree(), recipe=Recipe()).feature_names[-1] == "B12_66"
    assert _forest(_tree(), recipe=Recipe(), features="harmonic").feature_names[0] == "B8A_constant"


def test_nodes_and_depth_are_counted():
    assert _forest(_tree(), _leaf(1, 0)).nodes == 4
    assert (_tree().depth, _leaf(1, 0).depth) == (1, 0)


def test_confidence_is_the_share_of_votes_in_percent_halves_up():
    """Five of eight are 62.5 percent."""
    trees = [_leaf(1, 0)] * 3 + [_leaf(0, 1)] * 5
    rows = np.zeros((1, 6), np.float32)
    prediction = _forest(*trees).hard_prediction(rows)
    assert (prediction.codes.tolist(), prediction.confidence.tolist()) == ([2], [63])
    assert prediction.codes.dtype == prediction.confidence.dtype == np.uint8


def test_a_tie_of_shares_goes_to_the_smaller_code():
    rows = np.zeros((1, 6), np.float32)
    model = _forest(_leaf(0.25, 0.75), _leaf(0.75, 0.25))
    assert model.soft_prediction(rows).codes.tolist() == [1]
    assert model.hard_prediction(rows).codes.tolist() == [1]
    assert model.votes(rows).tolist() == [[1, 1]]
    assert _forest(_leaf(0.5, 0.5)).votes(rows).tolist() == [[1, 0]]


def test_the_soft_vote_can_differ_from_the_hard_one():
    rows = np.zeros((1, 6), np.float32)
    model = _forest(_leaf(0.45, 0.55), _leaf(0.45, 0.55), _leaf(1, 0))
    assert model.hard_prediction(rows).codes.tolist() == [2]
    assert model.soft_prediction(rows).codes.tolist() == [1]
    np.testing.assert_allclose(model.soft(rows), [[1.9 / 3, 1.1 / 3]])


def test_shares_are_deployed_as_whole_numbers():
    assert share_parts(np.array([0, 1 / 3, 0.00005, 1])).tolist() == [0, 3333, 1, 10_000]


def test_pixels_are_voted_on_alike_in_any_number(model):
    rows = made_rows(300, seed=9)[0]
    one_by_one = np.concatenate([model.votes(rows[i : i + 1]) for i in range(len(rows))])
    assert np.array_equal(model.votes(rows), one_by_one)
    assert model.votes(rows[:0]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(4, 5), (4, 7), (6,)])
def test_rows_of_another_width_are_refused(model, shape):
    with pytest.raises(MismatchError, match=r"rows of 6 median features, got \("):
        model.votes(np.zeros(shape, np.float32))


def test_a_row_without_observation_is_our_bug(model):
    with pytest.raises(AssertionError, match="without any observation"):
        model.soft(np.full((1, 6), np.nan, np.float32))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"left": [2, -1, -1]}, "the child of one other"),
        ({"left": [0, -1, -1]}, "the child of one other"),
        ({"left": [9, -1, -1]}, "the child of one other"),
        ({"threshold": [np.nan, 0, 0]}, "a threshold is not a number"),
        ({"share": [[0.5, 0.5], [1, 0], [0, 0.9]]}, "must sum to 1"),
        ({"share": [[0.5, 0.5], [2, -1], [0, 1]]}, "must sum to 1"),
        ({"share": [[0.5, 0.5], [1, 0]]}, "shapes"),
        ({"feature": [0, -1]}, "shapes"),
        (
            {"left": [], "right": [], "feature": [], "threshold": [], "share": np.zeros((0, 2))},
            "shapes",
        ),
    ],
)
def test_a_tree_that_is_not_whole_is_refused(fields, words):
    with pytest.raises(InputError, match=f"not whole: .*{words}"):
        _tree(**fields)


def test_a_tree_with_a_ring_is_refused():
    """Node 1 is its own child, and each node but the root has one parent."""
    with pytest.raises(InputError, match="cannot be reached"):
        Tree(
            left=np.array([-1, 1, -1]),
            right=np.array([-1, 2, -1]),
            feature=np.array([-1, 0, -1]),
            threshold=np.zeros(3),
            share=np.full((3, 2), 0.5),
        )


def test_a_forest_must_fit_its_classes_and_its_recipe():
    with pytest.raises(InputError, match="at least one tree"):
        _forest()
    with pytest.raises(MismatchError, match="knows the 3 classes of its forest, got trees of 2"):
        _forest(_tree(), classes=3)
    with pytest.raises(MismatchError, match="makes 6 median features, but a tree looks at feature 7"):
        _forest(_tree(feature=np.array([6, -1, -1])))
    with pytest.raises(InputError, match="median or harmonic, got 'raw'"):
        _forest(_tree(), features="raw")
    with pytest.raises(InputError, match="codes 1 to 2"):
        replace(_forest(_tree()), classes=legend(3)[1:])


def test_there_is_no_string_of_a_class_that_is_not_there():
    with pytest.raises(InputError, match="classes 1 to 2, got 3"):
        class_strings(_forest(_tree()), 3)


def test_a_forest_comes_back_as_it_was_saved(path, model):
    loaded, rows = load_forest(path), made_rows(50, seed=5)[0]
    facts = ("classes", "recipe", "features", "provenance", "metrics", "digest", "nodes")
    assert [getattr(loaded, name) for name in facts] == [getattr(model, name) for name in facts]
    assert np.array_equal(loaded.votes(rows), model.votes(rows))
    assert np.array_equal(loaded.soft(rows), model.soft(rows))


def test_a_forest_travels_to_other_processes(model):
    rows = made_rows(5)[0]
    model.votes(rows)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.digest == model.digest
    assert np.array_equal(copy.votes(rows), model.votes(rows))


def test_the_digest_is_of_what_decides_the_map(model):
    assert replace(model, metrics={}, provenance={}).digest == model.digest
    recolored = (replace(model.classes[0], color="#123456"), *model.classes[1:])
    others = [
        replace(model, trees=model.trees[::-1]),
        replace(model, classes=recolored),
        replace(model, recipe=replace(RECIPE, min_clear_bins=9)),
    ]
    assert len({model.digest, *(other.digest for other in others)}) == 4


def test_provenance_that_is_no_json_is_refused(tmp_path, model):
    with pytest.raises(InputError, match="Provenance and metrics of a forest must be JSON"):
        save_forest(tmp_path / "f.safetensors", replace(model, provenance={"seen": object()}))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_no_forest_and_a_forest_no_checkpoint(tmp_path, path, make_checkpoint):
    save_checkpoint(tmp_path / "net.safetensors", make_checkpoint())
    with pytest.raises(InputError, match=r"is a checkpoint .* not a forest\. .*cropmap forest train"):
        load_forest(tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"is a forest .* not a checkpoint\. .*cropmap train"):
        load_checkpoint(path)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"The forest .*none\.safetensors does not exist.*forest train"):
        load_forest(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\xff" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(CorruptFileError, match="cannot be read as safetensors"):
        load_forest(tmp_path / "f.safetensors")


def test_arrays_without_metadata_are_refused(tmp_path):
    safetensors.numpy.save_file({"left": np.zeros(3)}, tmp_path / "f.safetensors")
    with pytest.raises(CorruptFileError, match="'cropmap_forest' entry"):
        load_forest(tmp_path / "f.safetensors")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptFileError, match="truncated"):
        load_forest(path)


def test_a_flipped_bit_is_noticed(path):
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFileError, match=r"is damaged: .* digest"):
        load_forest(path)


def _rewritten(path, change_text=lambda values: None, change_arrays=lambda arrays: None):
    """The file with other content and the digest that belongs to it."""
    with safetensors.safe_open(path, "np") as file:
        values = json.loads(file.metadata()["cropmap_forest"])
    arrays = safetensors.numpy.load_file(path)
    change_text(values)
    change_arrays(arrays)
    text = json.dumps(values)
    entries = {"cropmap_forest": text, "cropmap_digest": content_digest(text, arrays)}
    safetensors.numpy.save_file(arrays, path, entries)


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        ({"format": 2}, MismatchError, "reads forests of format 1, .* has format 2"),
        ({"recipe_digest": "0" * 16}, MismatchError, "recipe digest.*0000"),
        ({"classes": 3}, CorruptFileError, "damaged"),
        ({"features": "raw"}, CorruptFileError, "median or harmonic"),
        ({"recipe": {"bands": ["B2"]}}, CorruptFileError, "recipe"),
    ],
)
def test_metadata_that_makes_no_sense_is_refused(path, damage, kind, words):
    _rewritten(path, change_text=lambda values: values.update(damage))
    with pytest.raises(kind, match=words):
        load_forest(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays: arrays.pop("left"),
        lambda arrays: arrays.update(nodes=arrays["nodes"] + 1),
        lambda arrays: arrays.update(nodes=arrays["nodes"][:0]),
        lambda arrays: arrays.update(left=arrays["left"][:-1]),
        lambda arrays: arrays.update(right=arrays["left"]),
        lambda arrays: arrays.update(share=arrays["share"] / 2),
    ],
)
def test_arrays_that_are_no_trees_are_refused(path, damage):
    _rewritten(path, change_arrays=damage)
    with pytest.raises(CorruptFileError, match="damaged"):
        load_forest(path)
