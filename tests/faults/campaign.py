"""All parts of the campaign: cases by kind and number, one line each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tests.faults.kills import Kills
from tests.faults.mutations import Mutations
from tests.faults.network import Network

PARTS: Final[dict[str, Any]] = {"kill": Kills, "mutation": Mutations, "network": Network}
"""Kind of a case -> what makes its cases by number."""


def run_campaign(cases: Sequence[tuple[str, int]], seed: int, folder: Path) -> list[str]:
    """Carry out cases; a line each is printed, and how to repeat those that went wrong is returned."""
    wrong, counted, begun = [], Counter[str](), time.monotonic()
    with ExitStack() as stack:
        parts: dict[str, Any] = {}
        for kind, number in cases:
            if kind not in parts:
                (folder / kind).mkdir()
                parts[kind] = PARTS[kind](seed, folder / kind)
                if hasattr(parts[kind], "__enter__"):
                    stack.enter_context(parts[kind])
            name, carry_out = parts[kind].case(number)
            at = time.monotonic()
            verdict = carry_out()
            counted[kind, verdict.words.split(":")[0].split(",")[0]] += 1
            told = f"{'WRONG ' if verdict.wrong else ''}{verdict.words}"
            print(f"{kind}:{number} [{time.monotonic() - at:.1f} s] {name} -> {told}", flush=True)
            if verdict.wrong:
                wrong.append(f"python -m tests.faults --seed {seed} --only {kind}:{number}")
    for (kind, words), count in sorted(counted.items()):
        print(f"{count:>5} {kind} {words}")
    print(f"{len(cases)} cases in {time.monotonic() - begun:,.0f} s, {len(wrong)} wrong")
    print("\n".join(f"repeat: {line}" for line in wrong))
    return wrong
