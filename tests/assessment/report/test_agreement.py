from pathlib import Path

import geopandas
import numpy as np
import pytest

from assessment.report.agreement import compare
from assessment.sample.map_file import open_map
from gee_pipeline.errors import InputError
from tests.support.assessed_map import NAMES, AssessedPlace, write_rows


def field_rows(place: AssessedPlace, count: int = 60) -> list[dict[str, str]]:
    rng = np.random.default_rng(2)
    row, col = rng.integers(0, 90, count), rng.integers(0, 110, count)
    lon, lat = open_map(place.folder).places(row, col)
    return [
        {"lon": repr(x), "lat": repr(y), "label": NAMES[int(place.truth[r, c])], "row": r, "col": c}
        for x, y, r, c in zip(lon.tolist(), lat.tolist(), row, col, strict=True)
    ]


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("ending", ["csv", "gpkg"])
def test_points_are_counted_by_what_the_map_shows_there(
    place: AssessedPlace, tmp_path: Path, ending: str
) -> None:
    rows = field_rows(place)
    path = write_rows(tmp_path / "p.csv", rows)
    if ending == "gpkg":
        x, y = ([float(r[k]) for r in rows] for k in ("lon", "lat"))
        frame = geopandas.GeoDataFrame(
            {"label": [r["label"] for r in rows]}, geometry=geopandas.points_from_xy(x, y), crs="EPSG:4326"
        )
        path = tmp_path / "p.gpkg"
        frame.to_crs("EPSG:32633").to_file(path, driver="GPKG")
    found = compare(place.folder, path)
    shown = [NAMES[int(place.codes[r["row"], r["col"]])] for r in rows]
    assert found.labels == ("wheat", "maize", "other", "not cropland")
    for i, one in enumerate(found.labels):
        for j, other in enumerate(found.labels):
            expected = sum(m == one and r["label"] == other for m, r in zip(shown, rows, strict=True))
            assert found.table[i, j] == expected
    assert found.unmapped == {"not enough observations": shown.count("not enough observations")}
    assert found.points == 60 - shown.count("not enough observations")
    assert found.same == sum(m == r["label"] for m, r in zip(shown, rows, strict=True))


def test_points_outside_and_unknown_labels_are_all_named(place: AssessedPlace, tmp_path: Path) -> None:
    rows = [{"id": f"f{n}", **row} for n, row in enumerate(field_rows(place, 5))]
    rows[1] |= {"lon": "0", "lat": "0"}
    rows[2] |= {"label": "rye"}
    rows[3] |= {"lon": "179"}
    with pytest.raises(InputError) as error:
        compare(place.folder, write_rows(tmp_path / "p.csv", rows))
    assert "2 points lie outside the area of the map: f1, f3" in str(error.value)
    assert "'rye' of f2" in str(error.value)


def test_places_that_are_no_numbers_are_named(place: AssessedPlace, tmp_path: Path) -> None:
    rows = field_rows(place, 3)
    rows[1] |= {"lat": "45 N"}
    rows[2] |= {"lat": ""}
    with pytest.raises(InputError, match=r"lat is no number of degrees at row 2 \(45 N\), row 3 \(empty\)"):
        compare(place.folder, write_rows(tmp_path / "p.csv", rows))


def test_places_that_are_no_degrees_are_named(place: AssessedPlace, tmp_path: Path) -> None:
    rows = field_rows(place, 4)
    rows[1] |= {"lon": "698000"}
    rows[2] |= {"lon": "nan"}
    with pytest.raises(InputError, match=r"lon lies beyond 180 degrees at row 2 \(698000\), row 3 \(nan\)"):
        compare(place.folder, write_rows(tmp_path / "p.csv", rows))


def test_decimal_commas_and_whole_names_of_columns_are_read(place: AssessedPlace, tmp_path: Path) -> None:
    rows = field_rows(place, 30)
    commas = [
        {"longitude": row["lon"].replace(".", ","), "latitude": row["lat"].replace(".", ","), **row}
        for row in ({k: str(v) for k, v in row.items()} for row in rows)
    ]
    for row in commas:
        del row["lon"], row["lat"]
    expected = compare(place.folder, write_rows(tmp_path / "p.csv", rows))
    found = compare(place.folder, write_rows(tmp_path / "q.csv", commas))
    assert found.table.tolist() == expected.table.tolist()
