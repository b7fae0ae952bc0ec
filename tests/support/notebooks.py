"""Notebooks, run in a kernel as their users run them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any


def executed(path: Path, *cells: str) -> Any:
    """A notebook with its outputs, run in its own folder; the file stays as it is.

    Args:
        path: The notebook.
        *cells: Code that is run after it, one cell each.
    """
    nbclient, nbformat = import_module("nbclient"), import_module("nbformat")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    return notebook


def printed(notebook: Any) -> str:
    """All that its cells wrote to stdout."""
    return "".join(output["text"] for output in outputs(notebook) if output.get("name") == "stdout")


def outputs(notebook: Any) -> list[Any]:
    """The outputs of all cells in order."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def assert_without_outputs(path: Path) -> None:
    """A notebook is committed as it is before anybody runs it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
