import csv
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from matplotlib.image import imread

from cli.commands.models.train import CHOICES, train
from gee_pipeline.errors import CropmapError
from inference.drawing import style
from inference.models.checkpoint import load_checkpoint
from inference.models.model_card import describe
from inference.models.networks.cropnet import PRESETS
from tests.support.made_weights import drawn, write_weights
from training.fit.options import SplitRule, TrainingOptions
from training.threads import let_threads_sleep

pytestmark = pytest.mark.slow

FAST = ["--epochs", "2", "--batch-size", "16", "--device", "cpu"]


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    """The command trains real presets; tests take one of them small."""
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(2)
    labels = np.arange(64) % 4  # corn, soybeans, rice, wheat
    np.savez(
        tmp_path / "samples.npz",
        fea=(rng.integers(200, 3000, (64, 10, 73)) + 500 * labels[:, None, None]).astype(np.int16),
        lbl=labels,
        lon=-91 + rng.uniform(0, 2, 64),
        lat=35 + rng.uniform(0, 2, 64),
    )
    return tmp_path / "samples.npz"


def invoke(*arguments):
    return CliRunner().invoke(train, [str(a) for a in arguments], catch_exceptions=False)


def test_a_checkpoint_is_written_and_its_figures_printed(samples, tmp_path):
    out = tmp_path / "models" / "model.safetensors"
    result = invoke(samples, "--out", out, "--classes", "corn,rice,other", *FAST)
    checkpoint = load_checkpoint(out)
    assert [c.name for c in checkpoint.classes] == ["corn", "rice", "other"]
    assert checkpoint.provenance["samples"] == {"corn": 16, "rice": 16, "other": 32}
    assert f"{100 * checkpoint.metrics['accuracy']:.1f}%" in result.stdout
    assert result.stdout.count("\n") == 1
    assert "blocks of 0.5 degrees" in result.stdout


def test_progress_is_a_line_at_once_and_one_an_epoch_on_stderr(samples, tmp_path):
    result = invoke(samples, "--out", tmp_path / "model.safetensors", *FAST)
    warning, *lines = result.stderr.splitlines()
    assert warning.startswith("Warning: Fewer than 50 samples: corn (16), soybeans (16)")
    first, *epochs = lines
    assert first.startswith("epoch 1, ")
    assert [line.split(":")[0] for line in epochs] == ["epoch 1", "epoch 2"]
    assert "macro-F1" in epochs[0]
    assert "left" in epochs[0]


def test_quiet_prints_the_result_only(samples, tmp_path):
    result = invoke(samples, "--out", tmp_path / "model.safetensors", "--quiet", *FAST)
    assert result.stderr == ""
    assert result.stdout.startswith("Checkpoint: ")


def test_json_is_one_document(samples, tmp_path):
    result = invoke(samples, "--out", tmp_path / "model.safetensors", "--json", "--split", "random", *FAST)
    facts = json.loads(result.stdout)
    assert facts["checkpoint"] == str(tmp_path / "model.safetensors")
    assert "samples at random" in facts["split"]
    assert facts["validation_samples"] == 13
    assert sum(map(sum, facts["confusion"])) == 13


def test_a_random_split_is_called_optimistic(samples, tmp_path):
    result = invoke(samples, "--out", tmp_path / "model.safetensors", "--split", "random", *FAST)
    assert "optimistic" in result.stdout


def test_options_reach_the_training(samples, tmp_path):
    out = tmp_path / "model.safetensors"
    given = ["--seed", "7", "--block-size", "0.2", "--learning-rate", "0.002", "--drop-observations", "0.3"]
    given += ["--time-shift", "1", "--magnitude-warp", "0.1"]
    given += ["--time-jitter", "0", "--schedule", "constant", "--patience", "9", "--year", "2019"]
    invoke(samples, "--out", out, "--data-source", "Made for a test.", *given, *FAST)
    facts = load_checkpoint(out).provenance
    options = facts["options"]
    assert (options["seed"], options["learning_rate"], options["drop_observations"]) == (7, 0.002, 0.3)
    assert (options["time_jitter"], options["schedule"], options["patience"]) == (0, "constant", 9)
    assert (options["time_shift"], options["magnitude_warp"]) == (1, 0.1)
    assert (facts["split"]["seed"], facts["split"]["block_size"]) == (7, 0.2)
    assert (facts["year"], facts["season_start"], facts["data"]) == (2019, "2019-01-01", "Made for a test.")


