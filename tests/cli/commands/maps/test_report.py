"""`cropmap report`, as typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.product.map_writer import write_map
from tests.support.made_runs import CROPS, made_facts, made_grid, made_run, random_layers
from tests.support.tiny_place import run_cropmap

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = made_run(tmp_path / "run", made_grid(1, 2, cell_size=32), random_layers((32, 64)))
    write_map(made.folder, made.grid, made.cells, CROPS, made_facts())
    return made.folder


def test_it_names_the_page_and_what_areas_are(run: Path) -> None:
    result = run_cropmap("report", run)
    assert (result.exit_code, result.stdout) == (0, f"{run / 'map' / 'report.html'}\n")
    assert "pixel counts, not area estimates" in result.stderr


def test_words_come_from_a_file_and_the_command_line_wins(run: Path, tmp_path: Path) -> None:
    words = tmp_path / "agency.toml"
    words.write_text('agency = "Office"\nlicence = "CC0"\ntitle = "Of the file"\n', encoding="utf-8")
    out = tmp_path / "page.html"
    given = ("--config", words, "--title", "Typed", "--out", out)
    assert run_cropmap("report", run, *given).exit_code == 0
    html = out.read_text(encoding="utf-8")
    assert "<h1>Typed</h1>" in html
    assert "Licence: CC0" in html
    assert not (run / "map" / "report.html").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--no-assessment", "--assessment", "."), "not both"),
        (("--assessment", "."), "report.json"),
        (("--title",), "requires an argument"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_written(run: Path, given: tuple[str, ...], said: str) -> None:
    result = run_cropmap("report", run, *given)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (run / "map" / "report.html").exists()


def test_a_run_without_a_map_is_told_how_to_finish(run: Path) -> None:
    (run / "map" / "report.json").unlink()
    result = run_cropmap("report", run)
    assert result.exit_code == 3
    assert "cropmap status" in result.stderr
