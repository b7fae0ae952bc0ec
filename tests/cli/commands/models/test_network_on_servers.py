"""`cropmap predict --on servers`, `deploy`, `compare`: a network's map is, pixel by pixel, that of loops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

import inference.batch.export
import inference.deployment.network_deployment
import inference.product.quicklook
import inference.workflow.tasks
from gee_pipeline.earthengine.client.settings import URL_VARIABLE
from inference.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inference.models.networks.cropnet import CropNetConfig
from inference.models.networks.specification import NetworkConfig, build_network
from inference.models.shipped import model_path
from tests.support.ee_emulator.server import Emulator
from tests.support.forest_map_place import (
    BANDS,
    BINS,
    PROJECT,
    RECIPE,
    SHAPE,
    ForestPlace,
    cleared,
    deployed,
    mapped,
    mapped_layer,
    run_cropmap,
)
from tests.support.made_networks import made_network
from tests.support.network_oracle import logits_of, probabilities

pytestmark = pytest.mark.slow

WEIGHTS = f"projects/{PROJECT}/assets/weights"
BUCKET = "gcs://maps/county"
FEW = "--unverified"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, ForestPlace]]:
    with deployed(tmp_path_factory.mktemp("network")) as found:
        save_checkpoint(found[1].folder / "small.safetensors", made_network(RECIPE, (4, 3), (2, 1), seed=1))
        yield found


@pytest.fixture
def server(started: tuple[Emulator, ForestPlace], monkeypatch: pytest.MonkeyPatch) -> Emulator:
    emulator = cleared(started[0])
    for variable in (URL_VARIABLE, "STORAGE_EMULATOR_HOST", "CROPMAP_DRIVE_URL"):
        monkeypatch.setenv(variable, emulator.url)
    quick = partial(inference.workflow.tasks.export_by_tasks, poll_seconds=0.01)
    monkeypatch.setattr(inference.workflow.tasks, "export_by_tasks", quick)
    monkeypatch.setattr(inference.product.quicklook, "draw_quicklook", lambda path, *_, **__: path.touch())
    at_once = partial(inference.deployment.network_deployment.deploy_network, poll_seconds=0.01)
    monkeypatch.setattr(inference.deployment.network_deployment, "deploy_network", at_once)
    return emulator


@pytest.fixture
def place(started: tuple[Emulator, ForestPlace], server: Emulator, tmp_path: Path) -> ForestPlace:
    """The place, to spoil."""
    shutil.copytree(started[1].folder, tmp_path / "place")
    return replace(started[1], folder=tmp_path / "place")


def small(place: ForestPlace) -> Path:
    return place.folder / "small.safetensors"


def words(place: ForestPlace, out: Path, **options: Any) -> list[Any]:
    return place.words(out, **{"forest": None, "model": small(place), **options})


def predict(place: ForestPlace, out: Path, *flags: Any, **options: Any) -> Result:
    return run_cropmap("predict", "--on", "servers", *words(place, out, **options), *flags)


def deploy(place: ForestPlace, *flags: Any) -> Result:
    key = ("--project", PROJECT, "--service-account", place.key)
    return run_cropmap("deploy", small(place), "--asset", WEIGHTS, *key, *flags)


def succeeds(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


def refused(result: Result, *said: str) -> None:
    assert result.exit_code == 2, result.output
    for text in said:
        assert text in result.stderr


def expected(place: ForestPlace, checkpoint: Checkpoint) -> NDArray[np.uint8]:
    """Class, confidence and clear observations of the whole grid, from loops over pixels and layers."""
    out = place.truth.expected()
    for y, x in np.ndindex(SHAPE):
        if out[0, y, x] in (1, 2, 3):
            series = np.array(
                [
                    [-9999 if bins[band] is None else bins[band] for bins in place.truth.scenes.series(y, x)]
                    for band in range(len(BANDS))
                ],
                np.int16,
            )
            shares = probabilities(checkpoint, logits_of(checkpoint, series))
            out[0, y, x] = 1 + int(np.argmax(shares))
            out[1, y, x] = int(np.floor(100 * max(shares) + 0.5))
    return out


@pytest.fixture(scope="module")
def truth(started: tuple[Emulator, ForestPlace]) -> NDArray[np.uint8]:
    return expected(started[1], load_checkpoint(small(started[1])))


# --- at once


def test_the_map_of_the_servers_is_that_of_loops_over_pixels_and_layers(
    place: ForestPlace, server: Emulator, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = succeeds(predict(place, run))
    assert {1, 2, 3, 255} <= set(np.unique(truth[0]))
    np.testing.assert_array_equal(mapped(run), truth)
    assert not (run / "composites").exists()
    assert "are the same on Earth Engine and here" in result.stderr
    kept = json.loads((run / "run.json").read_text())
    assert kept["model"]["kind"] == "served-network"
    assert kept["source"]["network"] == {"weights": "float32"}
    report = json.loads((run / "map" / "report.json").read_text())
    assert any("are the same on Earth Engine and here" in text for text in report["notices"])
    assert report["command"] == f"cropmap predict --config {run / 'run.toml'}"
    again = succeeds(run_cropmap("predict", "--config", run / "run.toml"))
    assert "Continuing the run" in again.stderr
    checked = run_cropmap("verify", run)
    assert checked.exit_code == 0, checked.output
    assert "cropmap compare" in checked.output


def test_the_same_network_maps_the_same_here(
    place: ForestPlace, server: Emulator, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeds(run_cropmap("predict", *words(place, run, workers=0)))
    np.testing.assert_array_equal(mapped(run), truth)
    refused(predict(place, run), "holds a run of something else")


def test_batch_tasks_write_the_same_map_in_squares_that_the_arrays_allow(
    place: ForestPlace,
    server: Emulator,
    truth: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("gee_pipeline.earthengine.network.served_network.ARRAY_BUDGET", 40_000)
    asked, written = set[int](), inference.batch.export.export_request

    def noted(*given: Any, tile: int, **options: Any) -> dict[str, Any]:
        asked.add(tile)
        return written(*given, tile=tile, **options)

    monkeypatch.setattr(inference.batch.export, "export_request", noted)
    succeeds(predict(place, run, FEW, to=BUCKET))
    assert asked == {32}  # the smallest; composites are exported in squares of 256
    succeeds(run_cropmap("predict", "--config", run / "run.toml", "--collect"))
    np.testing.assert_array_equal(mapped(run), truth)


def test_layers_are_those_that_this_machine_makes(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    layers = "second,margin,entropy,probabilities"
    succeeds(predict(place, tmp_path / "there", FEW, layers=layers))
    succeeds(run_cropmap("predict", *words(place, tmp_path / "here", workers=0, layers=layers)))
    for name in layers.split(","):
        there, here = (mapped_layer(tmp_path / run, name) for run in ("there", "here"))
        np.testing.assert_array_equal(there, here)


# --- weights in an asset


def test_deployed_weights_make_the_same_map(
    place: ForestPlace, server: Emulator, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    told = succeeds(deploy(place))
    assert "4 made series" in told.stdout
    assert (place.folder / "small.deployment.json").is_file()
    succeeds(predict(place, tmp_path / "run", FEW))
    np.testing.assert_array_equal(mapped(tmp_path / "run"), truth)
    asked = [r for r in server.log.of("pixels") if r.bands == ("class", "confidence", "clear")]
    assert asked
    found = json.loads(succeeds(deploy(place, "--json")).stdout)  # all is there: only compared
    assert found["deployment"]["assets"] == [WEIGHTS]
    assert found["probe"]["largest_difference"] < 1e-4


def test_an_asset_of_another_model_is_refused_before_anything_is_mapped(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    succeeds(deploy(place, "--overwrite"))
    mine = (place.folder / "small.deployment.json").read_bytes()
    ours = small(place).read_bytes()
    save_checkpoint(small(place), made_network(RECIPE, (4, 3), (2, 1), seed=9))
    refused(predict(place, tmp_path / "run", FEW), "is of the model", "cropmap deploy --overwrite")
    succeeds(deploy(place, "--overwrite"))  # the table now holds the other one
    small(place).write_bytes(ours)
    (place.folder / "small.deployment.json").write_bytes(mine)
    refused(predict(place, tmp_path / "run", FEW), WEIGHTS, load_checkpoint(small(place)).digest)
    assert not (tmp_path / "run").exists()


def test_the_way_out_of_a_damaged_deployment_leads_out(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    """The asset is still there, so that another deployment replaces it."""
    succeeds(deploy(place, "--overwrite"))
    path = place.folder / "small.deployment.json"
    path.write_bytes(path.read_bytes()[:-20])
    refused(predict(place, tmp_path / "run", FEW), "is damaged", "run 'cropmap deploy --overwrite'")
    path.unlink()
    succeeds(deploy(place, "--overwrite"))


def test_a_lost_asset_is_named(place: ForestPlace, server: Emulator, tmp_path: Path) -> None:
    succeeds(deploy(place, "--overwrite"))
    path = place.folder / "small.deployment.json"
    from gee_pipeline.files import write_sealed
    from inference.deployment.network_deployment import NetworkDeployment

    gone = NetworkDeployment(load_checkpoint(small(place)).digest, (f"{WEIGHTS}_gone",))
    write_sealed(path, gone.to_dict())
    refused(predict(place, tmp_path / "run", FEW), f"{WEIGHTS}_gone", "cropmap deploy")


# --- compared


def test_cells_are_compared_and_the_map_stands_on_it(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    usual = [w for w in words(place, tmp_path / "run")]
    at = usual.index("--out")
    result = succeeds(run_cropmap("compare", *usual[:at], *usual[at + 2 :]))
    assert "are the same on Earth Engine and here" in result.stdout
    told = succeeds(predict(place, tmp_path / "run"))
    assert "are labelled on Earth Engine and here" not in told.stderr  # it stands on the former one


def test_servers_that_compute_otherwise_are_found_before_anything_is_mapped(
    place: ForestPlace, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A convolution whose margin is not zero: a few logits move, and with them classes."""
    import gee_pipeline.earthengine.network.network_graph as graph

    monkeypatch.setattr(graph, "_zeros", lambda *shape: graph._ones(*shape))
    result = predict(place, tmp_path / "run")
    refused(result, "differ between Earth Engine and here", "class", "omit --on servers")
    assert not (tmp_path / "run").exists()