def test_defaults_are_those_of_the_training(samples, tmp_path):
    out = tmp_path / "model.safetensors"
    invoke(samples, "--out", out, *FAST)
    facts = load_checkpoint(out).provenance
    unchanged = {"epochs", "batch_size", "device"}
    for name, value in facts["options"].items():
        assert name in unchanged or value == getattr(TrainingOptions(), name)
    assert facts["split"]["block_size"] == SplitRule().block_size


def test_options_may_come_from_a_file(samples, tmp_path):
    config = tmp_path / "train.toml"
    config.write_text('classes = ["rice", "wheat"]\nepochs = 1\nbatch-size = 8\n')
    out = tmp_path / "model.safetensors"
    invoke(samples, "--config", config, "--out", out, "--device", "cpu")
    checkpoint = load_checkpoint(out)
    assert [c.name for c in checkpoint.classes] == ["rice", "wheat"]
    assert checkpoint.provenance["epochs"] == 1


def test_several_files_are_joined(samples, tmp_path):
    with np.load(samples) as first:
        np.savez(tmp_path / "more.npz", **{**first, "fea": first["fea"] + 1})
    out = tmp_path / "model.safetensors"
    invoke(samples, tmp_path / "more.npz", "--out", out, *FAST)
    assert sum(load_checkpoint(out).provenance["samples"].values()) == 128


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "corn,potatoes"], "two or more different names"),
        (["--epochs", "0"], "at least 1"),
        (["--block-size", "20"], "--block-size"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--year", "99"], "four digits"),
        (["--seed", "-1"], "from 0 to 4294967295"),
    ],
)
def test_bad_input_ends_before_anything_is_written(samples, tmp_path, options, message):
    out = tmp_path / "model.safetensors"
    with pytest.raises(CropmapError, match=message):
        invoke(samples, "--out", out, *FAST, *options)
    assert not out.exists()


def test_what_would_spoil_the_end_is_told_before_the_training(samples, tmp_path, monkeypatch):
    monkeypatch.setattr("training.fit.train.fit", lambda *a, **k: pytest.fail("trained for nothing"))
    (tmp_path / "file").touch()
    for options in (["--year", "99", "--out", tmp_path / "m"], ["--out", tmp_path / "file" / "m"]):
        with pytest.raises(CropmapError, match=r"four digits|No file can be written to"):
            invoke(samples, *options)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rf", "rf is a forest. Grow it with 'cropmap forest train --features median'"),
        ("rf-harmonic", "rf-harmonic is a forest. Grow it with 'cropmap forest train --features harmonic'"),
        ("rf-cropglobe-harmonic", "rf-cropglobe-harmonic is a forest on features that CropGlobe holds"),
        ("rf-presto", "cropmap cannot make them for a map"),
        ("rf-alphaearth", "takes part in 'cropmap benchmark'"),
        ("perceiver", "is not one of 'cropnet', 'cropnet-1d'"),
    ],
)
def test_what_is_no_network_is_refused_by_name(samples, tmp_path, name, reason):
    result = invoke(samples, "--out", tmp_path / "m.safetensors", "--model", name, *FAST)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("name", ["mlp", "cropnet-1d", "cropnet-1d-harmonic"])
def test_a_network_is_trained_by_name(samples, tmp_path, name):
    out = tmp_path / "m.safetensors"
    assert invoke(samples, "--out", out, "--model", name, *FAST).exit_code == 0
    checkpoint = load_checkpoint(out)
    assert getattr(checkpoint.config, "model", "cropnet-1d") == name
    assert checkpoint.metrics["calibration"]["temperature"] == checkpoint.temperature


