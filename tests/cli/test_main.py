import ast
import inspect
import os
import re
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import click
import pytest
import shapely
from click.testing import CliRunner

from cli.commands.forest import COMMANDS as FOREST_COMMANDS
from cli.main import COMMANDS, cropmap
from gee_pipeline.errors import IncompleteRunError, InputError

ROOT = Path(__file__).resolve().parents[2]


LONG = 15
"""Options from which on a help is hard to read as one list."""


def _leaves(group: click.Group = cropmap, above: str = "") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        words = f"{above}{name}"
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found.append((words, command))
        if isinstance(command, click.Group):
            found += _leaves(command, f"{words} ")
    return found


@pytest.mark.parametrize(("name", "command"), _leaves(), ids=lambda value: str(value))
def test_every_command_has_help_an_example_and_help_for_each_option(
    name: str, command: click.Command
) -> None:
    text = CliRunner().invoke(cropmap, [*name.split(), "--help"]).output
    assert f"cropmap {name}" in text.split("Example", 1)[-1]
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


@pytest.mark.parametrize(("name", "command"), _leaves(), ids=lambda value: str(value))
def test_a_long_help_has_headings_and_every_option_once(name: str, command: click.Command) -> None:
    options = [p for p in command.params if isinstance(p, click.Option)]
    text = command.get_help(click.Context(command, info_name=name, terminal_width=200))
    headings = re.findall(r"^[A-Z][^:\n]*:$", text, re.MULTILINE)
    if len(options) >= LONG:
        assert len(headings) >= 2, headings
    for option in options:
        assert len(re.findall(rf"^  .*{option.opts[-1]}(?=[ ,/\n])", text, re.MULTILINE)) >= 1


@pytest.mark.parametrize(("name", "command"), _leaves(), ids=lambda value: str(value))
def test_every_command_is_in_the_table(name: str, command: click.Command) -> None:
    assert f"cropmap {name}" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "command"), _leaves(), ids=lambda value: str(value))
