"""A few cases of each part of the campaign; `python -m tests.faults` has all."""

import sys
from pathlib import Path
from random import Random

import pytest

from tests.faults import mutators
from tests.faults.campaign import run_campaign
from tests.faults.commands import Outcome
from tests.faults.places import make_place
from tests.faults.verdicts import misbehaviour

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals, forks and bounds of memory are Linux'"),
]

OF_TEXTS = [m for m in mutators.ALL if not {".npz", ".safetensors"} & {*m.suffixes}]
"""Those of arrays change files of whole commands only."""

CASES = [
    *(("kill", number) for number in (0, 2, 9, 12)),
    *(("mutation", number) for number in (0, 1, 2, 4, 9, 11, 12, 25, 27, 28, 36, 46, 50)),
    *(("network", number) for number in (1, 2)),
]


def test_whatever_is_killed_damaged_or_faulty_the_result_is_right_or_refused(tmp_path: Path) -> None:
    assert run_campaign(CASES, 1, tmp_path) == []


@pytest.mark.parametrize(
    ("code", "stderr", "words"),
    [
        (0, "", None),
        (2, "Error: The area a.gpkg does not exist. Give one with --aoi.", None),
        (3, "Error: 1 of 4 cells failed. Run the same command again.", None),
        (1, "", "exit code 1"),
        (-11, "", "exit code -11"),
        (2, "Traceback (most recent call last):\nKeyError: 1", "a traceback"),
        (2, "Error: KeyError: 1. cropmap did not expect this; set ...", "an unexpected error"),
        (2, "Error: no", "a message that says nothing"),
        (2, "", "0 messages"),
        (0, "https://me:PASSWORD@host", "a secret"),
        (0, "a.py:3: RuntimeWarning: overflow", "a warning of Python"),
    ],
)
def test_what_a_command_may_not_do_is_seen(code: int, stderr: str, words: str | None) -> None:
    found = misbehaviour(Outcome(code, "", stderr, 1.0, 1.0))
    assert found is None if words is None else words in str(found)


def test_time_and_memory_are_bounded() -> None:
    assert "at its end" in str(misbehaviour(Outcome(-9, "", "", 90.0, 0.0, overdue=True)))
    assert "MiB" in str(misbehaviour(Outcome(0, "", "", 1.0, 4_000.0)))


@pytest.mark.parametrize("mutator", OF_TEXTS, ids=lambda m: m.name)
def test_every_mutator_changes_files_that_it_suits(tmp_path: Path, mutator: mutators.Mutator) -> None:
    place = make_place(tmp_path / "place") if mutator.name in ("another file", "swapped") else tmp_path
    if not (place / "scenes").exists():
        (place / "scenes").mkdir()
    content = (
        b'{"a": {"b": [1, 2]}, "c": null}\n{"d": 1}\n'
        if ".jsonl" in mutator.suffixes
        else b'{"a": {"b": 1}}\n'
    )
    path = place / f"made{mutator.suffixes[0] if mutator.suffixes else '.json'}"
    path.write_bytes(content)
    mutator.change(path, Random(1))
    assert not path.is_file() or path.stat().st_size > 2**32 or path.read_bytes() != content
