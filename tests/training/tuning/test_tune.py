"""A model and labels of another place, made here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from gee_pipeline.errors import InputError, MismatchError
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.model_card import describe, describe_training, training_places
from inference.models.predictor import Predictor
from training.fit.options import SplitRule, TrainingOptions
from training.fit.train import train_checkpoint
from training.tuning.options import TuneOptions
from training.tuning.tune import tune
from training.tuning.ways import WAYS

QUICK = TuneOptions(ways=("bias", "last"), folds=3, block_size=0.5, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def short_courses():
    """A few steps are enough for crops that are made."""
    with pytest.MonkeyPatch.context() as patch:
        for way, course in {"bias": (2e-2, 6), "last": (1e-1, 30), "norms": (2e-2, 6)}.items():
            patch.setitem(WAYS, way, replace(WAYS[way], courses=(course,)))
        yield


@pytest.fixture(scope="module")
def here(made_samples):
    return made_samples(96)


@pytest.fixture(scope="module")
def model(here):
    options = TrainingOptions(
        preset="small-8", epochs=14, batch_size=16, learning_rate=1e-2, augmentation="none", device="cpu"
    )
    return train_checkpoint(here, options, SplitRule(), year=2021)


@pytest.fixture(scope="module")
def there(made_samples):
    """Another place, where what looks like corn is rice, and the other way round."""
    samples = made_samples(48, seed=5)
    return replace(samples, labels=2 - samples.labels, lon=samples.lon + 40, source="Made elsewhere.")


@pytest.fixture(scope="module")
def tuned(model, there):
    return tune(model, there, QUICK, name="old.safetensors")


def accuracy(checkpoint, samples):
    window = checkpoint.recipe.window
    said = (
        Predictor(checkpoint, "cpu").logits(samples.series[:, :, window.start : window.stop]).argmax(axis=1)
    )
    return (said == samples.labels).mean()


def test_a_place_with_other_crops_is_learned(tuned, model, there, made_samples):
    assert tuned.choice.trial.candidate.way == "last"
    unseen = made_samples(48, seed=6)
    unseen = replace(unseen, labels=2 - unseen.labels)
    assert accuracy(model, unseen) < 0.5
    assert accuracy(tuned.checkpoint, unseen) > 0.9
    gain = tuned.choice.accuracy
    assert 0 < gain.low < gain.mean < gain.high
    nothing, best = tuned.trials[0], tuned.choice.trial
    assert gain.mean == pytest.approx(best.scores.accuracy - nothing.scores.accuracy)


def test_where_the_model_fits_it_is_left_as_it_is(model, made_samples):
    found = tune(model, made_samples(48, seed=7), QUICK)
    assert found.kept
    assert found.checkpoint is model
    assert (found.choice.accuracy.mean, found.choice.accuracy.low) == (0, 0)


def test_each_label_is_judged_by_a_network_that_did_not_see_its_fold(model, there):
    """Labels of a fold that are turned round change the answers to the other folds, not to their own."""
    first = tune(model, there, QUICK)
    judged = first.folds.parts[0][1]
    labels = there.labels.copy()
    labels[judged] = (labels[judged] + 1) % 3
    other = tune(model, replace(there, labels=labels), QUICK)
    assert (other.folds.fold == first.folds.fold).all()
    before, after = (found.trials[-1].logits for found in (first, other))
    np.testing.assert_array_equal(before[judged], after[judged])
    assert not np.allclose(np.delete(before, judged, 0), np.delete(after, judged, 0))


def test_the_figures_of_doing_nothing_are_those_of_the_model(tuned, model, there):
    assert tuned.trials[0].scores.accuracy == pytest.approx(accuracy(model, there))


def test_what_a_way_leaves_alone_stays(tuned, model):
    changed = {n for n, w in tuned.checkpoint.weights.items() if not torch.equal(w, model.weights[n])}
    assert changed == {"head.weight", "head.bias"}


def test_the_card_names_model_labels_way_and_gain(tuned, model, tmp_path):
    save_checkpoint(tmp_path / "tuned.safetensors", tuned.checkpoint)
    read = load_checkpoint(tmp_path / "tuned.safetensors")
    facts = read.provenance["tuned"]
    assert (facts["from"], facts["digest"], facts["way"]) == ("old.safetensors", model.digest, "last")
    assert facts["samples"] == {"corn": 16, "soybeans": 16, "rice": 16}
    assert len(facts["tried"]) == len(tuned.trials)
    card = dict(describe(read))
    assert card["Trained on"] == "Made samples."
    assert card["Tuned on"] == "Made elsewhere."
    assert card["Tuned from"] == f"old.safetensors, digest {model.digest}"
    assert f"{100 * tuned.choice.accuracy.mean:+.1f} points" in card["  Gain"]


def test_a_student_and_an_adapted_model_keep_their_origin_but_not_the_figures_of_before(model, there):
    teacher = {"name": "big", "network": "CropNet compact", "digest": "12ab"}
    provenance = {
        "distilled": {"teachers": [teacher], "tolerance": 0.1, "agreement": 99},
        "adapted": {
            "target": [{"series": 9, "name": "there.npz", "digest": "34cd"}],
            "method": "teacher",
            "caution": "No label.",
            "rounds": [{}],
        },
    }
    figures = {"accuracy": 1, "teacher_accuracy": 1, "macro_f1": 1, "teacher_macro_f1": 1, "agreement": 1}
    metrics = {
        "beside_teacher": [{"name": "held out", "samples": 4} | figures],
        "within_tolerance": True,
        "target": {"accepted": 0.5, "confidence": 0.9, "entropy": 0.1},
        "judged": {"accuracy": 1, "macro_f1": 1},
    }
    before = replace(model, provenance=model.provenance | provenance, metrics=dict(model.metrics) | metrics)
    student, after = dict(describe(before)), dict(describe(tune(before, there, QUICK).checkpoint))
    assert student["Distilled from"].endswith("the same classes: kept")
    assert student["There"].startswith("50.0% of the asked series accepted in the last of 1 rounds; mean")
    assert after["Distilled from"] == "big (CropNet compact, digest 12ab)"
    assert after["Adapted to"] == student["Adapted to"]
    assert not {"There", "Judged there", "  held out"} & after.keys()


def test_the_page_of_a_map_says_on_what_its_model_was_tuned(tuned):
    told = dict(describe_training(tuned.checkpoint.provenance, tuned.checkpoint.metrics))
    assert told["Trained on"] == "Made samples."
    assert told["Tuned on"] == "Made elsewhere."


def test_prediction_sets_rest_on_the_answers_of_the_folds(tuned, there):
    """By hand: with 16 labels of a class, the sixteenth smallest of one less the true class's probability."""
    sets, trial = tuned.checkpoint.prediction_sets, tuned.choice.trial
    shares = softmax(trial.logits.astype(np.float64) / trial.temperature, axis=1)
    for code in range(3):
        scores = np.sort(1 - shares[there.labels == code, code])
        assert sets.limits[code] == pytest.approx(scores[15])
    assert sets.samples == (16, 16, 16)


