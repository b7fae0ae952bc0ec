"""`cropmap doctor`: what is there, what is missing, and that a broken library is found by its work."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest

import inference.models.series
import inference.workflow.doctor as doctor
from tests.support.tiny_place import run_cropmap


def findings(*words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    result = run_cropmap("doctor", "--json", "--offline", *words)
    return result.exit_code, {one["name"]: one for one in json.loads(result.stdout)["findings"]}


def test_a_machine_that_runs_the_tests_has_no_fault(tmp_path: Path) -> None:
    code, found = findings(str(tmp_path))
    assert code == 0
    assert {one["state"] for one in found.values()} <= {"ok", "note"}
    for name in ("cropmap", "python", "gdal", "proj", "torch", "numba", "disk"):
        assert found[name]["state"] == "ok", found[name]
    assert str(tmp_path) in found["disk"]["text"]


def test_lines_are_for_people_and_the_last_for_reports_of_faults(tmp_path: Path) -> None:
    result = run_cropmap("doctor", "--offline", tmp_path)
    *lines, last = result.stdout.splitlines()
    assert all(line.startswith(("ok ", "note ")) for line in lines)
    assert last.startswith("cropmap ")
    assert "rasterio" in last


def test_another_proj_is_found_by_a_point_in_the_wrong_place(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        def transform(self, x: float, y: float) -> tuple[float, float]:
            return x, y

    monkeypatch.setattr(pyproj.Transformer, "from_crs", lambda *given, **options: Elsewhere())
    code, found = findings()
    assert code == 2
    assert found["proj"]["state"] == "fault"
    assert "PROJ_LIB" in found["proj"]["text"]


def test_compiled_code_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.models.series, "fill_gaps", lambda series: np.zeros(series.shape))
    code, found = findings()
    assert (code, found["numba"]["state"]) == (2, "fault")


def test_a_look_that_fails_is_a_fault_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ImportError("libgdal.so.36: cannot open shared object file")

    monkeypatch.setattr("rasterio.open", broken)
    code, found = findings()
    assert (code, found["gdal"]["state"]) == (2, "fault")
    assert "libgdal.so.36" in found["gdal"]["text"]


def test_little_disk_and_missing_extras_are_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", 2**60)
    monkeypatch.setattr(doctor, "EXTRAS", {"a-package-that-is-not-there": "pip install it"})
    code, found = findings()
    assert code == 0
    assert found["disk"]["state"] == found["extras"]["state"] == "note"
    assert "pip install it" in found["extras"]["text"]


def test_services_are_reached_for_unless_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        real = socket.create_connection

        def redirected(address: tuple[str, int], timeout: float) -> socket.socket:
            if address[0] == "storage.googleapis.com":
                raise OSError("no route to host")
            return real(("127.0.0.1", port), timeout=timeout)

        monkeypatch.setattr(socket, "create_connection", redirected)
        found = [one for one in doctor.examine(Path()) if one.name == "network"]
    assert [one.state for one in found] == ["ok", "note"]
    assert "firewall" in found[1].text
