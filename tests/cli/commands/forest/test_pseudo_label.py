"""`cropmap forest pseudo-label` as a user gives it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from cli.commands.forest.pseudo_label import describe, pseudo_label, pseudo_request
from tests.support.tiny_place import RECIPE, Place, codes, run_cropmap
from training.pseudo_labels.report import PseudoReport
from training.pseudo_labels.rules import PseudoRules
from training.samples.samples import read_samples

pytestmark = pytest.mark.slow

LOOSE = ["--confidence", 0, "--neighbours", 3, "--passes", 0, "--per-class", 40, "--spacing", 20]


def drawn(run: Path, out: Path, *options: Any) -> Any:
    return run_cropmap("forest", "pseudo-label", "--run", run, "--out", out, *options)


def test_a_finished_map_becomes_samples_that_other_commands_read(
    place: Place, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "samples.npz"
    result = drawn(finished, out, *LOOSE, "--reference", place.fields)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1].startswith("Samples: ")
    assert lines[-1].endswith(str(out))
    assert lines[0].split()[-2:] == ["all", "wrong"]
    mapped = codes(finished)
    assert [cell for cell in lines[1].split()[3:9]] == [
        *(f"{(mapped == code).sum():,}" for code in range(1, 6)),
        f"{((mapped >= 1) & (mapped <= 5)).sum():,}",
    ]
    assert "rice: none, for the map has no pixel of it." in result.stderr
    samples = read_samples([out])
    assert set(samples.counts) == {"corn", "cotton"}
    assert samples.recipe == RECIPE
    info = run_cropmap("samples", "info", out)
    assert info.exit_code == 0
    assert "Pseudo-labels of the model model.safetensors" in info.stdout
    assert "2021, from 2021-01-01" in info.stdout


def test_json_is_one_document_and_the_report_beside_the_file(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.npz"
    result = drawn(finished, out, *LOOSE, "--json", "--quiet")
    assert result.stderr == ""
    report = json.loads(result.stdout)
    assert report == json.loads((tmp_path / "samples.report.json").read_text())
    assert report["samples"] == len(np.load(out)["lbl"]) == sum(report["classes"].values())
    assert [stage["rule"] for stage in report["stages"]][:3] == ["mapped", "composite", "confidence"]
    again = drawn(finished, out, *LOOSE, "--json")
    assert json.loads(again.stdout) == report
    assert "wrong" not in describe(PseudoReport.from_dict(report))[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--passes", 10], "--passes 0"),  # the tiny model drops nothing
        (["--spacing", 15], "--spacing 15"),
        (["--agree", 11], "--agree 11"),
        (["--classes-table", "cdl"], "--reference"),
        (["--reference", "nowhere.tif"], "nowhere.tif"),
        (["--also", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--min-clear", 200, "--passes", 0], "two or more classes"),
        (["--run", "."], "holds no run"),
        (["--device", "abacus", "--passes", 0], "abacus"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(
    finished: Path, tmp_path: Path, options: list[Any], message: str
) -> None:
    result = drawn(finished, tmp_path / "samples.npz", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def request_for(*arguments: Any) -> Any:
    """What the command would ask for."""
    seen: dict[str, Any] = {}
    keep = click.Command("keep", params=pseudo_label.params, callback=lambda **options: seen.update(options))
    assert keep.main([str(a) for a in arguments], standalone_mode=False) is None
    return pseudo_request({name: seen[name] for name in seen if name not in ("quiet", "as_json")})


def test_defaults_are_those_of_the_rules(tmp_path: Path) -> None:
    request = request_for("--run", tmp_path, "--out", tmp_path / "s.npz")
    assert request.rules == PseudoRules()
    assert (request.also, request.reference, request.device) == ((), None, "auto")


def test_each_rule_has_its_option(tmp_path: Path) -> None:
    values = {"confidence": 70.0, "best_share": 5.0, "min_clear": 9, "neighbours": 6, "passes": 20}
    values |= {"agree": 15, "per_class": 7, "largest_ratio": 2.0, "spacing": 90, "seed": 4}
    assert set(values) == {field.name for field in fields(PseudoRules)}
    options = [part for key, value in values.items() for part in (f"--{key.replace('_', '-')}", value)]
    for name in ("a", "b"):
        (tmp_path / name).touch()
    also = ["--also", tmp_path / "a", "--also", tmp_path / "b", "--device", "cpu"]
    request = request_for("--run", tmp_path, "--out", tmp_path / "s.npz", *options, *also)
    assert request.rules == PseudoRules(**values)
    assert request.also == (tmp_path / "a", tmp_path / "b")
    assert request.device == "cpu"


def test_help_has_examples_and_words_for_every_option() -> None:
    text = run_cropmap("forest", "pseudo-label", "--help").output
    assert "cropmap forest pseudo-label --run run/" in text.split("Examples:")[1]
    assert [p.name for p in pseudo_label.params if isinstance(p, click.Option) and not p.help] == []
    assert "pseudo-label" in run_cropmap("forest", "--help").output
