from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex

from tests.support.explain_place import BAND, BIN, explanation
from training.explain.heat_map import ACTIVATION, ATTRIBUTION, color_limits, compose_heat_maps
from training.explain.ndvi_picture import compose_ndvi
from training.explain.pictures import compose_pictures
from training.explain.plane_picture import compose_planes

pytestmark = pytest.mark.slow

pytest.importorskip("captum", reason="captum is not installed: pip install 'cropmap[training]'")


@pytest.fixture(autouse=True, scope="module")
def coarse_pictures():
    """As large on paper, with fewer dots to draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference.drawing.style.DPI", 40)
        yield


@pytest.fixture(scope="module")
def made():
    return explanation("source", "target")


def panels(page):
    return {axes.get_label(): axes for axes in page.figure.axes}


def mesh(axes):
    (found,) = (one for one in axes.collections if isinstance(one, QuadMesh))
    return found


def texts(page):
    own = [text.get_text() for text in page.figure.texts]
    return own + [text.get_text() for axes in page.figure.axes for text in axes.texts]


def test_each_class_and_region_has_a_panel(made):
    for look in (ACTIVATION, ATTRIBUTION):
        assert {"source 0", "target 0", "source 1", "target 1"} <= set(panels(compose_heat_maps(made, look)))


def test_rows_are_the_bands_of_the_recipe_in_its_order_from_the_top(made):
    axes = panels(compose_heat_maps(made, ACTIVATION))["source 0"]
    ticks = [
        (tick, label.get_text().split()[0])
        for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    ]
    bands = ["B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12"]
    assert ticks == [(row + 0.5, band) for row, band in enumerate(bands)]
    assert axes.get_ylim() == (10, 0)


def test_the_spike_is_drawn_at_its_band_and_its_days(made):
    found = mesh(panels(compose_heat_maps(made, ACTIVATION))["source 0"])
    values = found.get_array().reshape(10, 43)
    assert np.unravel_index(values.argmax(), values.shape) == (BAND, BIN)
    left, right = found.get_coordinates()[BAND, BIN, 0], found.get_coordinates()[BAND, BIN + 1, 0]
    assert (left, right) == ((24 + BIN) * 5, (24 + BIN) * 5 + 5)  # days since the season's start


def test_columns_are_the_days_of_the_window_under_their_months(made):
    axes = panels(compose_heat_maps(made, ACTIVATION))["source 0"]
    assert axes.get_xlim() == (120, 335)  # 1 May to 1 December 2021, exclusive
    assert [label.get_text() for label in axes.get_xticklabels(minor=True)] == [
        "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
    ]  # fmt: skip
    may = [tick for tick in axes.get_xticks() if tick == (date(2021, 6, 1) - date(2021, 1, 1)).days]
    assert may == [151]


def test_months_of_an_unknown_season_are_numbered_and_said_so():
    page = compose_heat_maps(explanation(start=None, augmentation="none"), ACTIVATION)
    labels = [label.get_text() for label in panels(page)["source 0"].get_xticklabels(minor=True)]
    assert labels == ["5", "6", "7", "8", "9", "10", "11"]
    assert any("counted from the start" in text for text in texts(page))


def test_all_panels_share_one_scale(made):
    for look, signed in ((ACTIVATION, False), (ATTRIBUTION, True)):
        axes = panels(compose_heat_maps(made, look))
        limits = {mesh(axes[name]).get_clim() for name in ("source 0", "target 0")}
        assert len(limits) == 1
        low, high = limits.pop()
        assert low == (-high if signed else 0)
        assert axes["scale"].get_xlim() == (low, high)


def test_limits_of_attributions_are_not_set_by_a_single_cell():
    values = np.linspace(-1, 1, 1001, dtype=np.float32)[None]
    values[0, 500] = 1000
    low, high = color_limits([values, None], signed=True)
    assert (low, high) == (-high, pytest.approx(1, abs=0.01))
    assert color_limits([values], signed=False) == (0, 1000)
    assert color_limits([None], signed=False) == (0, 1)


def test_what_cannot_be_shown_is_said(made):
    written = texts(compose_heat_maps(made, ACTIVATION))
    assert "no samples" in written  # rice in the target
    assert "no activation" in written  # rice in the source
    assert "12 of 12 predicted right" in written
    assert "10 of 10 predicted right, 10 of them without activation" in written


def test_groups_share_one_plane_with_colours_by_class_and_markers_by_domain(made):
    page = compose_planes(made)
    axes = [panels(page)[plane.name] for plane in made.planes]
    assert len({(one.get_xlim(), one.get_ylim()) for one in axes}) == 1
    corners = set()
    for one, plane in zip(axes, made.planes, strict=True):
        behind, front = one.collections
        assert len(behind.get_offsets()) == sum(len(p.points) for p in made.planes) - len(plane.points)
        drawn = {
            (round(x, 4), round(y, 4), to_hex(color))
            for (x, y), color in zip(front.get_offsets().tolist(), front.get_facecolors(), strict=True)
        }
        colors = ("#ffd300", "#00a8e2")
        assert drawn == {
            (round(float(x), 4), round(float(y), 4), colors[label])
            for (x, y), label in zip(plane.points, plane.labels, strict=True)
        }
        corners.add(len(front.get_paths()[0].vertices))
    assert len(corners) == 3
    (legend,) = page.figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["corn", "rice", "source", "source, augmented", "target"]


def test_perplexity_seed_and_augmentation_are_stated(made):
    text = " ".join(texts(compose_planes(made)))
    assert "Perplexity 4, seed 1. Augmented with the preset paper." in text


def test_ndvi_of_source_and_target_stand_in_one_panel(made):
    axes = panels(compose_ndvi(made))
    assert [len(axes[f"ndvi {label}"].lines) for label in (0, 1)] == [2, 1]  # no rice in the target
    solid, dashed = axes["ndvi 0"].lines
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    np.testing.assert_allclose(solid.get_ydata(), made.curves["source"]["corn"].median)
    assert solid.get_xdata()[:2].tolist() == [2.5, 7.5]  # middles of the bins, in days
    assert axes["ndvi 0"].get_xlim() == (0, 365)


def test_a_name_with_dollar_signs_is_no_formula(made):
    crops = (replace(made.checkpoint.classes[0], name="$x^$"), made.checkpoint.classes[1])
    named = replace(made, checkpoint=replace(made.checkpoint, classes=crops), curves={})
    for page in compose_pictures(named).values():
        page.figure.canvas.draw()


def test_no_text_leaves_the_page_or_covers_another(made):
    for one in (made, explanation(augmentation="none")):
        for name, page in compose_pictures(one).items():
            page.figure.canvas.draw()
            width, height = page.figure.get_size_inches() * page.figure.dpi
            boxes = [text.get_window_extent() for text in page.figure.texts]
            assert all(
                box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes
            ), name
            pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
            assert not [pair for pair in pairs if pair[0].overlaps(pair[1])], name


def test_without_ndvi_there_is_no_picture_of_it(made):
    assert "ndvi" not in compose_pictures(replace(made, curves={}))
