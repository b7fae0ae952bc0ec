"""Plain tables of field data, against a plain loop over their cells."""

import gzip
import math
import os
import statistics
from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gee_pipeline.bands import BANDS
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.recipe import RecipeOptions
from gee_pipeline.season import Season
from training.samples.class_legend import ClassLegend, LegendClass
from training.samples.samples import read_samples

KOREA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "korea-parcels"
LEGEND = ClassLegend((LegendClass("corn", "#ffd300", (1,)), LegendClass("rice", "#00a8e2", (5,))))
SPARSE = 12
"""Dates a table needs so that its samples are not too sparse."""


def dates(start=date(2021, 5, 3), count=SPARSE, step=7):
    return [start + timedelta(days=step * i) for i in range(count)]


def frame(rows=4, days=None, seed=0, **columns):
    rng = np.random.default_rng(seed)
    days = dates() if days is None else days
    values = rng.integers(100, 5000, (len(days), 10, rows))
    cells = {
        f"{band}_{day}": values[i, j].astype(float)
        for i, day in enumerate(days)
        for j, band in enumerate(BANDS)
    }
    given = {
        "label": np.arange(rows) % 2,
        "lon": 127.0 + np.arange(rows) / 10,
        "lat": 36.0 + np.arange(rows) / 10,
    } | columns
    return pd.DataFrame({name: column for name, column in given.items() if column is not None} | cells)


def in_csv(path, table):
    table.to_csv(path, index=False)
    return path


def expected_series(table, start):
    """The season series of each row, cell by cell."""
    series = np.full((len(table), 10, 73), -9999)
    days = sorted({name.split("_")[1] for name in table.columns if name.startswith("B2_")})
    cells = {day: table[[f"{band}_{day}" for band in BANDS]].to_numpy(float).tolist() for day in days}
    within = {day: since for day in days if 0 <= (since := (date.fromisoformat(day) - start).days) < 365}
    for row in range(len(table)):
        observations = {}  # bin -> whole observations
        for day, since in within.items():
            values = cells[day][row]
            if any(values) and not any(math.isnan(v) or v == -9999 for v in values):
                observations.setdefault(since // 5, []).append([math.floor(v + 0.5) for v in values])
        for bin_, found in observations.items():
            for band in range(10):
                series[row, band, bin_] = math.floor(statistics.median(o[band] for o in found) + 0.5)
    return series


def read(path, **options):
    return read_samples([path], legend=options.pop("legend", None), **options)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    offsets=st.sets(st.integers(-3, 370), min_size=20, max_size=60),
    holes=st.integers(0, 2**32 - 1),
)
def test_irregular_dates_become_medians_of_whole_observations(tmp_path_factory, offsets, holes):
    days = sorted({*(date(2021, 1, 1) + timedelta(days=d) for d in offsets), *dates()})
    table = frame(3, days)
    table.iloc[:, 3:] += 0.5 * (np.random.default_rng(holes).random(table.iloc[:, 3:].shape) < 0.3)
    gone = np.random.default_rng(holes).random(table.iloc[:, 3:].shape) < 0.01
    table.iloc[:, 3:] = table.iloc[:, 3:].mask(gone)
    path = in_csv(tmp_path_factory.mktemp("table") / "fields.csv", table)
    samples = read(path, year=2021)
    np.testing.assert_array_equal(samples.series, expected_series(table, date(2021, 1, 1)))


def test_labels_places_groups_and_countries_are_read(tmp_path):
    table = frame(
        label=["corn", "Rice", "rice", "corn"], group=[7, 7, 8, 8], Country=["NA", "KR", "KR", "NA"]
    )
    samples = read(in_csv(tmp_path / "fields.csv", table))
    assert samples.class_names == ("corn", "rice")
    assert samples.labels.tolist() == [0, 1, 1, 0]
    np.testing.assert_array_equal(samples.lon, table["lon"])
    np.testing.assert_array_equal(samples.lat, table["lat"])
    assert samples.groups.tolist() == ["7", "7", "8", "8"]
    assert samples.country.tolist() == ["NA", "KR", "KR", "NA"]
    assert samples.season == Season(2021, date(2021, 1, 1))
    assert samples.source == "Samples of fields.csv."


