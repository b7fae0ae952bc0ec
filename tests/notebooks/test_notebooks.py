"""What holds for every notebook, without executing it."""

import json
import re

import pytest

from tests.support.notebooks import NOTEBOOKS

ROOT = NOTEBOOKS.parent
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))

MOST_CELLS = 14
"""Code cells: a notebook is read at one sitting."""


def cells(name):
    return json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name):
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_short_and_says_before_any_code_what_is_simulated(name):
    kinds = [cell["cell_type"] for cell in cells(name)]
    assert kinds.count("code") <= MOST_CELLS
    assert kinds[0] == "markdown"
    assert "simulated" in "".join(cells(name)[0]["source"]).lower()


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_names_files_that_are_there(name):
    text = "".join("".join(cell["source"]) for cell in cells(name) if cell["cell_type"] == "markdown")
    for path in re.findall(r"`((?:docs|examples)/[^`\s]+)`", text):
        assert (ROOT / path).exists(), path
    for other in re.findall(r"`(\d\d_[^`\s]+\.ipynb)`", text):
        assert other in NAMES, other


def test_the_documents_list_every_notebook():
    table = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert set(NAMES) <= set(re.findall(r"^\| \[(\S+)\]\(\.\./notebooks/\1\) \|", table, re.MULTILINE))
