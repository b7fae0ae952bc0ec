"""How torch's threads share the cores with other programs."""

from __future__ import annotations

import os


def let_threads_sleep() -> None:
    """Let threads that wait for one another sleep, instead of spinning; to be called before torch is loaded.

    OpenMP reads the variable once. Where other programs run too, threads that spin take the core from the one
    they wait for: with two other programs on two cores, a step of a network of 16 channels took 60 to
    250 ms, and 20 to 50 ms so. The numbers of a training do not change: the work is divided among as many
    threads as before. A value that the user set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
