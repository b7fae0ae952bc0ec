"""How many processes and threads work on the cells of a run on this machine, and on how many at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from dask.system import CPU_COUNT

CPU_THREADS: Final = 2
"""Threads of a worker on a CPU: while one waits for scenes, the other computes."""

GPU_THREADS: Final = 4
"""Fewest threads of a worker on a GPU, which one of them uses at a time while the others read and write."""

SHARE: Final = 0.8
"""Part of this machine's memory that the workers may take together."""


BLOCK_SIDES: Final = (1_024, 2_048)
"""Fewest and most pixels along a side of a block of cells. Public files have blocks of 512 or 1,024 pixels;
larger blocks of cells are hardly faster, and more is lost when a run is killed."""

_BLOCKS_PER_CORE: Final = 4
"""Blocks of cells for each core, where there are enough cells."""


@dataclass(frozen=True)
class WorkerPlan:
    """Processes and threads on this machine."""

    processes: int
    """Worker processes; 0 is this process alone."""
    threads: int = 1
    """Cells that one process works on at a time."""
    devices: tuple[str, ...] = ("cpu",)
    """Devices of the processes, in turn."""
    computing: int = 1
    """Threads of one process in which a network works on a CPU: together one a core."""


def plan_workers(
    workers: int | None, device: str, *, cells: int, cell_bytes: int, memory_budget: int, model: bool
) -> WorkerPlan:
    """How many processes and threads fit the machine, its memory and the work.

    Args:
        workers: Processes wanted; None takes one a core, or one a GPU, and none for a single cell.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        cells: Number of cells to compute; without any, a look at what is there needs no cluster.
        cell_bytes: Bytes of one cell's composite.
        memory_budget: Bytes that the arrays of one process may take, on a GPU for each core that it uses.
        model: Whether a model is used at all.

    Raises:
        InputError: The machine has no such device.
    """
    devices = _devices(device) if model else ("cpu",)
    if workers == 0 or cells == 0 or (workers is None and cells == 1):
        return WorkerPlan(0, 1, devices, CPU_COUNT)
    from distributed.system import MEMORY_LIMIT  # takes half a second, which a single cell is spared

    affordable = max(1, int(SHARE * MEMORY_LIMIT) // memory_budget)
    if devices[0] != "cpu":
        processes = min(workers or min(len(devices), affordable), cells)
        threads = _threads_on_gpu(min(CPU_COUNT, affordable) // processes, memory_budget, cell_bytes)
    else:
        processes = min(workers or min(CPU_COUNT, affordable), cells)
        threads = min(CPU_THREADS, cells_in_memory(memory_budget, cell_bytes))
    return WorkerPlan(processes, threads, devices, max(1, CPU_COUNT // processes))


def _threads_on_gpu(cores: int, memory_budget: int, cell_bytes: int) -> int:
    """Threads of a process on a GPU: one for each of its cores, with the memory that these would have."""
    cores = max(1, cores)
    return min(max(GPU_THREADS, cores), cells_in_memory(cores * memory_budget, cell_bytes))


def cells_in_memory(memory_budget: int, cell_bytes: int) -> int:
    """Cells that one process may hold at a time, at least one.

    A cell takes its composite four times: the bins, their series, the scenes of a bin, the file in memory.

    Args:
        memory_budget: Bytes that the arrays of one process may take.
        cell_bytes: Bytes of one cell's composite.
    """
    return max(1, memory_budget // (4 * cell_bytes))


def block_side(cells: int, cell_size: int) -> int:
    """Cells along a side of the squares whose scenes are read together.

    Large squares read blocks of files at fewer edges, many squares keep all cores busy: there are some for
    each core, but none is smaller than the blocks of public files.

    Args:
        cells: Cells of the run.
        cell_size: Pixels along a side of a cell.
    """
    wanted = math.isqrt(cells // (_BLOCKS_PER_CORE * CPU_COUNT)) * cell_size
    return max(1, min(max(wanted, BLOCK_SIDES[0]), BLOCK_SIDES[1]) // cell_size)


def _devices(device: str) -> tuple[str, ...]:
    from inference.models.predictor import resolve_device

    found = resolve_device(device)
    if found.type == "cpu" or found.index is not None:
        return (str(found),)
    import torch

    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
