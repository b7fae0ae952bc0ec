"""The shipped model of three regions, and how it is made."""

from dataclasses import replace

import pytest
import shapely

from gee_pipeline.recipe import USUAL
from inference.models.checkpoint import load_checkpoint
from inference.models.model_card import describe, training_places
from inference.models.shipped import model_path
from training.fit.options import TrainingOptions
from training.shipped.default_checkpoint import CLASSES
from training.shipped.wide_checkpoint import FILES, make_wide

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(model_path("wide"))


def test_it_maps_what_the_default_maps(shipped):
    assert tuple(one.name for one in shipped.classes) == CLASSES
    assert shipped.recipe == USUAL
    assert shipped.config.preset == "small-32"
    assert model_path("wide").stat().st_size < 1_000_000


def test_it_names_its_sources_and_its_figures_by_place(shipped):
    assert "Open Government Licence - Canada" in shipped.provenance["data"]
    assert "Cropland Data Layer (public domain)" in shipped.provenance["data"]
    assert set(shipped.metrics["places"]) == set(FILES)
    counts = [one["samples"] for one in shipped.metrics["places"].values()]
    assert sum(counts) == shipped.metrics["validation_samples"]
    card = dict(describe(shipped))
    for name, one in shipped.metrics["places"].items():
        assert f"{one['accuracy']:.1%}" in card[f"  {name}"]


def test_it_does_not_claim_what_lies_between_its_places(shipped):
    places = training_places(shipped.provenance["footprint"])
    arkansas, california, kansas, texas = (
        shapely.Point(*place) for place in ((-90.8, 35.3), (-121.7, 39.2), (-98.0, 38.0), (-99.0, 32.0))
    )
    assert places.covers(arkansas)
    assert places.covers(california)
    assert not places.covers(kansas)
    assert not places.covers(texas)


def test_what_ships_beside_a_model_is_there(shipped):
    assert shipped.applicability is not None
    assert shipped.prediction_sets is not None
    assert shipped.curves is not None


def test_each_place_is_judged_on_its_held_out_blocks(made_samples):
    samples = replace(made_samples(96), class_names=("corn", "soybeans", "rice"))
    east = samples.lon > -90
    places = {"east": samples.take(east), "west": samples.take(~east)}
    options = TrainingOptions(preset="small-8", epochs=2, batch_size=16, device="cpu")
    found = make_wide(samples, places, options).metrics
    assert sum(one["samples"] for one in found["places"].values()) == found["validation_samples"]
    right = sum(one["samples"] * one["accuracy"] for one in found["places"].values())
    assert right / found["validation_samples"] == pytest.approx(found["accuracy"])