def test_other_columns_can_be_named(tmp_path):
    table = frame(label=None, CR_NM=["corn", "rice", "rice", "corn"], farm=["a", "b", "c", "d"])
    samples = read(in_csv(tmp_path / "fields.csv", table), label_column="cr_nm", group_column="farm")
    assert samples.labels.tolist() == [0, 1, 1, 0]
    assert samples.groups.tolist() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "form",
    ["B2_2021-05-03", "b2_20210503", "B02_20210503", "B2-2021_05_03", "B2.20210503", "B2 2021-05-03",
     "2021-05-03_B2", "20210503_b02"],
)  # fmt: skip
def test_columns_may_be_written_in_other_forms(tmp_path, form):
    table = frame()
    same = read(in_csv(tmp_path / "a.csv", table)).series
    other = table.rename(columns={"B2_2021-05-03": form, "B8A_2021-05-03": "b8a_20210503"})
    np.testing.assert_array_equal(read(in_csv(tmp_path / "b.csv", other)).series, same)


def test_further_columns_and_the_order_of_columns_do_not_matter(tmp_path):
    table = frame()
    same = read(in_csv(tmp_path / "a.csv", table)).series
    other = table[table.columns[::-1]].assign(**{"B1_2021-05-03": 1, "B09_20210503": "x", "owner": "me"})
    np.testing.assert_array_equal(read(in_csv(tmp_path / "b.csv", other)).series, same)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_separators_and_the_mark_of_spreadsheets(tmp_path, mark):
    table = frame(owner=["Lee, J.", "Kim", "Park", "Choi"])
    same = read(in_csv(tmp_path / "a.csv", table)).series
    table.to_csv(tmp_path / "b.csv", index=False, sep=mark, encoding="utf-8-sig")
    np.testing.assert_array_equal(read(tmp_path / "b.csv").series, same)