@pytest.mark.parametrize("name", ["presto", "presto-frozen"])
def test_a_network_starts_from_published_weights_and_says_so(samples, tmp_path, name, monkeypatch):
    file, out = write_weights(tmp_path / "w.pt", "presto", monkeypatch), tmp_path / "m.safetensors"
    result = invoke(samples, "--out", out, "--model", name, "--pretrained", file, *FAST)
    assert result.exit_code == 0
    checkpoint = load_checkpoint(out)
    norm, kept = checkpoint.weights["encoder.norm.weight"], drawn("presto")["encoder.norm.weight"]
    assert torch.equal(norm, kept) == name.endswith("frozen")
    torch.testing.assert_close(norm, kept, atol=0.02, rtol=0)  # eight steps of at most 0.001
    card = dict(describe(checkpoint))
    assert card["Started from"].startswith("Made weights, nasaharvest/presto at 13173d0")
    assert card["  Licence"] == "MIT, copyright (c) 2024 Presto Authors"


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("presto-frozen", False, "needs --pretrained with a file of presto or presto-worldcereal"),
        ("mlp", True, "is read by no model that is asked for: mlp"),
        ("galileo-nano", True, "add presto"),
    ],
)
def test_weights_that_do_not_belong_are_refused_before_the_samples_are_read(
    samples, tmp_path, name, given, reason, monkeypatch
):
    file = write_weights(tmp_path / "w.pt", "presto", monkeypatch)
    samples.write_bytes(b"not read")
    words = [samples, "--out", tmp_path / "m.safetensors", "--model", name, *FAST]
    with pytest.raises(CropmapError, match=reason):
        invoke(*words, *(["--pretrained", file] if given else []))


def test_a_training_is_not_resumed_from_other_weights(samples, tmp_path, monkeypatch, stop_at):
    one = write_weights(tmp_path / "one.pt", "presto", monkeypatch)
    other = write_weights(tmp_path / "other.pt", "presto", monkeypatch, encoder__norm__bias=torch.ones(128))
    words = [samples, "--out", tmp_path / "m.safetensors", "--model", "presto", *FAST, "--pretrained"]
    interrupted(stop_at(5), *words, one)
    with pytest.raises(CropmapError, match="pretrained"):
        invoke(*words, other)


def test_a_network_that_normalises_over_samples_takes_no_batches_of_one(samples, tmp_path):
    small = [samples, "--out", tmp_path / "m.safetensors", "--epochs", 1, "--device", "cpu", "--batch-size"]
    with pytest.raises(
        CropmapError, match=r"Multilayer perceptron .* at least 3; got 2\. Raise --batch-size"
    ):
        invoke(*small, 2, "--model", "mlp")
    assert invoke(*small, 3, "--model", "mlp").exit_code == 0


def test_no_samples_is_a_usage_error(tmp_path):
    result = invoke("--out", tmp_path / "model.safetensors")
    assert result.exit_code == 2
    assert "SAMPLES" in result.stderr


def test_every_option_has_help():
    options = [param for param in train.params if isinstance(param, click.Option)]
    assert len(options) > 15
    assert [option.name for option in options if not option.help] == []


@pytest.fixture
def stop_at(monkeypatch):
    """Ctrl-C when some batches are done; every batch is kept."""
    monkeypatch.setattr("training.fit.loop.KEEP_SECONDS", 0.0)

    def stop(batch):
        @contextmanager
        def progress(quiet):
            def report(step):
                if step.done == batch:
                    raise KeyboardInterrupt

            yield report

        return patch("cli.output.training_progress.training_progress", progress)

    return stop


def interrupted(stop, *arguments):
    with stop, pytest.raises((click.Abort, KeyboardInterrupt)):
        train.main([str(a) for a in arguments], standalone_mode=False)


def test_the_same_command_goes_on_and_ends_with_the_same_checkpoint(samples, tmp_path, stop_at):
    out, whole = tmp_path / "model.safetensors", tmp_path / "whole.safetensors"
    interrupted(stop_at(5), samples, "--out", out, *FAST)
    assert not out.exists()
    assert (tmp_path / "model.progress").is_dir()
    result = invoke(samples, "--out", out, *FAST)
    assert "resumed at batch 4 of 8" in result.stderr.splitlines()[1]  # after the warning
    assert not (tmp_path / "model.progress").exists()
    invoke(samples, "--out", whole, *FAST)
    assert load_checkpoint(out).digest == load_checkpoint(whole).digest


