"""The scripts with a network are run, by Python and by node, and compared with cropmap's own graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gee_pipeline.earthengine.client.assets import table_request
from gee_pipeline.earthengine.composites.tasks import SMALLEST_TILE, TILE, square_of
from gee_pipeline.earthengine.network.network_weights import NetworkWeights
from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.earthengine.network.weight_tables import weight_rows, weight_tables
from gee_pipeline.errors import InputError
from gee_pipeline.layers import ON_REQUEST
from gee_pipeline.recipe import Recipe
from inference.deployment.network_deployment import NetworkDeployment
from inference.deployment.network_on_servers import NetworkOnServers
from inference.models.told.applicability import Applicability
from inference.models.told.prediction_sets import PredictionSets
from inference.scripts import map_script
from inference.scripts.map_script import ScriptRequest, notices, write_script
from tests.support.ee_asking import offline_client
from tests.support.ee_emulator.assets import Assets
from tests.support.ee_emulator.values import EmulatorError
from tests.support.forest_scenes import MEDIANS, SEASON, area, grid
from tests.support.made_networks import made_network
from tests.support.request_shape import NESTING_LIMIT, nesting
from tests.support.running_scripts import (
    archive_of,
    assert_same,
    assert_tidy,
    drawn,
    expected_map,
    javascript_asks,
    run_python,
    served,
)

pytestmark = pytest.mark.slow

RECIPE = replace(MEDIANS.with_window(121, 145), min_clear_bins=2)
"""Five bins: an odd number, of which a stride of two leaves three."""

SEED = 28
"""Of weights that answer each class somewhere in every variant."""

ALL = tuple(layer.name for layer in ON_REQUEST)
ASSET = "projects/crop-maps/assets/network"


def request_of(recipe: Recipe = RECIPE, strides: tuple[int, ...] = (2, 1), **changes: Any) -> ScriptRequest:
    told = {
        "applicability": Applicability(
            means=((1.0, -0.5, -0.5), (-0.6, 1.2, -0.6), (-0.4, -0.4, 0.8)),
            precision=((0.7, 0.1, -0.1), (0.1, 0.9, 0.0), (-0.1, 0.0, 0.5)),
            limit=1.5,
            samples=9,
        ),
        "prediction_sets": PredictionSets(0.9, (0.9, 0.7, 0.55), (3, 3, 3), "made"),
    }
    network = made_network(recipe, (3,) * len(strides), strides, seed=SEED, temperature=0.1, **told)
    return ScriptRequest(NetworkOnServers(network, None), grid(), area(), SEASON, "north_2021", **changes)


VARIANTS = {
    "plain": lambda: request_of(),
    "all layers, cropland": lambda: request_of(layers=ALL, cropland="worldcover"),
    "applicability alone": lambda: request_of(layers=("applicability",)),
    "members alone": lambda: request_of(layers=("members",)),
    "one bin": lambda: request_of(replace(MEDIANS.with_window(121, 125), min_clear_bins=1), (1,)),
    "two strides": lambda: request_of(replace(RECIPE, min_clear_bins=0), (2, 2)),
    "stride of three": lambda: request_of(strides=(3,)),
}
"""What a script can look like."""


def deployed(request: ScriptRequest, digest: str | None = None) -> tuple[ScriptRequest, Assets]:
    """The same network with its weights in two tables, put there as a deployment does."""
    both, assets = request.model, Assets()
    assert isinstance(both, NetworkOnServers)
    rows = weight_rows(both.served.weights, digest or both.digest)
    tables = list(weight_tables(rows, limit=5_000))
    names = tuple(f"{ASSET}_{number}" for number in range(1, len(tables) + 1))
    for name, table in zip(names, tables, strict=True):
        assets.put(name, served(table_request(table, name, "n", overwrite=True)))
    assert len(names) > 1
    there = NetworkDeployment(both.digest, names)
    return replace(request, model=replace(both, deployed=there)), assets


@pytest.fixture(scope="module", autouse=True)
def client():
    with offline_client():
        yield


@pytest.mark.parametrize("name", VARIANTS)
def test_the_python_script_maps_what_cropmap_maps(name):
    request = VARIANTS[name]()
    archive, script, geobox = archive_of(request), run_python(request), grid().geobox
    (tile,) = script.TILES
    expected = expected_map(request, archive, geobox)
    assert_same(drawn(script.map_of(tile), archive, geobox), expected)
    assert {0, 1, 2, 3} < set(np.unique(expected["class"]))
    for band in script.VALUE_BANDS:
        assert len(np.unique(expected[band])) > 2, band


def test_weights_in_tables_answer_like_those_in_the_script():
    request, assets = deployed(request_of())
    archive, script, geobox = archive_of(request), run_python(request), grid().geobox
    found = drawn(script.map_of(script.TILES[0]), archive, geobox, assets)
    assert_same(found, expected_map(request_of(), archive, geobox))
    assert not hasattr(script, "WEIGHTS")


def test_tables_with_the_weights_of_another_model_give_no_map():
    request, assets = deployed(request_of(), digest="0" * 16)
    script = run_python(request)
    with pytest.raises(EmulatorError):
        drawn(script.map_of(script.TILES[0]), archive_of(request), grid().geobox, assets)


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What two scripts ask for: all that a script can have, and the least with weights in tables."""
    requests = {"all": VARIANTS["all layers, cropland"](), "tables": deployed(request_of())[0]}
    texts = [write_script(request, "javascript") for request in requests.values()]
    return dict(zip(requests, javascript_asks(texts, tmp_path_factory.mktemp("js")), strict=True))


