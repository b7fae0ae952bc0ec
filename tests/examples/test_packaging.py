"""Container and conda recipe name what setup.cfg names; neither is built here."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from cli.main import cropmap

ROOT = Path(__file__).resolve().parents[2]

CONDA = {
    "torch": "pytorch",
    "dask": "dask-core",
    "matplotlib": "matplotlib-base",
    "geopandas": "geopandas-base",
}
"""Names that conda-forge has for the same, or for the part that is needed."""


def config() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


def required() -> set[str]:
    lines = config()["options"]["install_requires"].split()
    split = (re.fullmatch(r"([\w.-]+?)(>=.*)", line) for line in lines)
    return {f"{CONDA.get(m[1], m[1])} {m[2]}" for m in split if m}


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    text = (ROOT / "examples" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    run = text.partition("  run:\n")[2].partition("\n\n")[0]
    named = {line.strip().removeprefix("- ") for line in run.splitlines()}
    assert named == required() | {"python >=3.11"}
    assert f'version: "{config()["metadata"]["version"]}"' in text
    entry = config()["options.entry_points"]["console_scripts"].strip()
    assert f"- {entry}" in text


def test_the_container_installs_pinned_packages_and_runs_a_command_that_there_is() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    extras = re.search(r"\"\.\[([\w,]+)\]\"", text)
    assert extras
    assert set(extras[1].split(",")) <= set(config()["options.extras_require"])
    assert "--constraint constraints.txt" in text
    assert 'ENTRYPOINT ["cropmap"]' in text
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not {"cli", "inference", "setup.cfg", "constraints.txt", "README.md", "LICENSE"} & set(ignored)
    words = re.findall(r"cropmap (\w+) --aoi", text)
    assert words
    assert all(word in cropmap.commands or cropmap.get_command(None, word) for word in words)  # type: ignore[arg-type]
