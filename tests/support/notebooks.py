"""Notebooks, executed as a reader does, and what they say."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

TIMEOUT = 300
"""Seconds that a cell may take."""

_NEEDED = ("ipykernel", "nbclient", "nbformat")


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where what executes notebooks, or other modules, is not installed."""
    missing = [name for name in (*_NEEDED, *modules) if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"the extra 'notebook' or 'dev' lacks {missing}")


def executed(path: Path, *cells: str) -> Any:
    """A notebook with its outputs, executed in its own folder.

    Args:
        path: The notebook; the file stays as it is.
        *cells: Code that is run after its last cell.
    """
    nbclient, nbformat = import_module("nbclient"), import_module("nbformat")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(text) for text in cells]
    place = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=TIMEOUT, resources=place).execute()
    return notebook


def printed(notebook: Any) -> str:
    """All that was written to stdout."""
    return "".join(one["text"] for one in _outputs(notebook) if one.get("name") == "stdout")


def shown(notebook: Any, kind: str) -> list[str]:
    """Results of a kind, such as `image/png` or `text/html`, in their order."""
    return [one["data"][kind] for one in _outputs(notebook) if kind in one.get("data", {})]


def _outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]
