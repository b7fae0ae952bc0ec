"""A page about a map: what it says is in the files it was made from, and a browser shows it."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from assessment.document.facts import Words, read_document
from assessment.document.page import area_rows, page
from assessment.document.pictures import LONGEST, class_picture, frame_of, value_picture
from gee_pipeline.errors import IncompleteRunError, MismatchError
from gee_pipeline.files import read_json, write_json
from inference.product.map_facts import COUNTED
from tests.support.assessed_run import assess, made_map, write_again
from tests.support.made_runs import MadeRun, made_grid, made_run, random_layers
from tests.support.tiny_place import run_cropmap

pytestmark = pytest.mark.slow

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def run(tmp_path: Path) -> MadeRun:
    return made_map(tmp_path / "run")


def text_of(html: str) -> str:
    """What a reader sees of a page."""
    seen: list[str] = []

    class Reader(HTMLParser):
        hidden = False

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.hidden = tag in ("script", "style")

        def handle_endtag(self, tag: str) -> None:
            self.hidden = False

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                seen.append(data)

    Reader().feed(html)
    return " ".join(" ".join(seen).split())


def test_without_an_assessment_areas_are_called_counts(run: MadeRun) -> None:
    document = read_document(run.folder, Words())
    text = text_of(page(document))
    assert COUNTED in text
    assert "not assessed" in text
    assert "estimated, ha" not in text
    counted = {
        one["name"]: one["hectares"] for one in read_json(run.folder / "map" / "report.json")["classes"]
    }
    for row in area_rows(document):
        assert float(row.counted.replace(",", "")) == pytest.approx(counted[row.name], abs=0.06)
        assert row.estimated == ""


def test_with_an_assessment_areas_have_intervals_beside_the_counts(run: MadeRun) -> None:
    found = read_json(assess(run) / "report.json")
    document = read_document(run.folder, Words())
    rows = {row.name: row for row in area_rows(document)}
    for one in found["plain"]["classes"]:
        if "few omissions" in one["area"]["flags"]:
            continue
        low, high = (float(text.replace(",", "")) for text in rows[one["name"]].interval.split(" to "))
        assert low == pytest.approx(one["area"]["low"], abs=0.06)
        assert high == pytest.approx(one["area"]["high"], abs=0.06)
    text = text_of(page(document))
    overall = found["plain"]["overall"]["value"]
    assert f"{overall:.1%}".replace("%", " %") in text
    assert COUNTED not in text
    assert "user’s accuracy" in text


def test_where_few_were_omitted_the_wider_interval_stands_first(run: MadeRun) -> None:
    place = assess(run) / "report.json"
    found = read_json(place)
    one = found["plain"]["classes"][0]
    one["area"] |= {"flags": ["few omissions"], "low": 95.6, "high": 95.6, "mover": [84.0, 116.9]}
    write_json(place, found)
    row = next(row for row in area_rows(read_document(run.folder, Words())) if row.name == one["name"])
    assert row.interval == "84.0 to 116.9"
    assert "from the variance alone 95.6 to 95.6, too narrow" in row.flags


def test_the_assessment_can_be_left_out(run: MadeRun) -> None:
    assess(run)
    assert read_document(run.folder, Words(), assessed=False).assessment is None


def test_an_assessment_of_another_map_is_refused(run: MadeRun) -> None:
    assess(run)
    with rasterio.open(run.folder / "map" / "crop_map.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.write(np.roll(file.read(1), 1, axis=1), 1)
    with pytest.raises(MismatchError, match=r"of another map than .*assess the map again"):
        read_document(run.folder, Words())


def test_a_map_that_is_not_whole_has_no_page(run: MadeRun) -> None:
    (run.folder / "map" / "report.json").unlink()
    with pytest.raises(IncompleteRunError, match="cropmap status"):
        read_document(run.folder, Words())


def test_the_publishers_words_are_text_and_no_markup(run: MadeRun) -> None:
    words = Words("Crops <2021> & more", "A & B", "CC BY 4.0", "<script>alert(1)</script>", "First\nyear")
    html = page(read_document(run.folder, words))
    assert "<script>alert" not in html
    for said in ("Crops <2021> & more", "A & B", "Licence: CC BY 4.0", "Contact: <script>alert(1)</script>"):
        assert said in text_of(html)


def test_a_simulated_map_says_so_first(run: MadeRun) -> None:
    write_again(run, simulated=True)
    text = text_of(page(read_document(run.folder, Words())))
    assert text.index("are simulated") < text.index("mapped area")


def test_a_page_asks_for_nothing_from_elsewhere(run: MadeRun) -> None:
    html = page(read_document(run.folder, Words()))
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", html) + re.findall(r"url\(([^)]*)\)", html)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "@import" not in html


def test_a_new_map_takes_the_page_of_the_former_away(run: MadeRun) -> None:
    assert run_cropmap("report", run.folder).exit_code == 0
    assert (run.folder / "map" / "report.html").is_file()
    write_again(run)
    assert not (run.folder / "map" / "report.html").exists()


def test_pictures_show_the_area_pixel_for_pixel(run: MadeRun) -> None:
    path = run.folder / "map" / "crop_map.tif"
    frame = frame_of(path)
    assert (frame.row_off, frame.height) == (6, 58)  # 8 rows outside, of which a rim of 2 % is shown
    colors = {1: "#102030", 5: "#a0b0c0"}
    picture = class_picture(path, "Crops", frame, colors)
    shown = np.asarray(_image(picture.uri).convert("RGBA"))
    codes = run.layers[0, 6:64]
    assert shown.shape == (*codes.shape, 4)
    assert (shown[codes == 1] == (0x10, 0x20, 0x30, 255)).all()
    assert (shown[codes == 5] == (0xA0, 0xB0, 0xC0, 255)).all()
    assert (shown[codes == 0, 3] == 0).all()
    values = value_picture(run.folder / "map" / "confidence.tif", "Confidence", frame, (0, 100))
    light = np.asarray(_image(values.uri).convert("RGBA")).astype(float)
    sure = run.layers[1, 6:64]
    assert (light[sure == 255, 3] == 0).all()
    assert light[sure == 100, :3].sum(axis=1).min() > light[sure == 0, :3].sum(axis=1).max()


def test_pictures_of_a_large_map_are_no_larger(tmp_path: Path) -> None:
    grid = made_grid(1, 60, cell_size=32)
    made = made_run(tmp_path / "run", grid, random_layers((32, 60 * 32)))
    write_again(made)
    path = made.folder / "map" / "crop_map.tif"
    picture = class_picture(path, "Crops", frame_of(path), {})
    assert picture.width == LONGEST
    assert picture.height == round(32 * LONGEST / (60 * 32))


def _image(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1_100, 500])
def test_a_browser_shows_the_map_and_complains_of_nothing(run: MadeRun, tmp_path: Path, width: int) -> None:
    assess(run)
    assert run_cropmap("report", run.folder).exit_code == 0
    path, shot = run.folder / "map" / "report.html", tmp_path / "shot.png"
    given = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"]
    window = [
        f"--window-size={width},1400",
        "--virtual-time-budget=5000",
        f"--user-data-dir={tmp_path / 'user'}",
    ]
    command = [str(BROWSER), *given, *window, f"--screenshot={shot}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    for one in read_document(run.folder, Words()).legend[:5]:
        wanted = tuple(bytes.fromhex(one.color[1:]))
        assert (pixels == wanted).all(axis=1).sum() > 2_000, one.name
    dom = [str(BROWSER), *given, *window, "--dump-dom", path.as_uri()]
    html = subprocess.run(dom, capture_output=True, text=True, timeout=120, check=True).stdout
    assert re.search(r'class="sheet" style="transform: translate\([^"]*scale\(\d', html)  # the script ran
    assert re.search(r'class="bar">\d+ m<span', html)
