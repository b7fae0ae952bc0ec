"""The published numbers against the text of the paper, where that lies next to the checkout."""

import re
from pathlib import Path

import pytest

from training.models.registry import MODELS
from training.transfer.protocol import AUGMENTATIONS
from training.transfer.published import published, published_cells

PAPER = Path(__file__).resolve().parents[3] / ".." / "shared" / "papers" / "cropnet_paper.txt"
FIGURE = re.compile(r"(\d+\.\d+) *(?:±|\\pm) *(\d+\.\d+)")


@pytest.fixture(scope="module")
def tables():
    """Number of a table -> its lines in the text, which follow the caption."""
    if not PAPER.is_file():
        pytest.skip(
            "The text of the paper is not next to this checkout (../shared/papers/cropnet_paper.txt)."
        )
    text = PAPER.read_text(encoding="utf-8")
    return {number: text.split(f"\nTable {number}:")[1].split("\n\n")[1] for number in (3, 4, 5, 6, 7)}


def cells(table):
    found = [cell for cell in published_cells() if cell.table == table]
    name = "{0.source} to {0.target}, {0.method}"
    return pytest.mark.parametrize("cell", found, ids=[name.format(cell) for cell in found])


def figures(line):
    return [tuple(map(float, pair)) for pair in FIGURE.findall(line)]


def of(cell):
    return [(cell.accuracy, cell.accuracy_std), (cell.macro_f1, cell.macro_f1_std)]


def block_of(text, direction):
    """The lines of table 3 below the heading that names a direction, and the place of the direction in it."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if direction in line)
    directions = re.findall(r"[A-Z]{3} → [A-Z]{3}", lines[start])
    return lines[start + 1 :], directions.index(direction)


@cells(3)
def test_table_3_is_that_of_the_text(tables, cell):
    lines, place = block_of(tables[3], f"{cell.source} → {cell.target}")
    if cell.target in ("AUS", "ARG") and cell.method.endswith("AUGM"):
        # The text calls this row RF_Harmonic; its gains in brackets are those on CropNet of table 6.
        line = next(line for line in lines if "+ 0.58" in line)
    else:
        line = next(line for line in lines if cell.method in line.split("\t"))
    assert figures(line)[2 * place : 2 * place + 2] == of(cell)


@cells(4)
def test_table_4_is_that_of_the_text(tables, cell):
    line = next(line for line in tables[4].splitlines() if line.split("\t")[0] == cell.method)
    place = ["FRA", "USA"].index(cell.source)
    assert figures(line)[2 * place : 2 * place + 2] == of(cell)


@cells(5)
def test_the_spectra_of_table_5_are_those_of_the_text(tables, cell):
    lines, place = block_of(tables[5], f"{cell.source} → {cell.target}")
    line = next(line for line in lines if cell.method in line.split("\t"))
    assert figures(line)[2 * place : 2 * place + 2] == of(cell)
    months = {
        "EMIT_Jun": "month:6",
        "EMIT_Aug": "month:8",
        "EMIT_Jun&Aug": "month:6,8",
        "EMIT_Feb": "month:8",
    }
    assert (cell.model, cell.inputs) == ("cropnet-1d", f"emit {months[cell.method]}")


@cells(6)
def test_table_6_is_that_of_the_text(tables, cell):
    head = next(line for line in tables[6].splitlines() if "CNN Model" in line)
    place = [name for name in head.split("\t") if name][1:].index(cell.method)
    line = next(line for line in tables[6].splitlines() if f"{cell.source} → {cell.target}" in line)
    assert figures(line)[2 * place : 2 * place + 2] == of(cell)


@cells(7)
def test_table_7_is_that_of_the_text(tables, cell):
    line = next(line for line in tables[7].splitlines() if line.split("\t")[0] == cell.method)
    place = ["USA", "ARG"].index(cell.target)
    assert figures(line)[2 * place : 2 * place + 2] == of(cell)


def test_gains_of_augmentation_in_table_3_are_those_on_table_6(tables):
    line = next(line for line in tables[3].splitlines() if "+ 0.58" in line)
    gains = [float(gain) for gain in re.findall(r"\(\+ (\d+\.\d+)\)", line)]
    found = []
    for source, target in (("USA", "AUS"), ("USA", "ARG"), ("FRA", "ARG")):
        with_it, without = (published(source, target, "cropnet", name) for name in ("paper", "none"))
        found += [with_it.accuracy - without.accuracy, with_it.macro_f1 - without.macro_f1]
    assert found == pytest.approx(gains)


def test_cells_that_two_tables_hold_agree():
    seen = {}
    for cell in published_cells():
        key = (cell.source, cell.target, cell.model, cell.augmentation, cell.inputs)
        assert seen.setdefault(key, of(cell)) == of(cell)


def test_every_cell_is_of_a_model_and_augmentation_that_can_be_run():
    assert {cell.model for cell in published_cells()} <= {*MODELS}
    assert {cell.augmentation for cell in published_cells()} <= {*AUGMENTATIONS}


def test_a_cell_that_nobody_published_is_none():
    assert published("ARK", "CAL", "cropnet", "none") is None
    assert published("FRA", "BEL", "cropnet-1d", "none", "emit month") is None


def test_spectra_are_not_compared_with_series():
    series, spectra = (published("FRA", "BEL", "cropnet-1d", "none", i) for i in ("", "emit month:6,8"))
    assert (series.table, series.accuracy) != (spectra.table, spectra.accuracy)
    assert (spectra.place, spectra.accuracy) == ("table 5, EMIT_Jun&Aug", 91.41)
