"""A place where all grows later: models against the truth of the simulation, pixel by pixel."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.windows import from_bounds

from examples.field_data import read_parcels
from examples.simulated_scenes import Settings, simulate
from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("geopandas")]

NAMES = {1: "corn", 2: "soybeans", 3: "rice", 4: "cotton", 5: "other"}

RESULT = """
import json
print("RESULT", json.dumps({
    "outside": advice.outside,
    "strange": [one.name for one in advice.strange],
    "kept": tuned.kept,
    "accepted": adapted.accepted,
    "found": {name: one.accuracy.overall.value for name, one in found.items()},
}))
places.to_file(country / "suggested.gpkg")
"""


@pytest.fixture
def country(tmp_path):
    folder = tmp_path / "scenes"
    simulate(folder, Settings(size=64, acquisitions=60, seed=5, days_late=45))
    return folder


def right(country, run):
    """Share of the field pixels of a map that the simulation says are right."""
    with (
        rasterio.open(country / run / "map/crop_map.tif") as mapped,
        rasterio.open(country / "fields.tif") as truth,
    ):
        codes = mapped.read(1)
        fields = truth.read(
            1, window=from_bounds(*mapped.bounds, truth.transform), boundless=True, fill_value=0
        )
    counted = (codes > 0) & (codes < 254) & (fields > 0)
    return (codes == fields)[counted].mean()


def the_model_is_told_to_be_far_from_home(result):
    assert result["outside"] > 0.2  # a twentieth on held-out places of its own
    assert {"corn", "soybeans", "rice"} <= set(result["strange"])


def labels_are_those_of_the_truth_and_those_who_judge_are_other_parcels(country):
    suggested = geopandas.read_file(country / "suggested.gpkg")
    with rasterio.open(country / "fields.tif") as file:
        places = suggested.to_crs(file.crs).geometry
        codes = [int(value[0]) for value in file.sample(zip(places.x, places.y, strict=True))]
    assert suggested["label"].tolist() == [NAMES.get(code, "other") for code in codes]
    judges = geopandas.read_file(country / "judges.places.gpkg").to_crs(places.crs)
    parcels = read_parcels(country / "fields.tif").set_index("parcel").geometry
    for parcel in judges["parcel"].unique():
        assert not places.within(parcels[parcel]).any()


def few_labels_make_the_map_better_where_all_grows_later(country, result):
    assert not result["kept"]
    assert right(country, "tuned") > right(country, "run") + 0.04
    found = result["found"]
    assert found["fast, tuned by 30 labels"] >= found["fast, as it is"]
    assert 0 < result["accepted"] < 1


def pictures_show_curves_and_both_maps(notebook):
    assert len(shown(notebook, "image/png")) == 3
    assert np.all([len(one) > 10_000 for one in shown(notebook, "image/png")])


def test_a_model_is_tried_tuned_and_adapted_where_all_grows_later(demo, country, monkeypatch):
    monkeypatch.setenv("CROPMAP_DEMO", str(demo))
    monkeypatch.setenv("CROPMAP_COUNTRY", str(country))
    notebook = executed(NOTEBOOKS / "06_a_new_country.ipynb", RESULT)
    result = json.loads(printed(notebook).split("RESULT ")[1])
    the_model_is_told_to_be_far_from_home(result)
    labels_are_those_of_the_truth_and_those_who_judge_are_other_parcels(country)
    few_labels_make_the_map_better_where_all_grows_later(country, result)
    pictures_show_curves_and_both_maps(notebook)