def test_every_option_is_read(name: str, command: click.Command) -> None:
    """Named ones in the command itself; what it passes on by name, as an attribute or a key in some room."""
    assert command.callback is not None
    function = inspect.unwrap(command.callback)
    body = ast.parse(textwrap.dedent(inspect.getsource(function)))
    here = {n.id for n in ast.walk(body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    named = set(inspect.signature(function).parameters)
    options = [p.name for p in command.params if p.expose_value]
    assert [o for o in options if o in named and o not in here] == []
    assert [o for o in options if o not in named and o not in _read_by_rooms()] == []


@cache
def _read_by_rooms() -> set[str]:
    """Names that are read as an attribute of a request, or as a key of given options."""
    found: set[str] = set()
    for package in ("gee_pipeline", "inference", "training", "assessment", "cli"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                found |= _names_read(node)
    return found


def _names_read(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        return {node.attr}
    keys = []
    if isinstance(node, ast.Subscript):
        keys = [node.slice]
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("get", "pop")
    ):
        keys = node.args[:1]
    elif isinstance(node, ast.Dict):  # options that are fields of something else under another name
        keys = [key for key in node.keys if key is not None]
    return {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def test_help_lists_commands_in_the_order_of_the_work() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `cropmap (\w+)(?: ([\w-]+))?`", text, re.MULTILINE)
    assert list(COMMANDS) == list(dict.fromkeys(name for name, _ in table))
    of_forest = [name for group, name in table if group == "forest"]
    assert list(FOREST_COMMANDS) == of_forest
    assert of_forest == ["pseudo-label", "train", "deploy", "verify", "predict", "code"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cli.main import cropmap\n"
        "try: cropmap(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numba', 'numpy', 'rasterio', 'dask', 'geopandas', 'matplotlib', 'rich'}\n"
        "sys.stderr.write(','.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""
    assert "predict" in done.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("No area. Give --aoi."), 2), (IncompleteRunError("Cells are missing."), 3)],
)
def test_an_error_of_ours_is_one_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(cropmap, "get_command", lambda ctx, name: fails)
    result = CliRunner().invoke(cropmap, ["fails"])
    assert result.exit_code == code
    assert result.stderr == f"Error: {error}\n"


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cropmap, "get_command", lambda ctx, name: stopped)
    result = CliRunner().invoke(cropmap, ["stopped"])
    assert result.exit_code == 130
    assert "give the same command to continue" in result.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(30, "Read-only file system", "out/run.toml"), "Read-only file system: out/run.toml."),
        (MemoryError(), "The memory of this machine"),
        (KeyError("colour"), "KeyError: 'colour'. cropmap did not expect this; set CROPMAP_TRACEBACK=1"),
        (ValueError("no https://me:pw@host/a?token=T"), "ValueError: no https://host/a cropmap did not"),
        (RecursionError("maximum\nrecursion depth"), "RecursionError: maximum recursion depth."),
    ],
)
def test_any_other_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.delenv("CROPMAP_TRACEBACK", raising=False)
    monkeypatch.setattr(cropmap, "places", {"fails": "nowhere:fails"})
    monkeypatch.setattr(cropmap, "get_command", lambda ctx, name: fails)
    result = CliRunner().invoke(cropmap, ["fails"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"Error: {words}")
    monkeypatch.setenv("CROPMAP_TRACEBACK", "1")
    assert CliRunner().invoke(cropmap, ["fails"]).exception is error


@pytest.mark.parametrize(
    ("words", "suggested"),
    [(["predikt"], "predict"), (["forest", "verfy"], "verify"), (["ee", "chek"], "check")],
)
def test_a_misspelt_command_is_suggested(words: list[str], suggested: str) -> None:
    result = CliRunner().invoke(cropmap, words)
    assert result.exit_code == 2
    assert f"'{suggested}'" in result.stderr.partition("Did you mean")[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--aoi", "nowhere.geojson", "--year", "2021"), "nowhere.geojson does not exist"),
        (("--aoi", "nowhere.geojson", "--year", "2999"), "does not exist"),
        (("--aoi", "setup.cfg", "--year", "2999"), "Choose an earlier --year"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "export", "estimate"])
def test_a_wrong_place_or_year_is_refused_before_anything_heavy_is_imported(
    command: str, options: tuple[str, ...], words: str
) -> None:
    code = (
        "import sys; from cli.main import cropmap\n"
        f"try: cropmap({[command, *options]!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ee', 'pystac', 'numba', 'numpy', 'rasterio', 'dask', 'geopandas', 'xarray'}\n"
        "print(','.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert words in done.stderr
    assert done.stdout == "\n"


@pytest.mark.slow
def test_a_first_cell_waits_for_no_cluster_picture_table_or_catalog_writer(tmp_path: Path) -> None:
    area = tmp_path / "area.geojson"
    area.write_text(shapely.to_geojson(shapely.box(11, 48, 11.01, 48.01)))
    code = (
        "import sys, inference.workflow.crop_map\n"
        "from pathlib import Path\n"
        "from gee_pipeline.aoi import read_aoi\n"
        "from inference.run.worker_plan import plan_workers\n"
        "read_aoi(Path(sys.argv[1]))\n"
        "plan_workers(None, 'cpu', cells=1, cell_bytes=1, memory_budget=1, model=True)\n"
        "heavy = {'distributed', 'matplotlib', 'pystac', 'pandas', 'geopandas', 'pyogrio', 'xarray',\n"
        "         'torch._dynamo', 'sklearn'}\n"
        "print(','.join(sorted(heavy & set(sys.modules))))"
    )
    command = [sys.executable, "-c", code, str(area)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "\n", done.stderr


@pytest.mark.slow
def test_a_run_on_scenes_does_not_import_earth_engine() -> None:
    code = "import sys, inference.workflow.crop_map; print('ee' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "False\n"


def test_the_tab_key_completes_commands() -> None:
    """What docs/installing.md has a shell ask."""
    asked = {"_CROPMAP_COMPLETE": "bash_complete", "COMP_WORDS": "cropmap pre", "COMP_CWORD": "1"}
    line = [sys.executable, "-c", "from cli.main import cropmap; cropmap(prog_name='cropmap')"]
    done = subprocess.run(
        line, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **asked}, check=True
    )
    assert done.stdout.split() == ["plain,predict"]
