"""Series with named bands and dated months, as WorldCereal publishes them: made files, and the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gee_pipeline.bands import NODATA
from gee_pipeline.errors import InputError
from gee_pipeline.recipe import RecipeOptions
from gee_pipeline.season import SUMMER, YEAR, MonthDay, SeasonRule, Start
from training.samples.class_legend import read_legend
from training.samples.samples import Samples, read_samples

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / ".." / "shared" / "data" / "worldcereal"
LEGEND = ROOT / "docs" / "worldcereal_legend.toml"
NINE = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B11", "B12")
THREE = ("B2", "B4", "B8")
MONTHLY = RecipeOptions(bands=THREE, season=YEAR, bin_days="month", min_clear_bins=1)

real = pytest.mark.skipif(
    not DATA.is_dir(), reason="WorldCereal's series are not next to this checkout (../shared/data)"
)


def write(
    path: Path, series: NDArray[Any], bands: tuple[str, ...] = ("B08", "B02", "B04"), **more: Any
) -> Path:
    """A file of series `(sample, band, month)`; samples have places, and the codes 1110 and 1200 by turns."""
    count = len(series)
    places = {"lon": np.linspace(-100, -99, count), "lat": np.full(count, 45.0)}
    codes = np.where(np.arange(count) % 2, 1200, 1110)
    arrays = {"series": series, "bands": np.array(bands), "croptype": codes, **places}
    np.savez(path, **arrays | more)
    return path


def numbered(samples: int = 4, bands: int = 3, months: int = 12) -> NDArray[np.int16]:
    """Every value tells its sample, band and month."""
    sample, band, month = np.ogrid[1 : samples + 1, :bands, 1 : months + 1]
    return (1_000 * sample + 100 * band + month).astype(np.int16)


def read(path: Path, asked: RecipeOptions = MONTHLY, **how: Any) -> Samples:
    return read_samples([path], legend=read_legend(LEGEND), any_classes=True, asked=asked, **how)


def test_bands_are_found_by_name_and_months_are_bins(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.npz", numbered()), year=2017)
    assert found.series.shape == (4, 3, 12)
    assert found.series[0, :, 0].tolist() == [1101, 1201, 1001]  # B2, B4, B8 of January
    assert found.series[3, 2].tolist() == [4000 + month for month in range(1, 13)]
    assert [found.class_names[label] for label in found.labels[:2]] == ["winter wheat", "maize"]
    assert str(found.season.start if found.season else None) == "2017-01-01"


@pytest.mark.parametrize("nodata", [NODATA, 65_535, 32_767])
def test_a_month_without_one_band_is_a_gap(tmp_path: Path, nodata: int) -> None:
    series = numbered().astype(np.int32)
    series[1, 2, 5] = nodata
    found = read(write(tmp_path / "a.npz", series))
    assert (found.series[1, :, 5] == NODATA).all()
    assert (found.series == NODATA).sum() == 3


@pytest.mark.parametrize(
    ("bands", "there", "named"),
    [
        (None, ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12"), ("B8A", ",".join(NINE))),
        (("B2", "VV"), ("B02", "B04"), ("VV", "--bands B2,")),
    ],
)
def test_a_missing_band_is_refused_by_name(
    tmp_path: Path, bands: tuple[str, ...] | None, there: tuple[str, ...], named: tuple[str, ...]
) -> None:
    path = write(tmp_path / "a.npz", numbered(bands=len(there)), there)
    with pytest.raises(InputError) as refused:
        read(path, RecipeOptions(bands=bands, season=YEAR, bin_days="month"))
    assert [part for part in named if part not in str(refused.value)] == []


def test_a_band_without_any_value_is_refused_by_name(tmp_path: Path) -> None:
    series = numbered()
    series[:, 2] = NODATA  # B4
    with pytest.raises(InputError, match=r"B4 are empty .* --bands B2,B8"):
        read(write(tmp_path / "a.npz", series))


def placed_by_hand(first: int, months: int, start: int) -> list[int]:
    """The months, counted from 1 in the file, that a season of twelve from a month on has; 0 is a gap."""
    return [m - first + 1 if first <= m < first + months else 0 for m in range(start, start + 12)]


AUTUMN = Start(MonthDay(10, 1), -1)


@pytest.mark.parametrize(
    ("rule", "first_month", "months", "begin"),
    [
        (YEAR, "2016-12-01", 12, 2017 * 12),  # eleven of its months are 2017's
        (YEAR, "2017-01-01", 12, 2017 * 12),
        (YEAR, "2020-08-01", 16, 2021 * 12),  # eleven of sixteen are 2021's
        (SeasonRule("autumn", AUTUMN, AUTUMN, 1, 365), "2020-08-01", 16, 2020 * 12 + 9),
    ],
)
def test_dated_months_stand_in_their_season(
    tmp_path: Path, rule: SeasonRule, first_month: str, months: int, begin: int
) -> None:
    path = write(tmp_path / "a.npz", numbered(months=months), start_date=np.full(4, first_month))
    found = read(path, RecipeOptions(bands=("B8",), season=rule, bin_days="month", min_clear_bins=1))
    year, month, _ = map(int, first_month.split("-"))
    wanted = [1000 + m if m else NODATA for m in placed_by_hand(year * 12 + month - 1, months, begin)]
    assert found.series[0, 0].tolist() == wanted
    assert found.season is not None
    assert found.season.start.year * 12 + found.season.start.month - 1 == begin


def test_every_sample_is_placed_in_its_own_year_and_hemisphere(tmp_path: Path) -> None:
    starts = np.array(["2017-01-01", "2018-01-01", "2016-07-01", "2017-01-01"])
    path = write(tmp_path / "a.npz", numbered(), start_date=starts, lat=np.array([45.0, 45.0, -30.0, -30.0]))
    found = read(path)
    for row in (0, 1, 2):
        assert found.series[row, 2].tolist() == [1000 * (row + 1) + month for month in range(1, 13)]
    earlier = [NODATA] * 6 + [4000 + month for month in range(1, 7)]  # July 2016 on; two hold six months
    assert found.series[3, 2].tolist() == earlier
    assert found.season is None


def test_months_of_the_file_are_dates_of_all_samples(tmp_path: Path) -> None:
    months = np.array([f"2020-{month:02d}-01" for month in range(1, 13)])
    found = read(write(tmp_path / "a.npz", numbered(), months=months))
    assert found.season is not None
    assert found.season.year == 2020


@pytest.mark.parametrize(
    ("more", "asked", "how", "named"),
    [
        ({"start_date": np.full(4, "2018-12-28")}, MONTHLY, {}, ("row 0 has 2018-12-28", "--bin-days 30")),
        ({"start_date": np.full(4, "soon")}, MONTHLY, {}, ("row 0 has soon",)),
        ({"start_date": np.full(4, "2017-01-01")}, MONTHLY, {"year": 2020}, ("row 0", "2017-01", "--year")),
        (
            {"start_date": np.full(4, "2017-01-01")},
            RecipeOptions(bands=THREE),
            {},
            ("calendar months", "--bin-days month"),
        ),
        ({"months": np.array(["2017-01-01", "2017-03-01"] * 6)}, MONTHLY, {}, ("month after month",)),
        ({}, RecipeOptions(bands=THREE), {}, ("(4, 3, 12)", "--bin-days", "--season")),  # not 73, not 43
        ({}, RecipeOptions(bands=THREE, season=SUMMER, bin_days=10), {}, ("(4, 3, 12)", "--bin-days")),
    ],
)
def test_months_that_cannot_be_placed_are_refused(
    tmp_path: Path, more: dict[str, Any], asked: RecipeOptions, how: dict[str, Any], named: tuple[str, ...]
) -> None:
    path = write(tmp_path / "a.npz", numbered(), **more)
    with pytest.raises(InputError) as refused:
        read(path, asked, **how)
    assert [part for part in named if part not in str(refused.value)] == []


@real
def test_the_series_of_canada_are_read() -> None:
    asked = RecipeOptions(bands=NINE, season=YEAR, bin_days="month", min_clear_bins=6)
    found = read_samples([DATA / "wc_canada_2017.npz"], legend=read_legend(LEGEND), asked=asked, year=2017)
    with np.load(DATA / "wc_canada_2017.npz") as arrays:
        codes = arrays["croptype"]
    for name, code in (("winter wheat", 1110), ("soybeans", 4100), ("potatoes", 5100)):
        assert 0 <= (codes == code).sum() - found.counts[name] <= 2  # but for duplicates and gaps
    assert found.left_out == (codes == 0).sum()


@real
def test_fields_at_the_equator_begin_in_december() -> None:
    path = DATA / "wc_public.npz"
    asked = RecipeOptions(season=YEAR, bin_days="month", min_clear_bins=1)
    with np.load(path) as arrays:
        values, bands = arrays["series"], [str(name) for name in arrays["bands"]]
        labels = np.array([name == "sorghum" for name in arrays["group_label"]])
    found = read_samples([path], legend=_sorghum(), label_column="group_label", asked=asked, any_classes=True)
    assert (found.series[:, :, 11] == NODATA).all()  # December 2017 is not in the file
    row = bands.index("B8A")
    first = np.flatnonzero(labels)[0]
    assert found.series[0, 7, :11].tolist() == values[first, row, 1:].tolist()


def _sorghum() -> Any:
    from training.samples.class_legend import LEAVE_OUT, ClassLegend, LegendClass

    classes = (LegendClass("sorghum", "#ff9e0f"), LegendClass("maize", "#ffd300"))
    return ClassLegend(classes, unlisted=LEAVE_OUT)


@real
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("wc_canada_2017", "B8A are not in it"),
        ("wc_belgium_2021", "B8A are empty"),
        ("wc_testdf", "row 2 has 2018-12-28"),
    ],
)
def test_real_files_that_cannot_be_read_say_why(name: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read(DATA / f"{name}.npz", RecipeOptions(season=YEAR, bin_days="month"))
