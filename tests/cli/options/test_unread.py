"""Options that another one leaves without an effect."""

from pathlib import Path

import pytest

from tests.support.tiny_place import run_cropmap

TRAIN = ("train", "samples.npz", "--out", "model.safetensors")
FOREST = ("forest", "train", "samples.npz", "--out", "forest.safetensors")
PREDICT = ("predict", "--aoi", "a.geojson", "--year", "2021")
BENCHMARK = ("benchmark", "--data", "data", "--source", "USA", "--in-region", "--out", "out")
EXPORT = ("export", "--aoi", "a.geojson", "--year", "2021")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ((*TRAIN, "--augmentation", "none", "--time-shift", "1"), "--time-shift"),
        ((*TRAIN, "--preset", "global", "--drop-observations", "0.1"), "--drop-observations"),
        ((*TRAIN, "--split", "random", "--block-size", "0.1"), "--block-size"),
        ((*TRAIN, "--group-column", "farm"), "--group-column"),
        ((*TRAIN, "--model", "resnet50", "--preset", "paper"), "--preset"),
        ((*BENCHMARK, "--models", "rf-harmonic,mlp", "--preset", "paper"), "--preset"),
        ((*BENCHMARK, "--models", "rf-harmonic", "--epochs", "3"), "--epochs"),
        ((*BENCHMARK, "--split", "random", "--block-size", "0.1"), "--block-size"),
        ((*FOREST, "--split", "column", "--block-size", "0.1"), "--block-size"),
        ((*PREDICT, "--scheduler", "tcp://host:1", "--workers", "3"), "--workers"),
        ((*EXPORT, "--scheduler", "tcp://host:1", "--workers", "3"), "--workers"),
        ((*EXPORT, "--to", "drive:maps", "--memory", "3"), "--memory"),
    ],
)
def test_an_option_that_would_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.geojson", "samples.npz"):
        Path(name).touch()
    Path("data").mkdir()
    result = run_cropmap(*command)
    assert result.exit_code == 2
    assert f"{option} would not be read" in result.stderr


def test_what_a_config_file_holds_may_stay_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text('time_shift = 1\naugmentation = "none"\n')
    Path("samples.npz").touch()
    said = run_cropmap(*TRAIN, "--config", "c.toml").stderr
    assert "samples.npz" in said  # what is wrong with it
    assert "would not be read" not in said
