"""A season that begins in the year before: the notebook's maps against the truth of both seasons."""

import json

import pytest
import rasterio
from rasterio.windows import from_bounds

from examples.simulated_scenes import Settings
from examples.two_seasons import make_place
from examples.winter import WINTER_CLASSES
from tests.support.notebooks import NOTEBOOKS, executed, needs, printed, shown

pytestmark = [pytest.mark.slow, needs("geopandas")]


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "place"
    make_place(folder, Settings(size=64, acquisitions=70))
    return folder


def both(place, run, season):
    """Codes of the field pixels that have a class, on the map and in truth."""
    with (
        rasterio.open(place / run / "map/crop_map.tif") as mapped,
        rasterio.open(place / f"fields_{season}.tif") as truth,
    ):
        codes = mapped.read(1)
        fields = truth.read(
            1, window=from_bounds(*mapped.bounds, truth.transform), boundless=True, fill_value=0
        )
    counted = (codes > 0) & (codes < 254) & (fields > 0)
    return codes[counted], fields[counted]


def the_winter_begins_in_the_year_before_and_the_summer_does_not(place, notebook):
    plans = [json.loads((place / run / "run.json").read_text()) for run in ("run", "summer")]
    assert [plan["season"]["start"] for plan in plans] == ["2020-10-03", "2021-01-01"]
    assert "options    --season winter" in printed(notebook)


def winter_crops_are_found_where_they_were_sown(place):
    mapped, truth = both(place, "run", "winter")
    none = WINTER_CLASSES["no winter crop"]
    assert (mapped == truth).mean() > max(0.8, (truth == none).mean())
    for name in ("winter wheat", "rapeseed"):
        code = WINTER_CLASSES[name]
        assert (mapped[truth == code] != none).mean() > 0.7, name


def the_summer_of_the_same_place_is_a_map_of_its_own(place, notebook):
    mapped, truth = both(place, "summer", "summer")
    assert (mapped == truth).mean() > 0.7
    assert len(shown(notebook, "image/png")) == 3  # samples, winter, summer


def test_winter_and_summer_of_a_place_are_two_maps(place, monkeypatch):
    monkeypatch.setenv("CROPMAP_WINTER", str(place))
    notebook = executed(NOTEBOOKS / "07_winter_crops.ipynb")
    the_winter_begins_in_the_year_before_and_the_summer_does_not(place, notebook)
    winter_crops_are_found_where_they_were_sown(place)
    the_summer_of_the_same_place_is_a_map_of_its_own(place, notebook)
