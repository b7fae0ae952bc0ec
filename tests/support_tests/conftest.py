"""A server with a stand-in for the evaluator, and the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
from ee import _state

from tests.support.ee_emulator.grid import Grid
from tests.support.ee_emulator.server import Emulator

Start = Callable[..., Emulator]


def stub_evaluate(expression: dict[str, Any], archive: Any) -> Any:
    """Constants are themselves; everything else is the one image, which comes as the name of its function."""
    node = expression["values"][expression["result"]]
    if "constantValue" in node:
        return node["constantValue"]
    name = node["functionInvocationValue"]["functionName"]
    if name == "Number.divide":
        raise ZeroDivisionError("a mistake in the evaluator")
    return name


def stub_pixels(image: Any, grid: Grid) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Two bands: hundreds of metres east (int16), and metres north, masked in every second column."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    east, north = grid.transform @ (columns, rows)
    everywhere = np.ones(east.shape, dtype=bool)
    if image == "Image.toFloat":
        return [
            ("east", (east // 100).astype("int16"), everywhere),
            ("north", north.astype("float32"), everywhere),
        ]
    checked = np.broadcast_to(np.arange(grid.width) % 2 == 0, east.shape)
    if image == "Image.not":
        checked = ~everywhere
    return [
        ("east", (east // 100).astype("int16"), everywhere),
        ("north", (north % 1000).astype("int16"), checked),
    ]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a server, with the client initialised on it and set to try once."""
    servers: list[Emulator] = []

    def start_server(**options: Any) -> Emulator:
        defaults = {"archive": None, "evaluate": stub_evaluate, "image_pixels": stub_pixels}
        server = Emulator(**defaults | options)
        servers.append(server.__enter__())
        connect(server, tmp_path)
        return server

    monkeypatch.setattr(ee.deprecation, "_FetchDataCatalogStac", dict)
    monkeypatch.setattr(_state, "_state", _state.EEState())
    yield start_server
    for server in servers:
        server.close()
        assert server.errors == []


@pytest.fixture
def server(start: Start) -> Emulator:
    """A server with its defaults."""
    return start()


def connect(server: Emulator, folder: Path) -> None:
    credentials = ee.ServiceAccountCredentials(None, str(server.key_file(folder)))
    ee.Initialize(credentials, url=server.url, project=server.project)
    ee.data.setMaxRetries(0)
    server.log.clear()
