"""A path that is not there is named at once: nothing heavy was imported to see it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import cropmap
from cli.options.paths import (
    ANY_FILE_OR_FOLDER,
    ANY_PATH,
    IN_FILE,
    IN_FOLDER,
    Address,
    FileOrName,
    ModelFile,
    is_place,
)
from tests.support.tiny_place import run_cropmap

ROOT = Path(__file__).parents[3]

HEAVY = (
    "torch",
    "ee",
    "dask",
    "rasterio",
    "odc",
    "numba",
    "pandas",
    "geopandas",
    "sklearn",
    "scipy",
    "xarray",
)


SCRIPT = """
import io, json, sys
from contextlib import redirect_stderr
from cli.main import cropmap

for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with redirect_stderr(said):
        try:
            code = cropmap(line, standalone_mode=True)
        except SystemExit as end:
            code = end.code
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    print(json.dumps([code, said.getvalue().splitlines()[-1], heavy]))
"""


def commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*names, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)


def is_read(param: click.Parameter) -> bool:
    """Whether a parameter names something to read."""
    return param.type in (IN_FILE, IN_FOLDER, ANY_FILE_OR_FOLDER, ANY_PATH) or isinstance(
        param.type, Address | FileOrName
    )


def value_of(param: click.Parameter, there: Path) -> str:
    if param.name == "year":
        return "2021"
    if is_read(param):
        return str(there.parent if param.type is IN_FOLDER else there)
    return param.type.choices[0] if isinstance(param.type, click.Choice) else "made"


def line_of(param: click.Parameter, value: str) -> list[str]:
    return [value] if isinstance(param, click.Argument) else [param.opts[0], value]


def lines(there: Path) -> Iterator[tuple[str, list[str]]]:
    """For every path that a command reads: a line where all is right but that path."""
    for names, command in commands(cropmap):
        for wrong in filter(is_read, command.params):
            line = [*names, *line_of(wrong, "nowhere.x")]
            for param in command.params:
                if param.required and param is not wrong:
                    line += line_of(param, value_of(param, there))
            if isinstance(wrong, click.Argument):  # arguments stand in order
                line = [*names]
                for param in command.params:
                    value = "nowhere.x" if param is wrong else value_of(param, there)
                    line += line_of(param, value) if param.required or param is wrong else []
            yield " ".join((*names, *wrong.opts)), line


def test_a_path_that_is_not_there_is_named_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    there = tmp_path / "there.geojson"
    there.write_text('{"type": "Point", "coordinates": [0, 0]}')
    named = dict(lines(there))
    assert len(named) > 40
    python = [sys.executable, "-c", SCRIPT, json.dumps(list(named.values())), json.dumps(HEAVY)]
    done = subprocess.run(python, capture_output=True, text=True, cwd=ROOT, check=True)
    told = dict(zip(named, map(json.loads, done.stdout.splitlines()), strict=True))
    unsaid = {name: said for name, (code, said, _) in told.items() if code != 2 or "nowhere.x" not in said}
    assert unsaid == {}
    assert [said for _, said, _ in told.values() if "does not exist" not in said] == []
    assert {name: heavy for name, (_, _, heavy) in told.items() if heavy} == {}


def test_every_path_is_of_a_kind_that_says_whether_it_is_read() -> None:
    files = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("cli/**/*.py")}
    assert [path.name for path, text in files.items() if "click.Path(" in text] == ["paths.py"]


@pytest.mark.parametrize(
    "text",
    [
        "https://host/catalog.json?token=x",  # looked at when it is asked
        "s3://bucket/mask.tif:40",
        "/vsicurl/https://host/mask.tif",
        "{there}",
        "{there}:40",
        "{there}:1,2,5-9",
        "{there}:1,two",  # which says another thing of its values
        "{folder}/a%20b.tif",  # a link, whose file has a blank
    ],
)
def test_an_address_may_be_a_path_with_values_or_lie_elsewhere(text: str, tmp_path: Path) -> None:
    there = tmp_path / "mask.tif"
    for path in (there, tmp_path / "a b.tif"):
        path.touch()
    asked = text.format(there=there, folder=tmp_path)
    assert Address("mask", "", values=True).convert(asked, None, None) == asked


@pytest.mark.parametrize(
    ("text", "named"), [("none.tif:40", "none.tif"), ("none.tif:x", "none.tif:x"), ("a\0b", "a\0b")]
)
def test_an_address_that_is_nowhere_is_named_without_its_values(text: str, named: str) -> None:
    with pytest.raises(click.BadParameter, match=f"^The mask {named} does not exist. Give another.$"):
        Address("mask", "Give another.", values=True).convert(text, None, None)


def test_a_name_that_stands_for_a_file_is_taken_and_others_are_listed(tmp_path):
    kind = ModelFile("accurate", "fast")
    file = tmp_path / "model.safetensors"
    file.touch()
    assert kind.convert("fast", None, None) == "fast"
    assert kind.convert(str(file), None, None) == file
    with pytest.raises(click.BadParameter, match=r"'quick' does not exist\. Give a file, or accurate"):
        kind.convert("quick", None, None)


def test_a_name_in_a_file_of_options_is_no_path_beside_it(tmp_path):
    kind = ModelFile("accurate", "fast")
    assert not is_place(kind, "fast")
    assert is_place(kind, "model.safetensors")
    assert is_place(IN_FILE, "fast")


@pytest.mark.parametrize(
    "command",
    [
        ("train", "a.npz", "--out", "a.npz"),
        ("train", "b.npz", "a.npz", "--out", "folder/../a.npz"),
        ("train", "a.npz", "--legend", "legend.toml", "--out", "legend.toml"),
        ("adapt", "--source", "a.npz", "--target", "b.npz", "--out", "b.npz"),
        ("distill", "a.npz", "--teacher", "b.npz", "--out", "b.npz"),
        ("tune", "b.npz", "a.npz", "--out", "b.npz"),
        ("tune", "fast", "a.npz", "--rehearse", "b.npz", "--out", "b.npz"),
        ("evaluate", "fast", "a.npz", "--out", "a.npz"),
        ("evaluate", "fast", "a.npz", "--calibrate", "a.npz"),
        ("evaluate", "b.npz", "a.npz", "--calibrate", "b.npz"),
        ("samples", "info", "a.npz", "--picture", "a.npz"),
        ("forest", "train", "a.npz", "--out", "a.npz"),
        ("forest", "pseudo-label", "--run", "folder", "--reference", "a.npz", "--out", "a.npz"),
        (
            *("forest", "code", "--aoi", "a.npz", "--year", "2023", "--forest", "b.npz"),
            *("--language", "python", "--out", "b.npz"),
        ),
        (*("sample", "--aoi", "a.npz", "--year", "2021", "--reference", "cdl"), "--out", "a.npz"),
    ],
    ids=" ".join,
)
def test_nothing_is_written_over_what_a_command_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("a.npz", "b.npz", "legend.toml"):
        Path(name).write_bytes(name.encode())
    result = run_cropmap(*command)
    assert result.exit_code == 2
    assert f"The command reads {command[-1]}, and would write over it." in result.stderr
    assert Path(command[-1]).read_bytes() == Path(command[-1]).name.encode()


def test_two_results_have_a_file_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.npz").touch()
    result = run_cropmap("evaluate", "fast", "a.npz", "--out", "b", "--calibrate", tmp_path / "b")
    assert result.exit_code == 2
    assert "Two results would be written to" in result.stderr
    assert not Path("b").exists()
