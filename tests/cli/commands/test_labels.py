"""`cropmap labels`, as it is called."""

import json

import geopandas
import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import cropmap
from tests.support.pseudo_place import copied, made_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("labels") / "run")


def invoke(*arguments):
    return CliRunner().invoke(cropmap, ["labels", *map(str, arguments)], catch_exceptions=False)


WISH = ("-n", 8, "--spacing", 50, "--neighbours", 5)


def test_from_places_to_samples(run, tmp_path):
    run = copied(run, tmp_path / "run")
    result = invoke("suggest", run, *WISH)
    assert result.exit_code == 0, result.output
    path = run / "places_to_visit.gpkg"
    assert f"Places to visit: {path}, " in result.stdout
    assert "No random sample: not for accuracy" in result.stdout
    again = invoke("suggest", run, *WISH)
    assert again.exit_code == 2
    assert "filled in would be lost" in again.stderr
    frame = geopandas.read_file(path)
    frame["label"] = np.where(np.arange(len(frame)) % 2, "corn", "rice")
    frame.loc[0, "label"] = ""
    frame.to_file(tmp_path / "filled.gpkg")
    result = invoke("collect", run, tmp_path / "filled.gpkg", "--out", tmp_path / "here.npz")
    assert result.exit_code == 0, result.output
    assert f"Samples: {tmp_path / 'here.npz'}, {len(frame) - 1}: " in result.stdout
    assert "1 places without a label, 0 on no composite" in result.stderr
    facts = json.loads(
        invoke("collect", run, tmp_path / "filled.gpkg", "--out", tmp_path / "more.npz", "--json").stdout
    )
    assert sum(facts["classes"].values()) == len(frame) - 1
    assert facts["without_label"] == 1


@pytest.mark.parametrize(("separator", "comma"), [(",", "."), (";", ",")])
def test_a_table_of_visits_gives_the_samples_of_the_same_points(run, tmp_path, separator, comma):
    run = copied(run, tmp_path / "run")
    invoke("suggest", run, *WISH)
    frame = geopandas.read_file(run / "places_to_visit.gpkg").to_crs("EPSG:4326")
    frame["label"] = np.where(np.arange(len(frame)) % 2, "corn", "rice")
    frame.to_file(tmp_path / "visits.gpkg")
    table = frame.drop(columns="geometry").assign(Longitude=frame.geometry.x, lat=frame.geometry.y)
    table.to_csv(tmp_path / "visits.csv", sep=separator, decimal=comma, index=False)
    for name in ("visits.gpkg", "visits.csv"):
        result = invoke("collect", run, tmp_path / name, "--out", tmp_path / f"{name}.npz")
        assert result.exit_code == 0, result.output
    by_points, by_table = (np.load(tmp_path / f"visits.{kind}.npz") for kind in ("gpkg", "csv"))
    for key in ("fea", "lbl", "lon", "lat", "observed"):
        np.testing.assert_array_equal(by_table[key], by_points[key])


def test_with_a_buffer_the_place_of_a_parcel_lies_inside_and_narrow_parcels_are_left_out(run, tmp_path):
    run = copied(run, tmp_path / "run")
    invoke("suggest", run, *WISH)
    points = geopandas.read_file(run / "places_to_visit.gpkg").head(3)
    metres = points.to_crs(points.estimate_utm_crs())
    sides = (90, 30, 10)  # a place 20 m from the edge has the first alone
    parcels = metres.set_geometry(
        [p.buffer(side / 2, cap_style="square") for p, side in zip(metres.geometry, sides, strict=True)]
    )
    parcels.assign(label="corn").to_file(tmp_path / "parcels.gpkg")
    out = tmp_path / "here.npz"
    result = invoke("collect", run, tmp_path / "parcels.gpkg", "--out", out, "--buffer", 20)
    assert result.exit_code == 0, result.output
    assert "2 too narrow for --buffer 20" in result.stderr
    found = np.load(out)
    place = geopandas.GeoSeries.from_xy(found["lon"], found["lat"], crs="EPSG:4326").to_crs(metres.crs)[0]
    assert len(found["lbl"]) == 1
    assert parcels.geometry[0].exterior.distance(place) > 20 - 8  # the centre of the pixel of that place
    none = invoke("collect", run, tmp_path / "parcels.gpkg", "--out", tmp_path / "no.npz", "--buffer", 200)
    assert none.exit_code == 2
    assert "3 have no place 200 m from an edge" in none.stderr
    odd = invoke("collect", run, tmp_path / "parcels.gpkg", "--out", tmp_path / "no.npz", "--buffer", -1)
    assert odd.exit_code == 2
    assert "A buffer is 0 metres or more, got -1" in odd.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lon,label\n1,corn\n", "has no column lat"),
        ("lon,lat,label\n-90.8,35.1,corn\neast,35.1,rice\n-90.8,,rice\n", "row 2 (east)"),
        ("lon,lat,crop\n-90.8,35.1,corn\n", "--label-column"),
        ("lon,lat,label\n", "has no rows"),
        ("lon,lat,label\n10,35.1,corn\n", "lie elsewhere"),
        ("lon,lat,label\n35.1,-90.0,corn\n", "longitude and latitude are exchanged"),
        ("lon,lat,label\n698000,3906000,corn\n", "lon lies beyond 180 degrees at row 1 (698000)"),
        ("lon,lat,label\nnan,35.1,corn\n", "lon lies beyond 180 degrees at row 1 (nan)"),
        ("lon,lat,label\n-90,81,35,1,corn\n", "Row 1 of"),
        ("\n\nlon,lat,label\n-90.8,35.1,corn\neast,35.1,rice\n", "row 2 (east)"),
        ("PK\3\4 table", "is no text, but another kind of file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(run, tmp_path, text, said):
    path = tmp_path / "visits.csv"
    path.write_text(text)
    result = invoke("collect", run, path, "--out", tmp_path / "here.npz")
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "here.npz").exists()


