from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli.options.shared import Names, SeasonStart, apply, area_options, config_option, given

seen: dict[str, Any] = {}


@click.command()
@area_options
@click.option("--season-start", type=SeasonStart())
@click.option("--bands", type=Names())
def tell(**options: Any) -> None:
    seen.clear()
    seen.update(given(options))


@pytest.fixture(autouse=True)
def _areas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Areas that are there: a wrong path is refused before any other option is looked at."""
    for name in ("a", "3", "a.gpkg", "a.geojson"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def _run(*args: str) -> Any:
    return CliRunner().invoke(tell, args)


def test_every_option_can_come_from_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('aoi = "a.gpkg"\nyear = 2021\nseason-start = 2020-10-01\nbands = ["B2", "B3"]\n')
    assert _run("--config", str(path)).exit_code == 0
    assert seen == {
        "aoi": tmp_path / "a.gpkg",
        "year": 2021,
        "season_start": date(2020, 10, 1),
        "bands": ("B2", "B3"),
    }


def test_a_relative_path_is_looked_for_beside_the_file_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for folder in (home, tmp_path):
        (folder / "a.gpkg").touch()
    (tmp_path / "b.gpkg").touch()
    config = home / "run.toml"
    for text, found in [
        ("a.gpkg", home / "a.gpkg"),
        ("b.gpkg", Path("b.gpkg")),
        ("../b.gpkg", home / "../b.gpkg"),
    ]:
        config.write_text(f'aoi = "{text}"\nyear = 2021\n')
        assert _run("--config", str(config)).exit_code == 0
        assert seen["aoi"] == found


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('aoi = "a.gpkg"\nyear = 2021\n')
    assert _run("--config", str(path), "--year", "2022").exit_code == 0
    assert seen["year"] == 2022


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('aoi = "a"\nyaer = 2021\n', "unknown option yaer"),
        ("aoi = \n", "not valid TOML"),
        ('aoi = "a"\nyear = "next"\n', "'--year'"),
        ('aoi = "a"\nyear = 2021.5\n', "'2021.5' is not a valid integer"),
        ('aoi = "a"\nyear = 2021\nseason_start = "July"\n', "2022-07-01"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    result = _run("--config", str(path))
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_missing_area_names_the_option() -> None:
    result = _run("--year", "2021")
    assert result.exit_code == 2
    assert "--aoi" in result.stderr


def test_names_are_separated_by_single_commas() -> None:
    assert Names().convert("B2, B3", None, None) == ("B2", "B3")
    with pytest.raises(click.BadParameter, match="empty name"):
        Names().convert("B2,,B3", None, None)


def test_a_day_is_written_as_iso() -> None:
    assert SeasonStart().convert("2022-07-01", None, None) == date(2022, 7, 1)
    with pytest.raises(click.BadParameter, match="2022-07-01"):
        SeasonStart().convert("1.7.2022", None, None)


def test_a_number_may_name_a_path(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("aoi = 3\nyear = 2021\n")
    assert _run("--config", str(tmp_path / "run.toml")).exit_code == 0
    assert seen["aoi"] == tmp_path / "3"


def test_an_option_of_another_name_inside_is_written_as_on_the_command_line(tmp_path: Path) -> None:
    @click.command()
    @apply(config_option, click.option("--split", "rule"), click.option("--json", "as_json", is_flag=True))
    def other(**options: Any) -> None:
        seen.clear()
        seen.update(options)

    (tmp_path / "c.toml").write_text('split = "random"\njson = true\n')
    assert CliRunner().invoke(other, ["--config", str(tmp_path / "c.toml")]).exit_code == 0
    assert seen == {"rule": "random", "as_json": True}