def test_a_changed_option_is_refused_until_the_training_begins_anew(samples, tmp_path, stop_at):
    out = tmp_path / "model.safetensors"
    interrupted(stop_at(5), samples, "--out", out, *FAST)
    with pytest.raises(CropmapError, match=r"batch_size: 16 then, 8 now\. .*--restart"):
        invoke(samples, "--out", out, *FAST, "--batch-size", "8")
    assert not out.exists()
    result = invoke(samples, "--out", out, *FAST, "--batch-size", "8", "--restart")
    assert "resumed" not in result.stderr
    assert load_checkpoint(out).provenance["options"]["batch_size"] == 8


def test_changed_samples_are_refused(samples, tmp_path, stop_at):
    out = tmp_path / "model.safetensors"
    interrupted(stop_at(5), samples, "--out", out, *FAST)
    with np.load(samples) as arrays:
        changed = dict(arrays)
    changed["fea"][0] += 1
    np.savez(samples, **changed)
    with pytest.raises(CropmapError, match=r"Different are samples: 64 with digest \w+ then"):
        invoke(samples, "--out", out, *FAST)


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from unittest.mock import patch
import training.fit.loop
from inference.models.networks.cropnet import PRESETS
PRESETS["compact"] = ((8, 8, 8, 8), (2, 1, 2, 1))
training.fit.loop.KEEP_SECONDS = 0.0
train_one = training.fit.loop._Run.train_batch

def train_batch(run):
    train_one(run)
    if run.step.done == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

