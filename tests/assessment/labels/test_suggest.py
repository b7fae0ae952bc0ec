"""Places to visit on the map of a made run."""

import math
from itertools import combinations

import geopandas
import numpy as np
import pytest

from assessment.labels.collect import collect
from assessment.labels.suggest import SuggestOptions, middles, suggest
from assessment.labels.visit_file import require_none_there, write_places
from gee_pipeline.errors import InputError
from inference.run.plan import load_plan
from tests.support.pseudo_place import NAMES, copied, made_run, overwrite, row_col, series_at, whole
from training.samples.samples import read_samples

pytestmark = pytest.mark.slow

OPTIONS = SuggestOptions(count=12, spacing=50, neighbours=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("suggest") / "run")


@pytest.fixture(scope="module")
def found(folder):
    return suggest(folder, OPTIONS)


def test_places_are_pixels_of_the_map_inside_fields_and_apart(folder, found):
    codes, confidence, clear = whole(folder)[:3]
    row, col = row_col(found.lon, found.lat)
    assert 1 <= len(row) <= 12
    assert [NAMES[code - 1] for code in codes[row, col]] == found.classes
    assert (found.pixels["confidence"] == confidence[row, col]).all()
    assert (found.pixels["clear"] == clear[row, col]).all()
    for y, x in zip(row, col, strict=True):
        around = codes[y - 1 : y + 2, x - 1 : x + 2]
        assert (around == codes[y, x]).sum() - 1 >= 5
    pairs = combinations(zip(row.tolist(), col.tolist(), strict=True), 2)
    assert min(math.dist(a, b) for a, b in pairs) >= 5


def test_doubtful_pixels_are_preferred(folder, found):
    """Drawn by doubt: less sure than a pixel at random that could have been chosen."""
    codes, confidence = whole(folder)[:2]
    mapped = (codes >= 1) & (codes <= len(NAMES))
    chosen = np.mean(
        [suggest(folder, SuggestOptions(12, 50, 5, s)).pixels["confidence"].mean() for s in (1, 2, 3)]
    )
    assert chosen < confidence[mapped].mean()


def test_the_same_seed_gives_the_same_places(folder, found):
    again = suggest(folder, OPTIONS)
    assert (again.pixels == found.pixels).all()
    other = suggest(folder, SuggestOptions(12, 50, 5, seed=9))
    assert not np.array_equal(other.pixels, found.pixels)


def test_of_each_kind_the_middle_is_taken_and_the_most_doubt_comes_first():
    """By hand: pixels 0 to 2 are of kind 0, pixels 3 and 4 of kind 1."""
    distances = np.array([[3.0, 9], [1, 9], [2, 9], [9, 2], [9, 1.0]])
    doubt = np.array([0.1, 0.1, 0.1, 0.5, 0.2])
    places, shares = middles(distances, doubt)
    assert places.tolist() == [4, 1]
    np.testing.assert_allclose(shares, [0.7, 0.3])


def test_filled_in_places_become_samples_of_the_run(folder, found, tmp_path):
    path = tmp_path / "visit.gpkg"
    write_places(path, found)
    with pytest.raises(InputError, match="would be lost"):
        require_none_there(path)
    frame = geopandas.read_file(path)
    assert frame.crs == "EPSG:4326"
    assert list(frame["id"]) == list(range(1, len(frame) + 1))
    assert set(frame["label"]) <= {"", None}
    assert frame["doubt"].is_monotonic_decreasing
    frame["label"] = "rice"
    frame.loc[0, "label"] = ""
    far = frame.iloc[[1]].set_geometry(geopandas.points_from_xy([10.0], [50.0]), crs="EPSG:4326")
    filled = geopandas.GeoDataFrame(geopandas.pd.concat([frame, far], ignore_index=True), crs=frame.crs)
    filled.loc[2, "label"] = "corn"
    filled.to_file(tmp_path / "filled.gpkg")
    done = collect(folder, tmp_path / "filled.gpkg", tmp_path / "here.npz")
    assert done.classes == {"corn": 1, "rice": len(frame) - 2}
    assert (done.empty, done.outside) == (1, 1)
    samples = read_samples([tmp_path / "here.npz"])
    row, col = row_col(samples.lon, samples.lat)
    assert (row.tolist(), col.tolist()) == tuple(one[1:].tolist() for one in row_col(found.lon, found.lat))
    window = load_plan(folder).bins
    for place in range(len(samples)):
        own = series_at(int(row[place]), int(col[place]), window)
        assert (samples.series[place][:, window.start : window.stop] == own).all()
    assert samples.recipe.digest == load_plan(folder).recipe.digest
    assert samples.season == load_plan(folder).season


def test_labels_that_lie_elsewhere_or_have_no_column_are_refused(folder, found, tmp_path):
    path = tmp_path / "visit.gpkg"
    write_places(path, found)
    with pytest.raises(InputError, match="have none in the column label"):
        collect(folder, path, tmp_path / "here.npz")
    with pytest.raises(InputError, match="no column crop; there are id, label"):
        collect(folder, path, tmp_path / "here.npz", "crop")
    assert not (tmp_path / "here.npz").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [((0, 250, 8), "1 to 1,000 places"), ((5, 5, 8), "10 m apart"), ((5, 250, 9), "0 to 8 neighbours")],
)
def test_odd_wishes_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        SuggestOptions(*given)


def test_a_map_of_single_pixels_says_what_to_do(folder, tmp_path):
    spoilt = copied(folder, tmp_path / "run")
    layers = whole(spoilt)
    y, x = np.indices(layers[0].shape)
    layers[0] = np.where((layers[0] >= 1) & (layers[0] <= 3), 1 + (y + 2 * x) % 3, layers[0])
    overwrite(spoilt, layers)
    with pytest.raises(InputError, match="Ask for fewer with --neighbours"):
        suggest(spoilt, OPTIONS)


def test_where_few_lie_apart_all_are_asked_for(folder):
    (one,) = suggest(folder, SuggestOptions(count=3, spacing=1e6, neighbours=5)).doubt
    assert one == 1
