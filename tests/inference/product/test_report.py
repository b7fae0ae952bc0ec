import json
from datetime import UTC, date, datetime

import pytest

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER, Season
from inference.product.map_writer import write_map
from inference.product.report import attribution
from tests.support.made_runs import CROPS, made_facts, made_grid, made_run, random_layers


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a map of two by two cells, read as strict JSON."""
    run = made_run(tmp_path_factory.mktemp("run"), made_grid(2, 2, cell_size=32), random_layers((64, 64)))
    facts = made_facts(
        simulated=True,
        notices=("One scene had no cloud score.",),
        provenance={"data": "Arkansas 2021", "year": 2021, "footprint": None},
        metrics={"macro_f1": 0.91, "loss": float("nan"), "per_class": (0.9, float("inf"))},
        command="cropmap predict --config run/run.toml",
        config='year = 2021\naoi = "area.geojson"\n',
        created=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )
    summary = write_map(run.folder, run.grid, run.cells, CROPS, facts)
    return run, json.loads(summary.report.read_text(), parse_constant=pytest.fail)


def test_the_report_states_what_went_in(report):
    _, values = report
    assert values["title"] == "Crop map of Poinsett County 2021"
    assert values["year"] == 2021
    assert values["season"] == {"first_day": "2021-01-01", "last_day": "2021-12-31"}
    assert values["model_window"] == {"first_day": "2021-05-01", "last_day": "2021-12-01"}
    assert values["source"] == {"kind": "stac", "href": "catalog.json"}
    assert values["recipe"]["digest"] == Recipe().digest
    assert values["recipe"]["bands"][3] == "B8"
    assert values["cropmap_version"] == "0.1.0"
    assert values["command"].startswith("cropmap predict")
    assert values["config"].startswith("year = 2021")
    assert values["created"] == "2026-03-01T12:00:00+00:00"


def test_the_report_holds_the_certificate_with_the_cells_in_the_map(report):
    _, values = report
    assert values["certificate"] == {"planned": 4, "done": 4, "failed": 0, "skipped": 0, "in_map": 4}


def test_the_classes_share_the_whole_area(report):
    run, values = report
    codes = run.layers[0]
    assert sum(entry["share"] for entry in values["classes"]) == pytest.approx(1)
    assert {entry["code"]: entry["pixels"] for entry in values["classes"]} == {
        code: int((codes == code).sum()) for code in (1, 2, 3, 4, 5, 254, 255)
    }
    assert values["area"]["pixels"] == (codes != 0).sum()
    assert values["area"]["hectares"] == pytest.approx(sum(entry["hectares"] for entry in values["classes"]))


def test_the_raster_is_described(report):
    _, values = report
    assert values["map"] == {
        "crs": "EPSG:32615",
        "width": 64,
        "height": 64,
        "pixel_size": 10,
        "bounds": [704_000, 3_923_840, 704_640, 3_924_480],
        "cell_size": 32,
    }


def test_numbers_that_json_cannot_hold_are_null(report):
    _, values = report
    assert values["model"]["metrics"] == {"macro_f1": 0.91, "loss": None, "per_class": [0.9, None]}


def test_a_map_of_simulated_scenes_says_so_first_and_thanks_nobody_for_data(report):
    _, values = report
    assert values["simulated"] is True
    assert "simulated" in values["notices"][0]
    assert values["notices"][1] == "One scene had no cloud score."
    assert values["attribution"] is None


@pytest.mark.parametrize(
    ("season", "years"),
    [
        (SUMMER.season(2021, "north"), "2021"),
        (SUMMER.season(2021, "south"), "2020-2021"),  # November to May
        (Season(2021, date(2021, 9, 1)), "2021-2022"),  # a start of the user's own
    ],
)
def test_real_scenes_are_attributed_with_the_years_they_were_taken_in(season, years):
    facts = made_facts(season=season)
    assert attribution(facts) == f"Contains modified Copernicus Sentinel data {years}"


def test_facts_need_a_title_and_a_time_zone():
    with pytest.raises(InputError, match="title"):
        made_facts(title=" ")
    with pytest.raises(InputError, match="time zone"):
        made_facts(created=datetime(2026, 3, 1))
