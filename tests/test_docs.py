"""What the documents name is there: files, headings, modules, commands and their options."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import cropmap as public
from cli.main import cropmap

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
HISTORY = "CHANGELOG.md"
"""It names what once was there."""
NOW = [path for path in DOCUMENTS if path.name != HISTORY]

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```", re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """The names that headings have as targets of links."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in _LINK.findall(_CODE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, heading = link.partition("#")
        target = path.parent / place if place else path
        if not target.exists() or (heading and heading not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", NOW, ids=named)
def test_files_of_the_packages_that_are_named_are_there(path: Path) -> None:
    spans = _SPAN.findall(_CODE.sub("", path.read_text(encoding="utf-8")))
    files = [s for s in spans if re.fullmatch(r"(gee_pipeline|inference|training|cli|tests)/[\w./]+", s)]
    assert [file for file in files if not (ROOT / file).exists()] == []


def is_there(dotted: str) -> bool:
    """Whether a module is there, and defines what follows its name."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        module = path.with_suffix(".py") if not path.is_dir() else path / "__init__.py"
        if module.exists():
            names = parts[count : count + 1]
            text = module.read_text(encoding="utf-8")
            return all(re.search(rf"^(class|def) {name}\b|^{name}\b", text, re.MULTILINE) for name in names)
    return False


@pytest.mark.parametrize("path", NOW, ids=named)
def test_modules_and_names_that_are_named_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    dotted = set(re.findall(r"\b(?:gee_pipeline|inference|training|cli)(?:\.[A-Za-z_]\w*)+", text))
    dotted = {name for name in dotted if not name.endswith((".py", ".md"))}
    assert sorted(name for name in dotted if not is_there(name)) == []


def test_a_name_that_is_not_there_is_found_out() -> None:
    assert is_there("gee_pipeline.recipe.Recipe")
    assert not is_there("gee_pipeline.recipe.NoSuchThing")
    assert not is_there("gee_pipeline.no_such_module")


def command_lines(path: Path) -> Iterator[str]:
    """Every `cropmap ...` in a code block, its continued lines joined."""
    for block in _CODE.findall(path.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            if match := re.match(r"\s*(?:\$ )?(cropmap .*)", line):
                yield match.group(1)


def unknown(line: str) -> list[str]:
    """The words of a command line that cropmap does not know: a command, or options."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cropmap
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return [words[0]]
        command, words = found, words[1:]
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {
        "--help",
        "--version",
    }
    return [word for word in words if word.startswith("--") and word.split("=")[0] not in options]


@pytest.mark.parametrize("path", NOW, ids=named)
def test_commands_and_options_that_are_shown_exist(path: Path) -> None:
    wrong = [(line, words) for line in command_lines(path) if (words := unknown(line))]
    assert wrong == []


def test_commands_are_found_in_the_documents() -> None:
    """Else the test above would pass on documents that it cannot read."""
    assert len(list(command_lines(ROOT / "docs" / "mapping.md"))) >= 5
    assert unknown("cropmap predict --year 2021 --no-such-thing") == ["--no-such-thing"]
    assert unknown("cropmap no-such-command") == ["no-such-command"]


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_holds_every_page_and_command(
    tmp_path: Path,
) -> None:
    line = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert f'href="{path.stem}.html"' in index or path.stem == "index", f"no way leads to {path.name}"
    commands = (tmp_path / "commands.html").read_text(encoding="utf-8")
    for words in ("predict", "assess design", "forest train", "doctor"):
        assert f'id="cropmap-{words.replace(" ", "-")}"' in commands
    assert "cropmap predict --aoi region.geojson" in commands  # dashes as they are typed
    functions = (tmp_path / "python_reference.html").read_text(encoding="utf-8")
    for name in public.__all__:
        assert f'id="cropmap.{name}"' in functions


def test_messages_that_troubleshooting_quotes_are_those_of_the_packages() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| \"([^\"]+)\"", text, re.MULTILINE)
    assert len(quoted) > 10
    packages = ("gee_pipeline", "inference", "training", "assessment", "cli")
    sources = [path.read_text(encoding="utf-8") for name in packages for path in (ROOT / name).rglob("*.py")]
    # a message is written over several lines: "... and " + "none were found"
    joined = [re.sub(r"\"\s*\n\s*f?\"", "", source) for source in sources]
    assert [words for words in quoted if not any(words in source for source in joined)] == []


def test_the_table_of_visits_is_the_one_that_is_shown() -> None:
    table = (ROOT / "docs" / "visits.csv").read_text(encoding="utf-8")
    assert f"```\n{table}```" in (ROOT / "docs" / "field_data.md").read_text(encoding="utf-8")
