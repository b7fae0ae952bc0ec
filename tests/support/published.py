"""Worked examples with published results, which lie next to a checkout and not in it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases" / "assessment"


@dataclass(frozen=True)
class Case:
    """One example: its tables, and the numbers that were printed."""

    folder: Path

    @cached_property
    def values(self) -> dict[str, str]:
        return dict(json.loads((self.folder / "expected.json").read_text(encoding="utf-8"))["values"])

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def printed(self, key: str) -> Any:
        """The printed value: half a unit of its last digit is allowed."""
        text = self.values[key]
        last = Decimal(text).as_tuple().exponent
        assert isinstance(last, int)
        return pytest.approx(float(text), rel=0, abs=0.5000001 * 10.0**last)


def find_case(name: str) -> Case:
    """The example of a name; the test is skipped where it is not there."""
    folder = CASES / name
    if not folder.is_dir():
        pytest.skip(f"The worked example {name} is not next to this checkout (../shared/cases/assessment).")
    return Case(folder)