# --- refused


def test_a_network_that_is_too_large_is_refused_with_the_way_out(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    before = len(list(server.log))
    result = predict(place, tmp_path / "run", model="accurate")
    refused(result, "CropNet compact", "12,000,000 multiplications", "cropmap distill", "--model fast")
    assert len(list(server.log)) == before
    assert not (tmp_path / "run").exists()


def test_layers_that_the_graph_does_not_know_are_refused_by_name(
    place: ForestPlace, server: Emulator, tmp_path: Path
) -> None:
    config = NetworkConfig("transformer", len(BANDS), len(BINS), 3)
    bare = load_checkpoint(small(place))
    network = build_network(config, RECIPE, bare.normalisation)
    save_checkpoint(small(place), replace(bare, config=config, weights=dict(network.state_dict())))
    refused(predict(place, tmp_path / "run"), "Transformer", "cropmap distill")
    flat = CropNetConfig("made", (3,), (1,), (0.0,), len(BANDS), 3, dimensions=1)
    network = build_network(flat, RECIPE, bare.normalisation)
    save_checkpoint(small(place), replace(bare, config=flat, weights=dict(network.state_dict())))
    refused(predict(place, tmp_path / "run"), "CropNet-1D", "cropmap distill")


def test_a_forest_is_sent_to_its_own_command(place: ForestPlace, server: Emulator, tmp_path: Path) -> None:
    refused(predict(place, tmp_path / "run", model=place.model), "cropmap forest predict")


@pytest.mark.parametrize(
    "flags",
    [
        ("--source", "https://example.org/stac"),
        ("--workers", "2"),
        ("--device", "cpu"),
        ("--scheduler", "tcp://h:1"),
    ],
)
def test_options_of_this_machine_are_refused_beside_the_servers(
    place: ForestPlace, server: Emulator, tmp_path: Path, flags: tuple[str, str]
) -> None:
    refused(predict(place, tmp_path / "run", *flags), flags[0], "not of --on servers")


@pytest.mark.parametrize("flags", [("--to", BUCKET), ("--unverified",), ("--collect",), ("--no-wait",)])
def test_options_of_the_servers_are_refused_where_a_map_is_made_here(
    place: ForestPlace, server: Emulator, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    refused(run_cropmap("predict", *words(place, tmp_path / "run"), *flags), flags[0], "of --on servers")


def test_deploy_shows_sizes_without_an_account_and_wants_an_asset(place: ForestPlace) -> None:
    found = json.loads(succeeds(run_cropmap("deploy", "fast", "--dry-run", "--json")).stdout)
    assert (found["weights"], found["multiplications"]) == counted(load_checkpoint(model_path("fast")))
    refused(run_cropmap("deploy", small(place)), "--asset")
    refused(run_cropmap("deploy", "accurate", "--dry-run"), "cropmap distill")


def counted(checkpoint: Checkpoint) -> tuple[int, int]:
    """Weights, and products a pixel by the layers' shapes: 5 x 23 places after the first stride."""
    shapes = [tuple(t.shape) for t in checkpoint.weights.values() if t.dim() == 4]
    classes, channels = checkpoint.weights["head.weight"].shape
    layers = sum(out * (9 * inner + 1) for out, inner, *_ in shapes)
    return layers + classes * (channels + 1), layers * 115 + classes * (channels + 1)
