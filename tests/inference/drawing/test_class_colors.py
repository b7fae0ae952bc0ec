"""The colours of classes, measured by another way than the code's: CIEDE2000, computed here."""

import math
from itertools import combinations, pairwise

import pytest

from gee_pipeline.errors import InputError
from inference.drawing.class_colors import CLASS_COLORS, colors_notice, require_colors, shown_color
from inference.models.crop_class import CropClass
from inference.models.shipped import model_path
from inference.product.legend import Legend
from training.samples.crops import crop_classes

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; rows of a matrix over linear RGB.
VISIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
LINEAR_TO_XYZ = (
    (0.4124, 0.3576, 0.1805),
    (0.2126, 0.7152, 0.0722),
    (0.0193, 0.1192, 0.9505),
)  # IEC 61966-2-1


def lab(color: str, vision: str = "normal") -> tuple[float, float, float]:
    """L*a*b* in D65 of what somebody sees of a colour."""
    values = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    seen = [min(max(sum(m * v for m, v in zip(row, linear, strict=True)), 0), 1) for row in VISIONS[vision]]
    relative = [sum(m * v for m, v in zip(row, seen, strict=True)) / sum(row) for row in LINEAR_TO_XYZ]
    x, y, z = (t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29 for t in relative)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one, other) -> float:
    """Sharma, Wu and Dalal 2005, equations 2 to 22."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1 + 0.5 * (1 - math.sqrt(mean**7 / (mean**7 + 25**7)))
    c1, c2 = math.hypot(stretch * a1, b1), math.hypot(stretch * a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    middle = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    d_hue = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn) / 2)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 + sum(
        weight * math.cos(math.radians(times * middle + shift))
        for weight, times, shift in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    )
    s_l = 1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    rotation = -math.sin(math.radians(60 * math.exp(-(((middle - 275) / 25) ** 2)))) * (
        2 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    )
    d_l, d_c, d_h = (l2 - l1) / s_l, (c2 - c1) / s_c, d_hue / s_h
    return math.sqrt(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [  # pairs of table 1 of Sharma, Wu and Dalal 2005
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_measure_is_that_of_the_published_table(one, other, expected):
    assert ciede2000(one, other) == pytest.approx(expected, abs=1e-4)


def shown() -> dict[str, str]:
    """Every colour of a map of all shipped classes: those of models, special codes, and paper."""
    legend = Legend.of(crop_classes(tuple(CLASS_COLORS)))
    return {entry.name: entry.color for entry in legend.entries} | {"outside": "#ffffff"}


def least(colors: dict[str, str], vision: str) -> tuple[float, str, str]:
    seen = {name: lab(color, vision) for name, color in colors.items()}
    return min((ciede2000(seen[one], seen[other]), one, other) for one, other in combinations(seen, 2))


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_colours_of_a_map_are_ten_or_more_apart(vision):
    assert len(shown()) == 10
    assert least(shown(), vision)[0] >= 12  # 10 is asked


def test_the_measure_finds_what_the_former_colours_lacked():
    former = {"soybeans": "#267000", "cotton": "#ff2626", "corn": "#ffd300"}
    distance, *pair = least(former, "protanopia")
    assert distance < 5
    assert set(pair) == {"soybeans", "cotton"}


def test_in_grey_print_any_two_differ():
    lightness = sorted(lab(color)[0] for color in shown().values())
    assert min(b - a for a, b in pairwise(lightness)) >= 5.9


@pytest.mark.parametrize("name", ["accurate", "fast", "wide"])
def test_maps_of_the_models_that_ship_have_these_colours(name):
    from inference.models.checkpoint import load_checkpoint

    legend = Legend.of(load_checkpoint(model_path(name)).classes)
    assert {e.name: e.color for e in legend.crops} == {e.name: CLASS_COLORS[e.name] for e in legend.crops}


def test_a_colour_of_ones_own_stays():
    assert shown_color("cotton", "#ff2627") == "#ff2627"
    assert shown_color("Cotton", "#ff2626") == "#ff2626"  # no class of that name ships
    assert shown_color("cotton", "#FF2626") == CLASS_COLORS["cotton"]


def test_chosen_colours_win_also_for_the_special_codes():
    classes = (CropClass(1, "corn", "#ffd300"), CropClass(2, "rye", "#112233"))
    legend = Legend.of(classes, {"rye": "#445566", "not cropland": "#eeeeee"})
    assert [entry.color for entry in legend.entries] == ["#ffd300", "#445566", "#eeeeee", "#404040"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"maize": "#ffd300"}, "names 'maize', but the map has corn, rye"),
        ({"corn": "yellow"}, "#rrggbb, got corn=yellow"),
        ({"corn": "#ffd30"}, "#rrggbb, got corn=#ffd30"),
    ],
)
def test_colours_that_cannot_be_shown_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        require_colors(given, ("corn", "rye"))


def test_colours_that_some_cannot_tell_apart_are_named():
    assert colors_notice(CLASS_COLORS) is None
    said = colors_notice({"soybeans": "#267000", "cotton": "#b02a10", "corn": "#ffd300"})
    assert said is not None
    assert "soybeans and cotton" in said
