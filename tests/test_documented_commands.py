"""The commands that the documents show run as they stand, page by page, among the files that they name."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.documented_world import SMALL, answer, gather, make_world, visit
from tests.support.made_weights import write_weights
from tests.support.tiny_place import run_cropmap
from tests.test_docs import ROOT, command_lines

pytestmark = pytest.mark.slow

PAGES = sorted((ROOT / "docs").glob("*.md"))

QUICK = {
    "train": ("--epochs", "1", "--device", "cpu"),
    "adapt": ("--preset", "small-8", "--epochs", "1", "--device", "cpu"),
    "distill": ("--epochs", "1", "--device", "cpu"),
    "tune": ("--ways", "shares", "--device", "cpu"),
    "benchmark": ("--preset", "small-8", "--epochs", "1", "--seeds", "1", "--device", "cpu"),
    "predict": SMALL,
    "export": SMALL,
}
"""What is added so that a page takes seconds: less training, one process."""

BEFORE = {
    "smoothing": (
        ["assess", "design", "run/", "--points", "200"],
        ["assess", "sheet", "run/", "--interpreters", "2"],
    )
}
"""What the text of a page takes as done."""


def asks_elsewhere(words: list[str]) -> bool:
    """Whether a command asks Earth Engine, a hub, a catalog or a cluster: none of them is here."""
    imagery = words[0] in ("predict", "export", "advise", "estimate", "sample")
    on_disk = "--source" in words or ("--config" in words and "--collect" not in words)
    forest = words[0] == "forest" and words[1] in ("deploy", "verify", "predict", "code")
    network = words[0] in ("ee", "deploy", "compare") or ("--asset" in words and "--manifest" not in words)
    other = words[0] == "data" or "--scheduler" in words
    return (imagery and not on_disk) or forest or network or other or any("https://" in w for w in words)


def lines_of(page: Path) -> list[list[str]]:
    """Words of the commands of a page that need nothing from elsewhere."""
    lines = [shlex.split(line, comments=True)[1:] for line in command_lines(page)]
    return [words for words in lines if not asks_elsewhere(words)]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documented") / "world"
    folder.mkdir()
    make_world(folder)
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if lines_of(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_as_they_stand(
    page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "world"
    shutil.copytree(world, here)
    monkeypatch.chdir(here)
    write_weights(here / "weights" / "presto.pt", "presto", monkeypatch)  # in place of those of GitHub
    differ = any("agreed.csv" in words for words in lines_of(page))
    for words in [*BEFORE.get(page.stem, ()), *lines_of(page)]:
        result = run_cropmap(*expanded(words), *quick(words))
        assert result.exit_code == 0, f"{' '.join(words)}: {result.output} {result.stderr}"
        if words[:2] == ["assess", "sheet"]:
            answer(here, differ=differ)
        if words[:2] == ["labels", "suggest"]:
            visit(here)
        if words[:2] == ["labels", "collect"]:
            gather(here, words[words.index("--out") + 1])


def quick(words: list[str]) -> tuple[str, ...]:
    """What is added to a command."""
    if words[:2] == ["forest", "train"]:
        return ("--split", "random")  # labels of a small map lie in one block
    if words[:2] == ["benchmark", "foundation"]:
        return ("--encoder", "resnet18", "--epochs", "1", "--views", "1", "--device", "cpu")
    small = ("--preset", "small-8") if words[0] == "train" and "--model" not in words else ()
    return (*QUICK.get(words[0], ()), *small)


def expanded(words: list[str]) -> list[str]:
    """Words as a shell gives them: names of files for a star."""
    return [w for word in words for w in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
