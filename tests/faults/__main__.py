"""Kills, mutations of files and misbehaving servers; `--only KIND:NUMBER` repeats a case."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import PARTS, run_campaign


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the cases of all parts, or one; 1 where cropmap broke its word in any."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="chooses every chance")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--network", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each part")
    parser.add_argument("--only", metavar="KIND:NUMBER", nargs="+", help="cases such as mutation:17")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process at a time, with one thread
    counts = {"kill": given.kills, "mutation": given.mutations, "network": given.network}
    cases = [(kind, given.first + number) for kind in PARTS for number in range(counts[kind])]
    if given.only:
        cases = [(kind, int(number)) for kind, _, number in (case.partition(":") for case in given.only)]
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        wrong = run_campaign(cases, given.seed, Path(folder).resolve())
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
