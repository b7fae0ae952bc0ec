import time
from dataclasses import replace
from datetime import date
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

from gee_pipeline.errors import InputError
from gee_pipeline.season import Season
from training.sample_report.picture import class_colors, compose_picture, draw_samples, month_marks
from training.sample_report.report import report_samples

pytestmark = pytest.mark.slow

CORN, SOYBEANS, RICE = "#ffd300", "#186800", "#48b4e7"  # of CropGlobe's legend


def compose(samples, **options):
    figure = compose_picture(samples, report_samples(samples, **options))
    return figure, {axes.get_label(): axes for axes in figure.axes}


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def lines(axes):
    """The curves by class."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def many(made_samples, count, classes=7, seed=0):
    """Samples with a peak for each class, without the cost of noise in every band."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    series = np.full((count, 10, 73), 800, np.int16)
    hump = 3000 * np.exp(-(((np.arange(73) - 20 - 6 * labels[:, None]) / 5) ** 2))
    series[:, 3] += hump.astype(np.int16)
    series[rng.random(count) < 0.3, :, 30] = -9999
    names = ("corn", "soybeans", "rice", "wheat", "sugarcane", "cotton", "other", "a", "b", "c")
    return replace(
        made_samples(9),
        series=series,
        labels=labels,
        class_names=names[:classes],
        lon=rng.uniform(-1, 6, count),
        lat=rng.uniform(43, 50, count),
    )


def test_a_curve_is_the_median_ndvi_of_its_class_in_the_middle_of_each_bin(made_samples):
    samples = made_samples(60)
    _, axes = compose(samples)
    curves = lines(axes["ndvi"])
    assert list(curves) == ["corn", "soybeans", "rice"]
    bins = [index for index in range(73) if index % 3 != 2]  # every third bin of the samples is a gap
    near, red = (samples.series[samples.labels == 1, band].astype(float) for band in (3, 2))
    expected = np.median((near - red) / (near + red), axis=0)[bins]
    np.testing.assert_allclose(curves["soybeans"].get_xdata(), [5 * index + 2.5 for index in bins])
    np.testing.assert_allclose(curves["soybeans"].get_ydata(), expected, rtol=1e-5)


def test_classes_have_the_colours_of_the_legend_everywhere(made_samples):
    samples = made_samples(60)
    figure, axes = compose(samples)
    assert [line.get_color() for line in lines(axes["ndvi"]).values()] == [CORN, SOYBEANS, RICE]
    swatches = [to_hex(patch.get_facecolor()) for patch in axes["page"].patches]
    assert swatches == [CORN, SOYBEANS, RICE]
    points = {to_hex(color) for color in axes["map"].collections[0].get_facecolors()}
    assert points == {CORN, SOYBEANS, RICE}
    assert {"corn", "soybeans", "rice", "20", "33.3%"} <= set(texts(figure))


def test_the_colour_of_a_point_is_that_of_the_sample_there(made_samples):
    samples = replace(made_samples(3), lon=np.array([5.0, 6.0, 7.0]), lat=np.array([48.0, 48.0, 48.0]))
    _, axes = compose(samples)
    points = axes["map"].collections[0]
    from_west = np.argsort(np.asarray(points.get_offsets())[:, 0])
    assert [to_hex(points.get_facecolors()[i]) for i in from_west] == [CORN, SOYBEANS, RICE]


def test_observations_are_shown_as_shares_by_class_and_bin(made_samples):
    samples = many(made_samples, 200, classes=3)
    _, axes = compose(samples)
    shares = np.asarray(axes["observed"].collections[0].get_array())
    assert shares.shape == (3, 73)
    own = samples.series[samples.labels == 2]
    assert shares[2, 30] == pytest.approx(100 * np.mean([sample[0, 30] != -9999 for sample in own]))
    assert [label.get_text() for label in axes["observed"].get_yticklabels()] == ["corn", "soybeans", "rice"]


def test_months_run_from_the_season_s_start(made_samples):
    samples = replace(made_samples(9), season=Season(2023, date(2022, 7, 1)))
    _, axes = compose(samples)
    names = [label.get_text() for label in axes["ndvi"].get_xticklabels(minor=True)]
    assert names[:3] + names[-1:] == ["Jul", "Aug", "Sep", "Jun"]
    # July and August have 31 days.
    np.testing.assert_allclose(axes["ndvi"].get_xticks()[:3], [0, 31, 62])
    assert axes["ndvi"].get_xlim() == axes["observed"].get_xlim() == (0, 365)


def test_a_season_that_begins_within_a_month_names_only_what_has_room():
    starts, names = month_marks(date(2020, 2, 29))
    assert starts[:2] == [0, 1]
    assert names[:2] == ["", "Mar"]
    assert names[-1] == "Feb"


def test_without_a_known_start_months_are_numbered():
    starts, names = month_marks(None)
    assert names == [str(month) for month in range(1, 13)]
    assert starts[6] == pytest.approx(182.5)


