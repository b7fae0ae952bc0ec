"""`cropmap distill`, as it is called."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import cropmap
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from training.fit.options import SplitRule, TrainingOptions
from training.fit.train import train_checkpoint
from training.samples.samples import read_samples

pytestmark = pytest.mark.slow

QUICK = ("--series", "100", "--epochs", "1", "--batch-size", "32", "--device", "cpu", "--channels", "8")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Samples of three crops in two places, and a teacher of them."""
    folder = tmp_path_factory.mktemp("distill")
    rng = np.random.default_rng(2)
    for name, west in (("samples", -91), ("elsewhere", -120)):
        labels = np.arange(60) % 3
        np.savez(
            folder / f"{name}.npz",
            fea=(rng.integers(200, 900, (60, 10, 73)) + 1500 * labels[:, None, None]).astype(np.int16),
            lbl=labels,
            lon=west + rng.uniform(0, 2, 60),
            lat=35 + rng.uniform(0, 2, 60),
        )
    options = TrainingOptions(preset="small-8", epochs=3, batch_size=16, learning_rate=1e-2, device="cpu")
    teacher = train_checkpoint(read_samples([folder / "samples.npz"]), options, SplitRule())
    save_checkpoint(folder / "teacher.safetensors", teacher)
    return folder


def invoke(*arguments):
    return CliRunner().invoke(cropmap, ["distill", *map(str, arguments)], catch_exceptions=False)


def test_a_student_is_written_and_compared_on_every_set(files, tmp_path):
    out = tmp_path / "small.safetensors"
    result = invoke(
        *(files / "samples.npz", "--teacher", files / "teacher.safetensors", "--out", out),
        *("--second-region", files / "elsewhere.npz", "--tolerance", 100, "--agreement", 0, *QUICK),
    )
    assert result.exit_code == 0, result.output
    assert load_checkpoint(out).config.preset == "small-8"
    heads = ["held out", "held out, half of the observations hidden", "elsewhere.npz"]
    assert all(f"  {head}: accuracy " in result.stdout for head in heads)
    assert f"Checkpoint: {out}, 8 channels" in result.stdout
    assert not (tmp_path / "small.progress").exists()


def test_the_figures_come_as_json_and_progress_on_stderr(files, tmp_path):
    result = invoke(
        *(
            files / "samples.npz",
            "--teacher",
            files / "teacher.safetensors",
            "--out",
            tmp_path / "s.safetensors",
        ),
        *("--tolerance", 100, "--agreement", 0, "--json", *QUICK),
    )
    facts = json.loads(result.stdout)
    assert [one["channels"] for one in facts["students"]] == [8]
    assert facts["students"][0]["within_tolerance"] is True
    assert "the teacher answers" in result.stderr
    assert "student of 8 channels" in result.stderr


def test_a_size_that_was_asked_for_is_written_with_a_warning(files, tmp_path):
    out = tmp_path / "small.safetensors"
    result = invoke(
        *(files / "samples.npz", "--teacher", files / "teacher.safetensors", "--out", out),
        *("--agreement", 100, "--learning-rate", 1e-6, *QUICK),
    )
    assert result.exit_code == 0
    assert "Warning: No student of 8 channels stays within 0.1 points" in result.stderr
    assert load_checkpoint(out).metrics["within_tolerance"] is False


def test_where_no_size_is_good_enough_nothing_is_written(files, tmp_path, monkeypatch):
    monkeypatch.setattr("cli.commands.models.distill.CHANNELS", (8, 16))
    out = tmp_path / "small.safetensors"
    result = invoke(
        *(files / "samples.npz", "--teacher", files / "teacher.safetensors", "--out", out),
        *("--agreement", 100, "--learning-rate", 1e-6, *QUICK[:-2]),
    )
    assert result.exit_code == 2
    assert "No student of 8 or 16 channels" in result.stderr
    assert "--tolerance" in result.stderr
    assert not out.exists()


def test_a_former_student_is_not_called_the_one_that_was_not_written(files, tmp_path, monkeypatch):
    monkeypatch.setattr("cli.commands.models.distill.CHANNELS", (8, 16))
    out = tmp_path / "small.safetensors"
    out.write_bytes(b"a former student")
    result = invoke(
        *(files / "samples.npz", "--teacher", files / "teacher.safetensors", "--out", out),
        *("--agreement", 100, "--learning-rate", 1e-6, *QUICK[:-2]),
    )
    assert "Checkpoint:" not in result.stdout
    assert out.read_bytes() == b"a former student"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--teacher", "nowhere.safetensors"), "nowhere.safetensors' does not exist"),
        (("--channels", "12"), "'12' is not one of"),
        (("--split", "random", "--block-size", "1"), "--block-size would not be read"),
        (("--block-size", "1"), "--block-size would not be read"),
        (("--held-out", "0.3"), "--held-out would not be read"),
        (("--unlabelled", "10"), "--unlabelled would not be read"),
        (("--tolerance", "-1"), "0 to 100 percentage points"),
        (("--run", "."), "holds no run"),
    ],
)
def test_wrong_input_is_refused_with_what_to_do(files, tmp_path, more, message):
    out = tmp_path / "small.safetensors"
    teacher = () if "--teacher" in more else ("--teacher", files / "teacher.safetensors")
    result = invoke(files / "samples.npz", *teacher, "--out", out, *QUICK, *more)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not out.exists()


def test_a_teacher_is_never_overwritten(files):
    teacher = files / "teacher.safetensors"
    before = teacher.read_bytes()
    result = invoke(files / "samples.npz", "--teacher", teacher, "--out", teacher, *QUICK)
    assert result.exit_code == 2
    assert teacher.read_bytes() == before
