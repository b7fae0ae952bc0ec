"""An option of the season that a command accepts has an effect there, or is refused: all commands, walked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from cli.main import cropmap
from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from inference.workflow.plan_served import plan_served
from tests.support.tiny_place import RECIPE, Place, run_cropmap, tiny_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
FOREST = ROOT / "tests" / "written_by_0_1_0" / "forest.safetensors"

VALUES = {
    "season": "winter",
    "season_start": "2020-10-03",
    "window": "31:200",
    "bin_days": "10",
    "min_clear_bins": "5",
    "clock": "utc",
    "hemisphere": "south",
}
"""An option of the season -> a value other than that of the files, models and defaults here."""


def commands(group: click.Group = cropmap, above: str = "") -> dict[str, click.Command]:
    context = click.Context(group)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{above}{name}"
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[words] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{words} ")
    return found


def season_options(command: click.Command) -> list[str]:
    return [str(parameter.name) for parameter in command.params if parameter.name in VALUES]


WALKED = {name: found for name, command in commands().items() if (found := season_options(command))}
del WALKED["smooth"]  # its --window is one of pixels


@dataclass
class Seen:
    """What came of a command."""

    code: int
    facts: Any
    """What it worked with: recipe and season."""
    message: str


@dataclass
class Desk:
    """Files for every command, and a spy at the door of the work."""

    place: Place
    folder: Path
    patch: pytest.MonkeyPatch

    def run(self, name: str, *options: str) -> Seen:
        told: list[Any] = []
        words = self.words(name, told)
        result = run_cropmap(*name.split(), *words, *options)
        return Seen(result.exit_code, told or result.stdout, result.stderr)

    def words(self, name: str, told: list[Any]) -> list[Any]:
        """The arguments of a command, with a spy where its work begins."""
        area = ["--aoi", self.place.area, "--year", 2021]
        trained = [self.samples(), "--year", 2021, "--out", self.folder / "a.safetensors", "--quiet"]
        if name in SPIES:
            self.spy(*SPIES[name], told)
        model = tiny_model(self.folder / "model.safetensors", RECIPE)
        explained = [model, self.samples(3), "--year", 2021, "--classes", "corn,soybeans"]
        return {
            "samples info": [self.samples(), "--year", 2021, "--json"],
            "train": trained,
            "forest train": trained,
            "distill": [*trained, "--teacher", model],
            "adapt": ["--source", *trained, "--target", self.samples()],
            "tune": [model, self.samples(3), *trained[1:]],
            "labels check": trained[:3],
            "evaluate": [model, self.samples(3), "--year", 2021],
            "explain": [*explained, "--out", self.folder / "explained"],
            "benchmark": [*f"--data {self.folder} --source USA --targets FRA --out {self.folder}".split()],
            "sample": [*area, "--reference", "cdl", "--out", self.folder / "drawn.npz"],
            "estimate": area,
            "export": [*area, "--source", self.place.catalog, "--out", self.folder / "run"],
            "predict": [*area, "--source", self.place.catalog, "--model", self.place.model],
            "advise": [*area, "--source", self.place.catalog, "--model", self.place.model],
            "season": ["--aoi", self.place.area, "--json"],
            "compare": [*area, "--model", "fast"],
            "code": [*area, "--model", "fast", "--language", "python"],
            "forest code": [*area, "--forest", FOREST, "--language", "python"],
        }.get(name, [*area, "--forest", FOREST])

    def spy(self, place: str, facts: Callable[..., Any], told: list[Any]) -> None:
        def stop(*arguments: Any, **named: Any) -> None:
            told.append(facts(*arguments, **named))
            raise InputError("stopped by the test")

        self.patch.setattr(place, stop)

    def samples(self, bands: int = 10) -> Path:
        """Series without metadata."""
        rng = np.random.default_rng(2)
        labels = np.arange(64) % 2
        fea = (rng.integers(200, 3000, (64, bands, 73)) + 500 * labels[:, None, None]).astype(np.int16)
        seen = np.ones((64, 73), bool)
        seen[:10, 4:] = False  # ten samples of four observations, in January
        seen[10:20, 36:] = False
        places = {"lon": -91 + rng.uniform(0, 2, 64), "lat": 35 + rng.uniform(0, 2, 64)}
        path = self.folder / f"{bands}.npz"
        np.savez(path, fea=fea, lbl=labels, observed=seen, **places)
        return path


def seen(samples: Any, *_: Any, **__: Any) -> Any:
    season = samples.season and samples.season.start.isoformat()
    return [samples.recipe.to_dict(), season, len(samples)]


def _regions(model: Path, checkpoint: Checkpoint, regions: Any, *_: Any, **__: Any) -> Any:
    return [seen(region.samples) for region in regions]


def _taught(teacher: Any, samples: Any, *_: Any, **__: Any) -> Any:
    return seen(samples)


def _protocol(protocol: Any, *_: Any, **__: Any) -> Any:
    return protocol.recipe.to_dict()


def _request(request: Any, *_: Any, **__: Any) -> Any:
    names = ("recipe", "hemisphere", "season_start")
    return {name: str(getattr(request, name, None)) for name in names}


def _planned(request: Any, listener: Any) -> Any:
    plan = plan_served(request, listener).plan
    return [plan.season.start.isoformat(), plan.recipe.to_dict()]


SPIES: dict[str, tuple[str, Callable[..., Any]]] = {
    "train": ("training.fit.train.train_checkpoint", seen),
    "forest train": ("training.forest.growing.plan_growing", seen),
    "adapt": ("training.adaptation.adapt.adapt", seen),
    "tune": ("training.tuning.tune.tune", _taught),
    "labels check": ("assessment.labels.suspects.check_labels", seen),
    "distill": ("training.distillation.distill.distill", _taught),
    "evaluate": ("assessment.evaluation.evaluate.evaluate", _taught),
    "explain": ("training.explain.report.explain", _regions),
    "benchmark": ("training.transfer.runner.run_benchmark", _protocol),
    "sample": ("training.sampling.field_samples.take_samples", _request),
    "estimate": ("gee_pipeline.earthengine.composites.estimate.estimate_area", _request),
    "export": ("inference.workflow.composites.export_composites", _request),
    "predict": ("inference.workflow.crop_map.make_map", _request),
    "advise": ("inference.advice.trial.advise", _request),
    "forest predict": ("inference.workflow.served_map.plan_served", _planned),
    "compare": ("inference.workflow.plan_served.plan_served", _planned),
    "forest verify": ("inference.workflow.plan_served.plan_served", _planned),
}
"""A command -> where its work begins, and what is noted of what it was given."""


@pytest.fixture
def desk(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(place, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, options in WALKED.items() for option in options]
)
def test_an_accepted_option_is_used_or_refused(desk: Desk, name: str, option: str) -> None:
    usual = desk.run(name)
    flag = f"--{option.replace('_', '-')}"
    found = desk.run(name, flag, VALUES[option])
    assert usual.facts, usual.message
    refused = found.code == 2 and "stopped by the test" not in found.message
    assert refused or found.facts != usual.facts, f"{name} {flag} {VALUES[option]} changed nothing"
    if refused:
        assert len(found.message) > 60  # a rule, what was got, a way out


def test_the_commands_of_a_season_are_these() -> None:
    """A command that gains an option of the season stands here, so that it is walked."""
    full = {"season", "season_start", "window", "bin_days", "min_clear_bins", "clock"}
    assert {name: set(options) for name, options in WALKED.items()} == {
        **{name: full | {"hemisphere"} for name in ("sample", "samples info", "train", "forest train")},
        **{name: full | {"hemisphere"} for name in ("adapt", "distill", "evaluate", "labels check", "tune")},
        "explain": full | {"hemisphere"},
        "benchmark": full - {"clock"},
        "export": full - {"min_clear_bins"} | {"hemisphere"},
        "estimate": full - {"min_clear_bins"} | {"hemisphere"},
        **{name: {"season_start", "hemisphere"} for name in ("advise", "predict", "forest predict")},
        **{name: {"season_start", "hemisphere"} for name in ("compare", "code")},
        **{name: {"season_start", "hemisphere"} for name in ("forest verify", "forest code")},
        "season": {"hemisphere"},
    }


def test_what_is_not_asked_for_stays_as_it_is(desk: Desk) -> None:
    """The walk sees effects: the same command twice gives the same facts."""
    assert desk.run("samples info").facts == desk.run("samples info").facts
    told = json.loads(str(desk.run("samples info").facts))
    assert told["season_start"] == "2021-01-01"
