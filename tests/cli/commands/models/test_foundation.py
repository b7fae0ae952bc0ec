import json
from importlib.util import find_spec

import pytest
import torch
from click.testing import CliRunner

from cli.commands.models import foundation as command
from cli.commands.models.benchmark import benchmark
from cli.main import cropmap
from tests.support.patch_place import write_datasets
from tests.support.tiny_place import run_cropmap
from training.foundation.encoder import ENCODERS
from training.foundation.known_weights import KNOWN
from training.foundation.patch_protocol import SETTINGS, TRAININGS, PatchProtocol
from training.foundation.patch_training import PatchOptions
from training.foundation.segmentation import DECODERS

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra cropmap[training]")

torch.set_num_threads(1)
FAST = ("--encoder", "resnet18", "--epochs", "1", "--views", "1", "--batch-size", "5", "--device", "cpu")


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return write_datasets(tmp_path_factory.mktemp("crops"))


def asked(crops, out, *more):
    return ("benchmark", "foundation", "--data", crops, "--images", "0,10", "--out", out, *FAST, *more)


def test_the_benchmark_alone_is_what_it_was():
    """Its options stand first; what it lacks and what it does not know is said as by any command."""
    text = CliRunner().invoke(cropmap, ["benchmark", "--help"]).output
    assert "Train models in one region, test them in others." in text
    assert "Regions and classes:" in text
    assert "foundation" in text.split("Commands:")[1]
    lacks = CliRunner().invoke(cropmap, ["benchmark"])
    assert (lacks.exit_code, "Missing option '--data'" in lacks.stderr) == (2, True)
    stray = CliRunner().invoke(benchmark, ["--source", "USA", "--data", ".", "--out", "x", "foundation"])
    assert (stray.exit_code, "unexpected extra argument (foundation)" in stray.stderr) == (2, True)


def test_a_misspelt_word_is_suggested():
    result = CliRunner().invoke(cropmap, ["benchmark", "fundation"])
    assert result.exit_code == 2
    assert "'foundation'" in result.stderr


def test_help_of_both_and_no_option_of_one_in_the_other():
    ours = CliRunner().invoke(cropmap, ["benchmark", "foundation", "--help"]).output
    assert "Usage: cropmap benchmark foundation [OPTIONS]" in ours
    assert "--source" not in ours
    assert "--decoder" not in CliRunner().invoke(cropmap, ["benchmark", "--help"]).output


def test_choices_and_defaults_are_those_of_the_rooms(tmp_path):
    assert tuple(KNOWN) == command.WEIGHTS
    assert (ENCODERS, DECODERS) == (command.ENCODERS, command.DECODERS)
    assert (TRAININGS, SETTINGS) == (command.TRAININGS, command.SETTINGS)
    protocol, options = PatchProtocol(tmp_path), PatchOptions()
    fields = {"trainings": protocol.trainings, "settings": protocol.settings, "images": protocol.images}
    fields |= {name: getattr(protocol, name) for name in ("encoder", "decoder", "seeds", "views", "scale")}
    fields |= {name: getattr(options, name) for name in ("epochs", "batch_size", "learning_rate", "patience")}
    fields["held_out"] = options.held_out
    defaults = {param.name: param.default for param in command.foundation.params}
    assert {name: defaults[name] for name in fields} == fields


@pytest.mark.slow
@needs_timm
def test_a_user_gets_a_line_for_each_method_and_can_go_on(crops, tmp_path):
    result = run_cropmap(*asked(crops, tmp_path))
    assert result.exit_code == 0
    first, *lines = result.stdout.splitlines()
    assert first == f"Benchmark: {tmp_path / 'table.md'}, 6 trainings"
    starts = ["by the others, random, frozen: OA", "by the others + 10 local, random", "by 10 local, random"]
    assert [line.split(" ", 1)[1].startswith(s) for line, s in zip(lines, starts * 2, strict=True)] == [
        True
    ] * 6
    assert "What frozen encoders make of the images is kept in" in result.stderr
    again = run_cropmap("benchmark", "foundation", "--config", tmp_path / "run.toml", "--json", "--quiet")
    told = json.loads(again.stdout)
    assert (told["trained"], told["kept"], len(told["rows"]), again.stderr) == (0, 6, 6, "")
    scores = told["rows"][0]["scores"]["accuracy"]
    assert 0 <= scores["low"] <= scores["value"] <= scores["high"] <= 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--weights", "ssl4eo"), "ssl4eo=FILE.pth"),
        (("--weights", "prithvi=x.pth"), "got prithvi"),
        (("--weights", "ssl4eo=no.pth"), "under CC-BY-4.0: fetch them"),
        (
            ("--weights", "ssl4eo=a.pth", "--weights", "ssl4eo=b.pth"),
            "--weights takes each name once; ssl4eo",
        ),
        (("--map", "SACT=no.tif"), "The map no.tif does not exist"),
        (("--views", "0", "--cache", "here"), "--cache would not be read"),
        (("--sha256", "ssl4eo"), "0123456789abcdef"),
        (("--images", "ten"), "Write 0,10,100"),
        (("--images", "0,100"), "lists of 10"),
        (("--map", "CDL"), "CDL=run-2023"),
        (("--training", "tuned"), "--views would not be read"),
        (("--settings", "id", "--other-images", "10"), "--other-images would not be read"),
        (("--encoder", "vit"), "'vit' is not one of"),
        (("--targets", "NCCM"), "got --targets NCCM"),
        (("--device", "tpu"), "tpu"),
    ],
)
def test_wrong_input_is_one_clear_error_and_trains_nothing(crops, tmp_path, given, words):
    result = run_cropmap(*asked(crops, tmp_path / "out", *given))
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not (tmp_path / "out" / "runs").exists()
