import numpy as np
import pyproj
import pytest
from matplotlib.figure import Figure

from training.sample_report.place_map import degrees_text, draw_frame, frame_places, graticule_step
from training.sample_report.report import Extent

GEOD = pyproj.Geod(ellps="WGS84")


def framed(lon, lat, aspect=1.0):
    lon, lat = np.array(lon, float), np.array(lat, float)
    extent = Extent(lon[0], lat.min(), lon[-1], lat.max())
    return frame_places(lon, lat, extent, aspect)


@pytest.mark.parametrize(
    ("lon", "lat"),
    [
        ([-91.5, -90.0], [34.8, 35.9]),
        ([179.5, -179.2], [-18.0, -17.0]),  # across the 180th meridian
        ([-120.0, 0.0, 150.0], [-35.0, 0.0, 55.0]),  # a world map
        ([10.0], [50.0]),  # a single place
    ],
)
@pytest.mark.parametrize("aspect", [0.8, 1.3])
def test_all_places_lie_within_the_frame(lon, lat, aspect):
    frame, x, y = framed(lon, lat, aspect)
    assert frame.left < x.min() <= x.max() < frame.right
    assert frame.bottom < y.min() <= y.max() < frame.top
    assert frame.aspect >= aspect - 1e-9


def test_distances_on_the_map_are_those_on_the_ground():
    _, x, y = framed([-91.5, -90.0], [34.8, 35.9])
    ground = GEOD.inv(-91.5, 34.8, -90.0, 35.9)[2]
    assert np.hypot(x[1] - x[0], y[1] - y[0]) == pytest.approx(ground, rel=1e-3)


def test_the_labels_of_the_edges_stand_where_their_degrees_are():
    frame, _, _ = framed([-91.5, -90.0], [34.8, 35.9])
    axes = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    draw_frame(axes, frame)
    labels = dict(zip(axes.get_xticks(), [t.get_text() for t in axes.get_xticklabels()], strict=True))
    assert len(labels) >= 2
    for x, text in labels.items():
        lon, _ = frame.projection(x, frame.bottom, inverse=True)
        assert text == f"{-lon:.1f}° W"
    for y, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        _, lat = frame.projection(frame.left, y, inverse=True)
        assert label.get_text() == f"{lat:.1f}° N"


def test_the_scale_bar_is_as_long_as_it_says():
    frame, _, _ = framed([-91.5, -90.0], [34.8, 35.9])
    axes = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    draw_frame(axes, frame)
    (text,) = [text.get_text() for text in axes.texts]
    (bar,) = [line for line in axes.lines if len(line.get_xdata()) == 2]
    (x0, x1), (y0, y1) = bar.get_xdata(), bar.get_ydata()
    ends = frame.projection([x0, x1], [y0, y1], inverse=True)
    metres = GEOD.inv(ends[0][0], ends[1][0], ends[0][1], ends[1][1])[2]
    assert metres == pytest.approx(1000 * float(text.removesuffix(" km")), rel=2e-3)


def test_a_world_map_has_no_scale_bar_but_degrees_at_both_edges():
    frame, _, _ = framed([-120.0, 0.0, 150.0], [-35.0, 0.0, 55.0])
    axes = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    draw_frame(axes, frame)
    assert frame.world
    assert list(axes.texts) == []
    assert len(axes.get_xticks()) >= 3
    assert "0°" in [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.parametrize(
    ("value", "letters", "step", "text"),
    [
        (-91.5, "EW", 0.5, "91.5° W"),
        (181.0, "EW", 1, "179° W"),
        (180.0, "EW", 10, "180°"),
        (0.0, "NS", 5, "0°"),
        (35.125, "NS", 0.005, "35.125° N"),
        (-30.0, "NS", 30, "30° S"),
    ],
)
def test_degrees_are_written_for_readers(value, letters, step, text):
    assert degrees_text(value, letters, step) == text


@pytest.mark.parametrize(("span", "step"), [(1.6, 0.5), (10, 2), (300, 30), (0.02, 0.005)])
def test_about_five_lines_cross_a_map(span, step):
    assert graticule_step(span) == step
