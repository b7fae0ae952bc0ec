"""Processes and threads by cores, memory and work."""

from __future__ import annotations

import pytest

from inference.run import worker_plan
from inference.run.worker_plan import WorkerPlan, plan_workers

MIB = 2**20


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # processes, cells of each at a time, devices, threads of each in which a network works
        ({}, WorkerPlan(4, 2, ("cpu",), 1)),
        ({"workers": 0}, WorkerPlan(0, 1, ("cpu",), 4)),
        ({"workers": 3}, WorkerPlan(3, 2, ("cpu",), 1)),
        ({"workers": 8}, WorkerPlan(8, 2, ("cpu",), 1)),
        ({"cells": 3}, WorkerPlan(3, 2, ("cpu",), 1)),  # no process without a cell
        ({"cells": 1}, WorkerPlan(0, 1, ("cpu",), 4)),  # starting a process takes longer than it saves
        ({"cells": 1, "workers": 1}, WorkerPlan(1, 2, ("cpu",), 4)),
        ({"cells": 0, "workers": 3}, WorkerPlan(0, 1, ("cpu",), 4)),
        ({"memory_budget": 300 * MIB}, WorkerPlan(4, 1, ("cpu",), 1)),  # two cells would take 448 MiB
        ({"memory_budget": 4_000 * MIB}, WorkerPlan(2, 2, ("cpu",), 2)),  # of 10,000 MiB, a fifth stays free
        ({"memory_budget": 40_000 * MIB}, WorkerPlan(1, 2, ("cpu",), 4)),
    ],
)
def test_processes_and_threads_fit_cores_memory_and_work(
    given: dict[str, int], expected: WorkerPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_plan, "CPU_COUNT", 4)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 10_000 * MIB)
    options = {"workers": None, "cells": 100, "cell_bytes": 56 * MIB, "memory_budget": 2_000 * MIB, **given}
    assert plan_workers(device="cpu", model=True, **options) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cores", "memory", "gpus", "expected"),
    [
        (4, 100_000, 2, (2, 4)),
        (16, 128_000, 1, (1, 16)),  # one waits for the card, the others read and write
        (16, 128_000, 4, (4, 4)),
        (16, 10_000, 1, (1, 4)),  # a fifth of the memory stays free, the rest is that of four cores
        (64, 128_000, 1, (1, 51)),
    ],
)
def test_each_gpu_gets_a_process_with_the_threads_and_the_memory_of_its_cores(
    cores: int, memory: int, gpus: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = tuple(f"cuda:{index}" for index in range(gpus))
    monkeypatch.setattr(worker_plan, "CPU_COUNT", cores)
    monkeypatch.setattr(worker_plan, "_devices", lambda device: devices)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", memory * MIB)
    planned = plan_workers(
        None, "auto", cells=100, cell_bytes=56 * MIB, memory_budget=2_000 * MIB, model=True
    )
    assert (planned.processes, planned.threads, planned.devices) == (*expected, devices)
