"""The benchmark of the network's input compares readers that agree, and holds its limit."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import model_input
from gee_pipeline.errors import CorruptFileError


@pytest.mark.parametrize(("limit", "status"), [("1", 0), ("1e15", 1)])
def test_it_says_each_stage_and_whether_the_limit_holds(
    capsys: pytest.CaptureFixture[str], limit: str, status: int
) -> None:
    assert model_input.main(["--size", "64", "--rounds", "1", "--limit", limit]) == status
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()] == [
        "read by GDAL",
        "read by what is installed",
        "fill gaps and scale",
        "from the file to the network's input",
    ]


def test_what_was_not_written_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        model_input.store, "read_bands", lambda path, bands, shape: np.zeros((len(bands), 64, 64), np.int16)
    )
    with pytest.raises(CorruptFileError):
        model_input.main(["--size", "64", "--rounds", "1"])