@pytest.mark.slow
def test_every_kind_of_file_gives_the_same(tmp_path):
    table = frame(6)
    table.iloc[2, 10] = np.nan
    table.to_csv(tmp_path / "a.csv.gz", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    points = gpd.points_from_xy(table["lon"], table["lat"], crs="EPSG:4326")
    located = gpd.GeoDataFrame(table.drop(columns=["lon", "lat"]), geometry=points).to_crs("EPSG:32652")
    located.to_parquet(tmp_path / "b.geoparquet")
    csv = read(in_csv(tmp_path / "a.csv", table))
    for name in ("a.csv.gz", "a.parquet", "b.geoparquet"):
        other = read(tmp_path / name)
        np.testing.assert_array_equal(other.series, csv.series)
        np.testing.assert_allclose(other.lon, csv.lon, atol=1e-7)
        np.testing.assert_allclose(other.lat, csv.lat, atol=1e-7)
        assert other.labels.tolist() == csv.labels.tolist()


def test_a_field_stands_for_a_point_within(tmp_path):
    moon = shapely.Point(127, 36).buffer(0.01).difference(shapely.Point(127.004, 36).buffer(0.01))
    table = gpd.GeoDataFrame(frame(lon=None, lat=None), geometry=[moon] * 4, crs="EPSG:4326")
    table.to_parquet(tmp_path / "fields.parquet")
    samples = read(tmp_path / "fields.parquet")
    assert all(moon.contains(shapely.Point(x, y)) for x, y in zip(samples.lon, samples.lat, strict=True))


@pytest.mark.parametrize("empty", ["", "nan", "NA", "null", "-9999"])
def test_an_empty_cell_is_a_gap_in_all_bands(tmp_path, empty):
    table = frame().astype(object)
    table.loc[1, "B4_2021-05-10"] = empty
    series = read(in_csv(tmp_path / "fields.csv", table)).series
    there = (date(2021, 5, 10) - date(2021, 1, 1)).days // 5
    assert (series[1, :, there] == -9999).all()
    assert (series[[0, 2, 3], :, there] != -9999).all()


def test_zero_in_all_bands_is_no_observation_but_a_dark_band_is(tmp_path):
    table = frame()
    table.loc[1, [f"{band}_2021-05-10" for band in BANDS]] = 0
    table.loc[2, "B4_2021-05-10"] = 0
    series = read(in_csv(tmp_path / "fields.csv", table)).series
    there = (date(2021, 5, 10) - date(2021, 1, 1)).days // 5
    assert (series[1, :, there] == -9999).all()
    assert series[2, 2, there] == 0


def test_south_of_the_equator_the_season_starts_in_july(tmp_path):
    table = frame(days=dates(date(2020, 11, 2)), lat=[-31.0, -32.0, -33.0, -34.0])
    samples = read(in_csv(tmp_path / "fields.csv", table))
    assert samples.season == Season(2021, date(2020, 7, 1))
    np.testing.assert_array_equal(samples.series, expected_series(table, date(2020, 7, 1)))


def test_hemispheres_of_one_table_have_their_own_seasons(tmp_path):
    days = dates(date(2020, 11, 2)) + dates(date(2021, 5, 3))
    table = frame(days=days, lat=[36.0, -33.0, 37.0, -34.0])
    samples = read(in_csv(tmp_path / "fields.csv", table), year=2021)
    assert samples.season is None
    for rows, start in ((slice(0, 4, 2), date(2021, 1, 1)), (slice(1, 4, 2), date(2020, 7, 1))):
        np.testing.assert_array_equal(samples.series[rows], expected_series(table, start)[rows])


def test_the_season_can_be_given(tmp_path):
    table = frame(days=dates(date(2020, 11, 2)), lon=None, lat=None)
    path = in_csv(tmp_path / "fields.csv", table)
    samples = read(path, asked=RecipeOptions(season_start=date(2020, 7, 1)))
    assert (samples.season, samples.lon) == (Season(2021, date(2020, 7, 1)), None)
    assert read(path, asked=RecipeOptions(season_start=date(2020, 7, 15)), year=2020).season == Season(
        2020, date(2020, 7, 15)
    )
    with pytest.raises(InputError, match=r"no latitudes.*--season-start"):
        read(path, year=2021)


def test_dates_of_several_years_need_a_year(tmp_path):
    table = frame(days=dates(date(2020, 5, 4)) + dates(date(2021, 5, 3)))
    path = in_csv(tmp_path / "fields.csv", table)
    with pytest.raises(InputError, match=r"2020-05-04 to 2021-07-19, more than one season.*--year"):
        read(path)
    np.testing.assert_array_equal(read(path, year=2020).series, expected_series(table, date(2020, 1, 1)))
    with pytest.raises(InputError, match=r"none of which lies in the season 2019-01-01"):
        read(path, year=2019)


def test_the_last_day_of_a_leap_year_is_no_fault(tmp_path):
    days = [*dates(date(2020, 5, 4)), date(2020, 12, 31)]
    samples = read(in_csv(tmp_path / "fields.csv", frame(days=days)))
    assert (samples.series[:, :, 72] == -9999).all()


def test_tables_and_npz_are_joined(tmp_path):
    table = frame(4)
    np.savez(
        tmp_path / "a.npz",
        fea=np.random.default_rng(5).integers(100, 5000, (3, 10, 73)).astype(np.int16),
        lbl=[0, 2, 2],
        lon=[1.0, 2, 3],
        lat=[4.0, 5, 6],
    )
    path = in_csv(tmp_path / "b.csv", table.assign(label=["corn", "rice", "rice", "corn"]))
    samples = read_samples([tmp_path / "a.npz", path])
    assert samples.labels.tolist() == [0, 1, 1, 0, 1, 1, 0]
    assert samples.lon.tolist() == [1, 2, 3, *table["lon"]]
    assert samples.season is None


def test_fractions_and_offsets_are_scaled_when_told(tmp_path):
    table = frame(20)
    same = read(in_csv(tmp_path / "a.csv", table))
    cells = table.columns[3:]
    parts = table.assign(**{name: table[name] / 10_000 for name in cells})
    with pytest.raises(InputError, match=r"parts\.csv: the series.*reflectance 0 to 1.*--scale 1"):
        read(in_csv(tmp_path / "parts.csv", parts))
    np.testing.assert_array_equal(read(tmp_path / "parts.csv", scale=1).series, same.series)
    raised = table.assign(**{name: table[name] + 1_000 for name in cells})
    with pytest.raises(InputError, match=r"raised\.csv: the series.*--offset 1000.*--offset 0"):
        read(in_csv(tmp_path / "raised.csv", raised))
    np.testing.assert_array_equal(read(tmp_path / "raised.csv", offset=1000).series, same.series)
    np.testing.assert_array_equal(read(tmp_path / "raised.csv", offset=0).series, np.where(
        same.series == -9999, -9999, same.series + 1_000
    ))  # fmt: skip


def spoilt(column, row, value):
    table = frame(8, group="a").astype(object)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (spoilt("B4_2021-05-10", 2, "cloud"), "column B4_2021-05-10 must hold numbers; row 3 has 'cloud'"),
        (spoilt("B4_2021-05-10", 0, 40_000), r"column B4_2021-05-10 .*row 1 has 40000 \(1 of 8.*--scale"),
        (spoilt("B4_2021-05-10", 7, "inf"), "column B4_2021-05-10 .*row 8 has inf"),
        (spoilt("lat", 3, 95), "column lat .*-90 to 90.*row 4 has 95"),
        (spoilt("lon", 3, ""), "column lon .*-180 to 180.*row 4 has nan"),
        (spoilt("label", 5, 9), "column label .*0 corn.*row 6 has 9.*--legend"),
        (spoilt("label", 5, "hops"), "column label .*row 6 has hops"),
        (spoilt("label", 5, ""), "column label .*row 6 has "),
        (spoilt("group", 5, ""), "column group must name a group.*row 6"),
        (frame(label=None), "lacks the column label with the labels; it has lon, lat.*--label-column"),
        (frame(lat=None), "one of the columns lon and lat"),
        (frame(days=[]), "no column of a band and a date, such as B2_2021-05-03; it has label, lon, lat"),
        (frame().drop(columns="B8_2021-05-10"), "it lacks B8_2021-05-10"),
        (frame().rename(columns=lambda c: c.replace("05-10", "05-32")), "column B2_2021-05-32 has no valid"),
        (frame().assign(b02_20210510=1), "B2_2021-05-10 and b02_20210510 stand for the same"),
        (frame().iloc[:0], "no row below its header"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_column_and_row(tmp_path, table, message):
    with pytest.raises(InputError, match=rf"fields\.csv.*{message}"):
        read(in_csv(tmp_path / "fields.csv", table))


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    text = in_csv(tmp_path / "a.csv", frame()).read_text().replace("B2_2021-05-10", "B2_2021-05-03")
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(InputError, match=r"'B2_2021-05-03' occurs more than once"):
        read(tmp_path / "b.csv")


def test_a_named_group_column_must_exist(tmp_path):
    with pytest.raises(InputError, match=r"lacks the column farm with the groups.*--group-column"):
        read(in_csv(tmp_path / "fields.csv", frame()), group_column="farm")


@pytest.mark.parametrize("row", ["no geometry", "no crs"])
def test_geometries_must_tell_where_they_are(tmp_path, row):
    places = [shapely.Point(127, 36)] * 3 + [shapely.Point(127, 36) if row == "no crs" else None]
    crs = None if row == "no crs" else "EPSG:4326"
    gpd.GeoDataFrame(frame(lon=None, lat=None), geometry=places, crs=crs).to_parquet(tmp_path / "a.parquet")
    wrong = "no CRS" if row == "no crs" else "row 4 has none"
    with pytest.raises(InputError, match=rf"a\.parquet.*{wrong}"):
        read(tmp_path / "a.parquet")


def test_damaged_files_are_corrupt(tmp_path):
    whole = in_csv(tmp_path / "a.csv", frame(50)).read_bytes()
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(whole)[:-2000])
    (tmp_path / "c.csv.gz").write_bytes(whole)
    (tmp_path / "d.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "e.csv").write_bytes(whole[:400] + b'\n"1,2,3\n')
    frame().to_parquet(tmp_path / "f.parquet")
    (tmp_path / "f.parquet").write_bytes((tmp_path / "f.parquet").read_bytes()[:-30])
    (tmp_path / "g.parquet").write_bytes(whole)
    (tmp_path / "h.csv").write_bytes(b"")
    for name in ("b.csv.gz", "c.csv.gz", "d.csv", "e.csv", "f.parquet", "g.parquet", "h.csv"):
        with pytest.raises(CorruptFileError, match=rf"{name} is not a whole"):
            read(tmp_path / name)
    with pytest.raises(InputError, match=r"nowhere\.csv do not exist"):
        read(tmp_path / "nowhere.csv")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sample_us.csv.gz", "sample_nj.csv.gz"])
def test_real_parcels_with_true_acquisition_dates(name):
    path = KOREA / name
    if not path.is_file():
        pytest.skip(f"The real parcels {name} are not next to this checkout (../shared/data/korea-parcels).")
    legend = ClassLegend(
        (LegendClass("greenhouse", "#a0a0a0", ("시설",)), LegendClass("other", "#b8b8a0")), unlisted="other"
    )
    options = {
        "legend": legend,
        "label_column": "INTPR_NM",
        "asked": RecipeOptions(season_start=date(2021, 7, 1)),
    }
    with pytest.raises(InputError, match="--offset 1000"):
        read(path, **options)
    samples = read(path, offset=1000, **options)
    raw = pd.read_csv(path)
    raw.columns = [_iso(name) for name in raw.columns]
    days = sorted({c.split("_")[1] for c in raw if c.startswith("B2_")})
    cells = raw[[f"{band}_{day}" for day in days for band in BANDS]]
    plain = cells.where(cells != 0, -9999 + 1000) - 1000
    expected = expected_series(plain, date(2021, 7, 1))
    enough = (expected[:, 0, 24:67] != -9999).sum(axis=1) >= 8
    found = {series.tobytes() for series in samples.series}
    assert found == {series.astype(np.int16).tobytes() for series in expected[enough]}
    assert samples.sparse_dropped == (~enough).sum()


def _iso(name):
    head, _, tail = name.partition("_")
    if not tail.isdigit():
        return name
    return f"B{head[1:].upper().lstrip('0')}_{tail[:4]}-{tail[4:6]}-{tail[6:]}"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_true_and_false_are_names_not_the_labels_1_and_0(tmp_path, kind):
    table = frame(label=np.array([True, False, True, False]))
    path = in_csv(tmp_path / "t.csv", table) if kind == "csv" else tmp_path / "t.parquet"
    if kind == "parquet":
        table.to_parquet(path)
    with pytest.raises(InputError, match=r"column label must be a label .* row 1 has True"):
        read(path)
    legend = ClassLegend(
        (LegendClass("no crop", "#ffd300", ("false",)), LegendClass("crop", "#00a8e2", ("TRUE",)))
    )
    assert read(path, legend=legend).labels.tolist() == [1, 0, 1, 0]


def test_groups_keep_their_zeros(tmp_path):
    written = in_csv(tmp_path / "t.csv", frame(group=["001", "01", "1", "1.0"]))
    assert read(written).groups.tolist() == ["001", "01", "1", "1"]


def test_large_numbers_of_labels_stay_apart(tmp_path):
    large = 2**53
    frame(label=np.array([large, large + 1] * 2)).to_parquet(tmp_path / "t.parquet")
    legend = ClassLegend((LegendClass("a", "#ffd300", (large,)), LegendClass("b", "#00a8e2", (large + 1,))))
    assert read(tmp_path / "t.parquet", legend=legend).labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("value", [True, date(2021, 5, 3), [1.0]], ids=["truth", "day", "list"])
def test_what_is_not_a_number_does_not_become_one(tmp_path, value):
    table = frame()
    table["lon"] = pd.Series([value] * 4)
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="column lon must hold numbers; row 1 has"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "name",
    [
        "B2_03.05.2021",  # day first
        "B2_2021/05/03",
        "B2_2021-5-3",
        "B2_2021123",  # day of the year
        "2021-05-03T10:50:31Z_B2",
        "20210503T105619_20210503T105621_T31UFU_B2",  # as Earth Engine names an image's bands
        "S2_B2_2021-05-03",
        "VV_2021/05/03",
    ],
)
def test_a_band_and_a_date_that_are_not_understood_are_not_dropped(tmp_path, name):
    table = frame(**{name: np.full(4, 300.0)})
    with pytest.raises(InputError, match=f"the columns {name} seem to hold a band and a date"):
        read(in_csv(tmp_path / "t.csv", table))


@pytest.mark.parametrize(
    "name", ["B2_mean", "survey_2021-05-03", "NDVI_2021-05-03", "field_20210503_b", "b_count_2021"]
)
def test_other_columns_are_ignored(tmp_path, name):
    assert len(read(in_csv(tmp_path / "t.csv", frame(**{name: np.full(4, 300.0)})))) == 4


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"label,lon,lat\nf\xf6hr,127,36\n")
    with pytest.raises(CorruptFileError, match=r"not in UTF-8.*Save it as CSV in UTF-8"):
        read(path)


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.xlsx"])
def test_files_of_another_kind_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"SQLite format 3")
    with pytest.raises(InputError, match="no file of samples, which is an npz, a CSV"):
        read(tmp_path / name)


def test_a_table_without_a_line_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("training.samples.table_file.LONGEST_HEADER", 1_000)
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write(b"a" * 100_000)
    with pytest.raises(CorruptFileError, match="no line end"):
        read(tmp_path / "t.csv.gz")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_table_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr("training.samples.table_file.LARGEST_SAMPLES", 20_000)
    table, path = frame(rows=60), tmp_path / name
    if name == "t.parquet":
        table.to_parquet(path)
    else:
        in_csv(path, table)
    with pytest.raises(InputError, match=r"19\.5 KiB.*Split it"):
        read(path)


def test_a_table_larger_than_any_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("lbl,B2_2021-05-03\n1,900\n")
    os.truncate(tmp_path / "t.csv", 2**33)  # holes: no byte of the disk
    with pytest.raises(InputError, match=r"t\.csv holds 8\.0 GiB .*at most 4\.0 GiB"):
        read(tmp_path / "t.csv")
