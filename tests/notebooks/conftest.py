"""A small demo that the notebooks share; each writes into folders of its own there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import cropmap
from examples.demo import write_field_data
from examples.simulated_scenes import Settings, simulate


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` writes, of 64 x 64 pixels and by the small model."""
    folder = tmp_path_factory.mktemp("notebooks") / "demo"
    scenes = folder / "scenes"
    catalog = simulate(scenes, Settings(size=64, acquisitions=60))
    write_field_data(folder)
    cropmap.predict(
        scenes / "area.geojson",
        2021,
        source=str(catalog),
        out=folder / "run",
        model="fast",
        workers=0,
        cell_size=64,
        progress=False,
    )
    return folder


@pytest.fixture(scope="session", autouse=True)
def _threads_that_wait_sleep() -> Iterator[None]:
    """Notebooks load torch in processes of their own, beside other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        yield
