"""A model of one half of a simulated place, judged in the other by the truth of the simulation."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import rasterio
from pyproj import Transformer

from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("geopandas")]

CLASSES = ("corn", "soybeans", "rice", "cotton", "other")

RESULT = """
import json

inside = visits.within(geopandas.read_file(images["aoi"]).union_all())
cropmap.collect(run, visits[~west & inside], work / "inside.npz", label_column="crop")
print("RESULT", json.dumps({
    "east": table.index[~west].tolist(),
    "inside": cropmap.evaluate(own, work / "inside.npz", block_size=0.001).accuracy.overall.value,
    "classes": [one.name for one in model.classes],
}))
"""


def visits_of(demo):
    """The table, with the map's and the truth's name at each place and the pixel it lies in."""
    table = pd.read_csv(demo / "field_visits.csv")
    with (
        rasterio.open(demo / "own_model/composites/map/crop_map.tif") as mapped,
        rasterio.open(demo / "scenes/fields.tif") as truth,
    ):
        x, y = Transformer.from_crs("EPSG:4326", mapped.crs, always_xy=True).transform(table.lon, table.lat)
        places = list(zip(x, y, strict=True))
        table["mapped"] = [int(value[0]) for value in mapped.sample(places)]
        table["true"] = [CLASSES[int(value[0]) - 1] for value in truth.sample(places)]
    table["pixel"] = [f"{int(a // 10)} {int(b // 10)}" for a, b in places]
    return table


def no_parcel_is_on_both_sides_and_visits_name_what_grows_there(demo, result):
    table = visits_of(demo)
    assert (table["crop"] == table["true"]).all()
    east = set(table.loc[result["east"], "parcel"])
    assert not east & set(table.drop(result["east"])["parcel"])
    assert 0.3 < len(result["east"]) / len(table) < 0.7


def the_figure_of_the_held_out_places_is_that_of_the_map_there(demo, result):
    east = visits_of(demo).loc[result["east"]].drop_duplicates("pixel")
    names = np.array(["outside", *result["classes"]])
    known = east[east["mapped"].between(1, len(result["classes"]))]
    wanted = np.where(known["crop"].isin(result["classes"]), known["crop"], "other")
    right = (names[known["mapped"]] == wanted).mean()
    assert right == pytest.approx(result["inside"], abs=0.03)
    west = visits_of(demo).drop(result["east"])
    trained = west[west["mapped"].between(1, len(result["classes"]))]
    assert (names[trained["mapped"]] == trained["crop"]).mean() > 0.8  # few parcels, but it learned these


def samples_are_looked_at_and_pictures_shown(notebook):
    said = printed(notebook)
    assert re.search(r"Samples +\d+", said)
    assert "$ cropmap samples info" in said
    assert len(shown(notebook, "image/png")) == 3  # visits, samples, map


def test_a_model_of_one_half_of_the_visits_is_judged_by_the_other(demo, monkeypatch):
    monkeypatch.setenv("CROPMAP_DEMO", str(demo))
    notebook = executed(NOTEBOOKS / "03_from_your_field_data.ipynb", RESULT)
    result = json.loads(printed(notebook).split("RESULT ")[1])
    no_parcel_is_on_both_sides_and_visits_name_what_grows_there(demo, result)
    the_figure_of_the_held_out_places_is_that_of_the_map_there(demo, result)
    samples_are_looked_at_and_pictures_shown(notebook)
