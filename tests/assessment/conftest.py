"""A made map whose truth is known."""

from pathlib import Path

import pytest

from tests.support.assessed_map import AssessedPlace, made_place


@pytest.fixture
def place(tmp_path: Path) -> AssessedPlace:
    return made_place(tmp_path / "run")


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map is read in 12 windows."""
    monkeypatch.setattr("assessment.sample.map_file.TILE", 32)