def test_only_collected_labels_are_replaced(run, tmp_path):
    run = copied(run, tmp_path / "run")
    invoke("suggest", run, *WISH)
    frame = geopandas.read_file(run / "places_to_visit.gpkg").assign(label="corn")
    frame.to_file(tmp_path / "filled.gpkg")
    out = tmp_path / "here.npz"
    out.write_bytes(b"mine")
    refused = invoke("collect", run, tmp_path / "filled.gpkg", "--out", out)
    assert refused.exit_code == 2
    assert "holds no collected labels" in refused.stderr
    assert out.read_bytes() == b"mine"
    out.unlink()
    for _ in range(2):
        assert invoke("collect", run, tmp_path / "filled.gpkg", "--out", out).exit_code == 0


@pytest.mark.parametrize("simulated", [True, False])
def test_samples_say_that_the_scenes_of_their_run_were_simulated(run, tmp_path, simulated):
    run = copied(run, tmp_path / "run")
    report = run / "map" / "report.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps({"simulated": simulated}))
    invoke("suggest", run, *WISH)
    frame = geopandas.read_file(run / "places_to_visit.gpkg").assign(label="corn")
    frame.to_file(tmp_path / "filled.gpkg")
    assert invoke("collect", run, tmp_path / "filled.gpkg", "--out", tmp_path / "here.npz").exit_code == 0
    with np.load(tmp_path / "here.npz") as file:
        source = json.loads(str(file["metadata"]))["source"]
    assert source.startswith("Labels of filled.gpkg. Series of a run's composites (source: ")
    assert source.endswith("SIMULATED.") == simulated


def test_the_places_come_as_json(run, tmp_path):
    facts = json.loads(invoke("suggest", run, *WISH, "--out", tmp_path / "v.gpkg", "--json").stdout)
    assert facts["count"] == sum(facts["classes"].values()) == len(geopandas.read_file(tmp_path / "v.gpkg"))


@pytest.fixture
def samples(tmp_path):
    """Three crops in a few places; the eighth is called another."""
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 3
    series = (rng.integers(200, 900, (60, 10, 73)) + 1500 * labels[:, None, None]).astype(np.int16)
    labels[7] = 2
    path = tmp_path / "samples.npz"
    np.savez(path, fea=series, lbl=labels, lon=-91 + rng.uniform(0, 2, 60), lat=35 + rng.uniform(0, 2, 60))
    return path


def test_a_wrong_label_is_listed_and_written(samples, tmp_path):
    result = invoke("check", samples, "--out", tmp_path / "suspects.csv")
    assert result.exit_code == 0, result.output
    assert "1 of 60 labels are suspects, 1.7%; 5 folds over" in result.stdout
    assert "sample 7: rice (" in result.stdout
    assert "likelier soybeans" in result.stdout
    head, row = (tmp_path / "suspects.csv").read_text().splitlines()
    assert head == "sample,lon,lat,label,likelier,own_probability,other_probability"
    assert row.startswith("7,-")
    facts = json.loads(invoke("check", samples, "--json").stdout)
    assert [one["sample"] for one in facts["suspects"]] == [7]


def test_the_samples_are_not_overwritten(samples):
    result = invoke("check", samples, "--out", samples)
    assert result.exit_code == 2