def test_both_places_are_known_to_it(tuned, here, there):
    places = training_places(tuned.checkpoint.provenance["footprint"])
    for samples in (here, there):
        west, east = samples.lon.min(), samples.lon.max()
        assert places.bounds[0] <= west + 1e-4
        assert places.bounds[2] >= east - 1e-4
    assert places.geom_type == "MultiPolygon"  # not all that lies between


def test_rehearsal_keeps_the_old_answers(model, here, made_samples):
    """Labels of one class, all called rice: without rehearsal everything else becomes rice too."""
    samples = made_samples(60, seed=8)
    labels = np.where(samples.labels == 0, 2, samples.labels)
    there = replace(samples, labels=labels).take(np.isin(samples.labels, (0, 1)))
    options = replace(QUICK, ways=("norms",))
    plain, rehearsed = tune(model, there, options), tune(model, there, options, source=here)
    tried = [one.candidate.rehearsed for one in rehearsed.trials]
    assert tried == [False, False, True]
    assert [one.candidate.rehearsed for one in plain.trials] == [False, False]
    np.testing.assert_array_equal(plain.trials[1].logits, rehearsed.trials[1].logits)


def test_new_classes_are_mapped(model, made_samples):
    samples = made_samples(80, classes=4, seed=9)
    found = tune(model, samples, replace(QUICK, ways=("last",)), add_classes=("cotton",))
    assert [one.name for one in found.checkpoint.classes] == ["corn", "soybeans", "rice", "cotton"]
    assert accuracy(found.checkpoint, made_samples(80, classes=4, seed=10)) > 0.9
    assert found.trials[0].scores.classes[3].recall == 0


def test_the_same_labels_give_the_same_weights_after_an_interruption(
    model, there, tuned, tmp_path, monkeypatch
):
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)

    class Stopped(Exception):
        pass

    def stop(step):
        if step.done == 4 and step.training.done == 9:
            raise Stopped

    with pytest.raises(Stopped):
        tune(model, there, QUICK, report=stop, folder=tmp_path)
    begun = {path.parent.name for path in tmp_path.rglob("state.pt")}
    assert "last-30-0.1-0" in begun
    resumed = []
    again = tune(
        model, there, QUICK, report=lambda step: resumed.append(step.training.start), folder=tmp_path
    )
    assert max(resumed) > 0
    for name, weight in tuned.checkpoint.weights.items():
        torch.testing.assert_close(again.checkpoint.weights[name], weight, rtol=0, atol=0)
    with pytest.raises(MismatchError, match="seed"):
        tune(model, there, replace(QUICK, seed=2), folder=tmp_path)


def test_labels_that_tell_nothing_are_refused(model, there):
    with pytest.raises(InputError, match="10 labels or more"):
        tune(model, there.take(np.arange(9)), QUICK)
    with pytest.raises(InputError, match="two classes or more"):
        tune(model, there.take(there.labels == 1), QUICK)
    recipe = replace(model.recipe, bin_days=10)
    with pytest.raises(MismatchError, match="recipe"):
        tune(model, replace(there, recipe=recipe), QUICK)


def test_the_tuned_model_maps_pixels_with_as_few_observations_as_its_labels(model, there, here):
    recipe = replace(model.recipe, min_clear_bins=6)
    found = tune(model, replace(there, recipe=recipe), replace(QUICK, ways=("last",)), source=here)
    assert found.checkpoint.recipe == recipe
    assert model.recipe.min_clear_bins == 8
