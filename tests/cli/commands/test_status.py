"""`cropmap status` before, between and after."""

import json
from pathlib import Path

import pytest

from inference.record.lock import run_lock
from tests.support.tiny_place import Place, codes, run_cropmap

pytestmark = pytest.mark.slow


@pytest.fixture
def lines(tmp_path: Path):
    """What status prints of a folder, by its first word."""

    def read(folder: Path) -> dict[str, str]:
        result = run_cropmap("status", folder)
        assert result.exit_code == 0, result.stderr
        return {line.split()[0].rstrip(":"): line for line in result.stdout.splitlines()}

    return read


def test_a_finished_run_is_complete(finished: Path, lines) -> None:
    told = lines(finished)
    assert told["state"].split() == ["state", "complete"]
    assert told["planned"].split() == ["planned", "4", "cells"]
    assert told["done"].split() == ["done", "4", "cells"]
    assert told["failed"].split() == ["failed", "0", "cells"]
    assert told["pixels"].split() == ["pixels", f"{(codes(finished) > 0).sum():,}"]


def test_a_run_at_work_is_running(finished: Path, lines) -> None:
    with run_lock(finished):
        assert lines(finished)["state"].split() == ["state", "running"]


def test_json_holds_the_same_counts(finished: Path) -> None:
    values = json.loads(run_cropmap("status", finished, "--json").stdout)
    assert (values["planned"], values["done"], values["failed"]) == (4, 4, 0)
    assert (values["goal"], values["running"], values["failures"]) == ("map", False, [])
    assert values["pixels"] == (codes(finished) > 0).sum()


def test_failed_cells_are_named_with_the_reason(place: Place, tmp_path: Path, lines) -> None:
    mine = place.copied(tmp_path / "scenes")
    asset = next((tmp_path / "scenes" / "items").glob("*20210601_R026_T15SYV/cs.tif"))
    asset.write_bytes(asset.read_bytes()[:-60])
    assert mine.predict(tmp_path / "run").exit_code == 2
    told = lines(tmp_path / "run")
    assert told["state"].split() == ["state", "stopped"]
    assert told["done"].split() == ["done", "2", "cells"]
    assert told["failed"].split() == ["failed", "2", "cells"]
    assert "Asset cs" in told["r0000_c0001"]
    assert asset.parent.name in told["r0001_c0001"]


def test_a_folder_without_a_run_has_no_status(tmp_path: Path) -> None:
    result = run_cropmap("status", tmp_path)
    assert result.exit_code == 2
    assert "holds no run" in result.stderr
    assert result.stdout == ""
