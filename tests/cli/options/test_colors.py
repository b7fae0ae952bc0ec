"""The option `--colors`: pairs, files, tables of a TOML file."""

import json

import click
import pytest

from cli.options.colors import ClassColors


def read(value):
    return ClassColors().convert(value, None, None)


def test_pairs_are_read_with_names_that_hold_signs():
    assert read("corn=#ffd300, winter wheat = #b77c00,a=b=#112233") == {
        "corn": "#ffd300",
        "winter wheat": "#b77c00",
        "a=b": "#112233",
    }


def test_files_are_tables_legends_or_what_stands_beside_a_map(tmp_path):
    (tmp_path / "a.toml").write_text('corn = "#ffd300"\n"durum, wheat" = "#b77c00"\n')
    (tmp_path / "b.toml").write_text('[[classes]]\nname = "rice"\ncolor = "#48b4e7"\nlabels = [3]\n')
    outside = {"code": 0, "name": "outside", "color": None}
    entries = [outside, {"code": 1, "name": "rye", "color": "#111111"}]
    (tmp_path / "legend.json").write_text(json.dumps({"classes": entries}))
    assert read(str(tmp_path / "a.toml")) == {"corn": "#ffd300", "durum, wheat": "#b77c00"}
    assert read(str(tmp_path / "b.toml")) == {"rice": "#48b4e7"}
    assert read(str(tmp_path / "legend.json")) == {"rye": "#111111"}
    assert read({"corn": "#ffd300"}) == {"corn": "#ffd300"}  # a run.toml holds a table


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("=#ffd300", "is not a class and its colour"),
        ("corn=#ffd300,rice", "'rice' is not a class and its colour"),
        ("none.toml", "is no file"),
    ],
)
def test_what_says_no_colours_is_refused(value, said):
    with pytest.raises(click.BadParameter, match=said):
        read(value)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text("corn = 3\n")
    with pytest.raises(click.BadParameter, match="holds no colours"):
        read(str(tmp_path / "a.toml"))
