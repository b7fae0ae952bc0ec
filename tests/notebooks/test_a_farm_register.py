"""Parcels beside a map: the list against a count of pixels, and the declarations known to be false."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from examples.field_data import PARCELS, read_parcels
from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("exactextract", "pyarrow")]

NAMES = np.array(["outside", "corn", "soybeans", "rice", "cotton", "other"])

RESULT = """
import json
print("RESULT", json.dumps({"listed": sorted(listed), "false": sorted(int(one) for one in false)}))
"""


def counted(demo):
    """Class of each parcel with most pixel centres in it, and their number."""
    parcels = geopandas.read_file(demo / PARCELS)
    with rasterio.open(demo / "run/map/crop_map.tif") as file:
        shapes = zip(parcels.geometry, parcels["parcel"], strict=True)
        number = rasterize(shapes, file.shape, transform=file.transform, dtype="int32")
        codes = file.read(1)
    known = (codes > 0) & (codes < 254)
    found = {}
    for parcel in parcels["parcel"]:
        of = np.bincount(codes[known & (number == parcel)], minlength=len(NAMES))
        found[parcel] = (NAMES[of.argmax()], int(of.sum()))
    return parcels, found


def parcels_have_the_class_with_most_of_their_pixels(demo):
    parcels, found = counted(demo)
    table = geopandas.read_parquet(demo / "run/fields/fields.parquet")
    assert table["id"].astype(int).tolist() == parcels["parcel"].tolist()
    large = [(one, row["class"]) for one, (_, row) in zip(found, table.iterrows(), strict=True)]
    same = [found[one][0] == name for one, name in large if found[one][1] >= 12]
    assert len(same) > 20
    assert np.mean(same) > 0.9  # but for parcels along whose border, 5 m wide, the map differs


def the_list_holds_parcels_that_the_map_calls_otherwise(demo, result):
    parcels, found = counted(demo)
    declared = parcels.set_index("parcel")["declared"]
    assert result["listed"]
    for parcel in result["listed"]:
        assert found[parcel][0] != declared[parcel]


def false_declarations_that_can_be_seen_are_on_the_list(demo, notebook, result):
    parcels, found = counted(demo)
    true = read_parcels(demo / "scenes/fields.tif").set_index("parcel")["crop"]
    declared = parcels.set_index("parcel")["declared"]
    assert result["false"] == declared.index[declared != true].tolist()
    seen = {one for one in result["false"] if found[one][0] == true[one] and found[one][1] >= 20}
    assert seen
    assert seen <= set(result["listed"])
    assert (demo / "run/fields/to_check.gpkg").is_file()
    assert len(shown(notebook, "image/png")) == 2


def test_parcels_whose_declaration_the_map_contradicts_are_listed(demo, monkeypatch):
    monkeypatch.setenv("CROPMAP_DEMO", str(demo))
    notebook = executed(NOTEBOOKS / "08_a_farm_register.ipynb", RESULT)
    result = json.loads(printed(notebook).split("RESULT ")[1])
    parcels_have_the_class_with_most_of_their_pixels(demo)
    the_list_holds_parcels_that_the_map_calls_otherwise(demo, result)
    false_declarations_that_can_be_seen_are_on_the_list(demo, notebook, result)