def test_the_script_of_the_code_editor_maps_what_cropmap_maps(asked):
    request = VARIANTS["all layers, cropland"]()
    archive, geobox = archive_of(request), grid().geobox
    (export,) = asked["all"]["exports"]
    assert_same(drawn(export["expression"], archive, geobox), expected_map(request, archive, geobox))


def test_the_script_of_the_code_editor_reads_tables(asked):
    request, assets = deployed(request_of())
    archive, geobox = archive_of(request), grid().geobox
    (export,) = asked["tables"]["exports"]
    found = drawn(export["expression"], archive, geobox, assets)
    assert_same(found, expected_map(request_of(), archive, geobox))


def test_a_task_nests_its_values_less_deeply_than_earth_engine_takes(asked):
    for found in asked.values():
        assert nesting(found["exports"][0]["expression"]) < NESTING_LIMIT - 30


def test_tasks_compute_squares_that_fit_the_memory(asked):
    weights = request_of().model.served.weights
    assert asked["all"]["exports"][0]["shardSize"] == TILE  # arrays of 28 x 15 numbers
    assert square_of(_large(weights, 120).most_pixels) == 2**6  # 1.15 GB / 8 / 16,200: 8,873 pixels
    assert square_of(_large(weights, 90_000).most_pixels) == SMALLEST_TILE


def _large(weights: NetworkWeights, channels: int) -> ServedNetwork:
    """A network of one convolution that takes so many channels, on 3 rows and 4 columns with an empty one."""
    (first, *_) = weights.convolutions
    wide = replace(first, matrix=((0.0,) * (9 * channels),), stride=1)
    return ServedNetwork(
        replace(weights, factor=(1.0,) * 3, offset=(0.0,) * 3, bins=4, convolutions=(wide,)), "0"
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_scripts_have_only_what_their_network_needs(name):
    assert_tidy(VARIANTS[name]())
    assert "forest" not in write_script(VARIANTS[name](), "javascript").lower()


def test_scripts_with_tables_have_only_what_they_need():
    assert_tidy(deployed(request_of())[0])


def test_a_script_that_is_too_long_for_the_code_editor_names_the_way_out(monkeypatch):
    request = request_of()
    text = write_script(request, "javascript")
    assert notices(request, "javascript", text) == []
    monkeypatch.setattr(map_script, "LARGE", len(text) - 1)
    assert "cropmap deploy MODEL --asset" in notices(request, "javascript", text)[0]


def test_calendar_months_are_refused_with_the_way_out():
    request = request_of(replace(RECIPE, bin_days="month"))
    with pytest.raises(InputError, match="Train the network with --bin-days 30"):
        write_script(request, "python")


def test_radar_is_refused_with_the_command_that_takes_it():
    request = request_of(Recipe.of(bands=("B2", "VV"), window=(121, 145)))
    with pytest.raises(InputError, match="on Sentinel-2 alone, got sentinel-2, sentinel-1") as refused:
        write_script(request, "python")
    assert "'cropmap predict --on servers'" in str(refused.value)
