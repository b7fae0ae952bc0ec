"""Tags of the rasters of a map: read by GDAL, and by a program that knows TIFF alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rio_cogeo.cogeo import cog_validate

from gee_pipeline.layers import BASE, ON_REQUEST, band_names
from gee_pipeline.recipe import Recipe, SensorGroup
from gee_pipeline.season import WINTER
from inference.product.map_facts import MapSummary
from inference.product.map_writer import write_map
from inference.product.raster_tags import raster_tags
from inference.product.report import attribution
from tests.support.made_runs import CROPS, made_facts, made_grid, made_run, random_layers

ALL = tuple(layer.name for layer in ON_REQUEST)
IMAGE_DESCRIPTION, SOFTWARE, COPYRIGHT = 270, 305, 33432
"""Numbers of the tags in the TIFF 6.0 specification."""


def written(folder: Path, **facts: Any) -> MapSummary:
    """A map of random pixels with all layers."""
    layers = random_layers((512, 512))
    more = len(band_names(ALL, len(CROPS))) - 3
    extra = np.random.default_rng(1).integers(0, 6, (more, 512, 512), dtype=np.uint8)
    run = made_run(folder, made_grid(2, 2), np.concatenate([layers, extra]))
    return write_map(
        run.folder, run.grid, run.cells, CROPS, made_facts(layers=ALL, run_digest="f" * 16, **facts)
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> MapSummary:
    return written(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> MapSummary:
    return written(tmp_path_factory.mktemp("simulated"), simulated=True)


@pytest.mark.slow
def test_every_raster_says_where_it_comes_from(real: MapSummary) -> None:
    assert [path.stem for path in real.rasters] == [layer.name for layer in (*BASE, *ON_REQUEST)]
    expected = {
        "YEAR": "2021",
        "FIRST_DAY": "2021-05-01",  # day 121 of the year
        "LAST_DAY": "2021-12-01",  # 43 bins of 5 days: 215 days, the last is day 335
        "MODEL": "compact.safetensors",
        "MODEL_DIGEST": "0123456789abcdef",
        "RECIPE_DIGEST": Recipe().digest,
        "RUN_DIGEST": "ffffffffffffffff",
        "CROPMAP_VERSION": "0.1.0",
        "ATTRIBUTION": "Contains modified Copernicus Sentinel data 2021",
        "TIFFTAG_SOFTWARE": "cropmap 0.1.0",
        "TIFFTAG_COPYRIGHT": "Contains modified Copernicus Sentinel data 2021",
    }
    for path in real.rasters:
        with rasterio.open(path) as file:
            tags = file.tags()
        assert {name: tags.get(name) for name in expected} == expected
        assert tags["LAYER"] == path.stem
        assert "SIMULATED" not in tags
        assert cog_validate(path, strict=True) == (True, [], [])


def test_a_reader_of_tiff_sees_description_software_and_copyright(real: MapSummary) -> None:
    with Image.open(real.folder / "margin.tif") as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        assert tags[SOFTWARE] == "cropmap 0.1.0"
        assert tags[COPYRIGHT] == "Contains modified Copernicus Sentinel data 2021"
        assert tags[IMAGE_DESCRIPTION].startswith(
            "Crop map of Poinsett County 2021: probability of the class"
        )


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("crop_map", None),
        ("confidence", "percent"),
        ("clear_observations", "bins"),
        ("second", None),
        ("margin", "percentage points"),
        ("probabilities", "percent"),
    ],
)
def test_bands_say_what_they_hold_and_in_which_unit(real: MapSummary, name: str, unit: str | None) -> None:
    layer = next(layer for layer in (*BASE, *ON_REQUEST) if layer.name == name)
    with rasterio.open(real.folder / f"{name}.tif") as file:
        assert set(file.units) == {unit}
        assert file.tags().get("UNIT") == unit
        assert file.tags()["DESCRIPTION"] == layer.description
        names = (
            [crop.name for crop in CROPS] if layer.per_class else ["class" if name == "crop_map" else name]
        )
        assert list(file.descriptions) == names


@pytest.mark.slow
def test_simulated_scenes_are_said_and_nobody_is_credited(simulated: MapSummary) -> None:
    for path in simulated.rasters:
        with rasterio.open(path) as file:
            tags = file.tags()
        assert tags["SIMULATED"] == "true"
        assert "simulated" in tags["TIFFTAG_IMAGEDESCRIPTION"]
        assert not {"ATTRIBUTION", "TIFFTAG_COPYRIGHT"} & set(tags)


def test_a_winter_season_has_the_days_of_both_years() -> None:
    recipe = Recipe.of(season=WINTER)
    facts = made_facts(recipe=recipe, season=WINTER.season(2022, "north"))
    tags = raster_tags(BASE[0], facts)
    assert (tags["YEAR"], tags["FIRST_DAY"][:4], tags["LAST_DAY"][:4]) == ("2022", "2021", "2022")
    assert tags["ATTRIBUTION"] == "Contains modified Copernicus Sentinel data 2021-2022"


def test_each_sensor_is_credited_once() -> None:
    groups = (SensorGroup(), SensorGroup.of("sentinel-1"))
    facts = made_facts(recipe=replace(Recipe(), sensors=groups))
    assert attribution(facts) == "Contains modified Copernicus Sentinel data 2021"
    alone = made_facts(recipe=replace(Recipe(), sensors=(SensorGroup.of("alphaearth"),)))
    assert str(attribution(alone)).startswith("The AlphaEarth Foundations Satellite Embedding dataset")
