import json

import click
import numpy as np
import pytest
from click.testing import CliRunner

from cli.train import train
from gee_pipeline.errors import CropmapError
from inference.checkpoint import load_checkpoint
from inference.cropnet import PRESETS
from training.options import SplitRule, TrainingOptions

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


def test_progress_is_a_line_an_epoch_on_stderr(samples, tmp_path):
    result = invoke(samples, "--out", tmp_path / "model.safetensors", *FAST)
    lines = result.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    assert "macro-F1" in lines[0]
    assert "left" in lines[0]


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
        (["--year", "1999"], "2017"),
        (["--seed", "-1"], "from 0 to 4294967295"),
    ],
)
def test_bad_input_ends_before_anything_is_written(samples, tmp_path, options, message):
    out = tmp_path / "model.safetensors"
    with pytest.raises(CropmapError, match=message):
        invoke(samples, "--out", out, *FAST, *options)
    assert not out.exists()


def test_what_would_spoil_the_end_is_told_before_the_training(samples, tmp_path, monkeypatch):
    monkeypatch.setattr("training.train.fit", lambda *a, **k: pytest.fail("trained for nothing"))
    (tmp_path / "file").touch()
    for options in (["--year", "1999", "--out", tmp_path / "m"], ["--out", tmp_path / "file" / "m"]):
        with pytest.raises(CropmapError, match=r"2017|No file can be written to"):
            invoke(samples, *options)


def test_no_samples_is_a_usage_error(tmp_path):
    result = invoke("--out", tmp_path / "model.safetensors")
    assert result.exit_code == 2
    assert "SAMPLES" in result.stderr


def test_every_option_has_help():
    options = [param for param in train.params if isinstance(param, click.Option)]
    assert len(options) > 15
    assert [option.name for option in options if not option.help] == []
