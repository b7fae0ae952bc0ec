"""Scenes, a model and a finished run, made once a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from examples.simulated_scenes import Settings, simulate
from gee_pipeline.earthengine.client.session import disconnect
from tests.support.tiny_place import Place, tiny_model

torch.set_num_threads(1)  # networks this small only wait for one another


@pytest.fixture(autouse=True)
def _coarse_quicklooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As large on paper, with a ninth of the dots to draw: no test of a command looks at them."""
    monkeypatch.setattr("inference.drawing.style.DPI", 50)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place") / "scenes"
    simulate(folder, Settings(size=64, acquisitions=14))
    tiny_model(folder / "model.safetensors")
    return Place(folder)


@pytest.fixture(scope="session")
def finished(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder to look at; who changes it takes a copy."""
    out = tmp_path_factory.mktemp("finished") / "run"
    result = place.predict(out)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home folder without credentials; the session that a test opened is forgotten."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE", "CLOUDSDK_CONFIG", "APPDATA"):
        monkeypatch.setenv(name, str(home))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # no search for the metadata server of Google's machines
    yield
    disconnect()
