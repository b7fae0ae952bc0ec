"""`cropmap tune`, as it is called."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from cli.commands.models.tune import describe, progress_line
from cli.main import cropmap
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from training.fit.loop import FitProgress
from training.fit.options import SplitRule, TrainingOptions
from training.fit.train import train_checkpoint
from training.samples.samples import read_samples
from training.tuning.options import TuneOptions
from training.tuning.tune import TuneProgress, tune
from training.tuning.ways import WAYS, Candidate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model of three crops, and labels of a place where two of them are called the other way round."""
    folder = tmp_path_factory.mktemp("tune")
    rng = np.random.default_rng(2)
    for name, west, turned in (("here", -91, False), ("there", -120, True), ("bare", -100, True)):
        labels = np.arange(60) % 3
        places = {"lon": west + rng.uniform(0, 2, 60), "lat": 35 + rng.uniform(0, 2, 60)}
        np.savez(
            folder / f"{name}.npz",
            fea=(rng.integers(200, 900, (60, 10, 73)) + 1500 * labels[:, None, None]).astype(np.int16),
            lbl=2 - labels if turned else labels,
            **({} if name == "bare" else places),
        )
    options = TrainingOptions(
        preset="small-8", epochs=14, batch_size=16, learning_rate=1e-2, augmentation="none", device="cpu"
    )
    save_checkpoint(
        folder / "model.safetensors",
        train_checkpoint(read_samples([folder / "here.npz"]), options, SplitRule()),
    )
    return folder


@pytest.fixture(autouse=True)
def short_course(monkeypatch):
    """A few steps are enough for crops that are made."""
    monkeypatch.setitem(WAYS, "last", replace(WAYS["last"], courses=((1e-1, 30),)))


def invoke(*arguments):
    given = ["tune", *map(str, arguments), "--device", "cpu", "--ways", "last", "--folds", "3"]
    return CliRunner().invoke(cropmap, given, catch_exceptions=False)


def test_all_ways_and_the_gain_are_printed(files, tmp_path):
    out = tmp_path / "tuned.safetensors"
    result = invoke(files / "model.safetensors", files / "there.npz", "--out", out)
    assert result.exit_code == 0, result.output
    assert "60 labels, 3 folds over" in result.stdout
    assert "<- taken" in next(line for line in result.stdout.splitlines() if "the last layer" in line)
    assert "Accuracy to gain here: +" in result.stdout
    assert " by places; the same labels chose the way" in result.stdout
    assert load_checkpoint(out).provenance["tuned"]["from"] == "model.safetensors"
    assert not (tmp_path / "tuned.progress").exists()
    card = CliRunner().invoke(cropmap, ["model", "info", str(out)], catch_exceptions=False)
    assert "Tuned from" in card.stdout


def test_a_model_that_fits_is_copied(files, tmp_path):
    out = tmp_path / "same.safetensors"
    result = invoke(files / "model.safetensors", files / "here.npz", "--out", out)
    assert "stays as it is" in result.stdout
    assert load_checkpoint(out).digest == load_checkpoint(files / "model.safetensors").digest


def test_a_copy_says_that_it_lacks_the_classes_to_add(files, tmp_path):
    model, samples = load_checkpoint(files / "model.safetensors"), read_samples([files / "here.npz"])
    kept = tune(model, samples, TuneOptions(ways=("last",), folds=2, device="cpu"))
    assert kept.kept
    assert list(describe(tmp_path, kept))[-1] == f"Checkpoint: {tmp_path}, a copy of the model"
    wider = replace(kept.trials[0], logits=np.zeros((60, 4), np.float32))
    said = list(describe(tmp_path, replace(kept, trials=(wider, *kept.trials[1:]))))
    assert said[-1] == f"Checkpoint: {tmp_path}, a copy of the model, without the classes to add"


def test_labels_that_are_not_used_are_counted(files, tmp_path):
    """Of 66 labels four repeat others, and two are wheat, which this model without other does not know."""
    with np.load(files / "there.npz") as there:
        values = {name: np.concatenate([there[name], there[name][:6]]) for name in there.files}
    values["fea"][-2:] += 1
    values["lbl"][-2:] = 3
    np.savez(tmp_path / "more.npz", **values)
    result = invoke(files / "model.safetensors", tmp_path / "more.npz", "--out", tmp_path / "t.safetensors")
    assert "not used: 4 that repeat the series of another." in result.stderr
    assert "Warning: 2 labels of classes that the model does not know were left out" in result.stderr
    assert "60 labels, 3 folds over" in result.stdout


def test_the_figures_come_as_json(files, tmp_path):
    result = invoke(
        files / "model.safetensors", files / "there.npz", "--out", tmp_path / "t.safetensors", "--json"
    )
    facts = json.loads(result.stdout)
    assert [one["way"] for one in facts["tried"]] == ["nothing", "last"]
    assert facts["kept"] is False
    assert facts["way"]["accuracy"] - facts["tried"][0]["accuracy"] == pytest.approx(
        facts["accuracy_gain"]["mean"]
    )


def test_labels_without_places_are_parted_at_random_and_said_to_be_optimistic(files, tmp_path):
    result = invoke(files / "model.safetensors", files / "bare.npz", "--out", tmp_path / "t.safetensors")
    assert "samples at random; optimistic" in result.stdout
    assert " by samples; the same labels chose the way" in result.stdout


def test_the_model_is_not_overwritten(files, tmp_path):
    result = invoke(files / "model.safetensors", files / "there.npz", "--out", files / "model.safetensors")
    assert result.exit_code == 2
    assert "would write over it" in result.stderr


def test_classes_without_a_label_are_named(files, tmp_path):
    said = invoke(files / "model.safetensors", files / "there.npz", "--out", tmp_path / "all.safetensors")
    assert "No label is" not in said.stdout
    with np.load(files / "there.npz") as there:
        some = there["lbl"] != 1
        np.savez(tmp_path / "two.npz", **{name: there[name][some] for name in there.files})
    said = invoke(files / "model.safetensors", tmp_path / "two.npz", "--out", tmp_path / "two.safetensors")
    assert "No label is soybeans: where these grow, the tuned model may miss them" in said.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--ways", "everything"), "out of shares, bias, last, norms, all; got everything"),
        (("--folds", "1"), "2 to 20 folds, got 1"),
        (("--rehearsal", "8"), "go with --rehearse"),
        (("--add-classes", "rice"), "knows rice"),
        (("--add-classes", "wheat"), "none of wheat"),
        (("--split", "column"), "key or column group"),
        (("--split", "random", "--block-size", "1"), "are of --split blocks"),
    ],
)
def test_wrong_options_are_refused_with_the_way_out(files, tmp_path, given, said):
    out = tmp_path / "t.safetensors"
    arguments = [
        "tune",
        files / "model.safetensors",
        files / "there.npz",
        "--out",
        out,
        "--device",
        "cpu",
        *given,
    ]
    result = CliRunner().invoke(cropmap, [*map(str, arguments)])
    assert result.exit_code == 2
    assert said in result.stderr
    assert not out.exists()


def test_the_progress_says_what_is_tried_and_how_far():
    step = TuneProgress(Candidate("all", 1e-3, 240, True), 1, FitProgress(3, 10, None), 6, 40)
    assert progress_line(step) == (
        "everything, 240 steps at 0.001, old answers rehearsed, judged by fold 2: training 7 of 41"
    )
    last = TuneProgress(Candidate("bias", 2e-2, 120), None, FitProgress(3, 10, None), 40, 40)
    assert progress_line(last).endswith("on all labels: training 41 of 41")
