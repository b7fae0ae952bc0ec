"""Painted scenes show real values where they count, and only there."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox

from benchmarks.painting import (
    BOTTOM,
    FINE,
    LEFT,
    NO_FIELD,
    Canvas,
    Painting,
    clouds_of,
    draw_samples,
    make_canvas,
    passes,
    read_clouds,
    render,
    write_scenes,
)
from gee_pipeline.bands import BANDS, NODATA
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from training.samples.samples import Samples

SEASON = SUMMER.season(2021, "north")
BIN = 30


def samples_of(labels: list[int], classes: int) -> Samples:
    series = np.arange(len(labels), dtype=np.int16)[:, None, None] * np.ones((1, 10, 73), np.int16)
    return Samples(series, np.array(labels), tuple("abcdef"[:classes]))


@pytest.fixture
def painting() -> Painting:
    """4 x 4 pixels: field 0 on the left, field 1 on the right of column 2, nothing in the lowest row."""
    field = np.array([[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [NO_FIELD] * 4], np.int32)
    box = GeoBox((4, 4), rasterio.Affine(10, 0, LEFT, 0, -10, BOTTOM + 40), "EPSG:32615")
    series = np.arange(2 * 10 * 73, dtype=np.int16).reshape(2, 10, 73) + 100
    return Painting(
        Canvas(box, field, shapely.box(LEFT, BOTTOM, LEFT + 40, BOTTOM + 40)),
        series,
        np.array([2, 5], np.uint8),
    )


def test_a_field_has_the_pixels_whose_centre_it_holds_and_one_without_any_is_left_out() -> None:
    left = shapely.box(LEFT, BOTTOM, LEFT + 34, BOTTOM + 30)  # 3 x 3 centres
    sliver = shapely.box(LEFT + 36, BOTTOM, LEFT + 44, BOTTOM + 30)  # between two columns of centres
    right = shapely.box(LEFT + 50, BOTTOM, LEFT + 70, BOTTOM + 30)  # 2 x 3 centres
    canvas = make_canvas([left, sliver, right])
    assert np.unique(canvas.field[canvas.field >= 0], return_counts=True)[1].tolist() == [9, 6]
    assert canvas.fields == 2
    rows, columns = np.nonzero(canvas.field == 1)
    x, y = canvas.geobox.transform @ (columns.min(), rows.max() + 1)
    assert (x, y) == (LEFT + 50, BOTTOM)


def test_scenes_have_an_even_number_of_rows_and_columns_for_the_20_m_bands() -> None:
    canvas = make_canvas([shapely.box(LEFT + 3, BOTTOM + 7, LEFT + 88, BOTTOM + 61)])
    assert all(size % 2 == 0 for size in canvas.field.shape)
    assert canvas.geobox.transform.c % 20 == canvas.geobox.transform.f % 20 == 0


def test_a_20_m_pixel_shows_the_field_with_most_of_its_four_pixels(painting: Painting) -> None:
    # upper right: 2 against 2, the first stays; lower left: only field 0; lower right: 1 against 1
    assert painting.canvas.coarse.tolist() == [[0, 0], [0, 0]]
    field = np.array([[NO_FIELD, NO_FIELD], [NO_FIELD, 3]], np.int32)
    only = Canvas(painting.canvas.geobox, field, painting.canvas.area)
    assert only.coarse.tolist() == [[3]]  # background never wins


def test_pixels_away_from_borders_share_their_20_m_pixel_with_no_other_field(painting: Painting) -> None:
    assert painting.canvas.inner.tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2


def test_clear_pixels_show_the_value_of_their_fields_pixel_unaltered(painting: Painting) -> None:
    bands, score = render(painting, BIN, np.zeros((4, 4), np.float32), 0.75)
    for index, band in enumerate(BANDS):
        one, other = painting.series[:, index, BIN]
        if band in FINE:
            assert bands[band][:3].tolist() == [[one, one, one, other]] * 3
            assert (bands[band][3] == NODATA).all()
        else:
            assert (bands[band] == one).all()
    assert (score == 1).all()


def test_clouds_brighten_what_they_hide_and_lower_the_score(painting: Painting) -> None:
    cloud = np.zeros((4, 4), np.float32)
    cloud[0, 0], cloud[1, 0] = 0.9, 0.2
    bands, score = render(painting, BIN, cloud, 0.75)
    assert score[0, 0] == pytest.approx(0.1)
    assert bands["B2"][0, 0] > 4_000
    assert score[1, 0] == pytest.approx(0.8)  # thin enough to count as clear, so unaltered
    assert bands["B2"][1, 0] == painting.series[0, 0, BIN]
    assert bands["B5"][0, 0] == painting.series[0, BANDS.index("B5"), BIN]  # three of four pixels are clear


def test_an_unobserved_pixel_is_under_full_cloud_also_where_only_its_20_m_bands_show_it(
    painting: Painting,
) -> None:
    painting.series[0, :, BIN] = NODATA
    bands, score = render(painting, BIN, np.zeros((4, 4), np.float32), 0.75)
    assert (score == 0).all()  # field 1 shares every 20 m pixel with field 0
    assert (bands["B2"][:3] > 4_000).all()
    painting.series[0, :, BIN], painting.series[1, :, BIN] = 500, NODATA
    _, score = render(painting, BIN, np.zeros((4, 4), np.float32), 0.75)
    assert score[:3].tolist() == [[1, 1, 1, 0]] * 3


def test_no_sample_is_drawn_twice_and_a_rare_class_has_its_least_share() -> None:
    labels = [0] * 150 + [1] * 46 + [2] * 4
    drawn = draw_samples(samples_of(labels, 3), 40, np.random.default_rng(1))
    assert len(set(drawn.tolist())) == 40
    assert np.bincount(np.array(labels)[drawn]).tolist() == [29, 9, 2]  # 0.05 of 40, where its share is 0.8


def test_the_same_seed_draws_the_same_samples() -> None:
    samples = samples_of([0, 1] * 50, 2)
    first, again, other = (draw_samples(samples, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_clouds_are_taken_in_order_and_mirrored_at_their_edges() -> None:
    clouds = np.arange(5, dtype=np.float32)[:, None, None] + np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    assert clouds_of(clouds, 0, 9, (2, 5))[0] == pytest.approx([0.1, 0.2, 0.2, 0.1, 0.1])
    assert [int(clouds_of(clouds, n, 9, (1, 1))[0, 0]) for n in (0, 2, 4, 8)] == [0, 1, 2, 4]


def test_clouds_are_ordered_by_day_of_the_year_whatever_their_year(tmp_path: Path) -> None:
    np.save(tmp_path / "CLP.npy", np.array([0.1, 0.2, 0.3, 0.4], np.float32).reshape(4, 1, 1, 1))
    (tmp_path / "timestamps.json").write_text(
        '["2015-08-01T10:00:00", "2015-12-01T10:00:00", "2016-06-01T10:00:00", "2017-07-01T10:00:00"]'
    )
    assert read_clouds(tmp_path, range(121, 335)).ravel() == pytest.approx([0.3, 0.4, 0.1])


def test_every_observed_bin_of_the_window_is_passed_over_twice_within_its_days() -> None:
    series = np.full((1, 10, 73), NODATA, np.int16)
    series[0, :, [2, 24, 30, 66, 70]] = 1
    planned = passes(SEASON, Recipe(), series)
    assert [p.bin for p in planned] == [24, 24, 30, 30, 66, 66]
    assert all(SEASON.bin_of(p.day) == p.bin for p in planned)
    assert planned[0].day == date(2021, 5, 2)  # bin 24 begins on day 121, 1 May


def test_the_catalog_says_that_it_is_painted_and_holds_the_truth(painting: Painting, tmp_path: Path) -> None:
    painting.series[:, :, :64] = NODATA
    catalog = write_scenes(tmp_path, painting, np.zeros((3, 4, 4), np.float32), SEASON, Recipe())
    items = sorted((tmp_path / "items").glob("*/*.json"))
    assert catalog.is_file()
    assert len(items) == 6
    assert all('"simulated": true' in item.read_text() for item in items)
    with rasterio.open(tmp_path / "fields.tif") as file:
        assert file.read(1).tolist() == [[2, 2, 2, 5]] * 3 + [[0] * 4]
