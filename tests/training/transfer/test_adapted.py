"""Adapted networks in the same tables as all others."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.models.networks.levels import Levelled
from tests.support.transfer_place import CORN, OTHER, RICE, write_region
from training.models.registry import MODELS
from training.transfer.protocol import ADAPTATIONS, Protocol
from training.transfer.runner import jobs_of, run_benchmark
from training.transfer.training_record import Job, digest_of

torch.set_num_threads(1)


def protocol(folder: Path, **given: Any) -> Protocol:
    usual = {"source": "USA", "targets": ("FRA", "BEL"), "models": ("cropnet",), "seeds": 1, "epochs": 2}
    tiny = {"batch_size": 32, "learning_rate": 0.01, "preset": "small-8", "device": "cpu"}
    return Protocol(data=folder, **{**usual, **tiny, **given})


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regions")
    write_region(folder, "USA", {CORN: 40, RICE: 40, OTHER: 40})
    write_region(folder, "FRA", {CORN: 20, RICE: 20, OTHER: 20}, seed=1)
    write_region(folder, "BEL", {CORN: 20, RICE: 20}, seed=2)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_network_is_adapted_to_each_target_and_tested_there(regions: Path, tmp_path: Path) -> None:
    asked = protocol(regions, models=("cropnet", "rf"), adaptations=("none", "mmd", "ghca"))
    names = [job.name for job in jobs_of(asked)]
    assert names == [
        "cropnet_none_seed1",
        "cropnet_none_mmd_to-FRA_seed1",
        "cropnet_none_mmd_to-BEL_seed1",
        "cropnet_none_ghca_to-FRA_seed1",
        "cropnet_none_ghca_to-BEL_seed1",
        "rf_none_seed1",
    ]
    run_benchmark(protocol(regions, adaptations=("none", "mmd")), tmp_path)
    found = rows(tmp_path / "results.csv")
    assert [(row["target"], row["adaptation"]) for row in found] == [
        ("FRA", "none"),
        ("BEL", "none"),
        ("FRA", "mmd"),
        ("BEL", "mmd"),
    ]
    assert {row["best_epoch"] for row in found if row["adaptation"] == "mmd"} == {"2"}  # the last one
    assert "| cropnet | none | mmd | 1 |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    record = json.loads((tmp_path / "runs" / "cropnet_none_mmd_to-FRA_seed1.json").read_text("utf-8"))
    assert list(record["regions"]) == ["FRA"]
    again = run_benchmark(protocol(regions, adaptations=("none", "mmd")), tmp_path)
    assert (again.trained, again.kept) == (0, 3)


def test_a_record_without_adaptation_has_the_digest_it_always_had() -> None:
    """Computed from the fields that version 0.1.0 wrote."""
    job = Job("cropnet", "paper", 3)
    assert job.to_dict() == {"model": "cropnet", "augmentation": "paper", "seed": 3, "in_region": False}
    other = Job("cropnet", "paper", 3, adaptation="mmd", target="FRA")
    assert digest_of(job, {}) != digest_of(other, {})


def test_the_models_that_are_adaptable_are_those_with_levels() -> None:
    for name, spec in MODELS.items():
        if spec.kind != "network" or name in ("resnet50", "efficientnet-v2-s", "convnext-tiny"):
            assert not spec.adaptable
            continue
        if name == "cropnet-1d-harmonic":  # it has levels of its own inside, and shows none
            assert not spec.adaptable
            continue
        network = spec.build(3, 10, 43)
        assert isinstance(network, Levelled) == spec.adaptable
        if not spec.adaptable:
            continue
        network.eval()
        x = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 1, 10, 43)).astype(np.float32))
        levels = network.levels(x)
        assert all(level.ndim == 2 and len(level) == 5 for level in levels)
        assert torch.equal(network.head(levels[-1]), network(x))


def test_adaptations_are_named() -> None:
    assert ADAPTATIONS[0] == "none"
    assert {"mmd", "class-mmd", "teacher", "contrast", "ghca", "ghca-class"} < set(ADAPTATIONS)
