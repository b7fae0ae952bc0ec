import base64
import re
from datetime import date, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from rasterio.io import MemoryFile

from assessment.sheet.imagery import Imagery
from assessment.sheet.page import PagePoint, drawing, page, png

BANDS = ("B4", "B8")
DATES = [date(2021, 5, 1) + timedelta(days=5 * i) for i in range(6)]
SERIES = np.array([[0.1, 0.3], [0.1, 0.5], [np.nan, np.nan], [0.05, 0.45], [np.nan, np.nan], [0.1, 0.2]])
POINT = PagePoint("7", 14.25, 45.5, "6", "")


def imagery(chips=None) -> Imagery:
    return Imagery(tuple(range(6)), SERIES, chips)


class Reader(HTMLParser):
    """Tags that are open, links and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs) -> None:
        pass

    def handle_data(self, data) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_a_page_says_the_place_and_the_classes_and_loads_nothing() -> None:
    text = page(POINT, imagery(), BANDS, DATES, ("wheat", "rye <b>"))
    found = read(text)
    assert "45.500000, 14.250000" in found.text
    assert "wheat, rye <b>" in found.text  # as a text, not as a tag
    assert found.links[0] == "6.html"
    assert not re.search(r"<(script|link|iframe)|src=\"http|url\(", text)


def test_curves_have_a_point_for_each_observation_and_no_bridge_over_gaps() -> None:
    svg = drawing({"NDVI": (SERIES[:, 1] - SERIES[:, 0]) / SERIES.sum(axis=1)}, DATES, -0.2, 1.0)
    assert svg.count("<circle") == 4
    lines = re.findall(r'points="([^"]+)"', svg)
    assert [len(line.split()) for line in lines] == [2, 1, 1]
    x, y = (float(v) for v in lines[0].split()[1].split(","))
    assert x == pytest.approx(40 + 670 * 5 / 25, abs=0.1)
    ndvi = 0.4 / 0.6
    assert y == pytest.approx(160 - 140 * (ndvi + 0.2) / 1.2, abs=0.1)


def test_chips_of_dates_with_an_observation_are_pictures_in_true_colour() -> None:
    chips = np.full((6, 3, 5, 5), -9999, np.int16)
    chips[1] = np.array([3000, 0, 1500])[:, None, None]
    chips[1, :, 0, 0] = -9999
    text = page(POINT, imagery(chips), BANDS, DATES, ("wheat",))
    pictures = re.findall(r"base64,([^\"]+)", text)
    assert len(pictures) == 1
    assert "06 May" in read(text).text
    with MemoryFile(base64.b64decode(pictures[0])) as memory, memory.open() as file:
        values = file.read()
    assert values.shape == (3, 5, 5)
    assert values[:, 2, 2].tolist() == [255, 0, int(255 * 0.5**0.8)]
    assert values[:, 0, 0].tolist() == [128, 128, 128]


def test_a_point_that_was_never_seen_says_so() -> None:
    nothing = Imagery(tuple(range(6)), np.full((6, 2), np.nan), None)
    assert "Nothing was observed" in page(POINT, nothing, ("B11", "B12"), DATES, ("wheat",))


def test_a_picture_is_read_by_other_programs() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    with MemoryFile(png(pixels)) as memory, memory.open() as file:
        np.testing.assert_array_equal(file.read(), np.moveaxis(pixels, -1, 0))
