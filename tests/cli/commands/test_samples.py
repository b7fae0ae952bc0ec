import json
from datetime import date

import numpy as np
import pytest
from click.testing import CliRunner

from cli.commands.samples import describe, samples
from gee_pipeline.season import Season
from training.sample_report.report import report_samples
from training.samples.samples import Samples

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path):
    """Ten samples: 4 corn, 4 rice, 1 duplicate of the first and 1 with 7 observed bins in the window."""
    rng = np.random.default_rng(0)
    fea = rng.integers(200, 4000, (10, 10, 73)).astype(np.int16)
    fea[8] = fea[0]
    observed = np.ones((10, 73), bool)
    observed[9, 24:60] = False
    place = {"lon": np.linspace(-0.5, 2.25, 10), "lat": np.linspace(-1.5, 44, 10)}
    lbl = np.array([0, 2, 0, 2, 0, 2, 0, 2, 0, 2])
    np.savez(tmp_path / "a.npz", fea=fea, lbl=lbl, observed=observed, **place)
    return tmp_path / "a.npz"


def invoke(*arguments):
    return CliRunner().invoke(samples, ["info", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize(
    "words",
    [
        "corn                 4   50.0%",
        "1 (10.0%) with fewer than 8 observed bins in the model window, 1 duplicate",
        "0.50 W to 1.64 E, 1.50 S to 33.89 N",
        "every bin of every sample",
        "not in the files",
        "Samples of a.npz.",
    ],
)
def test_info_tells_classes_gaps_and_places(file, words):
    result = invoke(file)
    assert result.exit_code == 0
    assert words in result.stdout


def test_info_as_json(file):
    told = json.loads(invoke(file, "--json", "--classes", "rice,corn").stdout)
    assert told["classes"] == {"rice": 4, "corn": 4}
    assert (told["duplicates_dropped"], told["sparse_dropped"]) == (1, 1)
    assert told["extent"]["south"] == -1.5


def test_info_draws_a_picture(file, tmp_path):
    result = invoke(file, "--picture", tmp_path / "out" / "a.png", "--season-start", "2022-07-01")
    assert result.exit_code == 0
    assert (tmp_path / "out" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "from 2022-07-01" in result.stdout


def test_a_legend_of_one_s_own_names_classes_and_colours(file, tmp_path):
    legend = tmp_path / "legend.toml"
    legend.write_text(
        '[[classes]]\nname = "paddy"\ncolor = "#112233"\nlabels = [2]\n'
        '[[classes]]\nname = "maize"\ncolor = "#445566"\nlabels = [0]\n'
    )
    told = json.loads(invoke(file, "--legend", legend, "--json").stdout)
    assert told["classes"] == {"paddy": 4, "maize": 4}


def test_countries_stand_beside_one_another():
    country = np.array(["FRA", "USA", "USA", "FRA"])
    lines = describe(report_samples(some_samples(country=country, groups=country)))
    assert [line.split() for line in lines[:3]] == [
        ["FRA", "USA", "samples", "share"],
        ["corn", "1", "2", "3", "75.0%"],
        ["other", "1", "0", "1", "25.0%"],
    ]
    assert "Groups       2" in lines


def test_samples_of_other_classes_are_told():
    lines = describe(report_samples(some_samples(left_out=4)))
    assert any(line.endswith("4 of other classes") for line in lines)


def some_samples(**fields):
    series = np.full((4, 10, 73), 1000, np.int16)
    series[:, :, ::2] = -9999
    series[1:, :, 25] = -9999
    labels = np.array([0, 0, 0, 1])
    return Samples(series, labels, ("corn", "other"), **fields)


def test_gaps_are_told_with_quartiles_and_the_bin_with_fewest_observations():
    (line,) = [line for line in describe(report_samples(some_samples())) if line.startswith("Observed")]
    # 36 odd bins, 35 without bin 25; 21 odd bins from 25 to 65, 20 without it. Quartiles of 36, 35, 35, 35.
    assert "35 (quartiles 35 and 35.25) of 73 bins" in line
    assert "20 (quartiles 20 and 20.25) of 43" in line
    assert "fewest in bin 24 (0.0% of the samples)" in line


def test_the_season_is_told_where_it_is_known():
    report = report_samples(some_samples(season=Season(2023, date(2022, 7, 1))))
    assert "Season       2023, from 2022-07-01, bins of 5 days" in describe(report)