def test_a_curve_is_not_drawn_across_two_months_without_observations(made_samples):
    samples = made_samples(30)
    samples.series[:, :, 20:32] = -9999
    _, axes = compose(samples)
    corn = lines(axes["ndvi"])["corn"]
    inside = [day for day in corn.get_xdata() if 100 < day < 160]
    assert inside == []
    assert np.isnan(corn.get_ydata()).sum() == 1


def test_without_places_there_is_no_map_and_the_curves_are_wider(made_samples):
    samples = made_samples(30)
    _, placed = compose(samples)
    figure, axes = compose(replace(samples, lon=None, lat=None))
    assert "map" not in axes
    assert axes["ndvi"].get_position().width > placed["ndvi"].get_position().width
    assert {"corn", "soybeans", "rice"} <= set(texts(figure))


def test_title_season_and_source_are_on_the_page(made_samples):
    samples = replace(made_samples(9), season=Season(2021, date(2021, 1, 1)), source="From $5 to $6 a field.")
    figure, _ = compose(samples)
    words = " | ".join(texts(figure))
    assert "9 samples of 3 classes" in words
    assert "Season 1 January 2021 to 31 December 2021" in words
    assert "From $5 to $6 a field." in words


def test_a_class_without_a_colour_gets_one_of_its_own(made_samples):
    samples = replace(made_samples(9), class_names=("quinoa", "corn", "teff"))
    colors = class_colors(samples)
    assert colors["corn"] == CORN
    assert len(set(colors.values())) == 3


def test_colours_of_a_legend_of_one_s_own_win(made_samples):
    samples = replace(made_samples(9), colors=("#111111", "#222222", "#333333"))
    assert class_colors(samples) == {"corn": "#111111", "soybeans": "#222222", "rice": "#333333"}


def cases(made_samples):
    three = made_samples(60)
    one = replace(three.take(three.labels == 0), class_names=("corn",))
    seven = many(made_samples, 2000)
    yield "three", three
    yield "one class", one
    yield "one sample", one.take(np.array([0]))
    yield "seven", replace(seven, season=Season(2023, date(2022, 7, 1)))
    yield "no places", replace(seven, lon=None, lat=None)
    yield "world", replace(seven, lon=seven.lon * 25, lat=seven.lat * 9 - 420, source="A long story. " * 60)
    names = tuple(f"a crop with a long name {index}" for index in range(30))
    yield "thirty", replace(seven, labels=np.arange(2000) % 30, class_names=names)


@pytest.mark.parametrize("index", range(7))
def test_no_text_covers_another_or_leaves_the_page(made_samples, index):
    name, samples = list(cases(made_samples))[index]
    figure, _ = compose(samples)
    figure.canvas.draw()
    page = figure.bbox
    boxes = []
    for axes in figure.axes:
        shown = [text for text in [*axes.texts, *_labels(axes)] if text.get_text()]
        boxes += [(text.get_text(), text.get_window_extent()) for text in shown]
    for text, box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1, (name, text)
        assert page.y0 <= box.y0 < box.y1 <= page.y1, (name, text)
    for (text, box), (other, its) in combinations(boxes, 2):
        overlap = min(box.x1, its.x1) - max(box.x0, its.x0), min(box.y1, its.y1) - max(box.y0, its.y0)
        assert min(overlap) < 1, (name, text, other)


def _labels(axes):
    """Titles, labels of the axes, and those of ticks within the limits; others exist but are not drawn."""
    if not axes.axison:
        return
    yield from (axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label)
    for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
        low, high = sorted(axis.get_view_interval())
        for label in [*axis.get_ticklabels(), *axis.get_ticklabels(minor=True)]:
            if low <= label.get_position()[place] <= high:
                yield label


def test_a_hundred_thousand_samples_are_drawn_in_seconds(made_samples, tmp_path):
    samples = many(made_samples, 100_000)
    report = report_samples(samples)
    start = time.process_time()
    draw_samples(tmp_path / "a.png", samples, report)
    assert time.process_time() - start < 10  # 1.2 s on a quiet core
    assert imread(tmp_path / "a.png").shape[:2] == (2460, 3495)


@pytest.mark.parametrize(("suffix", "head"), [(".pdf", b"%PDF"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")])
def test_a_picture_is_of_the_kind_that_its_name_says(made_samples, tmp_path, suffix, head):
    samples = made_samples(9)
    draw_samples(tmp_path / f"a{suffix}", samples, report_samples(samples))
    assert (tmp_path / f"a{suffix}").read_bytes().startswith(head)


def test_another_kind_of_picture_is_refused(made_samples, tmp_path):
    samples = made_samples(9)
    with pytest.raises(InputError, match=r"--picture .*a\.docx"):
        draw_samples(tmp_path / "a.docx", samples, report_samples(samples))