with patch("training.fit.loop._Run.train_batch", train_batch):
    from cli.main import cropmap
    cropmap(sys.argv[2:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_goes_on_and_ends_with_the_same_checkpoint(samples, tmp_path):
    out, whole = tmp_path / "model.safetensors", tmp_path / "whole.safetensors"
    command = [sys.executable, "-c", KILLED, "6", "train", str(samples), "--out", str(out), *FAST]
    killed = subprocess.run(
        command,
        cwd=Path(__file__).parents[4],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert killed.returncode == -signal.SIGKILL
    result = invoke(samples, "--out", out, *FAST)
    assert "resumed at batch 5 of 8" in result.stderr
    invoke(samples, "--out", whole, *FAST)
    assert load_checkpoint(out).digest == load_checkpoint(whole).digest


def test_learning_curves_lie_beside_the_checkpoint(samples, tmp_path):
    invoke(samples, "--out", tmp_path / "a.v1.safetensors", *FAST)
    assert imread(tmp_path / "a.v1.curves.png").shape[1] == 11 * style.DPI  # inches
    with (tmp_path / "a.v1.curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    history = load_checkpoint(tmp_path / "a.v1.safetensors").metrics["history"]
    assert [{key: float(value) for key, value in row.items()} for row in rows] == history


def test_no_curves_leaves_the_checkpoint_alone(samples, tmp_path):
    invoke(samples, "--out", tmp_path / "out" / "m.safetensors", "--no-curves", *FAST)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.safetensors"]


def test_the_calibration_is_printed_kept_and_used(samples, tmp_path):
    out = tmp_path / "m.safetensors"
    result = invoke(samples, "--out", out, *FAST)
    checkpoint = load_checkpoint(out)
    facts = checkpoint.metrics["calibration"]
    assert checkpoint.temperature == facts["temperature"] != 1
    assert f"calibration error {facts['ece_after']:.1%} ({facts['ece_before']:.1%} before" in result.stdout
    assert json.loads(invoke(samples, "--out", out, "--json", *FAST).stdout)["calibration"] == facts


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the training, which does not run."""

    class Enough(Exception):
        pass

    def ask(*arguments):
        seen = []

        def spy(*given, **keywords):
            seen.append(given)
            raise Enough

        monkeypatch.setattr("training.fit.train.train_checkpoint", spy)
        with pytest.raises(Enough):
            invoke(*arguments)
        return seen[0]

    return ask


@pytest.fixture
def seven(tmp_path):
    labels = np.arange(70) % 7
    fea = np.random.default_rng(3).integers(200, 3000, (70, 10, 73)).astype(np.int16)
    np.savez(tmp_path / "seven.npz", fea=fea, lbl=labels)
    return tmp_path / "seven.npz"


def test_the_global_preset_is_the_papers_procedure(seven, tmp_path, asked):
    samples, options, rule = asked(seven, "--out", tmp_path / "m", "--preset", "global")
    assert samples.class_names == ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other")
    # Tong et al. 2025, section 4.1: learning rate 0.0001, batch size 256, 50 epochs
    assert (options.learning_rate, options.batch_size, options.epochs) == (0.0001, 256, 50)
    assert (options.preset, options.augmentation, options.schedule) == ("paper", "paper", "constant")
    assert (rule.rule, rule.block_size, rule.share) == ("blocks", 0.5, 0.2)


def test_the_help_tells_what_the_global_preset_stands_for():
    text = " ".join(CliRunner().invoke(train, ["--help"]).stdout.split())
    stated = text.split("which is CropNet paper with ")[1].split(". An option")[0].replace(" ", "")
    values = CHOICES["global"]
    for option in train.params:
        if option.name in values and option.name != "classes":
            value = (
                f"{values[option.name]:f}".rstrip("0")
                if option.name == "learning_rate"
                else values[option.name]
            )
            assert f"{option.opts[0]}{value}" in stated
    assert "--classes" + ",".join(values["classes"]) in stated


def test_an_option_beside_a_preset_wins_also_from_a_file(seven, tmp_path, asked):
    config = tmp_path / "train.toml"
    config.write_text('preset = "global"\nepochs = 7\nsplit = "random"\n')
    given = (
        seven,
        "--out",
        tmp_path / "m",
        "--config",
        config,
        "--batch-size",
        "32",
        "--classes",
        "corn,other",
    )
    samples, options, rule = asked(*given)
    assert (options.preset, options.epochs, options.batch_size) == ("paper", 7, 32)
    assert (rule.rule, samples.class_names) == ("random", ("corn", "other"))


@pytest.mark.parametrize("preset", ["compact", "paper"])
def test_other_presets_name_the_network_only(seven, tmp_path, asked, preset):
    _, options, rule = asked(seven, "--out", tmp_path / "m", "--preset", preset)
    assert options == TrainingOptions(preset=preset)
    assert rule == SplitRule()


def test_reading_options_reach_the_samples(tmp_path, asked):
    rng = np.random.default_rng(5)
    np.savez(
        tmp_path / "own.npz",
        fea=rng.uniform(0.02, 0.3, (20, 10, 73)).astype(np.float32),
        kind=np.arange(20) % 2 + 7,
        farm=np.array(["a", "b", "c", "d", "e"] * 4),
    )
    legend = tmp_path / "legend.toml"
    legend.write_text(
        '[[classes]]\nname = "hops"\ncolor = "#00ff00"\nlabels = [7]\n'
        '[[classes]]\nname = "vines"\ncolor = "#ff00ff"\nlabels = [8]\n'
    )
    columns = ["--label-column", "kind", "--group-column", "farm", "--split", "column", "--held-out", "0.4"]
    given = ["--scale", "1", "--legend", legend, "--preset", "global", *columns]
    samples, _, rule = asked(tmp_path / "own.npz", "--out", tmp_path / "m", *given)
    assert samples.class_names == ("hops", "vines")
    assert 150 < samples.series.min() < samples.series.max() < 3050
    assert set(samples.groups) == set("abcde")
    assert (rule.rule, rule.share) == ("column", 0.4)


def test_idle_threads_sleep_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_the_help_shows_every_option_once_under_a_heading():
    text = CliRunner().invoke(train, ["--help"]).stdout
    body = text[text.index("\nSamples:") :]
    for option in train.params:
        if isinstance(option, click.Option):
            assert len(re.findall(rf"^  {re.escape(option.opts[0])}(?![\w-])", body, re.MULTILINE)) == 1
    headings = re.findall(r"^([A-Z][\w -]+):$", body, re.MULTILINE)
    assert headings == [
        "Samples",
        "Held-out samples",
        "Network",
        "Fitting",
        "Augmentation",
        "Files and messages",
    ]
